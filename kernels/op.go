package kernels

import (
	"math"
)

// Op is an operation of the kernel language.
type Op uint8

// The operations. Arithmetic is IEEE 754, round to nearest even, in the
// kernel's DType.
const (
	OpInput   Op = iota // an operand
	OpConst             // a constant, rounded to the kernel's DType
	OpReduced           // in a Plan only: the result of a sum of an earlier pass

	OpNeg  // -x
	OpAbs  // |x|
	OpSign // -1, 0 or +1; the sign of zero and NaN are kept
	OpSqrt // square root, correctly rounded

	OpPow2     // 2^n for x rounded to the whole number n; +0 and +Inf where that is no normal number
	OpExponent // the exponent of |x| as its bits have it: see exponent

	OpAdd // x + y
	OpSub // x - y
	OpMul // x * y
	OpDiv // x / y
	OpMin // IEEE 754-2019 minimum: NaN if either is, -0 below +0
	OpMax // IEEE 754-2019 maximum: NaN if either is, -0 below +0
	OpFma // x*y + z, rounded once

	OpLess      // x < y; false with NaN
	OpLessEqual // x <= y; false with NaN
	OpEqual     // x == y; false with NaN; -0 equals +0
	OpNot       // logical not
	OpAnd       // logical and
	OpOr        // logical or
	OpSelect    // x if c, else y

	OpSum // sum over an Axis by the fixed tree

	OpByType // x in float32, y in float64; a Plan has only the one

	numOps
)

// opInfo is what the checks, the interpreter and the formula need to know of
// an operation. Its zero function fields mean "not elementwise".
type opInfo struct {
	name   string
	args   []Type                 // what each argument must be
	result func(args []Type) Type // the type of the result
	f32    function[float32]
	f64    function[float64]
}

// function is an elementwise operation, of one element of each argument and of
// many: a call for each element costs more than most operations do. Of many, an
// argument has as many elements as v, or one for all.
type function[T Float] struct {
	one  func(a [3]T) T
	each func(v []T, a [3][]T)
}

func function1[T Float](f func(x T) T) function[T] {
	return function[T]{
		func(a [3]T) T { return f(a[0]) },
		func(v []T, a [3][]T) {
			x := a[0]
			for i := range v {
				v[i] = f(x[min(i, len(x)-1)])
			}
		}}
}

func function2[T Float](f func(x, y T) T) function[T] {
	return function[T]{
		func(a [3]T) T { return f(a[0], a[1]) },
		func(v []T, a [3][]T) {
			x, y := a[0], a[1]
			for i := range v {
				v[i] = f(x[min(i, len(x)-1)], y[min(i, len(y)-1)])
			}
		}}
}

func function3[T Float](f func(x, y, z T) T) function[T] {
	return function[T]{
		func(a [3]T) T { return f(a[0], a[1], a[2]) },
		func(v []T, a [3][]T) {
			x, y, z := a[0], a[1], a[2]
			for i := range v {
				v[i] = f(x[min(i, len(x)-1)], y[min(i, len(y)-1)], z[min(i, len(z)-1)])
			}
		}}
}

func always(t Type) func([]Type) Type { return func([]Type) Type { return t } }

// ternaryIfAll is the result type of operations under which {-1, 0, +1, NaN}
// is closed.
func ternaryIfAll(args []Type) Type {
	for _, t := range args {
		if t == Real {
			return Real
		}
	}
	return Ternary
}

var (
	oneReal  = []Type{Real}
	twoReal  = []Type{Real, Real}
	twoBools = []Type{Bool, Bool}
)

// ops is the language. Bools travel through the interpreter as 0 and 1.
//
// Each product is converted before it is used: Go may fuse x*y+z on some
// machines unless the product is rounded explicitly.
var ops = [numOps]opInfo{
	OpInput:   {name: "input"},
	OpConst:   {name: "const"},
	OpReduced: {name: "reduced"},

	OpNeg:  unary("neg", ternaryIfAll, func(x float32) float32 { return -x }, func(x float64) float64 { return -x }),
	OpAbs:  unary("abs", ternaryIfAll, abs32, math.Abs),
	OpSign: unary("sign", always(Ternary), sign[float32], sign[float64]),
	OpSqrt: unary("sqrt", always(Real), func(x float32) float32 { return float32(math.Sqrt(float64(x))) }, math.Sqrt),

	OpPow2:     unary("pow2", always(Real), func(x float32) float32 { return float32(pow2(float64(x), -126, 127)) }, func(x float64) float64 { return pow2(x, -1022, 1023) }),
	OpExponent: unary("exponent", always(Real), func(x float32) float32 { return float32(exponent(float64(x), -126, 127)) }, func(x float64) float64 { return exponent(x, -1022, 1023) }),

	OpAdd: binary("add", always(Real), func(x, y float32) float32 { return x + y }, func(x, y float64) float64 { return x + y }),
	OpSub: binary("sub", always(Real), func(x, y float32) float32 { return x - y }, func(x, y float64) float64 { return x - y }),
	OpMul: binary("mul", ternaryIfAll, func(x, y float32) float32 { return float32(x * y) }, func(x, y float64) float64 { return float64(x * y) }),
	OpDiv: binary("div", always(Real), func(x, y float32) float32 { return x / y }, func(x, y float64) float64 { return x / y }),
	OpMin: binary("min", ternaryIfAll, func(x, y float32) float32 { return min(x, y) }, func(x, y float64) float64 { return min(x, y) }),
	OpMax: binary("max", ternaryIfAll, func(x, y float32) float32 { return max(x, y) }, func(x, y float64) float64 { return max(x, y) }),
	OpFma: {
		name: "fma", args: []Type{Real, Real, Real}, result: always(Real),
		f32: function3(fma32),
		f64: function3(func(x, y, z float64) float64 { return math.FMA(x, y, z) }), // named, it would be the one in plain Go
	},

	OpLess:      compare("less", func(x, y float64) bool { return x < y }),
	OpLessEqual: compare("less_equal", func(x, y float64) bool { return x <= y }),
	OpEqual:     compare("equal", func(x, y float64) bool { return x == y }),
	OpNot: {
		name: "not", args: []Type{Bool}, result: always(Bool),
		f32: function1(func(x float32) float32 { return choose[float32](x != 0, 0, 1) }),
		f64: function1(func(x float64) float64 { return choose[float64](x != 0, 0, 1) }),
	},
	OpAnd: logical("and", func(x, y bool) bool { return x && y }),
	OpOr:  logical("or", func(x, y bool) bool { return x || y }),
	OpSelect: {
		name: "select", args: []Type{Bool, Real, Real},
		result: func(args []Type) Type { return ternaryIfAll(args[1:]) },
		f32:    function3(func(c, x, y float32) float32 { return choose(c != 0, x, y) }),
		f64:    function3(func(c, x, y float64) float64 { return choose(c != 0, x, y) }),
	},

	OpSum: {name: "sum", args: oneReal, result: always(Real)},

	OpByType: {name: "by_type", args: twoReal, result: ternaryIfAll},
}

func unary(name string, result func([]Type) Type, f32 func(float32) float32, f64 func(float64) float64) opInfo {
	return opInfo{name: name, args: oneReal, result: result, f32: function1(f32), f64: function1(f64)}
}

func binary(name string, result func([]Type) Type, f32 func(x, y float32) float32, f64 func(x, y float64) float64) opInfo {
	return opInfo{name: name, args: twoReal, result: result, f32: function2(f32), f64: function2(f64)}
}

// compare needs one function: float32 values compare as they do in float64.
func compare(name string, f func(x, y float64) bool) opInfo {
	return opInfo{name: name, args: twoReal, result: always(Bool),
		f32: function2(func(x, y float32) float32 { return choose[float32](f(float64(x), float64(y)), 1, 0) }),
		f64: function2(func(x, y float64) float64 { return choose[float64](f(x, y), 1, 0) })}
}

func logical(name string, f func(x, y bool) bool) opInfo {
	return opInfo{name: name, args: twoBools, result: always(Bool),
		f32: function2(func(x, y float32) float32 { return choose[float32](f(x != 0, y != 0), 1, 0) }),
		f64: function2(func(x, y float64) float64 { return choose[float64](f(x != 0, y != 0), 1, 0) })}
}

// String returns the operation's name.
func (o Op) String() string { return ops[o].name }

// Arity is the number of arguments of the operation.
func (o Op) Arity() int { return len(ops[o].args) }

// Elementwise reports whether the operation computes each element from the
// same element of its arguments.
func (o Op) Elementwise() bool { return ops[o].f32.one != nil }

func choose[T Float](c bool, x, y T) T {
	if c {
		return x
	}
	return y
}

func sign[T Float](x T) T {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // a zero keeps its sign, NaN stays NaN
}

// pow2 is the power of two next to 2^x, by the exponent: x is rounded to the
// nearest whole number, to the even one of two. Exponents below the least of a
// type's normal numbers give +0, those above the most +Inf.
func pow2(x float64, least, most int) float64 {
	switch n := math.RoundToEven(x); {
	case n != n:
		return n
	case n < float64(least):
		return 0
	case n > float64(most):
		return math.Inf(1)
	default:
		return math.Ldexp(1, int(n))
	}
}

// exponent is the whole number e for which 2^e <= |x| < 2^(e+1), where x is a
// normal number. Zero and subnormals have one less than the least of normal
// numbers, infinities one more than the most, as if they were powers of two
// next to those; NaN stays NaN.
func exponent(x float64, least, most int) float64 {
	switch _, e := math.Frexp(x); {
	case x != x:
		return x
	case math.IsInf(x, 0):
		return float64(most + 1)
	case x == 0:
		return float64(least - 1)
	default:
		return float64(max(e-1, least-1))
	}
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// fma32 returns x*y + z rounded once to float32.
//
// The product of two float32 values is exact in float64, the sum is not, and
// rounding it twice (to float64, then to float32) can be wrong in the last
// bit. So the sum is rounded to odd: when it was inexact its last bit is set,
// which tells the second rounding on which side of a tie it stands.
func fma32(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z) // exact, so that fusing it into a sum changes nothing
	s := p + c
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return float32(s)
	}
	// Knuth's TwoSum: s + err is p + c exactly.
	t := s - p
	err := (p - (s - t)) + (c - t)
	if bits := math.Float64bits(s); err != 0 && bits&1 == 0 {
		// Move one step towards the exact sum, which makes the last bit odd.
		if (err > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}
