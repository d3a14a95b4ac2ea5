// Results on ordinary numbers: every operation, kernel, broadcast and size.

package backendtest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
)

// testOperations computes each operation in each position, on all tuples of
// special numbers and with all kinds of operands.
func testOperations[T kernels.Float](t *testing.T, dev backend.Device) {
	tested := map[kernels.Op]bool{}
	for _, o := range operations {
		tested[o.op] = true
		t.Run(o.op.String(), func(t *testing.T) {
			numbers := specials[T]()
			switch o.op.Arity() {
			case 1:
				numbers = append(numbers, exponents[T]()...)
			case 3:
				numbers = fewSpecials[T]()
			}
			n := 1
			for range o.op.Arity() {
				n *= len(numbers)
			}
			for _, k := range operationKernels[o.op] {
				check(t, dev, newCall(k, 1, n, full(k), tuples(numbers)))
			}
			first := 1 // kernels, those with the first constant
			if givesBool(o.op) {
				first = 2
			}
			for _, k := range operationKernels[o.op][:first] {
				for _, combination := range allKinds(k) {
					check(t, dev, newCall(k, 3, 5, combination, wild[T](1)))
				}
			}
		})
	}
	for op := kernels.OpInput; op <= kernels.OpSum; op++ {
		if op.Elementwise() && !tested[op] {
			t.Errorf("the suite lacks the operation %v", op)
		}
	}
}

// tuples fills operand i with digit i of the element's index, so that the
// operands run through all tuples of the numbers.
func tuples[T kernels.Float](numbers []T) filler[T] {
	return func(operand, width int, data []T) {
		stride := 1
		for range operand {
			stride *= len(numbers)
		}
		for i := range data {
			data[i] = numbers[i/stride%len(numbers)]
		}
	}
}

// testKernels computes the catalogue's kernels and one of each form with full
// and with the fewest operands in grids of many sizes, the forms with all kinds
// of operands in a small grid; those of the catalogue are testBroadcast's.
func testKernels[T kernels.Float](t *testing.T, dev backend.Device) {
	for _, k := range append(kernels.Catalogue(), forms...) {
		t.Run(k.Name(), func(t *testing.T) {
			if slices.Contains(forms, k) {
				for _, combination := range allKinds(k) {
					check(t, dev, newCall(k, 3, 5, combination, ordinary[T](2)))
				}
			}
			for _, grid := range [][2]int{{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 1100}, {1100, 1}, {33, 130}} {
				check(t, dev, newCall(k, grid[0], grid[1], full(k), ordinary[T](3)))
				check(t, dev, newCall(k, grid[0], grid[1], fewest(k), cancelling[T](4)))
			}
		})
	}
}

// testTensorOperations computes package tensor's operations, as they are and added to
// an operand, and its sums: with all kinds of operands, of special and of ordinary
// numbers, at the lengths at which the loops over vectors end.
func testTensorOperations[T kernels.Float](t *testing.T, dev backend.Device) {
	list := []*kernels.Kernel{kernels.SumOfAll, kernels.SumOfColumns}
	for _, o := range kernels.Operations {
		list = append(list, o.Kernel)
		if o.Incr != nil {
			list = append(list, o.Incr)
		}
		if o.Truth != nil {
			list = append(list, o.Truth)
		}
	}
	lengths := []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, kernels.BlockSize + 1}
	for _, k := range list {
		t.Run(k.Name(), func(t *testing.T) {
			for _, combination := range allKinds(k) {
				check(t, dev, newCall(k, 9, 19, combination, wild[T](13)))
			}
			sets := [][]kernels.Kind{full(k)}
			for i := range k.NumInputs() - 1 { // the others are numbers, one after the other
				sets = append(sets, full(k))
				sets[i+1][i] = kernels.Scalar
			}
			for _, kinds := range sets {
				for _, n := range lengths {
					check(t, dev, newCall(k, 1, n, kinds, ordinary[T](n)))
				}
			}
		})
	}
	for _, grid := range [][2]int{{3, 4*kernels.Lanes + 1}, {2*kernels.GroupRows + 3, 5*kernels.Lanes + 3}, {40*kernels.GroupRows + 1, 3}, {14*kernels.GroupRows + 5, 600}} {
		check(t, dev, newCall(kernels.SumOfColumns, grid[0], grid[1], full(kernels.SumOfColumns), cancelling[T](14)))
	}
}

// testBroadcast compiles the catalogue's kernels with every combination of kinds,
// looks at their plans, and computes them in grids that have an axis of 0, of 1,
// and several blocks.
func testBroadcast[T kernels.Float](t *testing.T, open Opener) {
	grids := [][2]int{{0, 3}, {3, 0}, {1, 4}, {4, 1}, {2, 2}, {33, 37}}
	for _, k := range kernels.Catalogue() {
		t.Run(k.Name(), func(t *testing.T) {
			dev := openDevice(t, open) // programs live as long as their device
			for _, combination := range allKinds(k) {
				t.Run(fmt.Sprint(combination), func(t *testing.T) {
					checkPlan(t, dev, newCall(k, 0, 0, combination, ordinary[T](5)))
					for _, grid := range grids {
						check(t, dev, newCall(k, grid[0], grid[1], combination, ordinary[T](5)))
					}
				})
			}
		})
	}
}

// checkPlan makes sure that a call's program has the call's plan.
func checkPlan[T kernels.Float](t *testing.T, dev backend.Device, c call[T]) {
	t.Helper()
	p, err := dev.Compile(c.kernel, c.signature())
	if err != nil {
		t.Fatalf("%v: compile: %v", c, err)
	}
	want, err := c.kernel.Specialize(c.signature())
	if err != nil {
		t.Fatal(err)
	}
	if plan := p.Plan(); plan.Kernel != c.kernel || plan.Signature != c.signature() || plan.String() != want.String() {
		t.Errorf("%v: the program's plan is\n%vwant\n%v", c, plan, want)
	}
}

// testOmitted leaves out each subset of the results but the whole.
func testOmitted[T kernels.Float](t *testing.T, dev backend.Device) {
	for _, k := range append(kernels.Catalogue(), everything, batchNorm, truths) {
		all := uint32(1)<<len(k.Outputs()) - 1
		for omit := range all {
			c := newCall(k, 33, 37, full(k), ordinary[T](12))
			c.omit = omit
			check(t, dev, c)
		}
	}
}

// testSizes goes through the lengths at which loops, lanes, blocks and groups
// of rows end.
func testSizes[T kernels.Float](t *testing.T, dev backend.Device) {
	list := append(kernels.Catalogue(), everything, truths)
	at := func(t *testing.T, rows, cols int) {
		t.Helper()
		for _, k := range list {
			if rows == 1 && cols > kernels.Lanes+10 && cols < 2*kernels.Lanes+10 && len(k.Nodes()) > 60 {
				continue // for long, and its loops have ended in every way
			}
			check(t, dev, newCall(k, rows, cols, full(k), cancelling[T](rows)))
		}
	}
	t.Run("short", func(t *testing.T) { // every length up to two lanes and a bit
		for n := range 2*kernels.Lanes + 10 {
			at(t, 1, n)
		}
	})
	t.Run("long", func(t *testing.T) { // around multiples of a block, also as one column
		for _, blocks := range []int{1, 2, 3, 7} {
			for _, n := range around(blocks * kernels.BlockSize) {
				at(t, 1, n)
				if blocks <= 2 {
					at(t, n, 1)
				}
			}
		}
	})
	t.Run("rows", func(t *testing.T) { // around multiples of a group of rows, narrow
		for _, groups := range []int{1, 2, 3, 5} {
			for _, rows := range around(groups * kernels.GroupRows) {
				for _, cols := range []int{1, 3, 10} {
					at(t, rows, cols)
				}
			}
		}
		at(t, 40*kernels.GroupRows+1, 3)
	})
	t.Run("columns", func(t *testing.T) { // around multiples of the lanes, which rows cross
		for _, lanes := range []int{1, 2, 8} {
			for _, cols := range around(lanes * kernels.Lanes) {
				at(t, 3, cols)
			}
		}
		at(t, 35, 5*kernels.Lanes+3)
	})
}

// around are a size and its neighbours.
func around(n int) []int { return []int{n - 1, n, n + 1} }

// testLarge computes grids that are large enough for many threads: with
// operands of all kinds, in extreme shapes, with one NaN in the share of one
// thread, and once with about a million elements, a quarter of that in a short
// run.
func testLarge[T kernels.Float](t *testing.T, dev backend.Device) {
	t.Run("kinds", func(t *testing.T) {
		const full, row, column, scalar = kernels.Full, kernels.Row, kernels.Column, kernels.Scalar
		for _, c := range []struct {
			kernel *kernels.Kernel
			kinds  []kernels.Kind
		}{
			{kernels.Laplacian, []kernels.Kind{full, row, column}},
			{kernels.LaplacianL1, []kernels.Kind{column, row, scalar}},
			{kernels.LaplacianScaled, []kernels.Kind{full, scalar, row, column, row}},
			{batchNorm, []kernels.Kind{full, row, scalar}},
			{everything, []kernels.Kind{full}},
			{truths, []kernels.Kind{full, row}},
			{truths, []kernels.Kind{column, full}},
		} {
			check(t, dev, newCall(c.kernel, 331, 211, c.kinds, cancelling[T](13)))
		}
	})
	t.Run("shapes", func(t *testing.T) {
		for _, grid := range [][2]int{{1, 66_001}, {66_001, 1}, {3, 22_003}} {
			check(t, dev, newCall(everything, grid[0], grid[1], full(everything), cancelling[T](14)))
			check(t, dev, newCall(truths, grid[0], grid[1], full(truths), ordinary[T](14)))
		}
	})
	t.Run("NaN", func(t *testing.T) {
		const rows, cols = 67, 1021
		for _, place := range []int{0, rows * cols / 2, rows*cols - 1} {
			c := newCall(kernels.Laplacian, rows, cols, fewest(kernels.Laplacian), ordinary[T](15))
			c.inputs[0][place] = T(math.NaN())
			check(t, dev, c)
		}
	})
	t.Run("million", func(t *testing.T) {
		rows, cols := 1021, 1031
		if testing.Short() {
			rows = 255
		}
		for _, k := range []*kernels.Kernel{kernels.Laplacian, everything} {
			check(t, dev, newCall(k, rows, cols, full(k), cancelling[T](6)))
		}
	})
}

// testCounts counts more than float32 can: 2^24 + 3 mismatches, which lies
// between two float32 numbers and is rounded once, to the even one.
func testCounts(t *testing.T, open Opener) {
	if testing.Short() {
		t.Skip("a count above 2^24 takes half a gigabyte: run without -short")
	}
	const n, want = 1<<24 + 3, 1<<24 + 4
	dev := openDevice(t, open)
	k := define("count", func(k *builder) {
		x := k.Sign(k.Sub(k.Input("x"), k.Input("y")))
		k.Output("all", k.Sum(x, kernels.All))
		k.Output("batch", k.Sum(k.Neg(x), kernels.Batch))
	})
	c := newCall(k, n, 1, []kernels.Kind{kernels.Full, kernels.Scalar}, func(operand, width int, data []float32) {
		constant(float32(1-operand))(operand, width, data)
	})
	j := load(t, dev, c)
	defer j.close(t)
	compareAll(t, j, j.run(t), [][]float32{{want}, {-want}})
}

// testRepeat runs programs again, with others between them: the bits stay.
func testRepeat[T kernels.Float](t *testing.T, dev backend.Device) {
	var jobs []*job[T]
	var first [][][]T
	for _, k := range append(kernels.Catalogue(), everything, truths) {
		j := load(t, dev, newCall(k, 67, 129, full(k), wild[T](7)))
		defer j.close(t)
		jobs, first = append(jobs, j), append(first, j.run(t))
	}
	for range 5 {
		for i, j := range jobs {
			compareAll(t, j, j.run(t), first[i])
		}
	}
}
