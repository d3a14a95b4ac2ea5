package cpu

import (
	"fmt"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

// borrowed is a buffer in memory of the host's.
type borrowed struct{ buffer }

func (d *device) NewBorrowed(dtype kernels.DType) (backend.Borrowed, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	if err := backend.CheckBuffer(d, dtype, 0); err != nil {
		return nil, err
	}
	b := &borrowed{buffer{dev: d, dtype: dtype}}
	b.array.Store(&array{data: none})
	return b, nil
}

// bufferOf is the device's own buffer that b is.
func bufferOf(b backend.Buffer) (*buffer, bool) {
	switch b := b.(type) {
	case *buffer:
		return b, true
	case *borrowed:
		return &b.buffer, true
	}
	return nil, false
}

// none is where an array of no elements is.
var none = unsafe.Pointer(new(float64))

func (b *borrowed) Borrow(first unsafe.Pointer, n int) error {
	lent := b.array.Load()
	if lent == nil {
		return &backend.Error{Device: b.dev.name, Err: fmt.Errorf("buffer: %w", backend.ErrClosed)}
	}
	if err := backend.CheckBorrow(b.dev, first, n); err != nil {
		return err
	}
	if first == nil {
		first = none
	}
	lent.data, b.len = first, n
	return nil
}

// Close gives the memory back to the host, which it belongs to.
func (b *borrowed) Close() error {
	b.array.Store(nil)
	return nil
}
