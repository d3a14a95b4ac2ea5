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

// placed is the engine of tensors in memory that a device shares with the host. Views
// and shallow copies of a tensor have its engine, and keep the memory of a result by
// it: when the garbage collector finds that nobody has the engine, the memory is free.
type placed struct{ *Engine }

// Place copies a tensor to where the device computes fastest: the memory of a GPU, if
// it has some that the host reaches. An operation copies what is elsewhere each time,
// so operands that stay, such as weights, are placed once, and results of placed
// operands are there as well.
//
// The memory is the caller's until [Engine.Free] or until the device is closed, that of
// results the garbage collector's: a result that is given another engine, which
// Gorgonia's machines do with the values of a graph, is to be placed before.
//
// The error is an ErrMemory where the device has no room.
func (e *Engine) Place(t tensor.Tensor) (*tensor.Dense, error) {
	d, ok := t.(*tensor.Dense)
	if !ok || d == nil {
		return nil, fmt.Errorf("engine: place: %w: a *tensor.Dense is wanted, not a %T", backend.ErrOperands, t)
	}
	if !d.IsNativelyAccessible() {
		return nil, fmt.Errorf("engine: place: %w: the memory of the tensor cannot be reached", backend.ErrForeign)
	}
	to, err := e.newTensor(d.Dtype(), d.Shape().Clone(), d.DataOrder().IsColMajor(), byCaller)
	if err == nil {
		err = tensor.Copy(to, d)
	}
	if err != nil {
		return nil, fmt.Errorf("engine: place: %w", err)
	}
	return to, nil
}

// Free gives back the memory of a tensor that Place has made, or of a result, which
// nobody may use any more. Other memory is Go's, and is left to it.
func (e *Engine) Free(memory tensor.Memory, size int64) error {
	e.mu.Lock()
	p := e.pieces[memory.Uintptr()]
	e.mu.Unlock()
	return e.free(p)
}

// piece is memory of the device's, which may be freed by Free and by the collector.
type piece struct{ memory []byte }

func address(memory []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(memory))) }

func (e *Engine) free(p *piece) error {
	if p == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := address(p.memory); e.pieces[at] == p {
		delete(e.pieces, at)
		return errors.Join(e.sharer.FreeShared(p.memory), e.closeUnused())
	}
	return nil
}

// whose says where a new tensor is, and who frees it.
type whose uint8

const (
	inGo        whose = iota // memory of Go's
	byCollector              // the device's memory, while anybody has the tensor's engine
	byCaller                 // the device's memory, until Free
)

// place allocates memory for a tensor, whose options these are; none where the device
// shares none.
func (e *Engine) place(bytes int, whose whose) ([]tensor.ConsOpt, error) {
	if e.sharer == nil || whose == inGo || bytes == 0 {
		return nil, nil
	}
	if err := e.use(); err != nil {
		return nil, err
	}
	memory, err := e.sharer.NewShared(bytes)
	// The collector does not know how much memory of the device's it could free.
	for wait := time.Millisecond; errors.Is(err, backend.ErrMemory) && wait < 50*time.Millisecond; wait *= 2 {
		runtime.GC()
		time.Sleep(wait) // for the cleanups, which come after
		memory, err = e.sharer.NewShared(bytes)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	on, p := &placed{e}, &piece{memory}
	e.mu.Lock()
	e.pieces[address(memory)] = p
	e.mu.Unlock()
	if whose == byCollector {
		runtime.AddCleanup(on, func(p *piece) { e.free(p) }, p)
	}
	return []tensor.ConsOpt{tensor.FromMemory(address(memory), uintptr(bytes)), tensor.WithEngine(on)}, nil
}

// whereIs is where a result of tensors is: in the device's memory if one of them is.
func whereIs(operands ...*tensor.Dense) whose {
	for _, d := range operands {
		if d != nil {
			if _, ok := d.Engine().(*placed); ok {
				return byCollector
			}
		}
	}
	return inGo
}
