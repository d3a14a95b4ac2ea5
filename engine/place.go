package engine

import (
	"errors"
	"fmt"
	"unsafe"

	"gorgonia.org/tensor"

	"errorcell/backend"
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
	if !d.IsNativelyAccessible() {
		return nil, fmt.Errorf("engine: place: %w: the memory of the tensor cannot be reached", backend.ErrForeign)
	}
	memory, err := e.share(int(d.Dtype().Size()) * d.Shape().TotalSize())
	if err != nil {
		return nil, fmt.Errorf("engine: place: %w", err)
	}
	to := e.newTensor(d.Dtype(), d.Shape().Clone(), d.DataOrder().IsColMajor(), memory...)
	if err := tensor.Copy(to, d); err != nil {
		return nil, errors.Join(fmt.Errorf("engine: place: %w", err), e.Free(to, 0))
	}
	return to, nil
}

// Free gives back the memory of a tensor that Place has made, all of it; neither the
// tensor nor a view of it may be used any more. Other memory is Go's, and left to it. The
// size makes no difference: the engine knows it.
func (e *Engine) Free(memory tensor.Memory, size int64) error {
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
