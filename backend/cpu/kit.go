package cpu

import (
	"slices"
	"unsafe"

	"errorcell/backend/cpu/internal/simd"
	"errorcell/kernels"
)

// loop computes dst from the blocks a, b and c, as many as its operation has
// arguments. The blocks have dst's length.
type loop[T kernels.Float] func(dst, a, b, c []T)

// narrowLoop writes truth values as bytes, 0 or 1, computed from the blocks a and b, as
// many as its operation has arguments. The blocks have dst's length.
type narrowLoop[T kernels.Float] func(dst []byte, a, b []T)

// opCopy is one operation more, for values that go to two places.
const opCopy = kernels.OpInput

// kit is what passes over elements of a type are made of: the same list in
// plain Go and for each instruction set.
type kit[T kernels.Float] struct {
	// loops has one for each operation; pairs has some for two, the inner one
	// being the outer one's first argument and used by nothing else.
	loops map[kernels.Op]loop[T]
	pairs map[[2]kernels.Op]loop[T]
	// narrows has one for opCopy, of numbers that are 0 or 1, and some for one
	// operation or two.
	narrows map[[2]kernels.Op]narrowLoop[T]
	// fused is the functions for whole forms.
	fused []simd.Fused

	// count and countAbs add up numbers that are -1, 0, +1 or NaN, and their
	// magnitudes: the sum, or NaN. A block is not empty.
	count, countAbs func([]T) float64
	// sumBlock is the sum of a block by the tree (kernels.TreeSum).
	sumBlock func([]T) float64
	// stream copies a block past the caches, and fence ends a number of copies;
	// nil where there is no such way.
	stream func(dst, x []T)
	fence  func()
	// addRows adds rows of len(sums) elements, which begin stride elements apart, to
	// the sums, one after the other; addSums adds as many sums. round makes elements
	// of sums.
	addRows func(sums []float64, x []T, stride, rows int)
	addSums func(sums, x []float64)
	round   func(dst []T, sums []float64)
	// fill writes one number everywhere.
	fill func(dst []T, v T)
	// repeat writes the elements of a column for a whole row each, from a row
	// and a column on. The table is that of the row's length.
	repeat func(dst, column []T, row, col, cols int, table []int32)
	// table appends what repeat needs for rows of a length.
	table func(dst []int32, cols int) []int32
}

// newKit is the kit of a variant.
func newKit[T kernels.Float](v *variant) *kit[T] {
	k := plainKit[T]()
	if v.simd != nil {
		k.use(setOf[T](v.simd), setOf[float64](v.simd))
	}
	return k
}

func setOf[T kernels.Float](isa *simd.ISA) *simd.Set[T] {
	if s, ok := any(&isa.F32).(*simd.Set[T]); ok {
		return s
	}
	return any(&isa.F64).(*simd.Set[T])
}

// use takes the functions of an instruction set, those for float64 where sums are.
func (k *kit[T]) use(s *simd.Set[T], wide *simd.Set[float64]) {
	k.fused = s.Fused
	k.loops = map[kernels.Op]loop[T]{opCopy: k.loops[opCopy]}
	k.pairs = map[[2]kernels.Op]loop[T]{}
	for _, p := range s.Primitives {
		l := func(dst, a, b, c []T) {
			p.Run(unsafe.SliceData(dst), unsafe.SliceData(a), unsafe.SliceData(b), unsafe.SliceData(c), len(dst))
		}
		if p.Inner == 0 {
			k.loops[p.Op] = l
		} else {
			k.pairs[[2]kernels.Op{p.Op, p.Inner}] = l
		}
	}
	k.narrows = map[[2]kernels.Op]narrowLoop[T]{}
	for _, n := range s.Narrowings {
		k.narrows[[2]kernels.Op{n.Op, n.Inner}] = func(dst []byte, a, b []T) {
			n.Run(unsafe.SliceData(dst), unsafe.SliceData(a), unsafe.SliceData(b), len(dst))
		}
	}
	k.count = func(x []T) float64 { return s.Count(unsafe.SliceData(x), len(x)) }
	k.countAbs = func(x []T) float64 { return s.CountAbs(unsafe.SliceData(x), len(x)) }
	k.sumBlock = func(x []T) float64 { return s.Tree(unsafe.SliceData(x), len(x)) }
	k.stream = func(dst, x []T) { s.Stream(unsafe.SliceData(dst), unsafe.SliceData(x), len(dst)) }
	k.fence = s.Fence
	k.addRows = func(sums []float64, x []T, stride, rows int) {
		s.AddRows(unsafe.SliceData(sums), unsafe.SliceData(x), len(sums), stride, rows)
	}
	k.addSums = func(sums, x []float64) { wide.AddRows(unsafe.SliceData(sums), unsafe.SliceData(x), len(sums), 0, 1) }
	k.round = func(dst []T, sums []float64) { s.Round(unsafe.SliceData(dst), unsafe.SliceData(sums), len(dst)) }
	plainFill := k.fill
	k.fill = func(dst []T, v T) {
		if len(dst) < s.Width {
			plainFill(dst, v)
			return
		}
		dst[0] = v // the function takes the number from memory
		s.RepeatWide(&dst[0], &dst[0], len(dst), 1)
	}
	k.repeat = func(dst, column []T, row, col, cols int, table []int32) {
		if cols > narrow*s.Width {
			k.repeatWide(s, dst, column, row, col, cols)
			return
		}
		vectors := repeatVectors(len(dst), len(column)-row, col, cols, s.Width)
		s.RepeatNarrow(unsafe.SliceData(dst), unsafe.SliceData(column[row:]), unsafe.SliceData(table), cols, col, vectors)
		done := vectors * s.Width
		plainRepeat(dst[done:], column, row+(col+done)/cols, (col+done)%cols, cols)
	}
	k.table = func(dst []int32, cols int) []int32 {
		return permutations(dst, cols, s.Width, int(unsafe.Sizeof(*new(T)))/4)
	}
}

// repeatWide is repeat for rows that are not narrow: the rest of a row, whole
// rows, and the beginning of one.
func (k *kit[T]) repeatWide(s *simd.Set[T], dst, column []T, row, col, cols int) {
	if col > 0 {
		n := min(cols-col, len(dst))
		k.fill(dst[:n], column[row])
		dst, row = dst[n:], row+1
	}
	if rows := len(dst) / cols; rows > 0 {
		s.RepeatWide(unsafe.SliceData(dst), &column[row], cols, rows)
		dst, row = dst[rows*cols:], row+rows
	}
	if len(dst) > 0 {
		k.fill(dst, column[row])
	}
}

// repeatVectors is how many whole vectors of n elements repeatNarrow can write
// where the column has so many elements left: it reads a vector of them for
// each that it writes.
func repeatVectors(n, left, col, cols, width int) int {
	// Vector v reads from element (col + v*width) / cols on.
	last := left - width
	if last < 0 {
		return 0
	}
	return min(n/width, ((last+1)*cols-col+width-1)/width)
}

// narrow is up to how many vectors to a row it is faster to permute the
// elements of a column than to write each row from its start.
const narrow = 4

// permutations appends the table of RepeatNarrow: for each phase, which element of
// the column each of a vector's is, in words of 32 bits.
func permutations(table []int32, cols, width, words int) []int32 {
	if cols > narrow*width {
		return table
	}
	table = slices.Grow(table, cols*width*words)
	for phase := range cols {
		for lane := range width {
			for w := range words {
				table = append(table, int32((phase+lane)/cols*words+w))
			}
		}
	}
	return table
}
