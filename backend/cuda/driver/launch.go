//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// #include "calls.h"
import "C"

import (
	"errors"
	"math"
	"unsafe"

	"gorgonia.org/cu"
)

// Launch is a kernel launch that is prepared once and run many times. It stands
// in C's memory, so that running it allocates nothing and checks no pointers.
// The driver has copied the parameters when Run returns: they can be set for the
// next one at once. A Launch is for one goroutine at a time.
type Launch struct {
	c     *C.struct_errorcell_launch
	cells []uint64 // the parameters, each in a cell of its own
}

// NewLaunch prepares launches of a function with a number of parameters.
func NewLaunch(fn cu.Function, params int) (*Launch, error) {
	size := C.sizeof_struct_errorcell_launch
	block := C.calloc(1, C.size_t(size+16*params)) // the launch, its pointers, its cells
	if block == nil {
		return nil, errors.New("no memory for a launch")
	}
	l := &Launch{
		c:     (*C.struct_errorcell_launch)(block),
		cells: unsafe.Slice((*uint64)(unsafe.Add(block, size+8*params)), params),
	}
	pointers := unsafe.Slice((*unsafe.Pointer)(unsafe.Add(block, size)), params)
	for i := range pointers {
		pointers[i] = unsafe.Pointer(&l.cells[i])
	}
	l.c.function = recast[C.CUfunction](fn)
	l.c.params = (*unsafe.Pointer)(unsafe.Pointer(unsafe.SliceData(pointers)))
	l.Configure([3]int{1, 1, 1}, [3]int{1, 1, 1}, 0)
	return l, nil
}

// Configure sets the blocks of the grid, the threads of a block, and the bytes
// of dynamic shared memory of a block.
func (l *Launch) Configure(grid, block [3]int, shared int) {
	for i := range 3 {
		l.c.grid[i] = C.uint(grid[i])
		l.c.block[i] = C.uint(block[i])
	}
	l.c.shared = C.uint(shared)
}

// SetPointer sets the i-th parameter, which must be an address in the kernel.
func (l *Launch) SetPointer(i int, p cu.DevicePtr) { l.cells[i] = uint64(p) }

// SetUint32 sets the i-th parameter, which must have 32 bits in the kernel.
func (l *Launch) SetUint32(i int, v uint32) { l.cells[i] = uint64(v) }

// SetUint64 sets the i-th parameter, which must have 64 bits in the kernel.
func (l *Launch) SetUint64(i int, v uint64) { l.cells[i] = v }

// SetFloat32 sets the i-th parameter, which must be an f32 in the kernel.
func (l *Launch) SetFloat32(i int, v float32) { l.cells[i] = uint64(math.Float32bits(v)) }

// Run launches the kernel on a stream of the current context.
func (l *Launch) Run(s cu.Stream) error {
	l.c.stream = recast[C.CUstream](s)
	return result(C.errorcell_launch(l.c))
}

// Close frees the launch; closing again does nothing.
func (l *Launch) Close() {
	C.free(unsafe.Pointer(l.c))
	l.c, l.cells = nil, nil
}
