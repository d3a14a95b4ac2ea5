package neurons

import (
	"fmt"
	"slices"
	"strings"

	"errorcell/backend"
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

// rules has of each rule what becomes of a compartment's value and of the one
// that the wire brings. Of Overwrite there is only the latter.
var rules = [...]struct {
	name string
	join func(k *kernels.Builder, held, brought kernels.Value) kernels.Value
}{
	Overwrite: {name: "overwrite"},
	Additive:  {"additive", (*kernels.Builder).Add},
	Append:    {name: "append"},
}

// String is ngc-learn's name for the rule.
func (r Rule) String() string {
	if int(r) < len(rules) {
		return rules[r].name
	}
	return fmt.Sprintf("Rule(%d)", uint8(r))
}

// Source is where a wire begins: a [Compartment], or an operation on sources,
// such as [Summation].
type Source interface {
	fmt.Stringer
	check() error
	// leaves calls add for each compartment in it, from the left.
	leaves(add func(*Compartment))
	// build makes its value of those of the compartments.
	build(k *kernels.Builder, leaf func(*Compartment) kernels.Value) kernels.Value
}

func (c *Compartment) check() error                  { return c.checkOpen() }
func (c *Compartment) leaves(add func(*Compartment)) { add(c) }
func (c *Compartment) build(_ *kernels.Builder, leaf func(*Compartment) kernels.Value) kernels.Value {
	return leaf(c)
}

// operation is a source that is made of others.
type operation struct {
	name    string
	sources []Source
	size    int // how many compartments there are in it, each as often as it occurs
	join    func(k *kernels.Builder, x, y kernels.Value) kernels.Value
}

// maxSize is far more than a kernel has operands. Operations that share sources
// double with each that is put around them.
const maxSize = 4096

func newOperation(name string, join func(k *kernels.Builder, x, y kernels.Value) kernels.Value, sources ...Source) Source {
	o := &operation{name: name, sources: slices.Clone(sources), join: join}
	for _, s := range sources {
		if inner, ok := s.(*operation); ok {
			o.size += inner.size
		} else {
			o.size++
		}
		o.size = min(o.size, maxSize+1)
	}
	return o
}

// Summation is the sum of sources, from the left, by NumPy's broadcasting:
// ngcsimlib's operation of that name.
func Summation(sources ...Source) Source {
	return newOperation("Summation", (*kernels.Builder).Add, sources...)
}

// Product is the product of sources, from the left, by NumPy's broadcasting:
// ngcsimlib's operation of that name.
func Product(sources ...Source) Source {
	return newOperation("Product", (*kernels.Builder).Mul, sources...)
}

// Negation is a source with the other sign; ngcsimlib has older versions'
// negate in its place.
func Negation(source Source) Source {
	return newOperation("Negation", nil, source)
}

func (o *operation) String() string {
	names := make([]string, len(o.sources))
	for i, s := range o.sources {
		names[i] = s.String()
	}
	return o.name + "(" + strings.Join(names, ", ") + ")"
}

func (o *operation) check() error {
	switch {
	case len(o.sources) == 0:
		return &Error{Err: because(ErrArgument, "%s of no sources: at least one is wanted", o.name)}
	case o.size > maxSize:
		return &Error{Err: because(ErrArgument, "%s of more than %d compartments, counted as often as they occur", o.name, maxSize)}
	}
	for _, s := range o.sources {
		if s == nil {
			return &Error{Err: because(ErrArgument, "%s has a nil source", o.name)}
		}
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *operation) leaves(add func(*Compartment)) {
	for _, s := range o.sources {
		s.leaves(add)
	}
}

func (o *operation) build(k *kernels.Builder, leaf func(*Compartment) kernels.Value) kernels.Value {
	x := o.sources[0].build(k, leaf)
	for _, s := range o.sources[1:] {
		x = o.join(k, x, s.build(k, leaf))
	}
	if o.join == nil {
		return k.Neg(x)
	}
	return x
}

// define makes a kernel of one result.
func define(name string, result func(*kernels.Builder) kernels.Value) *kernels.Kernel {
	return kernels.Must(kernels.Define(name, func(k *kernels.Builder) { k.Output("result", result(k)) }))
}

// wire carries the value of src to dst when dst's component gathers.
type wire struct {
	src  Source
	dst  *Compartment
	rule Rule
	ops  []op
}

// Connect lays a wire from src to dst. It delivers when dst's component
// gathers, and in a [Process] before each method of that component, after the
// wires that were connected to the component before.
//
// A wire that overwrites is no copy: dst takes the very array that src holds
// then, and whichever of them changes first gets another. Between two devices,
// or two element types, the value goes through the host.
//
// A compartment that a wire overwrites is set by that wire alone: setting it by
// hand is an [ErrWired]. Of two wires that overwrite, the last one counts: for
// what both bring, connect their [Summation]. One to whose value wires add may be
// set, or one that its wire reads, as that from Summation(dst, x) does.
func Connect(src Source, dst *Compartment, rule Rule) error {
	if src == nil {
		return &Error{Err: because(ErrArgument, "a wire from nowhere: a compartment or an operation is wanted")}
	}
	if err := src.check(); err != nil {
		return err
	}
	if err := dst.checkOpen(); err != nil {
		return err
	}
	if int(rule) >= len(rules) {
		return dst.fail(because(ErrArgument, "there is no rule %v", rule))
	}
	if rule == Append {
		return dst.fail(because(ErrArgument, "the rule %v cannot work: it appends to a list, and a compartment holds an array (so it fails in ngc-learn too)", rule))
	}
	w := &wire{src: src, dst: dst, rule: rule}
	if err := w.makeOps(); err != nil {
		w.cut()
		return dst.fail(wireError(src, err))
	}
	dst.of.wires = append(dst.of.wires, w)
	dst.of.rewired()
	return nil
}

// Disconnect removes all wires that arrive at a compartment. It keeps the value
// that they have brought.
func Disconnect(dst *Compartment) error {
	if err := dst.checkOpen(); err != nil {
		return err
	}
	dst.of.wires = slices.DeleteFunc(dst.of.wires, func(w *wire) bool {
		if w.dst == dst {
			w.cut()
		}
		return w.dst == dst
	})
	dst.of.rewired()
	return dst.fail(dst.of.store.trim())
}

// cut lets go of what the wire has carried from elsewhere.
func (w *wire) cut() {
	for _, o := range w.ops {
		if o, ok := o.(*carry); ok {
			o.dst.forget()
			of := o.dst.of
			of.hidden = slices.DeleteFunc(of.hidden, func(c *Compartment) bool { return c == o.dst })
		}
	}
}

// overwrites reports whether the wire replaces a value that it does not read.
func (w *wire) overwrites() bool {
	reads := w.rule != Overwrite
	w.src.leaves(func(c *Compartment) { reads = reads || c == w.dst })
	return !reads
}

// rewired makes what follows from the component's wires anew.
func (c *component) rewired() {
	for _, comp := range c.compartments {
		comp.wire = nil
	}
	for _, w := range c.wires {
		if w.overwrites() {
			w.dst.wire = w
		}
	}
	c.gather.close() // a device that cannot end a recording says so at its next use
	c.gather = nil
	if c.context != nil {
		c.context.rewired()
	}
}

// arrivals are the ops of all wires that arrive at the component.
func (c *component) arrivals() []op {
	var ops []op
	for _, w := range c.wires {
		for _, o := range w.ops {
			ops = append(ops, o.copy())
		}
	}
	return ops
}

// makeOps finds out how the value comes to dst: what lies elsewhere is carried
// to dst's device first, then it is shared or computed.
func (w *wire) makeOps() error {
	var inputs, given []*Compartment
	w.src.leaves(func(c *Compartment) {
		if slices.Contains(given, c) {
			return
		}
		given = append(given, c)
		if c.of.dev != w.dst.of.dev || c.of.dtype != w.dst.of.dtype {
			arrived := w.dst.of.hide(w.dst.name)
			w.ops = append(w.ops, &carry{arrived, c})
			c = arrived
		}
		inputs = append(inputs, c)
	})
	if src, ok := w.src.(*Compartment); ok && w.rule == Overwrite {
		if src != w.dst {
			w.ops = append(w.ops, &share{w.dst, inputs[0]})
		}
		return nil
	}
	join := rules[w.rule].join
	kernel, err := kernels.Define("wire", func(k *kernels.Builder) {
		var held kernels.Value
		if join != nil {
			held = k.Input("compartment")
		}
		values := map[*Compartment]kernels.Value{}
		for i, c := range given {
			name := "value"
			if len(given) > 1 {
				name += fmt.Sprint(i + 1)
			}
			values[c] = k.Input(name)
		}
		x := w.src.build(k, func(c *Compartment) kernels.Value { return values[c] })
		if join != nil {
			x = join(k, held, x)
		}
		k.Output("result", x)
	})
	if err != nil {
		return because(ErrArgument, "%v", err)
	}
	if join != nil {
		inputs = append([]*Compartment{w.dst}, inputs...)
	}
	s := newStep(same(kernel), inputs, []*Compartment{w.dst})
	s.fail = func(err error) error { return w.dst.fail(wireError(w.src, err)) }
	w.ops = append(w.ops, s)
	return nil
}

// wireError says from where the wire is that has failed.
func wireError(src Source, err error) error { return fmt.Errorf("wire from %v: %w", src, err) }

// carry is an op that copies a value between devices or element types, through
// the host.
type carry struct{ dst, src *Compartment }

func (o *carry) touches(reads, writes func(*Compartment)) { reads(o.src); writes(o.dst) }
func (o *carry) copy() op                                 { return &carry{o.dst, o.src} }

func (o *carry) apply(q *sequence) error {
	if err := o.src.checkSet(); err != nil {
		return o.dst.fail(fmt.Errorf("wire from %w", err)) // which names the source
	}
	if err := q.await(); err != nil { // it may be computing src
		return err
	}
	err := error(nil)
	if o.src.of.dtype == kernels.F32 {
		err = carryAs[float32](o.dst, o.src)
	} else {
		err = carryAs[float64](o.dst, o.src)
	}
	if err != nil {
		return o.dst.fail(wireError(o.src, err))
	}
	return nil
}

func carryAs[T kernels.Float](dst, src *Compartment) error {
	if !src.value.content.isUniform() && src.of.dev.Sync() == nil {
		if data, ok := backend.View[T](src.value.buf); ok {
			return assign(dst, data, src.shape)
		}
	}
	data, err := readAll[T](src)
	if err != nil {
		return err
	}
	return assign(dst, data, src.shape)
}
