package graph

import (
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/internal/lend"
	"errorcell/kernels"
)

// A cell is a run, which computes errors, derivative by target and loss in one vector,
// and operations that take these from there. None of them remembers anything: what it
// gives is of its operands alone.

// part is the operation that shows a tensor of the cell's shape within a vector. It
// shares the vector's memory, of which each part is another.
type part struct {
	op
	vector tensor.Shape
	from   int // the first of its elements
}

var (
	_ gorgonia.SDOp = (*part)(nil)
	_ gorgonia.ADOp = (*part)(nil)
)

func (o *part) Arity() int    { return 1 }
func (o *part) Type() hm.Type { return hm.NewFnType(ofDims(1), ofDims(o.like.dims)) }

func (o *part) InferShape(operands ...gorgonia.DimSizer) (tensor.Shape, error) {
	if err := count(operands, o.Arity()); err != nil {
		return nil, o.fail(err)
	}
	return o.like.shape.Clone(), nil
}

func (o *part) Do(operands ...gorgonia.Value) (gorgonia.Value, error) {
	if err := count(operands, o.Arity()); err != nil {
		return nil, o.fail(err)
	}
	m, err := o.memory(operands[0], o.vector)
	if err != nil {
		return nil, o.fail(err)
	}
	n := o.like.shape.TotalSize()
	var elements any
	if m.DType == kernels.F32 {
		elements = within[float32](m, o.from, n)
	} else {
		elements = within[float64](m, o.from, n)
	}
	return tensor.New(tensor.WithShape(o.like.shape...), tensor.WithBacking(elements)), nil
}

// within is n of the elements of a memory.
func within[T kernels.Float](m lend.Memory, from, n int) []T {
	return unsafe.Slice((*T)(m.First), m.Len)[from : from+n : from+n]
}

// loss is the operation that takes the loss from a vector, whose last element it is.
type loss struct {
	op
	vector tensor.Shape
	// What the gradient is computed by: the derivative by target, a part of the vector,
	// and a run that scales it, and the errors, by the gradient of the loss.
	dtarget *part
	scale   *run
	byMu    *run // in place of scaled errors, where they are not the derivative by mu
}

// The operands of loss.
const (
	ofTarget = iota
	ofMu
	ofVector
	ofErrors // they are no root of the graph then, which LispMachine takes for a cost
	lossOperands
)

var (
	_ gorgonia.SDOp = (*loss)(nil)
	_ gorgonia.ADOp = (*loss)(nil)
)

func (o *loss) Arity() int { return lossOperands }

func (o *loss) Type() hm.Type {
	like := ofDims(o.like.dims)
	return hm.NewFnType(like, like, ofDims(1), like, ofDims(0))
}

func (o *loss) InferShape(operands ...gorgonia.DimSizer) (tensor.Shape, error) {
	if err := count(operands, o.Arity()); err != nil {
		return nil, o.fail(err)
	}
	return tensor.ScalarShape(), nil
}

func (o *loss) Do(operands ...gorgonia.Value) (gorgonia.Value, error) {
	if err := count(operands, o.Arity()); err != nil {
		return nil, o.fail(err)
	}
	m, err := o.memory(operands[ofVector], o.vector)
	if err != nil {
		return nil, o.fail(err)
	}
	if m.DType == kernels.F32 {
		return gorgonia.NewF32(within[float32](m, m.Len-1, 1)[0]), nil
	}
	return gorgonia.NewF64(within[float64](m, m.Len-1, 1)[0]), nil
}

// DiffWRT is true for target and mu.
func (o *loss) DiffWRT(operands int) []bool {
	wrt := make([]bool, operands)
	for i := range min(operands, ofVector) {
		wrt[i] = true
	}
	return wrt
}

// SymDiff adds the derivatives by target and mu to the graph, for TapeMachine.
func (o *loss) SymDiff(operands gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.noGradient != "" {
		return o.op.SymDiff(operands, output, grad)
	}
	d, err := derivatives(o, gorgonia.ApplyOp, operands, grad)
	if err != nil {
		return nil, o.fail(err)
	}
	return append(d[:], nil, nil), nil
}

// DoDiff adds the derivatives to the gradients of target and mu, for LispMachine.
func (o *loss) DoDiff(ctx gorgonia.ExecutionContext, operands gorgonia.Nodes, output *gorgonia.Node) error {
	if o.noGradient != "" {
		return o.op.DoDiff(ctx, operands, output)
	}
	grad, err := output.Grad()
	if err != nil {
		return o.fail(err)
	}
	values := make([]gorgonia.Value, len(operands))
	for i, n := range operands {
		values[i] = n.Value()
	}
	d, err := derivatives(o, func(op gorgonia.Op, operands ...gorgonia.Value) (gorgonia.Value, error) {
		return op.Do(operands...)
	}, values, grad)
	for i := 0; err == nil && i < len(d); i++ {
		var sum gorgonia.Value
		if sum, err = operands[i].Grad(); err == nil {
			_, err = tensor.Add(sum, d[i], tensor.UseUnsafe())
		}
	}
	if err != nil {
		return o.fail(err)
	}
	return nil
}

// derivatives are those by target and mu, of nodes or of values.
func derivatives[X any](o *loss, apply func(gorgonia.Op, ...X) (X, error), operands []X, grad X) (d [2]X, err error) {
	if d[ofTarget], err = apply(o.dtarget, operands[ofVector]); err != nil {
		return d, err
	}
	inPlace := *o.scale // nothing else reads this part, which errors are not
	inPlace.inPlace = true
	if d[ofTarget], err = apply(&inPlace, d[ofTarget], grad); err != nil {
		return d, err
	}
	if o.byMu != nil {
		d[ofMu], err = apply(o.byMu, operands[ofTarget], operands[ofMu], grad)
	} else {
		d[ofMu], err = apply(o.scale, operands[ofErrors], grad)
	}
	return d, err
}
