// What a launcher is told.

package ptx

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"errorcell/kernels"
)

func ExampleLower() {
	// Targets and predictions of shape (64 x 100), a modulator for each unit.
	binding, _ := kernels.Laplacian.Bind(kernels.F32, kernels.Shape{64, 100}, kernels.Shape{64, 100}, kernels.Shape{100})
	plan, _ := kernels.Laplacian.Specialize(binding.Signature)
	module, err := Lower(plan, Options{Arch: 80, Wide: NeedsWide(binding.Rows, binding.Cols)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range module.Launches {
		fmt.Println(l.Entry, "in blocks of", l.Threads, "threads:", l.Blocks(binding.Rows, binding.Cols), "of them, and", l.ControlBytes(binding.Rows, binding.Cols), "bytes of control words")
		for _, p := range l.Params {
			fmt.Println(" ", p.Role, p.Index)
		}
	}
	// Output:
	// errorcell_laplacian in blocks of 256 threads: 7 of them, and 24 bytes of control words
	//   operand 0
	//   operand 1
	//   operand 2
	//   result 0
	//   result 1
	//   result 2
	//   control 0
	//   rows 0
	//   cols 0
}

// planOf is a kernel's plan for operands that all span the grid.
func planOf(t *testing.T, k *kernels.Kernel) *kernels.Plan {
	t.Helper()
	return call[float32]{kernel: k, kinds: full(k)}.plan(t)
}

func TestArchitectures(t *testing.T) {
	plan := planOf(t, kernels.Laplacian)
	for asked, want := range map[int]string{70: "sm_70", 72: "sm_70", 75: "sm_75", 87: "sm_86", 90: "sm_90", 110: "sm_103", 121: "sm_121", 999: "sm_121"} {
		m, err := Lower(plan, Options{Arch: asked})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.Text, "\n.target "+want+"\n") {
			t.Errorf("a device of capability %d gets another target than %s", asked, want)
		}
	}
	for _, tooOld := range []int{-1, 0, 61} {
		if _, err := Lower(plan, Options{Arch: tooOld}); err == nil || !strings.Contains(err.Error(), "sm_70") {
			t.Errorf("capability %d: %v; an error that names the oldest architecture is wanted", tooOld, err)
		}
	}
	if !slices.IsSorted(Archs()) || len(Archs()) != len(archs) {
		t.Error("the table of architectures is out of order:", Archs())
	}
	if _, err := Lower(nil, Options{Arch: 80}); err == nil {
		t.Error("no plan is lowered without an error")
	}
}

func TestNeedsWide(t *testing.T) {
	for _, c := range []struct {
		rows, cols int
		want       bool
	}{
		{0, 0, false}, {1, 1<<31 - 1, false}, {1, 1 << 31, true}, {1 << 31, 0, true}, {0, 1 << 31, true},
		{1 << 16, 1<<15 - 1, false}, {1 << 16, 1 << 15, true}, {46341, 46341, true}, {46340, 46340, false}, {math.MaxInt, math.MaxInt, true},
	} {
		if got := NeedsWide(c.rows, c.cols); got != c.want {
			t.Errorf("NeedsWide(%d, %d) is %t", c.rows, c.cols, got)
		}
	}
}

// TestOneLaunch holds the cell to one launch, and the others to as few as
// their sums allow.
func TestOneLaunch(t *testing.T) {
	scaled := func(scale kernels.Kind) []kernels.Kind {
		return []kernels.Kind{kernels.Full, kernels.Full, kernels.Full, kernels.Full, scale}
	}
	for _, c := range []struct {
		kernel *kernels.Kernel
		kinds  []kernels.Kind
		want   int
	}{
		{kernels.Laplacian, full(kernels.Laplacian), 1},
		{kernels.Laplacian, fewest(kernels.Laplacian), 1},
		{kernels.LaplacianL1, full(kernels.LaplacianL1), 1},
		{kernels.LaplacianScaled, scaled(kernels.Absent), 1},
		{kernels.LaplacianScaled, scaled(kernels.Scalar), 1},
		{kernels.LaplacianScaledL1, scaled(kernels.Row), 2}, // the loss has the scale's shape
		{kernels.LaplacianScaledL1, scaled(kernels.Column), 2},
		{kernels.LaplacianScaledL1, scaled(kernels.Full), 2},
	} {
		m, err := Lower(call[float32]{kernel: c.kernel, kinds: c.kinds}.plan(t), Options{Arch: 80})
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Launches) != c.want {
			t.Errorf("%s(%s) takes %d launches, want %d\n%s", c.kernel.Name(), kindNames(c.kinds), len(m.Launches), c.want, m.Text)
		}
	}
}

func TestScratch(t *testing.T) {
	m, err := Lower(planOf(t, everything), Options{Arch: 80})
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]bool{}
	var written []int
	for i := range m.Launches {
		l := &m.Launches[i]
		if entries[l.Entry] || !strings.Contains(m.Text, ".entry "+l.Entry+"(") {
			t.Errorf("the entry %s is there twice, or not at all", l.Entry)
		}
		entries[l.Entry] = true
		for _, grid := range [][2]int{{0, 0}, {1, 1}, {3, 7}, {5000, 300}} {
			if l.Blocks(grid[0], grid[1]) < 1 {
				t.Errorf("%s has no block for a grid of %d x %d", l.Entry, grid[0], grid[1])
			}
		}
		for _, p := range l.Params {
			if p.Role == Sum {
				written = append(written, p.Index)
			}
		}
	}
	slices.Sort(written)
	scratch := slices.Sorted(slices.Values(m.ScratchSums))
	if !slices.Equal(slices.Compact(written), scratch) {
		t.Errorf("the launches have the sums %v, and %v are said to need memory", written, scratch)
	}
	for sum, s := range planOf(t, everything).Sums {
		n := m.PartialsLen(sum, 1000, 2048)
		switch {
		case s.Axis == kernels.Batch:
			if n != 4*2048 {
				t.Errorf("sum %d: %d partial sums", sum, n)
			}
		case s.Count && n != 0:
			t.Errorf("sum %d is counted and has %d partial sums", sum, n)
		case !s.Count && s.Kind == kernels.Scalar && n < 2:
			t.Errorf("sum %d: %d partial sums", sum, n)
		}
	}
}

// names is a kernel whose names are nearly the same in PTX, or mean something
// there.
var names = kernels.Must(kernels.Define("mov-u32_", func(k *kernels.Builder) {
	total := k.Const(0)
	for _, name := range []string{"add", "x-1", "x_1", "x", "in_x", "in-x", "tid", "lane", "s0", "rows", "control", "unit", "a_", "v3", "bra"} {
		total = k.Add(total, k.Input(name))
	}
	k.Output("done", total)
	k.Output("ret_0", k.Neg(total))
	k.Output("ret-0", k.Neg(k.Sum(total, kernels.All)))
}))

func TestNames(t *testing.T) {
	check(t, newCall[float32](names, 3, 50, full(names), 1), way{arch: 70}, way{arch: 100, blocks: 2})
	kinds := slices.Repeat([]kernels.Kind{kernels.Row, kernels.Scalar, kernels.Column}, 5)
	check(t, newCall[float64](names, 3, 50, kinds, 1), way{arch: 80, wide: true})
}
