//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"fmt"
	"io"
	"sync/atomic"

	"errorcell/backend"
	"errorcell/kernels"
)

// buffer is an array in device memory.
type buffer struct {
	dev    *device
	dtype  kernels.DType
	len    int
	memory memory
	users  atomic.Int64 // calls that are using the memory, and closed
}

// closed is added to a buffer's users once it is closed.
const closed = 1 << 62

// hold keeps the memory from being given to another buffer until release. It is
// false for a closed one.
func (b *buffer) hold() bool {
	for {
		n := b.users.Load()
		if n&closed != 0 {
			return false
		}
		if b.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends a hold. What the call gave to the stream may not be done: the
// memory's next use comes after it in the same stream.
func (b *buffer) release() {
	if b.users.Add(-1) == closed {
		b.dev.memory.put(b.memory)
	}
}

func (b *buffer) Device() backend.Device { return b.dev }

func (b *buffer) DType() kernels.DType { return b.dtype }

func (b *buffer) Len() int { return b.len }

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
func (b *buffer) copy(p []byte, off int64, short error, move func(*device, memory, int64, []byte) error) (int, error) {
	if err := b.dev.enter(); err != nil {
		return 0, err
	}
	defer b.dev.leave()
	if !b.hold() {
		return 0, &backend.Error{Device: b.dev.name, Err: fmt.Errorf("buffer: %w", backend.ErrClosed)}
	}
	defer b.release()
	if off < 0 {
		return 0, fmt.Errorf("%w: negative offset %d", backend.ErrShape, off)
	}
	n := int(max(0, min(int64(len(p)), int64(b.memory.bytes)-off)))
	if err := move(b.dev, b.memory, off, p[:n]); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, short
	}
	return n, nil
}

func (b *buffer) Close() error {
	for {
		n := b.users.Load()
		if n&closed != 0 {
			return nil
		}
		if b.users.CompareAndSwap(n, n|closed) {
			if n == 0 {
				b.dev.memory.put(b.memory)
			}
			return nil
		}
	}
}
