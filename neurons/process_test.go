package neurons_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/neurons"
)

// pair is a context with two Gaussian cells in a cycle: b predicts what a's
// error is, and a predicts b's, plus a target of its own.
type pair struct {
	context *neurons.Context
	a, b    *neurons.GaussianErrorCell
	process *neurons.Process
}

func newPair(t testing.TB, units int, opts ...neurons.Option) *pair {
	t.Helper()
	p := &pair{context: newContext(t, opts...)}
	var err error
	p.a, err = neurons.NewGaussianErrorCell("a", units, neurons.In(p.context), neurons.WithSigma(4.0))
	must(t, err)
	p.b, err = neurons.NewGaussianErrorCell("b", units, neurons.In(p.context))
	must(t, err)
	must(t, neurons.Connect(p.a.DerivMean(), p.b.Target(), neurons.Overwrite))
	must(t, neurons.Connect(neurons.Negation(p.b.DerivMean()), p.a.Mean(), neurons.Additive))
	p.process, err = p.context.NewProcess("advance", []string{"a.advance_state", "b.advance_state"})
	must(t, err)
	return p
}

func TestContextErrors(t *testing.T) {
	_, err := neurons.NewContext("a b")
	wantError(t, err, neurons.ErrArgument, `a b: the name "a b": at least one letter`)
	_, err = neurons.NewContext("x", neurons.WithBatchSize(2))
	wantError(t, err, neurons.ErrArgument, "x: a context has no option WithBatchSize")
	_, err = neurons.NewContext("x", neurons.WithDType(kernels.F64))
	wantError(t, err, neurons.ErrArgument, "x: a context has no option WithDType")
	_, err = neurons.NewContext("x", neurons.OnDevice("abacus"))
	wantError(t, err, backend.ErrUnknownDevice, `x: device "abacus"`)
	p := newPair(t, 3, neurons.OnDevice("cpu:generic,threads=1"))
	_, err = neurons.NewContext("x", neurons.In(p.context))
	wantError(t, err, neurons.ErrArgument, "x: a context cannot be in another")
	_, err = neurons.NewGaussianErrorCell("a", 3, neurons.In(p.context))
	wantError(t, err, neurons.ErrArgument, "a: context circuit has a component of that name already")
	_, err = neurons.NewGaussianErrorCell("c.d", 3, neurons.In(p.context))
	wantError(t, err, neurons.ErrArgument, `c.d: in context circuit: the name "c.d"`)
	_, err = neurons.NewGaussianErrorCell("c", 3, neurons.In(nil))
	wantError(t, err, neurons.ErrArgument, "c: In(nil)")
	_, err = neurons.NewGaussianErrorCell("c", 3, neurons.In(p.context), neurons.OnDevice("cpu"))
	wantError(t, err, neurons.ErrArgument, "c: it is in context circuit and computes on the context's device")
	for path, text := range map[string]string{
		"a":    `circuit: "a": a component, a dot and a compartment are wanted`,
		"c.mu": `circuit: there is no component "c"; there are: a, b`,
		"a.nu": `a: there is no compartment "nu"; there are: L, mu`,
	} {
		_, err := p.context.Compartment(path)
		if err == nil || !strings.HasPrefix(err.Error(), text) {
			t.Errorf("Compartment(%q): %v, not: %s", path, err, text)
		}
		if err := p.context.Connect(path, "a.mu"); err == nil || !strings.HasPrefix(err.Error(), text) {
			t.Errorf("Connect(%q, ...): %v, not: %s", path, err, text)
		}
		if err := p.context.Connect("a.mu", path); err == nil || !strings.HasPrefix(err.Error(), text) {
			t.Errorf("Connect(..., %q): %v, not: %s", path, err, text)
		}
	}
	for _, c := range []struct {
		name    string
		methods []string
		is      error
		text    string
	}{
		{"", []string{"a.reset"}, neurons.ErrArgument, `circuit: the name ""`},
		{"advance", []string{"a.reset"}, neurons.ErrArgument, "circuit.advance: there is a process of that name already"},
		{"p", nil, neurons.ErrArgument, "circuit.p: a process of no methods"},
		{"p", []string{"a"}, neurons.ErrArgument, `circuit: "a": a component, a dot and a method are wanted`},
		{"p", []string{"z.reset"}, neurons.ErrComponent, `circuit: there is no component "z"; there are: a, b`},
		{"p", []string{"a.reset", "a.evolve"}, neurons.ErrMethod, `a: there is no method "evolve"; there are: advance_state, reset`},
	} {
		_, err := p.context.NewProcess(c.name, c.methods)
		wantError(t, err, c.is, c.text)
	}
	must(t, p.b.Close())
	wantError(t, p.process.Step(0, 1), neurons.ErrClosed, "b: closed")
	if got := p.context.Components(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after closing b, the components are %v", got)
	}
	must(t, p.context.Close())
	must(t, p.context.Close())
	wantError(t, p.process.Step(0, 1), neurons.ErrClosed, "advance: the process is closed")
	wantError(t, p.process.Run(t.Context(), 1, 1), neurons.ErrClosed, "advance: the process is closed")
	wantError(t, p.context.Reset(), neurons.ErrClosed, "circuit: the context is closed")
	wantError(t, p.context.SetBatchSize(2), neurons.ErrClosed, "circuit: the context is closed")
	wantError(t, p.context.VerifyConnections(), neurons.ErrClosed, "circuit: the context is closed")
	wantError(t, p.a.AdvanceState(0, 1), neurons.ErrClosed, "a: closed")
	wantError(t, (*neurons.Context)(nil).Reset(), neurons.ErrClosed, "the context is closed")
	wantError(t, (*neurons.Process)(nil).Step(0, 1), neurons.ErrClosed, "the process is closed")
	_, err = neurons.NewGaussianErrorCell("c", 3, neurons.In(p.context))
	wantError(t, err, neurons.ErrClosed, "c: ")
}

// TestCloseInAContext: the memory of a component goes back when it is closed, and
// what it has delivered stays.
func TestCloseInAContext(t *testing.T) {
	dev := &remote{Device: open(t, "cpu:generic,threads=1")}
	p := newPair(t, 3, neurons.On(dev))
	must(t, p.a.Target().SetFloat32s(count(6)))
	must(t, p.process.Run(t.Context(), 3, 1))
	before, err := p.b.Target().Float32s()
	must(t, err)
	must(t, p.a.Close())
	wantValue(t, p.b.Target(), []int{2, 3}, before...)
	must(t, p.b.Close())
	if dev.buffers != 2 { // zeros and ones, which are the context's
		t.Errorf("%d buffers are open", dev.buffers)
	}
}

// TestWiredOrSet: what a wire overwrites is not set by hand.
func TestWiredOrSet(t *testing.T) {
	p := newPair(t, 2)
	const text = "b.target: the wire from a.dmu would overwrite it before it is used: set that, or Disconnect b.target first"
	target := p.b.Target()
	for _, err := range []error{
		target.Set(1.0), target.Set(nil), target.Clear(), target.SetFloat32s([]float32{1, 2}), target.SetFloat64s([]float64{1, 2}),
		target.SetScalar(1), target.SetTensor(nil), target.Resize(1, 2), p.b.Clamp("target", 1.0),
	} {
		wantError(t, err, neurons.ErrWired, text)
	}
	must(t, p.a.Mean().SetFloat32s([]float32{1, 2})) // where wires add, the value is what they add to
	must(t, p.a.Target().SetFloat32s([]float32{9, 10}))
	must(t, p.process.Step(0, 1))
	wantValue(t, target, []int{1, 2}, 2, 2)

	// It is the source's array, but not its memory.
	view, ok := target.View()
	if !ok {
		t.Fatal("no view on a CPU")
	}
	view[0] = 7
	wantValue(t, p.a.DerivMean(), []int{1, 2}, 2, 2)
	wantValue(t, target, []int{1, 2}, 7, 2)
	must(t, p.a.DerivMean().SetFloat32s([]float32{5, 5}))
	wantValue(t, target, []int{1, 2}, 7, 2)
	must(t, p.b.Gather())
	wantValue(t, target, []int{1, 2}, 5, 5)
	must(t, p.a.DerivMean().SetFloat32s([]float32{6, 6}))
	wantValue(t, target, []int{1, 2}, 5, 5) // delivered is delivered

	must(t, neurons.Disconnect(target))
	must(t, neurons.Connect(neurons.Summation(target, p.a.DerivMean()), target, neurons.Overwrite))
	must(t, target.SetFloat32s([]float32{1, 2})) // which the wire goes on from
	must(t, p.b.Gather())
	wantValue(t, target, []int{1, 2}, 7, 8)

	must(t, neurons.Disconnect(target))
	must(t, target.SetFloat32s([]float32{1, 1}))
	must(t, p.process.Step(0, 1))
	wantValue(t, target, []int{1, 2}, 1, 1)
	wantError(t, p.context.VerifyConnections(), neurons.ErrUnconnected, "a.target: no wire arrives")
}

// TestResetInAProcess: it resets, which ngcsimlib's does not.
func TestResetInAProcess(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		p := newPair(t, 2, neurons.On(dev))
		must(t, p.a.Target().SetFloat32s([]float32{9, 10}))
		must(t, p.process.Run(t.Context(), 5, 1))
		reset, err := p.context.NewProcess("reset", []string{"b.reset", "a.reset"})
		must(t, err)
		must(t, reset.Step(0, 1))
		for _, c := range []*neurons.Compartment{p.a.Mean(), p.a.Target(), p.a.DerivMean(), p.a.DerivTarget(), p.b.Target()} {
			wantValue(t, c, []int{1, 2}, 0, 0)
		}
		wantValue(t, p.a.Mask(), []int{1, 2}, 1, 1)
		wantValue(t, p.a.Loss(), []int{}, 0)
	})
}

// TestBatchSizeBetweenRuns changes the batch of a circuit that has run.
func TestBatchSizeBetweenRuns(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		p := newPair(t, 3, neurons.On(dev))
		run := func(p *pair, batch int) []float32 {
			must(t, p.a.Target().SetFloat32s(count(3*batch)))
			must(t, p.process.Run(t.Context(), 4, 1))
			x, err := p.b.DerivMean().Float32s()
			must(t, err)
			return x
		}
		for _, batch := range []int{1, 7, 2, 128, 1} {
			must(t, p.context.SetBatchSize(batch))
			fresh := newPair(t, 3, neurons.On(dev))
			must(t, fresh.context.SetBatchSize(batch))
			if got, want := run(p, batch), run(fresh, batch); !slices.Equal(got, want) {
				t.Errorf("a batch of %d after others: %v, not %v", batch, clip(got), clip(want))
			}
			if p.a.BatchSize() != batch {
				t.Errorf("batch size %d, not %d", p.a.BatchSize(), batch)
			}
		}
		wantError(t, p.context.SetBatchSize(0), neurons.ErrArgument, "a: batch_size is 0, at least 1 is wanted")
		wantError(t, p.context.SetBatchSize(math.MaxInt/2), backend.ErrMemory, "a: a batch of 4611686018427387903 patterns of n_units = 3 is larger")
	})
}

// TestBatchSizeThatSuitsOnlySome changes nothing.
func TestBatchSizeThatSuitsOnlySome(t *testing.T) {
	x := newContext(t)
	small, err := neurons.NewGaussianErrorCell("small", 1, neurons.In(x))
	must(t, err)
	_, err = neurons.NewGaussianErrorCell("large", 100, neurons.In(x))
	must(t, err)
	wantError(t, x.SetBatchSize(math.MaxInt/80), backend.ErrMemory, "large: a batch of")
	if small.BatchSize() != 1 {
		t.Errorf("the batch size of the other is %d", small.BatchSize())
	}
}

// TestBatchSizeOfAProcessThatResets: what the reset leaves has the new size.
func TestBatchSizeOfAProcessThatResets(t *testing.T) {
	for _, fusing := range []bool{false, true} {
		x := newContext(t)
		e, err := neurons.NewGaussianErrorCell("e", 3, neurons.In(x), neurons.WithSigma([]float32{1, 2, 3}))
		must(t, err)
		z, err := neurons.NewRateCell("z", 3, 10, neurons.In(x), neurons.WithActivation("tanh"))
		must(t, err)
		p, err := x.NewProcess("anew", []string{"e.reset", "e.advance_state", "z.reset", "z.advance_state"}, neurons.Fusing(fusing))
		must(t, err)
		must(t, p.Run(t.Context(), 3, 1))
		for _, size := range []struct {
			batch int
			set   func(int) error
		}{{4, x.SetBatchSize}, {2, e.SetBatchSize}} {
			must(t, size.set(size.batch))
			must(t, p.Run(t.Context(), 3, 1))
			wantValue(t, e.DerivMean(), []int{size.batch, 3}, make([]float32, 3*size.batch)...)
			wantValue(t, z.Rate(), []int{4, 3}, make([]float32, 12)...)
		}
	}
}

// TestRun: callbacks, progress, time, errors and cancellation.
func TestRun(t *testing.T) {
	p := newPair(t, 2)
	must(t, p.a.Target().SetFloat32s([]float32{9, 10}))
	wantError(t, p.process.Run(t.Context(), -1, 1), neurons.ErrArgument, "circuit.advance: a run of -1 steps")
	wantError(t, p.process.Run(t.Context(), 1, 1, nil), neurons.ErrArgument, "circuit.advance: an option is nil")
	var none context.Context
	wantError(t, p.process.Run(none, 1, 1), neurons.ErrArgument, "circuit.advance: the context.Context is nil")
	must(t, p.process.Run(t.Context(), 0, 1, neurons.EachStep(nil), neurons.OnProgress(nil)))
	must(t, p.process.Run(t.Context(), 1, 1, neurons.EachStep(nil), neurons.OnProgress(nil)))

	var steps []int
	stop := errors.New("enough")
	err := p.process.Run(t.Context(), 10, 1, neurons.EachStep(func(step int) error {
		steps = append(steps, step)
		if step == 3 {
			return stop
		}
		return nil
	}))
	wantError(t, err, stop, "circuit.advance: after 4 of 10 steps: enough")
	if !slices.Equal(steps, []int{0, 1, 2, 3}) {
		t.Errorf("the callback was called for %v", steps)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	err = p.process.Run(ctx, math.MaxInt, 1, neurons.EachStep(func(step int) error {
		if step == 4 {
			cancel(stop)
		}
		return nil
	}))
	wantError(t, err, stop, "circuit.advance: after 5 of ")

	closing := newPair(t, 2)
	err = closing.process.Run(t.Context(), 10, 1, neurons.EachStep(func(step int) error {
		if step == 2 {
			return closing.context.Close()
		}
		return nil
	}))
	wantError(t, err, neurons.ErrClosed, "circuit.advance: after 3 of 10 steps: advance: the process is closed")

	last := [2]int{}
	must(t, p.process.Run(t.Context(), 3, 1, neurons.OnProgress(func(done, of int) { last = [2]int{done, of} }),
		neurons.EachStep(func(step int) error {
			if step == 1 {
				time.Sleep(110 * time.Millisecond)
			} else if step == 2 && last != [2]int{2, 3} {
				t.Errorf("progress is %v", last)
			}
			return nil
		})))
	if last != [2]int{3, 3} {
		t.Errorf("at the end, progress is %v", last)
	}

	must(t, p.a.Target().SetFloat32s(count(6), 3, 2))
	must(t, p.b.Mean().SetFloat32s(count(4), 2, 2))
	before := state(t, p.b)
	err = p.process.Run(t.Context(), 3, 1)
	wantError(t, err, neurons.ErrShape, "circuit.advance: after 0 of 3 steps: b: ")
	for name, value := range state(t, p.b) {
		if value != before[name] {
			t.Errorf("a step that failed changed %s", name)
		}
	}
}

// TestRecorder keeps what a callback reads, on every device.
func TestRecorder(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		for _, dtype := range []kernels.DType{kernels.F32, kernels.F64} {
			x := newContext(t, neurons.On(dev))
			r, err := neurons.NewRewardErrorCell("r", 3, 0.5, neurons.In(x), neurons.WithBatchSize(2), neurons.WithDType(dtype))
			must(t, err)
			must(t, r.Reward().SetFloat32s(count(6)))
			process, err := x.NewProcess("advance", []string{"r.advance_state"})
			must(t, err)
			for _, every := range []int{1, 3} {
				comps := []*neurons.Compartment{r.Mean(), r.EpisodeSteps(), r.Reward()}
				rec, err := neurons.NewRecorder(every, comps...)
				must(t, err)
				_, err = rec.Tensor(r.Mean())
				wantError(t, err, neurons.ErrAbsent, "r.mu: nothing was recorded of it")
				for range 2 { // the second run begins anew
					want := map[*neurons.Compartment][]float64{}
					must(t, process.Run(t.Context(), 10, 1, neurons.RecordTo(rec), neurons.EachStep(func(step int) error {
						if step%every == 0 {
							for _, c := range comps {
								now, err := c.Float64s()
								must(t, err)
								want[c] = append(want[c], now...)
							}
						}
						return nil
					})))
					for _, c := range comps {
						got, err := rec.Tensor(c)
						must(t, err)
						if shape := append([]int{len(rec.Steps())}, c.Shape()...); !slices.Equal(got.Shape(), shape) {
							t.Errorf("%v has shape %v, not %v", c, got.Shape(), shape)
						}
						var all []float64
						if dtype == kernels.F64 {
							all = got.Float64s()
						} else {
							for _, v := range got.Float32s() {
								all = append(all, float64(v))
							}
						}
						if !slices.Equal(all, want[c]) {
							t.Errorf("every %d. step of %v: %v, not %v", every, c, all, want[c])
						}
					}
				}
				if every == 3 && !slices.Equal(rec.Steps(), []int{0, 3, 6, 9}) {
					t.Errorf("steps %v were recorded", rec.Steps())
				}
			}
		}
	})
}

func TestRecorderErrors(t *testing.T) {
	p := newPair(t, 2)
	_, err := neurons.NewRecorder(0, p.a.Mean())
	wantError(t, err, neurons.ErrArgument, "a recorder of every 0 steps")
	_, err = neurons.NewRecorder(1)
	wantError(t, err, neurons.ErrArgument, "a recorder of no compartments")
	_, err = neurons.NewRecorder(1, nil)
	wantError(t, err, neurons.ErrArgument, "belongs to no component")
	rec, err := neurons.NewRecorder(1, p.a.Mean())
	must(t, err)
	_, err = rec.Tensor(p.b.Mean())
	wantError(t, err, neurons.ErrCompartment, "the recorder does not record b.mu")
	_, err = rec.Tensor(nil)
	wantError(t, err, neurons.ErrCompartment, "the recorder does not record <no compartment>")
	for _, none := range []*neurons.Recorder{nil, {}} {
		wantError(t, p.process.Run(t.Context(), 1, 1, neurons.RecordTo(none)), neurons.ErrArgument, "circuit.advance: a nil recorder")
	}
	wantError(t, p.process.Run(t.Context(), math.MaxInt, 1, neurons.RecordTo(rec)), backend.ErrMemory, "a.mu: 9223372036854775807 values of shape (1, 2)")
	every2, err := neurons.NewRecorder(2, p.a.Mean())
	must(t, err)
	wantError(t, p.process.Run(t.Context(), math.MaxInt, 1, neurons.RecordTo(every2)), backend.ErrMemory, "a.mu: 4611686018427387904 values of shape (1, 2)")
	within := neurons.EachStep(func(step int) error {
		if step > 0 {
			return nil
		}
		return p.process.Run(t.Context(), 1, 1, neurons.RecordTo(rec))
	})
	wantError(t, p.process.Run(t.Context(), 3, 1, neurons.RecordTo(rec), within), neurons.ErrArgument, "after 2 of 3 steps: a recorder of two runs at once")
	must(t, p.process.Run(t.Context(), 3, 1, neurons.RecordTo(rec), neurons.RecordTo(rec)))
	if n := len(rec.Steps()); n != 3 {
		t.Errorf("a recorder that was given twice has %d steps of 3", n)
	}
	must(t, p.a.Target().SetFloat32s(count(4)))
	err = p.process.Run(t.Context(), 3, 1, neurons.RecordTo(rec), neurons.EachStep(func(step int) error {
		if step == 1 {
			return p.a.Mean().SetFloat32s(count(8))
		}
		return nil
	}))
	if err == nil {
		t.Error("a recorder takes values of different shapes")
	}
}

// TestProcessAllocatesNothing, whatever it runs, once shapes repeat.
func TestProcessAllocatesNothing(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		for _, opts := range [][]neurons.ProcessOption{{neurons.Fusing(true)}, {neurons.Fusing(false)}} {
			p := newPair(t, 100, neurons.On(dev))
			process, err := p.context.NewProcess("again", p.process.Methods(), opts...)
			must(t, err)
			must(t, p.a.Target().SetFloat32s(count(800)))
			must(t, process.Run(t.Context(), 4, 1))
			r, err := neurons.NewRewardErrorCell("r", 100, 0.5, neurons.In(p.context))
			must(t, err)
			anew, err := p.context.NewProcess("anew", []string{"a.reset", "b.reset", "r.reset", "a.advance_state", "b.advance_state", "r.advance_state"}, opts...)
			must(t, err)
			must(t, anew.Run(t.Context(), 4, 1))
			for _, process := range []*neurons.Process{process, anew} {
				must(t, process.Run(t.Context(), 4, 1))
				if n := testing.AllocsPerRun(20, func() { must(t, process.Step(0, 1)) }); n != 0 {
					t.Errorf("a step of %v allocates %v times", process.Methods(), n)
				}
			}
			must(t, r.Reset())
		}
	})
}

// recording is a device that can record, made of one that cannot.
type recording struct {
	backend.Device
	replays int // how often a recording was run
	open    int
}

func (d *recording) Record(runs []backend.Run) (backend.Recording, error) {
	d.open++
	return &played{d, slices.Clone(runs)}, nil
}

type played struct {
	dev  *recording
	runs []backend.Run
}

func (p *played) Run() error {
	p.dev.replays++
	for _, r := range p.runs {
		if err := r.Program.Run(r.Rows, r.Cols, r.Inputs, r.Outputs); err != nil {
			return err
		}
	}
	return nil
}

func (p *played) Close() error { p.dev.open--; return nil }

// counted is a device that counts the runs.
type counted struct {
	backend.Device
	runs int
}

type countedProgram struct {
	backend.Program
	dev *counted
}

func (d *counted) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	p, err := d.Device.Compile(k, sig)
	return countedProgram{p, d}, err
}

func (p countedProgram) Run(rows, cols int, in, out []backend.Buffer) error {
	p.dev.runs++
	return p.Program.Run(rows, cols, in, out)
}

// TestFusingJoins: a step of a rate cell with two error cells, which have numbers
// for some operands, is three runs, and one when they are joined.
func TestFusingJoins(t *testing.T) {
	for fusing, want := range map[bool]int{false: 3, true: 1} {
		dev := &counted{Device: open(t, "cpu:generic,threads=1")}
		x := newContext(t, neurons.On(dev))
		opts := []neurons.Option{neurons.In(x), neurons.WithBatchSize(2)}
		_, err := neurons.NewRateCell("z", 3, 10, append(opts, neurons.WithActivation("tanh"))...)
		must(t, err)
		e0, err := neurons.NewGaussianErrorCell("e0", 3, append(opts, neurons.WithSigma(2.0))...)
		must(t, err)
		e1, err := neurons.NewScaledLaplacianErrorCell("e1", 3, opts...)
		must(t, err)
		for _, wire := range [][2]string{{"z.zF", "e0.mu"}, {"e0.dmu", "z.j"}, {"z.zF", "e1.target"}, {"e1.dtarget", "z.j_td"}} {
			must(t, x.Connect(wire[0], wire[1]))
		}
		must(t, e0.Target().SetFloat32s(count(6)))
		must(t, e1.Shift().SetFloat32s(count(6)))
		p, err := x.NewProcess("advance", []string{"z.advance_state", "e0.advance_state", "e1.advance_state"}, neurons.Fusing(fusing))
		must(t, err)
		must(t, p.Run(t.Context(), 5, 1))
		dev.runs = 0
		must(t, p.Run(t.Context(), 7, 1))
		if dev.runs != 7*want {
			t.Errorf("fusing is %v: 7 steps are %d runs, not %d", fusing, dev.runs, 7*want)
		}
	}
}

// kernelCounter is a device that counts the kernels that it has met.
type kernelCounter struct {
	backend.Device
	met map[*kernels.Kernel]bool
}

func (d *kernelCounter) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	d.met[k] = true
	return d.Device.Compile(k, sig)
}

// TestKernelsOfCircuits: circuits that are made anew on one device, and wired anew,
// have the same kernels, each of which the device remembers.
func TestKernelsOfCircuits(t *testing.T) {
	dev := &kernelCounter{open(t, "cpu:generic,threads=1"), map[*kernels.Kernel]bool{}}
	first := 0
	for i := range 4 {
		p := newPair(t, 3, neurons.On(dev))
		fused, err := p.context.NewProcess("fused", p.process.Methods(), neurons.Fusing(true))
		must(t, err)
		must(t, p.a.Target().SetFloat32s(count(6)))
		for range 2 {
			must(t, p.process.Run(t.Context(), 2, 1))
			must(t, fused.Run(t.Context(), 2, 1))
			must(t, neurons.Disconnect(p.a.Mean()))
			must(t, neurons.Connect(neurons.Negation(p.b.DerivMean()), p.a.Mean(), neurons.Additive))
		}
		if i == 0 {
			first = len(dev.met)
		} else if len(dev.met) != first {
			t.Errorf("circuit %d: the device has met %d kernels, not %d", i, len(dev.met), first)
		}
	}
}

// TestReplay: a device that can record replays every step but the first few, to
// the same bits, and loses no recording.
func TestReplay(t *testing.T) {
	dev := &recording{Device: open(t, "cpu:generic,threads=1")}
	plain := open(t, "cpu:generic,threads=1")
	run := func(dev backend.Device) (*pair, string) {
		p := newPair(t, 3, neurons.On(dev))
		process, err := p.context.NewProcess("again", p.process.Methods(), neurons.Fusing(false))
		must(t, err)
		must(t, p.a.Target().SetFloat32s(count(6)))
		must(t, process.Run(t.Context(), 20, 1))
		return p, (&circuit{cells: []member{p.a, p.b}}).state(t)
	}
	_, want := run(plain)
	p, got := run(dev)
	if got != want {
		t.Errorf("replayed: %s", difference(got, want))
	}
	if dev.replays < 12 || dev.open < 1 {
		t.Errorf("%d of 20 steps were replays, of %d recordings", dev.replays, dev.open)
	}
	must(t, p.context.Close())
	if dev.open != 0 {
		t.Errorf("%d recordings are open after Close", dev.open)
	}
}

// TestFailuresOfFused: after a device has failed to compile a joined kernel for
// operands of another kind, the next step works.
func TestFailuresOfFused(t *testing.T) {
	dev := &remote{Device: open(t, "cpu:generic,threads=1")}
	p := newPair(t, 3, neurons.On(dev))
	process, err := p.context.NewProcess("fused", p.process.Methods(), neurons.Fusing(true))
	must(t, err)
	must(t, p.a.Target().SetFloat32s(count(6)))
	must(t, process.Step(0, 1))
	must(t, p.a.Modulator().SetFloat32s(count(6)))
	for call := 1; ; call++ {
		before := (&circuit{cells: []member{p.a, p.b}}).state(t)
		dev.failAt = call
		err := process.Step(0, 1)
		dev.failAt = 0
		if err == nil {
			if call == 1 {
				t.Error("the device has not failed")
			}
			break
		}
		wantError(t, err, errRemote, "")
		if got := (&circuit{cells: []member{p.a, p.b}}).state(t); got != before {
			t.Errorf("call %d: a step that failed changed something: %s", call, difference(got, before))
		}
		must(t, process.Step(0, 1))
		must(t, p.a.Modulator().SetFloat32s(count(3*(call%2+1)))) // of another kind again
	}
}
