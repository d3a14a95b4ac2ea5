package neurons

import (
	"fmt"

	"errorcell/kernels"
)

// Loss is the meaning of a Laplacian cell's compartment L.
type Loss uint8

const (
	// Mismatch is what ngc-learn computes: minus the number of units of the
	// batch whose target and prediction differ.
	Mismatch Loss = iota
	// L1 is what ngc-learn documents: -||target - mu||_1, the log likelihood of
	// the Laplace distribution with unit scale, up to a constant.
	L1
)

var losses = [...]struct {
	name           string
	kernel, scaled *kernels.Kernel
}{
	Mismatch: {"mismatch", kernels.Laplacian, kernels.LaplacianScaled},
	L1:       {"l1", kernels.LaplacianL1, kernels.LaplacianScaledL1},
}

// String is "mismatch" or "l1".
func (l Loss) String() string {
	if int(l) < len(losses) {
		return losses[l].name
	}
	return fmt.Sprintf("Loss(%d)", uint8(l))
}

// LaplacianErrorCell is a population of N error units under the Laplace
// likelihood with unit scale, at the fixed point of its dynamics: ngc-learn's
// cell of that name, in its form of April 2024 (ngc-learn 1.0 beta,
// ngclearn/components/neurons/graded/laplacianErrorCell.py). For a target, a
// prediction mu and an optional modulator, all (B, N) or broadcast to it, a
// step computes
//
//	e       = sign(target - mu)
//	dmu     =  e * modulator
//	dtarget = -e * modulator
//	L       = -sum|e|, or -sum|target - mu| with WithLoss(L1)
//
// L is one number for the whole batch and is never modulated. A zero keeps its
// sign, NaN gives NaN.
type LaplacianErrorCell struct {
	component
	dmu, dtarget, target, mu, modulator, loss *Compartment

	advance, reset *method
}

// NewLaplacianErrorCell makes a cell of this many units, in the state that
// [LaplacianErrorCell.Reset] leaves, without a value for L. Close it after use.
func NewLaplacianErrorCell(name string, units int, opts ...Option) (*LaplacianErrorCell, error) {
	cfg, err := configure(opts, "WithLoss")
	if err != nil {
		return nil, &Error{Component: name, Err: err}
	}
	c := &LaplacianErrorCell{}
	c.kind = "LaplacianErrorCell"
	c.anyShape = true // as an assignment in ngc-learn
	if err := c.start(name, units, cfg); err != nil {
		return nil, err
	}
	const unset = "set it, or connect a wire and Gather"
	c.dmu = c.add(c.DerivMeanName(), unset)
	c.dtarget = c.add(c.DerivTargetName(), unset)
	c.target = c.add(c.TargetName(), unset)
	c.mu = c.add(c.MeanName(), unset)
	c.modulator = c.add(c.ModulatorName(), "it is optional, and each step consumes it")
	c.loss = c.add(c.LossName(), "the first AdvanceState computes it")
	c.wanted = []*Compartment{c.mu, c.target}
	c.advance = c.does("advance_state",
		newStep(losses[cfg.loss].kernel,
			[]*Compartment{c.target, c.mu, c.modulator},
			[]*Compartment{c.dmu, c.dtarget, c.loss}),
		&consume{c.modulator})
	c.reset = c.does("reset", append(c.fills(0, c.batch, c.dmu, c.dtarget, c.target, c.mu), &consume{c.modulator})...)
	if err := c.Reset(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// InputCompartmentName is 'j', an electrical current. It is a name only: the
// cell has no such compartment.
func (*LaplacianErrorCell) InputCompartmentName() string { return "j" }

// OutputCompartmentName is 'e', a rate-coded output. It is a name only: the
// cell has no such compartment.
func (*LaplacianErrorCell) OutputCompartmentName() string { return "e" }

// LossName is the name of the compartment [LaplacianErrorCell.Loss].
func (*LaplacianErrorCell) LossName() string { return "L" }

// MeanName is the name of the compartment [LaplacianErrorCell.Mean].
func (*LaplacianErrorCell) MeanName() string { return "mu" }

// DerivMeanName is the name of the compartment [LaplacianErrorCell.DerivMean].
func (*LaplacianErrorCell) DerivMeanName() string { return "dmu" }

// TargetName is the name of the compartment [LaplacianErrorCell.Target].
func (*LaplacianErrorCell) TargetName() string { return "target" }

// DerivTargetName is the name of the compartment
// [LaplacianErrorCell.DerivTarget].
func (*LaplacianErrorCell) DerivTargetName() string { return "dtarget" }

// ModulatorName is the name of the compartment [LaplacianErrorCell.Modulator].
func (*LaplacianErrorCell) ModulatorName() string { return "modulator" }

// Loss is L, the loss of the last step: one number.
func (c *LaplacianErrorCell) Loss() *Compartment { return c.loss }

// Mean is mu, the prediction.
func (c *LaplacianErrorCell) Mean() *Compartment { return c.mu }

// DerivMean is dmu, the derivative of the loss by the prediction.
func (c *LaplacianErrorCell) DerivMean() *Compartment { return c.dmu }

// Target is the pattern to be predicted.
func (c *LaplacianErrorCell) Target() *Compartment { return c.target }

// DerivTarget is dtarget, the derivative of the loss by the target.
func (c *LaplacianErrorCell) DerivTarget() *Compartment { return c.dtarget }

// Modulator scales the derivatives of the next step, which consumes it.
func (c *LaplacianErrorCell) Modulator() *Compartment { return c.modulator }

// AdvanceState moves the cell one step forward: it computes dmu, dtarget and L
// from target, mu and the modulator, and consumes the modulator. The time t and
// the integration step dt are unused: the cell is the fixed
// point of its dynamics.
//
// When it fails, every compartment is as it was. A device that is still
// computing when AdvanceState returns may report a failure later, when a result
// is read.
func (c *LaplacianErrorCell) AdvanceState(t, dt float64) error { return c.call(c.advance, t, dt) }

// Reset makes mu, dmu, target and dtarget zeros of shape (1, N), or (B, N) after
// a SetBatchSize, and leaves the modulator without a value. L keeps its value, as
// in ngc-learn.
func (c *LaplacianErrorCell) Reset() error { return c.call(c.reset, 0, 0) }

// ScaledLaplacianErrorCell is a population of N error units under the Laplace
// likelihood with a scale: ngc-learn's LaplacianErrorCell of today (3.2.3).
// For a target, a prediction shift, and a Scale, a modulator and a mask that
// broadcast, a step computes
//
//	e       = sign(target - shift)
//	dshift  = e / Scale * modulator * mask
//	dtarget = -e / Scale * modulator * mask
//	dScale  = ones
//	L       = -sum|e| * (1/Scale), or with WithLoss(L1) of target - shift
//
// and then makes the mask ones; the modulator stays. L has the shape of Scale
// without the axes of length 1. Each element of it has the sum of all units.
//
// Beyond ngc-learn, [WithGatedLoss] gives
//
//	L       = -sum(|e| * modulator * mask) * (1/Scale)
//
// and [WithScaleDerivative] the derivative by the scale b of the density whose
// derivative by the shift dshift is, log p = -|target - shift|/b - log(2b):
//
//	dScale  = (|target - shift|/Scale - 1) / Scale * modulator * mask
//
// summed over what shares an element of Scale.
type ScaledLaplacianErrorCell struct{ errorUnits }

// NewScaledLaplacianErrorCell makes a cell of this many units. shift and target
// are zeros, Scale is that of [WithScale], modulator and mask are ones and L is
// 0. It takes [WithBatchSize], [WithShape], [WithScale] and [WithLoss] too, and
// [WithGatedLoss] and [WithScaleDerivative]. Close it after use.
func NewScaledLaplacianErrorCell(name string, units int, opts ...Option) (*ScaledLaplacianErrorCell, error) {
	c := &ScaledLaplacianErrorCell{}
	c.kind = "ScaledLaplacianErrorCell"
	cfg, err := c.configure(name, units, opts, "WithScale", "WithScaleDerivative", "WithLoss")
	if err != nil {
		return nil, err
	}
	c.loss = c.add("L", cleared).displays("Laplacian Log likelihood", "nats")
	c.mean = c.add("shift", cleared).displays("Laplacian shift", "")
	c.scale = c.add("Scale", cleared).displays("Laplacian scale", "")
	c.derivMean = c.add("dshift", cleared)
	c.derivScale = c.add("dScale", cleared)
	c.target = c.add("target", cleared).displays("Laplacian data/target variable", "")
	c.derivTarget = c.add("dtarget", cleared)
	c.modulator = c.add("modulator", cleared)
	c.mask = c.add("mask", cleared)
	c.aliases = map[string]*Compartment{"mu": c.mean, "dmu": c.derivMean}
	loss := losses[cfg.loss]
	if err := c.finish(cfg, loss.scaled, kernels.LaplacianOptions, "L-"+loss.name); err != nil {
		return nil, err
	}
	return c, nil
}

// Shift is the prediction; [ScaledLaplacianErrorCell.Mean] is the same
// compartment by the name that other cells have for it.
func (c *ScaledLaplacianErrorCell) Shift() *Compartment { return c.mean }

// DerivShift is the derivative of the log likelihood by the prediction;
// [ScaledLaplacianErrorCell.DerivMean] is the same compartment.
func (c *ScaledLaplacianErrorCell) DerivShift() *Compartment { return c.derivMean }

// Scale is the predicted scale.
func (c *ScaledLaplacianErrorCell) Scale() *Compartment { return c.scale }

// DerivScale is dScale: ones, or with [WithScaleDerivative] the derivative of
// the log density by Scale.
func (c *ScaledLaplacianErrorCell) DerivScale() *Compartment { return c.derivScale }
