// The memory of buffers: where it begins, that it is the buffer's alone, and
// how long it lives.

package cpu

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
	"weak"

	"errorcell/backend"
	"errorcell/kernels"
)

// sizes are numbers of elements: all small ones, those around the sizes of
// which Go's allocator has blocks, and some with huge pages.
func sizes() []int {
	var list []int
	for n := range 201 {
		list = append(list, n)
	}
	for _, n := range []int{256, 1000, 4096, 8192, 1 << 16, 1 << 20, 5 << 20} {
		list = append(list, n-1, n, n+1)
	}
	return list
}

func TestBuffersAreAligned(t *testing.T) {
	dev, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	t.Run("float32", func(t *testing.T) { buffersAreAligned[float32](t, dev) })
	t.Run("float64", func(t *testing.T) { buffersAreAligned[float64](t, dev) })
}

func buffersAreAligned[T kernels.Float](t *testing.T, dev backend.Device) {
	dtype := kernels.DTypeOf[T]()
	for _, n := range sizes() {
		// Two, because a buffer's length decides where the next one begins.
		for range 2 {
			b, err := dev.NewBuffer(dtype, n)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			own, ok := b.(*buffer)
			if !ok {
				t.Fatalf("the device makes a %T", b)
			}
			s, _ := elements[T](own)
			host := b.Host()
			p := unsafe.SliceData(s)
			if uintptr(unsafe.Pointer(p))%64 != 0 {
				t.Errorf("%d elements: they begin at %p, not at a multiple of 64", n, p)
			}
			if b.Len() != n || len(s) != n || cap(s) != n || len(host) != n*dtype.Size() || unsafe.Pointer(unsafe.SliceData(host)) != unsafe.Pointer(p) {
				t.Errorf("%d elements: Len is %d, the memory is %d of %d at %p, the host's %d bytes at %p",
					n, b.Len(), len(s), cap(s), p, len(host), unsafe.SliceData(host))
			}
		}
	}
}

// TestLargeBuffersBeginApart: no two in a row begin at the same place of a huge
// page. Where there is none, Go decides where they begin.
func TestLargeBuffersBeginApart(t *testing.T) {
	page := hugePage()
	if page < within || page > large/minHuge {
		t.Skipf("the huge pages that the system gives to who asks are %d bytes, %d to %d are wanted: /sys/kernel/mm/transparent_hugepage/enabled must be madvise", page, within, large/minHuge)
	}
	seen := map[uintptr]bool{}
	for range 16 {
		s, _ := allocate[float32](large / 4)
		seen[uintptr(unsafe.Pointer(unsafe.SliceData(s)))%uintptr(page)] = true
	}
	if len(seen) != 16 {
		t.Errorf("16 large buffers begin at %d different places of a huge page", len(seen))
	}
}

// TestBuffersAreZero writes all of a large buffer and drops it, so that the next
// one has its memory.
func TestBuffersAreZero(t *testing.T) {
	const n = 5 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range 3 {
		s, _ := allocate[float32](n)
		for i := range s {
			if s[i] != 0 {
				t.Fatalf("element %d is %v", i, s[i])
			}
			s[i] = 1
		}
		runtime.GC()
	}
}

// TestHostOutlivesClose: a slice of a buffer is memory that nobody else gets,
// for as long as there is the slice.
func TestHostOutlivesClose(t *testing.T) {
	dev, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{5, 5 << 20} {
		b, err := dev.NewBuffer(kernels.F32, n)
		if err != nil {
			t.Fatal(err)
		}
		view, ok := backend.View[float32](b)
		if !ok {
			t.Fatal("the buffer has no view")
		}
		for i := range view {
			view[i] = float32(i % 1000)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = nil
		debug.FreeOSMemory()
		for range 4 { // who would be given the memory if it were free
			s, _ := allocate[float32](n)
			for i := range s {
				s[i] = -1
			}
		}
		for i, v := range view {
			if v != float32(i%1000) {
				t.Fatalf("element %d of %d is %v after Close", i, n, v)
			}
		}
	}
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRunsKeepNoMemory: what a run has worked on is free once its buffers are,
// of each element type.
func TestRunsKeepNoMemory(t *testing.T) {
	dev, err := backend.Open("cpu:threads=1")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	k := kernels.Must(kernels.Define("k", func(k *kernels.Builder) {
		x := k.Input("x")
		k.Output("y", k.Neg(x))
		k.Output("negative", k.Less(x, k.Const(0)))
	}))
	p, err := dev.Compile(k, kernels.Signature{DType: kernels.F32, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 5000
	var kept []weak.Pointer[byte]
	func() {
		var buffers []backend.Buffer
		for _, dtype := range []kernels.DType{kernels.F32, kernels.F32, kernels.B8} {
			b, err := dev.NewBuffer(dtype, n)
			if err != nil {
				t.Fatal(err)
			}
			buffers = append(buffers, b)
			kept = append(kept, weak.Make(&b.Host()[0]))
		}
		if err := p.Run(1, n, buffers[:1], buffers[1:]); err != nil {
			t.Fatal(err)
		}
		for _, b := range buffers {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}()
	runtime.GC()
	for i, m := range kept {
		if m.Value() != nil {
			t.Errorf("after a run the memory of buffer %d is kept", i)
		}
	}
}

// TestBorrowedClosed closes a borrowed buffer while runs with it are under way: these
// are computed, or errors.
func TestBorrowedClosed(t *testing.T) {
	dev, err := backend.Open("cpu:threads=1")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	sig := kernels.Signature{DType: kernels.F32, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, kernels.Full}}
	program, err := dev.Compile(kernels.Operations[0].Kernel, sig)
	if err != nil {
		t.Fatal(err)
	}
	memory := make([]float32, 12)
	for range 2000 {
		var b [3]backend.Borrowed
		for i := range b {
			if b[i], err = dev.(backend.Borrower).NewBorrowed(kernels.F32); err != nil {
				t.Fatal(err)
			}
			if err := b[i].Borrow(unsafe.Pointer(&memory[4*i]), 4); err != nil {
				t.Fatal(err)
			}
		}
		var begun atomic.Bool
		var runs sync.WaitGroup
		runs.Go(func() {
			for program.Run(1, 4, []backend.Buffer{b[0], b[1]}, []backend.Buffer{b[2]}) == nil {
				begun.Store(true)
			}
		})
		for !begun.Load() {
			runtime.Gosched()
		}
		if err := b[0].Close(); err != nil {
			t.Fatal(err)
		}
		runs.Wait()
	}
}
