// Writing arrays: .npy by parts, .npz by arrays.

package numpy

import (
	"archive/zip"
	"fmt"
	"io"
	"time"
)

// WriteHeader writes the preamble of a .npy array of little-endian float32 in C
// order. It is byte for byte what NumPy writes. The shape has at most 32 axes,
// none negative.
func WriteHeader(w io.Writer, shape []int) error { return writeHeader(w, shape, dtypeOf[float32]()) }

func writeHeader(w io.Writer, shape []int, d dtype) error {
	if err := checkShape(shape, d.size); err != nil {
		return err
	}
	preamble, err := encodePreamble(dictionary("'"+d.spelling+"'", false, shape))
	if err != nil {
		return err
	}
	_, err = w.Write(preamble)
	return err
}

// WriteData writes elements in little-endian order. It may be called any number of
// times, until the product of the header's shape is reached.
func WriteData[T Element](w io.Writer, data []T) error {
	if !nativeBigEndian {
		_, err := w.Write(bytesOf(data))
		return err
	}
	buf := make([]T, min(len(data), chunk))
	for len(data) > 0 {
		n := copy(buf, data)
		swap(buf[:n])
		if _, err := w.Write(bytesOf(buf[:n])); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// An ArchiveWriter writes a .npz archive.
type ArchiveWriter struct {
	zip     *zip.Writer
	written map[string]bool
}

// NewArchiveWriter returns a writer of an archive to w.
func NewArchiveWriter(w io.Writer) *ArchiveWriter {
	return &ArchiveWriter{zip: zip.NewWriter(w), written: map[string]bool{}}
}

// modified is the date NumPy gives to members, so that equal arrays make equal
// archives.
var modified = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Write adds an array of the given shape, uncompressed as by np.savez. It is an
// error if the archive has one of that name, or if the product of shape is not
// len(data).
func (a *ArchiveWriter) Write(name string, shape []int, data []float32) error {
	if err := checkShape(shape, 4); err != nil {
		return err
	}
	if n := (Header{Shape: shape}).Len(); n != len(data) {
		return fmt.Errorf("array %s of shape %s has %d elements, not %d", showName(name), showShape(shape), n, len(data))
	}
	w, err := a.begin(name, shape, dtypeOf[float32](), zip.Store)
	if err != nil {
		return err
	}
	return WriteData(w, data)
}

// Begin adds an array of the given shape, compressed as by np.savez_compressed.
// Its elements, of type T, are for [WriteData] to write to w, until the next array
// or Close. It is an error if the archive has an array of that name.
func Begin[T Element](a *ArchiveWriter, name string, shape []int) (w io.Writer, err error) {
	return a.begin(name, shape, dtypeOf[T](), zip.Deflate)
}

func (a *ArchiveWriter) begin(name string, shape []int, d dtype, method uint16) (io.Writer, error) {
	if a.written[name] {
		return nil, fmt.Errorf("array %s is written twice", showName(name))
	}
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name + suffix, Method: method, Modified: modified})
	if err != nil {
		return nil, err
	}
	a.written[name] = true
	return w, writeHeader(w, shape, d)
}

// Close writes the archive's directory. It does not close the writer below.
func (a *ArchiveWriter) Close() error { return a.zip.Close() }
