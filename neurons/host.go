package neurons

import (
	"errors"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/internal/dense"
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

// flatten gives the numbers of a tensor in C order, its memory itself where they lie
// there so.
func flatten[T kernels.Float](t *tensor.Dense) ([]T, error) {
	if _, err := shapeLen(kernels.Shape(t.Shape())); err != nil {
		return nil, err
	}
	data, err := dense.InOrder[T](t)
	if errors.Is(err, dense.ErrMasked) {
		return nil, because(ErrType, "%v", err)
	}
	return data, err
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
