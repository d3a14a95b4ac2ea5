// Buffers: what they hold, and how it gets in and out.

package backendtest

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"errorcell/backend"
	"errorcell/kernels"
)

func testBuffers[T kernels.Float](t *testing.T, dev backend.Device) {
	dtype := kernels.DTypeOf[T]()
	newOf := func(t *testing.T, n int) backend.Buffer {
		t.Helper()
		b, err := dev.NewBuffer(dtype, n)
		if err != nil {
			t.Fatalf("NewBuffer(%v, %d): %v", dtype, n, err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	t.Run("fresh", func(t *testing.T) { // zeros, also where another buffer was
		for _, n := range []int{0, 1, 3, 1000, 100_000} {
			for range 3 {
				b := newOf(t, n)
				if b.Device() != dev || b.DType() != dtype || b.Len() != n {
					t.Errorf("a buffer of %d %v on %v calls itself %d %v on %v", n, dtype, dev.Name(), b.Len(), b.DType(), b.Device().Name())
				}
				data := make([]T, n)
				constant[T](poison)(0, n, data)
				if err := backend.Download(b, data); err != nil {
					t.Fatal(err)
				}
				if d := difference(data, make([]T, n)); d != "" {
					t.Errorf("a fresh buffer of %d: %s", n, d)
				}
				constant[T](poison)(0, n, data)
				if err := backend.Upload(b, data); err != nil {
					t.Fatal(err)
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	t.Run("copies", func(t *testing.T) {
		b := newOf(t, 1000)
		in, out := make([]T, 1000), make([]T, 1000)
		wild[T](30)(0, len(in), in)
		if err := backend.Upload(b, in); err != nil {
			t.Fatal(err)
		}
		if err := backend.Download(b, out); err != nil {
			t.Fatal(err)
		}
		if d := difference(out, in); d != "" {
			t.Errorf("copied in and out: %s", d)
		}
		wantError(t, dev, backend.Upload(b, in[:999]), backend.ErrShape)
		wantError(t, dev, backend.Download(b, out[:0]), backend.ErrShape)
		if dtype == kernels.F32 {
			wantError(t, dev, backend.Upload(b, make([]float64, 1000)), backend.ErrDType)
		} else {
			wantError(t, dev, backend.Download(b, make([]float32, 1000)), backend.ErrDType)
		}
	})
	t.Run("bytes", func(t *testing.T) { testBytes(t, newOf(t, 5)) })
	t.Run("view", func(t *testing.T) {
		b := newOf(t, 100)
		view, ok := backend.View[T](b)
		if !ok {
			if b.Host() != nil {
				t.Error("the host reaches the buffer, but View gives nothing")
			}
			return // the host does not reach this memory, which the interface allows
		}
		in, out := make([]T, 100), make([]T, 100)
		ordinary[T](31)(0, 100, in)
		copy(view, in)
		if err := backend.Download(b, out); err != nil {
			t.Fatal(err)
		}
		if d := difference(out, in); d != "" || len(view) != 100 {
			t.Errorf("a view of %d elements was written: %s", len(view), d)
		}
		if err := backend.Upload(b, make([]T, 100)); err != nil {
			t.Fatal(err)
		}
		if d := difference(view, make([]T, 100)); d != "" {
			t.Errorf("a view after an upload: %s", d)
		}
		_, asF32 := backend.View[float32](b)
		_, asF64 := backend.View[float64](b)
		if asF32 == asF64 {
			t.Error("a view of the other element type is given")
		}
	})
}

// testTruths is about buffers of truth values, in the device's memory and in the
// host's.
func testTruths[T kernels.Float](t *testing.T, dev backend.Device) {
	newOf := func(t *testing.T, n int) backend.Buffer {
		t.Helper()
		b, err := dev.NewBuffer(kernels.B8, n)
		if err != nil {
			t.Fatalf("NewBuffer(%v, %d): %v", kernels.B8, n, err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	t.Run("fresh", func(t *testing.T) { // zeros, also where another buffer was
		for _, n := range []int{0, 1, 3, 1000, 100_001} {
			for range 3 {
				b := newOf(t, n)
				if b.Device() != dev || b.DType() != kernels.B8 || b.Len() != n {
					t.Errorf("a buffer of %d %v on %v calls itself %d %v on %v", n, kernels.B8, dev.Name(), b.Len(), b.DType(), b.Device().Name())
				}
				data := bytes.Repeat([]byte{bytePoison}, n)
				if _, err := b.ReadAt(data, 0); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(data, make([]byte, n)) {
					t.Errorf("a fresh buffer of %d is not false everywhere", n)
				}
				if _, err := b.WriteAt(bytes.Repeat([]byte{1}, n), 0); err != nil {
					t.Fatal(err)
				}
				if host := b.Host(); host != nil && len(host) != n {
					t.Errorf("the host reaches %d bytes of %d", len(host), n)
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	t.Run("bytes", func(t *testing.T) { testBytes(t, newOf(t, 23)) })
	t.Run("no numbers", func(t *testing.T) {
		b := newOf(t, 3)
		wantError(t, dev, backend.Upload(b, make([]T, 3)), backend.ErrDType, "bool")
		wantError(t, dev, backend.Download(b, make([]T, 3)), backend.ErrDType, "bool")
		if _, ok := backend.View[T](b); ok {
			t.Error("truth values are shown as numbers")
		}
	})
	t.Run("borrowed", func(t *testing.T) { testBorrowedTruths[T](t, dev) })
}

// testBytes reads and writes a buffer of a few elements at byte offsets. The
// pattern of bytes has NaNs whose payload a copy must keep.
func testBytes(t *testing.T, b backend.Buffer) {
	size := b.Len() * b.DType().Size()
	pattern := bytes.Repeat([]byte{0xff, 0xf5, 0x7f, 0xfb, 1}, size)[:size]
	if n, err := b.WriteAt(pattern, 0); n != size || err != nil {
		t.Fatalf("WriteAt of all %d bytes: %d, %v", size, n, err)
	}
	for _, c := range []struct {
		off, length int // of a transfer
		n           int // bytes that are there
	}{
		{0, size, size}, {0, 1, 1}, {1, 3, 3}, {3, size - 3, size - 3}, {size - 1, 1, 1}, {0, 0, 0}, {size, 0, 0},
		{0, size + 1, size}, {1, size, size - 1}, {size - 1, 2, 1}, {size, 1, 0}, {size + 7, 4, 0}, {math.MaxInt32, 1, 0},
	} {
		t.Run(fmt.Sprintf("%d bytes at %d", c.length, c.off), func(t *testing.T) {
			var pastRead, pastWrite error
			if c.n < c.length {
				pastRead, pastWrite = io.EOF, io.ErrShortWrite
			}
			p := bytes.Repeat([]byte{0xaa}, c.length)
			n, err := b.ReadAt(p, int64(c.off))
			if n != c.n || err != pastRead {
				t.Errorf("ReadAt: %d, %v; want %d, %v", n, err, c.n, pastRead)
			} else if n > 0 && !bytes.Equal(p[:n], pattern[c.off:c.off+n]) {
				t.Errorf("ReadAt gave % x, want % x", p[:n], pattern[c.off:c.off+n])
			}
			written := bytes.Repeat([]byte{0x3c}, c.length)
			n, err = b.WriteAt(written, int64(c.off))
			if n != c.n || err != pastWrite {
				t.Errorf("WriteAt: %d, %v; want %d, %v", n, err, c.n, pastWrite)
			}
			want := bytes.Clone(pattern)
			if c.off < size {
				copy(want[c.off:], written)
			}
			got := make([]byte, size)
			if _, err := b.ReadAt(got, 0); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the buffer holds % x, want % x", got, want)
			}
			if _, err := b.WriteAt(pattern, 0); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := iotest.TestReader(io.NewSectionReader(b, 0, int64(size)), pattern); err != nil {
		t.Error(err)
	}
	if n, err := b.ReadAt(make([]byte, 1), -1); n != 0 || err == nil {
		t.Errorf("ReadAt a negative offset: %d, %v", n, err)
	}
	if n, err := b.WriteAt(make([]byte, 1), -1); n != 0 || err == nil {
		t.Errorf("WriteAt a negative offset: %d, %v", n, err)
	}
}
