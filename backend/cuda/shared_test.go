//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
	"errorcell/backend/cuda/driver/emulated"
	"errorcell/backend/cuda/emulator"
	"errorcell/kernels"
)

// add may be computed in place.
var add = kernels.Must(kernels.Define("add", func(k *kernels.Builder) {
	k.Output("z", k.Add(k.Input("x"), k.Input("y")))
}))

// lent are two operands of add and its result in borrowed memory: the result is
// where y is.
type lent struct {
	program         backend.Program
	x, y, z         backend.Borrowed
	inputs, outputs []backend.Buffer
	memory          []byte
	n               int
}

func newLent(d *device, n int) (*lent, error) {
	l := &lent{n: n}
	var errs [5]error
	sig := kernels.Signature{DType: kernels.F32, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, kernels.Full}}
	l.program, errs[0] = d.Compile(add, sig)
	l.memory, errs[1] = d.NewShared(8 * n)
	for i, b := range []*backend.Borrowed{&l.x, &l.y, &l.z} {
		*b, errs[2+i] = d.NewBorrowed(kernels.F32)
	}
	l.inputs, l.outputs = []backend.Buffer{l.x, l.y}, []backend.Buffer{l.z}
	return l, errors.Join(errs[:]...)
}

func (l *lent) floats() []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(l.memory))), 2*l.n)
}

// run borrows the memory and computes.
func (l *lent) run() error {
	x, y := unsafe.Pointer(&l.memory[0]), unsafe.Pointer(&l.memory[4*l.n])
	if err := l.x.Borrow(x, l.n); err != nil {
		return err
	}
	if err := l.y.Borrow(y, l.n); err != nil {
		return err
	}
	if err := l.z.Borrow(y, l.n); err != nil {
		return err
	}
	return l.program.Run(1, l.n, l.inputs, l.outputs)
}

// addInShared is all that is done with shared memory, once.
func addInShared(d *device, n int) error {
	l, err := newLent(d, n)
	if err != nil {
		return err
	}
	numbers := l.floats()
	for i := range numbers {
		numbers[i] = float32(i)
	}
	if err := errors.Join(l.run(), l.run(), d.Sync()); err != nil {
		return err
	}
	for i, got := range numbers[n:] {
		if want := float32(3*i + n); got != want {
			return fmt.Errorf("element %d is %g, want %g", i, got, want)
		}
	}
	return d.FreeShared(l.memory)
}

func newShared(t testing.TB, d *device, bytes int) []byte {
	t.Helper()
	memory, err := d.NewShared(bytes)
	must(t, err)
	return memory
}

// TestSharedReuse: what is given back is kept for shared memory, and not for
// buffers, nor theirs for it.
func TestSharedReuse(t *testing.T) {
	d, gpu := openOn(t, emulator.Config{}, 0)
	a := newShared(t, d, 1000)
	at, taken := &a[0], d.memory.taken
	must(t, d.FreeShared(a))
	b := newFloats(t, d, 250)
	if uint64(b.at) == uint64(uintptr(unsafe.Pointer(at))) {
		t.Error("a buffer got shared memory")
	}
	must(t, b.Close())
	if c := newShared(t, d, 1001); &c[0] != at || d.memory.taken != 2*taken { // rounded up the same
		t.Error("shared memory that was given back was not given to the next")
	}
	if e := newShared(t, d, 1000); &e[0] == at || uint64(b.at) == uint64(uintptr(unsafe.Pointer(&e[0]))) {
		t.Error("memory was given out twice")
	}
	if n := len(gpu.Leaks()); n != len(d.memory.pieces) || n != 3 {
		t.Errorf("the GPU has %d allocations, of which the allocator knows %d", n, len(d.memory.pieces))
	}
	// Close, at the end, frees what is held: openOn looks.
}

// TestSharedLimit: shared memory and buffers are counted together, and one gives
// back to the driver what it keeps when the other needs it.
func TestSharedLimit(t *testing.T) {
	d, gpu := openOn(t, emulator.Config{}, 1<<20)
	a := newShared(t, d, 800<<10)
	wantMemory := func(err error, asked string) {
		t.Helper()
		if !errors.Is(err, backend.ErrMemory) || !strings.Contains(err.Error(), asked+" bytes were asked for, 819200 of 1048576 are taken") {
			t.Errorf("more than the limit gives %v", err)
		}
	}
	_, err := d.NewBuffer(kernels.F32, 100<<10)
	wantMemory(err, "409600")
	_, err = d.NewShared(300 << 10)
	wantMemory(err, "307200")
	must(t, d.FreeShared(a))
	b := newFloats(t, d, 200<<10)
	must(t, b.Close())
	a = newShared(t, d, 1<<20) // all of it
	if n := len(gpu.Leaks()); n != 1 {
		t.Errorf("%d pieces are taken, want one", n)
	}
	must(t, d.FreeShared(a))
	must(t, newFloats(t, d, 10).Close())
	must(t, d.FreeShared(newShared(t, d, 10)))
	gpu.FailAlloc(1) // for which what is kept is given back
	newShared(t, d, 1000)
	if n := len(gpu.Leaks()); n != 1 {
		t.Errorf("%d pieces are taken after another try, want one", n)
	}
}

// lacking is a GPU without an attribute.
type lacking struct {
	driver.GPU
	attribute cu.DeviceAttribute
}

func (g lacking) Attribute(attribute int) int {
	if attribute == int(g.attribute) {
		return 0
	}
	return g.GPU.Attribute(attribute)
}

// TestNoSharing: a GPU that cannot share says what it lacks, and is as good else.
func TestNoSharing(t *testing.T) {
	for attribute, want := range map[cu.DeviceAttribute]string{
		cu.ManagedMemory:           "lacks managed memory",
		cu.ConcurrentManagedAccess: "lacks managed memory that the host may touch while kernels run",
	} {
		gpu, err := emulator.New(emulator.Config{})
		must(t, err)
		dev, err := driver.Emulate(lacking{emulated.New(gpu), attribute})
		must(t, err)
		d, err := newDevice("cuda:emulated", dev, 0, &emulation{gpu, dev})
		must(t, err)
		defer func() { must(t, d.Close()) }()
		for _, bytes := range []int{0, 1, -1} {
			if memory, err := d.NewShared(bytes); !errors.Is(err, errors.ErrUnsupported) || !strings.HasSuffix(err.Error(), want) || memory != nil {
				t.Errorf("%d bytes of a GPU that %s: %v", bytes, want, err)
			}
		}
		b, err := d.NewBorrowed(kernels.F32)
		must(t, err)
		if err := b.Borrow(unsafe.Pointer(new(float32)), 1); !errors.Is(err, backend.ErrForeign) {
			t.Errorf("Go's memory is borrowed: %v", err)
		}
		j := load(t, d, randomCall(t, everySum, kernels.Shape{5, 70}))
		must(t, j.run())
		j.check()
	}
}

// TestSharedOfLostDevice: it can be given back, and read until the device is closed.
func TestSharedOfLostDevice(t *testing.T) {
	d, gpu := openOn(t, emulator.Config{}, 0)
	a, b := newShared(t, d, 100), newShared(t, d, 100)
	a[5] = 7
	gpu.FailCopy(1)
	if _, err := d.NewShared(100); !errors.Is(err, backend.ErrLost) {
		t.Errorf("zeros that cannot be written give %v", err)
	}
	if a[5] != 7 {
		t.Errorf("the host reads %d", a[5])
	}
	must(t, d.FreeShared(b))
	if err := d.FreeShared(b); !errors.Is(err, backend.ErrForeign) {
		t.Errorf("what was freed is freed again: %v", err)
	}
}

// TestSharedHeld gives memory back between the check of a run and its launch: it is
// not given to others before.
func TestSharedHeld(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	l, err := newLent(d, 300)
	must(t, err)
	must(t, l.run())
	held := l.z.(*borrowed).piece
	if !held.hold() {
		t.Fatal("it is closed")
	}
	at := &l.memory[0]
	must(t, d.FreeShared(l.memory))
	if next := newShared(t, d, 8*300); &next[0] == at {
		t.Error("memory that a run uses was given to others")
	}
	held.release()
	if next := newShared(t, d, 8*300); &next[0] != at {
		t.Error("the memory was not given back after the run")
	}
}

// TestBorrowedClosed closes a borrowed buffer while a run with it may be under way: later
// runs are errors, that of a recording too, and the memory that it had can be given back.
func TestBorrowedClosed(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	for range 20 {
		l, err := newLent(d, 300)
		must(t, err)
		must(t, l.run())
		recording, err := d.Record([]backend.Run{{Program: l.program, Rows: 1, Cols: 300, Inputs: l.inputs, Outputs: l.outputs}})
		must(t, err)
		z := l.z.(*borrowed)
		piece := z.piece
		var done atomic.Bool
		var runs sync.WaitGroup
		runs.Go(func() {
			for after := 0; l.run() == nil; {
				if done.Load() {
					after++
				}
				if after > 3 {
					t.Error("runs with a closed buffer are no error")
					return
				}
			}
		})
		must(t, d.Sync())
		must(t, z.Close())
		done.Store(true)
		runs.Wait()
		if n := piece.users.Load(); n != 0 {
			t.Fatalf("the memory has %d users after the runs", n)
		}
		if n := z.nowhere.users.Load(); n != closed {
			t.Fatalf("the closed buffer has %#x users, not %#x", n, int64(closed))
		}
		if err := recording.Run(); !errors.Is(err, backend.ErrClosed) {
			t.Fatalf("a recording with a closed buffer: %v", err)
		}
		must(t, recording.Close())
		must(t, d.FreeShared(l.memory))
	}
}
