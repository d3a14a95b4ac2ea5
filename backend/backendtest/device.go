// Devices and programs: what they say of themselves, and what they keep.

package backendtest

import (
	"slices"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
)

// testDevice looks at a device's description, and at two devices beside each
// other.
func testDevice(t *testing.T, open Opener) {
	dev, other := openDevice(t, open), openDevice(t, open)
	if dev == other {
		t.Fatal("two calls open one device")
	}
	if dev.Info().Model == "" {
		t.Error("Info has no Model")
	}
	if dev.Info().Memory == 0 {
		t.Error("Info has no Memory")
	}
	if err := dev.Sync(); err != nil {
		t.Errorf("Sync of an idle device: %v", err)
	}
	t.Run("name", func(t *testing.T) {
		again, err := backend.Open(dev.Name())
		if err != nil {
			t.Fatalf("the device's name is no spec that opens it: %v", err)
		}
		defer again.Close()
		if again.Name() != dev.Name() || again.Info() != dev.Info() {
			t.Errorf("the name of a device opens another one: %q %+v, want %q %+v", again.Name(), again.Info(), dev.Name(), dev.Info())
		}
	})
	t.Run("close twice", func(t *testing.T) {
		for range 2 {
			if err := other.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		check(t, dev, newCall(everything, 3, 5, full(everything), ordinary[float32](20)))
	})
}

// testPrograms looks at what Compile gives, and at the order of programs.
func testPrograms(t *testing.T, open Opener) {
	dev := openDevice(t, open)
	compile := func(t *testing.T, k *kernels.Kernel, sig kernels.Signature) backend.Program {
		t.Helper()
		p, err := dev.Compile(k, sig)
		if err != nil {
			t.Fatalf("compile %s: %v", k.Name(), err)
		}
		return p
	}
	signature := func(dtype kernels.DType, kinds ...kernels.Kind) kernels.Signature {
		sig := kernels.Signature{DType: dtype}
		copy(sig.Kinds[:], kinds)
		return sig
	}
	t.Run("made once", func(t *testing.T) {
		made := map[backend.Program]kernels.Signature{}
		for range 2 {
			for _, dtype := range []kernels.DType{kernels.F32, kernels.F64} {
				for _, combination := range allKinds(kernels.Laplacian) {
					sig := signature(dtype, combination...)
					p := compile(t, kernels.Laplacian, sig)
					if old, ok := made[p]; ok && old != sig {
						t.Errorf("one program for %v and %v", old, sig)
					}
					made[p] = sig
				}
			}
		}
		if want := 2 * len(allKinds(kernels.Laplacian)); len(made) != want {
			t.Errorf("%d programs were made for %d signatures", len(made), want)
		}
	})
	t.Run("namesakes", func(t *testing.T) { // kernels of one name, one of them the catalogue's
		namesake := func(f func(k *builder, x, y value) value) *kernels.Kernel {
			return define(kernels.Laplacian.Name(), func(k *builder) {
				x, y, z := k.Input("target"), k.Input("mu"), k.Optional("modulator", 1)
				dmu := f(k, x, y)
				k.Output("dmu", dmu)
				k.Output("dtarget", k.Mul(dmu, z))
				k.Output("L", k.Sum(dmu, kernels.All))
			})
		}
		for _, k := range []*kernels.Kernel{
			kernels.Laplacian,
			namesake(func(k *builder, x, y value) value { return k.Add(x, y) }),
			namesake(func(k *builder, x, y value) value { return k.Sign(k.Sub(y, x)) }),
			kernels.Laplacian,
		} {
			check(t, dev, newCall(k, 5, 7, full(k), ordinary[float32](21)))
		}
	})
	t.Run("in order", func(t *testing.T) { testOrder(t, dev) })
	t.Run("closed operands", func(t *testing.T) { // after the start of a program, which may use them still
		c := newCall(everything, 65, 130, full(everything), ordinary[float64](23))
		j := load(t, dev, c)
		if err := j.start(); err != nil {
			t.Fatal(err)
		}
		for _, b := range j.inputs {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := j.results()
		if err != nil {
			t.Fatal(err)
		}
		compareAll(t, j, got, c.reference(t))
	})
}

// testOrder starts programs that read each other's results without waiting,
// then overwrites what they read: each sees what was there when it started.
func testOrder(t *testing.T, dev backend.Device) {
	const rows, cols, steps = 65, 130, 8
	k := define("step", func(k *builder) { k.Output("y", k.Add(k.Mul(k.Input("x"), k.Const(2)), k.Const(1))) })
	c := newCall(k, rows, cols, full(k), ordinary[float64](22))
	j := load(t, dev, c)
	buffers := []backend.Buffer{j.inputs[0]}
	for range steps {
		b, err := dev.NewBuffer(kernels.F64, rows*cols)
		if err != nil {
			t.Fatal(err)
		}
		buffers = append(buffers, b)
		if err := j.program.Run(rows, cols, buffers[len(buffers)-2:len(buffers)-1], buffers[len(buffers)-1:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := backend.Upload(buffers[0], make([]float64, rows*cols)); err != nil {
		t.Fatal(err)
	}
	got, err := downloadAll[float64](buffers)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(c.inputs[0])
	for step := range steps {
		for i := range want {
			want[i] = float64(want[i]*2) + 1
		}
		if d := difference(got[step+1], want); d != "" {
			t.Fatalf("step %d: %s", step+1, d)
		}
	}
	if err := dev.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
}
