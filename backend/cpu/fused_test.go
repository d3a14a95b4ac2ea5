package cpu

import (
	"testing"
	"unsafe"

	"errorcell/backend"
	"errorcell/backend/cpu/internal/simd"
	"errorcell/kernels"
)

// TestFusedTruths: a fused function is told where the bytes of truth values go,
// of each part of the elements. No cell has any, so this one is in plain Go.
func TestFusedTruths(t *testing.T) {
	k := kernels.Must(kernels.Define("k", func(k *kernels.Builder) {
		x, y := k.Input("x"), k.Input("y")
		less := k.Less(x, y)
		k.Output("smaller", k.Select(less, x, y))
		k.Output("less", less)
	}))
	calls := 0
	fused := func(c *simd.Call) {
		calls++
		x, y := unsafe.Slice((*float32)(c.Operands[0]), c.N), *(*float32)(c.Operands[1])
		smaller, less := unsafe.Slice((*float32)(c.Results[0]), c.N), unsafe.Slice((*bool)(c.Results[1]), c.N)
		for i := range x {
			smaller[i], less[i] = min(x[i], y), x[i] < y
		}
	}
	d := newDevice(&variants[len(variants)-1], 1, true)
	defer d.Close()
	d.kit32 = plainKit[float32]()
	d.kit32.fused = []simd.Fused{{Form: "s0 u1 less(0,1) select(2,0,1) store(3) narrow(2)", Run: fused}}

	const n, y = 2*longSpan + 3, 1.5
	sig := kernels.Signature{DType: kernels.F32}
	sig.Kinds[0], sig.Kinds[1] = kernels.Full, kernels.Scalar
	p, err := d.Compile(k, sig)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i * 7 % 4)
	}
	var buffers []backend.Buffer
	for _, b := range []struct {
		dtype kernels.DType
		n     int
	}{{kernels.F32, n}, {kernels.F32, 1}, {kernels.F32, n}, {kernels.B8, n}} {
		buffer, err := d.NewBuffer(b.dtype, b.n)
		if err != nil {
			t.Fatal(err)
		}
		buffers = append(buffers, buffer)
	}
	if err := backend.Upload(buffers[0], x); err != nil {
		t.Fatal(err)
	}
	if err := backend.Upload(buffers[1], []float32{y}); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(1, n, buffers[:2], buffers[2:]); err != nil {
		t.Fatal(err)
	}
	if calls != 3 {
		t.Errorf("%d calls of the fused function, want 3", calls)
	}
	smaller, _ := backend.View[float32](buffers[2])
	for i, less := range buffers[3].Host() {
		if smaller[i] != min(x[i], y) || (less == 1) != (x[i] < y) || less > 1 {
			t.Fatalf("element %d, %v: %v and %v", i, x[i], smaller[i], less)
		}
	}
}
