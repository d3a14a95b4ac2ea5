package neurons

import (
	"fmt"
	"slices"

	"errorcell/kernels"
)

// op is a piece of a [sequence].
type op interface {
	// touches tells what it reads and then writes.
	touches(reads, writes func(*Compartment))
	// apply does it to the compartments; what is to be computed it gives to the
	// sequence, which computes it later, in order.
	apply(*sequence) error
	// copy is another op that does the same.
	copy() op
}

// step is an op that runs a kernel with compartments of one device for operands
// and results. It remembers the last shapes with all that follows from them, so
// that a step like the one before allocates nothing.
type step struct {
	kernel  *kernels.Kernel
	inputs  []*Compartment // in the order of the kernel's operands
	outputs []*Compartment // in the order of its results; they may be inputs too
	// adjust may change what follows from the shapes: which results are omitted
	// and which shapes, of as many elements, they get. Nil changes nothing.
	adjust func(*kernels.Binding, []kernels.Shape) error
	// constant may know the results without the kernel, by what is known of the
	// operands: all their numbers are the same one. Nil never does.
	constant func([]state) (float64, bool)
	// fail says in an error whose step it is.
	fail func(error) error

	states []state // of the operands; what follows is made for them
	bound  bool
	shapes []kernels.Shape // of the results
	known  *array          // all results, if constant knows them
	work   work
}

// state is what the program of a step depends on, of an operand.
type state struct {
	set     bool
	shape   kernels.Shape
	content content
}

func (s *state) is(c *Compartment) bool {
	if c.value == nil || !s.set {
		return c.value == nil && !s.set
	}
	return s.content == c.value.content && slices.Equal(s.shape, c.shape)
}

func (s *state) note(c *Compartment) {
	s.set = c.value != nil
	if s.set {
		s.shape, s.content = append(s.shape[:0], c.shape...), c.value.content
	}
}

// areStates reports whether compartments are as they were when they were noted.
func areStates(states []state, comps []*Compartment) bool {
	for i, c := range comps {
		if !states[i].is(c) {
			return false
		}
	}
	return true
}

func noteStates(states []state, comps []*Compartment) {
	for i, c := range comps {
		states[i].note(c)
	}
}

func newStep(kernel *kernels.Kernel, inputs, outputs []*Compartment) *step {
	return &step{
		kernel: kernel, inputs: inputs, outputs: outputs, fail: outputs[0].of.fail,
		states: make([]state, len(inputs)), work: newWork(inputs, outputs),
	}
}

func (s *step) copy() op {
	c := newStep(s.kernel, s.inputs, s.outputs)
	c.adjust, c.constant, c.fail = s.adjust, s.constant, s.fail
	return c
}

func (s *step) touches(reads, writes func(*Compartment)) {
	for _, c := range s.inputs {
		reads(c)
	}
	for _, c := range s.outputs {
		writes(c)
	}
}

func (s *step) apply(q *sequence) error {
	if !q.tried && !s.isBound() {
		if err := s.bind(); err != nil {
			return s.fail(err)
		}
	}
	if s.known == nil {
		if err := s.work.start(q); err != nil {
			return s.fail(err)
		}
	}
	for i, c := range s.outputs {
		if s.work.results[i].omitted {
			continue
		}
		a := s.known
		if a == nil {
			a = s.work.next[i]
		}
		c.adopt(a, s.shapes[i])
	}
	return nil
}

func (s *step) isBound() bool { return s.bound && areStates(s.states, s.inputs) }

// explain adds to an error about shapes which wires brought a value that is not
// of the component's width.
func (s *step) explain(err error) error {
	for _, c := range s.inputs {
		if c.IsSet() && c.wire != nil && !alike(c.shape, c.of.pattern) {
			err = fmt.Errorf("%w; %s, from %v, is not of the component's %d units", err, c.name, c.wire.src, c.of.units)
		}
	}
	return err
}

// bind works out shapes and program anew. The program is the same as long as
// the operands broadcast in the same way.
func (s *step) bind() error {
	s.bound = false
	shapes, err := shapesOf(s.kernel, s.inputs)
	if err != nil {
		return err
	}
	of := s.outputs[0].of
	binding, err := s.kernel.Bind(of.dtype, shapes...)
	if err == nil && s.adjust != nil {
		err = s.adjust(&binding, shapes)
	}
	if err != nil {
		return s.explain(err)
	}
	noteStates(s.states, s.inputs)
	s.known = nil
	if s.constant != nil {
		if x, ok := s.constant(s.states); ok {
			if s.known, err = of.store.constant(x); err != nil {
				return err
			}
		}
	}
	for i := range s.outputs {
		r := &s.work.results[i]
		r.omitted, r.len = binding.Signature.Omits(i), binding.Outputs[i].Len()
	}
	if s.known == nil {
		if err := s.work.bind(of.dev, s.kernel, binding); err != nil {
			return err
		}
	}
	s.shapes, s.bound = binding.Outputs, true
	return nil
}
