//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// #include "table.h"
// #include <string.h>
// typedef const void *errorcell_source;
// typedef const char *errorcell_text;
import "C"

import (
	"slices"
	"unsafe"

	"errorcell/backend/cuda/driver/internal/virtual"
)

// The driver's functions for emulated devices, by group as in its manual. The
// names are the driver's; emulated.c puts them into the table.

// status is what a function returns.
func status(s virtual.Status) C.CUresult { return C.CUresult(s) }

const success = virtual.Success

// end takes the handle of an object away, which is all that its end needs.
func end[O object, H any](h H) C.CUresult {
	_, s := find[O](h)
	if s == success {
		forget(h)
	}
	return status(s)
}

// Devices.

//export emulatedDeviceGetName
func emulatedDeviceGetName(name *C.char, n C.int, dev C.CUdevice) C.CUresult {
	d, s := device(dev)
	if s != success {
		return status(s)
	}
	if name == nil || n <= 0 {
		return status(virtual.InvalidValue)
	}
	text := bytesAt(unsafe.Pointer(name), C.size_t(n))
	text[copy(text[:n-1], d.Name())] = 0
	return status(s)
}

//export emulatedDeviceGetUuid
func emulatedDeviceGetUuid(uuid *C.CUuuid, dev C.CUdevice) C.CUresult {
	_, s := device(dev)
	if s == success {
		copy(bytesAt(unsafe.Pointer(uuid), 16), "errorcell")
		bytesAt(unsafe.Pointer(uuid), 16)[15] = byte(dev)
	}
	return status(s)
}

//export emulatedDeviceTotalMem
func emulatedDeviceTotalMem(bytes *C.size_t, dev C.CUdevice) C.CUresult {
	d, s := device(dev)
	if s == success {
		_, total := d.MemInfo()
		*bytes = C.size_t(total)
	}
	return status(s)
}

//export emulatedDeviceGetAttribute
func emulatedDeviceGetAttribute(v *C.int, attribute C.CUdevice_attribute, dev C.CUdevice) C.CUresult {
	d, s := device(dev)
	if s == success {
		*v = C.int(d.Attribute(int(attribute)))
	}
	return status(s)
}

//export emulatedDeviceCanAccessPeer
func emulatedDeviceCanAccessPeer(can *C.int, dev, peer C.CUdevice) C.CUresult {
	*can = 0
	return status(success)
}

//export emulatedDeviceGetDefaultMemPool
func emulatedDeviceGetDefaultMemPool(pool *C.errorcell_memory_pool, dev C.CUdevice) C.CUresult {
	_, s := device(dev)
	if s != success {
		return status(s)
	}
	// Nothing is kept in it: any handle does.
	*pool, s = newHandle[C.errorcell_memory_pool](noContext{})
	return status(s)
}

// noContext is an object of no context.
type noContext struct{}

func (noContext) Context() *virtual.Context { return nil }

//export emulatedMemPoolSetAttribute
func emulatedMemPoolSetAttribute(pool C.errorcell_memory_pool, attribute C.int, value unsafe.Pointer) C.CUresult {
	_, s := find[noContext](pool)
	return status(s)
}

//export emulatedMemPoolTrimTo
func emulatedMemPoolTrimTo(pool C.errorcell_memory_pool, keep C.size_t) C.CUresult {
	_, s := find[noContext](pool)
	return status(s)
}

// Contexts. Which is current, table.c knows.

//export emulatedDevicePrimaryCtxRetain
func emulatedDevicePrimaryCtxRetain(pctx *C.CUcontext, dev C.CUdevice) C.CUresult {
	d, s := device(dev)
	if s != success {
		return status(s)
	}
	c, s := d.RetainPrimary()
	if s != success {
		return status(s)
	}
	if *pctx = handleOf[C.CUcontext](c); *pctx == nil {
		*pctx, s = newHandle[C.CUcontext](c)
	}
	return status(s)
}

//export emulatedDevicePrimaryCtxRelease
func emulatedDevicePrimaryCtxRelease(dev C.CUdevice) C.CUresult {
	d, s := device(dev)
	if s != success {
		return status(s)
	}
	c, s := d.ReleasePrimary()
	forgetContext(c)
	return status(s)
}

//export emulatedDevicePrimaryCtxReset
func emulatedDevicePrimaryCtxReset(dev C.CUdevice) C.CUresult {
	d, s := device(dev)
	if s != success {
		return status(s)
	}
	c, s := d.ResetPrimary()
	forgetContext(c)
	return status(s)
}

//export emulatedDevicePrimaryCtxSetFlags
func emulatedDevicePrimaryCtxSetFlags(dev C.CUdevice, flags C.uint) C.CUresult {
	d, s := device(dev)
	if s == success {
		d.SetPrimaryFlags(uint(flags))
	}
	return status(s)
}

//export emulatedDevicePrimaryCtxGetState
func emulatedDevicePrimaryCtxGetState(dev C.CUdevice, flags *C.uint, active *C.int) C.CUresult {
	d, s := device(dev)
	if s == success {
		f, a := d.PrimaryState()
		*flags, *active = C.uint(f), 0
		if a {
			*active = 1
		}
	}
	return status(s)
}

// forgetContext ends a context's handle and those of all that it had.
func forgetContext(c *virtual.Context) {
	if c != nil {
		forgetIf(func(o object) bool { return o.Context() == c })
	}
}

//export emulatedCtxCreate
func emulatedCtxCreate(pctx *C.CUcontext, flags C.uint, dev C.CUdevice) C.CUresult {
	d, s := device(dev)
	if s != success {
		return status(s)
	}
	c, s := d.NewContext(uint(flags))
	if s == success {
		*pctx, s = newHandle[C.CUcontext](c)
	}
	return status(s)
}

//export emulatedCtxDestroy
func emulatedCtxDestroy(ctx C.CUcontext) C.CUresult {
	c, s := find[*virtual.Context](ctx)
	if s != success {
		return status(virtual.InvalidContext)
	}
	s = c.Destroy()
	if s != virtual.InvalidContext { // which a primary one is here
		forgetContext(c)
	}
	return status(s)
}

// emulatedCtxCheck is for cuCtxSetCurrent and cuCtxPushCurrent.
//
//export emulatedCtxCheck
func emulatedCtxCheck(ctx C.CUcontext) C.CUresult {
	if _, s := find[*virtual.Context](ctx); s != success {
		return status(virtual.InvalidContext)
	}
	return status(success)
}

//export emulatedCtxGetDevice
func emulatedCtxGetDevice(dev *C.CUdevice) C.CUresult {
	c, s := current()
	if s != success {
		return status(s)
	}
	objects.RLock()
	defer objects.RUnlock()
	*dev = C.CUdevice(C.ERRORCELL_EMULATED + slices.Index(objects.devices, c.Device()))
	return status(s)
}

//export emulatedCtxGetFlags
func emulatedCtxGetFlags(flags *C.uint) C.CUresult {
	c, s := current()
	if s == success {
		*flags = C.uint(c.Flags)
	}
	return status(s)
}

//export emulatedCtxGetApiVersion
func emulatedCtxGetApiVersion(ctx C.CUcontext, version *C.uint) C.CUresult {
	*version = 3020 // what every driver says for cuCtxCreate_v2
	return emulatedCtxCheck(ctx)
}

//export emulatedCtxGetStreamPriorityRange
func emulatedCtxGetStreamPriorityRange(least, greatest *C.int) C.CUresult {
	*least, *greatest = 0, 0
	return status(success)
}

//export emulatedCtxSynchronize
func emulatedCtxSynchronize() C.CUresult {
	c, s := current()
	if s == success {
		s = c.Synchronize()
	}
	return status(s)
}

// Modules and functions.

//export emulatedModuleLoadData
func emulatedModuleLoadData(module *C.CUmodule, image C.errorcell_source) C.CUresult {
	return emulatedModuleLoadDataEx(module, image, 0, nil, nil)
}

//export emulatedModuleLoadDataEx
func emulatedModuleLoadDataEx(module *C.CUmodule, image C.errorcell_source, n C.uint, options *C.CUjit_option, values *unsafe.Pointer) C.CUresult {
	c, s := current()
	if s != success {
		return status(s)
	}
	m, log, s := c.Load(C.GoString((*C.char)(image)))
	if s == success {
		*module, s = newHandle[C.CUmodule](m)
	}
	jitLog(unsafe.Slice(options, n), unsafe.Slice(values, n), C.CU_JIT_ERROR_LOG_BUFFER, log)
	jitLog(unsafe.Slice(options, n), unsafe.Slice(values, n), C.CU_JIT_INFO_LOG_BUFFER, "")
	return status(s)
}

// jitLog puts a text into the buffer that an option names; the option behind it
// has the buffer's size.
func jitLog(options []C.CUjit_option, values []unsafe.Pointer, buffer C.CUjit_option, text string) {
	i, j := slices.Index(options, buffer), slices.Index(options, buffer+1)
	if i < 0 || j < 0 || uintptr(values[j]) == 0 {
		return
	}
	b := bytesAt(values[i], C.size_t(uintptr(values[j])))
	b[copy(b[:len(b)-1], text)] = 0
}

//export emulatedModuleUnload
func emulatedModuleUnload(module C.CUmodule) C.CUresult {
	m, s := find[*virtual.LoadedModule](module)
	if s != success {
		return status(s)
	}
	s = m.Unload()
	forgetIf(func(o object) bool {
		f, ok := o.(*virtual.LoadedFunction)
		return ok && f.Module() == m || o == object(m)
	})
	return status(s)
}

//export emulatedModuleGetFunction
func emulatedModuleGetFunction(function *C.CUfunction, module C.CUmodule, name C.errorcell_text) C.CUresult {
	m, s := find[*virtual.LoadedModule](module)
	if s != success {
		return status(s)
	}
	f, s := m.Function(C.GoString((*C.char)(unsafe.Pointer(name))))
	if s == success {
		*function, s = newHandle[C.CUfunction](f)
	}
	return status(s)
}

//export emulatedFuncGetAttribute
func emulatedFuncGetAttribute(v *C.int, attribute C.CUfunction_attribute, function C.CUfunction) C.CUresult {
	f, s := find[*virtual.LoadedFunction](function)
	if s != success {
		return status(s)
	}
	value, s := f.Attribute(int(attribute))
	*v = C.int(value)
	return status(s)
}

//export emulatedFuncSetAttribute
func emulatedFuncSetAttribute(function C.CUfunction, attribute C.CUfunction_attribute, value C.int) C.CUresult {
	f, s := find[*virtual.LoadedFunction](function)
	if s == success {
		s = f.SetAttribute(int(attribute), int(value))
	}
	return status(s)
}

//export emulatedOccupancyMaxActiveBlocksPerMultiprocessor
func emulatedOccupancyMaxActiveBlocksPerMultiprocessor(n *C.int, function C.CUfunction, threads C.int, shared C.size_t) C.CUresult {
	f, s := find[*virtual.LoadedFunction](function)
	if s != success {
		return status(s)
	}
	blocks, s := f.MaxActiveBlocks(int(threads), int(shared))
	*n = C.int(blocks)
	return status(s)
}

//export emulatedOccupancyMaxActiveBlocksPerMultiprocessorWithFlags
func emulatedOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(n *C.int, function C.CUfunction, threads C.int, shared C.size_t, flags C.uint) C.CUresult {
	return emulatedOccupancyMaxActiveBlocksPerMultiprocessor(n, function, threads, shared)
}

//export emulatedLaunchKernel
func emulatedLaunchKernel(function C.CUfunction, gx, gy, gz, bx, by, bz, shared C.uint, on C.CUstream, params, extra *unsafe.Pointer) C.CUresult {
	f, s := find[*virtual.LoadedFunction](function)
	if s != success {
		return status(s)
	}
	q, s := stream(on)
	if s != success {
		return status(s)
	}
	sizes := f.Params()
	if extra != nil || params == nil && len(sizes) > 0 {
		return status(virtual.InvalidValue)
	}
	l := virtual.Launch{
		Grid:   [3]uint32{uint32(gx), uint32(gy), uint32(gz)},
		Block:  [3]uint32{uint32(bx), uint32(by), uint32(bz)},
		Shared: uint32(shared),
	}
	for i, p := range unsafe.Slice(params, len(sizes)) {
		l.Params = append(l.Params, slices.Clone(bytesAt(p, C.size_t(sizes[i]))))
	}
	return status(q.Launch(f, l))
}

// Memory.

//export emulatedMemGetInfo
func emulatedMemGetInfo(free, total *C.size_t) C.CUresult {
	c, s := current()
	if s == success {
		f, t := c.Device().MemInfo()
		*free, *total = C.size_t(f), C.size_t(t)
	}
	return status(s)
}

//export emulatedMemAlloc
func emulatedMemAlloc(ptr *C.CUdeviceptr, n C.size_t) C.CUresult {
	c, s := current()
	if s != success {
		return status(s)
	}
	p, s := c.Alloc(uint64(n), thread())
	*ptr = C.CUdeviceptr(p)
	return status(s)
}

//export emulatedMemAllocManaged
func emulatedMemAllocManaged(ptr *C.CUdeviceptr, n C.size_t, flags C.uint) C.CUresult {
	c, s := current()
	if s != success {
		return status(s)
	}
	if flags != C.CU_MEM_ATTACH_GLOBAL { // or memory that streams must be given first
		return status(virtual.NotSupported)
	}
	p, s := c.AllocManaged(uint64(n), thread())
	*ptr = C.CUdeviceptr(p)
	return status(s)
}

//export emulatedMemFree
func emulatedMemFree(ptr C.CUdeviceptr) C.CUresult {
	c, s := current()
	if s == success {
		s = c.Free(uint64(ptr), thread())
	}
	return status(s)
}

//export emulatedMemAllocAsync
func emulatedMemAllocAsync(ptr *C.CUdeviceptr, n C.size_t, on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s != success {
		return status(s)
	}
	p, s := q.AllocAsync(uint64(n))
	*ptr = C.CUdeviceptr(p)
	return status(s)
}

//export emulatedMemFreeAsync
func emulatedMemFreeAsync(ptr C.CUdeviceptr, on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.FreeAsync(uint64(ptr))
	}
	return status(s)
}

//export emulatedMemHostAlloc
func emulatedMemHostAlloc(p *unsafe.Pointer, n C.size_t, flags C.uint) C.CUresult {
	if n == 0 {
		return status(virtual.InvalidValue)
	}
	block := C.aligned_alloc(4096, (n+4095)&^4095)
	if block == nil {
		return status(virtual.OutOfMemory)
	}
	// A real driver's is new memory of the system too, but nobody may count on
	// zeros.
	C.memset(block, 0xa5, n)
	objects.Lock()
	defer objects.Unlock()
	objects.pinned[uintptr(block)] = pinned{uintptr(n), block}
	*p = block
	return status(success)
}

//export emulatedMemAllocHost
func emulatedMemAllocHost(p *unsafe.Pointer, n C.size_t) C.CUresult {
	return emulatedMemHostAlloc(p, n, 0)
}

//export emulatedMemFreeHost
func emulatedMemFreeHost(p unsafe.Pointer) C.CUresult { return unpin(p, true) }

//export emulatedMemHostRegister
func emulatedMemHostRegister(p unsafe.Pointer, n C.size_t, flags C.uint) C.CUresult {
	if p == nil || n == 0 {
		return status(virtual.InvalidValue)
	}
	objects.Lock()
	defer objects.Unlock()
	objects.pinned[uintptr(p)] = pinned{size: uintptr(n)}
	return status(success)
}

//export emulatedMemHostUnregister
func emulatedMemHostUnregister(p unsafe.Pointer) C.CUresult { return unpin(p, false) }

// unpin ends the pinning of memory, and the memory if it was allocated here.
func unpin(p unsafe.Pointer, allocated bool) C.CUresult {
	settle()
	objects.Lock()
	defer objects.Unlock()
	m, ok := objects.pinned[uintptr(p)]
	if !ok || allocated != (m.block != nil) {
		return status(virtual.InvalidValue)
	}
	delete(objects.pinned, uintptr(p))
	C.free(m.block)
	return status(success)
}

//export emulatedMemcpyHtoD
func emulatedMemcpyHtoD(dst C.CUdeviceptr, src C.errorcell_source, n C.size_t) C.CUresult {
	q, s := stream(nil)
	if s == success {
		s = q.CopyToDevice(uint64(dst), bytesAt(unsafe.Pointer(src), n), false)
	}
	if s == success {
		s = q.Synchronize()
	}
	return status(s)
}

//export emulatedMemcpyDtoH
func emulatedMemcpyDtoH(dst unsafe.Pointer, src C.CUdeviceptr, n C.size_t) C.CUresult {
	q, s := stream(nil)
	if s == success {
		s = q.CopyToHost(bytesAt(dst, n), uint64(src), false)
	}
	return status(s)
}

//export emulatedMemcpyDtoD
func emulatedMemcpyDtoD(dst, src C.CUdeviceptr, n C.size_t) C.CUresult {
	return emulatedMemcpyDtoDAsync(dst, src, n, nil)
}

//export emulatedMemcpyHtoDAsync
func emulatedMemcpyHtoDAsync(dst C.CUdeviceptr, src C.errorcell_source, n C.size_t, on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.CopyToDevice(uint64(dst), bytesAt(unsafe.Pointer(src), n), isPinned(unsafe.Pointer(src), n))
	}
	return status(s)
}

//export emulatedMemcpyDtoHAsync
func emulatedMemcpyDtoHAsync(dst unsafe.Pointer, src C.CUdeviceptr, n C.size_t, on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.CopyToHost(bytesAt(dst, n), uint64(src), isPinned(dst, n))
	}
	return status(s)
}

//export emulatedMemcpyDtoDAsync
func emulatedMemcpyDtoDAsync(dst, src C.CUdeviceptr, n C.size_t, on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.CopyDeviceToDevice(uint64(dst), uint64(src), uint64(n))
	}
	return status(s)
}

//export emulatedMemsetD8
func emulatedMemsetD8(dst C.CUdeviceptr, value C.uchar, n C.size_t) C.CUresult {
	return emulatedMemsetD8Async(dst, value, n, nil)
}

//export emulatedMemsetD32
func emulatedMemsetD32(dst C.CUdeviceptr, value C.uint, n C.size_t) C.CUresult {
	return emulatedMemsetD32Async(dst, value, n, nil)
}

//export emulatedMemsetD8Async
func emulatedMemsetD8Async(dst C.CUdeviceptr, value C.uchar, n C.size_t, on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.Memset8(uint64(dst), byte(value), uint64(n))
	}
	return status(s)
}

//export emulatedMemsetD32Async
func emulatedMemsetD32Async(dst C.CUdeviceptr, value C.uint, n C.size_t, on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.Memset32(uint64(dst), uint32(value), uint64(n))
	}
	return status(s)
}

// Streams.

//export emulatedStreamCreate
func emulatedStreamCreate(on *C.CUstream, flags C.uint) C.CUresult {
	return emulatedStreamCreateWithPriority(on, flags, 0)
}

//export emulatedStreamCreateWithPriority
func emulatedStreamCreateWithPriority(on *C.CUstream, flags C.uint, priority C.int) C.CUresult {
	c, s := current()
	if s != success {
		return status(s)
	}
	q, s := c.NewStream(uint(flags), int(priority))
	if s == success {
		*on, s = newHandle[C.CUstream](q)
	}
	return status(s)
}

//export emulatedStreamDestroy
func emulatedStreamDestroy(on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s != success {
		return status(s)
	}
	s = q.Destroy()
	forget(on)
	return status(s)
}

//export emulatedStreamGetFlags
func emulatedStreamGetFlags(on C.CUstream, flags *C.uint) C.CUresult {
	q, s := stream(on)
	if s == success {
		*flags = C.uint(q.Flags)
	}
	return status(s)
}

//export emulatedStreamGetPriority
func emulatedStreamGetPriority(on C.CUstream, priority *C.int) C.CUresult {
	q, s := stream(on)
	if s == success {
		*priority = C.int(q.Priority)
	}
	return status(s)
}

//export emulatedStreamGetCtx
func emulatedStreamGetCtx(on C.CUstream, pctx *C.CUcontext) C.CUresult {
	q, s := stream(on)
	if s == success {
		*pctx = handleOf[C.CUcontext](q.Context())
	}
	return status(s)
}

//export emulatedStreamSynchronize
func emulatedStreamSynchronize(on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.Synchronize()
	}
	return status(s)
}

//export emulatedStreamQuery
func emulatedStreamQuery(on C.CUstream) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.Query()
	}
	return status(s)
}

//export emulatedStreamWaitEvent
func emulatedStreamWaitEvent(on C.CUstream, event C.CUevent, flags C.uint) C.CUresult {
	q, s := stream(on)
	if s != success {
		return status(s)
	}
	e, s := find[*virtual.Event](event)
	if s == success {
		s = q.Wait(e)
	}
	return status(s)
}

// Events.

//export emulatedEventCreate
func emulatedEventCreate(event *C.CUevent, flags C.uint) C.CUresult {
	c, s := current()
	if s != success {
		return status(s)
	}
	e, s := c.NewEvent(uint(flags))
	if s == success {
		*event, s = newHandle[C.CUevent](e)
	}
	return status(s)
}

//export emulatedEventDestroy
func emulatedEventDestroy(event C.CUevent) C.CUresult {
	return end[*virtual.Event](event)
}

//export emulatedEventRecord
func emulatedEventRecord(event C.CUevent, on C.CUstream) C.CUresult {
	e, s := find[*virtual.Event](event)
	if s != success {
		return status(s)
	}
	q := e.Context().Null()
	if on != nil {
		if q, s = stream(on); s != success {
			return status(s)
		}
	}
	return status(e.Record(q))
}

//export emulatedEventSynchronize
func emulatedEventSynchronize(event C.CUevent) C.CUresult {
	e, s := find[*virtual.Event](event)
	if s == success {
		s = e.Synchronize()
	}
	return status(s)
}

//export emulatedEventQuery
func emulatedEventQuery(event C.CUevent) C.CUresult {
	e, s := find[*virtual.Event](event)
	if s == success {
		s = e.Query()
	}
	return status(s)
}

//export emulatedEventElapsedTime
func emulatedEventElapsedTime(ms *C.float, from, to C.CUevent) C.CUresult {
	a, s := find[*virtual.Event](from)
	if s != success {
		return status(s)
	}
	b, s := find[*virtual.Event](to)
	if s != success {
		return status(s)
	}
	t, s := b.Elapsed(a)
	*ms = C.float(t.Seconds() * 1e3)
	return status(s)
}

// Capture and graphs.

//export emulatedStreamBeginCapture
func emulatedStreamBeginCapture(on C.CUstream, mode C.CUstreamCaptureMode) C.CUresult {
	q, s := stream(on)
	if s == success {
		s = q.BeginCapture(int(mode), thread())
	}
	return status(s)
}

//export emulatedStreamEndCapture
func emulatedStreamEndCapture(on C.CUstream, graph *C.CUgraph) C.CUresult {
	*graph = nil
	q, s := stream(on)
	if s != success {
		return status(s)
	}
	g, s := q.EndCapture(thread())
	if s == success {
		*graph, s = newHandle[C.CUgraph](g)
	}
	return status(s)
}

//export emulatedStreamIsCapturing
func emulatedStreamIsCapturing(on C.CUstream, state *C.CUstreamCaptureStatus) C.CUresult {
	q, s := stream(on)
	if s == success {
		*state = C.CUstreamCaptureStatus(q.Capturing())
	}
	return status(s)
}

//export emulatedGraphInstantiate
func emulatedGraphInstantiate(exec *C.CUgraphExec, graph C.CUgraph, failed *C.CUgraphNode, log *C.char, logSize C.size_t) C.CUresult {
	g, s := find[*virtual.Graph](graph)
	if s == success {
		*exec, s = newHandle[C.CUgraphExec](g.Instantiate())
	}
	return status(s)
}

//export emulatedGraphLaunch
func emulatedGraphLaunch(exec C.CUgraphExec, on C.CUstream) C.CUresult {
	g, s := find[*virtual.ReadyGraph](exec)
	if s != success {
		return status(s)
	}
	q, s := stream(on)
	if s == success {
		s = q.LaunchGraph(g)
	}
	return status(s)
}

//export emulatedGraphUpload
func emulatedGraphUpload(exec C.CUgraphExec, on C.CUstream) C.CUresult {
	_, s := find[*virtual.ReadyGraph](exec)
	return status(s)
}

//export emulatedGraphDestroy
func emulatedGraphDestroy(graph C.CUgraph) C.CUresult {
	return end[*virtual.Graph](graph)
}

//export emulatedGraphExecDestroy
func emulatedGraphExecDestroy(exec C.CUgraphExec) C.CUresult {
	return end[*virtual.ReadyGraph](exec)
}
