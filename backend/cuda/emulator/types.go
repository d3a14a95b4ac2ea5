package emulator

// The types of registers, parameters and instructions.

import "strconv"

type class uint8

const (
	bitsClass class = iota
	unsigned
	signed
	floating
	predicate
)

// A typ is a PTX type. The zero typ is none.
type typ struct {
	class class
	bits  uint8
}

var (
	u32  = typ{unsigned, 32}
	u64  = typ{unsigned, 64}
	f32  = typ{floating, 32}
	f64  = typ{floating, 64}
	pred = typ{predicate, 1}
)

var typeNames = map[string]typ{"pred": pred}

func init() {
	for letter, c := range map[string]class{"b": bitsClass, "u": unsigned, "s": signed, "f": floating} {
		for _, bits := range []uint8{8, 16, 32, 64} {
			if c != floating || bits >= 32 {
				typeNames[letter+strconv.Itoa(int(bits))] = typ{c, bits}
			}
		}
	}
}

func (t typ) String() string {
	if t.class == predicate {
		return "pred"
	}
	return string("busf"[t.class]) + strconv.Itoa(int(t.bits))
}

func (t typ) bytes() uint64 { return uint64(t.bits) / 8 }

// mask covers the bits of a value of the type.
func (t typ) mask() uint64 { return ^uint64(0) >> (64 - t.bits) }

// extend makes the value of an integer type 64 bits wide.
func (t typ) extend(v uint64) uint64 {
	if t.class == signed {
		return uint64(int64(v<<(64-t.bits)) >> (64 - t.bits))
	}
	return v & t.mask()
}

// fits reports whether a register of type r may stand for an operand of type t
// in an instruction: same size, and integers among themselves, floats among
// themselves, untyped bits with anything. Loads, stores and conversions allow
// a wider register for an integer or for bits.
func (t typ) fits(r typ, wider bool) bool {
	switch {
	case t.class == predicate || r.class == predicate:
		return t.class == r.class
	case r.bits != t.bits && (!wider || r.bits < t.bits || t.class == floating || r.class == floating):
		return false
	case t.class == bitsClass || r.class == bitsClass:
		return true
	}
	return (t.class == floating) == (r.class == floating)
}
