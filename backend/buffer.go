package backend

import (
	"fmt"
	"io"
	"unsafe"

	"errorcell/kernels"
)

// Upload copies host numbers into the buffer, from its start. The lengths and
// the element type must be the buffer's.
func Upload[T kernels.Float](b Buffer, src []T) error {
	if err := checkCopy[T](b, len(src)); err != nil {
		return err
	}
	_, err := b.WriteAt(bytesOf(src), 0)
	return err
}

// Download copies the buffer to host memory, after the programs that write it
// have completed. The lengths and the element type must be the buffer's.
func Download[T kernels.Float](b Buffer, dst []T) error {
	if err := checkCopy[T](b, len(dst)); err != nil {
		return err
	}
	_, err := b.ReadAt(bytesOf(dst), 0)
	return err
}

// View is the buffer's own memory as numbers, where the host can reach it: see
// [Buffer.Host]. It is false elsewhere, and for another element type.
func View[T kernels.Float](b Buffer) ([]T, bool) {
	host := b.Host()
	if host == nil || b.DType() != kernels.DTypeOf[T]() {
		return nil, false
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(host))), b.Len()), true
}

func checkCopy[T kernels.Float](b Buffer, n int) error {
	if want := kernels.DTypeOf[T](); b.DType() != want {
		return &Error{b.Device().Name(), fmt.Errorf("%w: the buffer holds %v, not %v", ErrDType, b.DType(), want)}
	}
	if n != b.Len() {
		return &Error{b.Device().Name(), fmt.Errorf("%w: the buffer has %d elements, not %d", ErrShape, b.Len(), n)}
	}
	return nil
}

func bytesOf[T kernels.Float](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(*new(T))))
}

// ReadAtHost and WriteAtHost are ReadAt and WriteAt for buffers whose memory
// the host can reach.

// ReadAtHost copies from memory at a byte offset, as io.ReaderAt asks.
func ReadAtHost(memory, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: negative offset %d", ErrShape, off)
	}
	if off >= int64(len(memory)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, memory[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAtHost copies into memory at a byte offset, as io.WriterAt asks.
func WriteAtHost(memory, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: negative offset %d", ErrShape, off)
	}
	n := 0
	if off < int64(len(memory)) {
		n = copy(memory[off:], p)
	}
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}
