//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver_test

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"gorgonia.org/cu"

	"errorcell/backend/cuda/driver"
	"errorcell/backend/cuda/driver/emulated"
	"errorcell/backend/cuda/emulator"
)

// addPTX adds a number to each of n words.
const addPTX = `
.version 7.0
.target sm_70
.address_size 64
.visible .entry add(.param .u64 data, .param .u32 n, .param .u32 value)
{
	.reg .pred %p;
	.reg .b32 %n, %value, %i, %size, %block, %x;
	.reg .b64 %data, %offset;
	ld.param.u64 %data, [data];
	ld.param.u32 %n, [n];
	ld.param.u32 %value, [value];
	mov.u32 %block, %ctaid.x;
	mov.u32 %size, %ntid.x;
	mov.u32 %i, %tid.x;
	mad.lo.u32 %i, %block, %size, %i;
	setp.ge.u32 %p, %i, %n;
	@%p ret;
	cvta.to.global.u64 %data, %data;
	mul.wide.u32 %offset, %i, 4;
	add.u64 %data, %data, %offset;
	ld.global.u32 %x, [%data];
	add.u32 %x, %x, %value;
	st.global.u32 [%data], %x;
	ret;
}
`

// gpu is an emulated device with a context that is current in this test's
// thread, the kernel, and n words of memory.
type gpu struct {
	t    testing.TB
	gpu  *emulator.GPU
	dev  cu.Device
	ctx  cu.CUContext
	add  cu.Function
	data cu.DevicePtr
}

const words = 1000

func newGPU(t testing.TB) *gpu {
	t.Helper()
	g := &gpu{t: t}
	var err error
	if g.gpu, err = emulator.New(emulator.Config{}); err != nil {
		t.Fatal(err)
	}
	if g.dev, err = driver.Emulate(emulated.New(g.gpu)); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	g.ctx, err = g.dev.RetainPrimaryCtx()
	g.ok(err)
	g.ok(cu.SetCurrentContext(g.ctx))
	t.Cleanup(func() {
		g.ok(cu.SetCurrentContext(cu.CUContext{}))
	})
	m, _, err := driver.LoadModule(addPTX)
	g.ok(err)
	g.add, err = m.Function("add")
	g.ok(err)
	g.data, err = cu.MemAlloc(4 * words)
	g.ok(err)
	g.ok(cu.MemsetD32(g.data, 0, words))
	g.ok(cu.Synchronize()) // no stream of these tests waits for the default one
	return g
}

func (g *gpu) ok(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// launch prepares the addition of a value.
func (g *gpu) launch(value uint32) *driver.Launch {
	g.t.Helper()
	l, err := driver.NewLaunch(g.add, 3)
	g.ok(err)
	g.t.Cleanup(l.Close)
	l.SetPointer(0, g.data)
	l.SetUint32(1, words)
	l.SetUint32(2, value)
	l.Configure([3]int{(words + 127) / 128, 1, 1}, [3]int{128, 1, 1}, 0)
	return l
}

func (g *gpu) stream() cu.Stream {
	g.t.Helper()
	s, err := cu.MakeStream(cu.NonBlocking)
	g.ok(err)
	g.t.Cleanup(func() { s.Destroy() })
	return s
}

// want looks at all words.
func (g *gpu) want(value uint32) {
	g.t.Helper()
	host := make([]uint32, words)
	g.ok(cu.MemcpyDtoH(unsafe.Pointer(&host[0]), g.data, 4*words))
	for i, v := range host {
		if v != value {
			g.t.Fatalf("word %d is %d, want %d", i, v, value)
		}
	}
}

func TestEmulatedDevice(t *testing.T) {
	g := newGPU(t)
	name, err := g.dev.Name()
	g.ok(err)
	if !strings.Contains(name, "emulated") {
		t.Errorf("its name is %q", name)
	}
	total, err := g.dev.TotalMem()
	g.ok(err)
	free, total2, err := cu.MemInfo()
	g.ok(err)
	if total != 4<<30 || total2 != total || free >= total {
		t.Errorf("memory %d, %d, free %d", total, total2, free)
	}
	for attribute, want := range map[cu.DeviceAttribute]int{cu.ComputeCapabilityMajor: 9, cu.WarpSize: 32, cu.MultiprocessorCount: 8} {
		if v, err := g.dev.Attribute(attribute); err != nil || v != want {
			t.Errorf("attribute %d is %d, %v, want %d", attribute, v, err, want)
		}
	}
	if dev, err := cu.CurrentDevice(); err != nil || dev != g.dev {
		t.Errorf("the current device is %v, %v", dev, err)
	}
	if ctx, err := cu.CurrentContext(); err != nil || ctx != g.ctx {
		t.Errorf("the current context is %v, %v", ctx, err)
	}
	if !driver.StreamOrdered(g.dev) {
		t.Error("it has no stream-ordered memory")
	}
	if v, err := g.add.Attribute(cu.FnMaxThreadsPerBlock); err != nil || v != 1024 {
		t.Errorf("threads of the kernel's blocks %d, %v", v, err)
	}
	if n, err := g.add.MaxActiveBlocksPerMultiProcessor(128, 0); err != nil || n != 16 {
		t.Errorf("occupancy %d, %v", n, err)
	}
	g.ok(driver.SetAttribute(g.add, driver.MaxDynamicShared, 100<<10))
	if driver.SetAttribute(g.add, driver.MaxDynamicShared, 1<<20) == nil {
		t.Error("a megabyte of shared memory was taken")
	}
	if _, err := cu.Device(int(g.dev) + 1000).Name(); !errors.Is(err, cu.InvalidDevice) {
		t.Errorf("a device that is none: %v", err)
	}
	if _, _, err := cu.MemAllocPitch(4, 4, 4); !errors.Is(err, cu.NotSupported) {
		t.Errorf("memory with a pitch: %v", err)
	}
}

// TestEmulatedManaged: the host has managed memory at the device's address, and
// sees what a kernel does to it once it has waited.
func TestEmulatedManaged(t *testing.T) {
	g := newGPU(t)
	for _, attribute := range []cu.DeviceAttribute{cu.ManagedMemory, cu.ConcurrentManagedAccess} {
		if v, err := g.dev.Attribute(attribute); err != nil || v != 1 {
			t.Errorf("attribute %v is %d, %v", attribute, v, err)
		}
	}
	ptr, err := cu.MemAllocManaged(4*words, cu.AttachGlobal)
	g.ok(err)
	at := uintptr(ptr)
	host := unsafe.Slice(*(**uint32)(unsafe.Pointer(&at)), words)
	for i := range host {
		host[i] = uint32(i)
	}
	l, s := g.launch(5), g.stream()
	l.SetPointer(0, ptr)
	g.ok(l.Run(s))
	if host[1] != 1 {
		t.Errorf("word 1 is %d before anybody has waited", host[1])
	}
	g.ok(s.Synchronize())
	for i, v := range host {
		if v != uint32(i+5) {
			t.Fatalf("word %d is %d, want %d", i, v, i+5)
		}
	}
	g.ok(cu.MemFree(ptr))
	if err := cu.MemFree(ptr); !errors.Is(err, cu.InvalidValue) {
		t.Errorf("freed twice: %v", err)
	}
	if _, err := cu.MemAllocManaged(0, cu.AttachGlobal); !errors.Is(err, cu.InvalidValue) {
		t.Errorf("no bytes: %v", err)
	}
	if _, err := cu.MemAllocManaged(4, cu.AttachHost); !errors.Is(err, cu.NotSupported) {
		t.Errorf("memory that streams must be given first: %v", err)
	}
}

func TestEmulatedLaunch(t *testing.T) {
	g := newGPU(t)
	g.ok(g.launch(3).Run(cu.NoStream))
	g.want(3)

	// The same through cu.
	data, n, value := g.data, uint32(words), uint32(4)
	wide := []uint64{uint64(data), uint64(n), uint64(value)} // Launch reads 8 bytes each
	g.ok(g.add.Launch(8, 1, 1, 128, 1, 1, 0, cu.NoStream, []unsafe.Pointer{unsafe.Pointer(&wide[0]), unsafe.Pointer(&wide[1]), unsafe.Pointer(&wide[2])}))
	g.want(7)

	l := g.launch(1)
	l.Configure([3]int{1, 1, 1}, [3]int{1025, 1, 1}, 0)
	if err := l.Run(cu.NoStream); !errors.Is(err, cu.InvalidValue) {
		t.Errorf("1025 threads: %v", err)
	}
}

// TestEmulatedCompile: the emulator's words come out as a compiler's.
func TestEmulatedCompile(t *testing.T) {
	g := newGPU(t)
	_, _, err := driver.LoadModule(strings.Replace(addPTX, "add.u32", "sum.u32", 1))
	var e *driver.CompileError
	if !errors.As(err, &e) || !strings.Contains(e.Log, "sum.u32") {
		t.Errorf("error %v", err)
	}
	g.want(0)
}

// TestEmulatedStream: pinned memory, asynchronous copies, events, and work that
// is not done before something waits for it.
func TestEmulatedStream(t *testing.T) {
	g := newGPU(t)
	s := g.stream()
	host, err := driver.HostAlloc(4 * words)
	g.ok(err)
	defer driver.HostFree(host)
	values := unsafe.Slice((*uint32)(unsafe.Pointer(&host[0])), words)
	for i := range values {
		values[i] = 40
	}
	begin, err := cu.MakeEvent(cu.DefaultEvent)
	g.ok(err)
	end, err := cu.MakeEvent(cu.DefaultEvent)
	g.ok(err)

	g.ok(begin.Record(s))
	g.ok(cu.MemcpyHtoDAsync(g.data, unsafe.Pointer(&host[0]), 4*words, s))
	g.ok(g.launch(2).Run(s))
	g.ok(cu.MemcpyDtoHAsync(unsafe.Pointer(&host[0]), g.data, 4*words, s))
	g.ok(end.Record(s))
	if values[0] != 40 {
		t.Error("an asynchronous copy was done at once")
	}
	g.ok(end.Synchronize())
	if values[0] != 42 || values[words-1] != 42 {
		t.Errorf("%d, want 42", values[0])
	}
	if _, err := begin.Elapsed(end); err != nil {
		t.Error(err)
	}
	g.ok(cu.DestroyEvent(&begin))

	ptr, err := driver.AllocAsync(4*words, s)
	g.ok(err)
	g.ok(cu.MemcpyDtoDAsync(ptr, g.data, 4*words, s))
	g.ok(driver.FreeAsync(ptr, s))
	g.ok(driver.KeepPool(g.dev, 1<<20))
	g.ok(driver.TrimPool(g.dev, 0))
	g.ok(s.Synchronize())
}

func TestEmulatedGraph(t *testing.T) {
	g := newGPU(t)
	s := g.stream()
	g.ok(driver.BeginCapture(s))
	g.ok(g.launch(1).Run(s))
	g.ok(g.launch(10).Run(s))
	if yes, err := driver.IsCapturing(s); err != nil || !yes {
		t.Errorf("capturing is %v, %v", yes, err)
	}
	graph, err := driver.EndCapture(s)
	g.ok(err)
	ready, err := driver.Instantiate(graph)
	g.ok(err)
	g.ok(graph.Destroy())
	g.ok(driver.UploadGraph(ready, s))
	for range 3 {
		g.ok(driver.LaunchGraph(ready, s))
	}
	g.ok(s.Synchronize())
	g.want(33)
	g.ok(ready.Destroy())
	if err := driver.LaunchGraph(ready, s); !errors.Is(err, cu.InvalidHandle) {
		t.Errorf("a destroyed graph: %v", err)
	}

	g.ok(driver.BeginCapture(s))
	if err := s.Synchronize(); !errors.Is(err, cu.StreamCaptureUnsupported) {
		t.Errorf("waiting for a capture: %v", err)
	}
	if _, err := driver.EndCapture(s); !errors.Is(err, cu.StreamCaptureInvalidated) {
		t.Errorf("after that: %v", err)
	}
}

// TestEmulatedErrors: a kernel's fault comes with the call that waits, and stays;
// the emulator tells more.
func TestEmulatedErrors(t *testing.T) {
	g := newGPU(t)
	s := g.stream()
	l := g.launch(1)
	l.SetUint32(1, 2*words)
	l.Configure([3]int{2 * words / 100, 1, 1}, [3]int{100, 1, 1}, 0)
	g.ok(l.Run(s))
	if err := s.Synchronize(); !errors.Is(err, cu.IllegalAddress) {
		t.Errorf("%v, want an illegal address", err)
	}
	if _, err := cu.MemAlloc(4); !errors.Is(err, cu.IllegalAddress) {
		t.Errorf("the context goes on: %v", err)
	}
	if err := g.gpu.Err(); !errors.Is(err, emulator.IllegalAddress) {
		t.Errorf("the emulator says %v", err)
	}
}

// TestEmulatedHandles: handles that have ended, and those of others.
func TestEmulatedHandles(t *testing.T) {
	g := newGPU(t)
	ctx, err := g.dev.MakeContext(cu.SchedAuto)
	g.ok(err)
	if now, _ := cu.CurrentContext(); now != ctx {
		t.Errorf("a new context is not current: %v", now)
	}
	s, err := cu.MakeStream(cu.DefaultStream)
	g.ok(err)
	if err := g.launch(1).Run(s); !errors.Is(err, cu.InvalidContext) {
		t.Errorf("a kernel on a stream of another context: %v", err)
	}
	ended := ctx
	g.ok(ctx.Destroy())
	if now, _ := cu.CurrentContext(); now != g.ctx {
		t.Errorf("the context before is not current again: %v", now)
	}
	if err := cu.SetCurrentContext(ended); !errors.Is(err, cu.InvalidContext) {
		t.Errorf("a context that has ended: %v", err)
	}
	if err := s.Synchronize(); !errors.Is(err, cu.InvalidHandle) {
		t.Errorf("a stream that has ended with its context: %v", err)
	}
	g.ok(cu.PushCurrentCtx(g.ctx))
	if popped, err := cu.PopCurrentCtx(); err != nil || popped != g.ctx {
		t.Errorf("popped %v, %v", popped, err)
	}
	g.ok(g.dev.ReleasePrimaryCtx())
	if _, err := cu.MemAlloc(4); !errors.Is(err, cu.ContextIsDestroyed) {
		t.Errorf("a context that was released: %v", err)
	}
}

func TestUnplug(t *testing.T) {
	g := newGPU(t)
	s := g.stream()
	g.ok(g.launch(1).Run(s))
	g.ok(driver.Unplug(g.dev))
	if err := s.Synchronize(); !errors.Is(err, cu.InvalidHandle) {
		t.Errorf("a stream: %v", err)
	}
	if _, err := cu.MemAlloc(4); !errors.Is(err, cu.ContextIsDestroyed) {
		t.Errorf("the context: %v", err)
	}
	if _, err := g.dev.Name(); !errors.Is(err, cu.InvalidDevice) {
		t.Errorf("the device: %v", err)
	}
	if err := driver.Unplug(g.dev); !errors.Is(err, cu.InvalidDevice) {
		t.Errorf("unplugged again: %v", err)
	}
}

// TestBoth: a real driver, here a stand-in, and emulated devices side by side.
func TestBoth(t *testing.T) {
	driver.LoadStandIn(t)
	g, other := newGPU(t), newGPU(t)
	g.ok(cu.SetCurrentContext(g.ctx))
	if n, err := cu.NumDevices(); n != 2 || err != nil {
		t.Errorf("%d devices, %v", n, err)
	}
	if name, err := cu.Device(0).Name(); name != "Stand-in 0" || err != nil {
		t.Errorf("device 0 is %q, %v", name, err)
	}
	// One whose handle is no emulated one is the stand-in's, which takes any.
	real := cu.CUContext{}
	*(*uintptr)(unsafe.Pointer(&real)) = 0x1000
	g.ok(cu.SetCurrentContext(real))
	if dev, err := cu.CurrentDevice(); err != nil || dev != 0 {
		t.Errorf("in a context of the stand-in the device is %v, %v", dev, err)
	}
	g.ok(cu.SetCurrentContext(g.ctx))
	g.ok(cu.PushCurrentCtx(real))
	if dev, err := cu.CurrentDevice(); err != nil || dev != 0 {
		t.Errorf("after a push the device is %v, %v", dev, err)
	}
	if _, err := cu.PopCurrentCtx(); err != nil {
		t.Error(err)
	}
	if dev, err := cu.CurrentDevice(); err != nil || dev != g.dev {
		t.Errorf("after a pop the device is %v, %v", dev, err)
	}
	g.ok(cu.SetCurrentContext(cu.CUContext{}))

	// Each thread has its own.
	var wg sync.WaitGroup
	for _, g := range []*gpu{g, other} {
		for range 4 {
			wg.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				for range 50 {
					if err := cu.SetCurrentContext(g.ctx); err != nil {
						t.Error(err)
					}
					if dev, err := cu.CurrentDevice(); err != nil || dev != g.dev {
						t.Errorf("device %v, %v", dev, err)
					}
					if err := cu.SetCurrentContext(cu.CUContext{}); err != nil {
						t.Error(err)
					}
					if name, err := cu.Device(1).Name(); name != "Stand-in 1" || err != nil {
						t.Errorf("device 1 is %q, %v", name, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// BenchmarkEmulatedCall is the way through cu, C, and back into Go.
func BenchmarkEmulatedCall(b *testing.B) {
	g := newGPU(b)
	for b.Loop() {
		if _, err := g.dev.Attribute(cu.WarpSize); err != nil {
			b.Fatal(err)
		}
	}
}
