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
// optional operands are nil. The errors are those of [Kernel.Bind].
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

// referenceElements computes an elementwise node, reading each argument at the
// index that broadcasting gives.
func referenceElements[T Float](v *Array[T], n Node, values []*Array[T]) {
	f, args := Function[T](n.Op), n.Args[:n.Op.Arity()]
	var a [3]T
	if !slices.ContainsFunc(args, func(arg int) bool {
		return len(values[arg].Data) != 1 && !slices.Equal(values[arg].Shape, v.Shape)
	}) {
		// The index is that of the element, or there is but one element.
		for i := range v.Data {
			for j, arg := range args {
				x := values[arg].Data
				a[j] = x[min(i, len(x)-1)]
			}
			v.Data[i] = f(a)
		}
		return
	}
	index := make([]int, len(v.Shape))
	for i := range v.Data {
		rest := i
		for axis := len(index) - 1; axis >= 0; axis-- {
			index[axis] = rest % v.Shape[axis]
			rest /= v.Shape[axis]
		}
		for j, arg := range args {
			a[j] = values[arg].at(index)
		}
		v.Data[i] = f(a)
	}
}

// at is the element that an array shows at an index of a shape it broadcasts to.
func (a *Array[T]) at(index []int) T {
	offset := 0
	index = index[len(index)-len(a.Shape):]
	for axis, d := range a.Shape {
		offset *= d
		if d != 1 {
			offset += index[axis]
		}
	}
	return a.Data[offset]
}

// Apply is the value of an elementwise operation for one element of each
// argument, as many as it has: what [Reference] computes. Bools are 0 and 1.
func Apply[T Float](op Op, args [3]T) T { return Function[T](op)(args) }

// Function is the function of [Apply] for one operation, nil for one that is
// not elementwise.
func Function[T Float](op Op) func(args [3]T) T {
	if f, ok := any(ops[op].f32).(func([3]T) T); ok {
		return f
	}
	f, _ := any(ops[op].f64).(func([3]T) T)
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
