package graph

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/internal/dense"
	"errorcell/internal/lend"
	"errorcell/kernels"
)

// run is the operation that computes results of a kernel.
type run struct {
	op
	kernel  *kernels.Kernel
	program backend.Program
	// operands are the first of the kernel, Full ones of the cell's shape and Scalar
	// ones that are a number.
	operands []kernels.Kind
	results  []int        // of the kernel
	shape    tensor.Shape // the cell's, or of a vector that has the results one after the other
	// inPlace lets TapeMachine have the result in the first operand's memory, if
	// nobody reads that any more.
	inPlace bool
}

var (
	_ gorgonia.SDOp            = (*run)(nil)
	_ gorgonia.ADOp            = (*run)(nil)
	_ gorgonia.UsePreallocDoer = (*run)(nil)
)

func (p place) newRun(k *kernels.Kernel, operands []kernels.Kind, results ...string) (*run, error) {
	sig := kernels.Signature{DType: p.like.kernelType(), Omit: 1<<len(k.Outputs()) - 1}
	copy(sig.Kinds[:], operands)
	for _, r := range results {
		sig.Omit &^= 1 << k.OutputIndex(r)
	}
	program, err := p.dev.Compile(k, sig)
	if err != nil {
		return nil, err
	}
	o := &run{
		op:     op{place: p, name: strings.Join(results, ", ") + " of kernel " + k.Name(), noGradient: noSecond},
		kernel: k, program: program, operands: operands, shape: p.like.shape,
	}
	n := 0
	for _, r := range results {
		i := k.OutputIndex(r)
		o.results = append(o.results, i)
		n += o.length(i)
	}
	if len(results) > 1 {
		o.shape = tensor.Shape{n}
	}
	return o, nil
}

// length is how many elements a result of the kernel has.
func (o *run) length(result int) int {
	return o.program.Plan().Outputs[result].Len(1, o.like.shape.TotalSize())
}

func (o *run) OverwritesInput() int {
	if o.inPlace {
		return 0
	}
	return -1
}

func (o *run) Arity() int { return len(o.operands) }

func (o *run) Type() hm.Type {
	var types []hm.Type
	for _, kind := range o.operands {
		dims := 0
		if kind == kernels.Full {
			dims = o.like.dims
		}
		types = append(types, ofDims(dims))
	}
	return hm.NewFnType(append(types, ofDims(o.shape.Dims()))...)
}

func (o *run) InferShape(operands ...gorgonia.DimSizer) (tensor.Shape, error) {
	if err := count(operands, o.Arity()); err != nil {
		return nil, o.fail(err)
	}
	for i, d := range operands {
		if s, ok := d.(tensor.Shape); o.operands[i] == kernels.Full && !(ok && s.Eq(o.like.shape)) {
			return nil, o.fail(fmt.Errorf("%s: %w: %v, not %v", o.kernel.InputName(i), backend.ErrShape, d, o.like.shape))
		}
	}
	return o.shape.Clone(), nil
}

// Do computes into a new tensor.
func (o *run) Do(operands ...gorgonia.Value) (gorgonia.Value, error) {
	return o.into(tensor.New(tensor.Of(o.like.dtype), tensor.WithShape(o.shape...)), operands)
}

// UsePreallocDo computes into a tensor that is there, if the results fit in.
func (o *run) UsePreallocDo(prealloc gorgonia.Value, operands ...gorgonia.Value) (gorgonia.Value, error) {
	if d, err := o.array(prealloc, o.shape); err == nil && dense.IsInOrder(d) {
		return o.into(d, operands)
	}
	return o.Do(operands...)
}

func (o *run) into(to *tensor.Dense, operands []gorgonia.Value) (gorgonia.Value, error) {
	if err := o.compute(to, operands); err != nil {
		return nil, o.fail(err)
	}
	return to, nil
}

func (o *run) compute(to *tensor.Dense, operands []gorgonia.Value) error {
	if err := count(operands, o.Arity()); err != nil {
		return err
	}
	var inputs [kernels.MaxInputs]lend.Memory
	for i, v := range operands {
		var err error
		if o.operands[i] == kernels.Full {
			inputs[i], err = o.memory(v, o.like.shape)
		} else {
			inputs[i], err = o.number(v)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.kernel.InputName(i), err)
		}
	}
	var outputs [kernels.MaxOutputs]lend.Memory
	dtype, at := o.like.kernelType(), 0
	for _, i := range o.results {
		n := o.length(i)
		outputs[i] = lend.Memory{DType: dtype, First: unsafe.Add(dense.First(to), at*dtype.Size()), Len: n}
		at += n
	}
	// One row: all operands have every element, so the grid makes no difference.
	return o.lender.Run(o.program, 1, o.like.shape.TotalSize(), inputs[:o.kernel.NumInputs()], outputs[:len(o.program.Plan().Outputs)])
}
