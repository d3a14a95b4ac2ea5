package neurons

import (
	"slices"

	"errorcell/kernels"
)

// errorUnits is what ngc-learn's error cells of today have in common: a target
// and a prediction, some with a scale, gates, derivatives and a loss. A cell adds
// its compartments, in ngc-learn's order and by its names, and says which kernels
// compute them. Without a scale, scale and derivScale are nil.
type errorUnits struct {
	component
	mean, scale, target, modulator, mask     *Compartment
	derivMean, derivScale, derivTarget, loss *Compartment

	scaleShape kernels.Shape

	advance, reset *method
}

// cleared is why a compartment of these cells may hold no value: the
// constructor and Reset give a value to each.
const cleared = "it was cleared; set it, connect a wire and Gather, or Reset"

// configure starts the component, with the options of all these cells and those
// that the cell names.
func (c *errorUnits) configure(name string, units int, opts []Option, takes ...string) (config, error) {
	cfg, err := configure(opts, append(takes, "WithBatchSize", "WithShape", "WithGatedLoss")...)
	if err != nil {
		return cfg, &Error{Component: name, Err: err}
	}
	return cfg, c.start(name, units, cfg)
}

// finish gives the compartments their first values and makes the steps. kernel
// is the cell's, options the one of what goes beyond ngc-learn, and gated its
// result that is the gated loss.
func (c *errorUnits) finish(cfg config, kernel, options *kernels.Kernel, gated string) error {
	if err := c.firstScale(cfg.scale); err != nil {
		c.Close()
		return err
	}
	operands, results := c.operands(), []*Compartment{c.derivMean, c.derivTarget, c.loss}
	if c.scale != nil {
		results = append(results, c.derivScale)
	}
	var ops []op
	var omit uint32
	if cfg.gatedLoss {
		ops = append(ops, c.gatedLoss(options, options.OutputIndex(gated)))
		omit |= 1 << kernel.OutputIndex(c.loss.name)
	}
	if cfg.scaleDerivative {
		ops = append(ops, c.scaleDerivative(options))
		omit |= 1 << kernel.OutputIndex(c.derivScale.name)
	}
	if cfg.trueDerivative {
		ops = append(ops, c.trueDerivative(options))
		omit |= 1 << kernel.OutputIndex(c.derivMean.name)
	}
	main := newStep(kernel, operands, results)
	main.adjust = func(b *kernels.Binding, _ []kernels.Shape) error {
		b.Signature.Omit = omit
		squeezeOutput(b, kernel.OutputIndex(c.loss.name))
		return nil
	}
	c.wanted = []*Compartment{c.mean, c.target}
	c.advance = c.does("advance_state", append(ops, main, c.eatMask())...)
	c.reset = c.does("reset", slices.Concat(
		c.fills(0, c.batch, c.mean, c.target, c.derivMean, c.derivTarget),
		c.scaleFills(),
		c.fills(0, noShape, c.loss),
		c.fills(1, c.batch, c.modulator, c.mask))...)
	if err := c.Reset(); err != nil {
		c.Close()
		return err
	}
	return nil
}

// scaleFills are what a reset does to the derivative by the scale.
func (c *errorUnits) scaleFills() []op {
	if c.scale == nil {
		return nil
	}
	return c.fills(0, func(to kernels.Shape) kernels.Shape { return append(to, c.scaleShape...) }, c.derivScale)
}

// noShape is that of a single number.
func noShape(to kernels.Shape) kernels.Shape { return to }

// operands are those of the kernels of these cells, in their order.
func (c *errorUnits) operands() []*Compartment {
	operands := []*Compartment{c.target, c.mean, c.modulator, c.mask}
	if c.scale != nil {
		operands = append(operands, c.scale)
	}
	return operands
}

// eat makes ones of a mask, as ngc-learn does, which leaves NaN and infinities
// NaN.
var eat = define("eat-mask", func(k *kernels.Builder) kernels.Value {
	return k.Add(k.Mul(k.Optional("mask", 1), k.Const(0)), k.Const(1))
})

// eatMask is the step that makes the mask ones, since it applies to one step
// only. For a mask that is known to have neither NaN nor infinities there is
// nothing to compute.
func (c *errorUnits) eatMask() *step {
	c.mask.watched = true
	s := newStep(eat, []*Compartment{c.mask}, []*Compartment{c.mask})
	s.constant = func(of []state) (float64, bool) { return 1, !of[0].set || of[0].content.isFinite() }
	return s
}

// gatedLoss is the step that computes the loss as one result of options.
func (c *errorUnits) gatedLoss(options *kernels.Kernel, result int) *step {
	return c.option(options, c.loss, func(b *kernels.Binding, _ []kernels.Shape) (int, error) {
		squeezeOutput(b, result)
		return result, nil
	})
}

// scaleDerivative is the step that computes the derivative by the scale: of a
// scale with its own number for each unit element by element, of one that
// patterns share summed over the batch, of a single number summed over all.
func (c *errorUnits) scaleDerivative(options *kernels.Kernel) *step {
	sums := map[kernels.Kind]string{kernels.Full: "-each", kernels.Row: "-batch", kernels.Scalar: "-all", kernels.Absent: "-all"}
	return c.option(options, c.derivScale, func(b *kernels.Binding, shapes []kernels.Shape) (int, error) {
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

// trueDerivative is the step that computes the derivative by a probability.
func (c *errorUnits) trueDerivative(options *kernels.Kernel) *step {
	result := options.OutputIndex(c.derivMean.name + "-probabilities")
	return c.option(options, c.derivMean, func(*kernels.Binding, []kernels.Shape) (int, error) { return result, nil })
}

// option is a step that computes a compartment as one result of a kernel, which
// choose picks.
func (c *errorUnits) option(options *kernels.Kernel, comp *Compartment, choose func(*kernels.Binding, []kernels.Shape) (int, error)) *step {
	all := uint32(1)<<len(options.Outputs()) - 1
	s := newStep(options, c.operands(), slices.Repeat([]*Compartment{comp}, len(options.Outputs())))
	s.adjust = func(b *kernels.Binding, shapes []kernels.Shape) error {
		result, err := choose(b, shapes)
		b.Signature.Omit = all &^ (1 << result)
		return err
	}
	return s
}

// squeezeOutput drops the axes of length 1, as ngc-learn does with a loss.
func squeezeOutput(b *kernels.Binding, i int) { b.Outputs[i] = b.Outputs[i].Squeeze() }

// firstScale sets the scale to the constructor's.
func (c *errorUnits) firstScale(scale any) error {
	if c.scale == nil {
		return nil
	}
	var err error
	switch x := scale.(type) {
	case float32:
		err = c.scale.setAll(kernels.Shape{1, 1}, float64(x))
	case float64:
		err = c.scale.setAll(kernels.Shape{1, 1}, x)
	case int:
		err = c.scale.setAll(kernels.Shape{1, 1}, float64(x))
	case nil:
		err = c.scale.fail(because(ErrAbsent, "it must have a first value, nil was given"))
	default:
		err = setArray(c.scale, scale)
	}
	if err != nil {
		return err
	}
	c.scaleShape = slices.Clone(c.scale.shape)
	return nil
}

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
func (c *errorUnits) AdvanceState(t, dt float64) error { return c.call(c.advance, t, dt) }

// Reset makes prediction, target and derivatives zeros, modulator and mask ones
// and the loss 0. The scale keeps its value.
func (c *errorUnits) Reset() error { return c.call(c.reset, 0, 0) }

// BatchedReset is Reset with another number of patterns in the values that it
// leaves. The next Reset has [WithBatchSize]'s again; SetBatchSize is for good.
func (c *errorUnits) BatchedReset(patterns int) error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	if err := c.checkBatchSize(patterns); err != nil {
		return err
	}
	defer func(own int) { c.batchSize = own }(c.batchSize)
	c.batchSize = patterns
	return c.Reset()
}
