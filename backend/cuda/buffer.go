//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"fmt"
	"io"
	"sync/atomic"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/kernels"
)

// piece is memory of a device, and who uses it.
type piece struct {
	memory
	home  *allocator
	users atomic.Int64 // calls that are using the memory, and closed
}

// closed is added to a piece's users once it is closed.
const closed = 1 << 62

// hold keeps the memory from being given to others until release. It is false
// for a piece that is closed.
func (p *piece) hold() bool {
	for {
		n := p.users.Load()
		if n&closed != 0 {
			return false
		}
		if p.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends a hold. What the call gave to the stream may not be done: the
// memory's next use comes after it in the same stream.
func (p *piece) release() {
	if p.users.Add(-1) == closed {
		p.home.put(p.memory)
	}
}

// close gives the memory back, once nobody holds it; closing again does nothing.
func (p *piece) close() {
	for {
		n := p.users.Load()
		if n&closed != 0 {
			return
		}
		if p.users.CompareAndSwap(n, n|closed) {
			if n == 0 {
				p.home.put(p.memory)
			}
			return
		}
	}
}

func (p *piece) isClosed() bool { return p.users.Load()&closed != 0 }

// buffer is an array in a piece of device memory.
type buffer struct {
	dev   *device
	dtype kernels.DType
	len   int
	piece *piece
	at    cu.DevicePtr // of the first element
	own   *piece       // of a borrowed one: closed when it is, the piece being others' too
}

// hold is that of the piece, and false for a buffer that is closed.
func (b *buffer) hold() bool { return (b.own == nil || !b.own.isClosed()) && b.piece.hold() }

// bufferOf is the package's own buffer that b is.
func bufferOf(b backend.Buffer) (*buffer, bool) {
	switch b := b.(type) {
	case *buffer:
		return b, true
	case *borrowed:
		return &b.buffer, true
	}
	return nil, false
}

func (b *buffer) Device() backend.Device { return b.dev }

func (b *buffer) DType() kernels.DType { return b.dtype }

func (b *buffer) Len() int { return b.len }

func (b *buffer) bytes() int { return b.len * b.dtype.Size() }

// Host is nil: the host does not reach the memory.
func (b *buffer) Host() []byte { return nil }

func (b *buffer) ReadAt(p []byte, off int64) (int, error) {
	return b.copy(p, off, io.EOF, (*device).download)
}

func (b *buffer) WriteAt(p []byte, off int64) (int, error) {
	return b.copy(p, off, io.ErrShortWrite, (*device).upload)
}

// copy moves what of p lies within the buffer; where that is less than p the
// error is short.
func (b *buffer) copy(p []byte, off int64, short error, move func(*device, cu.DevicePtr, []byte) error) (int, error) {
	if err := b.dev.enter(); err != nil {
		return 0, err
	}
	defer b.dev.leave()
	if !b.hold() {
		return 0, &backend.Error{Device: b.dev.name, Err: fmt.Errorf("buffer: %w", backend.ErrClosed)}
	}
	defer b.piece.release()
	if off < 0 {
		return 0, fmt.Errorf("%w: negative offset %d", backend.ErrShape, off)
	}
	n := int(max(0, min(int64(len(p)), int64(b.bytes())-off)))
	if err := move(b.dev, b.at+cu.DevicePtr(off), p[:n]); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, short
	}
	return n, nil
}

func (b *buffer) Close() error {
	b.piece.close()
	return nil
}
