//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"sync"

	"gorgonia.org/cu"

	"errorcell/backend"
)

// memory is a piece of device memory.
type memory struct {
	ptr    cu.DevicePtr
	bytes  uint64 // that were asked for
	shared bool   // the host has it too, at the same address
}

// size is what is allocated for it: rounded up, so that arrays of about the
// same length can follow each other in the same place.
func (m memory) size() uint64 {
	const small, large = 512, 2 << 20
	unit := uint64(small)
	if m.bytes >= large {
		unit = large
	}
	return (m.bytes + unit - 1) / unit * unit
}

// allocator keeps freed memory for the next to ask for that size, because the
// driver takes long to allocate and waits for the device to free. All use of
// the memory is in the order of one stream, so what is freed while work on it is
// under way can be given out at once: the next work comes after it.
type allocator struct {
	mu     sync.Mutex
	wait   func() error // until the device has done all that it was given
	limit  uint64
	taken  uint64                  // from the driver, kept pieces included
	kept   map[sort][]cu.DevicePtr // nil once it is closed
	pieces map[cu.DevicePtr]uint64 // all, with their sizes
}

// sort is what pieces that can take each other's place have in common.
type sort struct {
	size   uint64
	shared bool
}

func (m memory) sort() sort { return sort{m.size(), m.shared} }

func newAllocator(limit uint64, wait func() error) allocator {
	return allocator{wait: wait, limit: limit, kept: map[sort][]cu.DevicePtr{}, pieces: map[cu.DevicePtr]uint64{}}
}

// get allocates. The error is an ErrMemory, or the driver's.
func (a *allocator) get(bytes uint64, shared bool) (memory, error) {
	m := memory{bytes: bytes, shared: shared}
	if bytes == 0 {
		return m, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if kept := a.kept[m.sort()]; len(kept) > 0 {
		m.ptr = kept[len(kept)-1]
		a.kept[m.sort()] = kept[:len(kept)-1]
		return m, nil
	}
	err := a.take(&m)
	if errors.Is(err, cu.OutOfMemory) {
		if err := a.trim(); err != nil {
			return memory{}, err
		}
		err = a.take(&m)
	}
	if errors.Is(err, cu.OutOfMemory) {
		return memory{}, fmt.Errorf("%w: %d bytes were asked for, %s", backend.ErrMemory, bytes, a.room())
	}
	return m, err
}

// take asks the driver; being above the limit is the same as having no memory.
func (a *allocator) take(m *memory) error {
	size := m.size()
	if size > a.limit || a.taken > a.limit-size {
		return cu.OutOfMemory
	}
	ptr, err := m.sort().allocate()
	if err != nil {
		return err
	}
	m.ptr = ptr
	a.taken += size
	a.pieces[ptr] = size
	return nil
}

// allocate asks the driver.
func (s sort) allocate() (cu.DevicePtr, error) {
	if s.shared {
		return cu.MemAllocManaged(int64(s.size), cu.AttachGlobal)
	}
	return cu.MemAlloc(int64(s.size))
}

// room says what there is.
func (a *allocator) room() string {
	text := fmt.Sprintf("%d of %d are taken", a.taken, a.limit)
	if free, total, err := cu.MemInfo(); err == nil {
		text += fmt.Sprintf(", and the GPU has %d of %d free", free, total)
	}
	return text
}

// put takes memory back. After close it is gone already.
func (a *allocator) put(m memory) {
	if m.bytes == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept != nil {
		a.kept[m.sort()] = append(a.kept[m.sort()], m.ptr)
	}
}

// trim gives the kept pieces back to the driver, which need not wait for the
// work that still uses them.
func (a *allocator) trim() error {
	if err := a.wait(); err != nil {
		return err
	}
	var errs []error
	for _, pieces := range a.kept {
		for _, ptr := range pieces {
			errs = append(errs, a.giveBack(ptr))
		}
	}
	clear(a.kept)
	return errors.Join(errs...)
}

func (a *allocator) giveBack(ptr cu.DevicePtr) error {
	a.taken -= a.pieces[ptr]
	delete(a.pieces, ptr)
	return cu.MemFree(ptr)
}

// close gives everything back, also what somebody still holds.
func (a *allocator) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for ptr := range a.pieces {
		errs = append(errs, a.giveBack(ptr))
	}
	a.kept = nil
	return errors.Join(errs...)
}
