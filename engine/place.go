package engine

import (
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"gorgonia.org/tensor"

	"errorcell/backend"
)

// placed is the engine of a tensor in memory that a device shares with the host. Views
// and shallow copies of a tensor have its engine, and keep the memory by it: when the
// garbage collector finds that nobody has the engine, the memory is free.
type placed struct{ *Engine }

// Place copies a tensor to where the device computes fastest: the memory of a GPU, if
// it has some that the host reaches. An operation copies what is elsewhere each time,
// so operands that stay, such as weights, are placed once. Results are there already.
// The error is an ErrMemory where the device has no room.
func (e *Engine) Place(t tensor.Tensor) (*tensor.Dense, error) {
	d, ok := t.(*tensor.Dense)
	if !ok || d == nil {
		return nil, fmt.Errorf("engine: place: %w: a *tensor.Dense is wanted, not a %T", backend.ErrOperands, t)
	}
	if !d.IsNativelyAccessible() {
		return nil, fmt.Errorf("engine: place: %w: the memory of the tensor cannot be reached", backend.ErrForeign)
	}
	columnOrder := d.DataOrder().IsColMajor()
	to, err := e.newTensor(d.Dtype(), d.Shape().Clone(), columnOrder)
	if err != nil {
		return nil, fmt.Errorf("engine: place: %w", err)
	}
	if err := tensor.Copy(to, d); err != nil {
		return nil, fmt.Errorf("engine: place: %w", err)
	}
	return to, nil
}

// place allocates memory for a tensor, whose options these are; none where the device
// shares none.
func (e *Engine) place(bytes int) ([]tensor.ConsOpt, error) {
	memory, err := e.sharer.NewShared(bytes)
	// The collector does not know how much memory of the device's it could free.
	for wait := time.Millisecond; errors.Is(err, backend.ErrMemory) && wait < 50*time.Millisecond; wait *= 2 {
		runtime.GC()
		time.Sleep(wait) // for the cleanups, which come after
		memory, err = e.sharer.NewShared(bytes)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil // Go's memory it is
	}
	if err != nil {
		return nil, err
	}
	p := &placed{e}
	runtime.AddCleanup(p, func(m []byte) { e.sharer.FreeShared(m) }, memory)
	first := uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
	return []tensor.ConsOpt{tensor.FromMemory(first, uintptr(bytes)), tensor.WithEngine(p)}, nil
}
