// The rate cell's activations, priors, thresholds and steps against their
// formulas.

package kernels_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"errorcell/kernels"
)

// activation is what is known of one of kernels.Activations.
type activation struct {
	f  func(x float64) float64
	df func(x float64) float64 // ngc-learn's
	// kinks are where f has no derivative; estimated says that df is a
	// straight-through estimator, which is no derivative of f.
	kinks     []float64
	estimated bool
	// ulps and slopeUlps are the largest errors, in ulps of the true value or of
	// least and slopeLeast, if that is more: of 1, where terms cancel in ngc-learn's
	// formula.
	ulps, slopeUlps   float64
	least, slopeLeast float64
}

// flushed is the least of what is 0 where it is no normal number.
const flushed = 0x1p-126 / 0x1p-23

func one(float64) float64 { return 1 }

func sigmoid(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

func swish(beta float64) activation {
	return activation{
		f: func(x float64) float64 { return x * sigmoid(beta*x) },
		df: func(x float64) float64 {
			s := sigmoid(beta * x)
			if s == 0 || s == 1 {
				return s
			}
			return s + beta*x*s*sigmoid(-beta*x)
		},
		ulps: 2, least: 1, slopeUlps: 10, slopeLeast: 1,
	}
}

func step(at float64) activation {
	return activation{f: func(x float64) float64 { return indicator(x >= at) }, df: one, estimated: true}
}

func indicator(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

var activations = map[string]activation{
	"identity": {f: func(x float64) float64 { return x }, df: one},
	"tanh": {f: math.Tanh, df: func(x float64) float64 { return 4 * sigmoid(2*x) * sigmoid(-2*x) },
		ulps: 2, slopeUlps: 4, slopeLeast: flushed},
	"sigmoid": {f: sigmoid, df: func(x float64) float64 { return sigmoid(x) * sigmoid(-x) },
		ulps: 2, slopeUlps: 4, slopeLeast: flushed},
	"relu": {f: func(x float64) float64 { return max(x, 0) }, df: func(x float64) float64 { return indicator(x >= 0) }, kinks: []float64{0}},
	"lrelu": {
		f:     func(x float64) float64 { return max(x, 0) + 0.01*min(x, 0) },
		df:    func(x float64) float64 { return indicator(x >= 0) + 0.01*indicator(x < 0) },
		kinks: []float64{0}, ulps: 1, slopeUlps: 0.5,
	},
	"relu6": {
		f:     func(x float64) float64 { return min(max(x, 0), 6) },
		df:    func(x float64) float64 { return indicator(x >= 0 && x <= 6) },
		kinks: []float64{0, 6},
	},
	"elu": {
		f:     func(x float64) float64 { return max(x, 0) + math.Expm1(min(x, 0)) },
		df:    func(x float64) float64 { return math.Exp(min(x, 0)) },
		kinks: []float64{0}, ulps: 1, least: 1, slopeUlps: 1,
	},
	"silu": swish(1),
	"gelu": swish(1.702),
	"telu": {
		f: func(x float64) float64 { return x * math.Tanh(math.Exp(x)) },
		df: func(x float64) float64 {
			e := math.Exp(min(x, 5)) // beyond, it is 1
			c := math.Cosh(e)
			return math.Tanh(e) + min(x, 5)*e/(c*c)
		},
		ulps: 2, least: 1, slopeUlps: 2, slopeLeast: 1,
	},
	"softplus":       {f: func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, df: sigmoid, ulps: 2, slopeUlps: 2},
	"unit_threshold": step(1),
	"heaviside":      step(0),
}

// rateSpec is the cell of an activation that has nothing else.
func rateSpec(activation string) kernels.RateSpec {
	return kernels.RateSpec{Activation: activation, Prior: "gaussian", Threshold: "none"}
}

// results runs a rate cell, with scalars for the operands in the map that are
// one number, and gives the results by their names.
func results[T kernels.Float](t *testing.T, spec kernels.RateSpec, operands map[string][]T) map[string][]T {
	t.Helper()
	k, err := kernels.Rate(spec)
	if err != nil {
		t.Fatal(err)
	}
	inputs := make([]*kernels.Array[T], len(k.Inputs()))
	for i, in := range k.Inputs() {
		if x := operands[in.Name]; len(x) == 1 {
			inputs[i] = &kernels.Array[T]{Data: x}
		} else if x != nil {
			inputs[i] = &kernels.Array[T]{Shape: kernels.Shape{len(x)}, Data: x}
		}
	}
	arrays, err := kernels.Reference(k, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]T{}
	for i, a := range arrays {
		out[k.OutputName(i)] = a.Data
	}
	return out
}

// activate is f(x) and f'(x).
func activate[T kernels.Float](t *testing.T, name string, x []T) (y, slope []T) {
	t.Helper()
	spec := rateSpec(name)
	spec.Stateless = true
	y = results(t, spec, map[string][]T{"j": x})["zF"]
	slope = results(t, rateSpec(name), map[string][]T{"j": {1}, "z": x, "dt": {1}, "rate": {1}, "gamma": {0}})["next-j"]
	if slope == nil {
		slope = slices.Repeat([]T{1}, len(x))
	}
	return y, slope
}

// TestActivations holds each activation and its derivative to package math, with
// some of all float32 numbers. docs/numerics.md has the bounds.
func TestActivations(t *testing.T) {
	x := slices.DeleteFunc(arguments[float32](20_000), func(x float32) bool { return x-x != 0 })
	for _, name := range kernels.Activations() {
		t.Run(name, func(t *testing.T) {
			a, ok := activations[name]
			if !ok {
				t.Fatal("no formula is known")
			}
			y, slope := activate(t, name, x)
			check := func(what string, got []float32, want func(float64) float64, most, least float64) {
				worst := worse{}
				for i, g := range got {
					// Of a product with the largest numbers nothing is known.
					if w := want(float64(x[i])); math.Abs(float64(x[i])) < 1e38 {
						ulps := ulps32(g, w)
						if least > 0 {
							ulps = min(ulps, math.Abs(float64(g)-w)/(0x1p-23*least))
						}
						worst.note(float64(x[i]), ulps)
					}
				}
				t.Logf("%s: at most %.2f ulp, at %v", what, worst.ulps, worst.x)
				if !(worst.ulps <= most) {
					t.Errorf("%s: an error of %v ulp, at %v, more than %v", what, worst.ulps, worst.x, most)
				}
			}
			check("f", y, a.f, a.ulps, a.least)
			check("f'", slope, a.df, a.slopeUlps, a.slopeLeast)
		})
	}
	for name := range activations {
		if !slices.Contains(kernels.Activations(), name) {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestActivationsOfSpecialNumbers: NaN stays NaN but for steps, and no finite
// number makes one.
func TestActivationsOfSpecialNumbers(t *testing.T) {
	for name, a := range activations {
		y, slope := activate(t, name, []float64{nan, inf, 1e300, 800, -800, -1e300})
		if !math.IsNaN(y[0]) && !a.estimated {
			t.Errorf("%s(NaN) is %v", name, y[0])
		}
		for i, x := range []float64{inf, 1e300, 800, -800, -1e300} {
			if want := a.f(x); y[i+1] != want && math.Abs(y[i+1]-want) > 1e-12*math.Abs(want) {
				t.Errorf("%s(%v) is %v, want %v", name, x, y[i+1], want)
			}
			if i > 0 && math.Abs(slope[i+1]-a.df(x)) > 1e-12 {
				t.Errorf("%s'(%v) is %v, want %v", name, x, slope[i+1], a.df(x))
			}
		}
	}
}

// TestDerivatives compares each derivative with differences of the activation.
func TestDerivatives(t *testing.T) {
	const h = 1e-5
	var x, above, below []float64
	for i := range 400 {
		at := float64(i-200)/13 + 0.003
		x, above, below = append(x, at), append(above, at+h), append(below, at-h)
	}
	for name, a := range activations {
		if a.estimated {
			continue
		}
		_, slope := activate(t, name, x)
		high, _ := activate(t, name, above)
		low, _ := activate(t, name, below)
		for i, at := range x {
			if slices.ContainsFunc(a.kinks, func(kink float64) bool { return math.Abs(at-kink) <= h }) {
				continue
			}
			if want := (high[i] - low[i]) / (2 * h); math.Abs(slope[i]-want) > 1e-8 {
				t.Errorf("%s'(%v) is %v, differences say %v", name, at, slope[i], want)
			}
		}
	}
}

// TestPriors compares each leak with differences of minus the log density.
func TestPriors(t *testing.T) {
	densities := map[string]func(z float64) float64{
		"gaussian":  func(z float64) float64 { return z * z / 2 },
		"laplacian": math.Abs,
		"cauchy":    func(z float64) float64 { return math.Log1p(z * z) },
		"exp":       func(z float64) float64 { return -math.Exp(-z * z) },
	}
	const h = 1e-5
	z := []float64{-7, -1.5, -0.25, 0.125, 0.5, 2, 30}
	for _, name := range kernels.Priors() {
		spec := rateSpec("identity")
		spec.Prior = name
		next := results(t, spec, map[string][]float64{"j": {0}, "z": z, "dt": {1}, "rate": {1}, "gamma": {1}})["next-z"]
		for i, z := range z {
			if got, want := z-next[i], (densities[name](z+h)-densities[name](z-h))/(2*h); math.Abs(got-want) > 1e-8*max(1, math.Abs(z)) {
				t.Errorf("the leak of %s at %v is %v, differences say %v", name, z, got, want)
			}
		}
	}
}

// TestThresholds compares with the formulas, which the sources that ngc-learn
// names have.
func TestThresholds(t *testing.T) {
	z := []float64{-3, -1, -0.6, -0.5, -0.25, 0, 0.25, 0.5, 0.6, 1, 3}
	formulas := map[string]func(z, lambda float64) float64{
		"none": func(z, _ float64) float64 { return z },
		"soft_threshold": func(z, lambda float64) float64 {
			return math.Copysign(max(math.Abs(z)-lambda, 0), z)
		},
		"cauchy_threshold": func(z, lambda float64) float64 {
			if math.Abs(z) < lambda {
				return 0
			}
			return (z + math.Copysign(math.Sqrt(max(z*z-lambda, 0)), z)) / 2
		},
	}
	for _, name := range kernels.Thresholds() {
		spec := rateSpec("identity")
		spec.Threshold = name
		for _, lambda := range []float64{0, 0.5, 1} {
			next := results(t, spec, map[string][]float64{"j": {0}, "z": append(z, nan), "dt": {1}, "rate": {1}, "gamma": {0}, "lambda": {lambda}})["next-z"]
			for i, z := range z {
				if want := formulas[name](z, lambda); next[i] != want {
					t.Errorf("%s of %v by %v is %v, want %v", name, z, lambda, next[i], want)
				}
			}
			if !math.IsNaN(next[len(z)]) {
				t.Errorf("%s of NaN by %v is %v", name, lambda, next[len(z)])
			}
		}
	}
}

// TestRateFormula takes steps by hand: all numbers are multiples of powers of
// two.
func TestRateFormula(t *testing.T) {
	operands := map[string][]float32{"j": {8, 8}, "j_td": {1, 2}, "z": {2, -2}, "dt": {0.5}, "rate": {0.25}, "gamma": {0.5},
		"lambda": {0.25}, "resist_scale": {0.5}, "output_scale": {4}}
	for _, c := range []struct {
		spec         kernels.RateSpec
		next, z, out []float32
	}{
		// dz/dt is (-2*0.5 + (8+1))/4 and (2*0.5 + (8+2))/4.
		{rateSpec("identity"), nil, []float32{3, -0.625}, []float32{12, -2.5}},
		// j is 8 and 0: dz/dt is 2 and (1 + 2)/4.
		{rateSpec("relu"), []float32{8, 0}, []float32{3, -1.625}, []float32{12, 0}},
		// j is 4: dz/dt is (-1 + 5)/4 and (1 + 6)/4.
		{kernels.RateSpec{Activation: "identity", Prior: "gaussian", Threshold: "none", Resist: true}, []float32{4, 4}, []float32{2.5, -1.125}, []float32{10, -4.5}},
		{kernels.RateSpec{Activation: "identity", Prior: "laplacian", Threshold: "soft_threshold"}, nil, []float32{2.8125, -0.4375}, []float32{11.25, -1.75}},
		// Of the midpoints 2.5 and -1.3125: (-1.25 + 9)/4 and (0.65625 + 10)/4.
		{kernels.RateSpec{Activation: "identity", Prior: "gaussian", Threshold: "none", Midpoint: true}, nil, []float32{2.96875, -0.66796875}, []float32{11.875, -2.671875}},
		{kernels.RateSpec{Activation: "relu", Stateless: true, Prior: "gaussian", Threshold: "none"}, nil, []float32{9, 10}, []float32{36, 40}},
	} {
		got := results(t, c.spec, operands)
		for name, want := range map[string][]float32{"next-j": c.next, "next-z": c.z, "zF": c.out} {
			if !slices.Equal(got[name], want) {
				t.Errorf("%+v: %s is %v, want %v", c.spec, name, got[name], want)
			}
		}
	}
}

// TestOrderOfIntegration: half the step has a quarter of Euler's error in a
// step, and an eighth of the midpoint's.
func TestOrderOfIntegration(t *testing.T) {
	for midpoint, want := range map[bool]float64{false: 4, true: 8} {
		spec := rateSpec("identity")
		spec.Midpoint = midpoint
		miss := func(dt float64) float64 {
			got := results(t, spec, map[string][]float64{"j": {1}, "z": {3}, "dt": {dt}, "rate": {0.5}, "gamma": {2}})["next-z"][0]
			return got - (0.5 + 2.5*math.Exp(-dt)) // dz/dt is (1 - 2z)/2
		}
		if got := miss(0.01) / miss(0.005); math.Abs(got-want) > 0.05 {
			t.Errorf("midpoint %v: half the step has an error %v times as small, want %v", midpoint, got, want)
		}
	}
}

// TestRateSpecs: equal specs have one kernel, by which devices know what they
// have compiled, and a name that there is not is an error that lists what there
// is.
func TestRateSpecs(t *testing.T) {
	spec := kernels.RateSpec{Activation: "tanh", Prior: "cauchy", Threshold: "none", Midpoint: true}
	first, again := kernels.MustRate(spec), kernels.MustRate(spec)
	if first != again {
		t.Error("equal specs have two kernels")
	}
	stateless := spec
	stateless.Stateless = true
	if kernels.MustRate(stateless) != kernels.MustRate(kernels.RateSpec{Activation: "tanh", Stateless: true, Prior: "exp", Threshold: "soft_threshold"}) {
		t.Error("without a state, what has no effect makes another kernel")
	}
	for _, c := range []struct {
		spec  kernels.RateSpec
		words string
	}{
		{kernels.RateSpec{Activation: "softmax", Prior: "gaussian", Threshold: "none"}, `no activation "softmax"; there are: elu, gelu, heaviside,`},
		{kernels.RateSpec{Activation: "tanh", Prior: "normal", Threshold: "none"}, `no prior "normal"; there are: cauchy, exp, gaussian, laplacian`},
		{kernels.RateSpec{Activation: "tanh", Prior: "gaussian"}, `no threshold ""; there are: cauchy_threshold, none, soft_threshold`},
	} {
		if _, err := kernels.Rate(c.spec); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: %v, want %s", c.spec, err, c.words)
		}
	}
}
