package cpu

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

// buffer is an array in ordinary memory.
type buffer struct {
	dev   *device
	dtype kernels.DType
	len   int
	// array is nil once the buffer is closed. Who loaded it before keeps valid
	// memory: the garbage collector frees it after the last user.
	array atomic.Pointer[array]
}

// array is a buffer's memory by its element type; the other one is nil.
type array struct {
	f32 []float32
	f64 []float64
}

func newBuffer(d *device, dtype kernels.DType, n int) *buffer {
	b := &buffer{dev: d, dtype: dtype, len: n}
	m := &array{}
	if dtype == kernels.F32 {
		m.f32 = make([]float32, n)
	} else {
		m.f64 = make([]float64, n)
	}
	b.array.Store(m)
	return b
}

func (b *buffer) Device() backend.Device { return b.dev }

func (b *buffer) DType() kernels.DType { return b.dtype }

func (b *buffer) Len() int { return b.len }

func (b *buffer) Host() []byte {
	host, err := b.host()
	if err != nil {
		return nil
	}
	return host
}

// host is the memory; it is an error where the device or the buffer is closed.
func (b *buffer) host() ([]byte, error) {
	if err := b.dev.enter(); err != nil {
		return nil, err
	}
	defer b.dev.leave()
	m := b.array.Load()
	if m == nil {
		return nil, &backend.Error{Device: b.dev.name, Err: fmt.Errorf("buffer: %w", backend.ErrClosed)}
	}
	p := unsafe.Pointer(unsafe.SliceData(m.f32))
	if b.dtype == kernels.F64 {
		p = unsafe.Pointer(unsafe.SliceData(m.f64))
	}
	return unsafe.Slice((*byte)(p), b.len*b.dtype.Size()), nil
}

func (b *buffer) ReadAt(p []byte, off int64) (int, error) {
	host, err := b.host()
	if err != nil {
		return 0, err
	}
	return backend.ReadAtHost(host, p, off)
}

func (b *buffer) WriteAt(p []byte, off int64) (int, error) {
	host, err := b.host()
	if err != nil {
		return 0, err
	}
	return backend.WriteAtHost(host, p, off)
}

func (b *buffer) Close() error {
	if b.array.Swap(nil) != nil {
		b.dev.taken.Add(-uint64(b.len * b.dtype.Size()))
	}
	return nil
}

// elements is the buffer's array, nil once it is closed.
func elements[T kernels.Float](b *buffer) ([]T, bool) {
	m := b.array.Load()
	if m == nil {
		return nil, false
	}
	if s, ok := any(m.f32).([]T); ok {
		return s, true
	}
	s, ok := any(m.f64).([]T)
	return s, ok
}
