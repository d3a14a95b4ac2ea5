// The functions that have a form, against the reference.

package simd

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"errorcell/backend/cpu/internal/form"
	"errorcell/kernels"
)

// TestTables: all forms that kernels want have a function in each table, and each
// operation has one.
func TestTables(t *testing.T) {
	if AVX2.Empty() {
		t.Skip("the functions are left out: they are built for amd64 without the tag purego")
	}
	for _, i := range isas {
		testTable(t, i.isa.F32)
		testTable(t, i.isa.F64)
	}
}

func testTable[T kernels.Float](t *testing.T, s Set[T]) {
	want := slices.Sorted(maps.Keys(forms(t, kernels.DTypeOf[T]())))
	var got []string
	for _, f := range s.Fused {
		got = append(got, f.Form)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("a table for %v has the forms\n%q\nwant\n%q", kernels.DTypeOf[T](), got, want)
	}
	narrowings := []string{}
	for _, n := range s.Narrowings {
		narrowings = append(narrowings, fmt.Sprint(n.Op, " of ", n.Inner))
	}
	if want := []string{"input of input", "less of input", "less_equal of input", "equal of input", "not of equal"}; !slices.Equal(narrowings, want) {
		t.Errorf("the narrowings are %q, wanted %q", narrowings, want)
	}
	for op := kernels.OpInput; op <= kernels.OpSum; op++ {
		n := 0
		for _, p := range s.Primitives {
			if p.Op == op && p.Inner == 0 {
				n++
			}
		}
		if op.Elementwise() && n != 1 || !op.Elementwise() && n != 0 {
			t.Errorf("%v has %d primitives", op, n)
		}
	}
}

// TestLengths goes through all numbers of elements that the loops treat each
// in its way, with nothing around the arrays that could be touched.
func TestLengths(t *testing.T) { eachSet(t, testLengths[float32], testLengths[float64]) }

func testLengths[T kernels.Float](t *testing.T, set Set[T]) {
	var lengths []int
	for n := range 4*4*set.Width + 4 { // several iterations of the loop over four vectors
		if !testing.Short() || n <= 6*set.Width {
			lengths = append(lengths, n)
		}
	}
	const block = kernels.BlockSize
	lengths = append(lengths, block-1, block, block+1, 2*block-1, 2*block, 2*block+1, 3*block-1, 3*block+1)
	for _, f := range functions(t, set) {
		s := f.sample(false)
		for _, n := range lengths {
			if n < f.least || n > f.most {
				continue
			}
			for _, at := range places {
				if err := f.check(s, 0, n, at); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestBlock goes through all numbers of elements of a block.
func TestBlock(t *testing.T) { eachSet(t, testBlock[float32], testBlock[float64]) }

func testBlock[T kernels.Float](t *testing.T, set Set[T]) {
	for _, f := range functions(t, set) {
		if f.most > kernels.BlockSize {
			continue
		}
		s := f.sample(false)
		for n := f.least; n <= f.most; n++ {
			if err := f.check(s, n, n, atEnd); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestMostElements is a call with as many as there may be.
func TestMostElements(t *testing.T) {
	eachSet(t, testMostElements[float32], testMostElements[float64])
}

func testMostElements[T kernels.Float](t *testing.T, set Set[T]) {
	// What comes of whole blocks again and again needs no computing again.
	const period = 3 * kernels.BlockSize
	again := func(arrays [][]T) [][]T {
		var list [][]T
		for _, x := range arrays {
			if len(x) > 1 {
				x = slices.Repeat(x[:period], MaxElements/period+1)
			}
			list = append(list, x)
		}
		return list
	}
	for _, f := range fused(t, set) {
		s := f.sample(false)
		if err := f.check(&sample[T]{again(s.operands), again(s.results), again(s.summands)}, 0, MaxElements, atEnd); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOffsets lets each array begin at each element of Alignment.
func TestOffsets(t *testing.T) { eachSet(t, testOffsets[float32], testOffsets[float64]) }

func testOffsets[T kernels.Float](t *testing.T, set Set[T]) {
	size := kernels.DTypeOf[T]().Size()
	for _, f := range functions(t, set) {
		s := f.sample(false)
		n := 5*set.Width + 3
		if f.most > kernels.BlockSize && len(f.form.Sums) > 0 {
			n += kernels.BlockSize
		}
		for array := range len(f.form.Operands) + len(f.form.Results) + len(f.form.Sums) {
			step := size
			if result := array - len(f.form.Operands); result >= 0 && result < len(f.form.Results) && f.form.Narrow(result) {
				step = 1
			}
			for offset := 0; offset < Alignment; offset += step {
				at := func(a, _ int) int {
					if a == array {
						return pageSize + offset
					}
					return pageSize
				}
				if err := f.check(s, offset, n, at); err != nil {
					t.Fatalf("array %d at offset %d: %v", array, offset, err)
				}
			}
		}
	}
}

// TestAny draws functions, lengths, offsets and parts of the samples.
func TestAny(t *testing.T) { eachSet(t, testAny[float32], testAny[float64]) }

func testAny[T kernels.Float](t *testing.T, set Set[T]) {
	list := functions(t, set)
	size := kernels.DTypeOf[T]().Size()
	rapid.Check(t, func(t *rapid.T) {
		f := list[rapid.IntRange(0, len(list)-1).Draw(t, "function")]
		s := f.sample(rapid.Bool().Draw(t, "wild"))
		n := rapid.IntRange(f.least, min(f.most, sampleLength)).Draw(t, "n")
		from := rapid.IntRange(0, sampleLength-n).Draw(t, "from")
		offsets := rapid.SliceOfN(rapid.IntRange(0, Alignment/size-1), len(memory()), len(memory())).Draw(t, "offsets")
		if err := f.check(s, from, n, func(array, _ int) int { return pageSize + offsets[array]*size }); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSpecialValues puts all pairs of special numbers into every element of a
// vector, in each of the loops.
func TestSpecialValues(t *testing.T) {
	eachSet(t, testSpecialValues[float32], testSpecialValues[float64])
}

func testSpecialValues[T kernels.Float](t *testing.T, set Set[T]) {
	numbers := specials[T]()
	pairs := len(numbers) * len(numbers)
	for _, f := range functions(t, set) {
		// The first two real operands are a pair; what else there is, and a
		// third, is drawn, and drawn again.
		rounds := 1
		if len(f.form.Operands) > 2 && !testing.Short() {
			rounds = 3
		}
		uniform := slices.Contains(f.form.Operands, form.Uniform)
		if uniform {
			rounds = len(numbers)
		}
		for round := range rounds {
			s := f.pairs(numbers, round)
			shifts := set.Width
			if uniform || testing.Short() {
				shifts = 1
			}
			n := len(s.operands[0])
			for shift := range shifts {
				if err := f.check(s, shift, min(n-shift, f.most), atEnd); err != nil {
					t.Fatal(err)
				}
				if uniform && round > 0 {
					break
				}
				for _, few := range []int{set.Width - 1, set.Width} { // one vector, a part of one
					for from := shift; from+few <= pairs; from += few {
						if err := f.check(s, from, few, atEnd); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
	}
}

// pairs is a sample of all pairs of numbers; in round 0, of more than a block.
func (f function[T]) pairs(numbers []T, round int) *sample[T] {
	rng := rand.New(rand.NewPCG(2, uint64(round)))
	n := len(numbers)
	turn := make([]int, len(f.domains)) // which of the real streams it is
	streams := 0
	for i, d := range f.domains {
		if turn[i] = 3; d == real && f.form.Operands[i] == form.Stream {
			streams++
			turn[i] = streams
		}
	}
	length := n * n
	if round == 0 {
		length *= 2
	}
	return f.sampleOf(fmt.Sprint("pairs ", round), length, func(operand, i int) T {
		switch {
		case f.form.Operands[operand] == form.Uniform:
			return numbers[round]
		case f.domains[operand] != real:
			return number[T](rng, f.domains[operand], false)
		case turn[operand] == 1:
			return numbers[i%n]
		case turn[operand] == 2:
			return numbers[i/n%n]
		}
		return numbers[rng.IntN(n)]
	})
}

// TestOneInSums puts one special number into tame ones, at each place in turn:
// none of the running sums may miss it.
func TestOneInSums(t *testing.T) { eachSet(t, testOneInSums[float32], testOneInSums[float64]) }

func testOneInSums[T kernels.Float](t *testing.T, set Set[T]) {
	for _, f := range functions(t, set) {
		if len(f.form.Sums) == 0 {
			continue
		}
		// A part of a block at every place; with a whole block every seventh,
		// which comes to each lane.
		lengths := map[int]int{kernels.Lanes + set.Width + 1: 1, kernels.BlockSize + kernels.Lanes: 7}
		for n, step := range lengths {
			if n > f.most {
				n = f.most
			}
			if err := f.oneInSums(n, step); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (f function[T]) oneInSums(n, step int) error {
	special := []T{T(math.NaN()), T(math.Inf(1)), T(math.Inf(-1))}
	tame := f.sample(false)
	stream := slices.Index(f.form.Operands, form.Stream)
	s := f.newSample(n, f.operands(n, func(operand, i int) T { return tame.operands[operand][i] }))
	with := f.newSample(n, f.operands(n, func(operand, i int) T {
		switch {
		case operand != stream:
			return tame.operands[operand][i]
		case f.domains[operand] == ternary:
			return special[0]
		}
		return special[i%len(special)]
	}))
	for i := 0; i < n; i += step {
		s.exchange(with, i)
		err := f.check(s, 0, n, atEnd)
		s.exchange(with, i)
		if err != nil {
			return fmt.Errorf("%v at %d: %w", with.operands[stream][i], i, err)
		}
	}
	return nil
}

// exchange swaps the element with another sample's.
func (s *sample[T]) exchange(other *sample[T], i int) {
	swap := func(x, y [][]T) {
		for j := range x {
			if len(x[j]) > 1 { // not a uniform
				x[j][i], y[j][i] = y[j][i], x[j][i]
			}
		}
	}
	swap(s.operands, other.operands)
	swap(s.results, other.results)
	swap(s.summands, other.summands)
}
