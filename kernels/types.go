package kernels

import "fmt"

// Float is the set of Go types that hold a kernel's elements.
type Float interface{ float32 | float64 }

// DType is the element type of an array: of operands and results the one that a
// kernel is compiled for, of truth values B8.
type DType uint8

// The element types. The zero DType is none of them, so that a forgotten one
// is noticed.
const (
	F32 DType = iota + 1 // IEEE 754 binary32
	F64                  // IEEE 754 binary64
	// B8 is a byte that is 0 or 1, as a bool of Go and of NumPy is. Only results
	// have it: no kernel is compiled for it, and no operand is of it.
	B8
)

// DTypeOf returns the DType of a Go element type.
func DTypeOf[T Float]() DType {
	var x T
	if _, ok := any(x).(float32); ok {
		return F32
	}
	return F64
}

// Size is the number of bytes of one element.
func (d DType) Size() int {
	switch d {
	case F32:
		return 4
	case F64:
		return 8
	case B8:
		return 1
	}
	return 0
}

// String returns NumPy's name for the type.
func (d DType) String() string {
	switch d {
	case F32:
		return "float32"
	case F64:
		return "float64"
	case B8:
		return "bool"
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// Type is the type of a value inside a kernel.
type Type uint8

const (
	// Real is a floating-point number of the kernel's DType.
	Real Type = iota
	// Ternary is a Real that is known to be -1, 0, +1 or NaN, such as a sign.
	// It can stand wherever a Real can. Its sums are whole numbers, so a
	// lowering may count in integers and gets the bits of the float64 tree.
	Ternary
	// Bool is a truth value, the result of a comparison. Arrays of it are of B8.
	Bool
)

var typeNames = [...]string{Real: "real", Ternary: "ternary", Bool: "bool"}

func (t Type) String() string { return typeNames[t] }

// Kind says along which axes of the (B x N) grid an operand varies. Kinds join
// with bitwise or: a row and a column together make a full array.
type Kind uint8

// The kinds of operand, for a grid of B rows and N columns.
const (
	Absent Kind = 0              // an optional operand that is not given
	Scalar Kind = 1              // one element for the whole grid
	Row    Kind = Scalar | units // N elements, the same for each pattern of the batch
	Column Kind = Scalar | batch // B elements, the same for each unit of a pattern
	Full   Kind = Row | Column   // B*N elements, rows one after the other
	units  Kind = 2
	batch  Kind = 4
)

// Len is the number of elements that an operand of this kind has in a grid.
func (k Kind) Len(rows, cols int) int {
	r, c := k.Extent(rows, cols)
	return r * c
}

// Extent is the shape that an operand of this kind has in a grid: (rows, cols)
// with 1 for each axis along which it does not vary; 0, 0 for Absent.
func (k Kind) Extent(rows, cols int) (r, c int) {
	if k == Absent {
		return 0, 0
	}
	r, c = 1, 1
	if k&batch != 0 {
		r = rows
	}
	if k&units != 0 {
		c = cols
	}
	return r, c
}

func (k Kind) String() string {
	switch k {
	case Absent:
		return "absent"
	case Scalar:
		return "scalar"
	case Row:
		return "row"
	case Column:
		return "column"
	case Full:
		return "full"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Axis says which elements a sum runs over.
type Axis uint8

const (
	// All sums over every element: the result is a scalar.
	All Axis = iota
	// Batch sums over the batch axis: (B x N) becomes (1 x N).
	Batch
)

var axisNames = [...]string{All: "all", Batch: "batch"}

func (a Axis) String() string { return axisNames[a] }
