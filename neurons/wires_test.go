package neurons_test

import (
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/neurons"
)

func TestVerifyConnections(t *testing.T) {
	cell, other := newCell(t, "e0", 2), newCell(t, "e1", 2)
	must(t, cell.Mean().SetScalar(1)) // a value is no wire
	must(t, cell.Target().SetScalar(1))
	wantError(t, cell.VerifyConnections(), neurons.ErrUnconnected, "e0.mu: no wire arrives, at least 1 is wanted")
	must(t, neurons.Connect(other.DerivMean(), cell.Mean(), neurons.Overwrite))
	wantError(t, cell.VerifyConnections(), neurons.ErrUnconnected, "e0.target: no wire arrives")
	must(t, neurons.Connect(other.DerivMean(), cell.Modulator(), neurons.Overwrite)) // is no substitute
	wantError(t, cell.VerifyConnections(), neurons.ErrUnconnected, "e0.target: ")
	must(t, neurons.Connect(other.DerivTarget(), cell.Target(), neurons.Additive))
	must(t, cell.VerifyConnections())
	must(t, neurons.Connect(other.DerivTarget(), cell.Target(), neurons.Overwrite)) // there may be more
	must(t, cell.VerifyConnections())
	wantError(t, other.VerifyConnections(), neurons.ErrUnconnected, "e1.mu: ") // an outgoing wire does not count
}

func TestGatherOverwrites(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		src, dst := newCell(t, "src", 2, neurons.On(dev)), newCell(t, "dst", 2, neurons.On(dev))
		must(t, neurons.Connect(src.DerivMean(), dst.Mean(), neurons.Overwrite))
		for _, shape := range [][]int{{1, 2}, {3, 2}, {3, 2}, {6}, {}, {0, 2}, {2, 3, 1}} {
			x := count(kernels.Shape(shape).Len())
			must(t, src.DerivMean().SetFloat32s(x, shape...))
			must(t, dst.Gather())
			wantValue(t, dst.Mean(), shape, x...)
			must(t, src.DerivMean().SetScalar(9)) // the value was copied
			wantValue(t, dst.Mean(), shape, x...)
		}
	})
}

func TestGatherAdds(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		a, b := newCell(t, "a", 2, neurons.On(dev)), newCell(t, "b", 2, neurons.On(dev))
		dst := newCell(t, "dst", 2, neurons.On(dev))
		must(t, neurons.Connect(a.Target(), dst.Mean(), neurons.Additive))
		must(t, neurons.Connect(b.Target(), dst.Mean(), neurons.Additive))
		must(t, a.Target().SetFloat32s([]float32{1, 2, 3, 4}))
		must(t, b.Target().SetFloat32s([]float32{10, 20}, 2, 1))
		must(t, dst.Gather())
		wantValue(t, dst.Mean(), []int{2, 2}, 11, 12, 23, 24) // broadcast to (1, 2) + (2, 2) + (2, 1)
		must(t, dst.Gather())
		wantValue(t, dst.Mean(), []int{2, 2}, 22, 24, 46, 48) // it goes on from there

		must(t, a.Target().SetFloat32s(count(6)))
		wantError(t, dst.Gather(), neurons.ErrShape, "dst.mu: wire from a.target: compartment (2, 2) and value (3, 2) do not broadcast")
		wantValue(t, dst.Mean(), []int{2, 2}, 22, 24, 46, 48)
	})
}

// TestGatherInOrder: wires deliver in the order in which they were connected,
// whatever compartment they arrive at.
func TestGatherInOrder(t *testing.T) {
	a, b := newCell(t, "a", 1), newCell(t, "b", 1)
	dst := newCell(t, "dst", 1)
	must(t, a.Mean().SetScalar(1))
	must(t, b.Mean().SetScalar(10))
	must(t, neurons.Connect(a.Mean(), dst.Mean(), neurons.Overwrite))
	must(t, neurons.Connect(b.Mean(), dst.Mean(), neurons.Additive))
	must(t, neurons.Connect(dst.Mean(), dst.Target(), neurons.Overwrite)) // what has just arrived
	for range 2 {                                                         // the first wire starts afresh
		must(t, dst.Gather())
		wantValue(t, dst.Mean(), []int{}, 11)
		wantValue(t, dst.Target(), []int{}, 11)
	}
	must(t, neurons.Connect(b.Mean(), dst.Mean(), neurons.Overwrite))
	must(t, dst.Gather())
	wantValue(t, dst.Mean(), []int{}, 10)
}

func TestWireToItself(t *testing.T) {
	cell := newCell(t, "e0", 2)
	must(t, cell.Mean().SetFloat32s([]float32{1, 2}))
	must(t, neurons.Connect(cell.Mean(), cell.Mean(), neurons.Overwrite))
	must(t, cell.Gather())
	wantValue(t, cell.Mean(), []int{1, 2}, 1, 2)
	must(t, neurons.Connect(cell.Mean(), cell.Mean(), neurons.Additive))
	must(t, cell.Gather())
	wantValue(t, cell.Mean(), []int{1, 2}, 2, 4)
}

func TestAbsentValuesOnWires(t *testing.T) {
	src, dst := newCell(t, "src", 2), newCell(t, "dst", 2)
	must(t, neurons.Connect(src.Loss(), dst.Mean(), neurons.Overwrite))
	wantError(t, dst.Gather(), neurons.ErrAbsent, "dst.mu: wire from src.L: it holds no value")
	wantValue(t, dst.Mean(), []int{1, 2}, 0, 0)

	dst = newCell(t, "dst", 2)
	must(t, neurons.Connect(src.Mean(), dst.Modulator(), neurons.Additive))
	wantError(t, dst.Gather(), neurons.ErrAbsent, "dst.modulator: wire from src.mu: dst.modulator: it holds no value")

	dst = newCell(t, "dst", 2)
	must(t, neurons.Connect(src.Mean(), dst.Mean(), neurons.Overwrite))
	must(t, src.Close())
	wantError(t, dst.Gather(), neurons.ErrClosed, "dst.mu: wire from src.mu: closed")
}

func TestConnectErrors(t *testing.T) {
	src, dst := newCell(t, "src", 2), newCell(t, "dst", 2)
	wantError(t, neurons.Connect(src.Mean(), dst.Mean(), neurons.Rule(9)), neurons.ErrArgument, "dst.mu: there is no rule Rule(9)")
	wantError(t, neurons.Connect(src.Mean(), dst.Mean(), neurons.Append), neurons.ErrArgument, "dst.mu: the rule append cannot work")
	wantError(t, neurons.Connect(neurons.Product(), dst.Mean(), neurons.Overwrite), neurons.ErrArgument, "Product of no sources")
	wantError(t, neurons.Connect(neurons.Negation(nil), dst.Mean(), neurons.Overwrite), neurons.ErrArgument, "Negation has a nil source")
	doubled := neurons.Source(src.Mean())
	for range 100 {
		doubled = neurons.Summation(doubled, doubled)
	}
	wantError(t, neurons.Connect(doubled, dst.Mean(), neurons.Overwrite), neurons.ErrArgument, "Summation of more than 4096 compartments")
	if neurons.Connect(nil, dst.Mean(), neurons.Overwrite) == nil || neurons.Connect(src.Mean(), nil, neurons.Overwrite) == nil {
		t.Error("a wire from or to nothing")
	}
	wantError(t, dst.VerifyConnections(), neurons.ErrUnconnected, "dst.mu") // nothing was connected
	if neurons.Overwrite.String() != "overwrite" || neurons.Additive.String() != "additive" {
		t.Error("names of rules")
	}
}

// TestWiresBetweenDevices carries values between devices, element types and
// both, with memory that the host can reach and without.
func TestWiresBetweenDevices(t *testing.T) {
	near, other := open(t, "cpu:generic,threads=1"), open(t, "cpu:generic,threads=2")
	far := &remote{Device: open(t, "cpu:generic,threads=1")}
	for _, from := range []backend.Device{near, far} {
		for _, to := range []backend.Device{near, other, far} {
			for _, types := range [][2]kernels.DType{{kernels.F32, kernels.F32}, {kernels.F32, kernels.F64}, {kernels.F64, kernels.F32}} {
				src := newCell(t, "src", 2, neurons.On(from), neurons.WithDType(types[0]))
				dst := newCell(t, "dst", 2, neurons.On(to), neurons.WithDType(types[1]))
				must(t, neurons.Connect(src.Target(), dst.Target(), neurons.Overwrite))
				must(t, neurons.Connect(src.Target(), dst.Mean(), neurons.Additive))
				must(t, src.Target().SetFloat32s(count(4)))
				for step := range 3 {
					must(t, dst.Gather())
					wantValue(t, dst.Target(), []int{2, 2}, count(4)...)
					n := float32(step + 1)
					wantValue(t, dst.Mean(), []int{2, 2}, 0, n, 2*n, 3*n)
				}
				must(t, src.Target().Clear())
				wantError(t, dst.Gather(), neurons.ErrAbsent, "dst.target: wire from src.target")
				must(t, dst.Close())
				must(t, src.Close())
			}
		}
	}
	if far.buffers != 0 {
		t.Errorf("%d buffers are still open", far.buffers)
	}
}

// TestDisconnectGivesMemoryBack: what a wire has carried from another device goes
// with it; what it has delivered stays.
func TestDisconnectGivesMemoryBack(t *testing.T) {
	dev := &remote{Device: open(t, "cpu:generic,threads=1")}
	dst := newCell(t, "dst", 2, neurons.On(dev))
	src := newCell(t, "src", 2)
	must(t, src.Target().SetFloat32s(count(4)))
	buffers := 0
	for i := range 3 {
		must(t, neurons.Connect(src.Target(), dst.Mean(), neurons.Overwrite))
		must(t, neurons.Connect(src.Target(), dst.Mean(), neurons.Additive))
		must(t, dst.Gather())
		must(t, neurons.Disconnect(dst.Mean()))
		wantValue(t, dst.Mean(), []int{2, 2}, 0, 2, 4, 6)
		if i == 0 {
			buffers = dev.buffers
		}
	}
	if dev.buffers != buffers {
		t.Errorf("%d buffers are open, and were after the first time %d", dev.buffers, buffers)
	}
}

// TestWiresBetweenDevicesAllocateNothing, once shapes repeat.
func TestWiresBetweenDevicesAllocateNothing(t *testing.T) {
	src := newCell(t, "src", 2, neurons.OnDevice("cpu:generic,threads=1"))
	dst := newCell(t, "dst", 2, neurons.OnDevice("cpu:generic,threads=1"))
	must(t, neurons.Connect(src.Target(), dst.Target(), neurons.Overwrite))
	must(t, neurons.Connect(src.Target(), dst.Mean(), neurons.Additive))
	must(t, src.Target().SetFloat32s(count(4)))
	for range 4 {
		must(t, dst.Gather())
	}
	if n := testing.AllocsPerRun(20, func() { must(t, dst.Gather()) }); n != 0 {
		t.Errorf("to gather allocates %v times", n)
	}
}

// TestCircuit wires two layers as a predictive-coding circuit does: an error
// cell sends its derivative up as the next one's target.
func TestCircuit(t *testing.T) {
	dev := open(t, "cpu:generic,threads=1")
	e0, e1 := newCell(t, "e0", 2, neurons.On(dev)), newCell(t, "e1", 2, neurons.On(dev))
	must(t, neurons.Connect(e0.DerivMean(), e1.Target(), neurons.Overwrite))
	must(t, neurons.Connect(e0.DerivTarget(), e1.Mean(), neurons.Overwrite))
	must(t, e1.VerifyConnections())
	must(t, e0.Target().SetFloat32s([]float32{1, 2, 3, 4}))
	must(t, e0.Mean().SetFloat32s([]float32{2, 2}))
	for step := range 3 {
		for _, cell := range []*neurons.LaplacianErrorCell{e0, e1} {
			must(t, cell.Gather())
			must(t, cell.AdvanceState(float64(step), 1))
		}
		wantValue(t, e0.DerivMean(), []int{2, 2}, -1, 0, 1, 1)
		wantValue(t, e1.DerivMean(), []int{2, 2}, -1, 0, 1, 1)
		wantValue(t, e1.Loss(), []int{}, -3)
	}
}

// TestWidthsAreExplained: the error names the wire that brought patterns of
// another width, and the width that the cell has.
func TestWidthsAreExplained(t *testing.T) {
	ctx := newContext(t)
	z, err := neurons.NewRateCell("z", 6, 10, neurons.In(ctx))
	must(t, err)
	e, err := neurons.NewGaussianErrorCell("e", 4, neurons.In(ctx))
	must(t, err)
	must(t, neurons.Connect(z.Output(), e.Mean(), neurons.Overwrite))
	must(t, e.Gather())
	err = e.AdvanceState(0, 1)
	wantError(t, err, kernels.ErrShape, "mu, from z.zF, is not of the component's 4 units")
}
