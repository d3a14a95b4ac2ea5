// Writing arrays: as NumPy does, readable by this package and by NumPy.

package numpy

import (
	"archive/zip"
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"errorcell/internal/numpy/numpytest"
)

func TestHeaderIsNumPys(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "headers.bin"))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, shape := range [][]int{{}, {7}, {64, 1000}, {2, 3, 4}, {1, 2, 3, 4}, {0, 1e9, 2, 1}} {
		if err := WriteHeader(&got, shape); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got %q, NumPy writes %q", got.Bytes(), want)
	}
}

func TestWrittenFileIsNumPys(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "f4.npy"))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	err = errors.Join(WriteHeader(&got, []int{2, 3, 4}), WriteData(&got, counting(12)), WriteData(&got, counting(24)[12:]))
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got %q, NumPy writes %q, error %v", got.Bytes(), want, err)
	}
}

func TestHeaderIsAligned(t *testing.T) {
	for n := range 4 * alignment {
		out, err := encodePreamble(strings.Repeat("x", n))
		if err != nil || len(out)%alignment != 0 || out[len(out)-1] != '\n' {
			t.Errorf("text of %d bytes: %d bytes, error %v", n, len(out), err)
		}
	}
	if _, err := encodePreamble(strings.Repeat("x", 1<<16)); err == nil {
		t.Error("a text beyond 64 KiB is written")
	}
	if _, err := encodePreamble(strings.Repeat("x", maxHeader+8)); err != nil {
		t.Error(err)
	}
}

func TestWriteErrors(t *testing.T) {
	var out bytes.Buffer
	checkError(t, WriteHeader(&out, []int{2, -1}), "shape (2, -1) has a negative length")
	checkError(t, WriteHeader(&out, slices.Repeat([]int{1}, 33)), "an array of 33 axes cannot be used")
	checkError(t, WriteHeader(&out, []int{math.MaxInt, 2}), "has more elements")
	a := NewArchiveWriter(&out)
	checkError(t, a.Write("mu", []int{-1, -1}, counting(1)), "negative length")
	checkError(t, a.Write("mu", []int{2, 3}, counting(5)), `array "mu" of shape (2, 3) has 6 elements, not 5`)
	if err := a.Write("mu", []int{}, counting(1)); err != nil {
		t.Error(err)
	}
	checkError(t, a.Write("mu", []int{}, counting(1)), `array "mu" is written twice`)
	checkError(t, begun(a, "mu", []int{}, []float64{1}), `array "mu" is written twice`)
	checkError(t, begun(a, "nu", []int{-1}, []float64{1}), "negative length")
	if err := a.Close(); err != nil {
		t.Error(err)
	}

	full := failingWriter{}
	for name, err := range map[string]error{
		"WriteHeader": WriteHeader(full, nil),
		"WriteData":   WriteData(full, counting(3)),
		"Write":       NewArchiveWriter(full).Write("mu", []int{1 << 20}, counting(1<<20)),
		"Close":       NewArchiveWriter(full).Close(),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: %v is not the writer's error", name, err)
		}
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errBroken }

// drawArray draws an array of any bit patterns.
func drawArray(t *rapid.T, label string) (shape []int, data []float32) {
	shape = rapid.SliceOfN(rapid.IntRange(0, 6), 0, 5).Draw(t, label+" shape")
	words := rapid.SliceOfN(rapid.Uint32(), Header{Shape: shape}.Len(), Header{Shape: shape}.Len()).Draw(t, label)
	for _, w := range words {
		data = append(data, math.Float32frombits(w))
	}
	return shape, data
}

// exactBits compares bit by bit, NaNs too.
func exactBits(a, b []float32) bool {
	return bytes.Equal(bytesOf(a), bytesOf(b))
}

func TestArchiveRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 4, rapid.ID).Draw(t, "names")
		var out bytes.Buffer
		w := NewArchiveWriter(&out)
		shapes, datas := map[string][]int{}, map[string][]float32{}
		for _, name := range names {
			shapes[name], datas[name] = drawArray(t, name)
			if err := w.Write(name, shapes[name], datas[name]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		a, err := newArchive("x.npz", bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Names(), names) {
			t.Fatalf("wrote %q, read %q", names, a.Names())
		}
		for _, name := range names {
			x, err := a.Read(name)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(x.Shape, shapes[name]) || !exactBits(x.Data, datas[name]) || x.Converted() {
				t.Fatalf("%q: wrote %v %v, read %v %v", name, shapes[name], datas[name], x.Shape, x.Data)
			}
		}
	})
}

func TestFileRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape, data := drawArray(t, "array")
		var out bytes.Buffer
		if err := errors.Join(WriteHeader(&out, shape), WriteData(&out, data)); err != nil {
			t.Fatal(err)
		}
		s, err := newStream("x.npy", &out, int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		x, err := s.array.all(true)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(x.Shape, shape) || !exactBits(x.Data, data) {
			t.Fatalf("wrote %v %v, read %v %v", shape, data, x.Shape, x.Data)
		}
	})
}

// Equal arrays make equal archives, stored and with their sizes stated.
func TestArchiveIsReproducible(t *testing.T) {
	write := func() []byte {
		var out bytes.Buffer
		w := NewArchiveWriter(&out)
		if err := errors.Join(w.Write("mu", []int{2, 3}, counting(6)), w.Close()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	first := write()
	if !bytes.Equal(first, write()) {
		t.Error("two archives of the same array differ")
	}
	z, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	m := z.File[0]
	if m.Method != zip.Store || m.UncompressedSize64 != 128+24 || m.CompressedSize64 != 128+24 {
		t.Errorf("the member has method %d, %d bytes packed, %d unpacked", m.Method, m.CompressedSize64, m.UncompressedSize64)
	}
}

// begun writes an array by Begin.
func begun[T Element](a *ArchiveWriter, name string, shape []int, data []T) error {
	w, err := Begin[T](a, name, shape)
	if err != nil {
		return err
	}
	return WriteData(w, data)
}

// TestNumPyReadsWhatIsWritten asks NumPy itself, where there is one.
func TestNumPyReadsWhatIsWritten(t *testing.T) {
	folder := t.TempDir()
	archive, single := filepath.Join(folder, "x.npz"), filepath.Join(folder, "x.npy")
	var npz, npy bytes.Buffer
	w := NewArchiveWriter(&npz)
	err := errors.Join(
		w.Write("target", []int{2, 3, 4}, counting(24)),
		w.Write("L", []int{}, counting(1)),
		w.Write("none", []int{0, 5}, nil),
		begun(w, "double", []int{2, 2}, []float64{0.1, -0, 1e300, 5e-324}),
		begun(w, "bytes", []int{5}, []byte("bytes")),
		w.Close(),
		WriteHeader(&npy, []int{6, 4}),
		WriteData(&npy, counting(24)),
		os.WriteFile(archive, npz.Bytes(), 0o666),
		os.WriteFile(single, npy.Bytes(), 0o666),
	)
	if err != nil {
		t.Fatal(err)
	}
	const script = `
import sys, zipfile
import numpy as np
want = np.arange(24, dtype="<f4")
z = np.load(sys.argv[1])
assert z.files == ["target", "L", "none", "double", "bytes"], z.files
assert z["double"].dtype == "<f8" and z["double"].tolist() == [[0.1, 0.0], [1e300, 5e-324]]
assert z["bytes"].dtype == "u1" and bytes(z["bytes"]) == b"bytes"
assert z["target"].dtype == "<f4" and z["target"].shape == (2, 3, 4)
assert (z["target"].ravel() == want).all()
assert z["L"].shape == () and z["L"] == 0
assert z["none"].shape == (0, 5) and z["none"].dtype == "<f4"
assert zipfile.ZipFile(sys.argv[1]).testzip() is None
assert (np.load(sys.argv[2]) == want.reshape(6, 4)).all()
m = np.load(sys.argv[2], mmap_mode="r")
assert m.flags["ALIGNED"] and m.offset == 128 and (m == want.reshape(6, 4)).all()
`
	numpytest.Run(t, script, archive, single)
}

// drawElements draws an array of any bit patterns.
func drawElements[T Element](t *rapid.T, draw *rapid.Generator[T]) (shape []int, data []T) {
	shape = rapid.SliceOfN(rapid.IntRange(0, 5), 0, 5).Draw(t, "shape")
	n := Header{Shape: shape}.Len()
	return shape, rapid.SliceOfN(draw, n, n).Draw(t, "data")
}

// checkElements writes an array in pieces, and reads it from NumPy's byte orders.
func checkElements[T Element](t *rapid.T, draw *rapid.Generator[T]) {
	shape, data := drawElements(t, draw)
	var out bytes.Buffer
	w := NewArchiveWriter(&out)
	piece, err := Begin[T](w, "x", shape)
	cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
	if err := errors.Join(err, WriteData(piece, data[:cut]), WriteData(piece, data[cut:]), w.Close()); err != nil {
		t.Fatal(err)
	}
	foreign := slices.Clone(data)
	swap(foreign)
	descr := "'" + strings.Replace(dtypeOf[T]().spelling, "<", ">", 1) + "'"
	raw := rawArray(dictionary(descr, false, shape), bytesOf(foreign))
	var stored bytes.Buffer
	z := zip.NewWriter(&stored)
	m, err := z.CreateHeader(&zip.FileHeader{Name: "x.npy", Method: zip.Store})
	if err == nil {
		_, err = m.Write(raw)
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{out.Bytes(), stored.Bytes()} {
		a, err := newArchive("x.npz", bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		gotShape, got, err := ReadAs[T](a, "x")
		if err != nil || !slices.Equal(gotShape, shape) || !bytes.Equal(bytesOf(got), bytesOf(data)) {
			t.Fatalf("wrote %v %v, read %v %v, error %v", shape, data, gotShape, got, err)
		}
	}
}

func TestElementsRoundTrip(t *testing.T) {
	t.Run("float32", rapid.MakeCheck(func(t *rapid.T) { checkElements(t, rapid.Map(rapid.Uint32(), math.Float32frombits)) }))
	t.Run("float64", rapid.MakeCheck(func(t *rapid.T) { checkElements(t, rapid.Map(rapid.Uint64(), math.Float64frombits)) }))
	t.Run("uint8", rapid.MakeCheck(func(t *rapid.T) { checkElements(t, rapid.Uint8()) }))
}

// NumPy's own arrays, read as they are: in both byte orders, and only as that type.
func TestReadAs(t *testing.T) {
	for _, path := range []string{"dtypes.npz", "dtypes_deflated.npz"} {
		a := openFixture(t, path)
		for _, order := range []string{"_le", "_be"} {
			_, single, err := ReadAs[float32](a, "f4"+order)
			checkNo(t, err)
			_, double, err := ReadAs[float64](a, "f8"+order)
			checkNo(t, err)
			_, small, err := ReadAs[uint8](a, "u1"+order)
			checkNo(t, err)
			if single[4] != 1e-45 || double[2] != 0.1 || double[4] != 1e300 || !slices.Equal(small, []uint8{0, 1, 255}) {
				t.Errorf("%s: %v, %v, %v", path, single, double, small)
			}
		}
		_, _, err := ReadAs[float64](a, "f4_le")
		checkFormatError(t, err, `array "f4_le": it holds float32, and float64 is wanted`)
		_, _, err = ReadAs[float64](a, "none such")
		checkFormatError(t, err, `no array "none such"`)
	}
	a := openFixture(t, "orders.npz")
	for _, name := range []string{"c4", "f4", "c0", "f0", "f1"} {
		want, err := a.Read(name)
		checkNo(t, err)
		shape, got, err := ReadAs[float32](a, name)
		if err != nil || !slices.Equal(shape, want.Shape) || !slices.Equal(got, want.Data) {
			t.Errorf("%s: %v, %v, not %v, error %v", name, shape, got, want, err)
		}
	}
}

func checkNo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
