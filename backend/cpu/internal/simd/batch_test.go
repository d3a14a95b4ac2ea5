// The functions that have no form: running sums of rows, and repeated elements.

package simd

import (
	"math/rand/v2"
	"slices"
	"testing"

	"errorcell/kernels"
)

func TestAddRows(t *testing.T) { eachSet(t, testAddRows[float32], testAddRows[float64]) }

func testAddRows[T kernels.Float](t *testing.T, set Set[T]) {
	size := kernels.DTypeOf[T]().Size()
	rng := rand.New(rand.NewPCG(3, 0))
	regions := memory()
	for n := range 71 {
		for rows := range 10 {
			stride := n + (n+rows)%3*5
			for i, at := range append(places, func(array, _ int) int { return pageSize + 8*(n%8) + array*size*(n/8%8) }) {
				sums := put[float64](regions[0], at(0, 8*n), n)
				length := max(0, (rows-1)*stride+n)
				x := put[T](regions[1], at(1, length*size), length)
				want := make([]float64, n)
				for j := range want {
					want[j] = number[float64](rng, real, i == 0 && j%3 == 0)
				}
				copy(sums.data, want)
				for j := range x.data {
					x.data[j] = number[T](rng, real, i == 0 && j%3 == 0)
					if col := j % max(stride, 1); col < n {
						want[col] += float64(x.data[j])
					}
				}
				err := protected(func() error {
					set.AddRows(sums.at(), x.at(), n, stride, rows)
					return sums.check(want)
				})
				if err != nil {
					t.Fatalf("%d rows of %d, %d apart: %v", rows, n, stride, err)
				}
			}
		}
	}
}

func TestRound(t *testing.T) { eachSet(t, testRound[float32], testRound[float64]) }

func testRound[T kernels.Float](t *testing.T, set Set[T]) {
	size := kernels.DTypeOf[T]().Size()
	rng := rand.New(rand.NewPCG(4, 0))
	regions := memory()
	for n := range 71 {
		for _, at := range places {
			dst := put[T](regions[0], at(0, n*size), n)
			sums := put[float64](regions[1], at(1, 8*n), n)
			want := make([]T, n)
			for i := range want {
				sums.data[i] = number[float64](rng, real, true)
				want[i] = T(sums.data[i])
			}
			err := protected(func() error {
				set.Round(dst.at(), sums.at(), n)
				return dst.check(want)
			})
			if err != nil {
				t.Fatalf("%d sums: %v", n, err)
			}
		}
	}
}

// elements are numbers that are all different, so that none passes for
// another.
func elements[T kernels.Float](r region, at place, n int) array[T] {
	x := put[T](r, at(1, n*kernels.DTypeOf[T]().Size()), n)
	for i := range x.data {
		x.data[i] = T(i + 1)
	}
	return x
}

func TestRepeatWide(t *testing.T) { eachSet(t, testRepeatWide[float32], testRepeatWide[float64]) }

func testRepeatWide[T kernels.Float](t *testing.T, set Set[T]) {
	size := kernels.DTypeOf[T]().Size()
	regions := memory()
	lengths := []int{1023, 1024, 1025}
	for n := set.Width; n <= 5*set.Width+1; n++ {
		lengths = append(lengths, n)
	}
	for _, n := range lengths {
		for rows := range 6 {
			for _, at := range append(places, func(array, _ int) int { return pageSize + array*size }) {
				x := elements[T](regions[1], at, rows)
				dst := put[T](regions[0], at(0, rows*n*size), rows*n)
				want := make([]T, rows*n)
				for i := range want {
					want[i] = T(i/n + 1)
				}
				err := protected(func() error {
					set.RepeatWide(dst.at(), x.at(), n, rows)
					return dst.check(want)
				})
				if err != nil {
					t.Fatalf("%d times %d: %v", rows, n, err)
				}
			}
		}
	}
}

// TestFill: an element may be repeated over itself.
func TestFill(t *testing.T) { eachSet(t, testFill[float32], testFill[float64]) }

func testFill[T kernels.Float](t *testing.T, set Set[T]) {
	for n := set.Width; n <= 3*set.Width+1; n++ {
		dst := put[T](memory()[0], pageSize, n)
		dst.data[0] = 5
		want := slices.Repeat([]T{5}, n)
		set.RepeatWide(dst.at(), dst.at(), n, 1)
		if err := dst.check(want); err != nil {
			t.Fatalf("filling %d: %v", n, err)
		}
	}
}

func TestRepeatNarrow(t *testing.T) { eachSet(t, testRepeatNarrow[float32], testRepeatNarrow[float64]) }

func testRepeatNarrow[T kernels.Float](t *testing.T, set Set[T]) {
	regions := memory()
	for n := 1; n <= 4*set.Width+1; n++ {
		for phase := range n {
			most := 2*n + 2 // in which each phase comes up
			if n > set.Width {
				most = 5
			}
			for vectors := range most {
				for _, at := range append(places, func(array, _ int) int { return pageSize + array*kernels.DTypeOf[T]().Size() }) {
					if err := repeatNarrow(set, regions[:3], at, n, phase, vectors); err != nil {
						t.Fatalf("%d vectors of %d each from %d: %v", vectors, n, phase, err)
					}
				}
			}
		}
	}
}

func repeatNarrow[T kernels.Float](set Set[T], regions []region, at place, n, phase, vectors int) error {
	size := kernels.DTypeOf[T]().Size()
	words := size / 4 // of an element
	// A vector of x is read from the first element that each vector of dst has.
	count := 0
	if vectors > 0 {
		count = (phase+(vectors-1)*set.Width)/n + set.Width
	}
	x := elements[T](regions[1], at, count)
	table := put[int32](regions[2], at(2, 4*n*set.Width*words), n*set.Width*words)
	for p := range n {
		for lane := range set.Width {
			for w := range words {
				table.data[(p*set.Width+lane)*words+w] = int32((p+lane)/n*words + w)
			}
		}
	}
	dst := put[T](regions[0], at(0, vectors*set.Width*size), vectors*set.Width)
	want := make([]T, vectors*set.Width)
	for i := range want {
		want[i] = T((phase+i)/n + 1)
	}
	return protected(func() error {
		set.RepeatNarrow(dst.at(), x.at(), table.at(), n, phase, vectors)
		return dst.check(want)
	})
}
