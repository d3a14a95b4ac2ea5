// The element types: which ones are read, and what the others are called.

package numpy

import (
	"encoding/binary"
	"math"
	"regexp"
	"strconv"
	"unsafe"
)

// A dtype is an element type that can be read.
type dtype struct {
	name      string // in words, such as "float64"
	spelling  string // NumPy's, such as "<f8"
	size      int    // bytes of an element
	bigEndian bool
	open      opener
}

// readable lists the element types by NumPy's code for them.
var readable = map[string]dtype{
	"b1": {name: "bool", size: 1, open: throughNpyio("u1", isTrue)},
	"i1": {name: "int8", size: 1, open: throughNpyio("i1", toFloat32[int8])},
	"i2": {name: "int16", size: 2, open: throughNpyio("i2", toFloat32[int16])},
	"i4": {name: "int32", size: 4, open: throughNpyio("i4", toFloat32[int32])},
	"i8": {name: "int64", size: 8, open: throughNpyio("i8", toFloat32[int64])},
	"u1": {name: "uint8", size: 1, open: throughNpyio("u1", toFloat32[uint8])},
	"u2": {name: "uint16", size: 2, open: throughNpyio("u2", toFloat32[uint16])},
	"u4": {name: "uint32", size: 4, open: throughNpyio("u4", toFloat32[uint32])},
	"u8": {name: "uint64", size: 8, open: throughNpyio("u8", toFloat32[uint64])},
	"f2": {name: "float16", size: 2, open: throughNpyio("u2", halfToFloat32)},
	"f4": {name: "float32", size: 4, open: openFloat32},
	"f8": {name: "float64", size: 8, open: openFloat64},
}

// kinds names the kinds of types that NumPy has; the size follows those in sized.
var (
	sized = map[string]string{"f": "float", "c": "complex", "i": "int", "u": "uint"}
	kinds = map[string]string{
		"b": "bool", "O": "object", "M": "datetime64", "m": "timedelta64",
		"S": "bytes", "a": "bytes", "U": "string", "T": "string", "V": "raw bytes",
	}
)

// Element is what arrays can hold that are read and written as they are.
type Element interface{ uint8 | float32 | float64 }

// dtypeOf is the little-endian type of T.
func dtypeOf[T Element]() dtype {
	code := map[uintptr]string{1: "u1", 4: "f4", 8: "f8"}[unsafe.Sizeof(*new(T))]
	d := readable[code]
	d.spelling = byteOrder(d.size, false) + code
	return d
}

var nativeBigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1

// typeString is NumPy's spelling of a plain type: order, kind, size, unit.
var typeString = regexp.MustCompile(`^'([<>|=]?)([A-Za-z])([0-9]*)(\[.*\])?'$`)

// parseDType finds the type that a header's descr states, or says why it cannot
// be read.
func parseDType(descr string) (dtype, error) {
	parts := typeString.FindStringSubmatch(descr)
	if parts == nil {
		return dtype{}, unreadable(compoundName(descr), descr)
	}
	order, kind, size, unit := parts[1], parts[2], parts[3], parts[4]
	d, ok := readable[kind+size]
	if !ok || unit != "" {
		return dtype{}, unreadable(kindName(kind, size), descr)
	}
	// As in NumPy, an order that is not stated is that of the machine.
	d.bigEndian = order == ">" || order != "<" && nativeBigEndian
	d.spelling = byteOrder(d.size, d.bigEndian) + kind + size
	return d, nil
}

// byteOrder spells a byte order; a single byte has none.
func byteOrder(size int, bigEndian bool) string {
	switch {
	case size == 1:
		return "|"
	case bigEndian:
		return ">"
	}
	return "<"
}

func unreadable(name, descr string) error {
	return wrong("dtype %s (%s) cannot be used: float32 is wanted, and float64, float16, integers and bool are converted",
		name, showText(descr))
}

func compoundName(descr string) string {
	if descr != "" && (descr[0] == '[' || descr[0] == '(') {
		return "structured"
	}
	return "unknown"
}

func kindName(kind, size string) string {
	if name, ok := kinds[kind]; ok {
		return name
	}
	name, ok := sized[kind]
	bytes, err := strconv.ParseUint(size, 10, 16)
	if !ok || err != nil {
		return "unknown"
	}
	return name + strconv.FormatUint(8*bytes, 10)
}

// isTrue takes any bit pattern but zero for true, as NumPy does.
func isTrue(b uint8) float32 {
	if b == 0 {
		return 0
	}
	return 1
}

// toFloat32 rounds once, also from 64-bit integers.
func toFloat32[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](v T) float32 {
	return float32(v)
}

// halfToFloat32 gives the value of a float16's bits; all of them are exact. The
// exponent is moved by a multiplication, which makes subnormal numbers normal;
// infinities and NaNs, whose exponent is all ones, keep it so.
func halfToFloat32(half uint16) float32 {
	const (
		rebias      = 1 << (127 - 15)
		signMask    = 0x8000
		exponentTop = 0x7c00
		allOnes     = 0xff << 23
	)
	sign := uint32(half&signMask) << 16
	rest := uint32(half&^signMask) << (23 - 10)
	if half&exponentTop == exponentTop {
		return math.Float32frombits(sign | allOnes | rest)
	}
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(rest)*rebias))
}
