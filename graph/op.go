package graph

import (
	"fmt"
	"hash"
	"hash/fnv"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/internal/dense"
	"errorcell/internal/lend"
	"errorcell/kernels"
)

// form is what operands an operation has after target and mu, and its result.
type form uint8

const (
	ofTwo      form = iota // none; the result is like target
	ofLoss                 // errors, of which it makes nothing; the result is a scalar
	ofGradient             // the gradient of the loss, a scalar; the result is like target
)

// place is where a cell is computed, and on what.
type place struct {
	name   string
	dev    backend.Device
	lender *lend.Lender
	like   like
}

// op computes one result of a kernel: all of Gorgonia's interfaces of operations.
type op struct {
	place
	result
	form       form
	program    backend.Program
	output     int    // which result of the program
	outputs    int    // how many the kernel has
	noGradient string // why the operation has none
	by         [2]*op // else, the derivatives by target and mu
}

var (
	_ gorgonia.SDOp            = (*op)(nil)
	_ gorgonia.ADOp            = (*op)(nil)
	_ gorgonia.UsePreallocDoer = (*op)(nil)
)

// The operands of each kernel of the table.
const (
	targetOperand = iota
	muOperand
	modulatorOperand
)

func (p place) newOp(r result, f form) (*op, error) {
	sig := kernels.Signature{DType: kernels.F32}
	if p.like.dtype == tensor.Float64 {
		sig.DType = kernels.F64
	}
	sig.Kinds[targetOperand], sig.Kinds[muOperand] = kernels.Full, kernels.Full
	if f == ofGradient {
		// The chain rule in the same pass: a modulator is a factor of derivatives.
		sig.Kinds[modulatorOperand] = kernels.Scalar
	}
	output, outputs := r.kernel.OutputIndex(r.name), len(r.kernel.Outputs())
	sig.Omit = (1<<outputs - 1) &^ (1 << output)
	program, err := p.dev.Compile(r.kernel, sig)
	if err != nil {
		return nil, err
	}
	return &op{place: p, result: r, form: f, program: program, output: output, outputs: outputs}, nil
}

func (o *op) Arity() int {
	if o.form == ofTwo {
		return 2
	}
	return 3
}

// Type is Tensor a -> Tensor a, and so on, to Tensor a or, of a loss, to a.
func (o *op) Type() hm.Type {
	a := hm.TypeVariable('a')
	t := gorgonia.TensorType{Dims: o.like.dims, Of: a}
	switch o.form {
	case ofLoss:
		return hm.NewFnType(t, t, t, a)
	case ofGradient:
		return hm.NewFnType(t, t, a, t)
	}
	return hm.NewFnType(t, t, t)
}

func (o *op) InferShape(operands ...gorgonia.DimSizer) (tensor.Shape, error) {
	if len(operands) != o.Arity() {
		return nil, o.fail(fmt.Errorf("%w: %d operands are wanted, not %d", backend.ErrOperands, o.Arity(), len(operands)))
	}
	for _, d := range operands[:2] {
		if s, ok := d.(tensor.Shape); !ok || !s.Eq(o.like.shape) {
			return nil, o.fail(fmt.Errorf("%w: an operand has shape %v, not %v", backend.ErrShape, d, o.like.shape))
		}
	}
	if o.form == ofLoss {
		return tensor.ScalarShape(), nil
	}
	return o.like.shape.Clone(), nil
}

func (o *op) ReturnsPtr() bool     { return true }
func (o *op) CallsExtern() bool    { return false }
func (o *op) OverwritesInput() int { return -1 }

func (o *op) String() string {
	return fmt.Sprintf("%s{%s of kernel %s on %s}", o.place.name, o.result.name, o.kernel.Name(), o.dev.Name())
}

// WriteHash tells operations apart. Two devices of one name are two.
func (o *op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%v %d %p", o, o.form, o.dev) }

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *op) fail(err error) error { return fmt.Errorf("graph: %v: %w", o, err) }

// Do computes into a new value.
func (o *op) Do(operands ...gorgonia.Value) (gorgonia.Value, error) {
	return o.run(o.newValue(), operands)
}

// UsePreallocDo computes into a value that is there, if the result fits in.
func (o *op) UsePreallocDo(prealloc gorgonia.Value, operands ...gorgonia.Value) (gorgonia.Value, error) {
	if !o.fits(prealloc) {
		prealloc = o.newValue()
	}
	return o.run(prealloc, operands)
}

func (o *op) newValue() gorgonia.Value {
	switch {
	case o.form != ofLoss:
		return tensor.New(tensor.Of(o.like.dtype), tensor.WithShape(o.like.shape...))
	case o.like.dtype == tensor.Float32:
		return gorgonia.NewF32(0)
	}
	return gorgonia.NewF64(0)
}

func (o *op) fits(v gorgonia.Value) bool {
	if o.form == ofLoss {
		_, err := o.scalar(v)
		return err == nil
	}
	d, ok := v.(*tensor.Dense)
	return ok && d != nil && o.check(d) == nil && dense.IsInOrder(d)
}

// check says what is wrong with a tensor.
func (o *op) check(d *tensor.Dense) error {
	switch {
	case d.Dtype() != o.like.dtype:
		return fmt.Errorf("%w: %v, not %v", backend.ErrDType, d.Dtype(), o.like.dtype)
	case !d.Shape().Eq(o.like.shape):
		return fmt.Errorf("%w: %v, not %v", backend.ErrShape, d.Shape(), o.like.shape)
	case !d.IsNativelyAccessible():
		return fmt.Errorf("%w: its memory cannot be reached", backend.ErrForeign)
	}
	return nil
}

// run computes into a value that fits.
func (o *op) run(to gorgonia.Value, operands []gorgonia.Value) (gorgonia.Value, error) {
	if len(operands) != o.Arity() {
		return nil, o.fail(fmt.Errorf("%w: %d operands are wanted, not %d", backend.ErrOperands, o.Arity(), len(operands)))
	}
	if err := o.compute(to, operands); err != nil {
		return nil, o.fail(err)
	}
	return to, nil
}

func (o *op) compute(to gorgonia.Value, operands []gorgonia.Value) error {
	var inputs [kernels.MaxInputs]lend.Memory
	var outputs [kernels.MaxOutputs]lend.Memory
	n := o.like.shape.TotalSize()
	dtype := o.program.Plan().Signature.DType
	for i, v := range operands[:2] {
		first, err := o.array(v)
		if err != nil {
			return fmt.Errorf("%s: %w", o.kernel.InputName(i), err)
		}
		inputs[i] = lend.Memory{DType: dtype, First: first, Len: n}
	}
	if o.form == ofGradient {
		first, err := o.scalar(operands[2])
		if err != nil {
			return fmt.Errorf("gradient: %w", err)
		}
		inputs[modulatorOperand] = lend.Memory{DType: dtype, First: first, Len: 1}
	}
	result := lend.Memory{DType: dtype, Len: 1}
	if o.form == ofLoss {
		var err error
		if result.First, err = o.scalar(to); err != nil {
			return fmt.Errorf("result: %w", err)
		}
	} else {
		result.First, result.Len = dense.First(to.(*tensor.Dense)), n
	}
	outputs[o.output] = result
	// One row: all operands have every element, so the grid makes no difference.
	return o.lender.Run(o.program, 1, n, inputs[:o.kernel.NumInputs()], outputs[:o.outputs])
}

// array is where the elements of an operand are one after the other, rows first.
func (o *op) array(v gorgonia.Value) (unsafe.Pointer, error) {
	d, ok := v.(*tensor.Dense)
	if !ok || d == nil {
		return nil, fmt.Errorf("%w: it is a %T, a *tensor.Dense is wanted", backend.ErrOperands, v)
	}
	if err := o.check(d); err != nil {
		return nil, err
	}
	if d.Dtype() == tensor.Float32 {
		data, err := dense.InOrder[float32](d)
		return unsafe.Pointer(unsafe.SliceData(data)), err
	}
	data, err := dense.InOrder[float64](d)
	return unsafe.Pointer(unsafe.SliceData(data)), err
}

// scalar is where a value that is one number is.
func (o *op) scalar(v gorgonia.Value) (unsafe.Pointer, error) {
	switch v := v.(type) {
	case *gorgonia.F32:
		if v != nil && o.like.dtype == tensor.Float32 {
			return unsafe.Pointer(v), nil
		}
	case *gorgonia.F64:
		if v != nil && o.like.dtype == tensor.Float64 {
			return unsafe.Pointer(v), nil
		}
	case *tensor.Dense:
		if v != nil && v.Dtype() == o.like.dtype && v.Shape().TotalSize() <= 1 && v.IsNativelyAccessible() {
			return dense.First(v), nil
		}
	}
	return nil, fmt.Errorf("%w: a %v is wanted, not a %T", backend.ErrOperands, o.like.dtype, v)
}
