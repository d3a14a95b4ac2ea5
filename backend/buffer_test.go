package backend

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"errorcell/kernels"
)

// fakeBuffer is host memory; hidden is that of a device the host does not reach.
type fakeBuffer struct {
	dev    Device
	dtype  kernels.DType
	memory []byte
	hidden bool
}

func newFakeBuffer(dev Device, dtype kernels.DType, n int) *fakeBuffer {
	return &fakeBuffer{dev: dev, dtype: dtype, memory: make([]byte, n*dtype.Size())}
}

func (b *fakeBuffer) ReadAt(p []byte, off int64) (int, error)  { return ReadAtHost(b.memory, p, off) }
func (b *fakeBuffer) WriteAt(p []byte, off int64) (int, error) { return WriteAtHost(b.memory, p, off) }
func (b *fakeBuffer) Device() Device                           { return b.dev }
func (b *fakeBuffer) DType() kernels.DType                     { return b.dtype }
func (b *fakeBuffer) Len() int                                 { return len(b.memory) / b.dtype.Size() }
func (b *fakeBuffer) Close() error                             { return nil }
func (b *fakeBuffer) Host() []byte {
	if b.hidden {
		return nil
	}
	return b.memory
}

func TestHostCopies(t *testing.T) {
	const size = 5
	for _, c := range []struct {
		length int
		off    int64
		n      int
		short  bool
	}{
		{5, 0, 5, false}, {3, 0, 3, false}, {3, 2, 3, false}, {1, 4, 1, false}, {0, 0, 0, false}, {0, 5, 0, false}, {0, 9, 0, false},
		{6, 0, 5, true}, {5, 1, 4, true}, {2, 4, 1, true}, {1, 5, 0, true}, {1, 6, 0, true}, {1, math.MaxInt64, 0, true},
	} {
		memory := []byte("01234")
		p := bytes.Repeat([]byte{'x'}, c.length)
		n, err := ReadAtHost(memory, p, c.off)
		if want := map[bool]error{true: io.EOF}[c.short]; n != c.n || err != want {
			t.Errorf("reading %d at %d gives %d, %v; want %d, %v", c.length, c.off, n, err, c.n, want)
		}
		if want := "01234"[min(c.off, size):][:c.n]; string(p[:n]) != want || strings.Trim(string(p[n:]), "x") != "" {
			t.Errorf("reading %d at %d gives %q, want %q", c.length, c.off, p, want)
		}
		n, err = WriteAtHost(memory, bytes.Repeat([]byte{'w'}, c.length), c.off)
		if want := map[bool]error{true: io.ErrShortWrite}[c.short]; n != c.n || err != want {
			t.Errorf("writing %d at %d gives %d, %v; want %d, %v", c.length, c.off, n, err, c.n, want)
		}
		from := min(int(min(c.off, size)), size)
		if want := "01234"[:from] + strings.Repeat("w", c.n) + "01234"[from+c.n:]; string(memory) != want {
			t.Errorf("writing %d at %d leaves %q, want %q", c.length, c.off, memory, want)
		}
	}
	for _, off := range []int64{-1, math.MinInt64} {
		if n, err := ReadAtHost(make([]byte, 5), make([]byte, 1), off); n != 0 || !errors.Is(err, ErrShape) {
			t.Errorf("reading at %d gives %d, %v", off, n, err)
		}
		if n, err := WriteAtHost(make([]byte, 5), make([]byte, 1), off); n != 0 || !errors.Is(err, ErrShape) {
			t.Errorf("writing at %d gives %d, %v", off, n, err)
		}
	}
	text := []byte("what io.ReaderAt asks")
	b := &fakeBuffer{dtype: kernels.F32, memory: text}
	if err := iotest.TestReader(io.NewSectionReader(b, 0, int64(len(text))), text); err != nil {
		t.Error(err)
	}
}

func TestUploadDownload(t *testing.T) {
	dev := &fakeDevice{"fake"}
	b := newFakeBuffer(dev, kernels.F32, 3)
	in, out := []float32{1, float32(math.NaN()), -0.5}, make([]float32, 3)
	if err := Upload(b, in); err != nil {
		t.Fatal(err)
	}
	if err := Download(b, out); err != nil || out[0] != 1 || out[1] == out[1] || out[2] != -0.5 {
		t.Errorf("copied in and out %v is %v, %v", in, out, err)
	}
	empty := newFakeBuffer(dev, kernels.F64, 0)
	if err := Upload(empty, []float64(nil)); err != nil {
		t.Errorf("nothing into nothing: %v", err)
	}
	if err := Download(empty, []float64{}); err != nil {
		t.Errorf("nothing from nothing: %v", err)
	}
	for _, c := range []struct {
		name string
		err  error
		want error
		says []string
	}{
		{"short upload", Upload(b, in[:2]), ErrShape, []string{"3", "2"}},
		{"long download", Download(b, make([]float32, 4)), ErrShape, []string{"3", "4"}},
		{"upload of another type", Upload(b, make([]float64, 3)), ErrDType, []string{"float32", "float64"}},
		{"download of another type", Download(empty, []float32{}), ErrDType, []string{"float32", "float64"}},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want an error that is %q", c.name, c.err, c.want)
			continue
		}
		for _, s := range append(c.says, `device "fake"`) {
			if !strings.Contains(c.err.Error(), s) {
				t.Errorf("%s: the error does not say %q: %v", c.name, s, c.err)
			}
		}
	}
}

func TestView(t *testing.T) {
	b := newFakeBuffer(&fakeDevice{"fake"}, kernels.F64, 4)
	view, ok := View[float64](b)
	if !ok || len(view) != 4 {
		t.Fatalf("the view has %d elements, %v", len(view), ok)
	}
	view[3] = 2.5
	out := make([]float64, 4)
	if err := Download(b, out); err != nil || out[3] != 2.5 {
		t.Errorf("what was written in the view is %v in the buffer, %v", out, err)
	}
	if _, ok := View[float32](b); ok {
		t.Error("there is a view of another type")
	}
	b.hidden = true
	if view, ok := View[float64](b); ok || view != nil {
		t.Error("there is a view of memory that the host does not reach")
	}
}
