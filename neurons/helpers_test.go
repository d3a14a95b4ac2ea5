package neurons_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/kernels"
	"errorcell/neurons"
)

// onEveryCPU runs a test on each way that the CPU backend has to run kernels,
// with one thread and with three.
func onEveryCPU(t *testing.T, test func(t *testing.T, dev backend.Device)) {
	for _, candidate := range backend.Devices() {
		if !strings.HasPrefix(candidate.Spec, "cpu:") {
			continue
		}
		for _, threads := range []string{",threads=1", ",threads=3"} {
			t.Run(candidate.Spec+threads, func(t *testing.T) {
				if candidate.Err != nil {
					t.Skipf("this machine does not have it: %v", candidate.Err)
				}
				test(t, open(t, candidate.Spec+threads))
			})
		}
	}
}

func open(t testing.TB, spec string) backend.Device {
	t.Helper()
	dev, err := backend.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// newCell makes a cell that is closed when the test ends.
func newCell(t testing.TB, name string, units int, opts ...neurons.Option) *neurons.LaplacianErrorCell {
	t.Helper()
	cell, err := neurons.NewLaplacianErrorCell(name, units, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cell.Close(); err != nil {
			t.Error(err)
		}
	})
	return cell
}

// must is for calls that a test expects to work.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that an error is of a kind, if one is given, and says what it
// should.
func wantError(t testing.TB, err, is error, text string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("no error; wanted: %s", text)
	case is != nil && !errors.Is(err, is):
		t.Errorf("%q is no %q", err, is)
	case !strings.Contains(err.Error(), text):
		t.Errorf("error %q does not contain %q", err, text)
	}
	if named := (*neurons.Error)(nil); !errors.As(err, &named) {
		t.Errorf("%q is no *neurons.Error", err)
	}
}

// wantValue checks shape and numbers, to the bit; one NaN is as good as
// another.
func wantValue(t testing.TB, c *neurons.Compartment, shape []int, want ...float32) {
	t.Helper()
	if got := kernels.Shape(c.Shape()); got.String() != kernels.Shape(shape).String() {
		t.Errorf("%v has shape %v, not %v", c, got, kernels.Shape(shape))
	}
	got, err := c.Float32s()
	must(t, err)
	if i := firstDifference(got, want); i >= 0 {
		t.Errorf("%v = %v, not %v: they differ at %d", c, clip(got), clip(want), i)
	}
}

func clip(x []float32) []float32 { return x[:min(len(x), 50)] }

// firstDifference is the first index at which bits differ, -1 if there is none.
func firstDifference(a, b []float32) int {
	for i := range min(len(a), len(b)) {
		if !same(a[i], b[i]) {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// state is a copy of everything that a cell holds, for before and after.
func state(t testing.TB, cell interface{ Compartments() []*neurons.Compartment }) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, c := range cell.Compartments() {
		all[c.Name()] = "absent"
		if c.IsSet() {
			x, err := c.Float64s()
			must(t, err)
			all[c.Name()] = fmt.Sprintf("%v %x", c.Shape(), x)
		}
	}
	return all
}

// floats draws numbers, special ones among them.
var floats = rapid.OneOf(
	rapid.Float32(),
	rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1)), 1, -1, 1e-45, -1e-45,
		math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}),
)

// small draws whole numbers, whose differences are exact and often zero.
var small = rapid.Map(rapid.IntRange(-3, 3), func(i int) float32 { return float32(i) })

func drawN(t *rapid.T, gen *rapid.Generator[float32], n int, label string) []float32 {
	return rapid.SliceOfN(gen, n, n).Draw(t, label)
}

var negZero = float32(math.Copysign(0, -1))

var nan = float32(math.NaN())

var inf = float32(math.Inf(1))

// onEveryDevice runs a test on each CPU, on one whose memory the host cannot
// reach, and on the emulated GPU where it is compiled in.
func onEveryDevice(t *testing.T, test func(t *testing.T, dev backend.Device)) {
	onEveryCPU(t, test)
	t.Run("remote", func(t *testing.T) { test(t, &remote{Device: open(t, "cpu:generic,threads=1")}) })
	t.Run("cuda:emulated", func(t *testing.T) {
		dev, err := backend.Open("cuda:emulated")
		if errors.Is(err, backend.ErrUnknownDevice) || errors.Is(err, backend.ErrUnavailable) {
			t.Skip("this test binary has no CUDA: make test has a pass that does, on Linux with a C compiler")
		}
		must(t, err)
		t.Cleanup(func() { dev.Close() })
		test(t, dev)
	})
}
