package engine

import (
	"errors"
	"fmt"
	"unsafe"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/internal/dense"
	"errorcell/internal/lend"
)

// Place copies a tensor to where the device computes without copies: the memory that a
// GPU shares with the host, if it has such. Operands that stay, such as weights, are
// placed, and tensors that results go to: by WithReuse, WithIncr or UseUnsafe. A result in
// new memory is in Go's, which the garbage collector can free.
//
// The memory is the caller's until [Engine.Free], whatever becomes of the tensor. The
// error is an ErrMemory where the device has no room.
func (e *Engine) Place(t tensor.Tensor) (*tensor.Dense, error) {
	d, ok := t.(*tensor.Dense)
	if !ok || d == nil {
		return nil, fmt.Errorf("engine: place: %w: a *tensor.Dense is wanted, not a %T", backend.ErrOperands, t)
	}
	if dt := d.Dtype(); dt != tensor.Float32 && dt != tensor.Float64 && dt != tensor.Bool {
		return nil, fmt.Errorf("engine: place: %w: float32, float64 and bool are for the device, not %v", backend.ErrDType, dt)
	}
	if !d.IsNativelyAccessible() {
		return nil, fmt.Errorf("engine: place: %w: the memory of the tensor cannot be reached", backend.ErrForeign)
	}
	numbers, columnOrder, err := contents(d)
	if err != nil {
		return nil, fmt.Errorf("engine: place: %w", err)
	}
	memory, err := e.share(len(numbers))
	if err != nil {
		return nil, fmt.Errorf("engine: place: %w", err)
	}
	to := e.newTensor(d.Dtype(), d.Shape().Clone(), columnOrder, memory...)
	copy(bytesOf(to), numbers)
	return to, nil
}

// contents are the elements of a tensor, in column order if they are so in its memory.
func contents(d *tensor.Dense) (elements []byte, columnOrder bool, err error) {
	switch {
	case d.IsScalar(), d.Shape().TotalSize() == 0, inOrder(d):
		return bytesOf(d), d.DataOrder().IsColMajor(), nil
	case d.Dtype() == tensor.Float32:
		x, err := dense.InOrder[float32](d)
		return lend.Of(x).Bytes(), false, err
	case d.Dtype() == tensor.Float64:
		x, err := dense.InOrder[float64](d)
		return lend.Of(x).Bytes(), false, err
	}
	return nil, false, fmt.Errorf("%w: a view of bools that is not contiguous: Materialize gives one that is", backend.ErrOperands)
}

func bytesOf(d *tensor.Dense) []byte {
	return unsafe.Slice((*byte)(dense.First(d)), int(d.Dtype().Size())*d.Shape().TotalSize())
}

// Free gives back the memory of a tensor that Place has made, all of it; neither the
// tensor nor a view of it may be used any more. Other memory is Go's, and left to it. The
// size makes no difference: the engine knows it.
func (e *Engine) Free(memory tensor.Memory, size int64) error {
	if memory == nil || memory.MemSize() == 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	at := memory.Uintptr()
	piece, ok := e.placed[at]
	if !ok {
		return nil
	}
	delete(e.placed, at)
	return errors.Join(e.sharer.FreeShared(piece), e.closeUnused())
}

// share allocates memory for a tensor, whose option it is; none where the device
// shares none.
func (e *Engine) share(bytes int) ([]tensor.ConsOpt, error) {
	if e.sharer == nil || bytes == 0 {
		return nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, e.errClosed()
	}
	memory, err := e.sharer.NewShared(bytes)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
	e.placed[at] = memory
	return []tensor.ConsOpt{tensor.FromMemory(at, uintptr(bytes))}, nil
}
