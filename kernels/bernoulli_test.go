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

	"errorcell/internal/numpy"
)

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
	if cases < 50 {
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
	for i, g := range got {
		want := first("out.cell." + k.OutputName(i))
		if want == nil {
			continue // the loss of finite special values is not recorded
		}
		if len(g.Data) == 0 || len(want.Data)%len(g.Data) != 0 {
			t.Fatalf("%s has shape %v, recorded is %v", k.OutputName(i), g.Shape, want.Shape)
		}
		for j, w := range want.Data {
			x := g.Data[j%len(g.Data)] // a row stands for all: ngc-learn's mask is full
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
