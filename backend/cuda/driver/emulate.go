//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// #include "table.h"
// extern const struct errorcell_table errorcell_emulated;
import "C"

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"gorgonia.org/cu"

	"errorcell/backend/cuda/driver/internal/virtual"
)

// Emulate makes a device of cu's of a GPU that is emulated. All of cu and of this
// package works on it as on a real one, except for textures, arrays, peers,
// callbacks to the host, and graphs that are built node by node: those are
// cu.NotSupported.
//
// Real and emulated devices live side by side. An emulated one is not counted by
// cu.NumDevices; it has only the number that is returned here. Whose function is
// called is decided by the device or the handle among the arguments, else by the
// context that is current in the thread; memory of one is not known to the
// other.
//
// The device, and with it the GPU, is kept until [Unplug].
func Emulate(gpu GPU) (cu.Device, error) {
	if err := emulation(); err != nil {
		return cu.BadDevice, err
	}
	objects.Lock()
	defer objects.Unlock()
	objects.devices = append(objects.devices, virtual.NewDevice(gpu))
	return cu.Device(C.ERRORCELL_EMULATED + len(objects.devices) - 1), nil
}

// Unplug ends an emulated device with all that it has, used or not. Its number is
// never given again.
func Unplug(dev cu.Device) error {
	d, s := device(C.CUdevice(dev))
	if s != virtual.Success {
		return result(status(s))
	}
	d.Settle()
	forgetIf(func(o object) bool { return o.Context() != nil && o.Context().Device() == d })
	objects.Lock()
	defer objects.Unlock()
	objects.devices[int(dev)-C.ERRORCELL_EMULATED] = nil
	return nil
}

var emulation = sync.OnceValue(func() error {
	begin := C.errorcell_emulate(&C.errorcell_emulated)
	if begin == 0 {
		return errors.New("emulated GPU: there is no room left in the address space for its handles")
	}
	objects.next = uintptr(begin)
	objects.end = objects.next + C.ERRORCELL_HANDLES
	objects.byHandle = map[uintptr]object{}
	objects.pinned = map[uintptr]pinned{}
	return nil
})

// object is what a handle stands for.
type object interface{ Context() *virtual.Context }

// pinned is host memory that the device may use late.
type pinned struct {
	size  uintptr
	block unsafe.Pointer // to free; nil for memory that is the caller's
}

// objects are those of all emulated devices. Handles are never used again: one
// that is used after its end is found out.
var objects struct {
	sync.RWMutex
	devices   []*virtual.Device // nil once unplugged
	next, end uintptr
	byHandle  map[uintptr]object
	pinned    map[uintptr]pinned
}

const handleStep = 16

// newHandle gives an object a handle. It is a pointer for C, though to nothing.
func newHandle[H any](o object) (h H, s virtual.Status) {
	objects.Lock()
	defer objects.Unlock()
	if objects.next >= objects.end {
		return h, virtual.OutOfMemory
	}
	v := objects.next
	objects.next += handleStep
	objects.byHandle[v] = o
	return recast[H](v), virtual.Success
}

// find is the object of a handle.
func find[O object, H any](h H) (o O, s virtual.Status) {
	objects.RLock()
	defer objects.RUnlock()
	o, ok := objects.byHandle[recast[uintptr](h)].(O)
	if !ok {
		return o, virtual.InvalidHandle
	}
	return o, virtual.Success
}

// handleOf is the handle of an object that has one.
func handleOf[H any](o object) (h H) {
	objects.RLock()
	defer objects.RUnlock()
	for v, other := range objects.byHandle {
		if other == o {
			return recast[H](v)
		}
	}
	return h
}

// forget takes a handle away.
func forget[H any](h H) {
	objects.Lock()
	defer objects.Unlock()
	delete(objects.byHandle, recast[uintptr](h))
}

// forgetIf takes away the handles of objects.
func forgetIf(ended func(object) bool) {
	objects.Lock()
	defer objects.Unlock()
	for v, o := range objects.byHandle {
		if ended(o) {
			delete(objects.byHandle, v)
		}
	}
}

func device(dev C.CUdevice) (*virtual.Device, virtual.Status) {
	objects.RLock()
	defer objects.RUnlock()
	i := int(dev) - C.ERRORCELL_EMULATED
	if i < 0 || i >= len(objects.devices) || objects.devices[i] == nil {
		return nil, virtual.InvalidDevice
	}
	return objects.devices[i], virtual.Success
}

// current is the context of this thread: one is emulated, or the real driver
// would have been called.
func current() (*virtual.Context, virtual.Status) {
	c, s := find[*virtual.Context](C.errorcell_emulated_context())
	if s != virtual.Success {
		return nil, virtual.ContextIsDestroyed
	}
	return c, s
}

// stream is that of a handle, or the default one of the thread's context.
func stream(h C.CUstream) (*virtual.Stream, virtual.Status) {
	if h != nil {
		return find[*virtual.Stream](h)
	}
	c, s := current()
	if s != virtual.Success {
		return nil, s
	}
	return c.Null(), s
}

// thread is that of the driver's caller, which is this one's.
func thread() int { return syscall.Gettid() }

// isPinned says whether all of a piece of host memory is pinned.
func isPinned(p unsafe.Pointer, n C.size_t) bool {
	objects.RLock()
	defer objects.RUnlock()
	for begin, m := range objects.pinned {
		if uintptr(p) >= begin && uintptr(p)+uintptr(n) <= begin+m.size {
			return true
		}
	}
	return false
}

// settle does all work of all devices, which may need host memory that ends.
func settle() {
	objects.RLock()
	devices := slices.Clone(objects.devices)
	objects.RUnlock()
	for _, d := range devices {
		if d != nil {
			d.Settle()
		}
	}
}

// bytesAt is C's memory as a slice.
func bytesAt(p unsafe.Pointer, n C.size_t) []byte { return unsafe.Slice((*byte)(p), int(n)) }
