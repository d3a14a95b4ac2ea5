package kernels

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// The rate cell: a population of graded units that integrate a current. For a
// state z, a current j and a pressure from above j_td of shape (B x N), or
// broadcast to it, in the form of ngc-learn 3,
//
//	next-j = j * f'(z) * resist_scale
//	dz/dt  = (-leak(z)*gamma + (next-j + j_td)) * rate       rate is 1/tau_m
//	next-z = threshold(z + dz/dt*dt), or by the midpoint of the step
//	zF     = f(next-z) * output_scale
//
// and without a state, where tau_m is 0,
//
//	next-z = j + j_td
//	zF     = f(next-z) * output_scale
//
// rate is the operand, and not tau_m, because it is the same in every step: a
// division less. An activation f whose derivative is 1 leaves j as it is, unless
// there is a resist_scale: there is no next-j then.

// RateSpec says which rate cell a kernel is for. The names are ngc-learn's.
type RateSpec struct {
	Activation string // f: see Activations
	Prior      string // leak, of the prior over z: see Priors
	Threshold  string // see Thresholds
	Midpoint   bool   // the midpoint method and not Euler's
	Stateless  bool
	Resist     bool // there is a resist_scale
}

// activation is f and its derivative; without one, the derivative is 1.
type activation struct {
	f, df func(k *Builder, x Value) Value
}

// activations are those of ngc-learn's create_function that go element by
// element. softmax and bkwta look at all units of a pattern. sine is of 30*x: to
// be right for large numbers too, it would need the bits of 1/pi by the exponent,
// a table, which the operations do not have.
var activations = map[string]activation{
	"identity": {f: func(k *Builder, x Value) Value { return x }},
	"tanh": {
		f:  (*Builder).Tanh,
		df: (*Builder).tanhSlope,
	},
	"sigmoid": {
		f:  (*Builder).Sigmoid,
		df: (*Builder).sigmoidSlope,
	},
	"relu": {
		f:  func(k *Builder, x Value) Value { return k.Max(x, k.Const(0)) },
		df: func(k *Builder, x Value) Value { return k.Select(notBelow(k, x, 0), k.Const(1), k.Const(0)) },
	},
	"lrelu": {
		f: func(k *Builder, x Value) Value {
			return k.Select(notBelow(k, x, 0), x, k.Mul(x, k.Const(0.01)))
		},
		df: func(k *Builder, x Value) Value { return k.Select(notBelow(k, x, 0), k.Const(1), k.Const(0.01)) },
	},
	"relu6": {
		f: func(k *Builder, x Value) Value { return k.Min(k.Max(x, k.Const(0)), k.Const(6)) },
		df: func(k *Builder, x Value) Value {
			inside := k.And(notBelow(k, x, 0), k.LessEqual(x, k.Const(6)))
			return k.Select(inside, k.Const(1), k.Const(0))
		},
	},
	"elu": {
		f: func(k *Builder, x Value) Value {
			return k.Select(notBelow(k, x, 0), x, k.Sub(k.Exp(x), k.Const(1)))
		},
		df: func(k *Builder, x Value) Value { return k.Select(notBelow(k, x, 0), k.Const(1), k.Exp(x)) },
	},
	"silu": swish(1),
	"gelu": swish(1.702), // the usual approximation
	"telu": {
		f: func(k *Builder, x Value) Value { return k.Mul(x, k.Tanh(k.Exp(x))) },
		df: func(k *Builder, x Value) Value {
			e := k.Exp(x)
			slope := k.Mul(k.Mul(x, e), k.tanhSlope(e))
			// From 4 on, it is 0, of e beyond the largest number too.
			return k.Add(k.Tanh(e), k.Select(k.Less(x, k.Const(4)), slope, k.Const(0)))
		},
	},
	"softplus":       {f: (*Builder).Softplus, df: (*Builder).Sigmoid},
	"unit_threshold": {f: func(k *Builder, x Value) Value { return k.Select(notBelow(k, x, 1), k.Const(1), k.Const(0)) }},
	"heaviside":      {f: func(k *Builder, x Value) Value { return k.Select(notBelow(k, x, 0), k.Const(1), k.Const(0)) }},
}

// notBelow is x >= least.
func notBelow(k *Builder, x Value, least float64) Value { return k.LessEqual(k.Const(least), x) }

// swish is x*sigmoid(beta*x).
func swish(beta float64) activation {
	gate := func(k *Builder, x Value) Value { return k.Sigmoid(k.Mul(x, k.Const(beta))) }
	return activation{
		f: func(k *Builder, x Value) Value { return k.Mul(x, gate(k, x)) },
		df: func(k *Builder, x Value) Value {
			s := gate(k, x)
			return k.Add(s, k.Mul(k.Mul(x, k.Const(beta)), k.Mul(s, k.Sub(k.Const(1), s))))
		},
	}
}

// priors has the derivative of each prior's negative log density by z, up to a
// factor: that of the normal distribution, for one, is z.
var priors = map[string]func(k *Builder, z Value) Value{
	"gaussian":  func(k *Builder, z Value) Value { return z },
	"laplacian": (*Builder).Sign,
	"cauchy": func(k *Builder, z Value) Value {
		return k.Div(k.Mul(z, k.Const(2)), k.Add(k.Const(1), k.Mul(z, z)))
	},
	"exp": func(k *Builder, z Value) Value {
		return k.Mul(k.Mul(k.Exp(k.Neg(k.Mul(z, z))), z), k.Const(2))
	},
}

// thresholds has what is done to z after the integration, with a strength.
var thresholds = map[string]func(k *Builder, z, lambda Value) Value{
	"none": nil,
	"soft_threshold": func(k *Builder, z, lambda Value) Value {
		zero := k.Const(0)
		return k.Sub(k.Max(k.Sub(z, lambda), zero), k.Max(k.Sub(k.Neg(z), lambda), zero))
	},
	"cauchy_threshold": func(k *Builder, z, lambda Value) Value {
		root := k.Sqrt(k.Max(k.Sub(k.Mul(z, z), lambda), k.Const(0)))
		half, zero := k.Const(0.5), k.Const(0)
		// The comparisons are such that NaN stays.
		above := k.Select(k.Less(z, lambda), zero, k.Mul(k.Add(z, root), half))
		below := k.Select(k.Less(k.Neg(lambda), z), zero, k.Mul(k.Sub(z, root), half))
		return k.Add(above, below)
	},
}

// Activations, Priors and Thresholds list the names that a [RateSpec] can have.

// Activations are those of create_function that go element by element.
func Activations() []string { return slices.Sorted(maps.Keys(activations)) }

// Priors are the distributions that z can be drawn towards.
func Priors() []string { return slices.Sorted(maps.Keys(priors)) }

// Thresholds are what z can be shrunk by after the integration.
func Thresholds() []string { return slices.Sorted(maps.Keys(thresholds)) }

var (
	rateMutex   sync.Mutex
	rateKernels = map[RateSpec]*Kernel{}
)

// Rate is the kernel of a rate cell, the same for equal specs. Its operands are
// j, j_td (optional, 0) and, with a state, z, dt, rate, gamma, lambda if there is
// a threshold and resist_scale if there is one; and output_scale (optional, 1).
func Rate(spec RateSpec) (*Kernel, error) {
	for _, c := range []struct {
		what, name string
		known      []string
	}{
		{"activation", spec.Activation, Activations()},
		{"prior", spec.Prior, Priors()},
		{"threshold", spec.Threshold, Thresholds()},
	} {
		if !slices.Contains(c.known, c.name) {
			return nil, fmt.Errorf("there is no %s %q; there are: %s", c.what, c.name, strings.Join(c.known, ", "))
		}
	}
	if spec.Stateless {
		spec = RateSpec{Activation: spec.Activation, Stateless: true, Prior: "gaussian", Threshold: "none"} // what else there is has no effect
	}
	rateMutex.Lock()
	defer rateMutex.Unlock()
	if k := rateKernels[spec]; k != nil {
		return k, nil
	}
	k, err := Define(spec.name(), spec.define)
	if err == nil {
		rateKernels[spec] = k
	}
	return k, err
}

// name has what is not the default.
func (s RateSpec) name() string {
	parts := []string{"rate", s.Activation}
	if s.Stateless {
		return strings.Join(append(parts, "stateless"), "-")
	}
	if s.Prior != "gaussian" {
		parts = append(parts, s.Prior)
	}
	if s.Threshold != "none" {
		parts = append(parts, s.Threshold)
	}
	if s.Midpoint {
		parts = append(parts, "midpoint")
	}
	if s.Resist {
		parts = append(parts, "resist")
	}
	return strings.Join(parts, "-")
}

func (s RateSpec) define(k *Builder) {
	fx := activations[s.Activation]
	j, pressure := k.Input("j"), k.Optional("j_td", 0)
	var z Value
	if s.Stateless {
		z = k.Add(j, pressure)
	} else {
		z = s.integrate(k, fx, j, pressure)
	}
	k.Output("next-z", z)
	k.Output("zF", k.Mul(fx.f(k, z), k.Optional("output_scale", 1)))
}

func (s RateSpec) integrate(k *Builder, fx activation, j, pressure Value) Value {
	z, dt, rate, gamma := k.Input("z"), k.Input("dt"), k.Input("rate"), k.Input("gamma")
	if fx.df != nil {
		j = k.Mul(j, fx.df(k, z))
	}
	if s.Resist {
		j = k.Mul(j, k.Input("resist_scale"))
	}
	if fx.df != nil || s.Resist {
		k.Output("next-j", j)
	}
	drive := k.Add(j, pressure)
	leak := priors[s.Prior]
	slope := func(z Value) Value {
		return k.Mul(k.Add(k.Mul(k.Neg(leak(k, z)), gamma), drive), rate)
	}
	at := z
	if s.Midpoint {
		at = k.Add(z, k.Mul(slope(z), k.Mul(dt, k.Const(0.5))))
	}
	next := k.Add(z, k.Mul(slope(at), dt))
	if threshold := thresholds[s.Threshold]; threshold != nil {
		next = threshold(k, next, k.Input("lambda"))
	}
	return next
}

// MustRate is Rate for specs that are written down in a program.
func MustRate(spec RateSpec) *Kernel { return Must(Rate(spec)) }

// The command line does not step a rate cell, whose state goes on from step to
// step. These kernels stand for the others, which would take the tools long: the
// tests of package neurons have each activation, prior and threshold.
var _ = declare(Cell{
	Name: "rate",
	Kernels: []CellKernel{
		{Kernel: MustRate(RateSpec{Activation: "identity", Prior: "gaussian", Threshold: "none"}), Fused: integrated},
		{Kernel: MustRate(RateSpec{Activation: "tanh", Prior: "gaussian", Threshold: "none"}), Fused: integrated},
		{Kernel: MustRate(RateSpec{Activation: "sigmoid", Prior: "gaussian", Threshold: "none"}), Fused: integrated},
		{Kernel: MustRate(RateSpec{Activation: "relu", Prior: "gaussian", Threshold: "none"}), Fused: integrated},
	},
})

// integrated are the sets of a cell with and without a pressure from above.
var integrated = []Operands{
	{"dt": Scalar, "rate": Scalar, "gamma": Scalar},
	{"dt": Scalar, "rate": Scalar, "gamma": Scalar, "j_td": Full},
}
