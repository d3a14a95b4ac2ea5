// The Laplacian and the Gaussian cell of today: what they have in common.

package neurons_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/neurons"
)

// today has what tests need of both cells.
type today interface {
	member
	Clamp(name string, value any) error
	Gather() error
	Device() backend.Device
	BatchSize() int
	BatchedReset(patterns int) error
	Mean() *neurons.Compartment
	DerivMean() *neurons.Compartment
	Target() *neurons.Compartment
	DerivTarget() *neurons.Compartment
	Modulator() *neurons.Compartment
	Mask() *neurons.Compartment
	Loss() *neurons.Compartment
}

// kindsOfToday are the cells of today, with what ngc-learn calls their parts.
var kindsOfToday = []struct {
	name                         string
	make                         func(name string, units int, opts ...neurons.Option) (today, error)
	mean, scale                  string
	withScale                    func(any) neurons.Option
	compartments, displays, unit []string
}{
	{"Laplacian", func(name string, units int, opts ...neurons.Option) (today, error) {
		c, err := neurons.NewScaledLaplacianErrorCell(name, units, opts...)
		if err != nil {
			return nil, err
		}
		return c, nil
	}, "shift", "Scale", neurons.WithScale,
		[]string{"L", "shift", "Scale", "dshift", "dScale", "target", "dtarget", "modulator", "mask"},
		[]string{"Laplacian Log likelihood", "Laplacian shift", "Laplacian scale", "dshift", "dScale", "Laplacian data/target variable", "dtarget", "modulator", "mask"},
		[]string{"nats", "", "", "", "", "", "", "", ""}},
	{"Gaussian", func(name string, units int, opts ...neurons.Option) (today, error) {
		c, err := neurons.NewGaussianErrorCell(name, units, opts...)
		if err != nil {
			return nil, err
		}
		return c, nil
	}, "mu", "Sigma", neurons.WithSigma,
		[]string{"L", "mu", "dmu", "Sigma", "dSigma", "target", "dtarget", "modulator", "mask"},
		[]string{"Gaussian Log likelihood", "Gaussian mean", "dmu", "Gaussian variance/covariance", "dSigma", "Gaussian data/target variable", "dtarget", "modulator", "mask"},
		[]string{"nats", "", "", "", "", "", "", "", ""}},
}

func makeToday(t testing.TB, kind int, units int, opts ...neurons.Option) today {
	t.Helper()
	c, err := kindsOfToday[kind].make("e0", units, opts...)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// TestCellsOfToday: what the constructor leaves, which is what Reset leaves.
func TestCellsOfToday(t *testing.T) {
	for k, kind := range kindsOfToday {
		t.Run(kind.name, func(t *testing.T) {
			c := makeToday(t, k, 3, neurons.WithBatchSize(2), kind.withScale(tensor.New(tensor.WithShape(1, 3), tensor.WithBacking([]float32{1, 2, 4}))))
			check := func(patterns int) {
				t.Helper()
				for _, value := range []struct {
					name string
					x    float32
				}{{kind.mean, 0}, {"d" + kind.mean, 0}, {"target", 0}, {"dtarget", 0}, {"modulator", 1}, {"mask", 1}} {
					comp := find(t, c, value.name)
					want := make([]float32, 3*patterns)
					for i := range want {
						want[i] = value.x
					}
					wantValue(t, comp, []int{patterns, 3}, want...)
				}
				wantValue(t, c.Loss(), []int{}, 0)
				wantValue(t, find(t, c, kind.scale), []int{1, 3}, 1, 2, 4)
				wantValue(t, find(t, c, "d"+kind.scale), []int{1, 3}, 0, 0, 0)
			}
			check(2)
			var names, displays, units []string
			for _, comp := range c.Compartments() {
				names, displays, units = append(names, comp.Name()), append(displays, comp.DisplayName()), append(units, comp.Units())
			}
			if got, want := fmt.Sprintf("%q %q %q", names, displays, units), fmt.Sprintf("%q %q %q", kind.compartments, kind.displays, kind.unit); got != want {
				t.Errorf("the compartments are\n%s\nnot\n%s", got, want)
			}
			must(t, c.Target().SetFloat32s([]float32{1, 2, 3}))
			must(t, c.Mask().SetScalar(0))
			must(t, c.AdvanceState(0, 1))
			must(t, c.Reset())
			check(2)
			must(t, c.BatchedReset(5))
			check(5)
			if c.BatchSize() != 2 {
				t.Errorf("batch_size is %d", c.BatchSize())
			}
			wantError(t, c.BatchedReset(0), neurons.ErrArgument, "e0: batch_size is 0")
		})
	}
	laplacian := makeToday(t, 0, 3).(*neurons.ScaledLaplacianErrorCell)
	if find(t, laplacian, "mu") != laplacian.Shift() || find(t, laplacian, "dmu") != laplacian.DerivShift() || laplacian.Mean() != laplacian.Shift() ||
		laplacian.Scale() != find(t, laplacian, "Scale") || laplacian.DerivScale() != find(t, laplacian, "dScale") {
		t.Error("names of the Laplacian cell's compartments")
	}
	gaussian := makeToday(t, 1, 3).(*neurons.GaussianErrorCell)
	if gaussian.Sigma() != find(t, gaussian, "Sigma") || gaussian.DerivSigma() != find(t, gaussian, "dSigma") {
		t.Error("names of the Gaussian cell's compartments")
	}
	must(t, laplacian.Clamp("mu", []float32{1, 2, 3}))
	wantValue(t, laplacian.Shift(), []int{1, 3}, 1, 2, 3)
}

// TestScaleOfTheConstructor: a number is of shape (1, 1), arrays keep theirs.
func TestScaleOfTheConstructor(t *testing.T) {
	for k, kind := range kindsOfToday {
		for _, test := range []struct {
			scale any
			shape []int
			want  []float32
		}{
			{0.5, []int{1, 1}, []float32{0.5}},
			{float32(2), []int{1, 1}, []float32{2}},
			{[]float32{1, 2, 3}, []int{3}, []float32{1, 2, 3}},
			{[]float64{1, 2, 3}, []int{3}, []float32{1, 2, 3}},
			{tensor.New(tensor.WithShape(2, 1), tensor.WithBacking([]float32{1, 2})), []int{2, 1}, []float32{1, 2}},
		} {
			c := makeToday(t, k, 3, kind.withScale(test.scale))
			wantValue(t, find(t, c, kind.scale), test.shape, test.want...)
			wantValue(t, find(t, c, "d"+kind.scale), test.shape, make([]float32, len(test.want))...)
		}
	}
}

// TestOptionsOfToday: an option that a cell does not have is refused, as is a
// value that makes no sense.
func TestOptionsOfToday(t *testing.T) {
	for _, test := range []struct {
		kind int // -1: the cell of 2024
		opt  neurons.Option
		is   error
		text string
	}{
		{-1, neurons.WithScale(1.0), neurons.ErrArgument, "e0: the cell has no option WithScale"},
		{-1, neurons.WithBatchSize(2), neurons.ErrArgument, "WithBatchSize"},
		{-1, neurons.WithGatedLoss(), neurons.ErrArgument, "WithGatedLoss"},
		{0, neurons.WithSigma(1.0), neurons.ErrArgument, "WithSigma"},
		{0, neurons.WithWindow(3), neurons.ErrArgument, "WithWindow"},
		{0, neurons.WithOnlinePredictor(false), neurons.ErrArgument, "WithOnlinePredictor"},
		{1, neurons.WithScale(1.0), neurons.ErrArgument, "WithScale"},
		{1, neurons.WithLoss(neurons.L1), neurons.ErrArgument, "WithLoss"},
		{0, neurons.WithBatchSize(0), neurons.ErrArgument, "batch_size is 0"},
		{1, neurons.WithShape(2, 2), neurons.ErrArgument, "a pattern of shape (2, 2) does not have n_units = 3 units"},
		{1, neurons.WithShape(-3), neurons.ErrArgument, "(-3,)"},
		{0, neurons.WithScale("wide"), neurons.ErrType, "e0.Scale: string"},
		{1, neurons.WithSigma(nil), neurons.ErrAbsent, "e0.Sigma"},
	} {
		var err error
		if test.kind < 0 {
			_, err = neurons.NewLaplacianErrorCell("e0", 3, test.opt)
		} else {
			_, err = kindsOfToday[test.kind].make("e0", 3, test.opt)
		}
		wantError(t, err, test.is, test.text)
	}
	for k := range kindsOfToday {
		_, err := kindsOfToday[k].make("e0", 0)
		wantError(t, err, neurons.ErrArgument, "n_units is 0")
		if c := makeToday(t, k, 3, neurons.WithKey(1234)); len(c.Compartments()) != len(kindsOfToday[k].compartments) {
			t.Errorf("with a key there are the compartments %v", c.Compartments())
		}
	}
}

// TestShapeOfAPattern: the zeros that the constructor and Reset leave have the
// pattern's shape, which a convolutional layer wants.
func TestShapeOfAPattern(t *testing.T) {
	for k := range kindsOfToday {
		c := makeToday(t, k, 6, neurons.WithShape(3, 2, 1), neurons.WithBatchSize(4))
		for range 2 {
			if got := fmt.Sprint(c.Target().Shape(), c.Mask().Shape(), c.DerivMean().Shape()); got != "[4 3 2 1] [4 3 2 1] [4 3 2 1]" {
				t.Errorf("the shapes are %s", got)
			}
			must(t, c.AdvanceState(0, 1))
			must(t, c.Reset())
		}
	}
}

// TestMaskIsEaten: a mask gates one step, a modulator all that follow; the loss
// feels neither. A mask that is no number stays none, as in ngc-learn.
func TestMaskIsEaten(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		for k, kind := range kindsOfToday {
			c := makeToday(t, k, 2, neurons.On(dev))
			must(t, c.Target().SetFloat32s([]float32{1, 1, 1, 1}))
			must(t, c.Mask().SetFloat32s([]float32{1, 0}, 1, 2))
			must(t, c.Modulator().SetFloat32s([]float32{2, 3}, 2, 1))
			loss := []float32{-4, -2}[k]
			for _, want := range [][]float32{{2, 0, 3, 0}, {2, 2, 3, 3}, {2, 2, 3, 3}} {
				must(t, c.AdvanceState(0, 1))
				wantValue(t, c.DerivMean(), []int{2, 2}, want...)
				wantValue(t, c.Loss(), []int{}, loss)
				wantValue(t, c.Mask(), []int{1, 2}, 1, 1)
				wantValue(t, c.Modulator(), []int{2, 1}, 2, 3)
				wantValue(t, find(t, c, "d"+kind.scale), []int{1, 1}, 1)
			}
			must(t, c.Mask().SetFloat32s([]float32{nan, inf, 0, 5}, 2, 2))
			must(t, c.AdvanceState(0, 1))
			wantValue(t, c.Mask(), []int{2, 2}, nan, nan, 1, 1)
			for _, cleared := range []*neurons.Compartment{c.Mask(), c.Modulator(), find(t, c, kind.scale)} {
				must(t, cleared.Clear())
			}
			must(t, c.AdvanceState(0, 1))
			wantValue(t, c.DerivMean(), []int{2, 2}, 1, 1, 1, 1)
		}
	})
}

// TestLossHasTheShapeOfTheScale without the axes of length 1.
func TestLossHasTheShapeOfTheScale(t *testing.T) {
	for k, kind := range kindsOfToday {
		c := makeToday(t, k, 3)
		must(t, c.Target().SetFloat32s([]float32{1, 2, 3, 4, 5, 6}))
		for _, test := range []struct{ scale, loss []int }{
			{[]int{}, []int{}}, {[]int{1, 1}, []int{}}, {[]int{3}, []int{3}}, {[]int{1, 3}, []int{3}}, {[]int{2, 1}, []int{2}}, {[]int{2, 3}, []int{2, 3}},
		} {
			n := kernels.Shape(test.scale).Len()
			data := make([]float32, n)
			for i := range data {
				data[i] = 2
			}
			must(t, find(t, c, kind.scale).SetFloat32s(data, test.scale...))
			must(t, c.AdvanceState(0, 1))
			if got := c.Loss().Shape(); fmt.Sprint(got) != fmt.Sprint(test.loss) {
				t.Errorf("%s: of a scale of shape %v the loss has %v, want %v", kind.name, test.scale, got, test.loss)
			}
			if got := find(t, c, "d"+kind.scale).Shape(); fmt.Sprint(got) != fmt.Sprint(test.scale) {
				t.Errorf("%s: of a scale of shape %v the derivative has %v", kind.name, test.scale, got)
			}
		}
	}
}

// TestScaledLossL1: the loss that ngc-learn documents.
func TestScaledLossL1(t *testing.T) {
	c := makeToday(t, 0, 2, neurons.WithLoss(neurons.L1), neurons.WithScale(0.5))
	must(t, c.Target().SetFloat32s([]float32{1, -2.5}))
	must(t, c.AdvanceState(0, 1))
	wantValue(t, c.Loss(), []int{}, -7)
	wantValue(t, c.DerivMean(), []int{1, 2}, 2, -2)
}

// TestGatedLoss: with the option the loss counts what modulator and mask let
// pass.
func TestGatedLoss(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		for _, test := range []struct {
			kind int
			opts []neurons.Option
			want float32 // of errors 1 and 2 with modulator 3, and an error of 3 that is masked
		}{
			{0, nil, -3 * 2 / 0.5},
			{0, []neurons.Option{neurons.WithLoss(neurons.L1)}, -3 * (1 + 2) / 0.5},
			{1, nil, -3 * (1 + 4) * 0.5 / 0.5},
		} {
			for _, dtype := range []kernels.DType{kernels.F32, kernels.F64} {
				opts := append(test.opts, neurons.On(dev), neurons.WithDType(dtype), neurons.WithGatedLoss(), kindsOfToday[test.kind].withScale(0.5))
				c := makeToday(t, test.kind, 3, opts...)
				must(t, c.Target().SetFloat32s([]float32{1, 2, 3}))
				must(t, c.Mask().SetFloat32s([]float32{1, 1, 0}))
				must(t, c.Modulator().SetScalar(3))
				must(t, c.AdvanceState(0, 1))
				wantValue(t, c.Loss(), []int{}, test.want)
				wantValue(t, find(t, c, "d"+kindsOfToday[test.kind].scale), []int{1, 1}, 1)
			}
		}
	})
}

// TestScaleDerivative compares with the formula, for a scale of each shape.
func TestScaleDerivative(t *testing.T) {
	slope := []func(e, scale float64) float64{
		func(e, b float64) float64 { return (math.Abs(e)/b - 1) / b },
		func(e, v float64) float64 { return (e*e/v - 1) * 0.5 / v },
	}
	target, mask := []float64{1, 2, 3, 0.5, 0, -3}, []float64{1, 1, 0}
	for k, kind := range kindsOfToday {
		for _, shape := range []kernels.Shape{{}, {1, 1}, {3}, {1, 3}, {2, 3}} {
			c := makeToday(t, k, 3, neurons.WithDType(kernels.F64), neurons.WithScaleDerivative())
			scale := []float64{0.5, 2, 4, 1, 0.25, 3}[:shape.Len()]
			must(t, find(t, c, kind.scale).SetFloat64s(scale, shape...))
			must(t, c.Target().SetFloat64s(target))
			must(t, c.Mask().SetFloat64s(mask))
			must(t, c.Modulator().SetScalar(2))
			must(t, c.AdvanceState(0, 1))
			want := make([]float64, len(scale))
			for i, e := range target {
				want[i%len(want)] += slope[k](e, scale[i%len(scale)]) * 2 * mask[i%3]
			}
			comp := find(t, c, "d"+kind.scale)
			got, err := comp.Float64s()
			must(t, err)
			if fmt.Sprint(comp.Shape()) != fmt.Sprint([]int(shape)) {
				t.Errorf("%s: of a scale of shape %v the derivative has %v", kind.name, shape, comp.Shape())
			}
			for i := range want {
				if math.Abs(got[i]-want[i]) > 1e-12*max(1, math.Abs(want[i])) {
					t.Errorf("%s: of a scale of shape %v the derivative is %v, want %v", kind.name, shape, got, want)
				}
			}
		}
		c := makeToday(t, k, 3, neurons.WithScaleDerivative())
		must(t, c.Target().SetFloat64s(target))
		must(t, find(t, c, kind.scale).SetFloat32s([]float32{1, 2}, 2, 1))
		must(t, c.Mask().SetScalar(0))
		wantError(t, c.AdvanceState(0, 1), neurons.ErrShape, "e0.d"+kind.scale+": "+kind.scale+" has shape (2, 1)")
		wantValue(t, c.Mask(), []int{}, 0) // a step that fails changes nothing
		wantValue(t, c.DerivMean(), []int{1, 3}, 0, 0, 0)
	}
}

// TestFailuresOfToday: a step whose operands do not fit changes nothing, and
// after Close there is none.
func TestFailuresOfToday(t *testing.T) {
	for k, kind := range kindsOfToday {
		c := makeToday(t, k, 3, neurons.WithGatedLoss(), neurons.WithScaleDerivative())
		wantError(t, c.Target().SetFloat32s([]float32{1, 2}, 2), neurons.ErrShape, "e0.target: shape (2,) was given; (B, 3), or what broadcasts with it, is wanted")
		must(t, c.Target().SetFloat32s([]float32{1, 2}, 2, 1))
		must(t, c.Mean().SetFloat32s(make([]float32, 9), 3, 3))
		must(t, c.Mask().SetScalar(0))
		wantError(t, c.AdvanceState(0, 1), neurons.ErrShape, "e0: ")
		wantValue(t, c.Mask(), []int{}, 0)
		wantValue(t, c.Loss(), []int{}, 0)
		must(t, c.Mean().Clear())
		wantError(t, c.AdvanceState(0, 1), neurons.ErrAbsent, "e0."+kind.mean)
		must(t, c.Close())
		wantError(t, c.AdvanceState(0, 1), neurons.ErrClosed, "e0")
		wantError(t, c.Reset(), neurons.ErrClosed, "e0")
	}
}

// TestConnectionsOfToday: prediction and target need a wire.
func TestConnectionsOfToday(t *testing.T) {
	dev := open(t, "cpu")
	for k, kind := range kindsOfToday {
		from, c := makeToday(t, k, 3, neurons.On(dev)), makeToday(t, k, 3, neurons.On(dev))
		wantError(t, c.VerifyConnections(), neurons.ErrUnconnected, "e0."+kind.mean)
		must(t, neurons.Connect(from.DerivMean(), c.Mean(), neurons.Overwrite))
		wantError(t, c.VerifyConnections(), neurons.ErrUnconnected, "e0.target")
		must(t, neurons.Connect(from.DerivTarget(), c.Target(), neurons.Overwrite))
		must(t, c.VerifyConnections())
		must(t, from.Target().SetFloat32s([]float32{1, 0, -1}))
		must(t, from.AdvanceState(0, 1))
		must(t, c.Gather())
		must(t, c.AdvanceState(0, 1))
		wantValue(t, c.Mean(), []int{1, 3}, 1, 0, -1)
		wantValue(t, c.Target(), []int{1, 3}, -1, negZero, 1)
	}
}

// TestNothingIsAllocatedToday: once shapes repeat, a step allocates nothing.
func TestNothingIsAllocatedToday(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		for k := range kindsOfToday {
			for _, opts := range [][]neurons.Option{{neurons.On(dev)}, {neurons.On(dev), neurons.WithGatedLoss(), neurons.WithScaleDerivative()}} {
				c := makeToday(t, k, 100, opts...)
				must(t, c.Target().SetFloat32s(make([]float32, 800)))
				step := func() {
					must(t, c.AdvanceState(0, 1))
				}
				step()
				step()
				if n := testing.AllocsPerRun(20, step); n != 0 {
					t.Errorf("%s: a step allocates %v times", kindsOfToday[k].name, n)
				}
			}
		}
	})
}

// TestBernoulliCell: what the cell does beside its kernels.
func TestBernoulliCell(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		c, err := neurons.NewBernoulliErrorCell("e0", 4, neurons.On(dev), neurons.WithBatchSize(3), neurons.WithShape(2, 2), neurons.WithGatedLoss())
		must(t, err)
		defer c.Close()
		names := ""
		for _, comp := range c.Compartments() {
			names += comp.Name() + " "
		}
		if names != "L p dp target dtarget modulator mask " {
			t.Errorf("the compartments are %s", names)
		}
		if c.Probability() != c.Mean() || c.DerivProbability() != c.DerivMean() || c.Loss().Units() != "nats" {
			t.Error("p and dp are not the mean and its derivative, or L is not in nats")
		}
		if got := c.Target().Shape(); !slices.Equal(got, []int{3, 2, 2}) {
			t.Errorf("the target has shape %v", got)
		}
		must(t, c.Target().SetFloat32s([]float32{1, 1, 1, 1}, 1, 2, 2))
		must(t, c.Probability().SetFloat32s([]float32{0.5, 0.5, 0.5, 0.5}, 1, 2, 2))
		must(t, c.Modulator().SetScalar(1))
		must(t, c.Mask().SetFloat32s([]float32{1, 0, 0, 1}, 1, 2, 2))
		must(t, c.AdvanceState(0, 1))
		loss, err := c.Loss().Scalar()
		must(t, err)
		if want := 2 * math.Log(0.5); math.Abs(loss-want) > 1e-6 { // of the two units that the mask lets pass
			t.Errorf("L is %v, not %v", loss, want)
		}
		wantValue(t, c.Mask(), []int{1, 2, 2}, 1, 1, 1, 1)
		must(t, c.Reset())
		wantValue(t, c.DerivProbability(), []int{3, 2, 2}, make([]float32, 12)...)
		must(t, c.BatchedReset(1))
		wantValue(t, c.Mask(), []int{1, 2, 2}, 1, 1, 1, 1)
	})
	for logits, q := range map[bool]float64{false: 0.5, true: 1 / (1 + math.Exp(-0.5))} {
		c, err := neurons.NewBernoulliErrorCell("e0", 2, neurons.WithLogits(logits), neurons.WithGatedLoss())
		must(t, err)
		defer c.Close()
		must(t, c.Target().SetScalar(1))
		must(t, c.Probability().SetScalar(0.5))
		must(t, c.Modulator().SetFloat32s([]float32{2, 0}))
		must(t, c.AdvanceState(0, 1))
		if loss, err := c.Loss().Scalar(); err != nil || math.Abs(loss-2*math.Log(q)) > 1e-6 {
			t.Errorf("logits %v: the gated L is %v, want %v; %v", logits, loss, 2*math.Log(q), err)
		}
	}
	_, err := neurons.NewBernoulliErrorCell("e0", 4, neurons.WithLogits(true), neurons.WithTrueDerivative())
	wantError(t, err, neurons.ErrArgument, "e0: WithTrueDerivative is for probabilities")
	_, err = neurons.NewBernoulliErrorCell("e0", 4, neurons.WithSigma(1.0))
	wantError(t, err, neurons.ErrArgument, "e0: the cell has no option WithSigma")
}

// TestBernoulliSlopeOfLargeProbabilities: the factor sigmoid'(p) of a p that is no
// probability is not 0, as ngc-learn's s*(1-s) is.
func TestBernoulliSlopeOfLargeProbabilities(t *testing.T) {
	c, err := neurons.NewBernoulliErrorCell("e0", 1)
	must(t, err)
	defer c.Close()
	must(t, c.Probability().SetScalar(20))
	must(t, c.AdvanceState(0, 1))
	e, notQ := math.Exp(-20), 1-float64(float32(1-0.0001))
	dp, err := c.DerivProbability().Float32s()
	must(t, err)
	if want := float32(-1 / notQ * e / ((1 + e) * (1 + e))); ulps(dp[0], want) > 8 {
		t.Errorf("dp is %v, not %v", dp[0], want)
	}
}
