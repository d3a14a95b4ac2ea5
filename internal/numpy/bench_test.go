// How fast arrays are read from memory, per byte of the file.

package numpy

import (
	"archive/zip"
	"bytes"
	"fmt"
	"testing"
)

const benchLen = 4 << 20

func benchArray(code string) []byte {
	data := make([]byte, benchLen*readable[code[1:]].size)
	return rawArray(fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }", code, benchLen), data)
}

func BenchmarkStream(b *testing.B) {
	for _, code := range []string{"<f4", ">f4", "<f8", "<i8", "<i4", "|u1", "<f2"} {
		b.Run(code, func(b *testing.B) {
			raw := benchArray(code)
			slab := make([]float32, benchLen/4)
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				s, err := newStream("x.npy", bytes.NewReader(raw), int64(len(raw)))
				for i := 0; i < 4 && err == nil; i++ {
					err = s.Read(slab)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkArchive(b *testing.B) {
	for name, method := range map[string]uint16{"stored": zip.Store, "deflated": zip.Deflate} {
		b.Run(name, func(b *testing.B) {
			raw := benchArray("<f4")
			a := memoryArchive(b, archiveOf(b, method, "mu", raw))
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := a.Read("mu"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFromFortran(b *testing.B) {
	src, dst := make([]float32, benchLen), make([]float32, benchLen)
	b.SetBytes(4 * benchLen)
	for b.Loop() {
		fromFortran([]int{benchLen / 1024, 1024}, dst, src)
	}
}
