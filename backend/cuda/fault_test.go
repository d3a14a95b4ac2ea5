//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
	"errorcell/backend/cuda/emulator"
	"errorcell/kernels"
)

// everyCall are the calls of a device and of what it has made.
func everyCall(d *device, j *job, g backend.Recording) map[string]func() error {
	return map[string]func() error{
		"NewBuffer": func() error { _, err := d.NewBuffer(kernels.F32, 1); return err },
		"NewShared": func() error { _, err := d.NewShared(1); return err },
		"Borrowed":  func() error { _, err := d.NewBorrowed(kernels.F32); return err },
		"Compile":   func() error { _, err := d.Compile(j.kernel, j.Signature); return err },
		"Sync":      d.Sync,
		"Elapsed":   func() error { _, err := d.Elapsed(func() error { return nil }); return err },
		"Record":    func() error { _, err := d.Record(nil); return err },
		"Recording": g.Run,
		"Run":       j.run,
		"ReadAt":    func() error { _, err := j.in[0].ReadAt(make([]byte, 4), 0); return err },
		"WriteAt":   func() error { _, err := j.in[0].WriteAt(make([]byte, 4), 0); return err },
	}
}

// wantLost checks that a device that is lost says so in every call, with the
// same reason, and that closing it works.
func wantLost(t *testing.T, d *device, j *job, g backend.Recording, reason string) {
	t.Helper()
	within(t, func() {
		for name, call := range everyCall(d, j, g) {
			if err := call(); !errors.Is(err, backend.ErrLost) || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s of a lost device gives %v, want that it is lost for %q", name, err, reason)
			}
		}
		j.close()
		if err := g.Close(); err != nil {
			t.Errorf("Close of a recording: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close of a lost device: %v", err)
		}
		for name, call := range everyCall(d, j, g) {
			if err := call(); !errors.Is(err, backend.ErrClosed) {
				t.Errorf("%s after Close gives %v", name, err)
			}
		}
	})
}

func ready(t *testing.T) (*device, *emulator.GPU, *job, backend.Recording) {
	t.Helper()
	d, gpu := openOn(t, emulator.Config{}, 0)
	j := load(t, d, randomCall(t, everySum, kernels.Shape{5, 70}))
	g, err := d.Record(runs(j))
	must(t, err)
	must(t, g.Run())
	j.check()
	return d, gpu, j, g
}

func TestDeviceLost(t *testing.T) {
	d, gpu, j, g := ready(t)
	gpu.LoseDevice()
	if err := d.Sync(); !errors.Is(err, backend.ErrLost) {
		t.Fatalf("Sync of a lost device gives %v", err)
	}
	wantLost(t, d, j, g, "device lost")
}

// TestLaunchFails and TestCopyFails: a driver says so late, with the call that
// waits, and the context is of no more use.
func TestLaunchFails(t *testing.T) {
	d, gpu, j, g := ready(t)
	gpu.FailLaunch(1)
	must(t, j.run())
	if err := d.Sync(); !errors.Is(err, backend.ErrLost) || !errors.Is(err, cu.LaunchFailed) {
		t.Fatalf("Sync after a launch that failed gives %v", err)
	}
	wantLost(t, d, j, g, cu.LaunchFailed.Error())
}

// TestLateFault: a fault that no call has told of, Close tells of.
func TestLateFault(t *testing.T) {
	d, gpu, j, _ := ready(t)
	gpu.FailLaunch(1)
	must(t, j.run())
	if err := d.Close(); !errors.Is(err, backend.ErrLost) {
		t.Errorf("Close gives %v", err)
	}
	must(t, d.Close())
}

func TestCopyFails(t *testing.T) {
	d, gpu, j, g := ready(t)
	gpu.FailCopy(1)
	if _, err := j.out[0].ReadAt(make([]byte, 8), 0); !errors.Is(err, backend.ErrLost) {
		t.Fatalf("a copy that failed gives %v", err)
	}
	wantLost(t, d, j, g, cu.LaunchFailed.Error())
}

var place = regexp.MustCompile(`illegal address.*kernel (\w+), ptx:[1-9]\d*, block \(\d+,0,0\), thread \(\d+,0,0\), seed`)

// TestKernelFault: the error names the kernel, the line of its text, the block
// and the thread.
func TestKernelFault(t *testing.T) {
	t.Run("of a catalogue's kernel", func(t *testing.T) {
		d, _, j, g := ready(t)
		j.in[0].(*buffer).at += 1 << 40 // where there is nothing
		must(t, j.run())
		err := d.Sync()
		var fault *emulator.Fault
		if !errors.Is(err, backend.ErrLost) || !errors.Is(err, cu.IllegalAddress) || !errors.As(err, &fault) {
			t.Fatalf("a fault gives %v", err)
		}
		if m := place.FindStringSubmatch(err.Error()); m == nil || m[1] != "errorcell_every_sum" || fault.Line == 0 {
			t.Errorf("the error does not say where: %v", err)
		}
		wantLost(t, d, j, g, "errorcell_every_sum, ptx:")
	})
	t.Run("of another's", func(t *testing.T) {
		d, _, j, g := ready(t)
		must(t, d.enter())
		m, _, err := driver.LoadModule(`.version 7.0
.target sm_70
.address_size 64
.visible .entry beyond(.param .u64 p)
{
	.reg .b64 %p;
	.reg .b32 %i;
	ld.param.u64 %p, [p];
	mov.u32 %i, 1;
	st.global.u32 [%p+4096], %i; // line 10
	ret;
}`)
		must(t, err)
		fn, err := m.Function("beyond")
		must(t, err)
		l, err := driver.NewLaunch(fn, 1)
		must(t, err)
		defer l.Close()
		l.SetPointer(0, j.out[0].(*buffer).at)
		must(t, l.Run(d.stream))
		d.leave()
		if err := d.Sync(); err == nil || !strings.Contains(err.Error(), "kernel beyond, ptx:10, block (0,0,0), thread (0,0,0)") {
			t.Errorf("the error does not say where: %v", err)
		}
		wantLost(t, d, j, g, "beyond")
	})
}

// TestFaultsEverywhere makes the n-th call of a kind fail, for every n of a
// program's calls: each ends with an error that says so, or works all the same,
// and nothing is left and nothing hangs.
func TestFaultsEverywhere(t *testing.T) {
	c := randomCall(t, everySum, kernels.Shape{3, 40})
	everything := func(d *device) error {
		j, err := tryLoad(d, c)
		if err != nil {
			return err
		}
		defer j.close()
		g, err := d.Record(runs(j))
		if err != nil {
			return err
		}
		if err := errors.Join(j.run(), g.Run()); err != nil {
			return err
		}
		if _, err := d.Elapsed(j.run); err != nil {
			return err
		}
		return errors.Join(j.compare(), d.Sync(), g.Close(), addInShared(d, 500))
	}
	for name, arm := range map[string]func(*emulator.GPU, int){
		"alloc":  (*emulator.GPU).FailAlloc,
		"launch": (*emulator.GPU).FailLaunch,
		"copy":   (*emulator.GPU).FailCopy,
		"lost":   (*emulator.GPU).LoseAfter,
	} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for n := 1; ; n++ {
				gpu, err := emulator.New(emulator.Config{})
				must(t, err)
				arm(gpu, n)
				dev, err := plugIn(settings{emulated: true}, gpu)
				if err != nil {
					if !errors.Is(err, backend.ErrUnavailable) {
						t.Errorf("%d: opening gives %v", n, err)
					}
					continue
				}
				within(t, func() {
					err = everything(dev.(*device))
					// What nobody has been told yet, Close tells.
					if e := dev.Close(); e != nil && (err != nil || !errors.Is(e, backend.ErrLost) || strings.Count(e.Error(), "\n") > 0) {
						t.Errorf("%d: Close: %v", n, e)
					}
				})
				if err == nil && name != "alloc" {
					break
				}
				if name == "alloc" {
					// Another try after the kept memory has been given back.
					if err != nil {
						t.Errorf("%d: one allocation fails and the next does not: %v", n, err)
					}
					if n == 16 {
						break
					}
					continue
				}
				failed++
				if !errors.Is(err, backend.ErrLost) {
					t.Errorf("%d: the error is %v, want that the device is lost", n, err)
				}
			}
			if name != "alloc" && failed < 3 {
				t.Errorf("only %d calls failed", failed)
			}
		})
	}
}

// TestJITLog: what the driver's compiler says is in the error.
func TestJITLog(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	must(t, d.enter())
	defer d.leave()
	_, err := d.module(".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry k()\n{\n\tnonsense.u32 %r;\n}\n")
	err = d.check(fmt.Errorf("kernel k: %w", err))
	var compile *driver.CompileError
	if !errors.As(err, &compile) || !strings.Contains(err.Error(), "ptx:6") || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("the error is %v, want the compiler's words", err)
	}
	if errors.Is(err, backend.ErrLost) {
		t.Error("a text that does not compile loses the device")
	}
}
