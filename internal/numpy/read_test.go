// Reading what NumPy wrote: every element type, byte order, memory order and
// rank, and the types that are refused.

package numpy

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func openFixture(t testing.TB, name string) *Archive {
	t.Helper()
	a, err := OpenArchive(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func readFixture(t testing.TB, a *Archive, name string) *Array {
	t.Helper()
	x, err := a.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// sameBits compares bit by bit, except that NaNs are all alike.
func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
	})
}

func counting(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(i)
	}
	return s
}

// checkError makes sure that err is one printable line that says all of want.
func checkError(t testing.TB, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	if !printable(text) || len(text) > 1500 {
		t.Errorf("an error must be one printable line: %q", text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("error %q does not say %q", text, w)
		}
	}
}

func checkFormatError(t testing.TB, err error, want ...string) {
	t.Helper()
	checkError(t, err, want...)
	var format *FormatError
	if !errors.As(err, &format) {
		t.Errorf("error %q is no FormatError", err)
	}
}

func TestDTypes(t *testing.T) {
	for _, file := range []string{"dtypes.npz", "dtypes_deflated.npz"} {
		a := openFixture(t, file)
		checked := map[string]bool{}
		for _, name := range a.Names() {
			if !a.Has(name + ".want") {
				continue
			}
			got, want := readFixture(t, a, name), readFixture(t, a, name+".want")
			if !sameBits(got.Data, want.Data) {
				t.Errorf("%s: %s: got %v, NumPy has %v", file, name, got.Data, want.Data)
			}
			if got.Converted() != (name != "f4_le") || want.Converted() {
				t.Errorf("%s: %s: Converted is %v for dtype %s", file, name, got.Converted(), got.DType)
			}
			code, order, _ := strings.Cut(name, "_")
			size := readable[code].size
			if spelling := byteOrder(size, order == "be") + code; got.DType != spelling {
				t.Errorf("%s: %s: dtype is %s, not %s", file, name, got.DType, spelling)
			}
			checked[code] = true
		}
		if len(checked) != len(readable) {
			t.Errorf("%s: only %v of %d types were checked", file, checked, len(readable))
		}
	}
}

func TestOrders(t *testing.T) {
	a := openFixture(t, "orders.npz")
	shapes := map[string][]int{
		"c0": {}, "c1": {3}, "c2": {3, 2}, "c3": {3, 2, 4}, "c4": {3, 2, 4, 2},
		"f0": {}, "f1": {3}, "f2": {3, 2}, "f3": {3, 2, 4}, "f4": {3, 2, 4, 2},
		"f3_be_i2": {3, 2, 4}, "none": {0, 5}, "none_f": {3, 0, 2}, "one": {},
	}
	if len(a.Names()) != len(shapes) {
		t.Errorf("the archive holds %v", a.Names())
	}
	for name, shape := range shapes {
		x := readFixture(t, a, name)
		if x.Shape == nil || !slices.Equal(x.Shape, shape) {
			t.Errorf("%s has shape %v, not %v", name, x.Shape, shape)
		}
		n := Header{Shape: shape}.Len()
		if !slices.Equal(x.Data, counting(n)) {
			t.Errorf("%s holds %v", name, x.Data)
		}
		h, err := a.Header(name)
		if err != nil || !slices.Equal(h.Shape, shape) || h.Len() != n || h.DType != x.DType {
			t.Errorf("%s has header %v, error %v", name, h, err)
		}
	}
}

func TestRejectedDTypes(t *testing.T) {
	a := openFixture(t, "rejected.npz")
	want := map[string]string{
		"complex64":   "dtype complex64 ('<c8') cannot be used: float32 is wanted, and float64, float16, integers and bool are converted",
		"complex128":  "dtype complex128 ('>c16') cannot be used",
		"float128":    "dtype float128 ('<f16') cannot be used",
		"string":      "dtype string ('<U5') cannot be used",
		"bytes":       "dtype bytes ('|S3') cannot be used",
		"object":      "dtype object ('|O') cannot be used",
		"structured":  "dtype structured ([('a', '<f4'), ('b', '<i8')]) cannot be used",
		"datetime64":  "dtype datetime64 ('<M8[ns]') cannot be used",
		"timedelta64": "dtype timedelta64 ('<m8[s]') cannot be used",
		"raw bytes":   "dtype raw bytes ('|V2') cannot be used",
		"many axes":   "an array of 33 axes cannot be used: at most 32 are",
	}
	if len(a.Names()) != len(want) {
		t.Errorf("the archive holds %v", a.Names())
	}
	for name, reason := range want {
		_, err := a.Read(name)
		checkFormatError(t, err, filepath.Join("testdata", "rejected.npz")+`: array "`+name+`": `+reason)
		_, err = a.Header(name)
		checkFormatError(t, err, reason)
	}
}

func TestFiles(t *testing.T) {
	shapes := map[string][]int{
		"f4.npy": {2, 3, 4}, "f4_be.npy": {2, 3, 4}, "f8.npy": {2, 3, 4}, "i8.npy": {2, 3, 4},
		"f4_fortran.npy": {2, 3}, "f4_fortran_row.npy": {6}, "version2.npy": {2, 3}, "version3.npy": {2, 3},
	}
	for name, shape := range shapes {
		x, err := ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !slices.Equal(x.Shape, shape) || !slices.Equal(x.Data, counting(len(x.Data))) {
			t.Errorf("%s has shape %v and holds %v", name, x.Shape, x.Data)
		}
	}
	_, err := ReadFile(filepath.Join("testdata", "object.npy"))
	checkFormatError(t, err, "dtype object")
}

func TestStream(t *testing.T) {
	for _, name := range []string{"f4.npy", "f4_be.npy", "f8.npy", "i8.npy"} {
		s, err := OpenStream(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		h := s.Header()
		if want := "(2, 3, 4) " + h.dtype.name; h.String() != want || h.Fortran {
			t.Errorf("%s has header %s, Fortran %v", name, h, h.Fortran)
		}
		slab := make([]float32, 12)
		for i := range 2 {
			if err := s.Read(slab); err != nil || !slices.Equal(slab, counting(24)[12*i:12*i+12]) {
				t.Errorf("%s: slab %d is %v, error %v", name, i, slab, err)
			}
			if err := s.Read(nil); err != nil {
				t.Errorf("%s: reading nothing: %v", name, err)
			}
			if i == 0 {
				if err := s.Read(make([]float32, 13)); err != io.ErrUnexpectedEOF {
					t.Errorf("%s: reading more than is left: %v", name, err)
				}
			}
		}
		if err := s.Read(slab); err != io.EOF {
			t.Errorf("%s: reading past the end: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		checkError(t, s.Close(), name+": file already closed")
	}
}

func TestStreamRefusesFortranOrder(t *testing.T) {
	_, err := OpenStream(filepath.Join("testdata", "f4_fortran.npy"))
	checkFormatError(t, err, "(2, 3) float32 in Fortran order", `np.save("x.npy", np.ascontiguousarray(x))`)
	s, err := OpenStream(filepath.Join("testdata", "f4_fortran_row.npy"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// An array in Fortran order whose other axes have length 1 is in C order, too.
func TestStreamTakesFortranOrderOfOneAxis(t *testing.T) {
	raw := rawArray("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2, 1), }", make([]byte, 8))
	s, err := OpenStream(writeTemp(t, "x.npy", raw))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestGoldens(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "testdata", "laplacian2024", "*.npz"))
	if err != nil || len(paths) == 0 {
		t.Skipf("there are no golden files beside the module: %v", err)
	}
	for _, path := range paths {
		a, err := OpenArchive(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range a.Names() {
			x, err := a.Read(name)
			if err != nil {
				t.Error(err)
			} else if x.Converted() || len(x.Shape) != 0 && len(x.Shape) != 2 {
				t.Errorf("%s: %s has shape %v, dtype %s", path, name, x.Shape, x.DType)
			}
		}
		a.Close()
	}
}

func TestArchiveNames(t *testing.T) {
	a := openFixture(t, "empty.npz")
	if len(a.Names()) != 0 || a.Has("mu") {
		t.Errorf("an empty archive holds %v", a.Names())
	}
	_, err := a.Read("mu")
	checkFormatError(t, err, `no array "mu": it holds none`)

	_, err = openFixture(t, "orders.npz").Header("mu")
	checkFormatError(t, err, `orders.npz: no array "mu": it holds "c0", "f0", "c1"`, "and 4 more")
}

func TestSystemErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	folder := t.TempDir()
	readers := map[string]func(string) error{
		"OpenArchive": func(p string) error { _, err := OpenArchive(p); return err },
		"OpenStream":  func(p string) error { _, err := OpenStream(p); return err },
		"ReadFile":    func(p string) error { _, err := ReadFile(p); return err },
	}
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			err := read(missing)
			checkError(t, err)
			if !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "missing") != 1 {
				t.Errorf("a missing file gives %q", err)
			}
			checkFormatError(t, read(folder), folder+": it is a directory")
			checkError(t, read("no\nsuch\x1b[31mfile"), `"no\nsuch\x1b[31mfile": `)
			checkError(t, read(""), `"": `)
		})
	}
	a := openFixture(t, "dtypes.npz")
	a.Close()
	_, err := a.Read("f4_le")
	checkError(t, err, "dtypes.npz: file already closed")
	checkError(t, a.Close(), "dtypes.npz: file already closed")
}

func TestWrongKindOfFile(t *testing.T) {
	_, err := OpenArchive(filepath.Join("testdata", "f4.npy"))
	checkFormatError(t, err, "not a NumPy .npz archive: it is a single .npy array")
	_, err = OpenArchive(filepath.Join("testdata", "make.py"))
	checkFormatError(t, err, "not a NumPy .npz archive: it is no zip file")
	_, err = OpenArchive(writeTemp(t, "x.npz", nil))
	checkFormatError(t, err, "not a NumPy .npz archive: it is empty")
	_, err = OpenStream(filepath.Join("testdata", "dtypes.npz"))
	checkFormatError(t, err, "not a NumPy .npy array: it is a zip archive, as .npz files are")
	_, err = OpenStream(filepath.Join("testdata", "make.py"))
	checkFormatError(t, err, "not a NumPy .npy array: it does not begin with")
	_, err = OpenStream(writeTemp(t, "x.npy", nil))
	checkFormatError(t, err, "not a NumPy .npy array: it is empty")
}

// TestHalf holds all float16 numbers against their definition.
func TestHalf(t *testing.T) {
	for half := range 1 << 16 {
		sign := 1 - 2*float64(half>>15)
		exponent, fraction := half>>10&0x1f, float64(half&0x3ff)
		var want float64
		switch exponent {
		case 0:
			want = sign * math.Ldexp(fraction, -24)
		case 0x1f:
			want = math.Inf(int(sign))
			if fraction != 0 {
				want = math.NaN()
			}
		default:
			want = sign * math.Ldexp(1024+fraction, exponent-25)
		}
		got := halfToFloat32(uint16(half))
		if !sameBits([]float32{got}, []float32{float32(want)}) || math.Signbit(float64(got)) != (half>>15 == 1) {
			t.Fatalf("float16 %#04x is %v, not %v", half, got, want)
		}
	}
}

func TestFromFortran(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SliceOfN(rapid.IntRange(1, 5), 0, 5).Draw(t, "shape")
		n := Header{Shape: shape}.Len()
		got := make([]float32, n)
		fromFortran(shape, got, counting(n))
		for i, v := range got {
			// Take i apart in C order and put it together in Fortran order.
			rest, at, step := i, 0, n
			for axis := len(shape) - 1; axis >= 0; axis-- {
				step /= shape[axis]
				at += rest % shape[axis] * step
				rest /= shape[axis]
			}
			if v != float32(at) {
				t.Fatalf("element %d of shape %v comes from %v, not %d", i, shape, v, at)
			}
		}
	})
}

// TestStreamPieces reads arrays of each type in pieces of any size, also larger
// than the conversion's buffer.
func TestStreamPieces(t *testing.T) {
	const n = chunk + chunk/2
	whole := map[string][]byte{}
	for code, d := range readable {
		data := make([]byte, n*d.size)
		for i := range data {
			data[i] = byte(i*i>>3) & 0x3f // no NaNs
		}
		head := dictionary("'>"+code+"'", false, []int{n})
		whole[code] = rawArray(head, data)
	}
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.SampledFrom(slices.Sorted(maps.Keys(whole))).Draw(t, "type")
		read := func(piece func(left int) int) []float32 {
			s, err := newStream("x.npy", strings.NewReader(string(whole[code])), int64(len(whole[code])))
			if err != nil {
				t.Fatal(err)
			}
			out := make([]float32, n)
			for at := 0; at < n; {
				end := at + piece(n-at)
				if err := s.Read(out[at:end]); err != nil {
					t.Fatal(err)
				}
				at = end
			}
			return out
		}
		want := read(func(left int) int { return left })
		got := read(func(left int) int { return min(left, rapid.IntRange(1, n).Draw(t, "piece")) })
		if !slices.Equal(got, want) {
			t.Fatalf("%s in pieces differs from the whole", code)
		}
	})
}

func writeTemp(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}
