package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The tree once more, as its description reads: recursively, with the padding.

// naiveTree pads the numbers with +0 to blocks, and the blocks to a power of two.
func naiveTree(x []float64) float64 {
	blocks := make([]float64, 0)
	for len(x) > 0 {
		block := make([]float64, BlockSize)
		n := copy(block, x)
		x = x[n:]
		blocks = append(blocks, naiveFold(0, 1, func(lane int) float64 {
			sum := 0.0
			for i := lane; i < BlockSize; i += Lanes {
				sum += block[i]
			}
			return sum
		}))
	}
	return naivePairs(blocks)
}

// naiveFold is lane j after the steps that leave width lanes: its value when
// twice as many are left, plus that of the lane it takes in.
func naiveFold(j, width int, lane func(int) float64) float64 {
	if width == Lanes {
		return lane(j)
	}
	return naiveFold(j, 2*width, lane) + naiveFold(j+width, 2*width, lane)
}

// naivePairs adds the two halves of the numbers padded with +0 to a power of two.
func naivePairs(x []float64) float64 {
	size := 1
	for size < len(x) {
		size *= 2
	}
	var sum func(lo, hi int) float64
	sum = func(lo, hi int) float64 {
		switch {
		case lo >= len(x):
			return 0
		case hi-lo == 1:
			return x[lo]
		}
		return sum(lo, (lo+hi)/2) + sum((lo+hi)/2, hi)
	}
	return sum(0, size)
}

func naiveBatch(x []float64) float64 {
	var groups []float64
	for start := 0; start < len(x); start += GroupRows {
		sum := 0.0
		for _, v := range x[start:min(start+GroupRows, len(x))] {
			sum += v
		}
		groups = append(groups, sum)
	}
	return naivePairs(groups)
}

// wide are numbers whose sum shows the order of addition in many bits.
func wide(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = math.Ldexp(rng.NormFloat64(), rng.IntN(40))
	}
	return x
}

func at(x []float64) func(int) float64 { return func(i int) float64 { return x[i] } }

func TestTreesAsDescribed(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	lengths := []int{0, 1, 2, 3, 5, Lanes / 2, Lanes - 1, Lanes, Lanes + 1, 2 * Lanes, BlockSize - 1, BlockSize, BlockSize + 1}
	for range 40 {
		lengths = append(lengths, rng.IntN(9*BlockSize))
	}
	orderShows := 0
	for _, n := range lengths {
		x := wide(rng, n)
		if got, want := TreeSum(n, at(x)), naiveTree(x); !same(got, want) {
			t.Errorf("TreeSum of %d numbers is %v, want %v", n, got, want)
		}
		if got, want := BatchSum(n, at(x)), naiveBatch(x); !same(got, want) {
			t.Errorf("BatchSum of %d numbers is %v, want %v", n, got, want)
		}
		if got, want := FoldPairs(append([]float64(nil), x...)), naivePairs(x); !same(got, want) {
			t.Errorf("FoldPairs of %d numbers is %v, want %v", n, got, want)
		}
		inOrder := 0.0
		for _, v := range x {
			inOrder += v
		}
		if inOrder != naiveTree(x) && naiveTree(x) != naiveBatch(x) && naiveBatch(x) != naivePairs(x) {
			orderShows++
		}
	}
	if orderShows < len(lengths)/2 {
		t.Errorf("in only %d of %d cases the order of addition shows", orderShows, len(lengths))
	}
}

// sparse is n zeros with some numbers at some places.
func sparse(n int, places map[int]float64) []float64 {
	x := make([]float64, n)
	for i, v := range places {
		x[i] = v
	}
	return x
}

// TestTreesByHand: sums small enough to follow. In float64 1e16 + 1 is 1e16.
func TestTreesByHand(t *testing.T) {
	const big = 1e16
	zero := math.Copysign(0, -1)
	for _, c := range []struct {
		name        string
		x           []float64
		tree, batch float64
	}{
		{"nothing", nil, 0, 0},
		{"one", []float64{2.5}, 2.5, 2.5},
		{"-0", []float64{zero}, 0, 0}, // a sum starts at +0
		{"-0s", []float64{zero, zero, zero}, 0, 0},
		{"five", []float64{1, big, 1, -big, 1}, 3, 1},                                            // ((x0+x4)+x2) + (x1+x3); in order
		{"one lane first", sparse(130, map[int]float64{0: big, 64: 1, 128: -big}), 1, 0},         // by batch: ((g0+g1) + (g2+g3)) + g4
		{"then the lane 64 further", sparse(130, map[int]float64{0: big, 1: 1, 64: -big}), 1, 0}, // by batch: (g0+g1) + (g2+g3)
		{"last the neighbour", sparse(130, map[int]float64{0: big, 1: 1, 2: -big}), 1, 0},
		{"blocks in pairs", sparse(3*BlockSize, map[int]float64{0: 1, BlockSize: big, 2 * BlockSize: -big}), 0, 0},
		{"blocks in pairs of pairs", sparse(4*BlockSize, map[int]float64{0: 1, 2 * BlockSize: big, 3 * BlockSize: -big}), 1, 1},
		{"groups of rows", sparse(34, map[int]float64{0: 1, 32: big, 33: -big}), 0, 1}, // by tree: x0 + x32 first
		{"rows in order", sparse(34, map[int]float64{0: 1, 1: big, 2: -big}), 0, 0},
		{"inf", []float64{1, math.Inf(1)}, math.Inf(1), math.Inf(1)},
		{"inf - inf", []float64{math.Inf(1), math.Inf(-1)}, math.NaN(), math.NaN()},
		{"NaN", sparse(2000, map[int]float64{1999: math.NaN()}), math.NaN(), math.NaN()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := TreeSum(len(c.x), at(c.x)); !same(got, c.tree) {
				t.Errorf("TreeSum is %v, want %v", got, c.tree)
			}
			if got := BatchSum(len(c.x), at(c.x)); !same(got, c.batch) {
				t.Errorf("BatchSum is %v, want %v", got, c.batch)
			}
		})
	}
}

func TestFoldLanes(t *testing.T) {
	for j := range Lanes { // each lane counts once
		var lanes [Lanes]float64
		lanes[j] = 3
		if got := FoldLanes(&lanes); got != 3 {
			t.Errorf("lane %d adds %v", j, got)
		}
	}
}

// TestCountsAreExact: sums of -1, 0 and +1 by the tree are the integer count.
func TestCountsAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 127, 1024, 5000} {
		x, count := make([]float64, n), 0
		for i := range x {
			s := rng.IntN(3) - 1
			x[i], count = float64(s), count+s
		}
		if tree, batch := TreeSum(n, at(x)), BatchSum(n, at(x)); tree != float64(count) || batch != float64(count) {
			t.Errorf("%d signs add up to %v and %v, want %d", n, tree, batch, count)
		}
	}
}

// TestSumsOfReference: the interpreter sums float32 in float64 by the tree, and
// rounds once.
func TestSumsOfReference(t *testing.T) {
	k := Must(Define("k", func(k *Builder) {
		x := k.Input("x")
		k.Output("all", k.Sum(x, All))
		k.Output("batch", k.Sum(x, Batch))
	}))
	rng := rand.New(rand.NewPCG(5, 6))
	for _, grid := range [][2]int{{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 2000}, {70, 3}, {33, 40}} {
		t.Run(fmt.Sprint(grid), func(t *testing.T) {
			rows, cols := grid[0], grid[1]
			data := make([]float32, rows*cols)
			wider := make([]float64, rows*cols)
			for i, v := range wide(rng, rows*cols) {
				data[i] = float32(v)
				wider[i] = float64(data[i])
			}
			got := mustReference(t, k, array(rows, cols, data...))
			if want := float32(naiveTree(wider)); !sameAll(got[0], []float32{want}) {
				t.Errorf("the sum is %v, want [%v]", got[0], want)
			}
			for col := range cols {
				column := make([]float64, rows)
				for row := range column {
					column[row] = wider[row*cols+col]
				}
				if want := float32(naiveBatch(column)); !same(got[1][col], want) {
					t.Errorf("the sum of column %d is %v, want %v", col, got[1][col], want)
				}
			}
			if len(got[1]) != cols {
				t.Errorf("the sum over the batch has %d elements, want %d", len(got[1]), cols)
			}
		})
	}
}
