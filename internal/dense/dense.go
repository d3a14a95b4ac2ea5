// Package dense reads tensors of gorgonia.org/tensor where they are.
package dense

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"errorcell/kernels"
)

// ErrMasked is what the error about a masked element is, for errors.Is.
var ErrMasked = errors.New("tensor is masked")

// misfit is the error about a tensor that leads out of its memory.
type misfit struct {
	shape    kernels.Shape
	strides  []int
	elements int
}

func (e misfit) Error() string {
	return fmt.Sprintf("the tensor of shape %v has strides %v and %d elements, which do not fit each other", e.shape, e.strides, e.elements)
}

func (e misfit) Unwrap() error { return kernels.ErrShape }

// First is where the memory of a tensor begins, which the host must reach.
func First(t *tensor.Dense) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(t.Raw)) }

// IsInOrder reports whether the elements of a tensor lie in its memory one after the
// other in C order, none of them masked.
func IsInOrder(t *tensor.Dense) bool {
	n, strides, err := layout(t)
	return err == nil && (n == 0 || !isMasked(t) && isContiguous(t.Shape(), strides, false))
}

// IsInOwnOrder is IsInOrder by the tensor's own data order, which may be that of columns.
// A slice of a transposed tensor says nothing of its strides being neither.
func IsInOwnOrder(t *tensor.Dense) bool {
	n, strides, err := layout(t)
	return err == nil && (n == 0 || !isMasked(t) && isContiguous(t.Shape(), strides, t.DataOrder().IsColMajor()))
}

// InOrder gives the elements of a tensor of T in C order: its memory itself where they
// lie there so, else a copy. It follows the strides, since package tensor's own
// Materialize leaves some views as they are. The error is an ErrMasked, or a
// kernels.ErrShape where the shape leads out of the memory.
func InOrder[T kernels.Float](t *tensor.Dense) ([]T, error) {
	n, strides, err := layout(t)
	if n == 0 {
		return nil, err
	}
	shape, memory, masked := t.Shape(), unsafe.Slice((*T)(First(t)), elements(t)), isMasked(t)
	if !masked && isContiguous(shape, strides, false) {
		return memory[:n], nil
	}
	data := make([]T, n)
	index := make([]int, len(shape))
	at := 0
	for i := range data {
		if masked && t.Mask()[at] {
			return nil, fmt.Errorf("element %v of the %w: fill masked elements first", index, ErrMasked)
		}
		data[i] = memory[at]
		// Count up like an odometer, from the last axis.
		for axis := len(shape) - 1; axis >= 0; axis-- {
			index[axis]++
			at += strides[axis]
			if index[axis] < shape[axis] {
				break
			}
			at -= index[axis] * strides[axis]
			index[axis] = 0
		}
	}
	return data, nil
}

// elements is how many a tensor's memory has.
func elements(t *tensor.Dense) int { return len(t.Raw) / int(t.Dtype().Size()) }

// isMasked reports whether the mask hides anything of the memory.
func isMasked(t *tensor.Dense) bool { return t.IsMasked() && slices.Contains(t.Mask(), true) }

// layout is how many elements a tensor has and its step in memory along each axis,
// which do not lead out of the memory.
func layout(t *tensor.Dense) (n int, strides []int, err error) {
	shape := kernels.Shape(t.Shape())
	n = count(shape)
	if n == 0 {
		return 0, nil, nil
	}
	strides, ok := stridesOf(t)
	if n < 0 || !ok || !within(elements(t), shape, strides) {
		return 0, nil, misfit{shape, t.Strides(), elements(t)}
	}
	return n, strides, nil
}

// maxElements keeps every size in bytes within an int.
const maxElements = math.MaxInt / 8

// count is the number of elements, -1 where there cannot be so many.
func count(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > maxElements/d {
			return -1
		}
		n *= d
	}
	return n
}

// within reports whether the strides lead to elements of the memory alone.
func within(memory int, shape, strides []int) bool {
	rest := memory - 1 // behind the farthest element so far
	for axis, d := range shape {
		if d == 1 {
			continue
		}
		if strides[axis] < 0 || strides[axis] > rest/(d-1) {
			return false
		}
		rest -= strides[axis] * (d - 1)
	}
	return rest >= 0
}

// stridesOf is a tensor's step in memory along each axis. Package tensor keeps
// a single stride, or none, for some arrays with at most one axis longer than 1,
// such as a column in Fortran order.
func stridesOf(t *tensor.Dense) ([]int, bool) {
	shape, strides := t.Shape(), t.Strides()
	if len(strides) == len(shape) {
		return strides, true
	}
	long := 0
	for _, d := range shape {
		if d != 1 {
			long++
		}
	}
	if long > len(strides) || len(strides) > 1 {
		return nil, false
	}
	full := make([]int, len(shape))
	for axis, d := range shape {
		if d != 1 {
			full[axis] = strides[0]
		}
	}
	return full, true
}

// isContiguous reports whether the elements follow one another in C order, or in that of
// columns.
func isContiguous(shape, strides []int, columns bool) bool {
	step := 1
	for i := range shape {
		axis := i
		if !columns {
			axis = len(shape) - 1 - i
		}
		if shape[axis] != 1 && strides[axis] != step {
			return false
		}
		step *= shape[axis]
	}
	return true
}
