// Buffers in memory of the host's, or that the host has too.

package backendtest

import (
	"errors"
	"slices"
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

// borrower is a device that borrows memory; the test is not for others.
func borrower(t *testing.T, dev backend.Device) backend.Borrower {
	t.Helper()
	host, ok := dev.(backend.Borrower)
	if !ok {
		t.Skip("the device is no backend.Borrower, which it need not be: it does not say that it computes in the host's memory")
	}
	return host
}

// lending is a run of the elementwise kernel in borrowed memory: z of x and y.
type lending[T kernels.Float] struct {
	dev     backend.Device
	program backend.Program
	x, y, z backend.Borrowed
}

func newLending[T kernels.Float](dev backend.Device) (*lending[T], error) {
	l := &lending[T]{dev: dev}
	sig := kernels.Signature{DType: kernels.DTypeOf[T]()}
	sig.Kinds[0], sig.Kinds[1] = kernels.Full, kernels.Full
	var err error
	if l.program, err = dev.Compile(elementwise, sig); err != nil {
		return nil, err
	}
	for _, b := range []*backend.Borrowed{&l.x, &l.y, &l.z} {
		if *b, err = dev.(backend.Borrower).NewBorrowed(sig.DType); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// start begins a run, which may be under way when it returns.
func (l *lending[T]) start(x, y, z []T) error {
	if err := errors.Join(lend(l.x, x), lend(l.y, y), lend(l.z, z)); err != nil {
		return err
	}
	return l.again()
}

func (l *lending[T]) again() error {
	return l.program.Run(1, l.z.Len(), []backend.Buffer{l.x, l.y}, []backend.Buffer{l.z})
}

func lend[T kernels.Float](b backend.Borrowed, memory []T) error {
	return b.Borrow(unsafe.Pointer(unsafe.SliceData(memory)), len(memory))
}

// right is what the run should give.
func (l *lending[T]) right(x, y []T) ([]T, error) {
	of := func(data []T) *kernels.Array[T] {
		return &kernels.Array[T]{Shape: kernels.Shape{len(data)}, Data: slices.Clone(data)}
	}
	results, err := kernels.Reference(elementwise, of(x), of(y))
	if err != nil {
		return nil, err
	}
	return results[0].Data, nil
}

// lent is memory of zeros that the device can borrow until the test ends.
func lent[T kernels.Float](t *testing.T, dev backend.Device, n int) []T {
	t.Helper()
	if sharer, ok := dev.(backend.Sharer); ok {
		return numbersIn[T](lentOf(t, sharer, n*kernels.DTypeOf[T]().Size()))
	}
	return make([]T, n)
}

// lentOf is memory that a device shares until the test ends.
func lentOf(t *testing.T, sharer backend.Sharer, bytes int) []byte {
	t.Helper()
	memory := share(t, sharer, bytes)
	t.Cleanup(func() {
		if err := sharer.FreeShared(memory); err != nil {
			t.Errorf("FreeShared: %v", err)
		}
	})
	return memory
}

// testBorrowedTruths computes truth values into bools of Go, from any of them on.
func testBorrowedTruths[T kernels.Float](t *testing.T, dev backend.Device) {
	host := borrower(t, dev)
	b, err := host.NewBorrowed(kernels.B8)
	if err != nil {
		t.Fatal(err)
	}
	k := define("comparison", func(k *builder) { k.Output("less", k.Less(k.Input("x"), k.Input("y"))) })
	for _, n := range []int{0, 1, 3, 100, 1023, 1024, 5000, 300_000} {
		c := newCall(k, 1, n, full(k), wild[T](43))
		j := load(t, dev, c)
		for from := range 9 {
			memory := make([]bool, n+10)
			if sharer, ok := dev.(backend.Sharer); ok {
				memory = unsafe.Slice((*bool)(unsafe.Pointer(unsafe.SliceData(lentOf(t, sharer, n+10)))), n+10)
			}
			for i := range memory {
				memory[i] = i%2 == 0
			}
			if err := b.Borrow(unsafe.Pointer(&memory[from]), n); err != nil {
				t.Fatal(err)
			}
			if err := j.program.Run(1, n, j.inputs, []backend.Buffer{b}); err != nil {
				t.Fatal(err)
			}
			if err := dev.Sync(); err != nil {
				t.Fatal(err)
			}
			for i, got := range memory {
				want := i%2 == 0 // beside it
				if i >= from && i < from+n {
					want = c.inputs[0][i-from] < c.inputs[1][i-from]
				}
				if got != want {
					t.Fatalf("of %d from %d: bool %d is %v, want %v", n, from, i, got, want)
				}
			}
		}
		j.close(t)
	}
	if b.Device() != dev || b.DType() != kernels.B8 || b.Len() != 300_000 || len(b.Host()) != b.Len() {
		t.Errorf("a borrowed buffer calls itself %d %v on %v", b.Len(), b.DType(), b.Device().Name())
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func testBorrowed[T kernels.Float](t *testing.T, dev backend.Device) {
	borrower(t, dev)
	l, err := newLending[T](dev)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 3, 100, 1023, 1024, 5000, 300_000} {
		for from := range 3 { // memory of any alignment
			a, b, c := lent[T](t, dev, n+2), lent[T](t, dev, n+2), lent[T](t, dev, n+2)
			wild[T](40)(0, len(a), a)
			wild[T](41)(0, len(b), b)
			constant[T](poison)(0, len(c), c)
			want, err := l.right(a[from:][:n], b[from:][:n])
			if err != nil {
				t.Fatal(err)
			}
			run := func(what string, to []T) {
				t.Helper()
				before, after := to[:from], to[from+n:]
				edges := append(append([]T{}, before...), after...)
				if err := errors.Join(l.start(a[from:][:n], b[from:][:n], to[from:][:n]), dev.Sync()); err != nil {
					t.Fatal(err)
				}
				if d := difference(to[from:][:n:n], want); d != "" {
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
	z, dtype := l.z, kernels.DTypeOf[T]()
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
	if err := l.again(); !errors.Is(err, backend.ErrClosed) && !errors.Is(err, backend.ErrShape) {
		t.Errorf("a run with a closed buffer: %v", err)
	}
}

// testInPlace puts the result of each operation where each of its operands is.
func testInPlace[T kernels.Float](t *testing.T, dev backend.Device) {
	host := borrower(t, dev)
	list := []*kernels.Kernel{
		define("chosen", func(k *builder) {
			x, y, z := k.Input("x"), k.Input("y"), k.Input("z")
			k.Output("result", k.Select(k.Less(x, y), z, x))
		}),
		define("larger", func(k *builder) { k.Output("result", k.Max(k.Input("x"), k.Input("y"))) }),
	}
	for _, o := range kernels.Operations {
		if list = append(list, o.Kernel); o.Incr != nil {
			list = append(list, o.Incr)
		}
	}
	dtype := kernels.DTypeOf[T]()
	buffer := func(memory []T) backend.Buffer {
		b, err := host.NewBorrowed(dtype)
		if err == nil {
			err = lend(b, memory)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, k := range list {
		sig := kernels.Signature{DType: dtype}
		copy(sig.Kinds[:], full(k))
		program, err := dev.Compile(k, sig)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 1037} {
			for place := range k.NumInputs() {
				var inputs []backend.Buffer
				var operands []*kernels.Array[T]
				var there []T
				for i := range k.NumInputs() {
					memory := lent[T](t, dev, n)
					wild[T](50+i)(0, n, memory)
					operands = append(operands, &kernels.Array[T]{Shape: kernels.Shape{n}, Data: slices.Clone(memory)})
					inputs = append(inputs, buffer(memory))
					if i == place {
						there = memory
					}
				}
				want, err := kernels.Reference(k, operands...)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(program.Run(1, n, inputs, []backend.Buffer{buffer(there)}), dev.Sync()); err != nil {
					t.Fatal(err)
				}
				if d := difference(there, want[0].Data); d != "" {
					t.Errorf("%s of %d in place of %s: %s", k.Name(), n, k.InputName(place), d)
				}
			}
		}
	}
}
