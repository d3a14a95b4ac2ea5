// Writing arrays: .npy by parts, .npz by arrays.

package numpy

import (
	"archive/zip"
	"fmt"
	"io"
	"time"
)

// WriteHeader writes the preamble of a .npy array of little-endian float32 in C
// order. It is byte for byte what NumPy writes. The shape has at most 4 axes,
// none negative.
func WriteHeader(w io.Writer, shape []int) error {
	if err := checkShape(shape, 4); err != nil {
		return err
	}
	preamble, err := encodePreamble(dictionary("'<f4'", false, shape))
	if err != nil {
		return err
	}
	_, err = w.Write(preamble)
	return err
}

// WriteData writes elements as little-endian float32. It may be called any number
// of times, until the product of the header's shape is reached.
func WriteData(w io.Writer, data []float32) error {
	if !nativeBigEndian {
		_, err := w.Write(bytesOf(data))
		return err
	}
	buf := make([]float32, min(len(data), chunk))
	for len(data) > 0 {
		n := copy(buf, data)
		swapFloat32(buf[:n])
		if _, err := w.Write(bytesOf(buf[:n])); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// An ArchiveWriter writes a .npz archive. As np.savez does, it does not compress.
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

// Write adds an array of the given shape. It is an error if the archive has one
// of that name, or if the product of shape is not len(data).
func (a *ArchiveWriter) Write(name string, shape []int, data []float32) error {
	if a.written[name] {
		return fmt.Errorf("array %s is written twice", showName(name))
	}
	if err := checkShape(shape, 4); err != nil {
		return err
	}
	if n := (Header{Shape: shape}).Len(); n != len(data) {
		return fmt.Errorf("array %s of shape %s has %d elements, not %d", showName(name), showShape(shape), n, len(data))
	}
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name + suffix, Method: zip.Store, Modified: modified})
	if err != nil {
		return err
	}
	a.written[name] = true
	if err := WriteHeader(w, shape); err != nil {
		return err
	}
	return WriteData(w, data)
}

// Close writes the archive's directory. It does not close the writer below.
func (a *ArchiveWriter) Close() error { return a.zip.Close() }
