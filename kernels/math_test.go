// The functions of mathematics against their true values.

package kernels_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"errorcell/kernels"
)

// mostUlp is the largest error that the functions may have.
const mostUlp = 2

// function is a function of math.go, with what is known of it.
type function struct {
	name  string
	build func(k *kernels.Builder, x kernels.Value) kernels.Value
	// exact is the true value in float64, which float32 is held to; precise is
	// the true value of a finite number in many digits, which float64 is held to.
	exact     func(x float64) float64
	precise   func(x float64) *big.Float
	low, high float64 // the range
	cases     map[float64]float64
}

var functions = []function{
	{"exp", (*kernels.Builder).Exp, math.Exp, preciseExp, 0, inf, map[float64]float64{0: 1, minusZero: 1, inf: inf, -inf: 0, -1e30: 0, 1e30: inf}},
	{"log", (*kernels.Builder).Log, nearLog, preciseLog, -inf, inf, map[float64]float64{0: -inf, minusZero: -inf, 1: 0, inf: inf, -inf: nan, -1: nan, -1e-40: nan, -1e30: nan}},
	{"tanh", (*kernels.Builder).Tanh, math.Tanh, preciseTanh, -1, 1, map[float64]float64{0: 0, minusZero: minusZero, inf: 1, -inf: -1, 1e-44: 1e-44}},
	{"sigmoid", (*kernels.Builder).Sigmoid, func(x float64) float64 {
		e := math.Exp(-math.Abs(x))
		if x < 0 {
			return e / (1 + e)
		}
		return 1 / (1 + e)
	}, preciseSigmoid, 0, 1, map[float64]float64{0: 0.5, minusZero: 0.5, inf: 1, -inf: 0}},
	{"softplus", (*kernels.Builder).Softplus, func(x float64) float64 {
		return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
	}, preciseSoftplus, 0, inf, map[float64]float64{inf: inf, -inf: 0, -1e30: 0, 1e30: 1e30}},
	{"erf", (*kernels.Builder).Erf, math.Erf, preciseErf, -1, 1, map[float64]float64{0: 0, minusZero: minusZero, inf: 1, -inf: -1, 1e30: 1}},
}

var (
	inf, nan  = math.Inf(1), math.NaN()
	minusZero = math.Copysign(0, -1)
)

// nearLog is math.Log, which on some processors is wrong for subnormal numbers.
func nearLog(x float64) float64 {
	if math.Abs(x) < 0x1p-1000 {
		return math.Log(x*0x1p100) - 100*math.Ln2
	}
	return math.Log(x)
}

// functionKernel is a kernel that is a function.
func functionKernel(name string, build func(k *kernels.Builder, x kernels.Value) kernels.Value) *kernels.Kernel {
	return kernels.Must(kernels.Define(name, func(k *kernels.Builder) { k.Output("y", build(k, k.Input("x"))) }))
}

// compute is what the reference makes of a kernel of one operand.
func compute[T kernels.Float](t *testing.T, k *kernels.Kernel, x []T) []T {
	t.Helper()
	y, err := kernels.Reference(k, &kernels.Array[T]{Shape: kernels.Shape{len(x)}, Data: x})
	if err != nil {
		t.Fatal(err)
	}
	return y[0].Data
}

func TestFunctions(t *testing.T) {
	n32, n64 := 100_000, 3000
	if testing.Short() {
		n32, n64 = 5000, 100
	}
	for _, f := range functions {
		k := functionKernel(f.name, f.build)
		t.Run(f.name+"/float32", func(t *testing.T) {
			x := arguments[float32](n32)
			worst := worse{}
			for i, y := range compute(t, k, x) {
				checkRange(t, x[i], y, f.low, f.high)
				worst.note(float64(x[i]), ulps32(y, f.exact(float64(x[i]))))
			}
			worst.check(t)
		})
		t.Run(f.name+"/float64", func(t *testing.T) {
			x := arguments[float64](n64)
			worst := worse{}
			for i, y := range compute(t, k, x) {
				checkRange(t, x[i], y, f.low, f.high)
				if !math.IsNaN(x[i]) && !math.IsInf(x[i], 0) && !math.IsNaN(f.exact(x[i])) && !math.IsInf(f.exact(x[i]), 0) {
					worst.note(x[i], ulps64(y, f.precise(x[i])))
				} else {
					worst.note(x[i], ulps32(float32(y), f.exact(x[i])))
				}
			}
			worst.check(t)
		})
		t.Run(f.name+"/cases", func(t *testing.T) {
			for x, want := range f.cases {
				check(t, f.name, x, compute(t, k, []float64{x})[0], want)
				check(t, f.name, float32(x), compute(t, k, []float32{float32(x)})[0], float32(want))
			}
			check(t, f.name, nan, compute(t, k, []float64{nan})[0], nan)
			check(t, f.name, float32(nan), compute(t, k, []float32{float32(nan)})[0], float32(nan))
		})
	}
}

func check[T kernels.Float](t *testing.T, name string, x, got, want T) {
	t.Helper()
	if got != want && (got == got || want == want) || math.Signbit(float64(got)) != math.Signbit(float64(want)) && want == want {
		t.Errorf("%s(%v) is %v in %T, want %v", name, x, got, got, want)
	}
}

func checkRange[T kernels.Float](t *testing.T, x, y T, low, high float64) {
	if float64(y) < low || float64(y) > high {
		t.Helper() // costs more than the rest
		t.Errorf("of %v it is %v, beyond [%v, %v]", x, y, low, high)
	}
}

// TestFunctionsHaveOperations: as many, by the type, as docs/numerics.md says.
func TestFunctionsHaveOperations(t *testing.T) {
	documented := map[string][2]int{"exp": {20, 25}, "log": {30, 36}, "tanh": {22, 27}, "sigmoid": {24, 29}, "softplus": {40, 50}, "erf": {29, 49}}
	for _, f := range functions {
		k := functionKernel(f.name, f.build)
		for i, dtype := range []kernels.DType{kernels.F32, kernels.F64} {
			sig := kernels.Signature{DType: dtype}
			sig.Kinds[0] = kernels.Full
			plan, err := k.Specialize(sig)
			if err != nil {
				t.Fatal(err)
			}
			ops := 0
			for _, n := range plan.Passes[0].Nodes {
				if n.Op.Elementwise() {
					ops++
				}
			}
			if ops != documented[f.name][i] {
				t.Errorf("%s in %v is %d operations, documented are %d", f.name, dtype, ops, documented[f.name][i])
			}
		}
	}
}

// worse keeps the largest error.
type worse struct{ x, ulps float64 }

func (w *worse) note(x, ulps float64) {
	if ulps > w.ulps || ulps != ulps {
		w.x, w.ulps = x, ulps
	}
}

func (w *worse) check(t *testing.T) {
	t.Helper()
	t.Logf("at most %.3f ulp, at %v", w.ulps, w.x)
	if !(w.ulps <= mostUlp) {
		t.Errorf("an error of %v ulp, at %v (%x)", w.ulps, w.x, w.x)
	}
}

// ulps32 is the error of a result whose true value is given, in spacings of
// float32 there; infinity counts as the next number after the largest. NaN for
// NaN is no error, else infinitely much.
func ulps32(got float32, want float64) float64 {
	if want != want || got != got {
		if want != want && got != got {
			return 0
		}
		return math.Inf(1)
	}
	const next = 0x1p128
	g, w := min(max(float64(got), -next), next), min(max(want, -next), next)
	exponent := max(math.Float64bits(w)>>52&0x7ff, 1023-126)
	return math.Abs(g-w) / math.Float64frombits((exponent-23)<<52)
}

// ulps64 is the same for float64, of finite true values.
func ulps64(got float64, want *big.Float) float64 {
	if math.IsNaN(got) {
		return math.Inf(1)
	}
	g := new(big.Float).SetPrec(precision).SetFloat64(got)
	if math.IsInf(got, 0) {
		g.SetMantExp(big.NewFloat(math.Copysign(1, got)), 1024)
	}
	exponent := -1022
	if want.Sign() != 0 {
		exponent = max(exponent, want.MantExp(nil)-1)
	}
	g.Sub(g, want)
	e, _ := g.SetMantExp(g, 52-exponent).Float64()
	return math.Abs(e)
}

// arguments are numbers at which functions go wrong first, and n at random.
func arguments[T kernels.Float](n int) []T {
	var list []T
	add := func(x T) { list = append(list, x, -x) }
	around := func(x float64) {
		for _, y := range []T{T(x), next(T(x), -1), next(T(x), 1)} {
			add(y)
		}
	}
	tiny, least, most, mantissas := 0x1p-149, -149, 127, n/1000
	if kernels.DTypeOf[T]() == kernels.F64 {
		tiny, least, most, mantissas = math.SmallestNonzeroFloat64, -1074, 1023, 1
	}
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	add(T(nan))
	add(T(inf))
	add(0)
	add(T(tiny))
	add(next(T(inf), -1))
	step := max(1, (most-least)*10/n)
	for e := least; e <= most; e += step {
		around(math.Ldexp(1, e))
		for range mantissas {
			add(T(math.Ldexp(1+rng.Float64(), e)))
		}
	}
	// Where reductions, ranges and polynomials end.
	for _, x := range []float64{math.Ln2 / 2, math.Ln2, math.Sqrt2, math.Sqrt2 / 2, math.Sqrt2 - 1, math.Log(math.Sqrt2 - 1), 4, 5.95, 5.8636, 3.9192,
		88.7228, 87.3365, 103.278, 103.972, 709.7827, 708.3964, 744.44, 745.1332, 746, 710} {
		around(x)
	}
	for n := range 120 {
		around((float64(n) + 0.5) * 2 * math.Ln2)
		around((float64(n) + 0.5) * math.Ln2)
	}
	for i := range n {
		switch i % 4 {
		case 0:
			add(T(rng.NormFloat64()))
		case 1:
			add(T(rng.Float64() * 8))
		case 2:
			add(T(rng.ExpFloat64() * 0.1))
		case 3:
			add(T(rng.Float64() * 110))
			if kernels.DTypeOf[T]() == kernels.F64 {
				add(T(rng.Float64() * 750))
			}
		}
	}
	return list
}

// next is the neighbour of x towards +Inf, or towards -Inf.
func next[T kernels.Float](x T, sign int) T {
	if x, ok := any(x).(float32); ok {
		return T(math.Nextafter32(x, float32(math.Inf(sign))))
	}
	return T(math.Nextafter(float64(x), math.Inf(sign)))
}

// The true values in many digits, by series.

// precision is the bits of numbers, of which more than 200 are right in a result.
const precision = 500

func number(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }

func plus(x, y *big.Float) *big.Float  { return number(0).Add(x, y) }
func minus(x, y *big.Float) *big.Float { return number(0).Sub(x, y) }
func times(x, y *big.Float) *big.Float { return number(0).Mul(x, y) }
func over(x, y *big.Float) *big.Float  { return number(0).Quo(x, y) }

// series adds up terms until they are 0 beside the sum.
func series(term func(n int) *big.Float) *big.Float {
	sum := number(0)
	for n := 0; ; n++ {
		t := term(n)
		if t.Sign() == 0 || sum.Sign() != 0 && t.MantExp(nil) < sum.MantExp(nil)-precision {
			return sum
		}
		sum.Add(sum, t)
	}
}

// bigExp is e^x by the series for x/2^halvings, squared as often.
func bigExp(x *big.Float) *big.Float {
	halvings := max(0, x.MantExp(nil)) + 20
	r := number(0).SetMantExp(x, -halvings)
	term := number(1)
	y := series(func(n int) *big.Float {
		if n > 0 {
			term = over(times(term, r), number(float64(n)))
		}
		return term
	})
	for range halvings {
		y.Mul(y, y)
	}
	return y
}

// bigLog is log(x) from a near value y: y + log(1+d), 1+d being x*e^-y.
func bigLog(x *big.Float, y float64) *big.Float {
	d := minus(times(x, bigExp(number(-y))), number(1))
	power := number(-1)
	return plus(number(y), series(func(n int) *big.Float {
		power = minus(number(0), times(power, d))
		return over(power, number(float64(n+1)))
	}))
}

func preciseExp(x float64) *big.Float {
	return bigExp(number(min(max(x, -1000), 1000)))
}

func preciseLog(x float64) *big.Float { return bigLog(number(x), nearLog(x)) }

func preciseTanh(x float64) *big.Float {
	if math.Abs(x) < 0x1p-100 {
		return number(x)
	}
	e := bigExp(number(2 * min(max(x, -400), 400)))
	return over(minus(e, number(1)), plus(e, number(1)))
}

func preciseSigmoid(x float64) *big.Float {
	return over(number(1), plus(number(1), preciseExp(-x)))
}

func preciseSoftplus(x float64) *big.Float {
	e := preciseExp(-math.Abs(x))
	near, _ := e.Float64()
	if near > 0x1p-300 {
		e = bigLog(plus(e, number(1)), math.Log1p(near))
	}
	return plus(number(max(x, 0)), e)
}

func preciseErf(x float64) *big.Float {
	root := number(0).Sqrt(bigPi)
	if math.Abs(x) > 9 {
		return number(math.Copysign(1, x))
	}
	power, square := number(x), times(number(x), number(x))
	return over(times(number(2), series(func(n int) *big.Float {
		if n > 0 {
			power = over(minus(number(0), times(power, square)), number(float64(n)))
		}
		return over(power, number(float64(2*n+1)))
	})), root)
}

var bigPi, _ = number(0).SetString("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651328230664709384460955058223172535940812848111745028410270193852110555964462294895493038196")

// TestPrecise holds the true values of float64 to those of package math.
func TestPrecise(t *testing.T) {
	for _, f := range functions {
		x := slices.DeleteFunc(arguments[float64](40), func(x float64) bool {
			y := f.exact(x)
			return math.IsNaN(y) || math.IsInf(y, 0) || math.IsInf(x, 0) || math.Abs(y) < 0x1p-1000
		})
		for _, x := range x {
			if u := ulps64(f.exact(x), f.precise(x)); u > 3 {
				t.Errorf("%s(%v): %v and %v", f.name, x, f.exact(x), f.precise(x))
			}
		}
	}
}

func ExampleBuilder_Sigmoid() {
	k := functionKernel("sigmoid", (*kernels.Builder).Sigmoid)
	y, err := kernels.Reference(k, &kernels.Array[float32]{Shape: kernels.Shape{3}, Data: []float32{-1, 0, 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(y[0].Data)
	// Output: [0.26894143 0.5 0.7310586]
}
