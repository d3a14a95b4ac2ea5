package neurons_test

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/neurons"
)

func TestCompartmentNames(t *testing.T) {
	cell := newCell(t, "e0", 2)
	for _, c := range []struct{ method, got, want string }{
		{"InputCompartmentName", cell.InputCompartmentName(), "j"},
		{"OutputCompartmentName", cell.OutputCompartmentName(), "e"},
		{"LossName", cell.LossName(), "L"},
		{"MeanName", cell.MeanName(), "mu"},
		{"DerivMeanName", cell.DerivMeanName(), "dmu"},
		{"TargetName", cell.TargetName(), "target"},
		{"DerivTargetName", cell.DerivTargetName(), "dtarget"},
		{"ModulatorName", cell.ModulatorName(), "modulator"},
	} {
		if c.got != c.want {
			t.Errorf("%s() = %q, not %q", c.method, c.got, c.want)
		}
	}
	// In ngc-learn these are methods of the class: no cell is needed.
	if name := (*neurons.LaplacianErrorCell)(nil).MeanName(); name != "mu" {
		t.Errorf("without a cell MeanName() = %q", name)
	}
}

func TestCompartmentsByName(t *testing.T) {
	cell := newCell(t, "e0", 2)
	var names []string
	for _, c := range cell.Compartments() {
		names = append(names, c.Name())
		found, err := cell.Compartment(c.Name())
		must(t, err)
		if found != c {
			t.Errorf("Compartment(%q) is another one", c.Name())
		}
	}
	if got := strings.Join(names, " "); got != "dmu dtarget target mu modulator L" {
		t.Errorf("order %s", got)
	}
	for _, c := range []struct {
		name string
		comp *neurons.Compartment
	}{
		{"L", cell.Loss()}, {"mu", cell.Mean()}, {"dmu", cell.DerivMean()},
		{"target", cell.Target()}, {"dtarget", cell.DerivTarget()}, {"modulator", cell.Modulator()},
	} {
		if c.comp.Name() != c.name || c.comp.String() != "e0."+c.name {
			t.Errorf("the accessor of %s gives %v", c.name, c.comp)
		}
	}
	for _, name := range []string{"j", "e", "mean", ""} {
		_, err := cell.Compartment(name)
		wantError(t, err, neurons.ErrCompartment, "there are: dmu, dtarget, target, mu, modulator, L")
	}
	// The list is the caller's own.
	cell.Compartments()[0] = nil
	if cell.Compartments()[0] == nil {
		t.Error("Compartments gives the cell's own slice")
	}
}

// TestPropertiesSetAndGet is ngc-learn's getters and setters: every compartment
// can be set, and gives back what it was set to.
func TestPropertiesSetAndGet(t *testing.T) {
	cell := newCell(t, "e0", 2)
	for i, c := range cell.Compartments() {
		must(t, c.SetFloat32s([]float32{float32(i), negZero}))
	}
	for i, c := range cell.Compartments() {
		wantValue(t, c, []int{1, 2}, float32(i), negZero)
	}
}

func TestConstructor(t *testing.T) {
	cell := newCell(t, "e0", 784,
		neurons.WithTauM(10), neurons.WithLeakRate(0.1), neurons.WithKey(1234),
		neurons.WithVerboseDict(true), neurons.WithKeywords(map[string]any{"directory": "x"}))
	if cell.Name() != "e0" || cell.Units() != 784 || cell.DType() != kernels.F32 || cell.Device() == nil {
		t.Errorf("name %q, %d units, %v on %v", cell.Name(), cell.Units(), cell.DType(), cell.Device())
	}
	zeros := make([]float32, 784)
	for _, c := range []*neurons.Compartment{cell.Mean(), cell.DerivMean(), cell.Target(), cell.DerivTarget()} {
		wantValue(t, c, []int{1, 784}, zeros...)
	}
	for _, c := range []*neurons.Compartment{cell.Modulator(), cell.Loss()} {
		if c.IsSet() || c.Shape() != nil {
			t.Errorf("%v has a value at first, of shape %v", c, c.Shape())
		}
	}
	// The unused arguments change nothing.
	plain := newCell(t, "e0", 784)
	for name, want := range state(t, plain) {
		if state(t, cell)[name] != want {
			t.Errorf("%s depends on an unused argument", name)
		}
	}
}

func TestConstructorErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		units int
		opts  []neurons.Option
		is    error
		text  string
	}{
		{"", 2, nil, neurons.ErrArgument, "needs a name"},
		{"e0", 0, nil, neurons.ErrArgument, "e0: n_units is 0, at least 1 is wanted"},
		{"e0", -1, nil, neurons.ErrArgument, "e0: n_units is -1"},
		{"e0", 2, []neurons.Option{nil}, neurons.ErrArgument, "e0: an option is nil"},
		{"e0", 2, []neurons.Option{neurons.On(nil)}, neurons.ErrArgument, "e0: On(nil)"},
		{"e0", 2, []neurons.Option{neurons.WithLoss(7)}, neurons.ErrArgument, "e0: there is no loss Loss(7)"},
		{"e0", 2, []neurons.Option{neurons.WithDType(0)}, neurons.ErrArgument, "e0: there is no element type DType(0)"},
		{"e0", 2, []neurons.Option{neurons.OnDevice("abacus")}, backend.ErrUnknownDevice, `e0: device "abacus": unknown device`},
		{"e0", 2, []neurons.Option{neurons.OnDevice("cpu:sideways")}, backend.ErrUnknownOption, "sideways"},
		{"e0", math.MaxInt / 2, nil, backend.ErrMemory, "e0: a batch of 1 patterns"},
	} {
		cell, err := neurons.NewLaplacianErrorCell(c.name, c.units, c.opts...)
		if cell != nil {
			t.Errorf("%q with %d units: a cell and an error", c.name, c.units)
		}
		wantError(t, err, c.is, c.text)
	}
}

func TestDeviceIsChosenByTheConstructor(t *testing.T) {
	shared := open(t, "cpu:generic,threads=1")
	for _, c := range []struct {
		opts []neurons.Option
		want string
	}{
		{[]neurons.Option{neurons.OnDevice("cpu:generic,threads=2")}, "cpu:generic,threads=2"},
		{[]neurons.Option{neurons.On(shared)}, "cpu:generic,threads=1"},
		{[]neurons.Option{neurons.OnDevice("cpu:generic,threads=2"), neurons.On(shared)}, "cpu:generic,threads=1"},
		{[]neurons.Option{neurons.On(shared), neurons.OnDevice("cpu:generic,threads=2")}, "cpu:generic,threads=2"},
	} {
		if got := newCell(t, "e0", 2, c.opts...).Device().Name(); got != c.want {
			t.Errorf("device %s, not %s", got, c.want)
		}
	}
	t.Setenv(backend.EnvDevice, "cpu:generic,threads=3")
	for _, opts := range [][]neurons.Option{nil, {neurons.OnDevice("")}} {
		if got := newCell(t, "e0", 2, opts...).Device().Name(); got != "cpu:generic,threads=3" {
			t.Errorf("by default device %s, not that of %s", got, backend.EnvDevice)
		}
	}
}

func TestAdvanceState(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		cell := newCell(t, "e0", 3, neurons.On(dev))
		must(t, cell.Target().SetFloat32s([]float32{1, 2, 3, -1, 0, 5}))
		must(t, cell.Mean().SetFloat32s([]float32{1, 3, 2.5, -2, 0, 5}))
		must(t, cell.AdvanceState(0, 1))
		wantValue(t, cell.DerivMean(), []int{2, 3}, 0, -1, 1, 1, 0, 0)
		wantValue(t, cell.DerivTarget(), []int{2, 3}, negZero, 1, -1, -1, negZero, negZero)
		wantValue(t, cell.Loss(), []int{}, -3)
		// What went in stays.
		wantValue(t, cell.Target(), []int{2, 3}, 1, 2, 3, -1, 0, 5)
		wantValue(t, cell.Mean(), []int{2, 3}, 1, 3, 2.5, -2, 0, 5)
	})
}

func TestTimeIsUnused(t *testing.T) {
	cell := newCell(t, "e0", 2)
	must(t, cell.Target().SetFloat32s([]float32{1, 2}))
	must(t, cell.AdvanceState(0, 1))
	want := state(t, cell)
	for _, time := range [][2]float64{{5, 0.1}, {-1, 0}, {math.NaN(), math.Inf(1)}} {
		must(t, cell.AdvanceState(time[0], time[1]))
		for name, value := range state(t, cell) {
			if value != want[name] {
				t.Errorf("%s depends on t or dt", name)
			}
		}
	}
}

func TestZerosAndNaN(t *testing.T) {
	cell := newCell(t, "e0", 8)
	must(t, cell.Target().SetFloat32s([]float32{0, 0, negZero, negZero, inf, inf, 1, 1e-45}))
	must(t, cell.Mean().SetFloat32s([]float32{0, negZero, 0, negZero, -inf, 0, 1, 0}))
	must(t, cell.AdvanceState(0, 1))
	wantValue(t, cell.DerivMean(), []int{1, 8}, 0, 0, negZero, 0, 1, 1, 0, 1)
	wantValue(t, cell.DerivTarget(), []int{1, 8}, negZero, negZero, 0, negZero, -1, -1, negZero, -1)
	wantValue(t, cell.Loss(), []int{}, -3)

	must(t, cell.Mean().SetFloat32s([]float32{0, 0, negZero, negZero, inf, nan, 1, 1}))
	must(t, cell.AdvanceState(0, 1))
	wantValue(t, cell.DerivMean(), []int{1, 8}, 0, 0, 0, 0, nan, nan, 0, -1)
	wantValue(t, cell.Loss(), []int{}, nan)

	must(t, cell.Mean().SetFloat32s([]float32{0, 0, 0, 0, 1, 1, 1, 0}))
	must(t, cell.Target().SetFloat32s([]float32{0, 0, 0, 0, 1, 1, 1, 0}))
	must(t, cell.AdvanceState(0, 1))
	wantValue(t, cell.Loss(), []int{}, negZero) // minus a sum of nothing but zeros
}

func TestModulatorIsConsumed(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		cell := newCell(t, "e0", 2, neurons.On(dev))
		must(t, cell.Target().SetFloat32s([]float32{1, 2, 3, 4}))
		must(t, cell.Mean().SetFloat32s([]float32{2, 1, 3, 0}))
		for _, c := range []struct {
			set     func() error
			dmu     []float32
			dtarget []float32
		}{
			{func() error { return cell.Modulator().SetScalar(0.5) }, []float32{-0.5, 0.5, 0, 0.5}, []float32{0.5, -0.5, negZero, -0.5}},
			{func() error { return nil }, []float32{-1, 1, 0, 1}, []float32{1, -1, negZero, -1}}, // it is gone
			{func() error { return cell.Modulator().SetFloat32s([]float32{2, 3, 4, 5}) }, []float32{-2, 3, 0, 5}, []float32{2, -3, negZero, -5}},
			{func() error { return cell.Modulator().SetFloat32s([]float32{2, 3}) }, []float32{-2, 3, 0, 3}, []float32{2, -3, negZero, -3}},
			{func() error { return cell.Modulator().SetFloat32s([]float32{2, -3}, 2, 1) }, []float32{-2, 2, negZero, -3}, []float32{2, -2, 0, 3}},
			{func() error { return cell.Modulator().SetScalar(1) }, []float32{-1, 1, 0, 1}, []float32{1, -1, negZero, -1}},
			{func() error { return cell.Modulator().SetScalar(0) }, []float32{negZero, 0, 0, 0}, []float32{0, negZero, negZero, negZero}},
			{func() error { return cell.Modulator().SetScalar(math.NaN()) }, []float32{nan, nan, nan, nan}, []float32{nan, nan, nan, nan}},
		} {
			must(t, c.set())
			must(t, cell.AdvanceState(0, 1))
			wantValue(t, cell.DerivMean(), []int{2, 2}, c.dmu...)
			wantValue(t, cell.DerivTarget(), []int{2, 2}, c.dtarget...)
			wantValue(t, cell.Loss(), []int{}, -3) // never modulated
			if cell.Modulator().IsSet() {
				t.Error("the modulator was not consumed")
			}
		}
	})
}

func TestLossL1(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		cell := newCell(t, "e0", 2, neurons.On(dev), neurons.WithLoss(neurons.L1))
		must(t, cell.Target().SetFloat32s([]float32{1, 2, 3, 4}))
		must(t, cell.Mean().SetFloat32s([]float32{1.5, 2, 1, 0}))
		must(t, cell.Modulator().SetScalar(10))
		must(t, cell.AdvanceState(0, 1))
		wantValue(t, cell.DerivMean(), []int{2, 2}, -10, 0, 10, 10)
		wantValue(t, cell.Loss(), []int{}, -6.5)
	})
	if neurons.Mismatch.String() != "mismatch" || neurons.L1.String() != "l1" || neurons.Loss(9).String() != "Loss(9)" {
		t.Error("names of losses")
	}
}

func TestFloat64Cell(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		cell := newCell(t, "e0", 2, neurons.On(dev), neurons.WithDType(kernels.F64), neurons.WithLoss(neurons.L1))
		must(t, cell.Target().SetFloat64s([]float64{1 + 1e-12, 2}))
		must(t, cell.Mean().SetFloat32s([]float32{1, 2}))
		must(t, cell.AdvanceState(0, 1))
		wantValue(t, cell.DerivMean(), []int{1, 2}, 1, 0)
		loss, err := cell.Loss().Scalar()
		must(t, err)
		if want := -(1 + 1e-12 - 1.0); math.Abs(loss-want) > 1e-15 {
			t.Errorf("L = %g, not %g", loss, want)
		}
		dmu, err := cell.DerivMean().Tensor()
		must(t, err)
		if dmu.Dtype() != tensor.Float64 {
			t.Errorf("a tensor of %v", dmu.Dtype())
		}
		if _, ok := cell.DerivMean().View(); ok {
			t.Error("float64 numbers are shown as float32")
		}
	})
}

func TestReset(t *testing.T) {
	cell := newCell(t, "e0", 2)
	must(t, cell.Target().SetFloat32s([]float32{1, 2, 3, 4}))
	must(t, cell.Mean().SetFloat32s([]float32{7, 7}))
	must(t, cell.AdvanceState(0, 1))
	must(t, cell.Modulator().SetScalar(3))
	for range 2 {
		must(t, cell.Reset())
		for _, c := range []*neurons.Compartment{cell.Mean(), cell.DerivMean(), cell.Target(), cell.DerivTarget()} {
			wantValue(t, c, []int{1, 2}, 0, 0)
		}
		if cell.Modulator().IsSet() {
			t.Error("the modulator outlived a reset")
		}
		wantValue(t, cell.Loss(), []int{}, -4) // ngc-learn's reset leaves L
		must(t, cell.Mean().SetFloat32s([]float32{5, 6}))
	}
	must(t, cell.Reset())
	must(t, cell.AdvanceState(0, 1))
	wantValue(t, cell.DerivMean(), []int{1, 2}, 0, 0)
	wantValue(t, cell.Loss(), []int{}, negZero)
}

// TestResetOfManyUnits clears buffers larger than the block of zeros.
func TestResetOfManyUnits(t *testing.T) {
	const units = 100_003
	cell := newCell(t, "e0", units)
	ones := make([]float32, units)
	for i := range ones {
		ones[i] = 1
	}
	must(t, cell.Mean().SetFloat32s(ones))
	must(t, cell.Reset())
	wantValue(t, cell.Mean(), []int{1, units}, make([]float32, units)...)
}

func TestSaveDoesNothing(t *testing.T) {
	cell := newCell(t, "e0", 2)
	before := state(t, cell)
	must(t, cell.Save("/no/such/directory"))
	for name, value := range state(t, cell) {
		if value != before[name] {
			t.Errorf("Save changed %s", name)
		}
	}
}

// TestBroadcasting checks the results' shapes and numbers against the reference
// interpreter, which knows nothing of grids and kinds.
func TestBroadcasting(t *testing.T) {
	type shapes struct{ target, mu, modulator, derivative []int }
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		cell := newCell(t, "e0", 3, neurons.On(dev))
		for _, c := range []shapes{
			{[]int{4, 3}, []int{4, 3}, nil, []int{4, 3}},
			{[]int{4, 3}, []int{1, 3}, nil, []int{4, 3}},
			{[]int{1, 3}, []int{4, 3}, nil, []int{4, 3}},
			{[]int{4, 3}, []int{4, 1}, nil, []int{4, 3}},
			{[]int{4, 1}, []int{1, 3}, nil, []int{4, 3}},
			{[]int{4, 3}, []int{3}, nil, []int{4, 3}},
			{[]int{4, 3}, []int{}, nil, []int{4, 3}},
			{[]int{}, []int{}, nil, []int{}},
			{[]int{}, []int{1}, []int{1, 1}, []int{1, 1}},
			{[]int{3}, []int{3}, nil, []int{3}},
			{[]int{1}, []int{3}, []int{1}, []int{3}},
			{[]int{4, 3}, []int{4, 3}, []int{4, 1}, []int{4, 3}},
			{[]int{4, 3}, []int{4, 3}, []int{1, 3}, []int{4, 3}},
			{[]int{4, 3}, []int{4, 3}, []int{}, []int{4, 3}},
			{[]int{1, 3}, []int{1, 3}, []int{4, 1}, []int{4, 3}}, // L counts 3 units, not 12
			{[]int{3}, []int{}, []int{4, 3}, []int{4, 3}},
			{[]int{2, 3, 4}, []int{2, 3, 4}, []int{2, 1, 1}, []int{2, 3, 4}},
			{[]int{2, 3, 4}, []int{3, 4}, nil, []int{2, 3, 4}},
			{[]int{0, 3}, []int{1, 3}, nil, []int{0, 3}},
			{[]int{0, 3}, []int{}, []int{0, 1}, []int{0, 3}},
			{[]int{4, 0}, []int{4, 0}, nil, []int{4, 0}},
			{[]int{2, 700}, []int{2, 700}, []int{2, 1}, []int{2, 700}},
		} {
			in := make([]*kernels.Array[float32], 3)
			for i, s := range [][]int{c.target, c.mu, c.modulator} {
				if s == nil {
					continue
				}
				in[i] = &kernels.Array[float32]{Shape: s, Data: make([]float32, kernels.Shape(s).Len())}
				for j := range in[i].Data {
					in[i].Data[j] = float32((j*7+i)%3 - 1)
				}
				comp := []*neurons.Compartment{cell.Target(), cell.Mean(), cell.Modulator()}[i]
				must(t, comp.SetFloat32s(in[i].Data, s...))
			}
			want, err := kernels.Reference(kernels.Laplacian, in...)
			must(t, err)
			must(t, cell.AdvanceState(0, 1))
			wantValue(t, cell.DerivMean(), c.derivative, want[0].Data...)
			wantValue(t, cell.DerivTarget(), c.derivative, want[1].Data...)
			wantValue(t, cell.Loss(), []int{}, want[2].Data...)
		}
	})
}

func TestShapesThatDoNotFit(t *testing.T) {
	cell := newCell(t, "e0", 3)
	for _, c := range []struct {
		target, mu, modulator []int
		text                  string
	}{
		{[]int{2, 3}, []int{4, 3}, nil, "e0: target (2, 3) and mu (4, 3) do not broadcast"},
		{[]int{2, 3}, []int{2, 3}, []int{4, 1}, "e0: target (2, 3) and modulator (4, 1) do not broadcast"},
		{[]int{3}, []int{2}, nil, "e0: target (3,) and mu (2,) do not broadcast"},
		{[]int{2, 3, 4}, []int{2, 1, 4}, nil, "along some of the axes after the first"},
		{[]int{0, 3}, []int{2, 3}, nil, "e0: target (0, 3) and mu (2, 3) do not broadcast"},
	} {
		for i, s := range [][]int{c.target, c.mu, c.modulator} {
			comp := []*neurons.Compartment{cell.Target(), cell.Mean(), cell.Modulator()}[i]
			if s == nil {
				must(t, comp.Clear())
				continue
			}
			must(t, comp.SetFloat32s(make([]float32, kernels.Shape(s).Len()), s...))
		}
		before := state(t, cell)
		wantError(t, cell.AdvanceState(0, 1), neurons.ErrShape, c.text)
		for name, value := range state(t, cell) {
			if value != before[name] {
				t.Errorf("a step that failed changed %s from %s to %s", name, before[name], value)
			}
		}
	}
}

func TestAbsentOperands(t *testing.T) {
	cell := newCell(t, "e0", 3)
	must(t, cell.AdvanceState(0, 1)) // so that there is a program to misuse
	must(t, cell.Modulator().SetScalar(2))
	for _, comp := range []*neurons.Compartment{cell.Target(), cell.Mean()} {
		must(t, comp.Clear())
		before := state(t, cell)
		wantError(t, cell.AdvanceState(0, 1), neurons.ErrAbsent, comp.String()+": it holds no value: set it, or connect a wire")
		for name, value := range state(t, cell) {
			if value != before[name] {
				t.Errorf("a step that failed changed %s", name)
			}
		}
		must(t, comp.SetScalar(1))
	}
	must(t, cell.AdvanceState(0, 1))
}

func TestLossIsAbsentUntilTheFirstStep(t *testing.T) {
	cell := newCell(t, "e0", 3)
	_, err := cell.Loss().Scalar()
	wantError(t, err, neurons.ErrAbsent, "e0.L: it holds no value: the first AdvanceState computes it")
	must(t, cell.Reset())
	if cell.Loss().IsSet() {
		t.Error("Reset made a loss")
	}
	must(t, cell.AdvanceState(0, 1))
	wantValue(t, cell.Loss(), []int{}, negZero)
}

// TestWarmStepsAfterOtherShapes makes sure that nothing remembered from one
// shape is used for another.
func TestWarmStepsAfterOtherShapes(t *testing.T) {
	cell := newCell(t, "e0", 2)
	for range 3 {
		for batch := range 4 {
			x := make([]float32, 2*batch)
			for i := range x {
				x[i] = float32(i)
			}
			must(t, cell.Target().SetFloat32s(x))
			must(t, cell.Mean().SetFloat32s([]float32{1, 1}))
			if batch%2 == 1 {
				must(t, cell.Modulator().SetScalar(float64(batch)))
			}
			for range 2 {
				must(t, cell.AdvanceState(0, 1))
				if got := cell.DerivMean().Shape(); got[0] != batch || got[1] != 2 {
					t.Fatalf("batch %d: dmu has shape %v", batch, got)
				}
			}
			want := 2*batch - min(batch, 1) // 1 - 1 is the only match
			if loss, err := cell.Loss().Scalar(); err != nil || int(-loss) != want {
				t.Errorf("batch %d: L = %v, %v", batch, loss, err)
			}
		}
	}
}

func TestClose(t *testing.T) {
	shared := open(t, "cpu:generic,threads=1")
	for _, opt := range []neurons.Option{neurons.OnDevice("cpu:generic,threads=1"), neurons.On(shared)} {
		cell, err := neurons.NewLaplacianErrorCell("e0", 2, opt)
		must(t, err)
		dev := cell.Device()
		mu := cell.Mean()
		must(t, cell.Close())
		must(t, cell.Close())
		if owned := dev != shared; (dev.Sync() != nil) != owned {
			t.Errorf("owned: %v; after Close the device says: %v", owned, dev.Sync())
		}
		if cell.Device() != nil || mu.IsSet() || mu.Shape() != nil {
			t.Error("a closed cell still has something")
		}
		_, scalarErr := mu.Scalar()
		_, float32sErr := mu.Float32s()
		_, float64sErr := mu.Float64s()
		_, tensorErr := mu.Tensor()
		other := newCell(t, "e1", 2)
		for what, err := range map[string]error{
			"AdvanceState": cell.AdvanceState(0, 1), "Reset": cell.Reset(), "Save": cell.Save(""),
			"Gather": cell.Gather(), "VerifyConnections": cell.VerifyConnections(), "Clamp": cell.Clamp("mu", nil),
			"SetFloat32s": mu.SetFloat32s(nil), "SetFloat64s": mu.SetFloat64s(nil), "SetScalar": mu.SetScalar(1),
			"SetTensor": mu.SetTensor(nil), "Set": mu.Set(1), "Clear": mu.Clear(), "Resize": mu.Resize(1),
			"ReadFloat32s": mu.ReadFloat32s(nil), "ReadFloat64s": mu.ReadFloat64s(nil),
			"Scalar": scalarErr, "Float32s": float32sErr, "Float64s": float64sErr, "Tensor": tensorErr,
			"Connect to it":   neurons.Connect(other.Mean(), mu, neurons.Overwrite),
			"Connect from it": neurons.Connect(mu, other.Mean(), neurons.Overwrite),
		} {
			if err == nil {
				t.Errorf("%s works after Close", what)
				continue
			}
			wantError(t, err, neurons.ErrClosed, "e0")
		}
		if _, ok := mu.View(); ok {
			t.Error("View works after Close")
		}
	}
}

// TestDeviceClosedFirst closes a shared device under its cells.
func TestDeviceClosedFirst(t *testing.T) {
	dev := open(t, "cpu:generic,threads=1")
	cell := newCell(t, "e0", 2, neurons.On(dev))
	must(t, dev.Close())
	wantError(t, cell.AdvanceState(0, 1), neurons.ErrClosed, "e0: ")
	wantError(t, cell.Mean().SetFloat32s([]float32{1, 2}), neurons.ErrClosed, "e0.mu: ")
	wantError(t, cell.Mean().SetFloat64s([]float64{1, 2}), neurons.ErrClosed, "e0.mu: ")
	_, err := cell.Mean().Float32s()
	wantError(t, err, neurons.ErrClosed, "e0.mu: ")
	_, err = cell.Mean().Float64s()
	wantError(t, err, neurons.ErrClosed, "e0.mu: ")
}

// TestZeroCell uses a cell and a compartment that no constructor made.
func TestZeroCell(t *testing.T) {
	var cell neurons.LaplacianErrorCell
	for what, err := range map[string]error{
		"AdvanceState": cell.AdvanceState(0, 1), "Reset": cell.Reset(), "Gather": cell.Gather(), "Verify": cell.VerifyConnections(),
	} {
		if err == nil {
			t.Errorf("%s works", what)
		}
	}
	must(t, cell.Close())
	for _, comp := range []*neurons.Compartment{nil, new(neurons.Compartment), cell.Mean()} {
		if comp.SetScalar(1) == nil || comp.Clear() == nil || comp.IsSet() || comp.Shape() != nil {
			t.Error("a compartment of no cell works")
		}
		if _, err := comp.Tensor(); err == nil {
			t.Error("a compartment of no cell has a value")
		}
		if comp.String() != "<no compartment>" {
			t.Errorf("it is called %v", comp)
		}
		if _, ok := comp.View(); ok {
			t.Error("a compartment of no cell has memory")
		}
	}
}

func TestTwoCellsShareADevice(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		const steps, units = 50, 300
		run := func(t *testing.T, name string, sign float32) {
			cell := newCell(t, name, units, neurons.On(dev))
			for step := range steps {
				x := make([]float32, units)
				for i := range x {
					x[i] = sign * float32((i+step)%3-1)
				}
				must(t, cell.Target().SetFloat32s(x))
				must(t, cell.AdvanceState(float64(step), 1))
				wantValue(t, cell.Loss(), []int{}, -200)
				dmu, err := cell.DerivMean().Float32s()
				must(t, err)
				for i := range x {
					if dmu[i] != x[i] {
						t.Fatalf("%s: step %d: dmu[%d] = %g, not %g", name, step, i, dmu[i], x[i])
					}
				}
			}
		}
		t.Run("both", func(t *testing.T) {
			for name, sign := range map[string]float32{"e0": 1, "e1": -1} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					run(t, name, sign)
				})
			}
		})
	})
}

func TestRunLaplacianCell(t *testing.T) {
	targ := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}))
	mu := tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float64{2, 2}))
	dmu, dtarg, loss, err := neurons.RunLaplacianCell(1, targ, mu)
	must(t, err)
	if !dmu.Shape().Eq(tensor.Shape{2, 2}) || firstDifference(dmu.Float32s(), []float32{-1, 0, 1, 1}) >= 0 {
		t.Errorf("dmu = %v", dmu)
	}
	if firstDifference(dtarg.Float32s(), []float32{1, negZero, -1, -1}) >= 0 {
		t.Errorf("dtarg = %v", dtarg)
	}
	if loss != -3 {
		t.Errorf("loss = %v", loss)
	}

	// A slice is an array of one axis, and a device may be shared.
	dev := open(t, "cpu:generic,threads=1")
	for range 2 {
		dmu, _, loss, err = neurons.RunCell(7, []float32{1, 2, 3}, []float64{0, 5, 3}, "gaussian", neurons.On(dev), neurons.WithLoss(neurons.L1))
		must(t, err)
		if dmu.Dims() != 1 || firstDifference(dmu.Float32s(), []float32{1, -1, 0}) >= 0 || loss != -4 {
			t.Errorf("dmu = %v, loss = %v", dmu, loss)
		}
	}
	dmu, dtarg, loss, err = neurons.RunCell(7, float32(3), 5.0, "")
	must(t, err)
	if dmu.Dims() != 0 || dmu.Float32s()[0] != -1 || dtarg.Float32s()[0] != 1 || loss != -1 {
		t.Errorf("of single numbers: dmu = %v, dtarg = %v, loss = %v", dmu, dtarg, loss)
	}

	for _, c := range []struct {
		targ, mu any
		is       error
		text     string
	}{
		{[]float32{1, 2}, []float32{1, 2, 3}, neurons.ErrShape, "target (2,) and mu (3,)"},
		{nil, []float32{1}, neurons.ErrAbsent, "target"},
		{[]float32{1}, nil, neurons.ErrAbsent, "mu"},
		{"x", 1.0, neurons.ErrType, "string was given"},
		{1.0, []int{1}, neurons.ErrType, "[]int was given"},
		{[]float32{}, []float32{}, neurons.ErrShape, "without elements"},
	} {
		_, _, _, err := neurons.RunCell(1, c.targ, c.mu, "gaussian")
		wantError(t, err, c.is, c.text)
	}
	_, _, _, err = neurons.RunCell(1, 1.0, 1.0, "gaussian", neurons.OnDevice("abacus"))
	wantError(t, err, backend.ErrUnknownDevice, "abacus")
}

// TestLossOfManyUnits counts further than float32 does one by one: the count is
// exact, and rounded once.
func TestLossOfManyUnits(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 200 MB of memory; run without -short")
	}
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		const n = 4099 // n*n is 16801801, beyond 2^24, and odd
		cell := newCell(t, "e0", n, neurons.On(dev))
		ones := make([]float32, n)
		for i := range ones {
			ones[i] = 1
		}
		must(t, cell.Target().SetFloat32s(ones, n, 1))
		must(t, cell.AdvanceState(0, 1))
		wantValue(t, cell.Loss(), []int{}, -16801800)
	})
}
