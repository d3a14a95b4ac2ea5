package neurons

import (
	"slices"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/kernels"
)

// write copies host numbers into a buffer, each rounded once where the buffer's
// type is the narrower one. Where the types differ and the host cannot reach
// the buffer, they go through a temporary copy.
func write[T kernels.Float](buf backend.Buffer, data []T) error {
	switch {
	case buf.DType() == kernels.DTypeOf[T]():
		return backend.Upload(buf, data)
	case buf.DType() == kernels.F32:
		return writeAs[float32](buf, data)
	}
	return writeAs[float64](buf, data)
}

func writeAs[D, T kernels.Float](buf backend.Buffer, data []T) error {
	if err := buf.Device().Sync(); err != nil {
		return err
	}
	if memory, ok := backend.View[D](buf); ok {
		convert(memory, data)
		return nil
	}
	copied := make([]D, len(data))
	convert(copied, data)
	return backend.Upload(buf, copied)
}

// read is the way back.
func read[T kernels.Float](buf backend.Buffer, dst []T) error {
	switch {
	case buf.DType() == kernels.DTypeOf[T]():
		return backend.Download(buf, dst)
	case buf.DType() == kernels.F32:
		return readAs[float32](buf, dst)
	}
	return readAs[float64](buf, dst)
}

func readAs[S, T kernels.Float](buf backend.Buffer, dst []T) error {
	if err := buf.Device().Sync(); err != nil {
		return err
	}
	memory, ok := backend.View[S](buf)
	if !ok {
		memory = make([]S, len(dst))
		if err := backend.Download(buf, memory); err != nil {
			return err
		}
	}
	convert(dst, memory)
	return nil
}

func convert[D, S kernels.Float](dst []D, src []S) {
	for i, x := range src {
		dst[i] = D(x)
	}
}

// fillBuffer makes every number of a buffer x.
func fillBuffer(buf backend.Buffer, x float64) error {
	if buf.DType() == kernels.F32 {
		return fillAs(buf, float32(x))
	}
	return fillAs(buf, x)
}

func fillAs[T kernels.Float](buf backend.Buffer, x T) error {
	if err := buf.Device().Sync(); err != nil {
		return err
	}
	data, ok := backend.View[T](buf)
	if !ok {
		data = make([]T, buf.Len())
	}
	fillSlice(data, x)
	if ok {
		return nil
	}
	return backend.Upload(buf, data)
}

func fillSlice[T kernels.Float](data []T, x T) {
	for i := range data {
		data[i] = x
	}
}

// checkTensor finds tensors that the host cannot read as floats.
func checkTensor(t *tensor.Dense) error {
	switch dtype := t.Dtype(); {
	case dtype.Type == nil:
		return because(ErrType, "the tensor was never made: it has no element type")
	case dtype != tensor.Float32 && dtype != tensor.Float64:
		return because(ErrType, "the tensor holds %v; float32 and float64 are taken", dtype)
	case !t.IsNativelyAccessible():
		return because(ErrType, "the tensor's memory is not accessible to the host: copy it there first")
	}
	return nil
}

// flatten gives the numbers of a tensor in C order: its memory itself where
// they lie there so, else a copy. It follows the strides, since package tensor's
// own Materialize leaves some views as they are.
func flatten[T kernels.Float](t *tensor.Dense, memory []T) ([]T, error) {
	shape := kernels.Shape(t.Shape())
	n, err := shapeLen(shape)
	if err != nil || n == 0 {
		return nil, err
	}
	strides, ok := stridesOf(t)
	if !ok || lastIndex(shape, strides) >= len(memory) {
		return nil, because(ErrShape, "the tensor of shape %v has strides %v and %d elements, which do not fit each other", shape, t.Strides(), len(memory))
	}
	masked := t.IsMasked() && slices.Contains(t.Mask(), true)
	if !masked && isContiguous(shape, strides) {
		return memory[:n], nil
	}
	data := make([]T, n)
	index := make([]int, len(shape))
	at := 0
	for i := range data {
		if masked && t.Mask()[at] {
			return nil, because(ErrType, "element %v of the tensor is masked: fill masked elements first", index)
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

// lastIndex is the largest index that the strides lead to; strides below zero
// lead out of the memory, which the largest int stands for.
func lastIndex(shape kernels.Shape, strides []int) int {
	last := 0
	for axis, d := range shape {
		if d == 1 {
			continue
		}
		if strides[axis] < 0 || strides[axis] > maxElements/d-1 {
			return maxElements
		}
		last += (d - 1) * strides[axis]
		if last >= maxElements {
			return maxElements
		}
	}
	return last
}

// isContiguous reports whether the elements follow one another in C order.
func isContiguous(shape kernels.Shape, strides []int) bool {
	step := 1
	for axis := len(shape) - 1; axis >= 0; axis-- {
		if shape[axis] != 1 && strides[axis] != step {
			return false
		}
		step *= shape[axis]
	}
	return true
}
