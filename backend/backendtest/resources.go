// What a device leaves behind, and what a run takes.

package backendtest

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"errorcell/backend"
	"errorcell/kernels"
)

// testGoroutines finds goroutines that outlive their device.
func testGoroutines(t *testing.T, open Opener) {
	before := goleak.IgnoreCurrent()
	for _, use := range []struct {
		name string
		of   func(backend.Device)
	}{
		{"unused", func(backend.Device) {}},
		{"used", func(dev backend.Device) {
			check(t, dev, newCall(everything, 64, 300, full(everything), ordinary[float32](60)))
		}},
		{"misused", func(dev backend.Device) {
			j := load(t, dev, newCall(everything, 64, 300, full(everything), ordinary[float32](60)))
			if j.program.Run(64, 300, nil, j.outputs) == nil {
				t.Error("a run without operands gives no error")
			}
		}},
	} {
		t.Run(use.name, func(t *testing.T) {
			dev, err := open()
			if err != nil {
				t.Fatalf("open: %v", err)
			}
			use.of(dev)
			if err := dev.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if err := goleak.Find(before); err != nil {
				t.Errorf("goroutines are left after Close: %v", err)
			}
		})
	}
}

// testAllocations counts allocations of runs once they are warm, in grids that
// one thread and that many work on.
func testAllocations[T kernels.Float](t *testing.T, dev backend.Device) {
	if raceEnabled {
		t.Skip("the race detector allocates: run without -race")
	}
	for _, k := range append(kernels.Catalogue(), everything, batchNorm, truths) {
		for _, grid := range [][2]int{{1, 1}, {3, 5}, {33, 37}, {48, 700}} {
			if grid[0] > 100 && len(k.Nodes()) > 60 {
				continue // for long, and nothing is allocated by the operation
			}
			t.Run(fmt.Sprintf("%s %d x %d", k.Name(), grid[0], grid[1]), func(t *testing.T) {
				j := load(t, dev, newCall(k, grid[0], grid[1], full(k), ordinary[T](61)))
				defer j.close(t)
				var err error
				once := func() {
					if e := j.start(); e != nil {
						err = e
					}
					if e := dev.Sync(); e != nil {
						err = e
					}
				}
				once()
				allocations := testing.AllocsPerRun(20, once)
				if err != nil {
					t.Fatal(err)
				}
				if allocations != 0 {
					t.Errorf("a run allocates %v times, want 0", allocations)
				}
			})
		}
	}
}
