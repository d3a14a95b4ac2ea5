package kernels

import (
	"math"
	"slices"
	"testing"
)

// TestCells: what a cell's declaration names is there, and no name means two
// things.
func TestCells(t *testing.T) {
	for _, c := range Cells() {
		losses := map[string]bool{}
		for _, k := range c.Kernels {
			for _, out := range k.outputs {
				if k.nodes[out.Node].Type == Bool {
					t.Errorf("%s: the result %s of %s is a truth value, which no compartment holds", c.Name, out.Name, k.Name())
				}
			}
			if k.Loss == "" {
				continue
			}
			if choice := k.Loss + " " + k.Flag; losses[choice] {
				t.Errorf("%s: two kernels have the loss %s", c.Name, choice)
			} else {
				losses[choice] = true
			}
			if _, ok := c.Flags[k.Flag]; k.Flag != "" && !ok {
				t.Errorf("%s: %s needs the flag %s, which the cell does not have", c.Name, k.Name(), k.Flag)
			}
			if k.OutputIndex("L") < 0 {
				t.Errorf("%s: %s has no loss L", c.Name, k.Name())
			}
			for name, a := range c.Aliases {
				if k.InputIndex(a.Operand) < 0 || k.InputIndex(name) >= 0 {
					t.Errorf("%s: %s is to be another name of %s, an operand of %s", c.Name, name, a.Operand, k.Name())
				}
				for result := range a.Results {
					if k.OutputIndex(result) < 0 {
						t.Errorf("%s: %s has no result %s", c.Name, k.Name(), result)
					}
				}
			}
			for result, operand := range c.Needs {
				if i := k.InputIndex(operand); k.OutputIndex(result) < 0 || i < 0 || !k.inputs[i].Optional {
					t.Errorf("%s: %s needs %s, which %s does not have both, the operand optional", c.Name, result, operand, k.Name())
				}
			}
		}
		if len(losses) > 0 && c.Help == "" {
			t.Errorf("%s has no help", c.Name)
		}
	}
	if !slices.IsSortedFunc(Cells(), func(a, b Cell) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) }) {
		t.Error("the cells are not in order")
	}
}

// TestGaussianFormula compares with the formulas of the definition, written out
// in float64 once more: all numbers are small multiples of powers of two.
func TestGaussianFormula(t *testing.T) {
	target, mu := array[float64](2, 2, 1, 2, -0.5, 4), array[float64](2, 2, 0, 2.5, -0.5, 1)
	modulator, mask, sigma := array[float64](2, 1, 2, 4), array[float64](1, 2, 1, 0), array[float64](1, 2, 0.5, 2)
	got := mustReference(t, Gaussian, target, mu, modulator, mask, sigma)
	for i, want := range [][]float64{
		{4, 0, 0, 0},
		{-4, 0, 0, 0},
		{-10.25, -10.25 / 4}, // 1 + 0.25 + 0 + 9, over twice the variance
		{1, 1},
	} {
		if !closeTo(got[i], want) {
			t.Errorf("%s is %v, want %v", Gaussian.OutputName(i), got[i], want)
		}
	}
}

func closeTo(got, want []float64) bool {
	return slices.EqualFunc(got, want, func(g, w float64) bool { return g == w })
}

// logDensities are the log densities whose derivatives by the scale the kernels
// of the options have.
var logDensities = map[*Kernel]func(e, scale float64) float64{
	LaplacianOptions: func(e, b float64) float64 { return -math.Abs(e)/b - math.Log(2*b) },
	GaussianOptions:  func(e, v float64) float64 { return -e*e/(2*v) - math.Log(2*math.Pi*v)/2 },
}

// TestDerivativeByScale compares with differences of the log density.
func TestDerivativeByScale(t *testing.T) {
	const h = 1e-5
	target, mu := []float64{1, 2, -0.5, 4, 3, 3}, []float64{0, 2.5, -0.5, 1, 2.5, 7}
	modulator, scale := []float64{2, 0.5}, []float64{0.5, 2, 3}
	for k, density := range logDensities {
		got := mustReference(t, k, array(2, 3, target...), array(2, 3, mu...), array(2, 1, modulator...), nil, array(1, 3, scale...))
		name := map[*Kernel]string{LaplacianOptions: "dScale", GaussianOptions: "dSigma"}[k]
		each, batch, all := got[k.OutputIndex(name+"-each")], got[k.OutputIndex(name+"-batch")], got[k.OutputIndex(name+"-all")]
		columns, total := make([]float64, 3), 0.0
		for i := range target {
			e, s := target[i]-mu[i], scale[i%3]
			want := modulator[i/3] * (density(e, s+h) - density(e, s-h)) / (2 * h)
			if math.Abs(each[i]-want) > 1e-6*max(1, math.Abs(want)) {
				t.Errorf("%s: %s of e = %v, scale %v is %v, want about %v", k.Name(), name, e, s, each[i], want)
			}
			columns[i%3] += each[i]
			total += each[i]
		}
		if !closeTo(batch, columns) || math.Abs(all[0]-total) > 1e-12 {
			t.Errorf("%s: the sums are %v and %v, want %v and %v", k.Name(), batch, all, columns, total)
		}
	}
}

// TestGatedLosses: of gates that are 1 or 0, the loss is that of what they let
// pass alone.
func TestGatedLosses(t *testing.T) {
	target, mu, mask := array[float32](1, 4, 1, 2, 3, 4), array[float32](1, 4, 1, 4, 3.5, -4), array[float32](1, 4, 1, 0, 1, 1)
	passed := []*Array[float32]{array[float32](1, 3, 1, 3, 4), array[float32](1, 3, 1, 3.5, -4), nil, nil, array[float32](1, 1, 2)}
	for _, c := range []struct {
		options, plain *Kernel
		name           string
	}{
		{LaplacianOptions, LaplacianScaled, "L-mismatch"}, {LaplacianOptions, LaplacianScaledL1, "L-l1"}, {GaussianOptions, Gaussian, "L-squared"},
	} {
		got := mustReference(t, c.options, target, mu, nil, mask, passed[4])[c.options.OutputIndex(c.name)]
		want := mustReference(t, c.plain, passed...)[c.plain.OutputIndex("L")]
		if !sameAll(got, want) {
			t.Errorf("%s is %v, want %v", c.name, got, want)
		}
		double := mustReference(t, c.options, target, mu, array[float32](1, 1, 2), mask, passed[4])[c.options.OutputIndex(c.name)]
		if double[0] != 2*want[0] {
			t.Errorf("%s with a modulator of 2 is %v, want twice %v", c.name, double, want)
		}
	}
}

// TestOrderOfGates: the quotient by the scale comes first, then the modulator,
// then the mask. Each product before the last overflows, or one does not.
func TestOrderOfGates(t *testing.T) {
	inf := float32(math.Inf(1))
	one := func(x float32) *Array[float32] { return array(1, 1, x) }
	for _, k := range []*Kernel{LaplacianScaled, LaplacianScaledL1, Gaussian} {
		for _, c := range []struct{ modulator, mask, scale, want float32 }{
			{3e38, 0.125, 0.5, inf},
			{0.125, 3e38, 0.5, 0.25 * 3e38},
			{3e38, 2, 4, 1.5e38},
		} {
			if got := mustReference(t, k, one(1), one(0), one(c.modulator), one(c.mask), one(c.scale)); got[0][0] != c.want || got[1][0] != -c.want {
				t.Errorf("%s with modulator %v, mask %v and scale %v: %s is %v and %s %v, want %v and its negation",
					k.Name(), c.modulator, c.mask, c.scale, k.OutputName(0), got[0], k.OutputName(1), got[1], c.want)
			}
		}
	}
}

// TestRewardFormula takes a step and the end of an episode by hand.
func TestRewardFormula(t *testing.T) {
	one := func(x float32) *Array[float32] { return array(1, 1, x) }
	got := mustReference(t, Reward, array[float32](1, 2, 1, 3), array[float32](1, 2, 2, 2), array[float32](1, 2, 10, 20), one(4), one(0.75), one(0.25))
	for i, want := range [][]float32{{-1, 1}, {1.75, 2.25}, {11, 23}, {5}} {
		if !sameAll(got[i], want) {
			t.Errorf("%s is %v, want %v", Reward.OutputName(i), got[i], want)
		}
	}
	got = mustReference(t, RewardEvolve, array[float32](1, 2, 2, 4), array[float32](1, 2, 10, 20), one(5), one(0.5), one(0.5))
	if !sameAll(got[0], []float32{2, 4}) {
		t.Errorf("next-mu is %v, want [2 4]", got[0])
	}
	// The quotient comes before the product, which would overflow.
	got = mustReference(t, RewardEvolve, one(0), one(3e38), one(2), one(0), one(2))
	if !sameAll(got[0], []float32{3e38}) {
		t.Errorf("next-mu is %v, want [3e+38]", got[0])
	}
}
