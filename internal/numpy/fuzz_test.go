// Fuzzing: whatever a file holds, there is no panic, no more data than the file
// can account for, and every error is one line.

package numpy

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// seed adds the fixtures with one of the extensions, and further inputs.
func seed(f *testing.F, extension string, more ...[]byte) {
	paths, err := filepath.Glob(filepath.Join("testdata", "*"+extension))
	if err != nil || len(paths) == 0 {
		f.Fatalf("there are no fixtures: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, data := range more {
		f.Add(data)
	}
}

// checkOutcome holds what came out of input bytes to the promises.
func checkOutcome(t *testing.T, input int, h Header, elements int, err error) {
	t.Helper()
	if err != nil {
		checkFormatError(t, err)
		return
	}
	if elements != h.Len() {
		t.Errorf("%d elements of %s", elements, h)
	}
	if most := maxRatio*input + slack; elements*h.dtype.size > most {
		t.Errorf("%d bytes gave %d elements of %s", input, elements, h)
	}
}

func FuzzArchive(f *testing.F) {
	array := rawArray(float32s("(2, 8)"), bytes.Repeat([]byte("abcd"), 16))
	seed(f, ".npz", archiveOf(f, zip.Store, "mu", array), archiveOf(f, zip.Deflate, "mu", array))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := newArchive("x.npz", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			checkFormatError(t, err)
			return
		}
		for _, name := range a.Names() {
			h, err := a.Header(name)
			checkOutcome(t, len(data), h, h.Len(), err)
			x, err := a.Read(name)
			if err != nil {
				checkFormatError(t, err)
				continue
			}
			checkOutcome(t, len(data), h, len(x.Data), nil)
		}
	})
}

func FuzzStream(f *testing.F) {
	seed(f, ".npy",
		rawArray(float32s("(3L, 2L)"), make([]byte, 24)),
		rawArray("{'descr': '|b1', 'fortran_order': True, 'shape': (2, 3)}", make([]byte, 6)),
		rawVersion(3, 60, float32s("()"), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := newStream("x.npy", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			checkFormatError(t, err)
			return
		}
		h := s.Header()
		whole := make([]float32, h.Len())
		err = s.Read(whole)
		checkOutcome(t, len(data), h, len(whole), err)

		// Without a known size the outcome is the same.
		again, err := newStream("x.npy", bytes.NewReader(data), -1)
		if err != nil {
			t.Fatal(err)
		}
		x, err := again.array.all(false)
		if err != nil {
			t.Fatal(err)
		}
		if !h.reordered() && !sameBits(x.Data, whole) {
			t.Errorf("read %v and %v", x.Data, whole)
		}
	})
}
