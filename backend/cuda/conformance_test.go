//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/backend/backendtest"
	"errorcell/backend/cuda/emulator"
	"errorcell/internal/numpy"
	"errorcell/kernels"
)

// TestConformance runs the suite on the emulated GPU, or on the devices that
// ERRORCELL_TEST_DEVICES names, such as "cuda:0 cuda:1".
func TestConformance(t *testing.T) {
	for _, spec := range strings.Fields(cmp.Or(os.Getenv("ERRORCELL_TEST_DEVICES"), emulatedSpec)) {
		except := backendtest.Quick()
		if strings.HasPrefix(spec, emulatedSpec) {
			except = append(except, backendtest.Exception{
				Topic: "Allocations", Reason: "the emulated GPU allocates: TestOverhead counts what this package does"})
		}
		t.Run(spec, func(t *testing.T) {
			backendtest.Run(t, func() (backend.Device, error) { return backend.Open(spec) }, except...)
		})
	}
}

const emulatedSpec = "cuda:emulated"

// TestGoldens computes what ngc-learn's own cell of April 2024 was given, and
// compares to the bit, on the architectures that are lowered differently.
func TestGoldens(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/laplacian2024/*.npz")
	must(t, err)
	if len(paths) != 35 {
		t.Fatalf("%d golden files, there should be 35", len(paths))
	}
	for _, arch := range []string{"sm_70", "sm_80", "sm_90", "sm_100"} {
		t.Run(arch, func(t *testing.T) {
			dev, _ := openOn(t, emulator.Config{Arch: arch}, 0)
			for _, path := range paths {
				t.Run(filepath.Base(path), func(t *testing.T) { testGolden(t, dev, path) })
			}
		})
	}
}

func testGolden(t *testing.T, dev *device, path string) {
	archive, err := numpy.OpenArchive(path)
	must(t, err)
	defer archive.Close()
	read := func(name string) *kernels.Array[float32] {
		if !slices.Contains(archive.Names(), name) {
			return nil
		}
		a, err := archive.Read(name)
		must(t, err)
		return &kernels.Array[float32]{Shape: append(kernels.Shape{}, a.Shape...), Data: a.Data}
	}
	c := newCall(t, kernels.Laplacian, read("target"), read("mu"), read("modulator"))
	for i := range c.want {
		want := read(kernels.Laplacian.OutputName(i))
		if !slices.Equal(want.Shape, c.Outputs[i]) {
			t.Errorf("%s has shape %v, want %v", kernels.Laplacian.OutputName(i), c.Outputs[i], want.Shape)
		}
		c.want[i] = want.Data
	}
	j := load(t, dev, c)
	defer j.close()
	must(t, j.run())
	j.check()
}

// TestGrids computes with any number of blocks: the bits stay those of the
// reference.
func TestGrids(t *testing.T) {
	shape := kernels.Shape{150, 1030}
	if testing.Short() {
		shape = kernels.Shape{40, 1030}
	}
	for _, k := range []*kernels.Kernel{kernels.Laplacian, everySum} {
		c := randomCall(t, k, shape)
		for _, blocks := range []int{1, 2, 3, 1000} {
			t.Run(fmt.Sprintf("%s in %d blocks", k.Name(), blocks), func(t *testing.T) {
				dev, _ := openOn(t, emulator.Config{}, 0)
				j := load(t, dev, c)
				for i := range j.program.narrow.launches {
					j.program.narrow.launches[i].most = blocks
				}
				must(t, j.run())
				j.check()
			})
		}
	}
	t.Run("more of them later", func(t *testing.T) { // than the scratch memory was made for
		dev, _ := openOn(t, emulator.Config{SMs: 1}, 0)
		for _, rows := range []int{1, 40, 3, 90} {
			j := load(t, dev, randomCall(t, everySum, kernels.Shape{rows, 300}))
			must(t, j.run())
			j.check()
		}
	})
}
