//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// #include "calls.h"
import "C"

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
)

// HostAlloc allocates n > 0 bytes of pinned host memory, which every context of
// the process can copy from and to asynchronously. It is C's memory: it stays
// until [HostFree], and Go pointers must not be kept in it.
func HostAlloc(n int) ([]byte, error) {
	if n <= 0 {
		return nil, fmt.Errorf("pinned memory of %d bytes: it must be more than 0", n)
	}
	const portable = 1 // CU_MEMHOSTALLOC_PORTABLE
	v := C.errorcell_host_alloc(C.size_t(n), portable)
	if err := result(v.status); err != nil {
		return nil, err
	}
	return unsafe.Slice(recast[*byte](v.value), n), nil
}

// HostFree frees what [HostAlloc] gave.
func HostFree(b []byte) error {
	return result(C.cuMemFreeHost(unsafe.Pointer(unsafe.SliceData(b))))
}

// StreamOrdered says whether the driver and a device have AllocAsync.
func StreamOrdered(dev cu.Device) bool {
	const supported = 115 // CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
	v, err := dev.Attribute(cu.DeviceAttribute(supported))
	return err == nil && v != 0
}

// AllocAsync allocates n bytes of device memory for what a stream does from now
// on: see [StreamOrdered].
func AllocAsync(n int64, s cu.Stream) (cu.DevicePtr, error) {
	v := C.errorcell_alloc_async(C.size_t(n), recast[C.CUstream](s))
	return cu.DevicePtr(v.value), result(v.status)
}

// FreeAsync frees device memory once a stream has done what it was given so far.
func FreeAsync(p cu.DevicePtr, s cu.Stream) error {
	return result(C.cuMemFreeAsync(C.CUdeviceptr(p), recast[C.CUstream](s)))
}

// KeepPool lets a device keep up to n bytes of what FreeAsync frees for the next
// AllocAsync, where it would else return it to the system at each
// synchronization.
func KeepPool(dev cu.Device, n uint64) error {
	return result(C.errorcell_pool_keep(C.CUdevice(dev), C.uint64_t(n)))
}

// TrimPool returns all but n bytes of what a device has kept.
func TrimPool(dev cu.Device, n uint64) error {
	return result(C.errorcell_pool_trim(C.CUdevice(dev), C.size_t(n)))
}
