// Numbers at the edges: special values everywhere, losses of nothing, NaN.

package backendtest

import (
	"math"
	"slices"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
)

// edges are the places of an array at which a loop begins or ends.
func edges(n int) []int {
	var list []int
	for _, edge := range []int{0, 8, 16, kernels.Lanes, kernels.BlockSize, 2 * kernels.BlockSize, n} {
		for _, i := range around(edge) {
			if i >= 0 && i < n {
				list = append(list, i)
			}
		}
	}
	return list
}

// testSpecialValues puts every special number against every other, and at
// every edge of blocks.
func testSpecialValues[T kernels.Float](t *testing.T, dev backend.Device) {
	numbers := specials[T]()
	for _, k := range laplacians {
		t.Run(k.Name()+"/pairs", func(t *testing.T) {
			n := len(numbers) * len(numbers)
			scalars := slices.Repeat([]kernels.Kind{kernels.Scalar}, k.NumInputs())
			scalars[0], scalars[1] = kernels.Full, kernels.Full
			for i := range numbers {
				check(t, dev, newCall(k, 1, n, scalars, func(operand, width int, data []T) {
					if operand < 2 {
						tuples(numbers)(operand, width, data)
					} else {
						data[0] = numbers[(i+operand)%len(numbers)]
					}
				}))
			}
			// The same pairs made by broadcasting.
			crossed := fewest(k)
			crossed[0], crossed[1] = kernels.Column, kernels.Row
			check(t, dev, newCall(k, len(numbers), len(numbers), crossed, func(operand, width int, data []T) { copy(data, numbers) }))
		})
	}
	for _, k := range kernels.Catalogue() {
		t.Run(k.Name()+"/edges", func(t *testing.T) {
			const n = 2*kernels.BlockSize + 5
			for first := range numbers {
				fill := func(operand, width int, data []T) {
					ordinary[T](8)(operand, width, data)
					for i, place := range edges(n) {
						if i%len(full(k)) == operand { // each operand has its turn
							data[place] = numbers[(first+i)%len(numbers)]
						}
					}
				}
				check(t, dev, newCall(k, 1, n, full(k), fill))
			}
		})
	}
	t.Run("wild", func(t *testing.T) {
		for _, k := range append(kernels.Catalogue(), forms...) {
			for _, combination := range [][]kernels.Kind{full(k), allKinds(k)[len(allKinds(k))/3]} {
				check(t, dev, newCall(k, 33, 37, combination, wild[T](9)))
			}
		}
	})
}

// testNoMismatch has a loss of exactly -0: of nothing, and where target and
// prediction are equal.
func testNoMismatch[T kernels.Float](t *testing.T, dev backend.Device) {
	grids := [][2]int{{0, 0}, {0, 7}, {7, 0}, {1, 1}, {1, kernels.Lanes}, {1, kernels.BlockSize + 1}, {3*kernels.GroupRows + 1, 11}}
	zero := T(math.Copysign(0, -1))
	for _, k := range laplacians {
		for _, grid := range grids {
			c := newCall(k, grid[0], grid[1], fewest(k), ordinary[T](10))
			copy(c.inputs[1], c.inputs[0])
			want := check(t, dev, c)
			if d := difference(want[k.OutputIndex("L")], []T{zero}); d != "" {
				t.Errorf("%v: the reference itself has a loss that is not -0: %s", c, d)
			}
		}
	}
}

// testNaN puts one NaN at each place of an array and at the edges of a longer
// one: the loss is NaN wherever it stands.
func testNaN[T kernels.Float](t *testing.T, dev backend.Device) {
	nan := T(math.NaN())
	var everywhere []int
	for place := range kernels.Lanes + 70 {
		everywhere = append(everywhere, place)
	}
	for _, k := range laplacians {
		for _, length := range []struct {
			n      int
			places []int
		}{
			{len(everywhere), everywhere},
			{2*kernels.BlockSize + 5, edges(2*kernels.BlockSize + 5)},
		} {
			for _, place := range length.places {
				c := newCall(k, 1, length.n, fewest(k), ordinary[T](11))
				c.inputs[place%2][place] = nan
				want := check(t, dev, c)
				if d := difference(want[k.OutputIndex("L")], []T{nan}); d != "" {
					t.Errorf("%v: the reference itself has a loss that is not NaN: %s", c, d)
				}
			}
		}
	}
}
