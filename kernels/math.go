package kernels

import (
	"math"
	"slices"
)

// The functions of mathematics, made of operations: so they have the same bits
// on every device, as all that is made of these has. Each is within 2 ulp of the
// true value (docs/numerics.md has a table), has no branch, and takes the special
// cases by clamping and by Select. Only the numbers that a polynomial of a type's
// precision needs differ between float32 and float64 (ByType).
//
// The coefficients are minimax: Remez's exchange in 60 digits, weighted so that
// what is least is the largest error relative to the function's value. The
// comments have the error so reached, before any rounding.

// Exp is e^x: 0 for -Inf, and rounded once where it is subnormal.
func (b *Builder) Exp(x Value) Value {
	n, y := b.expParts(b.clamp(x), 1)
	return b.Mul(b.Mul(b.Add(y, b.Const(1)), b.pow2Half(n, 0.25)), b.pow2Half(n, -0.25))
}

// Log is the natural logarithm: -Inf for zeros, NaN for what is less.
func (b *Builder) Log(x Value) Value {
	zero, one, inf := b.Const(0), b.Const(1), b.Const(math.Inf(1))
	// x = 2^n * (1 + f) with 1 + f between the roots of 1/2 and 2. Numbers below 1
	// are taken 2^64 times, so that none is subnormal; and n is sought as e + 2,
	// so that 2^-e is a normal number whatever x is.
	small := b.Less(x, one)
	scaled := b.Select(small, b.Mul(x, b.Const(0x1p64)), x)
	e := b.Exponent(b.Mul(scaled, b.Const(math.Sqrt2/4)))
	n := b.Add(e, b.Select(small, b.Const(2-64), b.Const(2)))
	f := b.Fma(b.Mul(scaled, b.Pow2(b.Neg(e))), b.Const(0.25), b.Const(-1))
	y := b.log1p(f, n)
	special := b.Select(b.Equal(x, zero), b.Neg(inf), b.Fma(x, inf, inf))
	return b.Select(b.And(b.Less(zero, x), b.Less(x, inf)), y, special)
}

// Tanh is the hyperbolic tangent.
func (b *Builder) Tanh(x Value) Value {
	// With e = e^(-2|x|) = s*(1-2y) it is (1-e)/(1+e), of which both are halved.
	a := b.Min(b.Abs(x), b.Const(22)) // beyond, it is 1
	n, y := b.expParts(a, -2)
	s, half := b.Pow2(n), b.Const(0.5)
	less := b.Fma(s, y, b.Fma(s, b.Const(-0.5), half))
	more := b.Fma(b.Neg(s), y, b.Fma(s, half, half))
	// The sign is that of x, also of zero.
	return b.Mul(b.Sign(x), b.Div(less, more))
}

// Sigmoid is the logistic function, 1/(1 + e^-x).
func (b *Builder) Sigmoid(x Value) Value {
	// With e^-x = s*t*(1+y), s and t being powers of two, it is u/(u + s + s*y),
	// where u is 1/t: of large numbers too, which e^-x would not be.
	n, y := b.expParts(b.clamp(b.Neg(x)), 1)
	s, u := b.pow2Half(n, 0.25), b.Pow2(b.Fma(n, b.Const(-0.5), b.Const(0.25)))
	sum := b.Add(s, u)
	rest := b.Sub(u, b.Sub(sum, s)) // of u, not in the sum
	return b.Div(u, b.Add(sum, b.Fma(s, y, rest)))
}

// sigmoidSlope is the derivative of Sigmoid, e/(1+e)^2 with e = e^-|x|: s*(1-s)
// has no bits left where s is near 1.
func (b *Builder) sigmoidSlope(x Value) Value {
	e := b.expWithin(b.Neg(b.Min(b.Abs(x), b.Const(1000))))
	d := b.Add(e, b.Const(1))
	return b.Div(e, b.Mul(d, d))
}

// tanhSlope is the derivative of Tanh, which is 2*sigmoid(2x) - 1.
func (b *Builder) tanhSlope(x Value) Value {
	return b.Mul(b.sigmoidSlope(b.Mul(x, b.Const(2))), b.Const(4))
}

// Softplus is log(1 + e^x).
func (b *Builder) Softplus(x Value) Value {
	// It is max(x, 0) + log(1+e) with e = e^-|x| = s*(1-y), of which rest is what
	// the type has no bits for.
	n, y := b.expParts(b.clampAbs(x), -1)
	s := b.Mul(b.pow2Half(n, 0.25), b.pow2Half(n, -0.25))
	minus := b.Neg(s)
	e := b.Fma(minus, y, s)
	rest := b.Fma(minus, y, b.Sub(s, e))
	return b.Add(b.Max(x, b.Const(0)), b.log1pOfUnit(e, rest))
}

// Erf is the error function.
func (b *Builder) Erf(x Value) Value {
	// erf|x| = 1 - e^-p, where p = -log(1 - erf|x|) is near a polynomial, the first
	// term of which is apart: most of p has a rounding less. Where the polynomials
	// end, it is 1.
	a := b.Min(b.Abs(x), b.ByType(b.Const(4), b.Const(5.95)))
	p := b.Fma(a, b.Const(2/math.SqrtPi), b.Mul(a, b.polynomial(a, erf32, erf64)))
	n, y := b.expParts(p, -1)
	s := b.Pow2(n)
	// The sign is that of x, also of zero.
	return b.Mul(b.Sign(x), b.Fma(s, y, b.Sub(b.Const(1), s)))
}

// clamp keeps x, or takes the next number for which e^x is as much as 0 and
// +Inf: of that, all parts are finite.
func (b *Builder) clamp(x Value) Value {
	return b.Min(b.Max(x, b.mostExponent(-1)), b.mostExponent(1))
}

// clampAbs is |x| or, if that is more, a number for which e^-x is as much as 0.
func (b *Builder) clampAbs(x Value) Value { return b.Min(b.Abs(x), b.mostExponent(1)) }

func (b *Builder) mostExponent(sign float64) Value {
	return b.ByType(b.Const(sign*104), b.Const(sign*746))
}

// expParts gives a whole number n and y, with e^(k*x) = 2^n * (1 + k*y), for a k
// that is a power of two or the negative of one.
func (b *Builder) expParts(x Value, k float64) (n, y Value) {
	n = b.round(x, k*math.Log2E)
	// log 2 in two parts: n times the one is exact, and so is what it leaves of x.
	high := b.ByType(b.Const(-0x1.62e4p-1/k), b.Const(-0x1.62e42fefa38p-1/k))
	low := b.ByType(b.Const(-1.4286068203094172e-6/k), b.Const(-5.4979230187083711747e-14/k))
	r := b.Fma(n, low, b.Fma(n, high, x))
	square := b.Mul(r, r)
	return n, b.Fma(square, b.ByType(b.halves(r, square, powers(exp32, k)), b.halves(r, square, powers(exp64, k))), r)
}

// powers are the coefficients times k, k^2 and so on.
func powers(c []float64, k float64) []float64 {
	scaled, power := slices.Clone(c), 1.0
	for i := range scaled {
		power *= k
		scaled[i] *= power
	}
	return scaled
}

// pow2Half is the square root of 2^n or, for an odd n, one of two powers of two
// next to it: that above for an offset of 1/4, that below for -1/4. Their
// product is 2^n, also where that is no normal number.
func (b *Builder) pow2Half(n Value, offset float64) Value {
	return b.Pow2(b.Fma(n, b.Const(0.5), b.Const(offset)))
}

// expWithin is e^x, or 0 where it is no normal number, of an x that is not much
// farther from 0 than that.
func (b *Builder) expWithin(x Value) Value {
	n, y := b.expParts(x, 1)
	s := b.Pow2(n)
	return b.Fma(s, y, s)
}

// log1pOfUnit is log(1+e) for an e from 0 to 1, plus a rest below the last bit, if
// there is one.
func (b *Builder) log1pOfUnit(e Value, rest ...Value) Value {
	// Where 1+e is more than the root of 2, it is taken as 2(1+f); f is exact either
	// way.
	large := b.Less(b.Const(math.Sqrt2-1), e)
	f := b.Select(large, b.Fma(e, b.Const(0.5), b.Const(-0.5)), e)
	return b.log1p(f, b.Select(large, b.Const(1), b.Const(0)), rest...)
}

// logWithin is Log of what is no number or far from the least and the greatest
// normal number above 0, so that no case is special.
func (b *Builder) logWithin(x Value) Value {
	n := b.Exponent(b.Mul(x, b.Const(math.Sqrt2)))
	f := b.Fma(x, b.Pow2(b.Neg(n)), b.Const(-1))
	return b.log1p(f, n)
}

// log1p is n*log 2 + log(1+f), for 1+f between the roots of 1/2 and 2, plus a rest
// below the last bit, if there is one.
func (b *Builder) log1p(f, n Value, rest ...Value) Value {
	// f itself, which is exact, is most of log(1+f), and f*f/2 of what is left.
	z := b.Mul(f, f)
	// In float32 a polynomial is as short as a division. What log 2 has beyond the
	// type is a fiftieth of an ulp.
	short := b.halves(f, z, log32)
	// In float64, with s = f/(2+f), log(1+f) is 2*atanh(s) = f - (h - s*(h+R)), h
	// being f*f/2.
	s := b.Div(f, b.Add(f, b.Const(2)))
	h := b.Mul(z, b.Const(0.5))
	r := b.Mul(s, s)
	low := b.Const(2.3190468138462996155e-17)
	if len(rest) > 0 {
		short, low = b.Add(f, b.Fma(z, short, rest[0])), b.Fma(n, low, rest[0])
	} else {
		short, low = b.Fma(z, short, f), b.Mul(n, low)
	}
	t := b.Fma(s, b.Fma(r, b.horner(r, log64), h), low)
	long := b.Sub(f, b.Sub(h, t))
	return b.Fma(n, b.Const(math.Ln2), b.ByType(short, long))
}

// round is x*factor rounded to a whole number, for a product that is small beside
// the constants.
func (b *Builder) round(x Value, factor float64) Value {
	whole := b.ByType(b.Const(0x1.8p23), b.Const(0x1.8p52))
	return b.Sub(b.Fma(x, b.Const(factor), whole), whole)
}

// polynomial is c[0] + c[1]*x + ..., of the coefficients for the type.
func (b *Builder) polynomial(x Value, f32, f64 []float64) Value {
	return b.ByType(b.horner(x, f32), b.horner(x, f64))
}

func (b *Builder) horner(x Value, c []float64) Value {
	y := b.Const(c[len(c)-1])
	for i := len(c) - 2; i >= 0; i-- {
		y = b.Fma(y, x, b.Const(c[i]))
	}
	return y
}

// halves is the polynomial with as many operations, given the square of x: the
// even and the odd powers apart, so that half of them wait for the other half.
func (b *Builder) halves(x, square Value, c []float64) Value {
	var half [2][]float64
	for i, a := range c {
		half[i%2] = append(half[i%2], a)
	}
	return b.Fma(b.horner(square, half[1]), x, b.horner(square, half[0]))
}

var (
	// (e^r - 1 - r)/r^2 for |r| < 0.3467, a little more than half of log 2: to 2^-32.0
	// and 2^-61.7 of e^r - 1.
	exp32 = []float64{
		0.5000000046, 0.1666666682, 0.04166635435, 8.333272818e-3,
		1.394103576e-3, 1.991428761e-4,
	}
	exp64 = []float64{
		0.5, 0.166666666666666766, 0.0416666666666667014, 8.33333333332159016e-3,
		1.38888888888668071e-3, 1.98412698862315755e-4, 2.48015873606197424e-5, 2.75572441009601763e-6,
		2.75572427047363221e-7, 2.510907550120669e-8, 2.09244602571893347e-9,
	}

	// (log(1+f) - f)/f^2, for 1+f between the roots of 1/2 and 2, where the first is
	// given: to 2^-27.3 of log(1+f).
	log32 = []float64{
		-0.5, 0.3333333171, -0.2500082103, 0.2000122689,
		-0.1662335738, 0.1420175781, -0.1316018186, 0.1276157817,
		-0.07634499339,
	}
	// (2*atanh(s)/s - 2)/z, z being s^2, for z < 0.0296, which is s of the root of
	// 2: to 2^-59.4 of log(1+f).
	log64 = []float64{
		0.666666666666673712, 0.39999999999394611, 0.285714287472724313, 0.222221980319003269,
		0.181835944028276079, 0.153132340851700474, 0.148045652414870283,
	}

	// -log(1 - erf(a))/a, less 2/sqrt(pi) as the type has it, for a < 4 and
	// a < 5.95: to 2^-31.2 and 2^-57.5 of erf(a).
	erf32 = []float64{
		-5.910296116e-8, 0.6366198346, 0.1027712773, -0.01911769528,
		-2.530601835e-4, 1.799352818e-3, -7.406851956e-4, 1.674806824e-4,
		-2.135453824e-5, 1.193294154e-6,
	}
	erf64 = []float64{
		9.74852898272372406e-18, 0.636619772367583609, 0.102772603301788777, -0.0191284470050707175,
		-2.09194694837836218e-4, 1.6962063857095926e-3, -5.90125552711258198e-4, 2.58786036032200277e-5,
		6.44918627297692166e-5, -2.97240501799024184e-5, 3.40727218672420915e-6, 2.83513159970365575e-6,
		-1.74153890240015225e-6, 3.36358096694581089e-7, 1.37185972763413258e-7, -1.41763718611456135e-7,
		6.57341284004008939e-8, -2.09628379244287113e-8, 4.99774833019836146e-9, -9.0823129282413524e-10,
		1.24842343981999186e-10, -1.26111664092736532e-11, 8.84572213605109249e-13, -3.85060800374634543e-14,
		7.83439538007923652e-16,
	}
)
