// Package graph has the error cells as operations of Gorgonia's graphs
// (gorgonia.org/gorgonia), which the kernels of package kernels compute on a device.
// For target and mu of one shape, (B x N) or any other, each cell gives two
// nodes, the log likelihood L, a scalar, and the errors, of the operands' shape:
//
//	cell                 L                             errors                        dL/dtarget
//	GaussianError        -sum((target-mu)^2)/2         target - mu                   -errors
//	LaplacianError       -(number of target != mu)     sign(target - mu)             none
//	LaplacianError, L1   -sum|target - mu|             sign(target - mu)             -errors
//	BernoulliError       sum(log(q)*target +           (target-q)/(q(1-q))*s(1-s)    log(q) - log(1-q)
//	                         log(1-q)*(1-target))
//	  ... Logits         the same                      target - q                    log(q) - log(1-q)
//
// q is mu, of logits sigmoid(mu), in both cases held within 0.0001 and 0.9999, and s
// is sigmoid(mu). L is at most 0, as in ngc-learn, and best at 0: a solver, which goes
// down, is given gorgonia.Neg(L).
//
// dL/dmu is what errors is, but for probabilities, where s(1-s), which ngc-learn has
// there, is no part of it. Where q is held, the derivatives are those at the bound,
// as ngc-learn has them, not 0. The mismatch count has no gradient, and errors have
// none either: asking for one is an error, not zeros.
//
// Graphs run in NewTapeMachine and NewLispMachine. In the latter, the gradient of
// each root of the graph is computed, so the mismatch count is for forward runs there.
// The device computes where the values are, if it can borrow the host's memory, else
// on copies. It must stay open as long as the graph is run.
//
// Loss and errors come from one run of the cell's kernel, as does dL/dtarget; for that,
// the graph has one node more, a vector of all. The gradient scales what is there, but
// of probabilities, whose dL/dmu is a run of its own. In TapeMachine both derivatives
// are computed, also that which nobody has asked for.
package graph

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/internal/lend"
	"errorcell/kernels"
)

// Option changes what a cell computes.
type Option uint8

const (
	// L1 is LaplacianError's loss -sum|target - mu|, which has a gradient, in place
	// of the number of mismatches.
	L1 Option = iota + 1
	// Logits says that BernoulliError's p is the logit of the probability.
	Logits
)

func (o Option) String() string {
	switch o {
	case L1:
		return "L1"
	case Logits:
		return "Logits"
	}
	return fmt.Sprintf("Option(%d)", uint8(o))
}

// cell is the kernel of a cell, whose results are errors, the derivative of the loss by
// target, dtarget, and the loss, L.
type cell struct {
	kernel     *kernels.Kernel
	errors     string
	byMu       *result // the derivative by mu; nil: it is what the errors are
	noGradient string  // why the loss has none
}

// result is one of a kernel's.
type result struct {
	kernel *kernels.Kernel
	name   string
}

var (
	gaussian = cell{kernel: kernels.Gaussian, errors: "dmu"}
	mismatch = cell{kernel: kernels.Laplacian, errors: "dmu",
		noGradient: "the number of mismatches has no gradient; the loss of option L1 has one"}
	l1            = cell{kernel: kernels.LaplacianL1, errors: "dmu"}
	probabilities = cell{kernel: kernels.Bernoulli, errors: "dp",
		byMu: &result{kernels.BernoulliOptions, "dp-probabilities"}}
	logits = cell{kernel: kernels.BernoulliLogits, errors: "dp"}
)

// scale is the chain rule: a derivative of the loss times the gradient of the loss.
var scale = kernels.Must(kernels.Define("scale", func(k *kernels.Builder) {
	k.Output("scaled", k.Mul(k.Input("derivative"), k.Input("gradient")))
}))

// GaussianError is the cell of the normal distribution of variance 1. Target and mu
// are (B x N), loss = -sum((target - mu)^2)/2 is a scalar, errors = target - mu is
// (B x N). It has no options.
func GaussianError(dev backend.Device, target, mu *gorgonia.Node, opts ...Option) (loss, errors *gorgonia.Node, err error) {
	return apply("GaussianError", map[Option]*cell{0: &gaussian}, dev, target, mu, opts)
}

// LaplacianError is the cell of the Laplace distribution of scale 1. Target and mu
// are (B x N), loss is a scalar, minus the number of elements where target is not mu
// or, with [L1], -sum|target - mu|; errors = sign(target - mu) is (B x N).
func LaplacianError(dev backend.Device, target, mu *gorgonia.Node, opts ...Option) (loss, errors *gorgonia.Node, err error) {
	return apply("LaplacianError", map[Option]*cell{0: &mismatch, L1: &l1}, dev, target, mu, opts)
}

// BernoulliError is the cell of targets that are 0 or 1. Target and p, the probability
// of 1 or, with [Logits], its logit, are (B x N),
// loss = sum(log(q)*target + log(1-q)*(1-target)) is a scalar, errors is (B x N): see
// the package's table.
func BernoulliError(dev backend.Device, target, p *gorgonia.Node, opts ...Option) (loss, errors *gorgonia.Node, err error) {
	return apply("BernoulliError", map[Option]*cell{0: &probabilities, Logits: &logits}, dev, target, p, opts)
}

func apply(name string, cells map[Option]*cell, dev backend.Device, target, mu *gorgonia.Node, opts []Option) (loss, errs *gorgonia.Node, err error) {
	fail := func(err error) (*gorgonia.Node, *gorgonia.Node, error) {
		return nil, nil, fmt.Errorf("graph: %s: %w", name, err)
	}
	var chosen Option
	for _, o := range opts {
		if o == 0 || cells[o] == nil {
			return fail(fmt.Errorf("it has no option %v", o))
		}
		chosen = o
	}
	c := cells[chosen]
	if dev == nil {
		return fail(fmt.Errorf("%w: an open device is wanted, such as backend.Open gives", backend.ErrForeign))
	}
	like, err := check(target, mu)
	if err != nil {
		return fail(err)
	}
	if loss, errs, err = c.nodes(place{cell: name, dev: dev, lender: lend.New(dev), like: like}, target, mu); err != nil {
		return fail(err)
	}
	return loss, errs, nil
}

func (c *cell) nodes(on place, target, mu *gorgonia.Node) (lossNode, errorsNode *gorgonia.Node, err error) {
	full := []kernels.Kind{kernels.Full, kernels.Full}
	results := []string{c.errors, "dtarget", "L"} // all, for which CPUs have a function of its own
	if c.noGradient != "" {
		results = []string{c.errors, "L"}
	}
	all, err := on.newRun(c.kernel, full, results...)
	if err != nil {
		return nil, nil, err
	}
	errorsOp := &part{op{on, "errors", "the errors have no gradient; that of the loss is what they are for"}, all.shape, 0}
	lossOp := &loss{op: op{on, "loss", c.noGradient}, vector: all.shape}
	if c.noGradient == "" {
		lossOp.dtarget = &part{op{on, "dtarget", noSecond}, all.shape, on.like.shape.TotalSize()}
		if lossOp.scale, err = on.newRun(scale, []kernels.Kind{kernels.Full, kernels.Scalar}, "scaled"); err != nil {
			return nil, nil, err
		}
	}
	if c.byMu != nil {
		// The gradient is the modulator, a factor of derivatives.
		if lossOp.byMu, err = on.newRun(c.byMu.kernel, append(full, kernels.Scalar), c.byMu.name); err != nil {
			return nil, nil, err
		}
	}
	vector, err := gorgonia.ApplyOp(all, target, mu)
	if err != nil {
		return nil, nil, err
	}
	if errorsNode, err = gorgonia.ApplyOp(errorsOp, vector); err != nil {
		return nil, nil, err
	}
	lossNode, err = gorgonia.ApplyOp(lossOp, target, mu, vector, errorsNode)
	return lossNode, errorsNode, err
}

// like is what the operands have in common.
type like struct {
	dtype tensor.Dtype
	dims  int
	shape tensor.Shape
}

func (l like) kernelType() kernels.DType {
	if l.dtype == tensor.Float32 {
		return kernels.F32
	}
	return kernels.F64
}

func check(target, mu *gorgonia.Node) (like, error) {
	nodes := []*gorgonia.Node{target, mu}
	var l like
	for i, n := range nodes {
		name := []string{"target", "the prediction"}[i]
		if n == nil {
			return l, fmt.Errorf("%w: %s is nil", backend.ErrOperands, name)
		}
		t, ok := n.Type().(gorgonia.TensorType)
		if !ok || t.Of != tensor.Float32 && t.Of != tensor.Float64 {
			return l, fmt.Errorf("%w: %s is of type %v, and tensors of float32 or float64 are wanted", backend.ErrDType, name, n.Type())
		}
		if i == 0 {
			l = like{t.Of.(tensor.Dtype), t.Dims, n.Shape().Clone()}
			continue
		}
		if t.Of != l.dtype {
			return l, fmt.Errorf("%w: target is of %v, %s of %v", backend.ErrDType, l.dtype, name, t.Of)
		}
		if !slices.Equal(n.Shape(), l.shape) { // Eq takes (3) and (3, 1) for one shape
			return l, fmt.Errorf("%w: target has shape %v, %s %v", backend.ErrShape, l.shape, name, n.Shape())
		}
	}
	if l.shape.TotalSize() == 0 || l.dims == 0 || l.dims != l.shape.Dims() {
		return l, fmt.Errorf("%w: tensors of known shape with elements are wanted, these have shape %v", backend.ErrShape, l.shape)
	}
	if target.Graph() != mu.Graph() && target.Graph() != nil && mu.Graph() != nil {
		return l, errors.New("target and the prediction are of two graphs")
	}
	return l, nil
}
