// Buffers in memory of the host's.

package backendtest

import (
	"errors"
	"testing"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

// elementwise has one output and no sums, so it may be computed in place.
var elementwise = kernels.Must(kernels.Define("elementwise", func(k *kernels.Builder) {
	x, y := k.Input("x"), k.Input("y")
	k.Output("result", k.Fma(k.Abs(x), y, k.Select(k.Less(x, y), x, k.Sqrt(y))))
}))

func testBorrowed[T kernels.Float](t *testing.T, dev backend.Device) {
	host, ok := dev.(backend.Borrower)
	if !ok {
		t.Skip("the device does not compute in the host's memory, and does not say so")
	}
	dtype := kernels.DTypeOf[T]()
	borrow := func(t *testing.T) backend.Borrowed {
		t.Helper()
		b, err := host.NewBorrowed(dtype)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sig := kernels.Signature{DType: dtype}
	sig.Kinds[0], sig.Kinds[1] = kernels.Full, kernels.Full
	program, err := dev.Compile(elementwise, sig)
	if err != nil {
		t.Fatal(err)
	}
	x, y, z := borrow(t), borrow(t), borrow(t)
	for _, n := range []int{0, 1, 3, 100, 1023, 1024, 5000, 300_000} {
		for from := range 3 { // memory of any alignment
			a, b := make([]T, n+2), make([]T, n+2)
			wild[T](40)(0, len(a), a)
			wild[T](41)(0, len(b), b)
			c := make([]T, n+2)
			constant[T](poison)(0, len(c), c)
			want, err := kernels.Reference(elementwise, &kernels.Array[T]{Shape: kernels.Shape{n}, Data: a[from:][:n:n]}, &kernels.Array[T]{Shape: kernels.Shape{n}, Data: b[from:][:n:n]})
			if from > 2 || err != nil {
				t.Fatal(err)
			}
			run := func(what string, to []T) {
				t.Helper()
				for _, l := range []struct {
					b      backend.Borrowed
					memory []T
				}{{x, a}, {y, b}, {z, to}} {
					if err := l.b.Borrow(unsafe.Pointer(unsafe.SliceData(l.memory[from:])), n); err != nil {
						t.Fatal(err)
					}
				}
				before, after := to[:from], to[from+n:]
				edges := append(append([]T{}, before...), after...)
				if err := program.Run(1, n, []backend.Buffer{x, y}, []backend.Buffer{z}); err != nil {
					t.Fatal(err)
				}
				if err := dev.Sync(); err != nil {
					t.Fatal(err)
				}
				if d := difference(to[from:][:n:n], want[0].Data); d != "" {
					t.Errorf("%s, of %d from %d: %s", what, n, from, d)
				}
				if d := difference(append(append([]T{}, before...), after...), edges); d != "" {
					t.Errorf("%s, of %d from %d: beside it %s", what, n, from, d)
				}
			}
			run("to memory of its own", c)
			run("in place", b)
		}
	}
	if z.Device() != dev || z.DType() != dtype || z.Len() != 300_000 || len(z.Host()) != z.Len()*dtype.Size() {
		t.Errorf("a borrowed buffer calls itself %d %v on %v", z.Len(), z.DType(), z.Device().Name())
	}
	if err := z.Borrow(nil, 3); !errors.Is(err, backend.ErrShape) {
		t.Errorf("3 elements at nil: %v", err)
	}
	var one T
	if err := z.Borrow(unsafe.Pointer(&one), -1); !errors.Is(err, backend.ErrShape) {
		t.Errorf("-1 elements: %v", err)
	}
	if err := z.Borrow(nil, 0); err != nil || z.Len() != 0 {
		t.Errorf("memory that is given back: %d elements, %v", z.Len(), err)
	}
	if err := errors.Join(z.Close(), z.Close()); err != nil {
		t.Error(err)
	}
	if err := z.Borrow(unsafe.Pointer(&one), 1); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("a closed buffer borrows: %v", err)
	}
	if err := program.Run(1, 0, []backend.Buffer{x, y}, []backend.Buffer{z}); !errors.Is(err, backend.ErrClosed) && !errors.Is(err, backend.ErrShape) {
		t.Errorf("a run with a closed buffer: %v", err)
	}
}
