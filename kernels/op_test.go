package kernels

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// opCases are results that IEEE 754 or the operation's comment prescribes, in
// both types: tiny is the smallest number above 0, normal the smallest with all
// bits, power the largest power of two, least and most the exponents of these
// two; max is the largest number, over one whose square is infinite and under
// one whose square is 0.
var opCases = []string{
	"neg 0 = -0", "neg -0 = 0", "neg 1 = -1", "neg -inf = inf", "neg nan = nan", "neg tiny = -tiny",
	"abs -0 = 0", "abs 0 = 0", "abs -2 = 2", "abs -inf = inf", "abs nan = nan", "abs -tiny = tiny",
	"sign 0 = 0", "sign -0 = -0", "sign 7 = 1", "sign -7 = -1", "sign inf = 1", "sign -inf = -1", "sign nan = nan", "sign tiny = 1", "sign -tiny = -1",
	"sqrt 4 = 2", "sqrt 0 = 0", "sqrt -0 = -0", "sqrt -1 = nan", "sqrt -tiny = nan", "sqrt inf = inf", "sqrt -inf = nan", "sqrt nan = nan",

	"pow2 0 = 1", "pow2 -0 = 1", "pow2 1 = 2", "pow2 -1 = 0.5", "pow2 10 = 1024", "pow2 0.5 = 1", "pow2 1.5 = 4", "pow2 2.5 = 4", "pow2 -0.5 = 1", "pow2 -1.5 = 0.25", "pow2 2.6 = 8", "pow2 tiny = 1",
	"pow2 least = normal", "pow2 least-1 = 0", "pow2 least-1/2 = normal", "pow2 most = power", "pow2 most+1/2 = inf", "pow2 most+1 = inf", "pow2 inf = inf", "pow2 -inf = 0", "pow2 max = inf", "pow2 -max = 0", "pow2 nan = nan",
	"exponent 1 = 0", "exponent -1 = 0", "exponent 1.99 = 0", "exponent 2 = 1", "exponent -0.75 = -1", "exponent 1024 = 10", "exponent 0 = least-1", "exponent -0 = least-1", "exponent tiny = least-1", "exponent -tiny = least-1",
	"exponent normal = least", "exponent power = most", "exponent max = most", "exponent -max = most", "exponent inf = most+1", "exponent -inf = most+1", "exponent nan = nan",

	"add 1 2 = 3", "add 0 -0 = 0", "add -0 -0 = -0", "add 1 -1 = 0", "add inf -inf = nan", "add inf inf = inf", "add max max = inf", "add nan 1 = nan", "add tiny tiny = 2tiny", "add tiny -tiny = 0",
	"sub 1 1 = 0", "sub 0 0 = 0", "sub -0 0 = -0", "sub 0 -0 = 0", "sub -0 -0 = 0", "sub inf inf = nan", "sub -max max = -inf", "sub 1 nan = nan", "sub 2tiny tiny = tiny",
	"mul 2 3 = 6", "mul -1 0 = -0", "mul -1 -0 = 0", "mul 0 inf = nan", "mul -inf 2 = -inf", "mul over over = inf", "mul -over over = -inf", "mul under under = 0", "mul -under under = -0", "mul nan 0 = nan", "mul tiny 1 = tiny", "mul tiny 0.5 = 0",
	"div 1 0 = inf", "div -1 0 = -inf", "div 1 -0 = -inf", "div 0 0 = nan", "div inf inf = nan", "div 1 inf = 0", "div -1 inf = -0", "div 6 3 = 2", "div tiny 2 = 0", "div 2tiny 2 = tiny", "div nan 1 = nan",
	"min 1 2 = 1", "min 0 -0 = -0", "min -0 0 = -0", "min -0 -0 = -0", "min 0 0 = 0", "min nan 1 = nan", "min 1 nan = nan", "min -inf nan = nan", "min -inf 1 = -inf", "min inf max = max", "min -tiny -0 = -tiny",
	"max 1 2 = 2", "max 0 -0 = 0", "max -0 0 = 0", "max -0 -0 = -0", "max nan 1 = nan", "max 1 nan = nan", "max inf nan = nan", "max -inf -max = -max", "max tiny 0 = tiny",
	"fma 2 3 4 = 10", "fma 0 inf 1 = nan", "fma 0 inf nan = nan", "fma inf 1 -inf = nan", "fma inf 1 inf = inf", "fma 1 1 -1 = 0", "fma -1 0 -0 = -0", "fma 1 0 -0 = 0", "fma -1 0 0 = 0",
	"fma max 2 -max = max", "fma -max 2 max = -max", "fma max max -inf = -inf", "fma under under 0 = 0", "fma -under under 0 = -0", "fma tiny 0.5 tiny = 2tiny", "fma nan 0 0 = nan", "fma 0 0 nan = nan",

	"less 1 2 = 1", "less 2 1 = 0", "less 1 1 = 0", "less -0 0 = 0", "less nan 1 = 0", "less 1 nan = 0", "less -inf inf = 1", "less 0 tiny = 1",
	"less_equal 1 1 = 1", "less_equal 2 1 = 0", "less_equal 0 -0 = 1", "less_equal -0 0 = 1", "less_equal nan nan = 0", "less_equal inf inf = 1",
	"equal 1 1 = 1", "equal 0 -0 = 1", "equal nan nan = 0", "equal inf -inf = 0", "equal tiny 0 = 0",
	"not 0 = 1", "not 1 = 0", "and 0 0 = 0", "and 0 1 = 0", "and 1 0 = 0", "and 1 1 = 1", "or 0 0 = 0", "or 0 1 = 1", "or 1 0 = 1", "or 1 1 = 1",
	"select 1 -0 2 = -0", "select 0 -0 2 = 2", "select 1 nan 2 = nan", "select 0 nan -inf = -inf", "select 0 1 nan = nan",
}

func TestOperations(t *testing.T) {
	both(t, testOperations[float32], testOperations[float64])
}

func testOperations[T Float](t *testing.T) {
	tiny, largest, under, over := 0x1p-149, math.MaxFloat32, 0x1p-80, 0x1p80
	if DTypeOf[T]() == F64 {
		tiny, largest, under, over = math.SmallestNonzeroFloat64, math.MaxFloat64, 0x1p-600, 0x1p600
	}
	normal, least, most := 0x1p-126, -126.0, 127.0
	if DTypeOf[T]() == F64 {
		normal, least, most = 0x1p-1022, -1022, 1023
	}
	named := map[string]float64{"tiny": tiny, "2tiny": 2 * tiny, "max": largest, "under": under, "over": over, "normal": normal, "power": math.Ldexp(1, int(most)),
		"least": least, "least-1": least - 1, "least-1/2": least - 0.5, "most": most, "most+1": most + 1, "most+1/2": most + 0.5}
	number := func(s string) T {
		name, negative := strings.CutPrefix(s, "-")
		x, ok := named[name]
		if !ok {
			var err error
			if x, err = strconv.ParseFloat(name, 64); err != nil {
				t.Fatal(err)
			}
		}
		if negative {
			x = -x
		}
		return T(x)
	}
	tested := map[Op]bool{}
	for _, c := range opCases {
		fields := strings.Fields(c)
		op := Op(0)
		for op < numOps && op.String() != fields[0] {
			op++
		}
		var args [3]T
		for i := range op.Arity() {
			args[i] = number(fields[1+i])
		}
		want := number(fields[len(fields)-1])
		if got := Apply(op, args); !same(got, want) || len(fields) != op.Arity()+3 {
			t.Errorf("%s: got %v", c, got)
		}
		tested[op] = true
	}
	for op := range numOps {
		if op.Elementwise() && !tested[op] {
			t.Errorf("no case for %v", op)
		}
	}
}

// fmaExact is x*y + z of finite numbers, computed exactly and rounded once.
func fmaExact(x, y, z float32) float32 {
	exact := func(x float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(x)) }
	sum := exact(x)
	sum.Mul(sum, exact(y)).Add(sum, exact(z))
	rounded, _ := sum.Float32()
	return rounded
}

// fmaHard are cases in which rounding to float64 first gives the wrong float32:
// x*y is a tie's half less or more a bit that float64 loses.
var fmaHard = []struct{ x, y, z, want float32 }{
	// z is 1 and a last bit; half of that bit, nearly, is added.
	{0x1p-12 * (1 + 0x1p-23), 0x1p-12 * (1 - 0x1p-23), 1 + 0x1p-23, 1 + 0x1p-23},
	{-0x1p-12 * (1 + 0x1p-23), 0x1p-12 * (1 - 0x1p-23), -(1 + 0x1p-23), -(1 + 0x1p-23)},
	// z is 2; a quarter of its last bit, nearly, is taken: the number below 2 has half the spacing.
	{-0x1p-12 * (1 + 0x1p-23), 0x1p-13 * (1 - 0x1p-23), 2, 2},
	// Of subnormals the last bit is always the same.
	{0x1p-75 * (1 + 0x1p-23), 0x1p-75 * (1 - 0x1p-23), 0x1p-127 + 0x1p-149, 0x1p-127 + 0x1p-149},
	// The largest number, and nearly enough to make it infinite.
	{0x1p52 * (1 + 0x1p-23), 0x1p51 * (1 - 0x1p-23), math.MaxFloat32, math.MaxFloat32},
	{0x1p52, 0x1p51, math.MaxFloat32, float32(math.Inf(1))},
	// The smallest number, from a product that is too small for any.
	{0x1p-149, 0x1p-149, 0x1p-149, 0x1p-149},
	{0x1p-100, 0x1.000002p-50, 0, 0x1p-149},
	{0x1p-100, 0x1p-50, 0, 0},
	{-0x1p-100, 0x1p-50, 0, float32(math.Copysign(0, -1))},
}

func TestFma32Hard(t *testing.T) {
	twiceRounded := 0
	for _, c := range fmaHard {
		if got := fma32(c.x, c.y, c.z); !same(got, c.want) {
			t.Errorf("fma(%x, %x, %x) = %x, want %x", c.x, c.y, c.z, got, c.want)
		}
		if exact := fmaExact(c.x, c.y, c.z); !same(exact, c.want) {
			t.Errorf("the case fma(%x, %x, %x) wants %x, exactly it is %x", c.x, c.y, c.z, c.want, exact)
		}
		if float32(math.FMA(float64(c.x), float64(c.y), float64(c.z))) != c.want {
			twiceRounded++
		}
	}
	if twiceRounded < 4 {
		t.Errorf("only %d of the hard cases are hard", twiceRounded)
	}
}

func TestFma32IsExact(t *testing.T) {
	// A float32 with few or many bits set, of any exponent or one near 0.
	number := rapid.Custom(func(t *rapid.T) float32 {
		mantissa := rapid.OneOf(rapid.Uint32Range(0, 1<<23-1), rapid.SampledFrom([]uint32{0, 1, 2, 3, 1 << 22, 1<<22 + 1, 1<<23 - 1, 1<<23 - 2})).Draw(t, "mantissa")
		exponent := rapid.OneOf(rapid.Uint32Range(0, 254), rapid.Uint32Range(100, 154), rapid.SampledFrom([]uint32{0, 1, 254})).Draw(t, "exponent")
		sign := rapid.Uint32Range(0, 1).Draw(t, "sign")
		return math.Float32frombits(sign<<31 | exponent<<23 | mantissa)
	})
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			x, y := number.Draw(t, "x"), number.Draw(t, "y")
			z := number.Draw(t, "z")
			if rapid.Bool().Draw(t, "near") { // of the product, so that they cancel or tie
				z = float32(float64(x)*float64(y)) * rapid.SampledFrom([]float32{-1, 1, 1 << 23, 1 << 24, -(1 << 24), 0x1p-24}).Draw(t, "times")
			}
			if math.IsInf(float64(z), 0) || z != z {
				z = 0
			}
			if got, want := fma32(x, y, z), fmaExact(x, y, z); !same(got, want) {
				t.Fatalf("fma(%x, %x, %x) = %x, want %x", x, y, z, got, want)
			}
			if got := Apply(OpFma, [3]float32{x, y, z}); !same(got, fma32(x, y, z)) {
				t.Fatalf("Apply(OpFma, %x, %x, %x) = %x", x, y, z, got)
			}
		}
	})
}

func TestSqrt32IsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			x := rapid.Float32Min(0).Draw(t, "x")
			if math.IsInf(float64(x), 0) {
				continue
			}
			root, _ := new(big.Float).SetPrec(200).Sqrt(new(big.Float).SetFloat64(float64(x))).Float32()
			if got := Apply(OpSqrt, [3]float32{x}); !same(got, root) {
				t.Fatalf("sqrt(%x) = %x, want %x", x, got, root)
			}
		}
	})
}

// TestConstants: a constant is rounded once, from the float64 of the
// definition to the kernel's type.
func TestConstants(t *testing.T) {
	for _, c := range []struct {
		x    float64
		want float32
	}{
		{0.1, 0.1}, {1<<24 + 1, 1 << 24}, {1<<24 + 3, 1<<24 + 4}, {0x1p-150, 0}, {-0x1p-150, float32(math.Copysign(0, -1))}, {0x1.8p-149, 0x1p-148},
		{1e39, float32(math.Inf(1))}, {-1e39, float32(math.Inf(-1))}, {1e-40, 1e-40},
	} {
		t.Run(fmt.Sprint(c.x), func(t *testing.T) {
			k := Must(Define("k", func(k *Builder) {
				k.Output("constant", k.Const(c.x))
				k.Output("default", k.Neg(k.Neg(k.Optional("x", c.x))))
			}))
			for i, result := range mustReference[float32](t, k, nil) {
				if !sameAll(result, []float32{c.want}) {
					t.Errorf("as float32 the %s is %v, want [%v]", k.OutputName(i), result, c.want)
				}
			}
			for i, result := range mustReference[float64](t, k, nil) {
				if !sameAll(result, []float64{c.x}) {
					t.Errorf("as float64 the %s is %v, want [%v]", k.OutputName(i), result, c.x)
				}
			}
		})
	}
}
