package cpu

import (
	"testing"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

// TestStreams: results go past the caches if they are aligned and new memory for
// them, and never if they take the place of an operand.
func TestStreams(t *testing.T) {
	for i := range variants {
		v := &variants[i]
		t.Run(v.name, func(t *testing.T) {
			if missing := v.missing(); missing != "" {
				t.Skipf("this machine does not have it: %s", missing)
			}
			if v.simd == nil {
				t.Skip("plain Go has no stores past the caches; the other paths do")
			}
			dev := newDevice(v, 1, true)
			defer dev.Close()
			dev.cache = 0
			add := kernels.Operations[0].Kernel
			sig := kernels.Signature{DType: kernels.F32}
			sig.Kinds[0], sig.Kinds[1] = kernels.Full, kernels.Full
			p, err := dev.Compile(add, sig)
			if err != nil {
				t.Fatal(err)
			}
			const n = 100
			streaming := func(p backend.Program) bool { return p.(*program[float32]).last.Load().streaming }
			memory := make([]float32, 4*n)
			for uintptr(unsafe.Pointer(&memory[0]))%align != 0 {
				memory = memory[1:]
			}
			at := func(i int) backend.Buffer {
				b, err := dev.NewBorrowed(kernels.F32)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Borrow(unsafe.Pointer(&memory[i]), n); err != nil {
					t.Fatal(err)
				}
				return b
			}
			const x, y, other = 0, 112, 224 // of 16 elements, which is align
			for _, c := range []struct {
				to   int
				want bool
			}{{other, true}, {other + 1, false}, {x, false}, {y, false}} {
				if err := p.Run(1, n, []backend.Buffer{at(x), at(y)}, []backend.Buffer{at(c.to)}); err != nil {
					t.Fatal(err)
				}
				if got := streaming(p); got != c.want {
					t.Errorf("x and y from elements %d and %d on, the result from %d: past the caches %v, want %v", x, y, c.to, got, c.want)
				}
			}
			p, err = dev.Compile(kernels.Must(kernels.Define("each-and-all", func(k *kernels.Builder) {
				sum := k.Add(k.Input("x"), k.Input("y"))
				k.Output("each", sum)
				k.Output("all", k.Sum(sum, kernels.All))
			})), sig)
			if err != nil {
				t.Fatal(err)
			}
			buffer := func(n int) backend.Buffer {
				b, err := dev.NewBuffer(kernels.F32, n)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			if err := p.Run(1, n, []backend.Buffer{buffer(n), buffer(n)}, []backend.Buffer{buffer(n), buffer(1)}); err != nil {
				t.Fatal(err)
			}
			if !streaming(p) {
				t.Error("the results of a kernel with a sum do not go past the caches")
			}
		})
	}
}
