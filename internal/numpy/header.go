// The preamble of an array: magic string, version, length, and a dictionary in
// Python's spelling that gives the element type, the memory order and the shape.

package numpy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"codeberg.org/sbinet/npyio/npy"
)

const (
	magic = "\x93NUMPY"

	// maxRank is how many axes an array may have; NumPy 1 has as many.
	maxRank = 32

	// maxHeader bounds the dictionary that is read. NumPy's own bound is 10 000
	// bytes; this one leaves room for a little rewriting within version 1.
	maxHeader = 64<<10 - 256

	// alignment is what NumPy aligns the data to, so that it can be mapped.
	alignment = 64
)

// A Header tells what an array holds.
type Header struct {
	Shape   []int  // the length of each axis; empty for a single value
	DType   string // the element type in the file, in NumPy's spelling, such as "<f8"
	Fortran bool   // whether the first axis runs fastest in the file, not the last
	dtype   dtype
}

// Len is the number of elements, the product of Shape.
func (h Header) Len() int {
	n := 1
	for _, d := range h.Shape {
		n *= d
	}
	return n
}

// Element is the element type in words, such as "float32".
func (h Header) Element() string { return h.dtype.name }

// ElementSize is the number of bytes of an element.
func (h Header) ElementSize() int { return h.dtype.size }

// String gives shape and element type in words, such as "(4, 8) float32".
func (h Header) String() string { return showShape(h.Shape) + " " + h.dtype.name }

// bytes is the size of the data in the file.
func (h Header) bytes() int64 { return int64(h.Len()) * int64(h.dtype.size) }

// reordered tells whether the file's order of elements is not C order. With at
// most one axis longer than 1 both orders are the same.
func (h Header) reordered() bool {
	long := 0
	for _, d := range h.Shape {
		if d != 1 {
			long++
		}
	}
	return h.Fortran && long > 1 && h.Len() > 0
}

// readHeader reads an array's preamble and returns its header and its size in
// bytes. r then stands at the data.
func readHeader(r io.Reader) (Header, int64, error) {
	text, size, err := readPreamble(r)
	if err != nil {
		return Header{}, 0, err
	}
	h, err := parseDictionary(text)
	return h, size, err
}

// lengthBytes is how many bytes state the dictionary's length, by version.
var lengthBytes = map[byte]int{1: 2, 2: 4, 3: 4}

// readPreamble returns the dictionary's text and the size of the whole preamble.
func readPreamble(r io.Reader) (text string, size int64, err error) {
	start := make([]byte, len(magic)+2)
	n, err := io.ReadFull(r, start)
	if n > 0 || err == io.EOF {
		if err := checkMagic(start[:n]); err != nil {
			return "", 0, err
		}
	}
	if err != nil {
		return "", 0, err
	}
	width, ok := lengthBytes[start[len(magic)]]
	if !ok {
		return "", 0, wrong("NumPy format version %d.%d is unknown: 1.0, 2.0 and 3.0 can be read", start[len(magic)], start[len(magic)+1])
	}
	length := make([]byte, 4)
	if _, err := io.ReadFull(r, length[:width]); err != nil {
		return "", 0, err
	}
	stated := binary.LittleEndian.Uint32(length)
	if stated > maxHeader {
		return "", 0, wrong("the header states a length of %d bytes; at most %d are read", stated, maxHeader)
	}
	buf := make([]byte, stated)
	_, err = io.ReadFull(r, buf)
	return string(buf), int64(len(start)+width) + int64(stated), err
}

// checkMagic says what start is if it does not begin an array. A start that is
// merely too short passes, unless it is empty.
func checkMagic(start []byte) error {
	mark := start[:min(len(start), len(magic))]
	switch {
	case len(mark) == 0:
		return wrong("not a NumPy .npy array: it is empty")
	case strings.HasPrefix(magic, string(mark)):
		return nil
	case bytes.HasPrefix(mark, []byte("PK")):
		return wrong("not a NumPy .npy array: it is a zip archive, as .npz files are")
	}
	return wrong("not a NumPy .npy array: it does not begin with the bytes %q", magic)
}

// parseDictionary has npyio read the dictionary and checks what it read.
func parseDictionary(text string) (Header, error) {
	text = normalize(text)
	raw, err := npyioHeader(text)
	if err != nil || squeeze(text) != squeeze(dictionary(raw.Descr.Type, raw.Descr.Fortran, raw.Descr.Shape)) {
		return Header{}, wrong("the header %s is not laid out as NumPy does, like %s",
			showText(text), dictionary("'<f4'", false, []int{3, 4}))
	}
	d, err := parseDType(raw.Descr.Type)
	if err != nil {
		return Header{}, err
	}
	if err := checkShape(raw.Descr.Shape, d.size); err != nil {
		return Header{}, err
	}
	return Header{
		Shape:   append([]int{}, raw.Descr.Shape...),
		DType:   d.spelling,
		Fortran: raw.Descr.Fortran,
		dtype:   d,
	}, nil
}

// npyioHeader has npyio read a dictionary, which it gets in a preamble of its own.
func npyioHeader(text string) (head npy.Header, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("npyio: %v", r)
		}
	}()
	preamble, err := encodePreamble(text)
	if err != nil {
		return npy.Header{}, err
	}
	r, err := npy.NewReader(bytes.NewReader(preamble))
	if err != nil {
		return npy.Header{}, err
	}
	return r.Header, nil
}

var pythonLong = regexp.MustCompile(`([0-9])L\b`)

// normalize rewrites what NumPy would read and npyio would not: Python 2's longs,
// and a missing comma at the end.
func normalize(text string) string {
	text = strings.TrimRight(text, " \n")
	const shapeKey = "'shape': "
	if before, shape, ok := strings.Cut(text, shapeKey); ok {
		text = before + shapeKey + pythonLong.ReplaceAllString(shape, "$1")
	}
	if body, ok := strings.CutSuffix(text, "}"); ok {
		text = strings.TrimRight(body, ", ") + ", }"
	}
	return text
}

// squeeze drops what may differ between two spellings of the same dictionary.
func squeeze(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, " ", ""), ",)", ")")
}

// checkShape makes sure that every size computed from the shape fits its type.
func checkShape(shape []int, elementSize int) error {
	if len(shape) > maxRank {
		return wrong("an array of %d axes cannot be used: at most %d are", len(shape), maxRank)
	}
	product := 1
	for _, d := range shape {
		if d < 0 {
			return wrong("shape %s has a negative length", showShape(shape))
		}
		// An axis of length 0 counts as 1 here: it must not hide the others.
		d = max(d, 1)
		if product > math.MaxInt/d {
			return wrong("shape %s has more elements than can be counted", showShape(shape))
		}
		product *= d
	}
	if int64(product) > math.MaxInt64/int64(elementSize) {
		return wrong("shape %s has more bytes than can be counted", showShape(shape))
	}
	return nil
}

// dictionary spells a header as NumPy does.
func dictionary(descr string, fortran bool, shape []int) string {
	order := "False"
	if fortran {
		order = "True"
	}
	return fmt.Sprintf("{'descr': %s, 'fortran_order': %s, 'shape': %s, }", descr, order, showShape(shape))
}

// encodePreamble puts a dictionary into a version 1.0 preamble, padded so that
// the data that follows is aligned.
func encodePreamble(text string) ([]byte, error) {
	size := len(magic) + 4 + len(text) + 1
	size += alignment - size%alignment
	stated := size - len(magic) - 4
	if stated > math.MaxUint16 {
		return nil, fmt.Errorf("a header of %d bytes is too long for version 1.0", len(text))
	}
	out := slices.Grow([]byte(magic), size)
	out = append(out, 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(stated))
	out = append(out, text...)
	for len(out) < size-1 {
		out = append(out, ' ')
	}
	return append(out, '\n'), nil
}
