// Memory of the device's that the host has too.

package backendtest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

// sharerOf is the device as one that shares memory; the test of one that does not
// is skipped.
func sharerOf(t *testing.T, dev backend.Device) backend.Sharer {
	t.Helper()
	sharer, ok := dev.(backend.Sharer)
	if !ok {
		t.Skip("the device is no backend.Sharer, which it need not be: it does not say that it shares memory with the host")
	}
	return sharer
}

// share allocates shared memory. Where there can be none, the test is skipped.
func share(t *testing.T, dev backend.Sharer, bytes int) []byte {
	t.Helper()
	memory, err := dev.NewShared(bytes)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("NewShared(%d): %v", bytes, err)
	}
	if len(memory) != bytes || cap(memory) != bytes {
		t.Fatalf("NewShared(%d) gives %d bytes of %d", bytes, len(memory), cap(memory))
	}
	return memory
}

// numbersIn is memory as numbers.
func numbersIn[T kernels.Float](memory []byte) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), len(memory)/int(unsafe.Sizeof(*new(T))))
}

func testShared[T kernels.Float](t *testing.T, dev backend.Device) {
	sharer := sharerOf(t, dev)
	size := kernels.DTypeOf[T]().Size()
	l, err := newLending[T](dev)
	if err != nil {
		t.Fatal(err)
	}
	free := func(t *testing.T, memory []byte) {
		t.Helper()
		if err := sharer.FreeShared(memory); err != nil {
			t.Errorf("FreeShared: %v", err)
		}
	}
	t.Run("fresh", func(t *testing.T) { // zeros, also where other memory was
		for _, bytes := range []int{1, size, 1000, 1 << 20, 3<<20 + 1} {
			for range 3 {
				memory := share(t, sharer, bytes)
				if uintptr(unsafe.Pointer(unsafe.SliceData(memory)))%256 != 0 {
					t.Errorf("shared memory of %d bytes begins at %p", bytes, memory)
				}
				for i, b := range memory {
					if b != 0 {
						t.Fatalf("byte %d of new shared memory of %d is %d", i, bytes, b)
					}
				}
				for i := range memory {
					memory[i] = 0xee
				}
				free(t, memory)
			}
		}
	})
	t.Run("none", func(t *testing.T) {
		for range 2 {
			free(t, share(t, sharer, 0))
		}
		free(t, nil)
	})
	const n = 3000
	t.Run("both sides", func(t *testing.T) { // see what the other one wrote
		memory := share(t, sharer, 3*n*size)
		defer free(t, memory)
		all := numbersIn[T](memory)
		x, y, z := all[:n], all[n:2*n], all[2*n:]
		for seed := range 3 {
			wild[T](60+seed)(0, n, x)
			wild[T](70+seed)(0, n, y)
			want, err := l.right(x, y)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(l.start(x, y, z), dev.Sync()); err != nil {
				t.Fatal(err)
			}
			if d := difference(z, want); d != "" {
				t.Errorf("the host reads: %s", d)
			}
			got := make([]T, n)
			if err := backend.Download[T](l.z, got); err != nil {
				t.Fatal(err)
			}
			if d := difference(got, want); d != "" {
				t.Errorf("a copy of the result: %s", d)
			}
			view, ok := backend.View[T](l.z)
			if !ok || &view[0] != &z[0] || len(view) != n {
				t.Errorf("the buffer does not show the memory that it borrows, but %d elements", len(view))
			}
			if err := errors.Join(backend.Upload[T](l.x, got), dev.Sync()); err != nil {
				t.Fatal(err)
			}
			if d := difference(x, got); d != "" {
				t.Errorf("a copy to borrowed memory: %s", d)
			}
		}
	})
	t.Run("in place again and again", func(t *testing.T) {
		memory := share(t, sharer, 2*n*size)
		defer free(t, memory)
		x, y := numbersIn[T](memory)[:n], numbersIn[T](memory)[n:]
		ordinary[T](80)(0, n, x)
		ordinary[T](81)(0, n, y)
		want := slices.Clone(y)
		if err := l.start(x, y, y); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := l.again(); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			if want, err = l.right(x, want); err != nil {
				t.Fatal(err)
			}
		}
		if err := dev.Sync(); err != nil {
			t.Fatal(err)
		}
		if d := difference(y, want); d != "" {
			t.Error(d)
		}
	})
	t.Run("freed under work", func(t *testing.T) { // whose end does not touch what comes after
		for range 5 {
			memory := share(t, sharer, n*size)
			x := numbersIn[T](memory)
			ordinary[T](90)(0, n, x)
			if err := l.start(x, x, x); err != nil {
				t.Fatal(err)
			}
			free(t, memory)
			next := share(t, sharer, n*size)
			for i := range next {
				next[i] = 0x11
			}
			if err := dev.Sync(); err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(next, func(b byte) bool { return b != 0x11 }); i >= 0 {
				t.Fatalf("byte %d of new shared memory is changed by a run that was given the old", i)
			}
			wantError(t, dev, l.again(), backend.ErrClosed)
			free(t, next)
		}
	})
	t.Run("recording", func(t *testing.T) {
		recorder, ok := dev.(backend.Recorder)
		if !ok {
			t.Skip("the device is no backend.Recorder, which it need not be: it does not say that it records runs")
		}
		memory, others := share(t, sharer, 2*n*size), share(t, sharer, n*size)
		defer free(t, others)
		x, y, z := numbersIn[T](memory)[:n], numbersIn[T](memory)[n:], numbersIn[T](others)
		ordinary[T](91)(0, n, x)
		want, err := l.right(x, x)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(lend(l.x, x), lend(l.y, x), lend(l.z, y)); err != nil {
			t.Fatal(err)
		}
		recording, err := recorder.Record([]backend.Run{{Program: l.program, Rows: 1, Cols: n, Inputs: []backend.Buffer{l.x, l.y}, Outputs: []backend.Buffer{l.z}}})
		if err != nil {
			t.Fatal(err)
		}
		defer recording.Close()
		if err := errors.Join(lend(l.x, z), lend(l.y, z), lend(l.z, z), recording.Run(), dev.Sync()); err != nil {
			t.Fatal(err)
		}
		if d := difference(y, want); d != "" {
			t.Errorf("a recording whose buffers have other memory now: %s", d)
		}
		if d := difference(z, make([]T, n)); d != "" {
			t.Errorf("a recording has touched memory that was borrowed later: %s", d)
		}
		free(t, memory)
		wantError(t, dev, recording.Run(), backend.ErrClosed)
	})
	t.Run("many", func(t *testing.T) { // from many goroutines
		within(t, "work in shared memory", func() {
			var group sync.WaitGroup
			for g := range 6 {
				group.Go(func() {
					if err := lendOften[T](sharer, dev, 20, g); err != nil {
						t.Errorf("goroutine %d: %v", g, err)
					}
				})
			}
			group.Wait()
		})
	})
}

// lendOften makes shared memory of some sizes, computes in it, and frees it.
func lendOften[T kernels.Float](sharer backend.Sharer, dev backend.Device, rounds, seed int) error {
	l, err := newLending[T](dev)
	if err != nil {
		return err
	}
	for round := range rounds {
		n := 100 * (1 + (seed+round)%7)
		memory, err := sharer.NewShared(n * kernels.DTypeOf[T]().Size())
		if err != nil {
			return err
		}
		x := numbersIn[T](memory)
		constant(T(seed+2))(0, n, x)
		want, err := l.right(x, x)
		if err != nil {
			return err
		}
		if err := errors.Join(l.start(x, x, x), dev.Sync()); err != nil {
			return err
		}
		if d := difference(x, want); d != "" {
			return errors.New(d)
		}
		if err := sharer.FreeShared(memory); err != nil {
			return err
		}
	}
	return nil
}

// testBadShared asks for what cannot be had, and gives back and borrows what is
// none of the device's.
func testBadShared(t *testing.T, open Opener) {
	dev, other := openDevice(t, open), openDevice(t, open)
	sharer := sharerOf(t, dev)
	memory := share(t, sharer, 400)
	foreign, own := share(t, other.(backend.Sharer), 400), make([]byte, 400)
	gone := share(t, sharer, 100_000)
	if err := sharer.FreeShared(gone); err != nil {
		t.Fatal(err)
	}
	t.Run("allocate", func(t *testing.T) {
		for bytes, want := range map[int]error{-1: backend.ErrShape, -1 << 60: backend.ErrShape, 1 << 60: backend.ErrMemory, 1<<63 - 1: backend.ErrMemory} {
			got, err := sharer.NewShared(bytes)
			wantError(t, dev, err, want)
			if got != nil {
				t.Errorf("beside the error there are %d bytes", len(got))
			}
		}
		if most := dev.Info().Memory; most < 1<<50 {
			_, err := sharer.NewShared(int(most) + 1)
			wantError(t, dev, err, backend.ErrMemory)
		}
	})
	t.Run("give back", func(t *testing.T) {
		for name, c := range map[string]struct {
			memory []byte
			want   error
		}{
			"the first part": {memory[:399], backend.ErrShape},
			"no part":        {memory[:0], backend.ErrShape},
			"the last part":  {memory[1:], backend.ErrShape},
			"Go's":           {own, backend.ErrForeign},
			"a device's":     {foreign, backend.ErrForeign},
			"freed":          {gone, backend.ErrForeign},
		} {
			t.Run(name, func(t *testing.T) { wantError(t, dev, sharer.FreeShared(c.memory), c.want) })
		}
	})
	l, err := newLending[float64](dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("borrow", func(t *testing.T) {
		first := unsafe.Pointer(unsafe.SliceData(memory))
		for name, c := range map[string]struct {
			first unsafe.Pointer
			n     int
			want  error
		}{
			"all":                {first, 50, nil},
			"the last":           {unsafe.Add(first, 392), 1, nil},
			"none":               {unsafe.Pointer(&own[0]), 0, nil},
			"past the end":       {first, 51, backend.ErrShape},
			"far past the end":   {first, 1 << 61, backend.ErrShape},
			"the last and more":  {unsafe.Add(first, 392), 2, backend.ErrShape},
			"across an element":  {unsafe.Add(first, 4), 1, backend.ErrShape},
			"behind the end":     {unsafe.Add(first, 400), 1, backend.ErrForeign},
			"before the start":   {unsafe.Add(first, -8), 1, backend.ErrForeign},
			"Go's":               {unsafe.Pointer(&own[0]), 1, backend.ErrForeign},
			"a device's":         {unsafe.Pointer(&foreign[0]), 1, backend.ErrForeign},
			"freed":              {unsafe.Pointer(unsafe.SliceData(gone)), 1, backend.ErrForeign},
			"a negative number":  {first, -1, backend.ErrShape},
			"some of no address": {nil, 1, backend.ErrShape},
		} {
			t.Run(name, func(t *testing.T) {
				if err := l.x.Borrow(c.first, c.n); c.want != nil {
					wantError(t, dev, err, c.want)
				} else if err != nil || l.x.Len() != c.n {
					t.Errorf("%d elements, and %v", l.x.Len(), err)
				}
			})
		}
	})
	t.Run("closed device", func(t *testing.T) {
		if err := lend(l.x, numbersIn[float64](memory)); err != nil {
			t.Fatal(err)
		}
		if err := dev.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := sharer.NewShared(8)
		wantError(t, dev, err, backend.ErrClosed)
		_, err = sharer.NewBorrowed(kernels.F32)
		wantError(t, dev, err, backend.ErrClosed)
		wantError(t, dev, sharer.FreeShared(memory), backend.ErrClosed)
		wantError(t, dev, l.y.Borrow(unsafe.Pointer(unsafe.SliceData(memory)), 1), backend.ErrClosed)
		if l.x.Host() != nil {
			t.Error("a buffer shows memory that its device had")
		}
	})
}
