//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/kernels"
)

// shared are the pieces of memory that the host has too, at the same addresses:
// what CUDA calls managed memory. Its pages go to the side that touches them.
type shared struct {
	lacks string // for sharing, of the GPU; empty if it lacks nothing

	mu     sync.RWMutex
	pieces []*piece // in the order of their addresses
	closed bool
}

// lackForSharing is what a GPU lacks for memory that the host may touch at any time,
// kernels running or not.
func lackForSharing(gpu cu.Device) (string, error) {
	for _, needed := range []struct {
		attribute cu.DeviceAttribute
		name      string
	}{
		{cu.ManagedMemory, "managed memory"},
		{cu.ConcurrentManagedAccess, "managed memory that the host may touch while kernels run"},
	} {
		if v, err := gpu.Attribute(needed.attribute); err != nil || v == 0 {
			return needed.name, err
		}
	}
	return "", nil
}

func (d *device) NewShared(bytes int) ([]byte, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	switch {
	case d.shared.lacks != "":
		return nil, &backend.Error{Device: d.name, Err: fmt.Errorf("%w: shared memory: the GPU or its driver lacks %s", errors.ErrUnsupported, d.shared.lacks)}
	case bytes < 0:
		return nil, &backend.Error{Device: d.name, Err: fmt.Errorf("%w: shared memory of %d bytes", backend.ErrShape, bytes)}
	case bytes == 0:
		return nil, nil
	}
	p, err := d.newPiece(uint64(bytes), true)
	if err != nil {
		return nil, err
	}
	// The host may touch it at once: after the zeros, and after the work that
	// uses what this memory was before.
	if err := d.check(d.stream.Synchronize()); err != nil {
		p.close()
		return nil, err
	}
	d.shared.add(p)
	return hostMemory(p.ptr, bytes), nil
}

// hostMemory is shared memory as the host has it.
func hostMemory(at cu.DevicePtr, bytes int) []byte {
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&at)), bytes)
}

func (d *device) FreeShared(memory []byte) error {
	p, err := d.shared.remove(address(unsafe.Pointer(unsafe.SliceData(memory))), uint64(len(memory)))
	if err != nil {
		return &backend.Error{Device: d.name, Err: err}
	}
	if p != nil {
		p.close()
	}
	return nil
}

func address(p unsafe.Pointer) cu.DevicePtr { return cu.DevicePtr(uintptr(p)) }

// search is where a piece with an address is among the others, or would be.
func (s *shared) search(at cu.DevicePtr) (int, bool) {
	return slices.BinarySearchFunc(s.pieces, at, func(p *piece, at cu.DevicePtr) int {
		switch {
		case at < p.ptr:
			return 1
		case at >= p.ptr+cu.DevicePtr(p.bytes):
			return -1
		}
		return 0
	})
}

func (s *shared) add(p *piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := s.search(p.ptr)
	s.pieces = slices.Insert(s.pieces, i, p)
}

// find is the piece that has an address.
func (s *shared) find(at cu.DevicePtr) (*piece, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.get(at)
}

func (s *shared) get(at cu.DevicePtr) (*piece, error) {
	if s.closed {
		return nil, backend.ErrClosed
	}
	i, ok := s.search(at)
	if !ok {
		return nil, fmt.Errorf("%w: %#x is not in shared memory of this device, which NewShared gives until FreeShared", backend.ErrForeign, uint64(at))
	}
	return s.pieces[i], nil
}

// remove takes a piece out. It is nil for no memory.
func (s *shared) remove(at cu.DevicePtr, bytes uint64) (*piece, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.get(at)
	switch {
	case bytes == 0 && errors.Is(err, backend.ErrForeign):
		return nil, nil
	case err != nil:
		return nil, err
	case at != p.ptr || bytes != p.bytes:
		return nil, fmt.Errorf("%w: %d bytes at %#x are a part of the %d shared bytes at %#x, which are given back all at once",
			backend.ErrShape, bytes, uint64(at), p.bytes, uint64(p.ptr))
	}
	i, _ := s.search(at)
	s.pieces = slices.Delete(s.pieces, i, i+1)
	return p, nil
}

// close ends all pieces: their memory goes with the allocator.
func (s *shared) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pieces {
		p.close()
	}
	s.pieces, s.closed = nil, true
}

// borrowed is a buffer in a part of a shared piece.
type borrowed struct {
	buffer
	nowhere piece // where it has no elements; closed with the buffer
}

func (d *device) NewBorrowed(dtype kernels.DType) (backend.Borrowed, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	if err := backend.CheckBuffer(d, dtype, 0); err != nil {
		return nil, err
	}
	b := &borrowed{buffer: buffer{dev: d, dtype: dtype}}
	b.nowhere.home = &d.memory
	b.piece, b.own = &b.nowhere, &b.nowhere
	return b, nil
}

func (b *borrowed) Borrow(first unsafe.Pointer, n int) error {
	fail := func(err error) error { return &backend.Error{Device: b.dev.name, Err: err} }
	if b.nowhere.isClosed() {
		return fail(fmt.Errorf("buffer: %w", backend.ErrClosed))
	}
	if err := backend.CheckBorrow(b.dev, first, n); err != nil {
		return err
	}
	if n == 0 {
		b.piece, b.at, b.len = &b.nowhere, 0, 0
		return nil
	}
	at, size := address(first), uint64(b.dtype.Size())
	p, err := b.dev.shared.find(at)
	if err != nil {
		return fail(err)
	}
	if uint64(at)%size != 0 {
		return fail(fmt.Errorf("%w: %v at %#x, which is no multiple of %d", backend.ErrShape, b.dtype, uint64(at), size))
	}
	if room := p.bytes - uint64(at-p.ptr); uint64(n) > room/size {
		return fail(fmt.Errorf("%w: %d elements of %v at %#x, %d bytes before the end of the shared memory there", backend.ErrShape, n, b.dtype, uint64(at), room))
	}
	b.piece, b.at, b.len = p, at, n
	return nil
}

// Host is the memory while the device has it.
func (b *borrowed) Host() []byte {
	if b.nowhere.isClosed() || b.piece.isClosed() || b.len == 0 {
		return nil
	}
	return hostMemory(b.at, b.bytes())
}

// Close gives up the memory, which stays the host's.
func (b *borrowed) Close() error {
	b.nowhere.close()
	return nil
}
