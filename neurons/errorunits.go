package neurons

import (
	"slices"

	"errorcell/kernels"
)

// errorUnits is what ngc-learn's error cells of today have in common: a target
// and a prediction with a scale, gates, derivatives and a loss. A cell adds its
// compartments, in ngc-learn's order and by its names, and says which kernels
// compute them.
type errorUnits struct {
	component
	mean, scale, target, modulator, mask     *Compartment
	derivMean, derivScale, derivTarget, loss *Compartment

	batchSize           int
	pattern, scaleShape kernels.Shape

	steps    []*step // of AdvanceState, in order; none but the last writes into compartments
	renewals []renewal
}

// cleared is why a compartment of these cells may hold no value: the
// constructor and Reset give a value to each.
const cleared = "it was cleared; set it, connect a wire and Gather, or Reset"

// configure starts the component, with the options of all these cells and those
// that the cell names.
func (c *errorUnits) configure(name string, units int, opts []Option, takes ...string) (config, error) {
	cfg, err := configure(opts, append(takes, "WithBatchSize", "WithShape", "WithGatedLoss", "WithScaleDerivative")...)
	if err != nil {
		return cfg, &Error{Component: name, Err: err}
	}
	c.batchSize, c.pattern = cfg.batchSize, cfg.shape
	if c.pattern == nil {
		c.pattern = kernels.Shape{units}
	} else if n, err := shapeLen(c.pattern); err != nil || n != units {
		return cfg, &Error{Component: name, Err: because(ErrArgument, "a pattern of shape %v does not have n_units = %d units", c.pattern, units)}
	}
	return cfg, c.start(name, units, cfg)
}

// finish gives the compartments their first values and makes the steps. kernel
// is the cell's, options the one of what goes beyond ngc-learn, and gated its
// result that is the gated loss.
func (c *errorUnits) finish(cfg config, kernel, options *kernels.Kernel, gated string) error {
	if err := c.firstValues(cfg.scale); err != nil {
		c.Close()
		return err
	}
	c.stepEatingMask()
	var omit uint32
	if cfg.gatedLoss {
		c.stepGatedLoss(options, options.OutputIndex(gated))
		omit |= 1 << kernel.OutputIndex(c.loss.name)
	}
	if cfg.scaleDerivative {
		c.stepScaleDerivative(options)
		omit |= 1 << kernel.OutputIndex(c.derivScale.name)
	}
	last := newStep(kernel, c.operands(), []*Compartment{c.derivMean, c.derivTarget, c.loss, c.derivScale})
	last.adjust = func(b *kernels.Binding, _ []kernels.Shape) error {
		b.Signature.Omit = omit
		squeezeOutput(b, kernel.OutputIndex(c.loss.name))
		return nil
	}
	c.steps = append(c.steps, last)
	return nil
}

// operands are those of the kernels of these cells, in their order.
func (c *errorUnits) operands() []*Compartment {
	return []*Compartment{c.target, c.mean, c.modulator, c.mask, c.scale}
}

// eat makes ones of a mask, as ngc-learn does, which leaves NaN and infinities
// NaN.
var eat = define("eat-mask", func(k *kernels.Builder) kernels.Value {
	return k.Add(k.Mul(k.Optional("mask", 1), k.Const(0)), k.Const(1))
})

// stepEatingMask adds the step that makes the mask ones, since it applies to
// one step only.
func (c *errorUnits) stepEatingMask() {
	mask := c.renewing(c.mask)
	c.renewals = append(c.renewals, mask)
	c.steps = append(c.steps, newStep(eat, []*Compartment{c.mask}, []*Compartment{mask.next}))
}

// stepGatedLoss adds the step that computes the loss as one result of options.
func (c *errorUnits) stepGatedLoss(options *kernels.Kernel, result int) {
	c.stepOption(options, c.loss, func(b *kernels.Binding, _ []kernels.Shape) (int, error) {
		squeezeOutput(b, result)
		return result, nil
	})
}

// stepScaleDerivative adds the step that computes the derivative by the scale:
// of a scale with its own number for each unit element by element, of one that
// patterns share summed over the batch, of a single number summed over all.
func (c *errorUnits) stepScaleDerivative(options *kernels.Kernel) {
	sums := map[kernels.Kind]string{kernels.Full: "-each", kernels.Row: "-batch", kernels.Scalar: "-all", kernels.Absent: "-all"}
	c.stepOption(options, c.derivScale, func(b *kernels.Binding, shapes []kernels.Shape) (int, error) {
		at := slices.Index(c.operands(), c.scale)
		sum, ok := sums[b.Signature.Kinds[at]]
		if !ok {
			return 0, c.derivScale.fail(because(ErrShape, "%s has shape %v, one number for each pattern, for which there is no derivative", c.scale.name, shapes[at]))
		}
		result := options.OutputIndex(c.derivScale.name + sum)
		if shapes[at] != nil {
			b.Outputs[result] = shapes[at]
		}
		return result, nil
	})
}

// stepOption adds a step that renews a compartment with one result of a kernel,
// which choose picks.
func (c *errorUnits) stepOption(options *kernels.Kernel, comp *Compartment, choose func(*kernels.Binding, []kernels.Shape) (int, error)) {
	renewed := c.renewing(comp)
	c.renewals = append(c.renewals, renewed)
	all := uint32(1)<<len(options.Outputs()) - 1
	s := newStep(options, c.operands(), slices.Repeat([]*Compartment{renewed.next}, len(options.Outputs())))
	s.adjust = func(b *kernels.Binding, shapes []kernels.Shape) error {
		result, err := choose(b, shapes)
		b.Signature.Omit = all &^ (1 << result)
		return err
	}
	c.steps = append(c.steps, s)
}

// squeezeOutput drops the axes of length 1, as ngc-learn does with a loss.
func squeezeOutput(b *kernels.Binding, i int) { b.Outputs[i] = b.Outputs[i].Squeeze() }

// firstValues are those of Reset, and the scale's own.
func (c *errorUnits) firstValues(scale any) error {
	number := false
	switch scale.(type) {
	case float32, float64:
		number = true
	}
	if err := setArray(c.scale, scale); err != nil {
		return err
	}
	if err := c.scale.checkSet(); err != nil { // a scale of nil
		return err
	}
	if number {
		c.scale.shape = kernels.Shape{1, 1}
	}
	c.scaleShape = slices.Clone(c.scale.shape)
	return c.Reset()
}

// BatchSize is ngc-learn's batch_size: how many patterns there are in the
// values that Reset leaves.
func (c *errorUnits) BatchSize() int { return c.batchSize }

// Mean is the prediction.
func (c *errorUnits) Mean() *Compartment { return c.mean }

// DerivMean is the derivative of the log likelihood by the prediction.
func (c *errorUnits) DerivMean() *Compartment { return c.derivMean }

// Target is the pattern to be predicted.
func (c *errorUnits) Target() *Compartment { return c.target }

// DerivTarget is the derivative of the log likelihood by the target.
func (c *errorUnits) DerivTarget() *Compartment { return c.derivTarget }

// Modulator scales the derivatives. It stays until it is set anew.
func (c *errorUnits) Modulator() *Compartment { return c.modulator }

// Mask gates the derivatives of the next step, which makes it ones.
func (c *errorUnits) Mask() *Compartment { return c.mask }

// Loss is L, the loss of the last step.
func (c *errorUnits) Loss() *Compartment { return c.loss }

// AdvanceState moves the cell one step forward: it computes derivatives and
// loss from target, prediction, scale, modulator and mask, and makes the mask
// ones. A modulator, a mask or a scale that was cleared counts as 1. The time t
// and the integration step dt are unused: the cell is the fixed point of its
// dynamics.
//
// When it fails, every compartment is as it was. A device that is still
// computing when AdvanceState returns may report a failure later, when a result
// is read.
func (c *errorUnits) AdvanceState(t, dt float64) error { return c.run(c.steps, c.renewals) }

// Reset makes prediction, target and derivatives zeros, modulator and mask ones
// and the loss 0. The scale keeps its value. A reset that fails, for want of
// memory, may have reached some compartments only.
func (c *errorUnits) Reset() error { return c.BatchedReset(c.batchSize) }

// BatchedReset is Reset with another number of patterns in the values that it
// leaves.
func (c *errorUnits) BatchedReset(patterns int) error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	if patterns < 1 {
		return c.fail(because(ErrArgument, "batch_size is %d, at least 1 is wanted", patterns))
	}
	batch := append(kernels.Shape{patterns}, c.pattern...)
	for _, value := range []struct {
		comp  *Compartment
		shape kernels.Shape
		x     float64
	}{
		{c.mean, batch, 0}, {c.target, batch, 0}, {c.derivMean, batch, 0}, {c.derivTarget, batch, 0},
		{c.derivScale, c.scaleShape, 0}, {c.loss, kernels.Shape{}, 0},
		{c.modulator, batch, 1}, {c.mask, batch, 1},
	} {
		if err := value.comp.setAll(value.shape, value.x); err != nil {
			return err
		}
	}
	return nil
}

// VerifyConnections finds out whether at least one wire arrives at the
// prediction and one at the target; a value that was set is no wire. What is
// missing is an [ErrUnconnected].
func (c *errorUnits) VerifyConnections() error { return c.checkIncoming(c.mean, c.target) }
