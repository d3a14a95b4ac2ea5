// The cells beside the laplacian, and how --cell, --loss and a cell's own flags
// choose a kernel.

package main

import (
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"errorcell/kernels"
)

// cellReference is what a step of a cell should write.
func cellReference(t *testing.T, k *kernels.Kernel, in arrays) arrays {
	t.Helper()
	want := reference(t, k, in)
	want["L"].Shape = want["L"].Shape.Squeeze()
	return want
}

// TestGaussian computes a step with operands of many kinds; the shapes are as
// ngc-learn has them.
func TestGaussian(t *testing.T) {
	nan := float32(math.NaN())
	target, mu := counting(7, 4, 5), counting(3, 4, 5)
	for name, test := range map[string]struct {
		in           arrays
		dSigma, loss kernels.Shape
	}{
		"the fewest":        {arrays{"target": target, "mu": mu}, kernels.Shape{}, kernels.Shape{}},
		"one sigma":         {arrays{"target": target, "mu": mu, "sigma": arrayOf([]int{1, 1}, 0.3)}, kernels.Shape{1, 1}, kernels.Shape{}},
		"a sigma by column": {arrays{"target": target, "mu": mu, "sigma": arrayOf([]int{5}, 0.3, 2)}, kernels.Shape{5}, kernels.Shape{5}},
		"a sigma by row":    {arrays{"target": target, "mu": mu, "sigma": arrayOf([]int{4, 1}, 0.3, 2)}, kernels.Shape{4, 1}, kernels.Shape{4}},
		"a whole sigma":     {arrays{"target": target, "mu": mu, "sigma": arrayOf([]int{4, 5}, 0.3, 2, 7)}, kernels.Shape{4, 5}, kernels.Shape{4, 5}},
		"all": {arrays{"target": target, "mu": mu, "sigma": arrayOf(nil, 0.7), "modulator": counting(4, 4, 1), "mask": counting(2, 4, 5)},
			kernels.Shape{}, kernels.Shape{}},
		"no number": {arrays{"target": arrayOf([]int{2, 3}, 1, nan, float32(math.Inf(1))), "mu": arrayOf([]int{3}, 2)}, kernels.Shape{}, kernels.Shape{}},
		"nothing":   {arrays{"target": arrayOf([]int{0, 3}), "mu": arrayOf([]int{0, 3})}, kernels.Shape{}, kernels.Shape{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := step(t, test.in, "--cell", "gaussian")
			checkArrays(t, got, cellReference(t, kernels.Gaussian, test.in))
			if !slices.Equal(got["dSigma"].Shape, test.dSigma) || !slices.Equal(got["L"].Shape, test.loss) {
				t.Errorf("dSigma has shape %v and L %v, not %v and %v", got["dSigma"].Shape, got["L"].Shape, test.dSigma, test.loss)
			}
			checkArrays(t, step(t, test.in, "--cell=gaussian", "--loss=squared"), got)
		})
	}
	t.Run("steps", func(t *testing.T) {
		in := arrays{"target": counting(7, 3, 4, 5), "mu": mu, "sigma": arrayOf(nil, 0.5)}
		got := step(t, in, "--cell", "gaussian")
		for i := range 3 {
			in["target"] = &array{Shape: kernels.Shape{4, 5}, Data: counting(7, 3, 4, 5).Data[20*i:][:20]}
			want := cellReference(t, kernels.Gaussian, in)
			if firstDifference(got["dmu"].Data[20*i:][:20], want["dmu"].Data) >= 0 || got["L"].Data[i] != want["L"].Data[0] {
				t.Errorf("step %d: dmu %v and L %v, want %v and %v", i, got["dmu"].Data[20*i:][:20], got["L"].Data[i], want["dmu"].Data, want["L"].Data)
			}
		}
	})
}

// TestGaussianSummary: what a run says of itself, and of arrays that are no
// operands.
func TestGaussianSummary(t *testing.T) {
	folder := t.TempDir()
	writeNPZ(t, filepath.Join(folder, "in.npz"), arrays{"target": arrayOf([]int{2, 3}, 3), "mu": arrayOf(nil, 1), "scale": arrayOf(nil, 2), "shift": arrayOf(nil, 2)})
	call := []string{"step", "--in", "in.npz", "--out", "out.npz", "--cell", "gaussian"}
	got := errorcell(t, folder, call...)
	if got.status != 0 || !strings.HasPrefix(got.stdout, "gaussian: 1 step of 2 x 3 on cpu") || !strings.Contains(got.stdout, "L = -12, written to out.npz") {
		t.Errorf("the summary is %q", got.stdout)
	}
	if want := `the gaussian cell has no such operands (it has target, mu, modulator, mask, sigma): "scale", "shift"`; !strings.Contains(got.stderr, want) {
		t.Errorf("the note is %q", got.stderr)
	}
	if text := succeed(t, folder, append(call, "--json", "--quiet")...); !strings.Contains(text, `"cell":"gaussian","loss":"squared"`) {
		t.Errorf("the summary is %s", text)
	}
}

// TestBernoulli computes a step of probabilities and one of logits, with operands
// of many kinds; the shapes are as ngc-learn has them.
func TestBernoulli(t *testing.T) {
	nan := float32(math.NaN())
	target, p := arrayOf([]int{4, 5}, 0, 1, 1, 0.25), arrayOf([]int{4, 5}, 0.1, 0.9, -3, 0, 1, 20, 0.5)
	for name, in := range map[string]arrays{
		"the fewest": {"target": target, "p": p},
		"one row":    {"target": target, "p": arrayOf([]int{5}, 0.3, 2), "mask": arrayOf([]int{4, 1}, 1, 0)},
		"all":        {"target": target, "p": p, "modulator": counting(4, 4, 1), "mask": counting(2, 4, 5)},
		"no number":  {"target": arrayOf([]int{2, 3}, 1, nan, float32(math.Inf(1))), "p": arrayOf([]int{3}, nan, 0.5)},
		"nothing":    {"target": arrayOf([]int{0, 3}), "p": arrayOf([]int{0, 3})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := step(t, in, "--cell", "bernoulli")
			checkArrays(t, got, cellReference(t, kernels.Bernoulli, in))
			checkArrays(t, step(t, in, "--cell=bernoulli", "--loss=likelihood", "--logits=false"), got)
			checkArrays(t, step(t, in, "--cell", "bernoulli", "--logits"), cellReference(t, kernels.BernoulliLogits, in))
			if len(got["L"].Shape) != 0 || len(got) != 3 {
				t.Errorf("there are %d results, L of shape %v", len(got), got["L"].Shape)
			}
		})
	}
	t.Run("summary", func(t *testing.T) {
		folder := t.TempDir()
		writeNPZ(t, filepath.Join(folder, "in.npz"), arrays{"target": target, "p": p, "mu": p})
		got := errorcell(t, folder, "step", "--in", "in.npz", "--out", "out.npz", "--cell", "bernoulli", "--logits")
		if want := `the bernoulli cell has no such operands (it has target, p, modulator, mask): "mu"`; got.status != 0 || !strings.Contains(got.stderr, want) {
			t.Errorf("status %d, the note is %q", got.status, got.stderr)
		}
		if !strings.HasPrefix(got.stdout, "bernoulli: 1 step of 4 x 5 on cpu") {
			t.Errorf("the summary is %q", got.stdout)
		}
	})
	t.Run("streamed", func(t *testing.T) {
		folder := t.TempDir()
		in := arrays{"target": target, "p": p}
		writeNPY(t, folder, in)
		succeed(t, folder, "step", "--target", "target.npy", "--p", "p.npy", "--out", "out", "--cell", "bernoulli", "--logits")
		checkArrays(t, readNPY(t, filepath.Join(folder, "out")), cellReference(t, kernels.BernoulliLogits, in))
	})
}

// TestHelpOfCells: step's help has what each cell says of itself, with a loss
// or more for each, and --help of both commands names them.
func TestHelpOfCells(t *testing.T) {
	help := succeed(t, ".", "step", "--help")
	for _, c := range cells {
		if c.Help == "" || !strings.Contains(help, c.Help) {
			t.Errorf("step --help does not say of %s: %s", c.Name, c.Help)
		}
		for _, line := range strings.Split(c.Help, "\n") {
			if len([]rune(line)) > 82 {
				t.Errorf("the help of %s has a line of %d letters: %s", c.Name, len([]rune(line)), line)
			}
		}
		if want := c.Name + ": " + strings.Join(c.losses(), ", "); !strings.Contains(help, want) || !strings.Contains(succeed(t, ".", "ptx", "--help"), want) {
			t.Errorf("the help does not say %q", want)
		}
	}
}

// TestFlagsOfCells: a cell that has a switch gets a flag, which chooses its
// kernel and is refused with other cells and losses.
func TestFlagsOfCells(t *testing.T) {
	declared := kernels.Cell{Name: "switched", Flags: map[string]string{"raw": "without more ado", "odd": "or even"}, Kernels: []kernels.CellKernel{
		{Kernel: kernels.LaplacianScaled, Loss: "count"},
		{Kernel: kernels.Laplacian, Loss: "count", Flag: "raw"},
		{Kernel: kernels.LaplacianL1, Loss: "distance"},
		{Kernel: kernels.LaplacianOptions},
	}}
	defer func(before []cell) { cells = before }(cells)
	cells = append(slices.Clone(cells), stepCells([]kernels.Cell{declared, {Name: "stateful"}})...)
	if !slices.Contains(cellNames(), "switched") || slices.Contains(cellNames(), "stateful") {
		t.Errorf("the cells are %q", cellNames())
	}
	for args, want := range map[string]any{
		"--cell switched":                        kernels.LaplacianScaled,
		"--cell switched --raw":                  kernels.Laplacian,
		"--cell switched --raw=false":            kernels.LaplacianScaled,
		"--cell switched --loss distance":        kernels.LaplacianL1,
		"--cell switched --loss distance --raw":  "no loss distance with --raw",
		"--cell switched --raw --odd":            "no loss count with --odd --raw",
		"--cell switched --loss mismatch":        "count, distance",
		"--cell laplacian --raw":                 "--raw is no flag of the laplacian cell",
		"--cell laplacian --loss l1 --raw=false": kernels.LaplacianScaledL1,
	} {
		command := (&app{}).stepCommand()
		var ask choice
		command.ResetFlags()
		ask.addFlags(command)
		if err := command.ParseFlags(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		_, k, err := ask.find()
		if text, ok := want.(string); ok {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %v, want %q", args, err, text)
			}
		} else if k != want {
			t.Errorf("%s: kernel %v, error %v", args, k, err)
		}
	}
	if all := slices.Sorted(maps.Keys(cellFlags())); !slices.Equal(all, []string{"logits", "odd", "raw"}) {
		t.Errorf("the flags are %q", all)
	}
}
