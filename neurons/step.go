package neurons

import (
	"slices"

	"errorcell/backend"
	"errorcell/kernels"
)

// step runs a kernel with compartments of one device for operands and results.
// It remembers the last shapes with all that follows from them, so that a step
// like the one before allocates nothing.
type step struct {
	kernel  *kernels.Kernel
	inputs  []*Compartment // in the order of the kernel's operands
	outputs []*Compartment // in the order of its results; none is an input
	// adjust may change what follows from the shapes: which results are omitted
	// and which shapes, of as many elements, they get. Nil changes nothing.
	adjust func(*kernels.Binding, []kernels.Shape) error

	shapes  []kernels.Shape // of the operands, nil for an absent one; what follows is made for them
	binding kernels.Binding
	lens    []int // of the results
	program backend.Program

	in, out []backend.Buffer // of the run that is being started
}

func newStep(kernel *kernels.Kernel, inputs, outputs []*Compartment) *step {
	return &step{
		kernel: kernel, inputs: inputs, outputs: outputs,
		in: make([]backend.Buffer, len(inputs)), out: make([]backend.Buffer, len(outputs)),
	}
}

// run computes the outputs. When it fails, no compartment has changed.
func (s *step) run() error {
	if !s.isBound() {
		if err := s.bind(); err != nil {
			return err
		}
	}
	for i, c := range s.inputs {
		s.in[i] = nil
		if c.set {
			s.in[i] = c.buf
		}
	}
	if err := s.start(); err != nil {
		for i, c := range s.outputs {
			c.discard(s.out[i])
		}
		return err
	}
	for i, c := range s.outputs {
		if !s.binding.Signature.Omits(i) {
			c.adopt(s.out[i], s.binding.Outputs[i])
		}
	}
	return nil
}

func (s *step) start() error {
	clear(s.out)
	for i, c := range s.outputs {
		if s.binding.Signature.Omits(i) {
			continue
		}
		buf, err := c.room(s.lens[i])
		if err != nil {
			return err
		}
		s.out[i] = buf
	}
	return s.program.Run(s.binding.Rows, s.binding.Cols, s.in, s.out)
}

func (s *step) isBound() bool {
	if s.program == nil {
		return false
	}
	for i, c := range s.inputs {
		if !c.isShape(s.shapes[i]) {
			return false
		}
	}
	return true
}

// bind works out shapes and program anew. The program is the same as long as
// the operands broadcast in the same way.
func (s *step) bind() error {
	shapes := make([]kernels.Shape, len(s.inputs))
	for i, in := range s.kernel.Inputs() {
		c := s.inputs[i]
		if c.set {
			shapes[i] = slices.Clone(c.shape)
		} else if !in.Optional {
			return c.checkSet()
		}
	}
	of := s.outputs[0].of
	binding, err := s.kernel.Bind(of.dtype, shapes...)
	if err == nil && s.adjust != nil {
		err = s.adjust(&binding, shapes)
	}
	if err != nil {
		return err
	}
	program := s.program
	if program == nil || binding.Signature != s.binding.Signature {
		if program, err = of.dev.Compile(s.kernel, binding.Signature); err != nil {
			return err
		}
	}
	lens := make([]int, len(binding.Outputs))
	for i, shape := range binding.Outputs {
		lens[i] = shape.Len()
	}
	s.shapes, s.binding, s.lens, s.program = shapes, binding, lens, program
	return nil
}
