// A single .npy file, read piece by piece in constant memory, or whole.

package numpy

import (
	"io"
	"os"
)

// A Stream reads the array of one .npy file piece by piece. It is for one
// goroutine at a time.
type Stream struct {
	array  *arrayReader
	closer io.Closer
	sized  bool // whether the file's size is known, and was checked
	left   int  // elements not read yet
}

// OpenStream opens a .npy file and reads its header. The file's size must fit
// the header; a pipe has none, and then data that is missing is an error of Read,
// and data that follows the array is not looked at.
//
// An array of several axes in Fortran order is an error, as its elements do not
// come in C order; [ReadFile] reads it.
func OpenStream(path string) (*Stream, error) {
	s, err := openFile(path)
	if err != nil {
		return nil, err
	}
	if h := s.array.head; h.reordered() {
		s.Close()
		return nil, s.array.explain(wrong("an array of shape %s in Fortran order cannot be read piece by piece; "+
			"C order is wanted: np.save(\"x.npy\", np.ascontiguousarray(x))", h))
	}
	return s, nil
}

// ReadFile reads a .npy file whole, in C or Fortran order.
func ReadFile(path string) (*Array, error) {
	s, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.array.all(s.sized)
}

// openFile opens a .npy file in any order.
func openFile(path string) (*Stream, error) {
	f, info, err := openInput(path, ".npy array")
	if err != nil {
		return nil, err
	}
	size := int64(-1)
	if info.Mode().IsRegular() {
		size = info.Size()
	}
	s, err := newStream(path, f, size)
	if err != nil {
		f.Close()
		return nil, err
	}
	s.closer = f
	return s, nil
}

// newStream reads the header from r, whose size is -1 if it is not known.
func newStream(path string, r io.Reader, size int64) (*Stream, error) {
	a, err := newArrayReader(path, "", r)
	if err != nil {
		return nil, err
	}
	if size >= 0 {
		if err := a.holds(size); err != nil {
			return nil, err
		}
	}
	return &Stream{array: a, sized: size >= 0, left: a.head.Len()}, nil
}

// openInput opens a file to be read, which must not be a directory.
func openInput(path, wanted string) (*os.File, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, pathError(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, pathError(path, err)
	}
	if info.IsDir() {
		f.Close()
		return nil, nil, &FormatError{File: path, Reason: "it is a directory, and a NumPy " + wanted + " is wanted"}
	}
	return f, info, nil
}

// Header tells what the file holds.
func (s *Stream) Header() Header { return s.array.header() }

// Read fills dst with the next len(dst) elements in C order. Once all elements
// are read it returns [io.EOF]; if some but fewer than len(dst) are left, it
// reads none and returns [io.ErrUnexpectedEOF]. After another error the stream
// cannot be read on, and dst holds nothing of use.
func (s *Stream) Read(dst []float32) error {
	switch {
	case len(dst) > 0 && s.left == 0:
		return io.EOF
	case len(dst) > s.left:
		return io.ErrUnexpectedEOF
	}
	if err := s.array.read(dst); err != nil {
		return err
	}
	s.left -= len(dst)
	return nil
}

// Close closes the file. It may be called while Read waits, which then fails.
func (s *Stream) Close() error {
	if err := s.closer.Close(); err != nil {
		return pathError(s.array.file, err)
	}
	return nil
}
