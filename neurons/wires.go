package neurons

import (
	"fmt"

	"errorcell/kernels"
)

// Rule says what a wire does with the value that it delivers: ngc-learn's
// bundle rules.
type Rule uint8

const (
	// Overwrite replaces the compartment's value. It is ngc-learn's default.
	Overwrite Rule = iota
	// Additive adds to the compartment's value, by NumPy's broadcasting. It
	// goes on from what the last Gather left, unless an overwriting wire that
	// was connected before starts afresh.
	Additive
	// Append is known to ngc-learn, which calls the value's append method; no
	// array has one, so the rule can work for no compartment of a cell there
	// either. [Connect] refuses it.
	Append
)

// rules has the kernel of each rule: its last operand is what the wire brings,
// the one before it, if any, is what the compartment holds.
var rules = [...]struct {
	name   string
	kernel *kernels.Kernel
}{
	Overwrite: {"overwrite", define("wire-overwrite", func(k *kernels.Builder) kernels.Value {
		return k.Input("value")
	})},
	Additive: {"additive", define("wire-additive", func(k *kernels.Builder) kernels.Value {
		return k.Add(k.Input("compartment"), k.Input("value"))
	})},
	Append: {"append", nil},
}

func define(name string, result func(*kernels.Builder) kernels.Value) *kernels.Kernel {
	return kernels.Must(kernels.Define(name, func(k *kernels.Builder) { k.Output("result", result(k)) }))
}

// String is ngc-learn's name for the rule.
func (r Rule) String() string {
	if int(r) < len(rules) {
		return rules[r].name
	}
	return fmt.Sprintf("Rule(%d)", uint8(r))
}

// wire carries the value of src to dst when dst's component gathers.
type wire struct {
	src, dst *Compartment
	rule     Rule
	arrived  *Compartment // on dst's device, where src lies on another or is of another type; else nil
	result   *Compartment // what Additive computes before dst takes it; else nil
	step     *step
}

// Connect lays a wire from src to dst. It delivers when dst's component
// gathers, after the wires that were connected to that component before.
// Between two devices, or two element types, the value goes through the host.
func Connect(src, dst *Compartment, rule Rule) error {
	for _, c := range []*Compartment{src, dst} {
		if err := c.checkOpen(); err != nil {
			return err
		}
	}
	if int(rule) >= len(rules) {
		return dst.fail(because(ErrArgument, "there is no rule %v", rule))
	}
	kernel := rules[rule].kernel
	if kernel == nil {
		return dst.fail(because(ErrArgument, "the rule %v cannot work: it appends to a list, and a compartment holds an array (so it fails in ngc-learn too)", rule))
	}
	w := &wire{src: src, dst: dst, rule: rule}
	value, inputs, output := src, []*Compartment(nil), dst
	if src.of.dev != dst.of.dev || src.of.dtype != dst.of.dtype {
		w.arrived = newCompartment(dst.of, dst.name, "nothing has arrived")
		value = w.arrived
	}
	if kernel.NumInputs() == 2 {
		w.result = newCompartment(dst.of, dst.name, "nothing has been added")
		inputs, output = []*Compartment{dst}, w.result
	}
	w.step = newStep(kernel, append(inputs, value), []*Compartment{output})
	dst.of.wires = append(dst.of.wires, w)
	return nil
}

func (w *wire) deliver() error {
	if err := w.src.checkSet(); err != nil {
		return w.dst.fail(fmt.Errorf("wire from %w", err)) // which names the source
	}
	if w.src == w.dst && w.rule == Overwrite {
		return nil
	}
	if w.arrived != nil {
		if err := transfer(w.arrived, w.src); err != nil {
			return w.fail(err)
		}
	}
	if err := w.step.run(); err != nil {
		return w.fail(err)
	}
	if w.result != nil {
		w.dst.swap(w.result)
	}
	return nil
}

func (w *wire) fail(err error) error {
	return w.dst.fail(fmt.Errorf("wire from %v: %w", w.src, err))
}

// transfer copies a value between devices or element types.
func transfer(dst, src *Compartment) error {
	if src.of.dtype == kernels.F32 {
		return transferAs[float32](dst, src)
	}
	return transferAs[float64](dst, src)
}

func transferAs[T kernels.Float](dst, src *Compartment) error {
	data, ok := view[T](src)
	if !ok {
		var err error
		if data, err = readAll[T](src); err != nil {
			return err
		}
	}
	return assign(dst, data, src.shape)
}
