package cpu

import (
	"math"
	"unsafe"

	"errorcell/kernels"
)

// The plain Go path: one loop over a block for each operation. They are
// written so that the compiler leaves out the bounds checks, and takes no
// branch that depends on the data: a mispredicted branch costs more than the
// rest of an element.

// plainKit is the kit in plain Go.
func plainKit[T kernels.Float]() *kit[T] {
	k := &kit[T]{
		loops: loops[T](), pairs: pairs[T](), narrows: narrows[T](),
		sumBlock: sumBlock[T], addRows: addRows[T], round: round[T], fill: fill[T],
		addSums: func(sums, x []float64) { addRows(sums, x, 0, 1) },
		repeat:  func(dst, column []T, row, col, cols int, _ []int32) { plainRepeat(dst, column, row, col, cols) },
		table:   func(dst []int32, _ int) []int32 { return dst },
	}
	k.count, k.countAbs = counts[T]()
	return k
}

// pairs is the table of loops that compute two operations.
func pairs[T kernels.Float]() map[[2]kernels.Op]loop[T] {
	table := map[[2]kernels.Op]loop[T]{}
	switch table := any(table).(type) {
	case map[[2]kernels.Op]loop[float32]:
		table[[2]kernels.Op{kernels.OpSign, kernels.OpSub}] = signOfSub32
	case map[[2]kernels.Op]loop[float64]:
		table[[2]kernels.Op{kernels.OpSign, kernels.OpSub}] = signOfSub64
	}
	return table
}

// narrows is the table of loops that write truth values as bytes.
func narrows[T kernels.Float]() map[[2]kernels.Op]narrowLoop[T] {
	return map[[2]kernels.Op]narrowLoop[T]{
		{opCopy}:                         func(dst []byte, a, _ []T) { narrow2(dst, a, a, func(x, _ T) bool { return x != 0 }) },
		{kernels.OpLess}:                 func(dst []byte, a, b []T) { narrow2(dst, a, b, func(x, y T) bool { return x < y }) },
		{kernels.OpLessEqual}:            func(dst []byte, a, b []T) { narrow2(dst, a, b, func(x, y T) bool { return x <= y }) },
		{kernels.OpEqual}:                func(dst []byte, a, b []T) { narrow2(dst, a, b, func(x, y T) bool { return x == y }) },
		{kernels.OpNot, kernels.OpEqual}: func(dst []byte, a, b []T) { narrow2(dst, a, b, func(x, y T) bool { return x != y }) },
	}
}

func narrow2[T kernels.Float](dst []byte, a, b []T, f func(x, y T) bool) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		var v byte
		if f(a[i], b[i]) { // which takes no branch
			v = 1
		}
		dst[i] = v
	}
}

// counts gives the loops that add up ternary numbers, and their magnitudes.
func counts[T kernels.Float]() (plain, ofAbs func([]T) float64) {
	switch any(*new(T)).(type) {
	case float32:
		plain, _ = any(count32).(func([]T) float64)
		ofAbs, _ = any(countAbs32).(func([]T) float64)
	case float64:
		plain, _ = any(count64).(func([]T) float64)
		ofAbs, _ = any(countAbs64).(func([]T) float64)
	}
	return plain, ofAbs
}

// loops is the table of loops for an element type. Booleans are 0 and 1.
func loops[T kernels.Float]() map[kernels.Op]loop[T] {
	table := map[kernels.Op]loop[T]{
		opCopy:              func(dst, a, _, _ []T) { copy(dst, a) },
		kernels.OpSqrt:      func(dst, a, _, _ []T) { each(dst, a, func(x T) T { return T(math.Sqrt(float64(x))) }) },
		kernels.OpAdd:       add[T],
		kernels.OpSub:       sub[T],
		kernels.OpMul:       mul[T],
		kernels.OpDiv:       div[T],
		kernels.OpMin:       func(dst, a, b, _ []T) { each2(dst, a, b, func(x, y T) T { return min(x, y) }) },
		kernels.OpMax:       func(dst, a, b, _ []T) { each2(dst, a, b, func(x, y T) T { return max(x, y) }) },
		kernels.OpLess:      func(dst, a, b, _ []T) { each2(dst, a, b, func(x, y T) T { return truth[T](x < y) }) },
		kernels.OpLessEqual: func(dst, a, b, _ []T) { each2(dst, a, b, func(x, y T) T { return truth[T](x <= y) }) },
		kernels.OpEqual:     func(dst, a, b, _ []T) { each2(dst, a, b, func(x, y T) T { return truth[T](x == y) }) },
		kernels.OpNot:       func(dst, a, _, _ []T) { each(dst, a, func(x T) T { return 1 - x }) },
		kernels.OpAnd:       func(dst, a, b, _ []T) { each2(dst, a, b, func(x, y T) T { return min(x, y) }) },
		kernels.OpOr:        func(dst, a, b, _ []T) { each2(dst, a, b, func(x, y T) T { return max(x, y) }) },
		kernels.OpSelect:    selectLoop[T],
	}
	// These work on the bits, so each type has its own.
	switch table := any(table).(type) {
	case map[kernels.Op]loop[float32]:
		table[kernels.OpNeg], table[kernels.OpAbs], table[kernels.OpSign] = neg32, abs32, sign32
		table[kernels.OpFma] = fma32
		table[kernels.OpPow2] = func(dst, a, _, _ []float32) { each(dst, a, pow2Of32) }
		table[kernels.OpExponent] = func(dst, a, _, _ []float32) { each(dst, a, exponentOf32) }
	case map[kernels.Op]loop[float64]:
		table[kernels.OpNeg], table[kernels.OpAbs], table[kernels.OpSign] = neg64, abs64, sign64
		table[kernels.OpFma] = fma64
		table[kernels.OpPow2] = func(dst, a, _, _ []float64) { each(dst, a, pow2Of64) }
		table[kernels.OpExponent] = func(dst, a, _, _ []float64) { each(dst, a, exponentOf64) }
	}
	return table
}

// each and each2 apply a function to every element: for the operations that
// are not worth a loop of their own.
func each[T kernels.Float](dst, a []T, f func(T) T) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = f(a[i])
	}
}

func each2[T kernels.Float](dst, a, b []T, f func(x, y T) T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = f(a[i], b[i])
	}
}

func add[T kernels.Float](dst, a, b, _ []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func sub[T kernels.Float](dst, a, b, _ []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] - b[i]
	}
}

func mul[T kernels.Float](dst, a, b, _ []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

func div[T kernels.Float](dst, a, b, _ []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] / b[i]
	}
}

// fma32 is x*y + z. The product is exact in float64, so that the sum is rounded
// there once, and once more to float32. That is twice wrong only where the first
// rounding leads to a number in the middle of two float32: such a number has this
// pattern in the bits that float32 has not, or is below those that are normal.
func fma32(dst, a, b, c []float32) {
	const (
		rest   = 1<<29 - 1
		middle = 1 << 28
		normal = (1023 - 126) << 52
	)
	once := kernels.Function[float32](kernels.OpFma)
	a, b, c = a[:len(dst)], b[:len(dst)], c[:len(dst)]
	for i := range dst {
		sum := float64(a[i])*float64(b[i]) + float64(c[i])
		if u := math.Float64bits(sum); u&rest == middle || u&^signBit64 < normal {
			dst[i] = once([3]float32{a[i], b[i], c[i]})
		} else {
			dst[i] = float32(sum)
		}
	}
}

func fma64(dst, a, b, c []float64) {
	a, b, c = a[:len(dst)], b[:len(dst)], c[:len(dst)]
	for i := range dst {
		dst[i] = math.FMA(a[i], b[i], c[i])
	}
}

func selectLoop[T kernels.Float](dst, c, x, y []T) {
	c, x, y = c[:len(dst)], x[:len(dst)], y[:len(dst)]
	for i := range dst {
		v := y[i] // dst may be where x is
		if c[i] != 0 {
			v = x[i]
		}
		dst[i] = v
	}
}

func truth[T kernels.Float](c bool) T {
	if c {
		return 1
	}
	return 0
}

const (
	signBit32 = 1 << 31
	one32     = 0x3f800000
	inf32     = 0x7f800000
	nan32     = 0x7fc00000
	signBit64 = 1 << 63
	one64     = 0x3ff0000000000000
	inf64     = 0x7ff0000000000000
	nan64     = 0x7ff8000000000000
)

// signOf32 is the sign of x by its bits: magnitudes from the smallest
// subnormal to infinity become 1; zero and NaN stay as they are.
func signOf32(x float32) float32 {
	u := math.Float32bits(x)
	r := u&signBit32 | one32
	if u&^signBit32-1 >= inf32 { // zero wraps round to the largest number
		r = u
	}
	return math.Float32frombits(r)
}

func signOf64(x float64) float64 {
	u := math.Float64bits(x)
	r := u&signBit64 | one64
	if u&^signBit64-1 >= inf64 {
		r = u
	}
	return math.Float64frombits(r)
}

// whole32 and whole64, added to a number that is small beside them, round it to
// a whole number, and have that in their last bits.
const (
	whole32 = 0x1.8p23
	whole64 = 0x1.8p52
)

// pow2Of32 makes an exponent of the whole number next to x. The two beyond the
// exponents of normal numbers are those of zero and infinity.
func pow2Of32(x float32) float32 {
	n := min(max(x, -127), 128)
	u := math.Float32bits(n+whole32)<<23 + one32
	if x != x {
		u = nan32
	}
	return math.Float32frombits(u)
}

func pow2Of64(x float64) float64 {
	n := min(max(x, -1023), 1024)
	u := math.Float64bits(n+whole64)<<52 + one64
	if x != x {
		u = nan64
	}
	return math.Float64frombits(u)
}

// exponentOf32 is the exponent's bits, less their bias.
func exponentOf32(x float32) float32 {
	e := float32(int32(math.Float32bits(x)>>23&0xff) - 127)
	if x != x {
		e = x
	}
	return e
}

func exponentOf64(x float64) float64 {
	e := float64(int64(math.Float64bits(x)>>52&0x7ff) - 1023)
	if x != x {
		e = x
	}
	return e
}

func sign32(dst, a, _, _ []float32) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = signOf32(a[i])
	}
}

func sign64(dst, a, _, _ []float64) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = signOf64(a[i])
	}
}

// signOfSub32 is sign(a - b) in one loop, which spares a store and a load. Two
// elements at a time, because the speed of a shorter loop depends on where the
// linker puts it.
func signOfSub32(dst, a, b, _ []float32) {
	to, x, y := twos(dst), twos(a[:len(dst)]), twos(b[:len(dst)])
	x, y = x[:len(to)], y[:len(to)]
	for i := range to {
		d, p, q := &to[i], &x[i], &y[i]
		d[0] = signOf32(p[0] - q[0])
		d[1] = signOf32(p[1] - q[1])
	}
	for i := 2 * len(to); i < len(dst); i++ {
		dst[i] = signOf32(a[i] - b[i])
	}
}

func signOfSub64(dst, a, b, _ []float64) {
	to, x, y := twos(dst), twos(a[:len(dst)]), twos(b[:len(dst)])
	x, y = x[:len(to)], y[:len(to)]
	for i := range to {
		d, p, q := &to[i], &x[i], &y[i]
		d[0] = signOf64(p[0] - q[0])
		d[1] = signOf64(p[1] - q[1])
	}
	for i := 2 * len(to); i < len(dst); i++ {
		dst[i] = signOf64(a[i] - b[i])
	}
}

// twos is a block as arrays of two elements, without an odd last one.
func twos[T kernels.Float](x []T) [][2]T {
	if len(x) < 2 {
		return nil // not even a pointer to two may point to one
	}
	return unsafe.Slice((*[2]T)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/2)
}

// words is a block of float32 as words of two elements, for operations that
// treat both halves alike, and what is left: an odd last element, or all where
// the block is not aligned for words.
func words(x []float32) (twos []uint64, rest int) {
	p := unsafe.Pointer(unsafe.SliceData(x))
	if len(x) < 2 || uintptr(p)%8 != 0 {
		return nil, 0
	}
	return unsafe.Slice((*uint64)(p), len(x)/2), len(x) &^ 1
}

func neg32(dst, a, _, _ []float32) {
	a = a[:len(dst)]
	to, rest := words(dst)
	from, restA := words(a)
	if rest == restA {
		from = from[:len(to)]
		for i := range to {
			to[i] = from[i] ^ (signBit32<<32 | signBit32)
		}
	} else {
		rest = 0
	}
	for i := rest; i < len(dst); i++ {
		dst[i] = -a[i]
	}
}

func neg64(dst, a, _, _ []float64) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = -a[i]
	}
}

func abs32(dst, a, _, _ []float32) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = math.Float32frombits(math.Float32bits(a[i]) &^ signBit32)
	}
}

func abs64(dst, a, _, _ []float64) {
	a = a[:len(dst)]
	for i := range dst {
		dst[i] = math.Abs(a[i])
	}
}

// counted is a count as a number: NaN if there was one.
func counted(sum int64, nan bool) float64 {
	if nan {
		return math.NaN()
	}
	return float64(sum)
}

// Of the bits of a ternary number, the exponent's lowest (bit 23 or 52) is set
// for 1 and NaN and clear for zero; its highest is set for NaN alone.
const (
	nanBit32 = 1 << 30
	nanBit64 = 1 << 62
)

// countAbs32 adds up the absolute values of ternary numbers.
func countAbs32(x []float32) float64 {
	const ones = 1<<32 | 1
	w64, rest := words(x)
	var sum, seen uint64
	for len(w64) >= 4 {
		w := (*[4]uint64)(w64)
		sum += (w[0]>>23&ones + w[1]>>23&ones) + (w[2]>>23&ones + w[3]>>23&ones)
		seen |= w[0] | w[1] | w[2] | w[3]
		w64 = w64[4:]
	}
	for _, w := range w64 {
		sum += w >> 23 & ones
		seen |= w
	}
	n := int64(sum>>32) + int64(sum&math.MaxUint32)
	for _, v := range x[rest:] {
		u := math.Float32bits(v)
		n += int64(u >> 23 & 1)
		seen |= uint64(u)
	}
	return counted(n, seen&(nanBit32<<32|nanBit32) != 0)
}

func countAbs64(x []float64) float64 {
	var sum, seen uint64
	for _, v := range x {
		u := math.Float64bits(v)
		sum += u >> 52 & 1
		seen |= u
	}
	return counted(int64(sum), seen&nanBit64 != 0)
}

// count32 adds up ternary numbers.
func count32(x []float32) float64 {
	var sum int64
	var seen uint32
	for _, v := range x {
		u := math.Float32bits(v)
		one := int64(u >> 23 & 1)
		sum += one - 2*(one&int64(u>>31))
		seen |= u
	}
	return counted(sum, seen&nanBit32 != 0)
}

func count64(x []float64) float64 {
	var sum int64
	var seen uint64
	for _, v := range x {
		u := math.Float64bits(v)
		one := int64(u >> 52 & 1)
		sum += one - 2*(one&int64(u>>63))
		seen |= u
	}
	return counted(sum, seen&nanBit64 != 0)
}

// sumBlock is the sum of one block of the fixed tree (see kernels.TreeSum).
func sumBlock[T kernels.Float](x []T) float64 {
	var lanes [kernels.Lanes]float64
	for len(x) >= kernels.Lanes {
		row := x[:kernels.Lanes]
		for j, v := range row {
			lanes[j] += float64(v)
		}
		x = x[kernels.Lanes:]
	}
	for j, v := range x {
		lanes[j] += float64(v)
	}
	return kernels.FoldLanes(&lanes)
}

// addRows adds rows of as many elements as there are sums, which begin stride
// elements apart, to the sums, one row after the other.
func addRows[T kernels.Float](sums []float64, x []T, stride, rows int) {
	for row := range rows {
		for j, v := range x[row*stride:][:len(sums)] {
			sums[j] += float64(v)
		}
	}
}

func round[T kernels.Float](dst []T, sums []float64) {
	for i, sum := range sums[:len(dst)] {
		dst[i] = T(sum)
	}
}

func fill[T kernels.Float](x []T, v T) {
	for i := range x {
		x[i] = v
	}
}

// plainRepeat writes each number of the column for a whole row, from an
// element of the grid on.
func plainRepeat[T kernels.Float](dst, column []T, row, col, cols int) {
	for len(dst) > 0 {
		n := min(cols-col, len(dst))
		fill(dst[:n], column[row])
		dst, row, col = dst[n:], row+1, 0
	}
}
