//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"errorcell/backend"
	"errorcell/backend/cuda/emulator"
	"errorcell/kernels"
)

// everySum has each kind of sum: one added up in float64 in a tree, one along
// the batch, one that is counted; and a pass that needs the results of others.
var everySum = kernels.Must(kernels.Define("every-sum", func(k *kernels.Builder) {
	x, y := k.Input("x"), k.Input("y")
	all := k.Sum(k.Mul(x, y), kernels.All)
	batch := k.Sum(x, kernels.Batch)
	k.Output("z", k.Mul(k.Sub(x, batch), all))
	k.Output("all", all)
	k.Output("batch", batch)
	k.Output("count", k.Sum(k.Sign(k.Sub(x, y)), kernels.All))
}))

// TestMain is also what a child of a test does: see envChild.
func TestMain(m *testing.M) {
	switch os.Getenv(envChild) {
	case "":
		os.Exit(m.Run())
	case "stand-in":
		json.NewEncoder(os.Stdout).Encode(newStandInReport())
	default:
		json.NewEncoder(os.Stdout).Encode(newReport())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openOn opens a device on an emulated GPU of its own, for the length of a test.
// Closing it finds what has not been freed.
func openOn(t testing.TB, c emulator.Config, limit uint64) (*device, *emulator.GPU) {
	t.Helper()
	gpu, err := emulator.New(c)
	must(t, err)
	dev, err := plugIn(settings{emulated: true, limit: limit}, gpu)
	must(t, err)
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if t.Failed() {
			t.Logf("the seed of the GPU is %d", gpu.Seed())
		}
	})
	return dev.(*device), gpu
}

// call is a kernel with operands and what is right.
type call struct {
	kernels.Binding
	kernel *kernels.Kernel
	inputs []*kernels.Array[float32] // nil where absent
	want   [][]float32
}

// newCall computes what is right by the reference.
func newCall(t testing.TB, k *kernels.Kernel, inputs ...*kernels.Array[float32]) *call {
	t.Helper()
	c := &call{kernel: k, inputs: inputs}
	shapes := make([]kernels.Shape, len(inputs))
	for i, a := range inputs {
		if a != nil {
			shapes[i] = a.Shape
		}
	}
	var err error
	c.Binding, err = k.Bind(kernels.F32, shapes...)
	must(t, err)
	results, err := kernels.Reference(k, inputs...)
	must(t, err)
	for _, a := range results {
		c.want = append(c.want, a.Data)
	}
	return c
}

// randomCall has full operands, of which some are equal.
func randomCall(t testing.TB, k *kernels.Kernel, shape kernels.Shape) *call {
	t.Helper()
	random := rand.New(rand.NewPCG(1, uint64(shape.Len())))
	inputs := make([]*kernels.Array[float32], k.NumInputs())
	for i := range inputs {
		inputs[i] = &kernels.Array[float32]{Shape: shape, Data: make([]float32, shape.Len())}
		for j := range inputs[i].Data {
			inputs[i].Data[j] = float32(random.IntN(2000)-1000) / 64
		}
	}
	return newCall(t, k, inputs...)
}

// job is a call in a device's memory.
type job struct {
	*call
	t       testing.TB
	program *program
	in, out []backend.Buffer
}

// load makes a job. Its buffers end with the device, or with close.
func load(t testing.TB, dev backend.Device, c *call) *job {
	t.Helper()
	j, err := tryLoad(dev, c)
	must(t, err)
	j.t = t
	return j
}

func tryLoad(dev backend.Device, c *call) (*job, error) {
	j := &job{call: c}
	p, err := dev.Compile(c.kernel, c.Signature)
	if err != nil {
		return nil, err
	}
	j.program = p.(*program)
	for _, a := range c.inputs {
		if a == nil {
			j.in = append(j.in, nil)
			continue
		}
		b, err := dev.NewBuffer(kernels.F32, len(a.Data))
		if err != nil {
			return nil, err
		}
		j.in = append(j.in, b)
		if err := backend.Upload(b, a.Data); err != nil {
			return nil, err
		}
	}
	for _, data := range c.want {
		b, err := dev.NewBuffer(kernels.F32, len(data))
		if err != nil {
			return nil, err
		}
		j.out = append(j.out, b)
	}
	return j, nil
}

func (j *job) run() error { return j.program.Run(j.Rows, j.Cols, j.in, j.out) }

// runs are the runs of jobs, to be recorded.
func runs(jobs ...*job) []backend.Run {
	var all []backend.Run
	for _, j := range jobs {
		all = append(all, backend.Run{Program: j.program, Rows: j.Rows, Cols: j.Cols, Inputs: j.in, Outputs: j.out})
	}
	return all
}

// reset clears the results.
func (j *job) reset() {
	j.t.Helper()
	for i, b := range j.out {
		must(j.t, backend.Upload(b, make([]float32, len(j.want[i]))))
	}
}

// check compares the results with what is right.
func (j *job) check() {
	j.t.Helper()
	if err := j.compare(); err != nil {
		j.t.Error(err)
	}
}

func (j *job) compare() error {
	for i, b := range j.out {
		got := make([]float32, b.Len())
		if err := backend.Download(b, got); err != nil {
			return err
		}
		for n, want := range j.want[i] {
			if math.Float32bits(got[n]) != math.Float32bits(want) && (got[n] == got[n] || want == want) {
				return fmt.Errorf("%s: %s[%d] is %g (%#x), want %g (%#x)", j.kernel.Name(), j.kernel.OutputName(i), n,
					got[n], math.Float32bits(got[n]), want, math.Float32bits(want))
			}
		}
	}
	return nil
}

func (j *job) close() {
	for _, b := range append(append([]backend.Buffer{}, j.in...), j.out...) {
		if b != nil {
			b.Close()
		}
	}
}

// within fails the test where something hangs.
func within(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		stacks := make([]byte, 1<<20)
		t.Fatalf("it hangs:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
}
