// What is refused, with which error, in words that name the culprit; and that
// nothing is touched then.

package backendtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
)

// wantError checks that an error is the one wanted and names the device, and
// all else that it must name.
func wantError(t *testing.T, dev backend.Device, err, want error, names ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, want one that is %q", err, want)
		return
	}
	for _, name := range append(names, dev.Name()) {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %q: %v", name, err)
		}
	}
}

func testBadBuffers(t *testing.T, open Opener) {
	dev := openDevice(t, open)
	type bad struct {
		dtype kernels.DType
		n     int
		want  error
	}
	cases := []bad{
		{kernels.F32, -1, backend.ErrShape},
		{kernels.F64, -1 << 40, backend.ErrShape},
		{0, 1, backend.ErrDType},
		{99, 0, backend.ErrDType},
		{kernels.F32, 1 << 60, backend.ErrMemory},
		{kernels.F64, 1 << 60, backend.ErrMemory},
		{kernels.F32, 1 << 50, backend.ErrMemory},
		{kernels.F64, 1 << 44, backend.ErrMemory},
		{kernels.B8, -1, backend.ErrShape},
		{kernels.B8, 1 << 50, backend.ErrMemory},
	}
	if twice := dev.Info().Memory / 2; twice < 1<<50 { // float32: twice what buffers can take
		cases = append(cases, bad{kernels.F32, int(twice), backend.ErrMemory})
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%d of %v", c.n, c.dtype), func(t *testing.T) {
			b, err := dev.NewBuffer(c.dtype, c.n)
			wantError(t, dev, err, c.want)
			if err == nil {
				b.Close()
			} else if b != nil {
				t.Errorf("beside the error there is a buffer: %v", b)
			}
		})
	}
	b, err := dev.NewBuffer(kernels.F32, 10)
	if err != nil {
		t.Fatalf("a small buffer after them: %v", err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close of a buffer: %v", err)
		}
	}
}

func testBadCompile(t *testing.T, open Opener) {
	dev := openDevice(t, open)
	for name, sig := range map[string]kernels.Signature{
		"no element type":      {Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, kernels.Full}},
		"type of results":      {DType: kernels.B8, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, kernels.Full}},
		"unknown element type": {DType: 7, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, kernels.Full}},
		"operand missing":      {DType: kernels.F32, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full}},
		"unknown kind":         {DType: kernels.F32, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, 2}},
		"all results omitted":  {DType: kernels.F32, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, kernels.Full}, Omit: 7},
		"omission too many":    {DType: kernels.F32, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, kernels.Full}, Omit: 8},
		"operand too many":     {DType: kernels.F32, Kinds: [kernels.MaxInputs]kernels.Kind{kernels.Full, kernels.Full, 0, kernels.Full}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := dev.Compile(kernels.Laplacian, sig)
			wantError(t, dev, err, backend.ErrOperands, kernels.Laplacian.Name())
			if p != nil {
				t.Errorf("beside the error there is a program: %v", p)
			}
		})
	}
}

// badRun is a way to call a program wrongly: spoil changes a call that is right.
type badRun struct {
	name  string
	want  error
	names []string // that the error must mention
	spoil func(c *runCall)
}

// runCall is the arguments of a run of the Laplacian with a scalar modulator
// on a grid of 3 x 5, and what a spoiler may need.
type runCall struct {
	rows, cols      int
	inputs, outputs []backend.Buffer
	// make gives a buffer of the device, foreign one of another device.
	make, foreign func(dtype kernels.DType, n int) backend.Buffer
}

const target, mu, modulator, dmu, dtarget, loss = 0, 1, 2, 0, 1, 2

var badRuns = []badRun{
	{"closed operand", backend.ErrClosed, []string{"mu"}, func(c *runCall) { c.inputs[mu].Close() }},
	{"closed result", backend.ErrClosed, []string{"dtarget"}, func(c *runCall) { c.outputs[dtarget].Close() }},
	{"foreign operand", backend.ErrForeign, []string{"target"}, func(c *runCall) { c.inputs[target] = c.foreign(kernels.F32, 15) }},
	{"foreign result", backend.ErrForeign, []string{"L"}, func(c *runCall) { c.outputs[loss] = c.foreign(kernels.F32, 1) }},
	{"operand of another type", backend.ErrDType, []string{"mu", "float64"}, func(c *runCall) { c.inputs[mu] = c.make(kernels.F64, 15) }},
	{"result of another type", backend.ErrDType, []string{"dmu", "float64"}, func(c *runCall) { c.outputs[dmu] = c.make(kernels.F64, 15) }},
	{"operand too short", backend.ErrShape, []string{"target", "14", "15"}, func(c *runCall) { c.inputs[target] = c.make(kernels.F32, 14) }},
	{"operand too long", backend.ErrShape, []string{"modulator", "15", "scalar"}, func(c *runCall) { c.inputs[modulator] = c.make(kernels.F32, 15) }},
	{"result too short", backend.ErrShape, []string{"L", "0"}, func(c *runCall) { c.outputs[loss] = c.make(kernels.F32, 0) }},
	{"result too long", backend.ErrShape, []string{"dtarget", "16"}, func(c *runCall) { c.outputs[dtarget] = c.make(kernels.F32, 16) }},
	{"another grid", backend.ErrShape, []string{"target", "5 x 5"}, func(c *runCall) { c.rows = 5 }},
	{"negative rows", backend.ErrShape, []string{"-3 x 5"}, func(c *runCall) { c.rows = -3 }},
	{"negative columns", backend.ErrShape, []string{"3 x -5"}, func(c *runCall) { c.cols = -5 }},
	{"both negative", backend.ErrShape, []string{"-3 x -5"}, func(c *runCall) { c.rows, c.cols = -3, -5 }},
	{"grid beyond memory", backend.ErrShape, nil, func(c *runCall) { c.rows, c.cols = 1<<40, 1<<40 }},
	{"operand missing", backend.ErrOperands, []string{"mu"}, func(c *runCall) { c.inputs[mu] = nil }},
	{"optional operand missing", backend.ErrOperands, []string{"modulator"}, func(c *runCall) { c.inputs[modulator] = nil }},
	{"result missing", backend.ErrOperands, []string{"dtarget"}, func(c *runCall) { c.outputs[dtarget] = nil }},
	{"too few operands", backend.ErrOperands, []string{"3", "2"}, func(c *runCall) { c.inputs = c.inputs[:2] }},
	{"no operands", backend.ErrOperands, nil, func(c *runCall) { c.inputs = nil }},
	{"too many operands", backend.ErrOperands, []string{"3", "4"}, func(c *runCall) { c.inputs = append(c.inputs, nil) }},
	{"too few results", backend.ErrOperands, []string{"3", "2"}, func(c *runCall) { c.outputs = c.outputs[:2] }},
	{"too many results", backend.ErrOperands, []string{"3", "4"}, func(c *runCall) { c.outputs = append(c.outputs, c.make(kernels.F32, 1)) }},
	{"result on an operand", backend.ErrAliased, []string{"target", "dmu"}, func(c *runCall) { c.outputs[dmu] = c.inputs[target] }},
	{"last result on last operand", backend.ErrAliased, []string{"modulator", "L"}, func(c *runCall) { c.outputs[loss] = c.inputs[modulator] }},
	{"two results in one", backend.ErrAliased, []string{"dmu", "dtarget"}, func(c *runCall) { c.outputs[dtarget] = c.outputs[dmu] }},
}

func testBadRun(t *testing.T, open Opener) {
	dev, other := openDevice(t, open), openDevice(t, open)
	maker := func(t *testing.T, dev backend.Device) func(kernels.DType, int) backend.Buffer {
		return func(dtype kernels.DType, n int) backend.Buffer {
			b, err := dev.NewBuffer(dtype, n)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	c := newCall(kernels.Laplacian, 3, 5, []kernels.Kind{kernels.Full, kernels.Full, kernels.Scalar}, ordinary[float32](40))
	for _, bad := range badRuns {
		t.Run(bad.name, func(t *testing.T) {
			j := load(t, dev, c)
			defer j.close(t)
			rc := runCall{c.rows, c.cols, slices.Clone(j.inputs), slices.Clone(j.outputs), maker(t, dev), maker(t, other)}
			bad.spoil(&rc)
			wantError(t, dev, j.program.Run(rc.rows, rc.cols, rc.inputs, rc.outputs), bad.want, append(bad.names, c.kernel.Name())...)
			for i, b := range j.outputs {
				data := make([]float32, b.Len())
				if err := backend.Download(b, data); err != nil {
					if errors.Is(err, backend.ErrClosed) && bad.want == backend.ErrClosed {
						continue // it is the one that the case has closed
					}
					t.Fatal(err)
				}
				if d := difference(data, slices.Repeat([]float32{poison}, b.Len())); d != "" {
					t.Errorf("the refused run has written %s: %s", c.kernel.OutputName(i), d)
				}
			}
		})
	}
	t.Run("superfluous operand", func(t *testing.T) {
		plain := newCall(kernels.Laplacian, 3, 5, []kernels.Kind{kernels.Full, kernels.Full, kernels.Absent}, ordinary[float32](40))
		j := load(t, dev, plain)
		defer j.close(t)
		inputs := []backend.Buffer{j.inputs[0], j.inputs[1], maker(t, dev)(kernels.F32, 1)}
		wantError(t, dev, j.program.Run(3, 5, inputs, j.outputs), backend.ErrOperands, "modulator")
	})
	t.Run("superfluous result", func(t *testing.T) {
		fewer := c
		fewer.omit = 1 << dtarget
		j := load(t, dev, fewer)
		defer j.close(t)
		outputs := []backend.Buffer{j.outputs[dmu], maker(t, dev)(kernels.F32, 15), j.outputs[loss]}
		wantError(t, dev, j.program.Run(3, 5, j.inputs, outputs), backend.ErrOperands, "dtarget")
	})
	t.Run("truth values", func(t *testing.T) { testBadTruths(t, dev) })
	t.Run("empty operand as result", func(t *testing.T) {
		empty := newCall(kernels.Laplacian, 0, 5, []kernels.Kind{kernels.Full, kernels.Full, kernels.Absent}, ordinary[float32](40))
		j := load(t, dev, empty)
		defer j.close(t)
		outputs := []backend.Buffer{j.inputs[0], j.outputs[dtarget], j.outputs[loss]}
		wantError(t, dev, j.program.Run(0, 5, j.inputs, outputs), backend.ErrAliased, "target", "dmu")
	})
	t.Run("one operand twice", func(t *testing.T) { // which is no misuse
		j := load(t, dev, c)
		defer j.close(t)
		twice := c
		twice.inputs = [][]float32{c.inputs[0], c.inputs[0], c.inputs[2]}
		if err := j.program.Run(3, 5, []backend.Buffer{j.inputs[0], j.inputs[0], j.inputs[2]}, j.outputs); err != nil {
			t.Fatal(err)
		}
		got, err := j.results()
		if err != nil {
			t.Fatal(err)
		}
		compareAll(t, j, got, twice.reference(t))
	})
	check(t, dev, c) // the device is as good as before
}

// testBadTruths gives buffers of the wrong element type where there are truth
// values and numbers.
func testBadTruths(t *testing.T, dev backend.Device) {
	k := define("comparison", func(k *builder) {
		x, y := k.Input("x"), k.Input("y")
		less := k.Less(x, y)
		k.Output("less", less)
		k.Output("smaller", k.Select(less, x, y))
	})
	const less, smaller = 0, 1
	c := newCall(k, 3, 5, full(k), ordinary[float32](42))
	for _, bad := range []struct {
		name  string
		names []string
		dtype kernels.DType
		place func(j *job[float32]) *backend.Buffer
	}{
		{"numbers for truth values", []string{"less", "float32", "bool"}, kernels.F32, func(j *job[float32]) *backend.Buffer { return &j.outputs[less] }},
		{"truth values for numbers", []string{"smaller", "float32", "bool"}, kernels.B8, func(j *job[float32]) *backend.Buffer { return &j.outputs[smaller] }},
		{"truth values as an operand", []string{"y", "float32", "bool"}, kernels.B8, func(j *job[float32]) *backend.Buffer { return &j.inputs[1] }},
	} {
		t.Run(bad.name, func(t *testing.T) {
			j := load(t, dev, c)
			defer j.close(t)
			other, err := dev.NewBuffer(bad.dtype, 15)
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte{bytePoison}, 15*bad.dtype.Size())
			if _, err := other.WriteAt(want, 0); err != nil {
				t.Fatal(err)
			}
			to := bad.place(j)
			right := *to
			*to = other
			wantError(t, dev, j.start(), backend.ErrDType, append(bad.names, k.Name())...)
			got := make([]byte, len(want))
			if _, err := other.ReadAt(got, 0); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Error("the refused run has written the buffer that is wrong")
			}
			*to = right
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
			compareAll(t, j, j.run(t), c.reference(t))
		})
	}
}

// testClosed uses buffers, then everything, after Close.
func testClosed(t *testing.T, open Opener) {
	c := newCall(kernels.Laplacian, 3, 5, full(kernels.Laplacian), ordinary[float32](41))
	p := make([]byte, 4)
	closedBuffer := func(t *testing.T, dev backend.Device, b backend.Buffer) {
		t.Helper()
		n, err := b.ReadAt(p, 0)
		wantError(t, dev, err, backend.ErrClosed)
		m, err := b.WriteAt(p, 0)
		wantError(t, dev, err, backend.ErrClosed)
		if n != 0 || m != 0 {
			t.Errorf("of a closed buffer %d bytes were read and %d written", n, m)
		}
		wantError(t, dev, backend.Upload(b, make([]float32, b.Len())), backend.ErrClosed)
		wantError(t, dev, backend.Download(b, make([]float32, b.Len())), backend.ErrClosed)
		if b.Len() != 15 || b.DType() != kernels.F32 || b.Device() != dev {
			t.Errorf("a closed buffer has forgotten what it was: %d %v on %v", b.Len(), b.DType(), b.Device())
		}
		if b.Host() != nil {
			t.Error("a closed buffer still shows its memory")
		}
		if err := b.Close(); err != nil {
			t.Errorf("Close of a closed buffer: %v", err)
		}
	}
	t.Run("buffer", func(t *testing.T) {
		dev := openDevice(t, open)
		j := load(t, dev, c)
		if err := j.inputs[0].Close(); err != nil {
			t.Fatal(err)
		}
		closedBuffer(t, dev, j.inputs[0])
	})
	t.Run("device", func(t *testing.T) {
		dev := openDevice(t, open)
		j := load(t, dev, c)
		j.run(t)
		name := dev.Name()
		for range 2 {
			if err := dev.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
		_, err := dev.NewBuffer(kernels.F32, 1)
		wantError(t, dev, err, backend.ErrClosed)
		_, err = dev.Compile(kernels.Laplacian, c.signature())
		wantError(t, dev, err, backend.ErrClosed)
		_, err = dev.Compile(kernels.LaplacianL1, c.signature())
		wantError(t, dev, err, backend.ErrClosed)
		wantError(t, dev, dev.Sync(), backend.ErrClosed)
		wantError(t, dev, j.start(), backend.ErrClosed)
		closedBuffer(t, dev, j.inputs[0])
		closedBuffer(t, dev, j.outputs[0])
		if dev.Name() != name || dev.Info().Model == "" {
			t.Error("a closed device has forgotten its name or model")
		}
		if plan := j.program.Plan(); plan == nil || plan.Kernel != c.kernel {
			t.Error("a program of a closed device has forgotten its plan")
		}
	})
}
