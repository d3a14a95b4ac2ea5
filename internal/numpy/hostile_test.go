// Files that are damaged, or made to do harm: each must give an error that says
// what is wrong, without a panic and without more memory than the file accounts
// for.

package numpy

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// rawArray is a version 1.0 array with any dictionary and any data.
func rawArray(dict string, data []byte) []byte {
	return rawVersion(1, int64(len(dict)+1), dict+"\n", data)
}

func rawVersion(version byte, stated int64, dict string, data []byte) []byte {
	out := append([]byte("\x93NUMPY"), version, 0)
	if version == 1 {
		out = binary.LittleEndian.AppendUint16(out, uint16(stated))
	} else {
		out = binary.LittleEndian.AppendUint32(out, uint32(stated))
	}
	return append(append(out, dict...), data...)
}

// float32s is a dictionary of an array of little-endian float32.
func float32s(shape string) string {
	return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }"
}

func TestHostileHeaders(t *testing.T) {
	layout := "is not laid out as NumPy does, like {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"
	descr := func(d string) string { return "{'descr': " + d + ", 'fortran_order': False, 'shape': (1,), }" }
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"only the magic":       {[]byte("\x93NUMPY"), "the data ends within the header"},
		"part of the magic":    {[]byte("\x93NU"), "the data ends within the header"},
		"no length":            {[]byte("\x93NUMPY\x01\x00\x10"), "the data ends within the header"},
		"cut dictionary":       {rawVersion(1, 200, float32s("(1,)"), nil), "the data ends within the header"},
		"version 0":            {[]byte("\x93NUMPY\x00\x00"), "NumPy format version 0.0 is unknown: 1.0, 2.0 and 3.0 can be read"},
		"version 4":            {[]byte("\x93NUMPY\x04\x01"), "version 4.1 is unknown"},
		"length of 4 GiB":      {rawVersion(2, math.MaxUint32, "", nil), "states a length of 4294967295 bytes; at most"},
		"empty dictionary":     {rawVersion(1, 0, "", nil), layout},
		"no newline, no brace": {rawVersion(1, 5, "hello", nil), layout},
		"no keys":              {rawArray("{}", nil), layout},
		"keys in wrong order":  {rawArray("{'shape': (1,), 'descr': '<f4', 'fortran_order': False, }", make([]byte, 4)), layout},
		"brace inside":         {rawArray(descr("'}'"), nil), layout},
		"brace before":         {rawArray("}"+float32s("(1,)"), nil), layout},
		"no closing brace":     {rawArray("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), ", nil), layout},
		"more keys":            {rawArray("{'a': 1, 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", make([]byte, 4)), layout},
		"text behind":          {rawArray(float32s("(1,)")+"x", make([]byte, 4)), layout},
		"order is no bool":     {rawArray("{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }", nil), layout},
		"shape is a list":      {rawArray(float32s("[1]"), make([]byte, 4)), layout},
		"shape is a number":    {rawArray(float32s("12"), make([]byte, 4)), layout},
		"shape is empty":       {rawArray(float32s(""), make([]byte, 4)), layout},
		"shape is a letter":    {rawArray(float32s("(a,)"), make([]byte, 4)), layout},
		"shape with a gap":     {rawArray(float32s("(1,,1)"), make([]byte, 4)), layout},
		"shape with a sign":    {rawArray(float32s("(+1,)"), make([]byte, 4)), layout},
		"shape beyond int":     {rawArray(float32s("(99999999999999999999,)"), nil), layout},
		"negative length":      {rawArray(float32s("(-1, 4)"), nil), "shape (-1, 4) has a negative length"},
		"two negative lengths": {rawArray(float32s("(-2, -2)"), make([]byte, 16)), "shape (-2, -2) has a negative length"},
		"product overflows":    {rawArray(float32s("(2147483647, 2147483647, 2147483647)"), nil), "has more"},
		"overflow beside 0":    {rawArray(float32s("(2147483647, 2147483647, 2147483647, 0)"), nil), "has more"},
		"bytes overflow":       {rawArray(float32s("(2147483647, 2147483647, 2)"), nil), "has more"},
		"thousands of axes":    {rawArray(float32s("("+strings.Repeat("1, ", 9999)+")"), make([]byte, 4)), "an array of 9999 axes cannot be used: at most 32 are"},
		"control characters":   {rawArray("{'descr': '\x1b[2J\nx', 'fortran_order': False, 'shape': (1,), }", nil), `\x1b[2J\nx`},
		"huge type":            {rawArray(descr("'"+strings.Repeat("é", 20000)+"'"), nil), "dtype unknown"},
		"no type":              {rawArray(descr(""), nil), "dtype unknown"},
		"type in two quotes":   {rawArray(descr("'<f4'+'<f4'"), nil), "dtype unknown"},
		"unknown kind":         {rawArray(descr("'<q4'"), nil), "dtype unknown ('<q4')"},
		"unknown size":         {rawArray(descr("'<i3'"), nil), "dtype int24 ('<i3')"},
		"huge size":            {rawArray(descr("'<i99999999999999999999'"), nil), "dtype unknown"},
		"subarray type":        {rawArray(descr("('<f4', (2,))"), nil), "dtype structured"},
		"one byte missing":     {rawArray(float32s("(4, 8)"), make([]byte, 127)), "an array of shape (4, 8) float32 needs 128 bytes, the file holds 127"},
		"no data at all":       {rawArray(float32s("(1000000000, 2)"), nil), "needs 8000000000 bytes, the file holds 0"},
		"one byte too many":    {rawArray(float32s("(4, 8)"), make([]byte, 129)), "needs 128 bytes, the file holds 129"},
	} {
		t.Run(name, func(t *testing.T) {
			size := int64(len(test.file))
			_, err := newStream("x.npy", bytes.NewReader(test.file), size)
			checkFormatError(t, err, "x.npy: ", test.want)

			path := writeTemp(t, "x.npy", test.file)
			_, err = ReadFile(path)
			checkFormatError(t, err, test.want)

			a := memoryArchive(t, archiveOf(t, zip.Deflate, "mu", test.file))
			_, err = a.Read("mu")
			checkFormatError(t, err, `x.npz: array "mu": `, test.want)
		})
	}
}

// Headers that NumPy would not write, but reads or once wrote.
func TestLenientHeaders(t *testing.T) {
	for _, shape := range []string{"(3L,)", "(3L, 1L)", "(3,1)", "( 3 , )", "(3,1,)"} {
		for _, end := range []string{", }", "}", ",}", ", }" + strings.Repeat(" ", 60)} {
			dict := "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + end
			s, err := newStream("x.npy", bytes.NewReader(rawArray(dict, make([]byte, 12))), -1)
			if err != nil {
				t.Errorf("%s: %v", dict, err)
			} else if n := s.Header().Len(); n != 3 {
				t.Errorf("%s has %d elements", dict, n)
			}
		}
	}
	for descr, want := range map[string]string{"|i1": "|i1", "<i1": "|i1", "<b1": "|b1", ">f8": ">f8"} {
		dict := "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (), }"
		s, err := newStream("x.npy", bytes.NewReader(rawArray(dict, nil)), -1)
		if err != nil || s.Header().DType != want {
			t.Errorf("%s: %v, error %v", descr, s, err)
		}
	}
}

// Without a known size, what is missing comes out only on reading.
func TestTruncatedStream(t *testing.T) {
	for _, code := range []string{"<f4", ">f4", "<f8", "<i4", "|b1", "<f2"} {
		for _, missing := range []int{1, 4, 8} {
			dict := "{'descr': '" + code + "', 'fortran_order': False, 'shape': (2, 8), }"
			size := readable[code[1:]].size
			raw := rawArray(dict, make([]byte, 16*size-missing))
			s, err := newStream("x.npy", bytes.NewReader(raw), -1)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Read(make([]float32, 8)); err != nil {
				t.Fatal(err)
			}
			err = s.Read(make([]float32, 8))
			checkFormatError(t, err, "x.npy: an array of shape (2, 8) ",
				fmt.Sprintf("needs %d bytes, the data ends after %d", 16*size, 16*size-missing))
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v is no unexpected end", err)
			}
			s, err = newStream("x.npy", bytes.NewReader(raw), -1)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.array.all(false)
			checkFormatError(t, err, "the data ends after")
		}
	}
}

func TestDataBehindArrayOfUnknownSize(t *testing.T) {
	s, err := newStream("x.npy", bytes.NewReader(rawArray(float32s("(2,)"), make([]byte, 9))), -1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.array.all(false)
	checkFormatError(t, err, "an array of shape (2,) float32 needs 8 bytes, and more follow")
}

// A bool byte that is neither 0 nor 1 counts as true, whatever came before it.
func TestOddBools(t *testing.T) {
	raw := rawArray("{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }", []byte{0, 2, 0, 255})
	x, err := ReadFile(writeTemp(t, "x.npy", raw))
	if err != nil || !sameBits(x.Data, []float32{0, 1, 0, 1}) {
		t.Errorf("got %v, error %v", x, err)
	}
}

// Memory must not be reserved by a header's word alone.
func TestMemoryIsBounded(t *testing.T) {
	huge := rawArray("{'descr': '|i1', 'fortran_order': True, 'shape': (1000000, 1000000, 1000), }", make([]byte, 1000))
	for name, read := range map[string]func() error{
		"file of known size": func() error {
			_, err := newStream("x.npy", bytes.NewReader(huge), int64(len(huge)))
			return err
		},
		"pipe": func() error {
			s, err := newStream("x.npy", bytes.NewReader(huge), -1)
			if err != nil {
				return err
			}
			_, err = s.array.all(false)
			return err
		},
		"lying member": func() error {
			a := memoryArchive(t, rawArchive(t, huge, func(h *zip.FileHeader) { h.UncompressedSize64 = 1e15 + 100 }))
			_, err := a.Read("mu")
			return err
		},
		"lying directory": func() error {
			raw := archiveOf(t, zip.Store, "mu", huge)
			binary.LittleEndian.PutUint16(raw[len(raw)-12:], 65535)
			_, err := newArchive("x.npz", bytes.NewReader(raw), int64(len(raw)))
			return err
		},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		checkFormatError(t, read())
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 4*growFrom+4<<20 {
			t.Errorf("%s: took %d MiB", name, took>>20)
		}
	}
}

func TestTooLargeForMemory(t *testing.T) {
	if s, ok := allocate[float32](math.MaxInt); ok || s != nil {
		t.Error("got more memory than there is")
	}
	if s, ok := allocate[float32](3); !ok || len(s) != 3 {
		t.Error("got no memory")
	}
}

// A deflated array beyond the size that is reserved at once grows as it is read.
func TestGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 150 MB of memory: run without -short")
	}
	const n = growFrom + growFrom/4
	data := bytes.Repeat([]byte{1}, n)
	data[n-1] = 2
	raw := rawArray(fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }", n), data)
	x, err := memoryArchive(t, archiveOf(t, zip.Deflate, "mu", raw)).Read("mu")
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Data) != n || x.Data[0] != 1 || x.Data[growFrom] != 1 || x.Data[n-1] != 2 {
		t.Errorf("read %d elements, the last %v", len(x.Data), x.Data[n-1])
	}
}

// archiveOf is an archive of one member.
func archiveOf(t testing.TB, method uint16, name string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	addMember(t, z, &zip.FileHeader{Name: name + suffix, Method: method}, data)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func addMember(t testing.TB, z *zip.Writer, h *zip.FileHeader, data []byte) {
	t.Helper()
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rawArchive is an archive of one deflated member with a header that alter makes
// untrue.
func rawArchive(t testing.TB, data []byte, alter func(*zip.FileHeader)) []byte {
	t.Helper()
	var packed, out bytes.Buffer
	f, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(data)
	f.Close()
	h := &zip.FileHeader{
		Name: "mu" + suffix, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(data)),
	}
	alter(h)
	z := zip.NewWriter(&out)
	w, err := z.CreateRaw(h)
	if err == nil {
		_, err = w.Write(packed.Bytes())
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func memoryArchive(t testing.TB, raw []byte) *Archive {
	t.Helper()
	a, err := newArchive("x.npz", bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestHostileMembers(t *testing.T) {
	good := rawArray(float32s("(64,)"), bytes.Repeat([]byte("abcd"), 64))
	size := uint64(len(good))
	for name, test := range map[string]struct {
		alter func(*zip.FileHeader)
		want  string
		cause error
	}{
		"nothing":            {func(h *zip.FileHeader) {}, "", nil},
		"encrypted":          {func(h *zip.FileHeader) { h.Flags |= 1 }, "it is encrypted", nil},
		"unknown method":     {func(h *zip.FileHeader) { h.Method = 12 }, "its compression method 12 is unknown; NumPy stores or deflates", nil},
		"checksum":           {func(h *zip.FileHeader) { h.CRC32++ }, "the data is damaged: zip: checksum error", zip.ErrChecksum},
		"larger than file":   {func(h *zip.FileHeader) { h.CompressedSize64 = 1 << 20 }, "it is said to take 1048576 bytes of an archive of ", nil},
		"beyond int":         {func(h *zip.FileHeader) { h.CompressedSize64 = 1 << 63 }, "it is said to take 9223372036854775808 bytes", nil},
		"unpacks to much":    {func(h *zip.FileHeader) { h.UncompressedSize64 = 1 << 40 }, "to 1099511627776, which cannot be", nil},
		"states too little":  {func(h *zip.FileHeader) { h.UncompressedSize64 = size - 1 }, "the data is damaged: zip: not a valid zip file", zip.ErrFormat},
		"states too much":    {func(h *zip.FileHeader) { h.UncompressedSize64 = size + 1 }, "the data is damaged: it is cut off or not of the size that the archive states", nil},
		"cut deflate stream": {func(h *zip.FileHeader) { h.CompressedSize64-- }, "the data is damaged: it is cut off", io.ErrUnexpectedEOF},
		"stored it is not":   {func(h *zip.FileHeader) { h.Method = zip.Store }, "which cannot be", nil},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := memoryArchive(t, rawArchive(t, good, test.alter)).Read("mu")
			if test.want == "" && test.cause == nil {
				if err != nil || len(x.Data) != 64 {
					t.Errorf("got %v, error %v", x, err)
				}
				return
			}
			checkFormatError(t, err, `x.npz: array "mu": `, test.want)
			if !errors.Is(err, test.cause) && test.cause != nil {
				t.Errorf("%v is not caused by %v", err, test.cause)
			}
		})
	}
}

// A member that unpacks to far more than its array takes.
func TestBomb(t *testing.T) {
	bomb := rawArray(float32s("(2,)"), make([]byte, 8<<20))
	_, err := memoryArchive(t, archiveOf(t, zip.Deflate, "mu", bomb)).Read("mu")
	checkFormatError(t, err, "needs 8 bytes, the file holds 8388608")

	small := uint64(len(bomb) - 8<<20 + 8)
	_, err = memoryArchive(t, rawArchive(t, bomb, func(h *zip.FileHeader) { h.UncompressedSize64 = small })).Read("mu")
	checkFormatError(t, err, "the data is damaged: zip: not a valid zip file")
}

// A wrong checksum in a stored member, at its very last byte.
func TestStoredChecksum(t *testing.T) {
	good := rawArray(float32s("(64,)"), bytes.Repeat([]byte("abcd"), 64))
	raw := archiveOf(t, zip.Store, "mu", good)
	at := bytes.LastIndex(raw, []byte("abcd"))
	raw[at+3]++
	a := memoryArchive(t, raw)
	if _, err := a.Header("mu"); err != nil {
		t.Error(err)
	}
	_, err := a.Read("mu")
	checkFormatError(t, err, "the data is damaged: zip: checksum error")
}

// The directory leads to where no member is: elsewhere in the file, beyond it, or
// before it.
func TestMisplacedMember(t *testing.T) {
	for _, offset := range []uint64{1, 1 << 31, 1 << 62, 1 << 63, 1<<64 - 4} {
		raw := archiveOf(t, zip.Store, "mu", rawArray(float32s("()"), make([]byte, 4)))
		raw = withOffset(raw, offset)
		_, err := memoryArchive(t, raw).Read("mu")
		checkFormatError(t, err, `x.npz: array "mu": it is not where the archive's directory says`)

		a, err := OpenArchive(writeTemp(t, "x.npz", raw))
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Read("mu")
		checkFormatError(t, err, `array "mu": it is not where the archive's directory says`)
		a.Close()
	}
}

// withOffset rewrites an archive of one member so that its directory gives the
// member's offset in a zip64 field.
func withOffset(raw []byte, offset uint64) []byte {
	at := bytes.LastIndex(raw, []byte("PK\x01\x02"))
	end := bytes.LastIndex(raw, []byte("PK\x05\x06"))
	entry := bytes.Clone(raw[at:end])
	field := binary.LittleEndian.AppendUint64([]byte{1, 0, 8, 0}, offset)
	binary.LittleEndian.PutUint16(entry[30:], uint16(len(field)))
	binary.LittleEndian.PutUint32(entry[42:], math.MaxUint32)
	entry = append(entry[:46+len("mu"+suffix)], field...)
	tail := bytes.Clone(raw[end:])
	binary.LittleEndian.PutUint32(tail[12:], uint32(len(entry)))
	return slices.Concat(raw[:at], entry, tail)
}

func TestTruncatedArchive(t *testing.T) {
	whole := archiveOf(t, zip.Store, "mu", rawArray(float32s("(64,)"), make([]byte, 256)))
	for n := range whole {
		_, err := newArchive("x.npz", bytes.NewReader(whole[:n]), int64(n))
		checkFormatError(t, err, "x.npz: not a NumPy .npz archive: ")
	}
	_, err := newArchive("x.npz", bytes.NewReader(whole[:300]), 300)
	checkFormatError(t, err, "it begins as a zip file, but its directory is missing or damaged; it may be cut off")
}

func TestDuplicateNames(t *testing.T) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range []string{"a.npy", "b.npy", "a.npy"} {
		addMember(t, z, &zip.FileHeader{Name: name}, rawArray(float32s("()"), make([]byte, 4)))
	}
	z.Close()
	_, err := newArchive("x.npz", bytes.NewReader(out.Bytes()), int64(out.Len()))
	checkFormatError(t, err, `x.npz: it holds two arrays named "a"`)
}

func TestOddNames(t *testing.T) {
	long := strings.Repeat("long", 10000)
	names := []string{"", "a/b", "../up", "\x1b[2J\n", "\xff\xfe", "mu.npy", long}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		addMember(t, z, &zip.FileHeader{Name: name + suffix}, rawArray(float32s("(2,)"), make([]byte, 4)))
	}
	addMember(t, z, &zip.FileHeader{Name: "readme.txt"}, []byte("no array"))
	addMember(t, z, &zip.FileHeader{Name: "folder.npy/"}, nil)
	z.Close()
	a := memoryArchive(t, out.Bytes())
	if got := a.Names(); len(got) != len(names) {
		t.Errorf("the arrays are %q", got)
	}
	for _, name := range names {
		_, err := a.Read(name)
		checkFormatError(t, err, "needs 8 bytes, the file holds 4")
	}
	_, err := a.Read("nothing\n" + long)
	checkFormatError(t, err, `no array "nothing\n`, `it holds "", "a/b", "../up", "\x1b[2J\n", "\xff\xfe", "mu.npy", "longlong`)
}

// Errors of the system below keep their cause.
func TestReadError(t *testing.T) {
	failing := io.MultiReader(bytes.NewReader(rawArray(float32s("(2,)"), nil)), failingReader{})
	s, err := newStream("x.npy", failing, -1)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Read(make([]float32, 2))
	checkError(t, err, "x.npy: ")
	if !errors.Is(err, errBroken) {
		t.Errorf("%v is not caused by the reader's error", err)
	}
	_, err = newStream("x.npy", failingReader{}, -1)
	checkError(t, err, "x.npy: ")
	if !errors.Is(err, errBroken) {
		t.Errorf("%v is not caused by the reader's error", err)
	}
}

var errBroken = errors.New("broken")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errBroken }
