// The Bernoulli cell's kernels: by the formula, by differences, and beside what
// ngc-learn's own cell computed.

package kernels

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"errorcell/internal/numpy"
)

// bernoulliReference is ngc-learn's formula, as it is written there.
func bernoulliReference(x, p float64, logits bool) (dp, dtarget, likelihood float64) {
	sigmoid := 1 / (1 + math.Exp(-p))
	q := p
	if logits {
		q = sigmoid
	}
	q = min(max(q, 0.0001), 1-0.0001)
	dp = x - q
	if !logits {
		dp = (x/q - (1-x)/(1-q)) * (sigmoid * (1 - sigmoid))
	}
	return dp, math.Log(q) - math.Log(1-q), x*math.Log(q) + (1-x)*math.Log(1-q)
}

// draw is 40 targets and predictions, of which some are beyond all bounds.
func draw(t *rapid.T, logits bool) (x, p []float64) {
	low, high := -0.5, 1.5
	if logits {
		low, high = -15, 15
	}
	x = rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]float64{0, 1}), rapid.Float64Range(-1, 2)), 40, 40).Draw(t, "x")
	return x, rapid.SliceOfN(rapid.Float64Range(low, high), 40, 40).Draw(t, "p")
}

// TestBernoulliFormula compares with the formula, and the gates with products.
func TestBernoulliFormula(t *testing.T) {
	for _, k := range []*Kernel{Bernoulli, BernoulliLogits} {
		t.Run(k.Name(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				x, p := draw(t, k == BernoulliLogits)
				modulator, mask := []float64{2, 0.5}, make([]float64, 20)
				for i := range mask {
					mask[i] = float64(i % 3)
				}
				got := mustReference(t, k, array(2, 20, x...), array(2, 20, p...), array(2, 1, modulator...), array(1, 20, mask...))
				sum := 0.0
				for i := range x {
					dp, dtarget, likelihood := bernoulliReference(x[i], p[i], k == BernoulliLogits)
					gate := modulator[i/20] * mask[i%20]
					near(t, "dp", got[0][i], dp*gate)
					near(t, "dtarget", got[1][i], dtarget*gate)
					sum += likelihood
				}
				near(t, "L", got[2][0], sum)
			})
		})
	}
}

func near(t *rapid.T, name string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-11*max(1, math.Abs(want))) {
		t.Fatalf("%s is %v, want %v", name, got, want)
	}
}

// TestBernoulliOptions: the gated losses are sums of what the gates let pass, and
// dp is what differences of the likelihood are.
func TestBernoulliOptions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, p := draw(t, true)
		modulator := rapid.SliceOfN(rapid.Float64Range(-2, 2), 40, 40).Draw(t, "modulator")
		mask := rapid.SliceOfN(rapid.SampledFrom([]float64{0, 1}), 40, 40).Draw(t, "mask")
		got := mustReference(t, BernoulliOptions, array(1, 40, x...), array(1, 40, p...), array(1, 40, modulator...), array(1, 40, mask...))
		result := func(name string) []float64 { return got[BernoulliOptions.OutputIndex(name)] }
		var probabilities, logits float64
		for i := range x {
			gate := modulator[i] * mask[i]
			_, _, l := bernoulliReference(x[i], p[i], false)
			probabilities += l * gate
			_, _, l = bernoulliReference(x[i], p[i], true)
			logits += l * gate
			const h = 1e-7
			q := min(max(p[i], 0.0001), 1-0.0001)
			_, _, above := bernoulliReference(x[i], min(q+h, 1-0.0001), false)
			_, _, below := bernoulliReference(x[i], max(q-h, 0.0001), false)
			width := min(q+h, 1-0.0001) - max(q-h, 0.0001)
			want := (above - below) / width * gate
			if dp := result("dp-probabilities")[i]; math.Abs(dp-want) > 1e-2*max(1, math.Abs(want)) {
				t.Fatalf("dp of x = %v, p = %v is %v, want about %v", x[i], p[i], dp, want)
			}
		}
		near(t, "L-probabilities", result("L-probabilities")[0], probabilities)
		near(t, "L-logits", result("L-logits")[0], logits)
	})
}

// TestBernoulliSymmetry: to ask for 0 in place of 1 turns the derivatives round.
func TestBernoulliSymmetry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, p := draw(t, true)
		opposite, other := make([]float64, len(x)), make([]float64, len(x))
		for i := range x {
			opposite[i], other[i] = 1-x[i], -p[i]
		}
		a := mustReference(t, BernoulliLogits, array(1, 40, x...), array(1, 40, p...), nil, nil)
		b := mustReference(t, BernoulliLogits, array(1, 40, opposite...), array(1, 40, other...), nil, nil)
		for i := range x {
			near(t, "dp", b[0][i], -a[0][i])
			near(t, "dtarget", b[1][i], -a[1][i])
		}
		near(t, "L", b[2][0], a[2][0])
	})
}

// TestBernoulliEdges: what is no number, and what is beyond the bounds.
func TestBernoulliEdges(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	upper := float32(math.Log(float64(float32(0.9999)) / (1 - float64(float32(0.9999)))))
	lower := float32(math.Log(0.0001 / 0.9999))
	for _, c := range []struct {
		kernel         *Kernel
		x, p           float32
		dp, dtarget, L float32
	}{
		{BernoulliLogits, 1, inf, 1 - 0.9999, upper, float32(math.Log(0.9999))},
		{BernoulliLogits, 0, inf, -0.9999, upper, float32(math.Log(1 - float64(float32(0.9999))))},
		{BernoulliLogits, 1, -inf, 0.9999, lower, float32(math.Log(0.0001))},
		{BernoulliLogits, 0.5, 0, 0, 0, float32(math.Log(0.5))},
		{BernoulliLogits, 0.5, nan, nan, nan, nan},
		{BernoulliLogits, nan, 0, nan, 0, nan},
		{BernoulliLogits, inf, 0, inf, 0, nan},
		{Bernoulli, 1, inf, 0, upper, float32(math.Log(0.9999))},
		{Bernoulli, 0, -inf, 0, lower, float32(math.Log(0.9999))},
		{Bernoulli, 0.5, nan, nan, nan, nan},
		{Bernoulli, nan, 0.5, nan, 0, nan},
		{Bernoulli, inf, inf, nan, upper, nan},
		{Bernoulli, -1e38, 100, nan, upper, inf},
	} {
		got := mustReference(t, c.kernel, array(1, 1, c.x), array(1, 1, c.p), nil, nil)
		for i, want := range []float32{c.dp, c.dtarget, c.L} {
			if g := got[i][0]; !same(g, want) && !(math.Abs(float64(g-want)) <= 1e-6*max(1, math.Abs(float64(want)))) {
				t.Errorf("%s of target %v and p %v: %s is %v, want %v", c.kernel.Name(), c.x, c.p, c.kernel.OutputName(i), g, want)
			}
		}
	}
}

// TestBernoulliLogitsAccuracy: no bits are lost where q is next to 1, as they are
// where 1-q is computed of it.
func TestBernoulliLogitsAccuracy(t *testing.T) {
	for p := -9.2; p < 9.2; p += 0.01 {
		x := float32(p)
		got := mustReference(t, BernoulliLogits, array[float32](1, 1, 0), array(1, 1, x), nil, nil)
		want := -math.Log1p(math.Exp(float64(x)))
		if math.Abs(float64(got[2][0])-want) > 2*0x1p-23*math.Abs(want) || got[1][0] != x {
			t.Errorf("of %v: L is %v, want %v, and dtarget %v", x, got[2][0], want, got[1][0])
		}
	}
}

// TestBernoulliRecordings compares with ngc-learn 3.2.3 itself: see
// neurons/testdata/ngclearn.
func TestBernoulliRecordings(t *testing.T) {
	const folder = "../neurons/testdata/ngclearn"
	text, err := os.ReadFile(filepath.Join(folder, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Cases []struct {
			File, Group string
			Components  []struct {
				Args struct {
					Logits bool `json:"input_logits"`
				}
			}
		}
	}
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, c := range index.Cases {
		if c.Group != "bernoulli" {
			continue
		}
		cases++
		t.Run(strings.TrimSuffix(c.File, ".npz"), func(t *testing.T) {
			k := Bernoulli
			if c.Components[0].Args.Logits {
				k = BernoulliLogits
			}
			compareRecording(t, k, filepath.Join(folder, c.File))
		})
	}
	if cases < 49 {
		t.Errorf("there are only %d cases", cases)
	}
}

// compareRecording compares a kernel with the first step of a file.
func compareRecording(t *testing.T, k *Kernel, file string) {
	archive, err := numpy.OpenArchive(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	first := func(name string) *Array[float32] {
		if !archive.Has(name) {
			return nil
		}
		a, err := archive.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		shape := Shape(a.Shape[1:])
		return &Array[float32]{Shape: shape, Data: flushed(a.Data[:shape.Len()])}
	}
	inputs := make([]*Array[float32], k.NumInputs())
	for i := range inputs {
		inputs[i] = first("in.cell." + k.InputName(i))
	}
	got, err := Reference(k, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	// What is subnormal before the mask, JAX takes for 0.
	unmasked := mustReference(t, k, append(slices.Clone(inputs[:3]), nil)...)
	for i, g := range got {
		want := first("out.cell." + k.OutputName(i))
		if want == nil {
			continue // the loss of finite special values is not recorded
		}
		if len(g.Data) == 0 || len(want.Data)%len(g.Data) != 0 {
			t.Fatalf("%s has shape %v, recorded is %v", k.OutputName(i), g.Shape, want.Shape)
		}
		for j, w := range want.Data {
			j := j % len(g.Data) // a row stands for all: ngc-learn's mask is full
			if before := unmasked[i][j%len(unmasked[i])]; before != 0 && math.Abs(float64(before)) < 0x1p-126 {
				continue
			}
			x := g.Data[j]
			if d := math.Abs(float64(x) - float64(w)); !same(x, w) && !(d <= 5e-6*max(1, math.Abs(float64(w)))) {
				t.Errorf("%s[%d] is %v, recorded is %v", k.OutputName(i), j, x, w)
			}
		}
	}
}

// flushed are the numbers with zeros for subnormal ones, as JAX takes and gives
// them.
func flushed(x []float32) []float32 {
	y := slices.Clone(x)
	for i, v := range y {
		if math.Abs(float64(v)) < 0x1p-126 {
			y[i] = float32(math.Copysign(0, float64(v)))
		}
	}
	return y
}
