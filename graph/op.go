package graph

import (
	"errors"
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
)

// place is where a cell is computed, and on what: what its operations have in common.
type place struct {
	cell   string
	dev    backend.Device
	lender *lend.Lender
	like   like
}

// op is what operations have in common. Without more, one has no gradient.
type op struct {
	place
	name       string
	noGradient string // why
}

const noSecond = "there is no second derivative"

func (o *op) ReturnsPtr() bool     { return true }
func (o *op) CallsExtern() bool    { return false }
func (o *op) OverwritesInput() int { return -1 }

func (o *op) String() string { return fmt.Sprintf("%s{%s on %s}", o.cell, o.name, o.dev.Name()) }

// WriteHash tells operations apart. Two devices of one name are two.
func (o *op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%v %p", o, o.dev) }

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *op) fail(err error) error { return fmt.Errorf("graph: %v: %w", o, err) }

// DiffWRT is true though there is no gradient, so that asking for it comes to SymDiff,
// which says why.
func (o *op) DiffWRT(operands int) []bool {
	wrt := make([]bool, operands)
	for i := range wrt {
		wrt[i] = true
	}
	return wrt
}

func (o *op) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, o.fail(errors.New(o.noGradient))
}

// DoDiff is called by LispMachine even if nobody has asked.
func (o *op) DoDiff(_ gorgonia.ExecutionContext, _ gorgonia.Nodes, output *gorgonia.Node) error {
	grad, err := output.Grad()
	if err == nil && !isZero(grad) {
		err = errors.New(o.noGradient)
	}
	if err != nil {
		return o.fail(err)
	}
	return nil
}

func isZero(v gorgonia.Value) bool {
	switch v := v.(type) {
	case *gorgonia.F32:
		return *v == 0
	case *gorgonia.F64:
		return *v == 0
	case *tensor.Dense:
		return v.Eq(tensor.New(tensor.Of(v.Dtype()), tensor.WithShape(v.Shape().Clone()...)))
	}
	return false
}

// ofDims is a value's type in a graph: a number, or a tensor with so many axes.
func ofDims(dims int) hm.Type {
	element := hm.TypeVariable('a')
	if dims == 0 {
		return element
	}
	return gorgonia.TensorType{Dims: dims, Of: element}
}

// count finds a wrong number of operands.
func count[X any](operands []X, arity int) error {
	if len(operands) != arity {
		return fmt.Errorf("%w: %d operands are wanted, not %d", backend.ErrOperands, arity, len(operands))
	}
	return nil
}

// array is an operand that is a tensor of the given shape.
func (p place) array(v gorgonia.Value, shape tensor.Shape) (*tensor.Dense, error) {
	d, ok := v.(*tensor.Dense)
	switch {
	case !ok || d == nil:
		return nil, fmt.Errorf("%w: it is a %T, a *tensor.Dense is wanted", backend.ErrOperands, v)
	case d.Dtype() != p.like.dtype:
		return nil, fmt.Errorf("%w: %v, not %v", backend.ErrDType, d.Dtype(), p.like.dtype)
	case !d.Shape().Eq(shape):
		return nil, fmt.Errorf("%w: %v, not %v", backend.ErrShape, d.Shape(), shape)
	case !d.IsNativelyAccessible():
		return nil, fmt.Errorf("%w: its memory cannot be reached", backend.ErrForeign)
	}
	return d, nil
}

// memory is that of an operand of the given shape, rows first.
func (p place) memory(v gorgonia.Value, shape tensor.Shape) (lend.Memory, error) {
	d, err := p.array(v, shape)
	if err != nil {
		return lend.Memory{}, err
	}
	if d.Dtype() == tensor.Float32 {
		data, err := dense.InOrder[float32](d)
		return lend.Of(data), err
	}
	data, err := dense.InOrder[float64](d)
	return lend.Of(data), err
}

// number is the memory of an operand that is one number.
func (p place) number(v gorgonia.Value) (lend.Memory, error) {
	m := lend.Memory{DType: p.like.kernelType(), Len: 1}
	switch v := v.(type) {
	case *gorgonia.F32:
		if v != nil && p.like.dtype == tensor.Float32 {
			m.First = unsafe.Pointer(v)
		}
	case *gorgonia.F64:
		if v != nil && p.like.dtype == tensor.Float64 {
			m.First = unsafe.Pointer(v)
		}
	case *tensor.Dense:
		if v != nil && v.Dtype() == p.like.dtype && v.Shape().TotalSize() == 1 && v.IsNativelyAccessible() {
			m.First = dense.First(v)
		}
	}
	if m.First == nil {
		return m, fmt.Errorf("%w: a %v is wanted, not a %T", backend.ErrOperands, p.like.dtype, v)
	}
	return m, nil
}
