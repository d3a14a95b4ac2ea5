// Circuits: contexts, wires and processes.

package neurons_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/neurons"
)

// member is what all cells can do.
type member interface {
	Name() string
	Compartments() []*neurons.Compartment
	Compartment(name string) (*neurons.Compartment, error)
	Methods() []string
	VerifyConnections() error
	Gather() error
	AdvanceState(t, dt float64) error
	Reset() error
	Close() error
}

// circuit is a random circuit, made the same for the same seed.
type circuit struct {
	context *neurons.Context
	cells   []member
	process *neurons.Process
	calls   []string
	source  *rand.Rand
	wired   map[*neurons.Compartment]bool
	batch   int
	units   int
	dtypes  []kernels.DType // which the cells have in turn
}

func newContext(t testing.TB, opts ...neurons.Option) *neurons.Context {
	t.Helper()
	x, err := neurons.NewContext("circuit", opts...)
	must(t, err)
	t.Cleanup(func() { must(t, x.Close()) })
	return x
}

func randomCircuit(t testing.TB, seed uint64, dev backend.Device, opts ...neurons.ProcessOption) *circuit {
	t.Helper()
	return randomCircuitIn(t, seed, dev, []kernels.DType{kernels.F32}, opts...)
}

func randomCircuitIn(t testing.TB, seed uint64, dev backend.Device, dtypes []kernels.DType, opts ...neurons.ProcessOption) *circuit {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	c := &circuit{source: r, context: newContext(t, neurons.On(dev)), wired: map[*neurons.Compartment]bool{},
		batch: 1 + r.IntN(4), units: 1 + r.IntN(40), dtypes: dtypes}
	for i := range 2 + r.IntN(3) {
		c.add(t, fmt.Sprintf("c%d", i), r.IntN(len(makers)))
	}
	for range r.IntN(2 * len(c.cells)) {
		src, dst := neurons.Source(c.any()), c.any()
		switch r.IntN(5) {
		case 0:
			src = neurons.Summation(src, c.any(), c.any())
		case 1:
			src = neurons.Negation(src)
		case 2:
			src = neurons.Product(c.any(), neurons.Negation(src))
		}
		rule := neurons.Rule(r.IntN(2))
		must(t, neurons.Connect(src, dst, rule))
		if rule == neurons.Overwrite {
			c.wired[dst] = true
		}
	}
	for range 1 + r.IntN(6) {
		cell := c.cells[r.IntN(len(c.cells))]
		method := "advance_state"
		if r.IntN(8) == 0 {
			methods := cell.Methods()
			method = methods[r.IntN(len(methods))]
		}
		c.calls = append(c.calls, cell.Name()+"."+method)
	}
	var err error
	c.process, err = c.context.NewProcess("run", c.calls, opts...)
	must(t, err)
	return c
}

// makers make cells of each kind, with options that a number chooses.
var makers = []func(name string, units, choice int, opts ...neurons.Option) (member, error){
	func(name string, units, choice int, opts ...neurons.Option) (member, error) {
		return neurons.NewLaplacianErrorCell(name, units, append(opts, neurons.WithLoss(neurons.Loss(choice%2)))...)
	},
	func(name string, units, choice int, opts ...neurons.Option) (member, error) {
		return neurons.NewScaledLaplacianErrorCell(name, units, append(opts, errorOptions(choice)...)...)
	},
	func(name string, units, choice int, opts ...neurons.Option) (member, error) {
		return neurons.NewGaussianErrorCell(name, units, append(opts, errorOptions(choice)...)...)
	},
	func(name string, units, choice int, opts ...neurons.Option) (member, error) {
		if choice&1 != 0 {
			opts = append(opts, neurons.WithGatedLoss())
		}
		if choice == 2 {
			opts = append(opts, neurons.WithTrueDerivative())
		}
		return neurons.NewBernoulliErrorCell(name, units, append(opts, neurons.WithLogits(choice == 3))...)
	},
	func(name string, units, choice int, opts ...neurons.Option) (member, error) {
		return neurons.NewRewardErrorCell(name, units, 0.25, append(opts, neurons.WithOnlinePredictor(choice%2 == 0))...)
	},
	func(name string, units, choice int, opts ...neurons.Option) (member, error) {
		opts = append(opts, neurons.WithActivation([]string{"identity", "tanh", "relu", "silu"}[choice]),
			neurons.WithPrior("laplacian", 0.5*float64(choice%2)), neurons.WithResistScale(float64(1+choice/3)))
		return neurons.NewRateCell(name, units, float64(10*(choice/2)), opts...)
	},
}

func errorOptions(choice int) (opts []neurons.Option) {
	if choice&1 != 0 {
		opts = append(opts, neurons.WithGatedLoss())
	}
	if choice&2 != 0 {
		opts = append(opts, neurons.WithScaleDerivative())
	}
	return opts
}

func (c *circuit) add(t testing.TB, name string, kind int) {
	opts := []neurons.Option{neurons.In(c.context), neurons.WithDType(c.dtypes[len(c.cells)%len(c.dtypes)])}
	if kind != 0 {
		opts = append(opts, neurons.WithBatchSize(c.batch))
	}
	cell, err := makers[kind](name, c.units, c.source.IntN(4), opts...)
	must(t, err)
	c.cells = append(c.cells, cell)
}

func (c *circuit) any() *neurons.Compartment {
	all := c.cells[c.source.IntN(len(c.cells))].Compartments()
	return all[c.source.IntN(len(all))]
}

// disturb sets and clears some compartments by hand.
func (c *circuit) disturb(t testing.TB) {
	for range c.source.IntN(4) {
		comp := c.any()
		shapes := []kernels.Shape{{c.batch, c.units}, {c.batch, c.units}, {1, c.units}, {c.batch, 1}, {}, {1, 1}}
		shape := shapes[c.source.IntN(len(shapes))]
		data := make([]float32, shape.Len())
		for i := range data {
			data[i] = float32(c.source.IntN(7)-3) / 2
			if c.source.IntN(60) == 0 {
				data[i] = []float32{inf, -inf, nan, negZero}[c.source.IntN(4)]
			}
		}
		clears := c.source.IntN(8) == 0
		if c.wired[comp] {
			continue
		}
		if clears {
			must(t, comp.Clear())
		} else {
			must(t, comp.SetFloat32s(data, shape...))
		}
	}
}

// byHand does what the process does, call by call.
func (c *circuit) byHand() error {
	for _, call := range c.calls {
		name, method, _ := strings.Cut(call, ".")
		cell := c.cells[slices.IndexFunc(c.cells, func(m member) bool { return m.Name() == name })]
		if err := cell.Gather(); err != nil {
			return err
		}
		var err error
		switch method {
		case "advance_state":
			err = cell.AdvanceState(0, 1)
		case "evolve":
			err = cell.(*neurons.RewardErrorCell).Evolve(0, 1)
		case "reset":
			err = cell.Reset()
		default:
			panic(method)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// state is all that the circuit holds.
func (c *circuit) state(t testing.TB) string {
	t.Helper()
	var s strings.Builder
	for _, cell := range c.cells {
		for _, comp := range cell.Compartments() {
			fmt.Fprintf(&s, "%v ", comp)
			if !comp.IsSet() {
				s.WriteString("absent\n")
				continue
			}
			x, err := comp.Float64s()
			must(t, err)
			fmt.Fprintf(&s, "%v %x\n", comp.Shape(), x)
		}
	}
	return s.String()
}

// change does to a circuit what a program may do between two steps.
func (c *circuit) change(t testing.TB, path string) {
	switch c.source.IntN(6) {
	case 0:
		c.batch = 1 + c.source.IntN(5)
		must(t, c.context.SetBatchSize(c.batch))
	case 1:
		dst := c.any()
		must(t, neurons.Disconnect(dst))
		delete(c.wired, dst)
	case 2:
		src, dst := neurons.Source(c.any()), c.any()
		if c.source.IntN(2) == 0 {
			src = neurons.Summation(src, c.any(), dst)
		}
		rule := neurons.Rule(c.source.IntN(2))
		must(t, neurons.Connect(src, dst, rule))
		c.wired[dst] = c.wired[dst] || rule == neurons.Overwrite
	case 3:
		must(t, c.context.Save(path))
	case 4:
		if err := c.context.Load(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			wantError(t, err, neurons.ErrState, "circuit: ") // of another batch
		}
	case 5:
		if comp := c.any(); !c.wired[comp] && comp.IsSet() {
			comp.View()
			must(t, comp.Resize(comp.Shape()...))
		}
	}
}

// TestProcessThroughChanges: a process gives the bits of its calls also when
// batches, wires and values change between the steps, and no memory is lost.
func TestProcessThroughChanges(t *testing.T) {
	circuits := uint64(60)
	if testing.Short() {
		circuits = 20
	}
	steps := 0
	for seed := range circuits {
		dtypes := []kernels.DType{kernels.F32, kernels.F32 + kernels.DType(seed%2)}
		folder := t.TempDir()
		var devices []*remote
		start := func(opts ...neurons.ProcessOption) *circuit {
			devices = append(devices, &remote{Device: open(t, "cpu:generic,threads=1")})
			return randomCircuitIn(t, seed, devices[len(devices)-1], dtypes, opts...)
		}
		hand, fused, apart := start(), start(neurons.Fusing(true)), start(neurons.Fusing(false))
		for step := range 30 {
			for name, c := range map[string]*circuit{"hand": hand, "fused": fused, "apart": apart} {
				if step%3 == 0 {
					c.disturb(t)
					c.change(t, filepath.Join(folder, name))
				}
			}
			before := fused.state(t)
			err, errFused, errApart := hand.byHand(), fused.process.Step(0, 1), apart.process.Step(0, 1)
			if err != nil {
				for _, c := range []*circuit{fused, apart} {
					if now := c.state(t); now != before {
						t.Fatalf("seed %d, step %d, %v: a step that failed, %v, changed something: %s", seed, step, hand.calls, err, difference(now, before))
					}
				}
				break // what was called by hand before the failure has changed something
			}
			must(t, errFused)
			must(t, errApart)
			steps++
			want := hand.state(t)
			for name, c := range map[string]*circuit{"fused": fused, "unfused": apart} {
				if got := c.state(t); got != want {
					t.Fatalf("seed %d, step %d, %v: %s differs from by hand: %s", seed, step, hand.calls, name, difference(got, want))
				}
			}
		}
		for i, c := range []*circuit{hand, fused, apart} {
			must(t, c.context.Close())
			if n := devices[i].buffers; n != 0 {
				t.Errorf("seed %d: %d buffers are open", seed, n)
			}
		}
	}
	t.Logf("%d steps", steps)
	if steps < 5*int(circuits) {
		t.Errorf("only %d steps worked", steps)
	}
}

// TestContextsShareADevice: in a goroutine each, to the same bits.
func TestContextsShareADevice(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		if _, ok := dev.(*remote); ok {
			t.Skip("the remote device of these tests counts its copies without a lock, so goroutines cannot share it; the CPU devices and cuda:emulated are shared")
		}
		folder := t.TempDir()
		states := make([]string, 4)
		var group sync.WaitGroup
		for i := range states {
			group.Go(func() {
				c := randomCircuit(t, 7, dev, neurons.Fusing(i%2 == 0))
				rec, err := neurons.NewRecorder(1, c.any())
				if err == nil {
					err = c.process.Run(t.Context(), 50, 1, neurons.RecordTo(rec))
				}
				path := filepath.Join(folder, fmt.Sprint(i))
				if err == nil {
					err = errors.Join(c.context.Save(path), c.context.Load(path), c.context.SetBatchSize(3), c.process.Run(t.Context(), 50, 1))
				}
				if err != nil {
					t.Error(err)
					return
				}
				states[i] = c.state(t)
			})
		}
		group.Wait()
		for _, s := range states {
			if s != states[0] || s == "" {
				t.Errorf("contexts side by side differ: %s", difference(s, states[0]))
			}
		}
	})
}

// TestStepWithoutMemory: a step that finds no memory changes nothing, neither one
// that is like the one before, which computes in place.
func TestStepWithoutMemory(t *testing.T) {
	failed := 0
	for seed := range uint64(40) {
		for room := 1; ; room++ {
			dev := &remote{Device: open(t, "cpu:generic,threads=1")}
			c := randomCircuit(t, seed, dev, neurons.Fusing(seed%2 == 0))
			c.disturb(t)
			other, err := neurons.NewGaussianErrorCell("other", 1, neurons.In(c.context))
			must(t, err)
			must(t, other.Target().SetFloat32s(count(1000)))
			if c.process.Run(t.Context(), 4, 1) != nil {
				break // what was drawn does not fit
			}
			must(t, other.Target().SetFloat32s(count(1001))) // what waits goes back
			before := c.state(t)
			dev.room = room
			err = c.process.Step(0, 1)
			dev.room = 0
			if err == nil {
				break
			}
			failed++
			wantError(t, err, errRemote, "")
			if now := c.state(t); now != before {
				t.Fatalf("seed %d, %v: a step without memory has changed something: %s", seed, c.calls, difference(now, before))
			}
			must(t, c.process.Run(t.Context(), 3, 1))
			got := c.state(t)
			must(t, c.context.Close())
			if dev.buffers != 0 {
				t.Errorf("seed %d: %d buffers are open", seed, dev.buffers)
			}
			same := randomCircuit(t, seed, &remote{Device: open(t, "cpu:generic,threads=1")})
			same.disturb(t)
			must(t, same.process.Run(t.Context(), 7, 1))
			if want := same.state(t); got != want {
				t.Fatalf("seed %d, %v: steps after one without memory: %s", seed, c.calls, difference(got, want))
			}
		}
	}
	if failed < 40 {
		t.Errorf("only %d steps failed", failed)
	}
}

// TestStepWithLittleMemory: after a step that found no memory, the next needs no more
// than it would have.
func TestStepWithLittleMemory(t *testing.T) {
	dev := &remote{Device: open(t, "cpu:generic,threads=1")}
	x := newContext(t, neurons.On(dev))
	r, err := neurons.NewRewardErrorCell("r", 3, 0.5, neurons.In(x))
	must(t, err)
	p, err := x.NewProcess("p", []string{"r.advance_state"})
	must(t, err)
	must(t, r.Reward().SetFloat32s(count(3)))
	must(t, p.Run(t.Context(), 4, 1))
	for _, n := range []int{6, 3} { // what waits goes back
		must(t, r.Reward().SetFloat32s(count(n)))
	}
	before := dev.buffers
	dev.room = 1
	wantError(t, p.Step(0, 1), backend.ErrMemory, "r.")
	dev.room = 4
	must(t, p.Step(0, 1))
	if n := dev.buffers - before; n > 3 {
		t.Errorf("a step in place takes %d buffers", n)
	}
}

// difference is the first line in which two states differ.
func difference(got, want string) string {
	w := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if line != w[i] {
			return fmt.Sprintf("\n%.400s\nnot\n%.400s", line, w[i])
		}
	}
	return "none"
}

// TestProcessIsItsCalls: on circuits drawn at random, a process gives the bits of
// its calls one by one, fused and unfused, and a step that fails changes nothing.
func TestProcessIsItsCalls(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		circuits := uint64(150)
		if testing.Short() || strings.HasPrefix(dev.Name(), "cuda") {
			circuits = 15
		}
		failed, steps := 0, 0
		for seed := range circuits {
			hand, fused := randomCircuit(t, seed, dev), randomCircuit(t, seed, dev, neurons.Fusing(true))
			apart := randomCircuit(t, seed, dev, neurons.Fusing(false))
			for step := range 9 {
				// Most steps are like the one before: those are not tried out first, and
				// a GPU replays them.
				for _, c := range []*circuit{hand, fused, apart} {
					if step%4 == 0 {
						c.disturb(t)
					}
				}
				before := fused.state(t)
				err, errFused, errApart := hand.byHand(), fused.process.Step(0, 1), apart.process.Step(0, 1)
				if err != nil {
					failed++
					if errFused == nil || errApart == nil || errFused.Error() != err.Error() || errApart.Error() != err.Error() {
						t.Fatalf("seed %d, step %d, %v: errors differ: by hand %v, fused %v, unfused %v", seed, step, hand.calls, err, errFused, errApart)
					}
					for _, c := range []*circuit{fused, apart} {
						if c.state(t) != before {
							t.Fatalf("seed %d, step %d, %v: a step that failed, %v, changed something: %s", seed, step, hand.calls, err, difference(c.state(t), before))
						}
					}
					break
				}
				must(t, errFused)
				must(t, errApart)
				steps++
				want := hand.state(t)
				for name, c := range map[string]*circuit{"fused": fused, "unfused": apart} {
					if got := c.state(t); got != want {
						t.Fatalf("seed %d, step %d, %v: %s differs from by hand: %s", seed, step, hand.calls, name, difference(got, want))
					}
				}
			}
			for _, c := range []*circuit{hand, fused, apart} {
				must(t, c.context.Close())
			}
		}
		t.Logf("%d steps, %d that failed", steps, failed)
		if steps < 2*int(circuits) {
			t.Errorf("only %d steps of %d circuits worked", steps, circuits)
		}
	})
}
