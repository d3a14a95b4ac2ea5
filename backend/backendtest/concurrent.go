// Many goroutines on one device, and Close in the midst of them.

package backendtest

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"errorcell/backend"
	"errorcell/kernels"
)

// patience is how long the work of a few milliseconds may take before the
// suite calls it a deadlock.
var patience = time.Minute

// within runs f in a goroutine (where it may call t.Error, not t.Fatal) and
// fails the test when it does not end.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		t.Fatalf("%s has not ended after %v: a deadlock?\n%s", what, patience, stacks)
	}
}

// task is a call with what is right.
type task struct {
	call[float32]
	want [][]float32
}

func tasks(t *testing.T) []task {
	var list []task
	for i, grid := range [][2]int{{5, 7}, {33, 130}, {129, 65}} {
		for _, k := range []*kernels.Kernel{kernels.Laplacian, everything} {
			c := newCall(k, grid[0], grid[1], full(k), ordinary[float32](50+i))
			list = append(list, task{c, c.reference(t)})
		}
	}
	return list
}

// do compiles and runs a task with outputs of its own. Operands that are nil
// are made, too.
func (k task) do(dev backend.Device, shared []backend.Buffer) error {
	j, err := tryLoad(dev, k.call)
	defer func() {
		for _, b := range append(j.inputs, j.outputs...) {
			if b != nil {
				b.Close()
			}
		}
	}()
	if err != nil {
		return err
	}
	inputs := j.inputs
	if shared != nil {
		inputs = shared
	}
	if err := j.program.Run(k.rows, k.cols, inputs, j.outputs); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	got, err := j.results()
	if err != nil {
		return err
	}
	for i := range got {
		if d := difference(got[i], k.want[i]); d != "" {
			return fmt.Errorf("%v: %s: %s", k, k.kernel.OutputName(i), d)
		}
	}
	return nil
}

// testConcurrent runs tasks from many goroutines: the operands are shared, the
// results each goroutine's own.
func testConcurrent(t *testing.T, open Opener) {
	const goroutines, rounds = 8, 6
	dev := openDevice(t, open)
	list := tasks(t)
	shared := make([][]backend.Buffer, len(list))
	for i, k := range list {
		shared[i] = load(t, dev, k.call).inputs
	}
	within(t, "concurrent work", func() {
		var group sync.WaitGroup
		for g := range goroutines {
			group.Go(func() {
				for round := range rounds {
					i := (g + round) % len(list)
					if err := list[i].do(dev, shared[i]); err != nil {
						t.Errorf("goroutine %d: %v", g, err)
						return
					}
				}
				if err := dev.Sync(); err != nil {
					t.Errorf("goroutine %d: Sync: %v", g, err)
				}
			})
		}
		group.Wait()
	})
}

// testConcurrentClose closes the device while goroutines work: each call gives
// the right result or an ErrClosed, and everything ends.
func testConcurrentClose(t *testing.T, open Opener) {
	const goroutines, closers = 6, 2
	list := tasks(t)
	for round := range 6 {
		dev, err := open()
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		within(t, "work while the device is closed", func() {
			var group sync.WaitGroup
			for g := range goroutines {
				group.Go(func() {
					for i := g; ; i++ {
						err := list[i%len(list)].do(dev, nil)
						if errors.Is(err, backend.ErrClosed) {
							return
						}
						if err != nil {
							t.Errorf("goroutine %d: %v", g, err)
							return
						}
					}
				})
			}
			time.Sleep(time.Duration(round) * 3 * time.Millisecond)
			for range closers {
				group.Go(func() {
					if err := dev.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			}
			group.Wait()
		})
	}
}
