package kernels

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// ErrShape is what errors about shapes are, for errors.Is.
var ErrShape = errors.New("shape mismatch")

// ErrOperands is what errors about missing or superfluous operands are, for
// errors.Is.
var ErrOperands = errors.New("wrong operands")

// Shape is the length of an array along each of its axes, as in NumPy. The
// empty shape is a single number's. A nil Shape stands for an operand that is
// absent.
type Shape []int

// Len is the number of elements.
func (s Shape) Len() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Squeeze is the shape without its axes of length 1, as numpy.squeeze has it.
func (s Shape) Squeeze() Shape {
	return slices.DeleteFunc(append(Shape{}, s...), func(d int) bool { return d == 1 })
}

// String writes the shape as NumPy does: (), (3,), (2, 3).
func (s Shape) String() string {
	if s == nil {
		return "absent"
	}
	if len(s) == 1 {
		return fmt.Sprintf("(%d,)", s[0])
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = fmt.Sprint(d)
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// shapeError is an ErrShape with its own text.
type shapeError string

func (e shapeError) Error() string      { return string(e) }
func (shapeError) Is(target error) bool { return target == ErrShape }

// Broadcast is the shape of the result of an elementwise operation on arrays
// of these shapes, by NumPy's rules: shapes are aligned at their last axis,
// and along each axis the lengths are equal or 1.
func Broadcast(shapes ...Shape) (Shape, error) {
	result := Shape{}
	for _, s := range shapes {
		for len(result) < len(s) {
			result = append(Shape{1}, result...)
		}
		for i := range s {
			r := &result[len(result)-len(s)+i]
			switch {
			case s[i] < 0:
				return nil, shapeError(fmt.Sprintf("shape %v has a negative length", s))
			case *r == 1:
				*r = s[i]
			case s[i] != 1 && s[i] != *r:
				return nil, shapeError(fmt.Sprintf("shapes %s do not broadcast", joinShapes(shapes)))
			}
		}
	}
	return result, nil
}

func joinShapes(shapes []Shape) string {
	parts := make([]string, len(shapes))
	for i, s := range shapes {
		parts[i] = s.String()
	}
	return strings.Join(parts, " and ")
}

// Binding is a kernel met by operands of known shapes: all that a caller must
// know to compile it, to size the results and to run it.
type Binding struct {
	Signature  Signature
	Rows, Cols int     // the grid: the batch B and the units N of a pattern
	Outputs    []Shape // of each result, by NumPy's rules
}

// Bind works out the grid, the kind of each operand and the shape of each
// result from the operands' shapes, in the order of [Kernel.Inputs]; nil for
// an optional operand that is absent. The error is an [ErrShape] or an
// [ErrOperands] that names the operand.
//
// The first axis of the grid is the batch. Arrays of one axis are one pattern.
// Of more than two axes, those after the first are the units of a pattern,
// flattened; an operand has them all or, for broadcasting, has length 1 along
// each.
func (k *Kernel) Bind(dtype DType, shapes ...Shape) (Binding, error) {
	if len(shapes) != len(k.inputs) {
		return Binding{}, fmt.Errorf("%w: kernel %s takes %d operands, %d shapes are given", ErrOperands, k.name, len(k.inputs), len(shapes))
	}
	b := Binding{Signature: Signature{DType: dtype}}
	grid := Shape{}
	for i, s := range shapes {
		if slices.ContainsFunc(s, func(d int) bool { return d < 0 }) {
			return Binding{}, shapeError(fmt.Sprintf("%s %v has a negative length", k.inputs[i].Name, s))
		}
		if s == nil {
			if !k.inputs[i].Optional {
				return Binding{}, fmt.Errorf("%w: kernel %s needs %s", ErrOperands, k.name, k.inputs[i].Name)
			}
			continue
		}
		next, err := Broadcast(grid, s)
		if err != nil {
			return Binding{}, k.broadcastError(shapes, i)
		}
		grid = next
	}
	n := 1
	for _, d := range grid {
		if d != 0 && n > math.MaxInt/8/d {
			return Binding{}, shapeError(fmt.Sprintf("the operands broadcast to shape %v, which is larger than memory can be", grid))
		}
		n *= max(d, 1)
	}
	b.Rows, b.Cols = collapse(grid, len(grid))
	for i, s := range shapes {
		if s == nil {
			continue
		}
		kind, ok := kindOf(s, grid)
		if !ok {
			return Binding{}, shapeError(fmt.Sprintf("%s %v broadcasts to %v along some of the axes after the first; all of them or none is wanted",
				k.inputs[i].Name, s, grid))
		}
		b.Signature.Kinds[i] = kind
	}
	node := k.nodeShapes(dtype, shapes, len(grid))
	for _, out := range k.outputs {
		b.Outputs = append(b.Outputs, node[out.Node])
	}
	return b, nil
}

// broadcastError names the operand with which operand i cannot be broadcast.
func (k *Kernel) broadcastError(shapes []Shape, i int) error {
	for j := range i {
		if shapes[j] == nil {
			continue
		}
		if _, err := Broadcast(shapes[j], shapes[i]); err != nil {
			return shapeError(fmt.Sprintf("%s %v and %s %v do not broadcast: along each axis, counted from the last, the lengths must be equal or 1",
				k.inputs[j].Name, shapes[j], k.inputs[i].Name, shapes[i]))
		}
	}
	return shapeError(fmt.Sprintf("%s %v does not broadcast with the other operands", k.inputs[i].Name, shapes[i]))
}

// collapse flattens a shape, aligned with others of the given rank, to rows
// and columns.
func collapse(s Shape, rank int) (rows, cols int) {
	rows = 1
	if len(s) == rank && rank >= 2 {
		rows, s = s[0], s[1:]
	}
	return rows, s.Len()
}

// kindOf is the kind of an operand of shape s in a grid. Where the grid itself
// has length 1 along an axis, an operand of the grid's shape is full and any
// other does not vary along it, so that equal cases have equal signatures.
func kindOf(s, grid Shape) (Kind, bool) {
	rows, cols := collapse(s, len(grid))
	gridRows, gridCols := collapse(grid, len(grid))
	if cols != gridCols && cols != 1 {
		return Absent, false
	}
	if rows == gridRows && cols == gridCols {
		return Full, true
	}
	kind := Scalar
	if rows == gridRows && rows != 1 {
		kind |= batch
	}
	if cols == gridCols && cols != 1 {
		kind |= units
	}
	return kind, true
}

// nodeShapes is the shape of every node's value, for operands that broadcast
// to a grid of the given rank. The batch axis is the grid's first: values with
// fewer axes do not vary along it.
func (k *Kernel) nodeShapes(dtype DType, inputs []Shape, rank int) []Shape {
	shapes := make([]Shape, len(k.nodes))
	for i, n := range k.nodes {
		shapes[i] = Shape{}
		switch {
		case n.Op == OpInput && inputs[n.Index] != nil:
			shapes[i] = slices.Clone(inputs[n.Index])
		case n.Op == OpSum && n.Axis == Batch:
			shapes[i] = slices.Clone(shapes[n.Args[0]])
			if len(shapes[i]) == rank && rank >= 2 {
				shapes[i][0] = 1
			}
		case n.Op == OpByType:
			shapes[i] = shapes[n.taken(dtype)]
		case n.Op.Elementwise():
			for _, arg := range n.Args[:n.Op.Arity()] {
				// The operands broadcast together, so any of them do.
				shapes[i], _ = Broadcast(shapes[i], shapes[arg])
			}
		}
	}
	return shapes
}
