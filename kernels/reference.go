package kernels

import (
	"fmt"
	"slices"
)

// Array is a host array in C order: len(Data) == Shape.Len().
type Array[T Float] struct {
	Shape Shape
	Data  []T
}

// Reference computes a kernel as its definition reads: node by node, each over
// whole arrays of its own shape, sums by the fixed tree. It is the definition
// of what is right, and knows nothing of plans; backends share with it the folds
// of the tree and the functions of operations, which have tests of their own. Absent
// optional operands are nil; truth values are 0 and 1. The errors are those of
// [Kernel.Bind].
func Reference[T Float](k *Kernel, inputs ...*Array[T]) ([]*Array[T], error) {
	shapes := make([]Shape, len(inputs))
	for i, in := range inputs {
		if in == nil {
			continue
		}
		shapes[i] = in.Shape
		if shapes[i] == nil {
			shapes[i] = Shape{}
		}
		if len(in.Data) != in.Shape.Len() {
			return nil, shapeError(fmt.Sprintf("operand %d of kernel %s has shape %v and %d elements", i, k.name, in.Shape, len(in.Data)))
		}
	}
	if _, err := k.Bind(DTypeOf[T](), shapes...); err != nil {
		return nil, err
	}
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	shapeOf := k.nodeShapes(DTypeOf[T](), shapes, rank)
	values, needed := make([]*Array[T], len(k.nodes)), k.needed(DTypeOf[T]())
	for i, n := range k.nodes {
		if !needed[i] {
			continue
		}
		v := &Array[T]{Shape: shapeOf[i], Data: make([]T, shapeOf[i].Len())}
		switch {
		case n.Op == OpConst:
			v.Data[0] = T(n.Const)
		case n.Op == OpInput && inputs[n.Index] == nil:
			v.Data[0] = T(k.inputs[n.Index].Default)
		case n.Op == OpInput:
			copy(v.Data, inputs[n.Index].Data)
		case n.Op == OpSum:
			referenceSum(v, n.Axis, values[n.Args[0]], rank)
		case n.Op == OpByType:
			v = values[n.taken(DTypeOf[T]())]
		default:
			referenceElements(v, n, values)
		}
		values[i] = v
	}
	outs := make([]*Array[T], len(k.outputs))
	for i, out := range k.outputs {
		outs[i] = values[out.Node]
	}
	return outs, nil
}

// needed are the nodes that results of an element type come from: of what is by
// the type, the one of two.
func (k *Kernel) needed(d DType) []bool {
	needed := make([]bool, len(k.nodes))
	for _, out := range k.outputs {
		needed[out.Node] = true
	}
	for i, n := range slices.Backward(k.nodes) {
		switch {
		case !needed[i]:
		case n.Op == OpByType:
			needed[n.taken(d)] = true
		default:
			for _, arg := range n.Args[:n.Op.Arity()] {
				needed[arg] = true
			}
		}
	}
	return needed
}

// referenceElements computes an elementwise node.
func referenceElements[T Float](v *Array[T], n Node, values []*Array[T]) {
	var args [3][]T
	for i, arg := range n.Args[:n.Op.Arity()] {
		if args[i] = values[arg].Data; len(args[i]) != 1 {
			args[i] = values[arg].broadcast(v.Shape)
		}
	}
	functionOf[T](n.Op).each(v.Data, args)
}

// broadcast is what the array shows to a shape that it broadcasts to: along each
// axis along which it has length 1, the last one first, it is repeated.
func (a *Array[T]) broadcast(shape Shape) []T {
	if slices.Equal(a.Shape, shape) || shape.Len() == 0 {
		return a.Data
	}
	data, inner := a.Data, 1
	for back := 1; back <= len(shape); back++ {
		length := shape[len(shape)-back]
		if length != 1 && (back > len(a.Shape) || a.Shape[len(a.Shape)-back] == 1) {
			longer := make([]T, 0, len(data)*length)
			for part := range slices.Chunk(data, inner) {
				for range length {
					longer = append(longer, part...)
				}
			}
			data = longer
		}
		inner *= length
	}
	return data
}

// Apply is the value of an elementwise operation for one element of each
// argument, as many as it has: what [Reference] computes. Bools are 0 and 1.
func Apply[T Float](op Op, args [3]T) T { return Function[T](op)(args) }

// Function is the function of [Apply] for one operation, nil for one that is
// not elementwise.
func Function[T Float](op Op) func(args [3]T) T { return functionOf[T](op).one }

func functionOf[T Float](op Op) function[T] {
	if f, ok := any(ops[op].f32).(function[T]); ok {
		return f
	}
	f, _ := any(ops[op].f64).(function[T])
	return f
}

func referenceSum[T Float](v *Array[T], axis Axis, x *Array[T], rank int) {
	if axis == All {
		v.Data[0] = T(TreeSum(len(x.Data), func(i int) float64 { return float64(x.Data[i]) }))
		return
	}
	rows, cols := collapse(x.Shape, rank)
	for col := range cols {
		v.Data[col] = T(BatchSum(rows, func(row int) float64 { return float64(x.Data[row*cols+col]) }))
	}
}
