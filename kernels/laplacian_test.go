package kernels

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// laplacianCase is a drawn call of a Laplacian: target and mu, multiples of 1/4
// that are often equal, with or without a modulator.
type laplacianCase struct {
	kernel               *Kernel
	rows, cols           int
	target, mu, modulate []float32
}

func drawLaplacian(t *rapid.T) laplacianCase {
	c := laplacianCase{
		kernel: rapid.SampledFrom([]*Kernel{Laplacian, LaplacianL1}).Draw(t, "kernel"),
		rows:   rapid.IntRange(0, 40).Draw(t, "rows"),
		cols:   rapid.IntRange(0, 40).Draw(t, "cols"),
	}
	numbers := func(label string, most int) []float32 {
		seed := rapid.Uint64().Draw(t, label)
		data := make([]float32, c.rows*c.cols)
		for i := range data {
			seed = seed*6364136223846793005 + 1442695040888963407
			data[i] = float32(int(seed>>33)%(2*most+1)-most) / 4
		}
		return data
	}
	c.target, c.mu, c.modulate = numbers("target", 8), numbers("mu", 8), numbers("modulator", 4)
	return c
}

func (c laplacianCase) run(t *rapid.T, target, mu []float32) (dmu, dtarget []float32, loss float32) {
	results := mustReference(t, c.kernel, array(c.rows, c.cols, target...), array(c.rows, c.cols, mu...), array(c.rows, c.cols, c.modulate...))
	return results[0], results[1], results[2][0]
}

func mapped(x []float32, f func(float32) float32) []float32 {
	y := make([]float32, len(x))
	for i := range x {
		y[i] = f(x[i])
	}
	return y
}

// TestLaplacianFormula compares with the formulas of the definition, written
// out once more.
func TestLaplacianFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawLaplacian(t)
		dmu, dtarget, loss := c.run(t, c.target, c.mu)
		var mismatches, distance float64
		for i := range c.target {
			d := float64(c.target[i]) - float64(c.mu[i])
			want := c.modulate[i]
			switch {
			case d == 0:
				want = 0
			case d < 0:
				want = -want
			}
			if dmu[i] != want || dtarget[i] != -want {
				t.Fatalf("of %v and %v with %v: dmu %v, dtarget %v; want %v and the opposite", c.target[i], c.mu[i], c.modulate[i], dmu[i], dtarget[i], want)
			}
			distance += math.Abs(d)
			if d != 0 {
				mismatches++
			}
		}
		want := -mismatches
		if c.kernel == LaplacianL1 {
			want = -distance
		}
		if !same(loss, float32(math.Copysign(want, -1))) {
			t.Fatalf("the loss is %v, want %v", loss, want)
		}
	})
}

// TestLaplacianTranslation: to move target and prediction together changes
// nothing, if the sums are exact.
func TestLaplacianTranslation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawLaplacian(t)
		by := float32(rapid.IntRange(-1<<18, 1<<18).Draw(t, "quarters")) / 4
		move := func(x float32) float32 { return x + by }
		dmu, dtarget, loss := c.run(t, c.target, c.mu)
		dmu2, dtarget2, loss2 := c.run(t, mapped(c.target, move), mapped(c.mu, move))
		if !sameAll(dmu, dmu2) || !sameAll(dtarget, dtarget2) || !same(loss, loss2) {
			t.Fatalf("moved by %v: dmu %v becomes %v, L %v becomes %v", by, dmu, dmu2, loss, loss2)
		}
	})
}

// TestLaplacianSwap: target and prediction change places, and so do their
// derivatives. (Where they are equal, dmu is +0 and dtarget -0 both times.)
func TestLaplacianSwap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawLaplacian(t)
		dmu, dtarget, loss := c.run(t, c.target, c.mu)
		dmu2, dtarget2, loss2 := c.run(t, c.mu, c.target)
		for i := range dmu {
			if dmu[i] != dtarget2[i] || dtarget[i] != dmu2[i] {
				t.Fatalf("element %d: dmu %v and dtarget %v become %v and %v", i, dmu[i], dtarget[i], dmu2[i], dtarget2[i])
			}
		}
		if !same(loss, loss2) {
			t.Fatalf("L %v becomes %v", loss, loss2)
		}
	})
}

// TestLaplacianScaling: both twice as large, the derivatives and the count of
// mismatches stay, the distance doubles.
func TestLaplacianScaling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawLaplacian(t)
		double := func(x float32) float32 { return 2 * x }
		dmu, dtarget, loss := c.run(t, c.target, c.mu)
		dmu2, dtarget2, loss2 := c.run(t, mapped(c.target, double), mapped(c.mu, double))
		if c.kernel == LaplacianL1 {
			loss *= 2
		}
		if !sameAll(dmu, dmu2) || !sameAll(dtarget, dtarget2) || !same(loss, loss2) {
			t.Fatalf("doubled: dmu %v becomes %v, L is %v, want %v", dmu, dmu2, loss2, loss)
		}
	})
}

// TestLaplacianSplit: however the batch is cut, the losses of the parts add up
// to that of the whole, and the derivatives are the parts' one after the other.
func TestLaplacianSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawLaplacian(t)
		dmu, dtarget, loss := c.run(t, c.target, c.mu)
		var dmu2, dtarget2 []float32
		loss2 := float32(math.Copysign(0, -1))
		for start := 0; start < c.rows; {
			part := c
			part.rows = rapid.IntRange(1, c.rows-start).Draw(t, "rows of a part")
			from, to := start*c.cols, (start+part.rows)*c.cols
			part.target, part.mu, part.modulate = c.target[from:to], c.mu[from:to], c.modulate[from:to]
			d, e, l := part.run(t, part.target, part.mu)
			dmu2, dtarget2, loss2 = append(dmu2, d...), append(dtarget2, e...), loss2+l
			start += part.rows
		}
		if !sameAll(dmu, dmu2) || !sameAll(dtarget, dtarget2) || !same(loss, loss2) {
			t.Fatalf("in parts dmu %v is %v, L %v is %v", dmu, dmu2, loss, loss2)
		}
	})
}

// TestLaplacianBroadcast: operands that broadcast give what copies of them,
// written out, give.
func TestLaplacianBroadcast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawLaplacian(t)
		var small, large []*Array[float32]
		for i, data := range [][]float32{c.target, c.mu, c.modulate} {
			kind := rapid.SampledFrom([]Kind{Full, Row, Column, Scalar}).Draw(t, "kind")
			if i == 0 {
				kind = Full // so that the results span the grid both times
			}
			r, w := kind.Extent(c.rows, c.cols)
			if len(data) < r*w { // of a grid without elements
				data = make([]float32, r*w)
			}
			tile := make([]float32, 0, c.rows*c.cols)
			for row := range c.rows {
				for col := range c.cols {
					tile = append(tile, data[row%r*w+col%w])
				}
			}
			small, large = append(small, array(r, w, data[:r*w]...)), append(large, array(c.rows, c.cols, tile...))
		}
		want := mustReference(t, c.kernel, large...)
		for i, got := range mustReference(t, c.kernel, small...) {
			if !sameAll(got, want[i]) {
				t.Fatalf("%s is %v, of written out operands it is %v", c.kernel.OutputName(i), got, want[i])
			}
		}
	})
}

// TestLaplacianEdges: what the tables of the documentation promise.
func TestLaplacianEdges(t *testing.T) {
	inf, nan, zero := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	for _, c := range []struct {
		name                string
		target, mu          float32
		dmu, dtarget, count float32
		l1                  float32
	}{
		{"equal", 0.5, 0.5, 0, zero, zero, zero},
		{"both -0", zero, zero, 0, zero, zero, zero},
		{"-0 and +0", zero, 0, zero, 0, zero, zero},
		{"above", 2, 0.5, 1, -1, -1, -1.5},
		{"below", 0.5, 2, -1, 1, -1, -1.5},
		{"smallest difference", 0x1p-149, 0, 1, -1, -1, -0x1p-149},
		{"subnormal difference of normal numbers", 2e-38, 1.9e-38, 1, -1, -1, -(float32(2e-38) - float32(1.9e-38))},
		{"inf", inf, 1, 1, -1, -1, -inf},
		{"inf - inf", inf, inf, nan, nan, nan, nan},
		{"inf + inf", inf, -inf, 1, -1, -1, -inf},
		{"NaN", nan, 1, nan, nan, nan, nan},
		{"overflow", math.MaxFloat32, -math.MaxFloat32, 1, -1, -1, -inf},
	} {
		t.Run(c.name, func(t *testing.T) {
			for k, loss := range map[*Kernel]float32{Laplacian: c.count, LaplacianL1: c.l1} {
				got := mustReference(t, k, array(1, 1, c.target), array(1, 1, c.mu), nil)
				for i, want := range []float32{c.dmu, c.dtarget, loss} {
					if !sameAll(got[i], []float32{want}) {
						t.Errorf("%s of %s is %v, want [%v]", k.OutputName(i), k.Name(), got[i], want)
					}
				}
			}
		})
	}
	t.Run("empty batch", func(t *testing.T) {
		for _, grid := range [][2]int{{0, 4}, {4, 0}, {0, 0}} {
			got := mustReference(t, Laplacian, array[float32](grid[0], grid[1]), array[float32](grid[0], grid[1]), nil)
			if !sameAll(got[2], []float32{zero}) {
				t.Errorf("the loss of %v is %v, want [-0]", grid, got[2])
			}
		}
	})
}
