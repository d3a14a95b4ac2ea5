package cpu

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"errorcell/backend"
	"errorcell/backend/cpu/internal/simd"
	"errorcell/kernels"
)

// elementType is the Go types of a buffer's elements.
type elementType interface{ kernels.Float | byte }

// buffer is an array in ordinary memory.
type buffer struct {
	dev   *device
	dtype kernels.DType
	len   int
	// array is nil once the buffer is closed. Who loaded it before keeps valid
	// memory: the garbage collector frees it after the last user.
	array atomic.Pointer[array]
}

// array is a buffer's memory.
type array struct {
	data unsafe.Pointer // the first element
	// huge is the part that huge pages were asked for.
	huge []byte
}

func newBuffer(d *device, dtype kernels.DType, n int) *buffer {
	b := &buffer{dev: d, dtype: dtype, len: n}
	switch dtype {
	case kernels.F32:
		b.array.Store(newArray[float32](n))
	case kernels.F64:
		b.array.Store(newArray[float64](n))
	case kernels.B8:
		b.array.Store(newArray[byte](n))
	}
	return b
}

func newArray[T elementType](n int) *array {
	s, huge := allocate[T](n)
	return &array{unsafe.Pointer(unsafe.SliceData(s)), huge}
}

// align is what a buffer's address is a multiple of: a cache line, and the
// widest vector, so that no vector of a buffer lies across two lines.
const align = simd.Alignment

// Buffers of large bytes and more begin each at another 4 KB page of their first
// megabyte, a stride after the one before. Else arrays of 2^k bytes would have
// addresses that differ in a few high bits alone, and caches that look at a mix
// of the bits take those for one another. That the stride is an odd number of
// pages, with several bits set, keeps the mix different: see docs/performance.md.
const (
	large  = 16 << 20
	within = 1 << 20
	stride = 37 * 4 << 10
)

// strides is the sum of the strides so far.
var strides atomic.Uint32

// minHuge is how many huge pages a buffer fills at least if it has any, so that
// what it loses by beginning at one is little.
const minHuge = 8

// allocate makes n zeros at an aligned address, and returns the part of the
// memory that huge pages were asked for. It makes more than n and leaves out the
// front, because Go promises no alignment but the element's.
//
// It is ordinary memory of Go's, which lives as long as any slice of it: the
// host's too.
func allocate[T elementType](n int) (s []T, huge []byte) {
	size, to, skip := int(unsafe.Sizeof(*new(T))), align, 0
	if n*size >= large {
		skip = int(strides.Add(stride) % within)
		if page := hugePage(); page > 0 && n*size/page >= minHuge {
			to = page
		}
	}
	all := make([]T, n+(to+skip)/size)
	front := -uintptr(unsafe.Pointer(unsafe.SliceData(all))) % uintptr(to)
	all = all[int(front)/size:]
	if to > align {
		// Memory that the system has just given is not touched yet, and gets
		// huge pages when it is. What is behind the last whole one is not asked
		// for, as other values are there as well.
		whole := (skip + n*size) / to * to
		huge = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(all))), whole)
		askHuge(huge)
	}
	return all[skip/size:][:n:n], huge
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
	return unsafe.Slice((*byte)(m.data), b.len*b.dtype.Size()), nil
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
	if m := b.array.Swap(nil); m != nil {
		if m.huge != nil {
			// What Go puts there next may leave gaps, which the system would
			// fill with huge pages, too.
			unaskHuge(m.huge)
		}
		b.dev.taken.Add(-uint64(b.len * b.dtype.Size()))
	}
	return nil
}

// elements is the buffer's array, of its element type; false once it is closed.
func elements[T elementType](b *buffer) ([]T, bool) {
	m := b.array.Load()
	if m == nil {
		return nil, false
	}
	return unsafe.Slice((*T)(m.data), b.len), true
}
