//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"errorcell/backend"
	"errorcell/backend/cuda/emulator"
	"errorcell/kernels"
)

// TestRecording: a recording computes the same bits as the runs do, again and
// again, also after the scratch memory of its programs has grown.
func TestRecording(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	sums := load(t, d, randomCall(t, everySum, kernels.Shape{7, 130}))
	signs := load(t, d, randomCall(t, kernels.Laplacian, kernels.Shape{7, 130}))
	g, err := d.Record(runs(sums, signs, sums))
	must(t, err)
	got := make([]float32, len(sums.want[0]))
	must(t, backend.Download(sums.out[0], got))
	for _, x := range got {
		if x != 0 {
			t.Fatal("recording has computed")
		}
	}
	replay := func() {
		t.Helper()
		for range 8 {
			must(t, g.Run())
		}
		sums.check()
		signs.check()
		sums.reset()
		signs.reset()
	}
	replay()

	// Larger ones, whose scratch memory is new, and smaller ones.
	for _, shape := range []kernels.Shape{{60, 1030}, {1, 1}, {90, 700}} {
		for _, k := range []*kernels.Kernel{everySum, kernels.Laplacian} {
			j := load(t, d, randomCall(t, k, shape))
			must(t, j.run())
			must(t, g.Run())
			j.check()
			j.close()
		}
		replay()
	}

	// New numbers in the same buffers.
	other := randomCall(t, everySum, kernels.Shape{7, 130})
	for i, a := range other.inputs {
		for n := range a.Data {
			a.Data[n] = -a.Data[n] / 3
		}
		must(t, backend.Upload(sums.in[i], a.Data))
	}
	sums.call = newCall(t, everySum, other.inputs...)
	replay()

	t.Run("two at a time", func(t *testing.T) {
		h, err := d.Record(runs(sums))
		must(t, err)
		for range 3 {
			must(t, g.Run())
			must(t, h.Run())
		}
		sums.check()
		must(t, h.Close())
		replay()
	})
	t.Run("of nothing", func(t *testing.T) {
		h, err := d.Record(nil)
		must(t, err)
		must(t, h.Run())
		must(t, h.Close())
	})
	t.Run("that fails", func(t *testing.T) {
		wrong := runs(sums)
		wrong[0].Rows = 1
		if _, err := d.Record(wrong); !errors.Is(err, backend.ErrShape) {
			t.Errorf("Record of a wrong run gives %v", err)
		}
		other, _ := openOn(t, emulator.Config{}, 0)
		for _, program := range []backend.Program{nil, load(t, other, sums.call).program} {
			wrong := runs(sums)
			wrong[0].Program = program
			if _, err := d.Record(wrong); !errors.Is(err, backend.ErrForeign) {
				t.Errorf("Record of a program that is not the device's gives %v", err)
			}
		}
		must(t, sums.run())
		sums.check()
	})
	t.Run("closed buffer", func(t *testing.T) {
		j := load(t, d, randomCall(t, everySum, kernels.Shape{2, 3}))
		h, err := d.Record(runs(j))
		must(t, err)
		must(t, j.out[1].Close())
		if err := h.Run(); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("a run into a closed buffer gives %v", err)
		}
		for _, b := range append(j.in, j.out...) { // none is held
			if n := b.(*buffer).piece.users.Load(); n&^closed != 0 {
				t.Errorf("%d calls use a buffer", n)
			}
		}
		if _, err := d.Record(runs(j)); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("a recording of what is closed gives %v", err)
		}
		must(t, h.Close())
		replay()
	})
	t.Run("closed", func(t *testing.T) {
		must(t, g.Run())
		must(t, g.Close())
		must(t, g.Close())
		if err := g.Run(); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("a run of a closed recording gives %v", err)
		}
		sums.check()
		if n := len(d.graphs.open); n != 0 {
			t.Errorf("%d recordings are open", n)
		}
	})
}

// TestRecordBesideCopies: what another goroutine copies while a graph is captured
// does not become part of it.
func TestRecordBesideCopies(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	j := load(t, d, randomCall(t, kernels.Laplacian, kernels.Shape{3, 50}))
	const n = 500
	b := newFloats(t, d, n)
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		data, got := make([]float32, n), make([]float32, n)
		for i := float32(0); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			data[0], data[n-1] = i, -i
			if err := errors.Join(backend.Upload(b, data), backend.Download(b, got)); err != nil {
				t.Error(err)
				return
			}
			if got[0] != i || got[n-1] != -i {
				t.Errorf("written was %g, read %g and %g", i, got[0], got[n-1])
				return
			}
		}
	})
	for range 20 {
		j.reset()
		g, err := d.Record(slices.Repeat(runs(j), 200)) // long enough for a copy to come in between
		must(t, err)
		must(t, g.Run())
		j.check()
		must(t, g.Close())
	}
	close(stop)
	group.Wait()
}

// TestRecordBesideRuns: what another goroutine runs meanwhile is computed, and is
// no part of the graph.
func TestRecordBesideRuns(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	c := randomCall(t, kernels.Laplacian, kernels.Shape{3, 50})
	recorded, other := load(t, d, c), load(t, d, c)
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		zeros := make([]float32, len(other.want[0]))
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := errors.Join(backend.Upload(other.out[0], zeros), other.run(), other.compare()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var open []backend.Recording
	for range 20 {
		g, err := d.Record(slices.Repeat(runs(recorded), 200))
		must(t, err)
		open = append(open, g)
	}
	close(stop)
	group.Wait()
	other.reset()
	for _, g := range open {
		must(t, errors.Join(g.Run(), g.Close()))
	}
	recorded.check()
	if got := make([]float32, len(other.want[0])); backend.Download(other.out[0], got) != nil || slices.ContainsFunc(got, func(x float32) bool { return x != 0 }) {
		t.Error("a recording has computed what it is not of")
	}
}

// TestEverythingAtOnce: calls of all kinds from many goroutines, and then the
// device is closed.
func TestEverythingAtOnce(t *testing.T) {
	c := randomCall(t, everySum, kernels.Shape{3, 100})
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		d, _ := openOn(t, emulator.Config{}, 0)
		shared := load(t, d, c)
		g, err := d.Record(runs(shared))
		must(t, err)
		within(t, func() {
			var group sync.WaitGroup
			for i := range 8 {
				group.Go(func() {
					for {
						err := use(d, c, g, i)
						if errors.Is(err, backend.ErrClosed) && errors.Is(d.Sync(), backend.ErrClosed) {
							return
						}
						// Way 4 closes its buffers meanwhile.
						if err != nil && !errors.Is(err, backend.ErrClosed) {
							t.Error(err)
							return
						}
					}
				})
			}
			for range 30 {
				if _, err := d.Elapsed(g.Run); err != nil {
					t.Error(err)
				}
			}
			group.Go(func() {
				if err := d.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			group.Wait()
		})
	}
}

// use is one of the ways in which a goroutine may use a device.
func use(d *device, c *call, g backend.Recording, way int) error {
	j, err := tryLoad(d, c)
	if err != nil {
		return err
	}
	defer j.close()
	switch way {
	case 0:
		h, err := d.Record(runs(j))
		if err != nil {
			return err
		}
		return errors.Join(h.Run(), h.Close())
	case 1:
		_, err := d.Elapsed(j.run)
		return err
	case 2:
		return g.Run()
	case 3:
		return errors.Join(g.Run(), d.Sync())
	case 4:
		go j.close()
	}
	if err := j.run(); err != nil {
		return err
	}
	_, err = j.out[0].ReadAt(make([]byte, 12), 0)
	return err
}
