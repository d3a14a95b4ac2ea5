// What is computed, and in which ways.

package ptx

import (
	"math"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"errorcell/kernels"
)

// TestRandom computes random kernels on random operands in a random way.
func TestRandom(t *testing.T) {
	rounds := 8 // of as many kernels as -rapid.checks says: 100, in a short run 20
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		t.Run("float32", rapid.MakeCheck(testRandom[float32]))
		t.Run("float64", rapid.MakeCheck(testRandom[float64]))
	}
}

func testRandom[T kernels.Float](t *rapid.T) {
	check(t, drawCall[T](t, drawKernel(t)), drawWay(t))
}

// everyWay goes through architectures, widths and grid sizes, one at a time.
func everyWay() func() way {
	i := -1
	return func() way {
		i++
		return way{arch: archs[i%len(archs)].sm, wide: i/3%4 == 3, blocks: []int{0, 1, 2, 7, 16}[i/len(archs)%5], shift: []int{0, 0, 0, 1, 2}[i%5]}
	}
}

// TestOperands computes the catalogue's kernels with every combination of kinds
// of operands, in one of the types: the suite of backends has it in both.
func TestOperands(t *testing.T) {
	next := everyWay()
	for _, k := range kernels.Catalogue() {
		for i, combination := range combinations(k) {
			cols := []int{37, 40}[i%2]
			// Not by turns, which would give a kind of the last operand to one type.
			if bits.OnesCount(uint(i))%2 == 0 {
				check(t, newCall[float32](k, 33, cols, combination, uint64(i)), next())
			} else {
				check(t, newCall[float64](k, 33, cols, combination, uint64(i)), next())
			}
		}
	}
}

// combinations are all kinds of a kernel's operands, or a part of them, evenly
// spread, if there are many.
func combinations(k *kernels.Kernel) [][]kernels.Kind {
	most := 128
	if testing.Short() {
		most = 16
	}
	list := [][]kernels.Kind{nil}
	for _, in := range k.Inputs() {
		choices := kinds
		if in.Optional {
			choices = append([]kernels.Kind{kernels.Absent}, kinds...)
		}
		var longer [][]kernels.Kind
		for _, c := range list {
			for _, kind := range choices {
				longer = append(longer, append(slices.Clone(c), kind))
			}
		}
		list = longer
	}
	if len(list) <= most {
		return list
	}
	var some [][]kernels.Kind
	for i := range most {
		some = append(some, list[i*len(list)/most])
	}
	return some
}

// full are operands that all span the grid; fewest leaves out the optional ones.
func full(k *kernels.Kernel) []kernels.Kind {
	return slices.Repeat([]kernels.Kind{kernels.Full}, k.NumInputs())
}

func fewest(k *kernels.Kernel) []kernels.Kind {
	list := full(k)
	for i, in := range k.Inputs() {
		if in.Optional {
			list[i] = kernels.Absent
		}
	}
	return list
}

// everything has a sum of each sort, results before and after them.
var everything = kernels.Must(kernels.Define("everything", func(k *kernels.Builder) {
	x, y := k.Input("x"), k.Optional("y", 1)
	all, batch := k.Sum(x, kernels.All), k.Sum(k.Mul(x, y), kernels.Batch)
	n := k.Sum(k.Sign(x), kernels.All)
	k.Output("all", all)
	k.Output("batch", batch)
	k.Output("mean", k.Div(all, n))
	k.Output("count_batch", k.Sum(k.Sign(x), kernels.Batch))
	k.Output("y-out", k.Sub(k.Mul(x, all), batch))
	k.Output("square", k.Sqrt(k.Abs(k.Sum(k.Mul(batch, batch), kernels.All))))
}))

// truths has truth values among its results: of all elements, and of what is
// known after sums over either axis.
var truths = kernels.Must(kernels.Define("truths", func(k *kernels.Builder) {
	x, y := k.Input("x"), k.Input("y")
	less := k.Less(x, y)
	k.Output("less", less)
	k.Output("smaller", k.Select(less, x, y))
	k.Output("no-number", k.Not(k.Equal(x, x)))
	k.Output("below-sum", k.LessEqual(y, k.Sum(y, kernels.All)))
	columns := k.Sum(k.Sign(x), kernels.Batch)
	k.Output("column-above", k.And(k.Less(k.Const(0), columns), k.Not(k.Equal(columns, k.Const(1)))))
	k.Output("any", k.Less(k.Const(0), k.Sum(k.Select(less, k.Const(1), k.Const(0)), kernels.All)))
}))

// less is a comparison, so short that it gets few registers.
var less = kernels.Must(kernels.Define("less", func(k *kernels.Builder) {
	k.Output("less", k.Less(k.Input("x"), k.Input("y")))
}))

// TestSizes computes grids at whose lengths vectors, units, blocks of the tree
// and groups of rows end.
func TestSizes(t *testing.T) {
	next := everyWay()
	var grids [][2]int
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2047, 2049, 8191, 8192, 8193} {
		grids = append(grids, [2]int{1, n}, [2]int{n, 1})
	}
	for _, rows := range []int{0, 31, 32, 33, 255, 256, 257, 600} {
		for _, cols := range []int{0, 1, 4, 5, 12} {
			grids = append(grids, [2]int{rows, cols})
		}
	}
	for i, grid := range grids {
		if testing.Short() && i%7 != 0 {
			continue
		}
		for j, k := range append(kernels.Catalogue(), everything, truths) {
			// How lengths end is the same for all: each has its share of them.
			if k != everything && k != truths && k != kernels.Laplacian && (i+j)%3 != 0 {
				continue
			}
			check(t, newCall[float32](k, grid[0], grid[1], full(k), uint64(i)), next())
			check(t, newCall[float64](k, grid[0], grid[1], fewest(k), uint64(i)), next())
		}
	}
}

// TestGrids computes the same with all architectures, widths and grid sizes.
func TestGrids(t *testing.T) {
	for _, k := range []*kernels.Kernel{kernels.Laplacian, kernels.LaplacianL1, everything, truths} {
		c32 := newCall[float32](k, 601, 20, full(k), 1)
		c64 := newCall[float64](k, 601, 20, full(k), 1)
		for _, a := range archs {
			for _, wide := range []bool{false, true} {
				for _, blocks := range []int{1, 2, 7, 64} {
					if testing.Short() && (a.sm != 90 || blocks > 2) {
						continue
					}
					check(t, c32, way{arch: a.sm, wide: wide, blocks: blocks})
					check(t, c64, way{arch: a.sm, wide: wide, blocks: blocks})
				}
			}
		}
	}
}

// inPlaceOf has one result and no sums.
var inPlaceOf = kernels.Must(kernels.Define("in-place", func(k *kernels.Builder) {
	x, y := k.Input("x"), k.Input("y")
	k.Output("result", k.Fma(k.Abs(x), y, k.Select(k.Less(x, y), x, k.Sqrt(y))))
}))

// TestInPlace puts the result where an operand of as many elements is, of whatever
// kind: the emulated GPU sees whether a thread reads what another has written.
func TestInPlace(t *testing.T) {
	next := everyWay()
	for i, n := range []int{1, 2, 3, 31, 32, 33, 255, 256, 257, 511, 513, 1023, 1024, 1025, 4099, 20_000} {
		for _, grid := range []struct {
			rows, cols int
			kinds      []kernels.Kind // that an operand of as many elements may have
		}{
			{1, n, []kernels.Kind{kernels.Full, kernels.Row}},
			{n, 1, []kernels.Kind{kernels.Full, kernels.Column}},
			{1, 1, kinds},
		} {
			for _, kind := range grid.kinds {
				for on := 1; on <= 2; on++ {
					for _, other := range kinds {
						all := []kernels.Kind{other, other}
						all[on-1] = kind
						c32, c64 := newCall[float32](inPlaceOf, grid.rows, grid.cols, all, uint64(i)), newCall[float64](inPlaceOf, grid.rows, grid.cols, all, uint64(i))
						w := next()
						w.on = on
						if i%2 == 0 {
							check(t, c32, w)
						} else {
							check(t, c64, w)
						}
						if m, err := Lower(c32.plan(t), Options{Arch: w.arch}); err != nil || strings.Contains(m.Text, ".nc") || len(m.Launches) != 1 {
							t.Errorf("it is read as if nobody wrote it, or in several launches: %v\n%s", err, m.Text)
						}
					}
				}
			}
		}
	}
}

// TestManyBlocks has so many blocks of the tree that their sums are folded in
// more than one step, by blocks of which most have nothing to do.
func TestManyBlocks(t *testing.T) {
	for _, blocks := range []int{1, 1000} {
		check(t, newCall[float32](kernels.LaplacianL1, 257, 1024+4, fewest(kernels.LaplacianL1), 1), way{arch: 80, blocks: blocks})
		check(t, newCall[float32](everything, 6000, 3, full(everything), 1), way{arch: 90, blocks: blocks})
	}
}

// TestSpecialNumbers computes each operation on all pairs of special numbers.
func TestSpecialNumbers(t *testing.T) {
	t.Run("float32", testSpecialNumbers[float32])
	t.Run("float64", testSpecialNumbers[float64])
}

func testSpecialNumbers[T kernels.Float](t *testing.T) {
	list := specials[T]()
	for _, k := range []*kernels.Kernel{allOps, truths} {
		c := newCall[T](k, len(list), len(list), []kernels.Kind{kernels.Column, kernels.Row}, 1)
		copy(c.inputs[0], list)
		copy(c.inputs[1], list)
		check(t, c, way{arch: 70}, way{arch: 80}, way{arch: 100})
	}

	// One NaN, wherever it stands, and no mismatch at all.
	for _, k := range []*kernels.Kernel{kernels.Laplacian, kernels.LaplacianL1} {
		for _, place := range []int{-1, 0, 5, 127, 128, 1029} {
			c := newCall[T](k, 1, 1030, fewest(k), 1)
			copy(c.inputs[0], c.inputs[1])
			if place >= 0 {
				c.inputs[0][place] = T(math.NaN())
			}
			check(t, c, way{arch: 70, blocks: 2}, way{arch: 80, blocks: 2})
		}
	}
}
