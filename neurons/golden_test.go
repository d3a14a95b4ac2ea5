package neurons_test

import (
	"path/filepath"
	"testing"

	"errorcell/backend"
	"errorcell/internal/numpy"
	"errorcell/kernels"
	"errorcell/neurons"
)

// TestGoldens runs the cell on what ngc-learn's own cell of April 2024 was given
// and compares to the bit with what it computed.
func TestGoldens(t *testing.T) {
	paths, err := filepath.Glob("../testdata/laplacian2024/*.npz")
	must(t, err)
	if len(paths) != 35 {
		t.Fatalf("%d golden files, there should be 35", len(paths))
	}
	for _, path := range paths {
		arrays := readGolden(t, path)
		t.Run(filepath.Base(path), func(t *testing.T) {
			onEveryCPU(t, func(t *testing.T, dev backend.Device) {
				cell := newCell(t, "e0", 3, neurons.On(dev))
				for _, name := range []string{"target", "mu", "modulator"} {
					if a := arrays[name]; a != nil {
						comp, err := cell.Compartment(name)
						must(t, err)
						must(t, comp.SetFloat32s(a.Data, a.Shape...))
					}
				}
				must(t, cell.AdvanceState(0, 1))
				for _, name := range []string{"dmu", "dtarget", "L"} {
					comp, err := cell.Compartment(name)
					must(t, err)
					wantValue(t, comp, arrays[name].Shape, arrays[name].Data...)
				}
				if cell.Modulator().IsSet() {
					t.Error("the modulator was not consumed")
				}
			})
		})
	}
}

func readGolden(t *testing.T, path string) map[string]*numpy.Array {
	t.Helper()
	archive, err := numpy.OpenArchive(path)
	must(t, err)
	defer archive.Close()
	arrays := map[string]*numpy.Array{}
	for _, name := range archive.Names() {
		a, err := archive.Read(name)
		must(t, err)
		if a.Shape == nil {
			a.Shape = kernels.Shape{} // a nil shape would be that of a batch
		}
		arrays[name] = a
	}
	return arrays
}
