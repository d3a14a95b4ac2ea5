// One array: reading its header, its elements piece by piece, or all of it.

package numpy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// An Array is a whole array as float32.
type Array struct {
	Shape []int     // the length of each axis; empty for a single value
	Data  []float32 // the elements in C order, as many as the product of Shape
	DType string    // the element type in the file, in NumPy's spelling, such as "<f8"
}

// Converted tells whether the elements were stored as another type or in another
// byte order than little-endian float32.
func (a *Array) Converted() bool { return a.DType != "<f4" }

// growFrom is how many elements memory is reserved for on a header's word alone
// (64 MiB of float32); beyond, it grows as data arrives.
const growFrom = 16 << 20

// bufferSize is the buffer of small reads; larger ones bypass it.
const bufferSize = 64 << 10

// An arrayReader reads one array from its first byte to its last.
type arrayReader struct {
	file, array string // for errors
	head        Header
	size        int64 // bytes of the preamble
	raw         *counter
	buf         *bufio.Reader
	decode      decoder
}

// newArrayReader reads the header.
func newArrayReader(file, array string, r io.Reader) (*arrayReader, error) {
	raw := &counter{r: r}
	a := &arrayReader{file: file, array: array, raw: raw, buf: bufio.NewReaderSize(raw, bufferSize)}
	head, size, err := readHeader(a.buf)
	if err != nil {
		return nil, a.explain(err)
	}
	a.head, a.size = head, size
	return a, nil
}

// header is a copy of the header for the caller.
func (a *arrayReader) header() Header {
	h := a.head
	h.Shape = slices.Clone(h.Shape)
	return h
}

// read fills dst with the next elements in the file's order.
func (a *arrayReader) read(dst []float32) error {
	if len(dst) == 0 {
		return nil
	}
	if a.decode == nil {
		decode, err := a.head.dtype.open(a.buf, a.head.dtype.bigEndian, a.head.Len())
		if err != nil {
			return a.explain(err)
		}
		a.decode = decode
	}
	if err := a.decode(dst); err != nil {
		return a.explain(err)
	}
	return nil
}

// all reads the whole array and makes sure that nothing follows. present says
// that the data is known to be there, and not just promised by the header.
func (a *arrayReader) all(present bool) (*Array, error) {
	data, err := whole(a, present, a.read)
	if err != nil {
		return nil, err
	}
	return &Array{Shape: a.head.Shape, Data: data, DType: a.head.DType}, nil
}

// whole reads the elements of the whole array, in C order.
func whole[T Element](a *arrayReader, present bool, read func([]T) error) ([]T, error) {
	data, err := readAll(a, present, read)
	if err != nil {
		return nil, err
	}
	if err := a.end(); err != nil {
		return nil, err
	}
	if a.head.reordered() {
		ordered, ok := allocate[T](len(data))
		if !ok {
			return nil, a.tooLarge()
		}
		fromFortran(a.head.Shape, ordered, data)
		data = ordered
	}
	return data, nil
}

func readAll[T Element](a *arrayReader, present bool, read func([]T) error) ([]T, error) {
	total := a.head.Len()
	reserve := total
	if !present {
		reserve = min(total, growFrom)
	}
	var data []T
	for {
		grown, ok := allocate[T](reserve)
		if !ok {
			return nil, a.tooLarge()
		}
		done := copy(grown, data)
		data = grown
		if err := read(data[done:]); err != nil {
			return nil, err
		}
		if reserve == total {
			return data, nil
		}
		reserve += min(reserve, total-reserve)
	}
}

// end makes sure that the data ends here. In an archive this also has the
// checksum verified.
func (a *arrayReader) end() error {
	_, err := a.buf.ReadByte()
	switch {
	case err == nil:
		return a.explain(wrong("an array of shape %s needs %d bytes, and more follow", a.head, a.head.bytes()))
	case err != io.EOF:
		return a.explain(err)
	}
	return nil
}

// holds makes sure that the array is as long as the file, or the archive's
// member, which is held bytes long with the preamble.
func (a *arrayReader) holds(held int64) error {
	if held -= a.size; held != a.head.bytes() {
		return a.explain(wrong("an array of shape %s needs %d bytes, the file holds %d", a.head, a.head.bytes(), held))
	}
	return nil
}

func (a *arrayReader) tooLarge() error {
	return a.explain(wrong("an array of shape %s does not fit into memory", a.head))
}

// explain names the file and the array in an error from within.
func (a *arrayReader) explain(err error) error {
	var content *FormatError
	var system *fs.PathError
	switch {
	case errors.As(err, &content):
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		content = &FormatError{Reason: a.endReason(), Err: io.ErrUnexpectedEOF}
	case errors.As(err, &system):
		return pathError(a.file, err)
	default:
		content = &FormatError{Reason: "the data is damaged: " + showText(err.Error()), Err: err}
	}
	content.File, content.Array = a.file, a.array
	return content
}

// endReason says where the data ended too early.
func (a *arrayReader) endReason() string {
	if a.size == 0 {
		return "not a whole NumPy .npy array: the data ends within the header"
	}
	return fmt.Sprintf("an array of shape %s needs %d bytes, the data ends after %d",
		a.head, a.head.bytes(), a.raw.n-a.size)
}

// A counter counts the bytes it passes on. An unexpected end that the reader
// below reports is archive/zip's complaint about a member's packed data; it is
// made distinct from an end that was only met too early.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err == io.ErrUnexpectedEOF {
		err = &FormatError{Reason: "the data is damaged: it is cut off or not of the size that the archive states", Err: err}
	}
	return n, err
}

// allocate makes a slice of n elements, or reports that there can be none so
// large.
func allocate[T Element](n int) (s []T, ok bool) {
	defer func() { ok = recover() == nil }()
	return make([]T, n), true
}

// fromFortran copies an array in which the first axis runs fastest to one in
// which the last does.
func fromFortran[T Element](shape []int, dst, src []T) {
	strides := make([]int, len(shape))
	step := 1
	for axis, d := range shape {
		strides[axis] = step
		step *= d
	}
	index := make([]int, len(shape))
	at := 0
	for i := range dst {
		dst[i] = src[at]
		for axis := len(shape) - 1; axis >= 0; axis-- {
			index[axis]++
			at += strides[axis]
			if index[axis] < shape[axis] {
				break
			}
			at -= strides[axis] * shape[axis]
			index[axis] = 0
		}
	}
}
