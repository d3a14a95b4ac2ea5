package emulator

// Arithmetic: functions on one lane's operands. A register's value is its bits
// in the low end of a uint64, the rest zero.

import (
	"math"
	"math/big"
	"math/bits"
)

// A laneFunc computes one lane of an instruction from its sources.
type laneFunc func(a, b, c uint64) uint64

// A laneBuilder makes the laneFunc for an instruction's modifiers.
type laneBuilder func(m *mods) laneFunc

// ints computes on unsigned values and wraps at the type's width.
func ints(f func(a, b, c uint64) uint64) laneBuilder {
	return func(m *mods) laneFunc { return wrap(m.typ, f) }
}

func wrap(t typ, f laneFunc) laneFunc {
	switch t.bits {
	case 64:
		return f
	case 32:
		return func(a, b, c uint64) uint64 { return uint64(uint32(f(a, b, c))) }
	}
	mask := t.mask()
	return func(a, b, c uint64) uint64 { return f(a, b, c) & mask }
}

// extended computes on values that are first made 64 bits wide, signed ones
// with their sign, and wraps at the type's width.
func extended(s func(a, b, c int64) int64, u func(a, b, c uint64) uint64) laneBuilder {
	return func(m *mods) laneFunc {
		t := m.typ
		if t.class != signed {
			return u
		}
		return wrap(t, func(a, b, c uint64) uint64 {
			return uint64(s(int64(t.extend(a)), int64(t.extend(b)), int64(t.extend(c))))
		})
	}
}

// saturated32 clamps an exact sum or difference to s32.
func saturated32(f func(a, b int64) int64) laneBuilder {
	return func(*mods) laneFunc {
		return func(a, b, _ uint64) uint64 { return clamp(f(int64(int32(a)), int64(int32(b))), typ{signed, 32}) }
	}
}

// clamp brings v into the range of an integer type of at most 32 bits.
func clamp(v int64, t typ) uint64 {
	lo, hi := int64(0), int64(t.mask())
	if t.class == signed {
		lo, hi = -1<<(t.bits-1), 1<<(t.bits-1)-1
	}
	return uint64(max(lo, min(hi, v))) & t.mask()
}

// product is the 128-bit product of two values of a type.
func product(t typ, a, b uint64) (hi, lo uint64) {
	a, b = t.extend(a), t.extend(b)
	hi, lo = bits.Mul64(a, b)
	if t.class == signed {
		hi -= a & uint64(int64(b)>>63)
		hi -= b & uint64(int64(a)>>63)
	}
	return hi, lo
}

// multiply builds mul and mad, whose addend is 0 in a mul.
func multiply(m *mods) laneFunc {
	t := m.typ
	switch {
	case m.has("lo"):
		return wrap(t, func(a, b, c uint64) uint64 { return a*b + c })
	case m.has("wide"):
		return wrap(typ{t.class, 2 * t.bits}, func(a, b, c uint64) uint64 { return t.extend(a)*t.extend(b) + c })
	}
	return wrap(t, func(a, b, c uint64) uint64 {
		hi, lo := product(t, a, b)
		if t.bits == 64 {
			return hi + c
		}
		return lo>>t.bits + c
	})
}

// multiplySaturated builds mad.hi.sat.s32.
func multiplySaturated(*mods) laneFunc {
	return func(a, b, c uint64) uint64 {
		return clamp(int64(int32(a))*int64(int32(b))>>32+int64(int32(c)), typ{signed, 32})
	}
}

func difference(m *mods) laneFunc {
	t := m.typ
	return wrap(t, func(a, b, c uint64) uint64 {
		x, y := t.extend(a), t.extend(b)
		less := x < y
		if t.class == signed {
			less = int64(x) < int64(y)
		}
		if less {
			x, y = y, x
		}
		return x - y + c
	})
}

func divide(a, b, _ int64) int64 {
	if b == -1 { // Go's quotient of the least integer and -1 wraps, as the GPU's does
		return -a
	}
	return a / b
}

func remainder(a, b, _ int64) int64 {
	if b == -1 {
		return 0
	}
	return a % b
}

// shiftLeft and shiftRight clamp the distance at the width.
func shiftLeft(m *mods) laneFunc {
	return wrap(m.typ, func(a, b, _ uint64) uint64 { return a << uint32(b) })
}

func shiftRight(m *mods) laneFunc {
	t := m.typ
	if t.class == signed {
		return wrap(t, func(a, b, _ uint64) uint64 { return uint64(int64(t.extend(a)) >> uint32(b)) })
	}
	return func(a, b, _ uint64) uint64 { return a >> uint32(b) }
}

// funnel builds shf: a shift of the pair b:a.
func funnel(m *mods) laneFunc {
	right, wraps := m.has("r"), m.has("wrap")
	return func(a, b, c uint64) uint64 {
		n := min(c, 32)
		if wraps {
			n = c & 31
		}
		v := b<<32 | a
		if right {
			return uint64(uint32(v >> n))
		}
		return v << n >> 32 & 0xffffffff
	}
}

// findBit builds bfind: the place of the highest bit that is not a copy of the
// sign.
func findBit(m *mods) laneFunc {
	t, shift := m.typ, m.has("shiftamt")
	return func(a, _, _ uint64) uint64 {
		v := t.extend(a)
		if int64(v) < 0 && t.class == signed {
			v = ^v
		}
		at := bits.Len64(v) - 1
		if shift && at >= 0 {
			at = int(t.bits) - 1 - at
		}
		return uint64(uint32(at))
	}
}

// extract builds bfe: c bits of a from bit b on, the sign repeated above.
func extract(m *mods) laneFunc {
	t := m.typ
	return wrap(t, func(a, b, c uint64) uint64 {
		pos, n := b&255, c&255
		if n == 0 {
			return 0
		}
		v := t.extend(a)
		if t.class == signed {
			top := min(pos+n-1, uint64(t.bits)-1)
			v = v << (63 - top)
			return uint64(int64(v) >> (63 - top) >> min(pos, 63))
		}
		if n < 64 {
			return v >> pos & (1<<n - 1)
		}
		return v >> pos
	})
}

// insert is bfi: the low n bits of a, put into b at bit pos.
func insert(t typ, a, b, pos, n uint64) uint64 {
	pos, n = pos&255, n&255
	mask := ^uint64(0)
	if n < 64 {
		mask = 1<<n - 1
	}
	mask <<= pos
	return (b&^mask | a<<pos&mask) & t.mask()
}

// logic3 builds lop3: bit 4a+2b+c of the constant for each bit.
func logic3(m *mods) laneFunc {
	table := m.imm
	return func(a, b, c uint64) uint64 {
		var r uint64
		for i := range uint64(8) {
			if table>>i&1 != 0 {
				x, y, z := a, b, c
				if i&4 == 0 {
					x = ^x
				}
				if i&2 == 0 {
					y = ^y
				}
				if i&1 == 0 {
					z = ^z
				}
				r |= x & y & z
			}
		}
		return uint64(uint32(r))
	}
}

// permute builds prmt: four bytes picked from the eight of b:a.
func permute(m *mods) laneFunc {
	mode := m.get("MODE")
	return func(a, b, c uint64) uint64 {
		v := b<<32 | a
		var r uint64
		for i := range uint64(4) {
			sel := c >> (4 * i) & 15
			n := c & 3
			switch mode {
			case "f4e":
				sel = n + i
			case "b4e":
				sel = (n - i) & 7
			case "rc8":
				sel = n
			case "ecl":
				sel = max(i, n)
			case "ecr":
				sel = min(i, n)
			case "rc16":
				sel = n&1*2 + i&1
			}
			by := v >> (8 * (sel & 7)) & 255
			if sel&8 != 0 {
				by = uint64(uint8(int8(by) >> 7))
			}
			r |= by << (8 * i)
		}
		return r
	}
}

// Floats.

const nan32 = 0x7fffffff // what f32 arithmetic makes of every NaN

func get32(v uint64) float32 { return math.Float32frombits(uint32(v)) }

func put32(f float32) uint64 {
	if f != f {
		return nan32
	}
	return uint64(math.Float32bits(f))
}

func get64(v uint64) float64 { return math.Float64frombits(v) }
func put64(f float64) uint64 { return math.Float64bits(f) }

// floats builds an instruction of f32 and f64, with the .sat and .ftz of the
// f32 form.
func floats(single func(a, b, c float32) float32, double func(a, b, c float64) float64) laneBuilder {
	return func(m *mods) laneFunc {
		if m.typ == f64 {
			return func(a, b, c uint64) uint64 { return put64(double(get64(a), get64(b), get64(c))) }
		}
		return shaded(m, func(a, b, c uint64) uint64 { return put32(single(get32(a), get32(b), get32(c))) })
	}
}

// shaded adds .ftz and .sat to a function on f32 bits.
func shaded(m *mods, f laneFunc) laneFunc {
	if m.has("ftz") {
		g := f
		f = func(a, b, c uint64) uint64 { return flush(g(flush(a), flush(b), flush(c))) }
	}
	if m.has("sat") {
		g := f
		f = func(a, b, c uint64) uint64 { return uint64(math.Float32bits(saturate(get32(g(a, b, c))))) }
	}
	return f
}

// flush makes a subnormal f32 a zero of its sign.
func flush(v uint64) uint64 {
	if v&0x7f800000 == 0 {
		return v & 0x80000000
	}
	return v
}

// saturate clamps to [0, 1], NaN to 0.
func saturate[T float32 | float64](f T) T {
	switch {
	case f > 1:
		return 1
	case f > 0:
		return f
	}
	return 0
}

func fma32(x, y, z float32) float32 {
	// The product is exact in float64; the sum is rounded to odd there, so
	// that rounding it again to float32 is right.
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return float32(s)
	}
	t := s - p
	err := (p - (s - t)) + (c - t)
	if b := math.Float64bits(s); err != 0 && b&1 == 0 {
		if (err > 0) == (s > 0) {
			b++
		} else {
			b--
		}
		s = math.Float64frombits(b)
	}
	return float32(s)
}

// least and greatest are PTX's min and max: -0 below +0, and of a NaN and a
// number the number, unless .NaN asks for the NaN.
func least[T float32 | float64](a, b, _ T) T {
	switch {
	case a != a:
		return b
	case b != b:
		return a
	}
	return min(a, b)
}

func greatest[T float32 | float64](a, b, _ T) T {
	switch {
	case a != a:
		return b
	case b != b:
		return a
	}
	return max(a, b)
}

func leastOrNaN[T float32 | float64](a, b, _ T) T    { return min(a, b) }
func greatestOrNaN[T float32 | float64](a, b, _ T) T { return max(a, b) }

// extremum builds min and max.
func extremum(single, singleNaN func(a, b, c float32) float32, double func(a, b, c float64) float64) laneBuilder {
	return func(m *mods) laneFunc {
		if m.has("NaN") {
			return floats(singleNaN, nil)(m)
		}
		return floats(single, double)(m)
	}
}

// signBits builds an instruction on the bits of a float: neg, abs, copysign.
func signBits(f func(sign, a, b uint64) uint64) laneBuilder {
	return func(m *mods) laneFunc {
		sign := uint64(1) << (m.typ.bits - 1)
		g := func(a, b, _ uint64) uint64 { return f(sign, a, b) }
		if m.has("ftz") {
			return shaded(m, g)
		}
		return g
	}
}

// A comparison of two values of a type. Floats compare as float64, which holds
// each float32 exactly.
func compare(m *mods) func(a, b uint64) bool {
	t, op := m.styp, m.get("CMP")+m.get("CMPF")
	if t.class == floating {
		return compareFloats(t, op, m.has("ftz"))
	}
	f := intCompares[op]
	if t.class == signed {
		return func(a, b uint64) bool { return f(int64(t.extend(a)) < int64(t.extend(b)), a == b) }
	}
	return func(a, b uint64) bool { return f(a < b, a == b) }
}

// intCompares decide from "less" and "equal".
var intCompares = map[string]func(lt, eq bool) bool{
	"eq": func(lt, eq bool) bool { return eq },
	"ne": func(lt, eq bool) bool { return !eq },
	"lt": func(lt, eq bool) bool { return lt },
	"le": func(lt, eq bool) bool { return lt || eq },
	"gt": func(lt, eq bool) bool { return !lt && !eq },
	"ge": func(lt, eq bool) bool { return !lt },
	"lo": func(lt, eq bool) bool { return lt },
	"ls": func(lt, eq bool) bool { return lt || eq },
	"hi": func(lt, eq bool) bool { return !lt && !eq },
	"hs": func(lt, eq bool) bool { return !lt },
}

// floatCompares are the ordered ones, false with a NaN; their twins with a u
// are true with one.
var floatCompares = map[string]func(x, y float64) bool{
	"eq": func(x, y float64) bool { return x == y },
	"ne": func(x, y float64) bool { return x < y || x > y },
	"lt": func(x, y float64) bool { return x < y },
	"le": func(x, y float64) bool { return x <= y },
	"gt": func(x, y float64) bool { return x > y },
	"ge": func(x, y float64) bool { return x >= y },
}

func compareFloats(t typ, op string, ftz bool) func(a, b uint64) bool {
	value := get64
	if t == f32 {
		value = func(v uint64) float64 { return float64(get32(v)) }
		if ftz {
			value = func(v uint64) float64 { return float64(get32(flush(v))) }
		}
	}
	unordered := func(x, y float64) bool { return x != x || y != y }
	var f func(x, y float64) bool
	switch {
	case op == "nan":
		f = unordered
	case op == "num":
		f = func(x, y float64) bool { return !unordered(x, y) }
	case len(op) == 3:
		ordered := floatCompares[op[:2]]
		f = func(x, y float64) bool { return unordered(x, y) || ordered(x, y) }
	default:
		f = floatCompares[op]
	}
	return func(a, b uint64) bool { return f(value(a), value(b)) }
}

// boolOps are the .and, .or and .xor of setp and of predicates.
var boolOps = map[string]func(a, b uint32) uint32{
	"and": func(a, b uint32) uint32 { return a & b },
	"or":  func(a, b uint32) uint32 { return a | b },
	"xor": func(a, b uint32) uint32 { return a ^ b },
}

// testProperty builds testp.
func testProperty(m *mods) func(a, b uint64) bool {
	mant := 23
	if m.typ == f64 {
		mant = 52
	}
	top := m.typ.mask() >> 1 >> mant << mant // the exponent's bits
	f := map[string]func(exp, frac uint64) bool{
		"finite":     func(exp, frac uint64) bool { return exp != top },
		"infinite":   func(exp, frac uint64) bool { return exp == top && frac == 0 },
		"number":     func(exp, frac uint64) bool { return exp != top || frac == 0 },
		"notanumber": func(exp, frac uint64) bool { return exp == top && frac != 0 },
		"normal":     func(exp, frac uint64) bool { return exp != 0 && exp != top },
		"subnormal":  func(exp, frac uint64) bool { return exp == 0 && frac != 0 },
	}[m.get("PROP")]
	return func(a, _ uint64) bool { return f(a&top, a&(1<<mant-1)) }
}

// Conversions.

// convertInts builds cvt between integers: it wraps, or clamps with .sat.
func convertInts(m *mods) laneFunc {
	to, from := m.typ, m.styp
	if !m.has("sat") {
		return func(a, _, _ uint64) uint64 { return from.extend(a) & to.mask() }
	}
	return func(a, _, _ uint64) uint64 {
		v := from.extend(a)
		negative := from.class == signed && int64(v) < 0
		lo, hi := uint64(0), to.mask()
		if to.class == signed {
			lo, hi = uint64(1)<<(to.bits-1), to.mask()>>1
		}
		switch {
		case negative && (to.class != signed || int64(v) < int64(typ{signed, to.bits}.extend(lo))):
			return lo
		case !negative && v > hi:
			return hi
		}
		return v & to.mask()
	}
}

// checkSaturation refuses .sat between integers where every value fits, as
// ptxas does.
func checkSaturation(_ *inst, m *mods) (Kind, string) {
	to, from := m.typ, m.styp
	fits := to.class == from.class && to.bits >= from.bits || to.class == signed && to.bits > from.bits
	if m.has("sat") && fits {
		return UnknownInstruction, "every value fits, so there is nothing to saturate"
	}
	return 0, ""
}

// roundings to an integer by the modifier's second letter.
var roundings = map[byte]func(float64) float64{
	'n': math.RoundToEven, 'z': math.Trunc, 'm': math.Floor, 'p': math.Ceil,
}

// floatToInt builds cvt from a float to an integer, which clamps; a NaN
// becomes 0, or the least integer where 64 bits are involved.
func floatToInt(m *mods) laneFunc {
	to, from := m.typ, m.styp
	round := roundings[m.get("IRND")[1]]
	ftz := m.has("ftz")
	nan := uint64(0)
	if to.bits == 64 || from == f64 {
		nan = 1 << (to.bits - 1)
	}
	lo, hi := uint64(0), to.mask()
	if to.class == signed {
		lo, hi = uint64(1)<<(to.bits-1), to.mask()>>1
	}
	limit := math.Ldexp(1, int(to.bits)) // the first value above the range
	least := 0.0
	if to.class == signed {
		limit /= 2
		least = -limit
	}
	return func(a, _, _ uint64) uint64 {
		x := get64(a)
		if from == f32 {
			if ftz {
				a = flush(a)
			}
			x = float64(get32(a))
		}
		x = round(x)
		switch {
		case x != x:
			return nan
		case x >= limit:
			return hi
		case x < least:
			return lo
		case x < 0:
			return uint64(int64(x)) & to.mask()
		case x >= 1<<63:
			return uint64(x-1<<63) | 1<<63
		}
		return uint64(int64(x))
	}
}

// bigModes are the rounding modes of math/big.
var bigModes = map[byte]big.RoundingMode{
	'n': big.ToNearestEven, 'z': big.ToZero, 'm': big.ToNegativeInf, 'p': big.ToPositiveInf,
}

// intToFloat builds cvt from an integer to a float.
func intToFloat(m *mods) laneFunc {
	to, from, sat := m.typ, m.styp, m.has("sat")
	mode := m.get("RND")[1]
	return func(a, _, _ uint64) uint64 {
		v := int64(from.extend(a))
		var single float32
		var double float64
		if v<<10>>10 == v && (v >= 0 || from.class == signed) { // float64 holds it exactly
			double = float64(v)
			single = roundTo32(double, mode)
		} else {
			var x big.Float
			x.SetPrec(64)
			if from.class == signed {
				x.SetInt64(v)
			} else {
				x.SetUint64(uint64(v))
			}
			x.SetMode(bigModes[mode])
			if to == f32 {
				single, _ = x.SetPrec(24).Float32()
			} else {
				double, _ = x.SetPrec(53).Float64()
			}
		}
		switch {
		case to == f32 && sat:
			return put32(saturate(single))
		case to == f32:
			return put32(single)
		case sat:
			return put64(saturate(double))
		}
		return put64(double)
	}
}

// roundTo32 rounds to float32 in a mode named by the second letter of its
// modifier.
func roundTo32(x float64, mode byte) float32 {
	f := float32(x)
	// Go rounds to nearest; another mode may want the neighbour.
	y, towards := float64(f), math.Inf(1)
	switch {
	case mode == 'z' && math.Abs(y) > math.Abs(x):
		towards = 0
	case mode == 'm' && y > x:
		towards = math.Inf(-1)
	case mode == 'p' && y < x:
	default:
		return f
	}
	return math.Nextafter32(f, float32(towards))
}

// narrow builds cvt from f64 to f32.
func narrow(m *mods) laneFunc {
	mode := m.get("RND")[1]
	round := func(a, _, _ uint64) uint64 { return put32(roundTo32(get64(a), mode)) }
	if m.has("ftz") {
		inner := round
		round = func(a, b, c uint64) uint64 { return flush(inner(a, b, c)) }
	}
	if m.has("sat") {
		inner := round
		round = func(a, b, c uint64) uint64 { return put32(saturate(get32(inner(a, b, c)))) }
	}
	return round
}

// roundFloat builds cvt between equal float types: a copy, or with .rni and
// its like a rounding to an integer.
func roundFloat(m *mods) laneFunc {
	round := func(x float64) float64 { return x }
	if w := m.get("IRND"); w != "" {
		round = roundings[w[1]]
	}
	one := func(a, _, _ float32) float32 { return float32(round(float64(a))) }
	two := func(a, _, _ float64) float64 { return round(a) }
	if m.has("sat") && m.typ == f64 {
		return floats(one, func(a, _, _ float64) float64 { return saturate(round(a)) })(m)
	}
	return floats(one, two)(m)
}

// widen builds cvt from f32 to f64.
func widen(m *mods) laneFunc {
	ftz, sat := m.has("ftz"), m.has("sat")
	return func(a, _, _ uint64) uint64 {
		if ftz {
			a = flush(a)
		}
		f := float64(get32(a))
		if sat {
			f = saturate(f)
		}
		return put64(f)
	}
}
