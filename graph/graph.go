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
// Loss, errors and the derivatives by target and mu come from a run of a kernel each:
// Gorgonia's operations have one result. Of a loss with a gradient in TapeMachine, both
// derivatives are computed, also that which nobody has asked for.
package graph

import (
	"errors"
	"fmt"

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

// result is one of a kernel's.
type result struct {
	kernel *kernels.Kernel
	name   string
}

// cell is what the nodes of a cell are computed by. The derivatives are of loss; a
// cell without says why.
type cell struct {
	loss, errors, byTarget, byMu result
	noGradient                   string
}

var (
	gaussian = cell{
		loss:     result{kernels.Gaussian, "L"},
		errors:   result{kernels.Gaussian, "dmu"},
		byTarget: result{kernels.Gaussian, "dtarget"},
		byMu:     result{kernels.Gaussian, "dmu"},
	}
	mismatch = cell{
		loss:       result{kernels.Laplacian, "L"},
		errors:     result{kernels.Laplacian, "dmu"},
		noGradient: "the number of mismatches has no gradient; the loss of option L1 has one",
	}
	l1 = cell{
		loss:     result{kernels.LaplacianL1, "L"},
		errors:   result{kernels.LaplacianL1, "dmu"},
		byTarget: result{kernels.LaplacianL1, "dtarget"},
		byMu:     result{kernels.LaplacianL1, "dmu"},
	}
	probabilities = cell{
		loss:     result{kernels.Bernoulli, "L"},
		errors:   result{kernels.Bernoulli, "dp"},
		byTarget: result{kernels.Bernoulli, "dtarget"},
		byMu:     result{kernels.BernoulliOptions, "dp-probabilities"},
	}
	logits = cell{
		loss:     result{kernels.BernoulliLogits, "L"},
		errors:   result{kernels.BernoulliLogits, "dp"},
		byTarget: result{kernels.BernoulliLogits, "dtarget"},
		byMu:     result{kernels.BernoulliLogits, "dp"},
	}
)

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
	on := place{name: name, dev: dev, lender: lend.New(dev), like: like}
	errorsOp, err := on.newOp(c.errors, ofTwo)
	if err != nil {
		return fail(err)
	}
	errorsOp.noGradient = "the errors have no gradient; that of the loss is what they are for"
	lossOp, err := on.newOp(c.loss, ofLoss)
	if err != nil {
		return fail(err)
	}
	if lossOp.noGradient = c.noGradient; c.noGradient == "" {
		for i, r := range []result{c.byTarget, c.byMu} {
			if lossOp.by[i], err = on.newOp(r, ofGradient); err != nil {
				return fail(err)
			}
			lossOp.by[i].noGradient = "there is no second derivative"
		}
	}
	if errs, err = gorgonia.ApplyOp(errorsOp, target, mu); err != nil {
		return fail(err)
	}
	// LispMachine takes each root of a graph for a cost, and errors are none. As an
	// operand of the loss they are no root.
	if loss, err = gorgonia.ApplyOp(lossOp, target, mu, errs); err != nil {
		return fail(err)
	}
	return loss, errs, nil
}

// like is what the operands have in common.
type like struct {
	dtype tensor.Dtype
	dims  int
	shape tensor.Shape
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
		if !n.Shape().Eq(l.shape) {
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
