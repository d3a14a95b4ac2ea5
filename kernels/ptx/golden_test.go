// The text itself, for people to read: testdata/*.ptx.

package ptx

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"errorcell/kernels"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldens are few, so that people read them: the cell with and without an
// operand to broadcast, on what differs among architectures; and one of each
// other sort of sum.
var goldens = []struct {
	kernel *kernels.Kernel
	dtype  kernels.DType
	kinds  []kernels.Kind
	archs  []int
	wide   bool
}{
	{kernels.Laplacian, kernels.F32, []kernels.Kind{kernels.Full, kernels.Full, kernels.Absent}, []int{70, 80, 100}, false},
	{kernels.Laplacian, kernels.F32, []kernels.Kind{kernels.Full, kernels.Full, kernels.Full}, []int{80}, false},
	{kernels.Laplacian, kernels.F32, []kernels.Kind{kernels.Full, kernels.Full, kernels.Row}, []int{70, 80, 100}, false},
	{kernels.Laplacian, kernels.F32, []kernels.Kind{kernels.Full, kernels.Full, kernels.Absent}, []int{80}, true},
	{kernels.Laplacian, kernels.F64, []kernels.Kind{kernels.Full, kernels.Full, kernels.Absent}, []int{70, 80, 100}, false},
	{kernels.Laplacian, kernels.F64, []kernels.Kind{kernels.Full, kernels.Row, kernels.Column}, []int{80}, false},
	{kernels.LaplacianL1, kernels.F32, []kernels.Kind{kernels.Full, kernels.Full, kernels.Absent}, []int{80}, false},
	{kernels.LaplacianScaled, kernels.F32, []kernels.Kind{kernels.Full, kernels.Full, kernels.Absent, kernels.Absent, kernels.Row}, []int{80}, false},
	{kernels.Must(kernels.Define("batch-mean", func(k *kernels.Builder) {
		x := k.Input("x")
		n := k.Sum(k.Select(k.Equal(x, x), k.Const(1), k.Const(1)), kernels.Batch)
		k.Output("mean", k.Div(k.Sum(x, kernels.Batch), n))
	})), kernels.F32, []kernels.Kind{kernels.Full}, []int{80}, false},
	{less, kernels.F32, []kernels.Kind{kernels.Full, kernels.Full}, []int{80, 100}, false},
}

// TestGolden compares with the files; go test -run Golden -update writes them.
func TestGolden(t *testing.T) {
	var names []string
	for _, g := range goldens {
		sig := kernels.Signature{DType: g.dtype}
		copy(sig.Kinds[:], g.kinds)
		plan, err := g.kernel.Specialize(sig)
		if err != nil {
			t.Fatal(err)
		}
		for _, sm := range g.archs {
			m, err := Lower(plan, Options{Arch: sm, Wide: g.wide})
			if err != nil {
				t.Fatal(err)
			}
			name := goldenName(plan, g.kinds, sm, g.wide)
			names = append(names, name)
			compareFile(t, filepath.Join("testdata", name), m.Text)
		}
	}
	files, err := filepath.Glob("testdata/*.ptx")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(names, filepath.Base(file)) {
			t.Errorf("%s is no golden file any more", file)
		}
	}
}

func goldenName(plan *kernels.Plan, kinds []kernels.Kind, sm int, wide bool) string {
	parts := []string{plan.Kernel.Name(), plan.Signature.DType.String()}
	for _, kind := range kinds {
		parts = append(parts, kind.String())
	}
	if wide {
		parts = append(parts, "wide")
	}
	a, _ := archOf(sm)
	return strings.Join(parts, "-") + "-" + a.target() + ".ptx"
}

func compareFile(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: go test ./kernels/ptx -run Golden -update writes it", err)
	}
	if string(want) == text {
		return
	}
	got, old := strings.Split(text, "\n"), strings.Split(string(want), "\n")
	for i := range got {
		if i >= len(old) || got[i] != old[i] {
			t.Errorf("%s differs from line %d on: %q; if that is meant, go test ./kernels/ptx -run Golden -update", path, i+1, got[i])
			return
		}
	}
	t.Errorf("%s is longer than what is lowered", path)
}
