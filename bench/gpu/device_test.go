// The device that is measured, by way of the backend and by way of the driver.

//go:build nvidia && linux && cgo && (amd64 || arm64)

package gpu

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"gorgonia.org/cu"

	"errorcell/backend"
	_ "errorcell/backend/cuda"
	"errorcell/backend/cuda/driver"
	"errorcell/backend/cuda/driver/emulated"
	"errorcell/backend/cuda/emulator"
)

var (
	device = flag.String("device", "cuda:0", "the `GPU` to measure")
	sizes  = flag.String("sizes", "4096,65536,1048576,4194304,16777216,67108864,268435456", "the elements of a step, as a `LIST`")
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// eachSize runs a benchmark for each of the sizes.
func eachSize(b *testing.B, run func(b *testing.B, n int)) {
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n <= 0 {
			b.Fatalf("-sizes has %q: numbers of elements are wanted, such as 4096,65536", size)
		}
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) { run(b, n) })
	}
}

// perStep reports the time of one of count steps that a benchmark took, each of
// which moves so many bytes.
func perStep(b *testing.B, count int, bytes int64) {
	ns := float64(b.Elapsed().Nanoseconds()) / float64(count)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ns, "ns/step")
	if bytes > 0 {
		b.ReportMetric(float64(bytes)/ns, "GB/s")
	}
}

// open opens the device for the length of a benchmark.
func open(tb testing.TB) backend.Device {
	tb.Helper()
	dev, err := backend.Open(*device)
	must(tb, err)
	tb.Cleanup(func() {
		if err := dev.Close(); err != nil {
			tb.Error(err)
		}
	})
	return dev
}

// openDriver makes the GPU the one of this goroutine's thread, for the length of a
// benchmark, and gives a stream of it. Nothing of ours is in between then.
func openDriver(tb testing.TB) cu.Stream {
	tb.Helper()
	dev, unplug, err := driverDevice()
	must(tb, err)
	runtime.LockOSThread()
	context, err := dev.RetainPrimaryCtx()
	must(tb, err)
	must(tb, cu.SetCurrentContext(context))
	stream, err := cu.MakeStream(cu.NonBlocking)
	must(tb, err)
	tb.Cleanup(func() {
		defer runtime.UnlockOSThread()
		if err := errors.Join(stream.Destroy(), cu.SetCurrentContext(cu.CUContext{}), dev.ReleasePrimaryCtx(), unplug()); err != nil {
			tb.Error(err)
		}
	})
	return stream
}

// driverDevice finds what -device names among the driver's devices.
func driverDevice() (dev cu.Device, unplug func() error, err error) {
	_, options, _ := strings.Cut(*device, ":")
	for option := range strings.SplitSeq(options, ",") {
		if option == "emulated" {
			gpu, err := emulator.New(emulator.Config{})
			if err != nil {
				return dev, nil, err
			}
			dev, err = driver.Emulate(emulated.New(gpu))
			return dev, func() error { return driver.Unplug(dev) }, err
		}
	}
	ordinal, _, _ := strings.Cut(options, ",")
	n, _ := strconv.Atoi(ordinal) // "cuda" is "cuda:0"
	if err := driver.Load(); err != nil {
		return dev, nil, err
	}
	dev, err = cu.GetDevice(n)
	return dev, func() error { return nil }, err
}

// deviceMemory allocates for the length of a benchmark, and writes zeros.
func deviceMemory(tb testing.TB, bytes int64, stream cu.Stream) cu.DevicePtr {
	tb.Helper()
	ptr, err := cu.MemAlloc(bytes)
	if errors.Is(err, cu.OutOfMemory) {
		tb.Skipf("%d bytes do not fit the GPU's memory", bytes)
	}
	must(tb, err)
	tb.Cleanup(func() {
		if err := cu.MemFree(ptr); err != nil {
			tb.Error(err)
		}
	})
	must(tb, cu.MemsetD8Async(ptr, 0, bytes, stream))
	must(tb, stream.Synchronize())
	return ptr
}

// TestBenchmarks runs every benchmark on the emulated GPU, so that they work when
// there is a real one.
func TestBenchmarks(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	out, err := exec.Command(self, "-test.run", "^$", "-test.bench", ".", "-test.benchtime", "2x", "-device", "cuda:emulated", "-sizes", "1,1000").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"Step/impl=copy/n=1000", "Step/impl=graph/n=1000", "Launch/impl=run", "Transfer/dir=to/memory=pinned/n=1000"} {
		if !strings.Contains(string(out), "Benchmark"+want) {
			t.Errorf("there is no %s in\n%s", want, out)
		}
	}
}
