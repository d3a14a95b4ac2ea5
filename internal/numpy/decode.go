// Turning an array's bytes into float32.

package numpy

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"math/bits"
	"unsafe"

	"codeberg.org/sbinet/npyio/npy"
)

// A decoder fills dst with the next len(dst) elements. Where the data ends too
// early the error is io.EOF or io.ErrUnexpectedEOF.
type decoder func(dst []float32) error

// An opener makes a decoder of the n elements that r holds.
type opener func(r io.Reader, bigEndian bool, n int) (decoder, error)

// chunk is how many elements are converted at a time.
const chunk = 64 << 10

// throughNpyio decodes elements as npyio reads them under the given code, and
// converts each. npyio gets a header of this package's making: one axis, and a
// type that it reads well.
func throughNpyio[T any](code string, convert func(T) float32) opener {
	return func(r io.Reader, bigEndian bool, n int) (decoder, error) {
		var zero T
		descr := "'" + byteOrder(int(unsafe.Sizeof(zero)), bigEndian) + code + "'"
		npyr, err := newNpyioReader(descr, n, r)
		if err != nil {
			return nil, err
		}
		buf := make([]T, min(n, chunk))
		return func(dst []float32) error {
			for len(dst) > 0 {
				values := buf[:min(len(dst), len(buf))]
				if err := npyr.Read(&values); err != nil {
					return err
				}
				for i, v := range values {
					dst[i] = convert(v)
				}
				dst = dst[len(values):]
			}
			return nil
		}, nil
	}
}

// newNpyioReader returns an npyio reader that stands at the data of r.
func newNpyioReader(descr string, n int, r io.Reader) (*npy.Reader, error) {
	head, err := encodePreamble(dictionary(descr, false, []int{n}))
	if err != nil {
		return nil, err
	}
	return npy.NewReader(io.MultiReader(bytes.NewReader(head), r))
}

// openFloat32 reads straight into the destination.
func openFloat32(r io.Reader, bigEndian bool, _ int) (decoder, error) {
	return func(dst []float32) error { return readAs(r, bigEndian, dst) }, nil
}

// readAs reads straight into the destination.
func readAs[T Element](r io.Reader, bigEndian bool, dst []T) error {
	if _, err := io.ReadFull(r, bytesOf(dst)); err != nil {
		return err
	}
	if bigEndian != nativeBigEndian {
		swap(dst)
	}
	return nil
}

// openFloat64 reads in bulk through a buffer.
func openFloat64(r io.Reader, bigEndian bool, n int) (decoder, error) {
	buf := make([]byte, 8*min(n, chunk))
	return func(dst []float32) error {
		for len(dst) > 0 {
			raw := buf[:min(8*len(dst), len(buf))]
			if _, err := io.ReadFull(r, raw); err != nil {
				return err
			}
			for i := range len(raw) / 8 {
				word := binary.LittleEndian.Uint64(raw[8*i:])
				if bigEndian {
					word = bits.ReverseBytes64(word)
				}
				dst[i] = float32(math.Float64frombits(word))
			}
			dst = dst[len(raw)/8:]
		}
		return nil
	}, nil
}

// bytesOf is the memory of s, in the machine's byte order.
func bytesOf[T Element](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(*new(T))))
}

// swap turns the bytes of each element around. It works on bit patterns: a float
// with foreign bytes may be a NaN, which a copy may alter.
func swap[T Element](s []T) {
	memory := unsafe.Pointer(unsafe.SliceData(s))
	switch unsafe.Sizeof(*new(T)) {
	case 4:
		words := unsafe.Slice((*uint32)(memory), len(s))
		for i, w := range words {
			words[i] = bits.ReverseBytes32(w)
		}
	case 8:
		words := unsafe.Slice((*uint64)(memory), len(s))
		for i, w := range words {
			words[i] = bits.ReverseBytes64(w)
		}
	}
}
