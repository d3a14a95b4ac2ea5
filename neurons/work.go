package neurons

import (
	"fmt"
	"slices"
	"sync"

	"errorcell/backend"
	"errorcell/kernels"
)

// work is the runs of a kernel with compartments for operands, as a step or a
// group has them.
type work struct {
	inputs  []*Compartment // in the order of the kernel's operands
	results []result       // in the order of its results
	kernel  *kernels.Kernel
	binding kernels.Binding
	program backend.Program
	single  bool // all operands are uniform, and so are the results

	in, out []backend.Buffer // of the run that is being started
	next    []*array         // what it computes, for the owner to adopt
}

// met are the kernels of wires and groups, by what they compute.
var met sync.Map

// same is the first kernel that computes what k does. A device keeps a program for
// each kernel that it has met, so a circuit that is wired anew must not bring new ones.
func same(k *kernels.Kernel) *kernels.Kernel {
	first, _ := met.LoadOrStore(fmt.Sprint(k.Name(), k.Inputs(), k.Nodes(), k.Outputs()), k)
	return first.(*kernels.Kernel)
}

// result is where a result goes.
type result struct {
	comp    *Compartment
	again   bool // comp is an operand too
	omitted bool
	len     int // of the value
}

func newWork(inputs, outputs []*Compartment) work {
	w := work{
		inputs: inputs, results: make([]result, len(outputs)),
		in: make([]backend.Buffer, len(inputs)), out: make([]backend.Buffer, len(outputs)), next: make([]*array, len(outputs)),
	}
	for i, c := range outputs {
		w.results[i] = result{comp: c, again: slices.Contains(inputs, c)}
	}
	return w
}

// bind finds the program for operands as they are. The lengths of the results,
// and which of them are omitted, are known.
func (w *work) bind(dev backend.Device, kernel *kernels.Kernel, binding kernels.Binding) error {
	single, err := narrow(kernel, &binding, w.inputs)
	if err != nil {
		return err
	}
	if w.program == nil || kernel != w.kernel || binding.Signature != w.binding.Signature {
		if w.program, err = dev.Compile(kernel, binding.Signature); err != nil {
			return err
		}
	}
	w.kernel, w.binding, w.single = kernel, binding, single
	return nil
}

// start gives a run to the sequence. What it computes is in next, for the owner
// to adopt before anything else happens.
func (w *work) start(q *sequence) error {
	if err := w.choose(q); err != nil {
		for i, a := range w.next {
			w.results[i].comp.discard(a)
		}
		return err
	}
	q.launch(w.results[0].comp.of, backend.Run{
		Program: w.program, Rows: w.binding.Rows, Cols: w.binding.Cols, Inputs: w.in, Outputs: w.out,
	})
	return nil
}

// choose finds the memory of the run: in place, where a result's compartment is
// no operand and holds its array alone.
func (w *work) choose(q *sequence) error {
	clear(w.out)
	clear(w.next)
	if err := w.operands(q); err != nil {
		return err
	}
	for i := range w.results {
		r := &w.results[i]
		if r.omitted {
			continue
		}
		n := r.len
		if w.single {
			n = 1
		}
		var a *array
		var err error
		if r.again {
			a, err = r.comp.of.store.take(n)
		} else {
			a, err = r.comp.writable(n)
		}
		if err != nil {
			return r.comp.fail(err)
		}
		a.content = numbers
		if w.single {
			a.content = uniform
		}
		w.next[i], w.out[i] = a, a.buf
	}
	return nil
}

// operands finds the memory of what the run reads.
func (w *work) operands(q *sequence) error {
	b := &w.binding
	for i, c := range w.inputs {
		w.in[i] = nil
		kind := b.Signature.Kinds[i]
		if kind == kernels.Absent {
			continue
		}
		if c.value.content.isUniform() && kind.Len(b.Rows, b.Cols) != 1 {
			// Narrow could not avoid that. What computes the number must have run.
			if err := q.await(); err != nil {
				return err
			}
			if err := c.own(); err != nil {
				return c.fail(err)
			}
		}
		w.in[i] = c.value.buf
	}
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
