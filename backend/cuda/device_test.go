//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"errorcell/backend"
	"errorcell/backend/cuda/emulator"
	"errorcell/kernels"
)

func TestElapsed(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	j := load(t, d, randomCall(t, kernels.Laplacian, kernels.Shape{50, 1000}))
	start := time.Now()
	took, err := d.Elapsed(j.run)
	must(t, err)
	if all := time.Since(start); took <= 0 || took > all+time.Millisecond {
		t.Errorf("the device was at it for %v of %v", took, all)
	}
	j.check()
	failure := errors.New("failure")
	if _, err := d.Elapsed(func() error { return failure }); err != failure {
		t.Errorf("Elapsed of work that fails gives %v", err)
	}
	t.Run("of a device that is closed meanwhile", func(t *testing.T) {
		d, _ := openOn(t, emulator.Config{}, 0)
		within(t, func() {
			if _, err := d.Elapsed(d.Close); !errors.Is(err, backend.ErrClosed) {
				t.Errorf("Elapsed gives %v", err)
			}
		})
	})
}

// TestTwoDevices: each computes its own, in turns on one thread too, and refuses
// what is the other's.
func TestTwoDevices(t *testing.T) {
	a, _ := openOn(t, emulator.Config{Arch: "sm_70"}, 0)
	b, _ := openOn(t, emulator.Config{Arch: "sm_100"}, 0)
	c := randomCall(t, everySum, kernels.Shape{9, 120})
	ja, jb := load(t, a, c), load(t, b, c)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 3 {
		ja.reset()
		jb.reset()
		must(t, ja.run())
		must(t, jb.run())
		ja.check()
		jb.check()
	}
	for _, mixed := range []*job{
		{call: c, program: ja.program, in: jb.in, out: ja.out},
		{call: c, program: ja.program, in: ja.in, out: jb.out},
		{call: c, program: jb.program, in: ja.in, out: ja.out},
	} {
		if err := mixed.run(); !errors.Is(err, backend.ErrForeign) {
			t.Errorf("another device's buffer gives %v", err)
		}
	}
	var group sync.WaitGroup
	for _, j := range []*job{ja, jb, ja, jb} {
		group.Go(func() {
			mine := load(t, j.program.dev, c)
			for range 5 {
				if err := errors.Join(mine.run(), mine.compare()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	must(t, a.Close())
	must(t, jb.run())
	jb.check()
}

// pretender says that it is a buffer of a device, and is none.
type pretender struct{ backend.Buffer }

func TestPretender(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	j := load(t, d, randomCall(t, kernels.Laplacian, kernels.Shape{2, 3}))
	j.in[1] = pretender{j.in[1]}
	if err := j.run(); !errors.Is(err, backend.ErrForeign) {
		t.Errorf("a buffer that only looks like one gives %v", err)
	}
	if n := j.in[0].(*buffer).piece.users.Load(); n != 0 {
		t.Errorf("%d calls use a buffer after a run that was refused", n)
	}
}

// TestThreads: goroutines that are each on a thread of their own, which ends
// with them.
func TestThreads(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	c := randomCall(t, everySum, kernels.Shape{5, 64})
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			runtime.LockOSThread() // and never unlocks it
			j, err := tryLoad(d, c)
			if err == nil {
				err = errors.Join(j.run(), j.compare())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// TestCopies moves more than the pinned memory holds at once.
func TestCopies(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	const n = 5*halfBytes/4 + 3 // five halves and a bit
	b := newFloats(t, d, n)
	data, got := make([]float32, n), make([]float32, n)
	for i := range data {
		data[i] = float32(i)
	}
	must(t, backend.Upload(b, data))
	clear(data[:100]) // it is the caller's again
	must(t, backend.Download(b, got))
	for i, x := range got {
		if x != float32(i) {
			t.Fatalf("element %d is %g", i, x)
		}
	}
}
