package neurons

import (
	"slices"

	"errorcell/backend"
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

	states  []state // of the operands; what follows is made for them
	shapes  []kernels.Shape
	binding kernels.Binding
	lens    []int // of the results; of what they have in memory
	single  bool  // all operands are uniform, and so are the results
	known   *array
	program backend.Program

	in, out []backend.Buffer // of the run that is being started
	next    []*array
	again   []bool // the output is an input too
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

func newStep(kernel *kernels.Kernel, inputs, outputs []*Compartment) *step {
	s := &step{
		kernel: kernel, inputs: inputs, outputs: outputs,
		states: make([]state, len(inputs)),
		in:     make([]backend.Buffer, len(inputs)), out: make([]backend.Buffer, len(outputs)),
		next: make([]*array, len(outputs)), again: make([]bool, len(outputs)),
	}
	s.fail = outputs[0].of.fail
	for i, c := range outputs {
		s.again[i] = slices.Contains(inputs, c)
	}
	return s
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
	if err := s.choose(q); err != nil {
		for _, a := range s.next {
			if a != nil && a.holders == 0 {
				s.outputs[0].of.store.put(a)
			}
		}
		return s.fail(err)
	}
	if s.known == nil {
		q.launch(s.program, s.binding.Rows, s.binding.Cols, s.in, s.out)
	}
	for i, c := range s.outputs {
		if s.next[i] != nil {
			c.adopt(s.next[i], s.binding.Outputs[i])
		}
	}
	return nil
}

// choose finds the memory of the run: in place, where a result's compartment is
// no operand and holds its array alone.
func (s *step) choose(q *sequence) error {
	clear(s.out)
	clear(s.next)
	if s.known == nil {
		if err := operands(q, s.in, s.inputs, &s.binding); err != nil {
			return err
		}
	}
	for i, c := range s.outputs {
		if s.binding.Signature.Omits(i) {
			continue
		}
		a, err := s.known, error(nil)
		switch {
		case a != nil:
		case s.again[i]:
			a, err = c.of.store.take(s.lens[i])
		default:
			a, err = c.writable(s.lens[i])
		}
		if err != nil {
			return c.fail(err)
		}
		s.next[i], s.out[i] = a, a.buf
		if s.known == nil {
			a.content = numbers
			if s.single {
				a.content = uniform
			}
		}
	}
	return nil
}

// operands finds the memory of what a run reads.
func operands(q *sequence, in []backend.Buffer, inputs []*Compartment, b *kernels.Binding) error {
	for i, c := range inputs {
		in[i] = nil
		kind := b.Signature.Kinds[i]
		if kind == kernels.Absent {
			continue
		}
		if c.value.content.isUniform() && kind.Len(b.Rows, b.Cols) != 1 {
			// Narrow could not avoid that. What computes the number must have run.
			if err := q.flush(); err != nil {
				return err
			}
			if err := c.own(); err != nil {
				return c.fail(err)
			}
		}
		in[i] = c.value.buf
	}
	return nil
}

func (s *step) isBound() bool {
	if s.shapes == nil {
		return false
	}
	for i, c := range s.inputs {
		if !s.states[i].is(c) {
			return false
		}
	}
	return true
}

// bind works out shapes and program anew. The program is the same as long as
// the operands broadcast in the same way.
func (s *step) bind() error {
	s.shapes = nil
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
		return err
	}
	for i, c := range s.inputs {
		s.states[i].note(c)
	}
	s.known = nil
	if s.constant != nil {
		if x, ok := s.constant(s.states); ok {
			if s.known, err = of.store.constant(x); err != nil {
				return err
			}
		}
	}
	if s.known == nil {
		if s.single, err = narrow(s.kernel, &binding, s.inputs); err != nil {
			return err
		}
		if s.program == nil || binding.Signature != s.binding.Signature {
			if s.program, err = of.dev.Compile(s.kernel, binding.Signature); err != nil {
				return err
			}
		}
	}
	s.lens = s.lens[:0]
	for _, shape := range binding.Outputs {
		n := shape.Len()
		if s.single {
			n = 1
		}
		s.lens = append(s.lens, n)
	}
	s.shapes, s.binding = shapes, binding
	return nil
}

// shapesOf are the shapes of a kernel's operands, nil for an absent one.
func shapesOf(k *kernels.Kernel, inputs []*Compartment) ([]kernels.Shape, error) {
	shapes := make([]kernels.Shape, len(inputs))
	for i, in := range k.Inputs() {
		if c := inputs[i]; c.value != nil {
			shapes[i] = slices.Clone(c.shape)
		} else if !in.Optional {
			return nil, c.checkSet()
		}
	}
	return shapes, nil
}

// narrow makes use of uniform operands, of which there is a single number in
// memory: they become scalars, or absent where they have the value that an
// absent one has. That changes no bit, as long as the results and what is added
// up keep the part of the grid that they cover; where they would not, the
// operand gets its numbers after all. If all operands are uniform and nothing
// is added up, the whole is one number's work.
func narrow(k *kernels.Kernel, b *kernels.Binding, inputs []*Compartment) (single bool, err error) {
	if single := b.Signature; allUniform(&single, inputs) {
		plan, err := k.Specialize(single)
		if err != nil {
			return false, err
		}
		if len(plan.Sums) == 0 {
			b.Signature, b.Rows, b.Cols = single, 1, 1
			return true, nil
		}
	}
	declared := k.Inputs()
	for i, c := range inputs {
		kind := b.Signature.Kinds[i]
		if kind == kernels.Absent || !c.value.content.isUniform() {
			continue
		}
		kinds := []kernels.Kind{kernels.Scalar}
		if declared[i].Optional && contentOf(declared[i].Default) == c.value.content && c.value.content != uniform {
			kinds = []kernels.Kind{kernels.Absent, kernels.Scalar}
		}
		if slices.Contains(inputs[:i], c) || slices.Contains(inputs[i+1:], c) {
			kinds = nil // one array cannot be two kinds
		}
		narrowed, err := firstAlike(k, b.Signature, i, kinds)
		if err != nil {
			return false, err
		}
		b.Signature.Kinds[i] = narrowed
	}
	return false, nil
}

// allUniform makes scalars of all operands, if they are uniform.
func allUniform(sig *kernels.Signature, inputs []*Compartment) bool {
	for i, c := range inputs {
		if sig.Kinds[i] == kernels.Absent {
			continue
		}
		if !c.value.content.isUniform() {
			return false
		}
		sig.Kinds[i] = kernels.Scalar
	}
	return len(inputs) > 0
}

// firstAlike is the first kind of operand i with which the kernel computes over
// the same parts of the grid, else the one that it has.
func firstAlike(k *kernels.Kernel, sig kernels.Signature, i int, kinds []kernels.Kind) (kernels.Kind, error) {
	plan, err := k.Specialize(sig)
	if err != nil {
		return 0, err
	}
	for _, kind := range kinds {
		other := sig
		other.Kinds[i] = kind
		narrowed, err := k.Specialize(other)
		if err != nil {
			return 0, err
		}
		if slices.Equal(plan.Outputs, narrowed.Outputs) && slices.EqualFunc(plan.Sums, narrowed.Sums, func(a, b kernels.Sum) bool {
			return a.Axis == b.Axis && plan.Passes[a.Pass].Kind == narrowed.Passes[b.Pass].Kind
		}) {
			return kind, nil
		}
	}
	return sig.Kinds[i], nil
}
