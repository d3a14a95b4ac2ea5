//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"testing"

	"errorcell/backend/cuda/driver"
	"errorcell/backend/cuda/driver/emulated"
	"errorcell/backend/cuda/emulator"
	"errorcell/kernels"
)

// idle is a GPU whose kernels do nothing, so that what is left of a launch is
// what the calls cost.
type idle struct{ driver.GPU }

func (g idle) Load(ptx string) (driver.Module, error) {
	m, err := g.GPU.Load(ptx)
	return idleModule{m}, err
}

type idleModule struct{ driver.Module }

func (m idleModule) Function(name string) (driver.Function, error) {
	f, err := m.Module.Function(name)
	return idleFunction{f}, err
}

type idleFunction struct{ driver.Function }

func (idleFunction) Launch(grid, block [3]uint32, shared uint32, params [][]byte) error { return nil }

// launches is a run of the Laplacian cell on an idle GPU, by the device's own
// Run, as a recording, and as the bare launch through the driver.
type launches struct {
	dev                *device
	run, replay, plain func() error
	lent, plainLent    func() error // of add
}

func newLaunches(t testing.TB) launches {
	gpu, err := emulator.New(emulator.Config{})
	must(t, err)
	dev, err := driver.Emulate(idle{emulated.New(gpu)})
	must(t, err)
	d, err := newDevice("cuda:emulated", dev, 0, &emulation{gpu, dev})
	must(t, err)
	j := load(t, d, randomCall(t, kernels.Laplacian, kernels.Shape{32, 32}))
	g, err := d.Record(runs(j))
	must(t, err)
	must(t, j.run())
	lent, err := newLent(d, 1024)
	must(t, err)
	must(t, lent.run())
	must(t, d.enter()) // for the plain launch, and so no Close before leave
	t.Cleanup(func() {
		d.leave()
		must(t, d.Close())
	})
	l := &j.program.narrow.launches[0]
	add := &lent.program.(*program).narrow.launches[0]
	return launches{d, j.run, g.Run, func() error { return l.call.Run(d.stream) }, lent.run, func() error { return add.call.Run(d.stream) }}
}

// TestOverhead: what Run adds to the launch allocates nothing. How long it takes is
// BenchmarkOverhead's.
func TestOverhead(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates and is slow: run without -race")
	}
	l := newLaunches(t)
	const times = 2000
	for what, f := range map[string][2]func() error{"Run": {l.run, l.plain}, "Run in memory that is borrowed first": {l.lent, l.plainLent}} {
		ours, plain := allocations(t, l, times, f[0]), allocations(t, l, times, f[1])
		if ours != plain {
			t.Errorf("%s allocates %g times, the launch alone %g times", what, ours, plain)
		}
	}
}

func allocations(t *testing.T, l launches, times int, f func() error) float64 {
	n := testing.AllocsPerRun(times, func() { must(t, f()) })
	must(t, l.dev.stream.Synchronize())
	return n
}

// BenchmarkOverhead: the GPU is idle, so the time is that of the host.
func BenchmarkOverhead(b *testing.B) {
	l := newLaunches(b)
	for _, c := range []struct {
		name string
		f    func() error
	}{{"plain launch", l.plain}, {"Run", l.run}, {"recording", l.replay}, {"borrowed", l.lent}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				must(b, c.f())
				if i%1024 == 1023 { // the stream keeps what it was given until then
					b.StopTimer()
					must(b, l.dev.stream.Synchronize())
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkEmulated is a step of the Laplacian cell with a million elements, as
// the emulated GPU executes it: a figure for those who wait for it, and none of
// any GPU.
func BenchmarkEmulated(b *testing.B) {
	d, _ := openOn(b, emulator.Config{}, 0)
	j := load(b, d, randomCall(b, kernels.Laplacian, kernels.Shape{1024, 1024}))
	for b.Loop() {
		must(b, j.run())
		must(b, d.Sync())
	}
}
