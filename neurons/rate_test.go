package neurons_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/neurons"
)

func newRate(t testing.TB, units int, tauM float64, opts ...neurons.Option) *neurons.RateCell {
	t.Helper()
	c, err := neurons.NewRateCell("z0", units, tauM, opts...)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// TestRateCell takes steps by hand; the numbers are exact.
func TestRateCell(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		c := newRate(t, 2, 4, neurons.On(dev), neurons.WithBatchSize(2), neurons.WithActivation("relu"), neurons.WithPrior("gaussian", 0.5),
			neurons.WithThreshold("soft_threshold", 0.25), neurons.WithResistScale(0.5), neurons.WithOutputScale(4))
		must(t, c.Rate().SetFloat32s([]float32{2, -2, 0, 1}))
		must(t, c.Current().SetFloat32s([]float32{16, -16, -16, 4}))
		must(t, c.Pressure().SetFloat32s([]float32{1, 2, 0, 0}))
		must(t, c.AdvanceState(0, 2))
		wantValue(t, c.Current(), []int{2, 2}, 8, negZero, -8, 2) // times the derivative and 0.5
		// z + (-z*0.5 + j + j_td)/4 * 2 is 6, -0.5, -4 and 1.75.
		wantValue(t, c.Rate(), []int{2, 2}, 5.75, -0.25, -3.75, 1.5)
		wantValue(t, c.Output(), []int{2, 2}, 23, 0, 0, 6)
		wantValue(t, c.Pressure(), []int{2, 2}, 1, 2, 0, 0)
		must(t, c.AdvanceState(2, 0)) // no time goes by, but z is shrunk
		wantValue(t, c.Rate(), []int{2, 2}, 5.5, 0, -3.5, 1.25)
		must(t, c.Reset())
		for _, comp := range c.Compartments() {
			wantValue(t, comp, []int{2, 2}, 0, 0, 0, 0)
		}
	})
}

// TestCurrentFades: j is left modulated, so that without a new one it becomes
// less from step to step, unless the derivative is 1.
func TestCurrentFades(t *testing.T) {
	for activation, factor := range map[string]float32{"identity": 1, "unit_threshold": 1, "heaviside": 1, "sigmoid": 0.25} {
		c := newRate(t, 1, 4, neurons.WithActivation(activation))
		j := float32(8)
		must(t, c.Current().SetFloat32s([]float32{j}))
		for range 3 {
			must(t, c.Rate().SetFloat32s([]float32{0}))
			must(t, c.AdvanceState(0, 1))
			j *= factor
			wantValue(t, c.Current(), []int{1, 1}, j)
		}
	}
	c := newRate(t, 2, 4, neurons.WithBatchSize(3))
	must(t, c.Current().SetFloat32s([]float32{1, 2, 3}, 3, 1))
	must(t, c.AdvanceState(0, 1))
	wantValue(t, c.Current(), []int{3, 1}, 1, 2, 3)
	wantValue(t, c.Rate(), []int{3, 2}, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75)
}

// TestRateWithoutAState: z is what comes in, and nothing else has an effect.
func TestRateWithoutAState(t *testing.T) {
	for _, c := range []*neurons.RateCell{
		newRate(t, 2, 0, neurons.WithActivation("relu")),
		newRate(t, 2, -1, neurons.WithActivation("relu"), neurons.WithPrior("cauchy", 3)),
		newRate(t, 2, 4, neurons.WithActivation("relu"), neurons.WithStateful(false), neurons.WithThreshold("soft_threshold", 1),
			neurons.WithResistScale(0.5)),
	} {
		must(t, c.Rate().SetFloat32s([]float32{100, 100}))
		must(t, c.Current().SetFloat32s([]float32{3, -3}))
		must(t, c.Pressure().SetScalar(1))
		must(t, c.AdvanceState(0, float64(nan))) // of any length
		wantValue(t, c.Current(), []int{1, 2}, 3, -3)
		wantValue(t, c.Rate(), []int{1, 2}, 4, -2)
		wantValue(t, c.Output(), []int{1, 2}, 4, 0)
	}
}

// TestRateIntegration: two names for each of two methods.
func TestRateIntegration(t *testing.T) {
	after := func(name string) float32 {
		c := newRate(t, 1, 4, neurons.WithIntegration(name), neurons.WithPrior("gaussian", 1))
		must(t, c.Rate().SetScalar(1))
		must(t, c.AdvanceState(0, 2))
		z, err := c.Rate().Float32s()
		must(t, err)
		return z[0]
	}
	for name, want := range map[string]float32{"euler": 0.5, "rk1": 0.5, "midpoint": 0.625, "rk2": 0.625} {
		if z := after(name); z != want {
			t.Errorf("by %s z becomes %v, want %v", name, z, want)
		}
	}
}

// TestLengthOfAStep: dt may differ from step to step.
func TestLengthOfAStep(t *testing.T) {
	c := newRate(t, 1, 8)
	must(t, c.Current().SetScalar(1))
	z := float32(0)
	for _, dt := range []float64{1, 1, 2, 0.5, 0.5, 1, 0, -1} {
		must(t, c.AdvanceState(0, dt))
		z += float32(dt) / 8
		wantValue(t, c.Rate(), []int{1, 1}, z)
	}
	before := state(t, c)
	for dt, words := range map[float64]string{math.NaN(): "a finite number is wanted", math.Inf(1): "a finite number is wanted",
		1e300: "dt is 1e+300, which float32 does not hold"} {
		wantError(t, c.AdvanceState(0, dt), neurons.ErrArgument, words)
	}
	for name, was := range before {
		if state(t, c)[name] != was {
			t.Errorf("a step that fails changes %s", name)
		}
	}
	must(t, c.AdvanceState(0, 1))
	wantValue(t, c.Rate(), []int{1, 1}, z+0.125)
}

// TestTimeConstantIsRounded: ngc-learn rounds tau_m and then divides.
func TestTimeConstantIsRounded(t *testing.T) {
	c := newRate(t, 1, 1.1)
	must(t, c.Current().SetScalar(1))
	must(t, c.AdvanceState(0, 1))
	wantValue(t, c.Rate(), []int{1, 1}, 0.9090909) // float32(1/1.1) is 0.90909094

	c = newRate(t, 1, 1.1, neurons.WithDType(kernels.F64))
	must(t, c.Current().SetScalar(1))
	must(t, c.AdvanceState(0, 1))
	if z, err := c.Rate().Scalar(); err != nil || z != 1/1.1 {
		t.Errorf("in float64, z is %v, want %v; %v", z, 1/1.1, err)
	}
}

// TestActivationsStayFinite where ngc-learn's are NaN: beyond 88.72 those of elu
// and its derivative, beyond 84.3 the derivative of telu.
func TestActivationsStayFinite(t *testing.T) {
	for _, name := range []string{"elu", "telu"} {
		c := newRate(t, 3, 1, neurons.WithActivation(name))
		must(t, c.Rate().SetFloat32s([]float32{85, 100, 1e38}))
		must(t, c.Current().SetFloat32s([]float32{1, 2, 3}))
		must(t, c.AdvanceState(0, 1))
		wantValue(t, c.Current(), []int{1, 3}, 1, 2, 3)
		wantValue(t, c.Output(), []int{1, 3}, 86, 102, 1e38)
	}
	c := newRate(t, 2, 1, neurons.WithThreshold("cauchy_threshold", 1)) // a TypeError there
	must(t, c.Rate().SetFloat32s([]float32{0.5, -1}))
	must(t, c.AdvanceState(0, 1))
	wantValue(t, c.Rate(), []int{1, 2}, 0, -0.5)
}

// TestSlopesOfLargeStates: ngc-learn's 1 - tanh^2 and s*(1-s) are 0 there.
func TestSlopesOfLargeStates(t *testing.T) {
	for name, factor := range map[string]float64{"tanh": 4, "sigmoid": 1} {
		c := newRate(t, 2, 1, neurons.WithActivation(name))
		z := []float32{20, -20}
		if name == "tanh" {
			z = []float32{10, -10}
		}
		must(t, c.Rate().SetFloat32s(z))
		must(t, c.Current().SetFloat32s([]float32{1, 1}))
		must(t, c.AdvanceState(0, 1))
		e := math.Exp(-20)
		want := float32(factor * e / ((1 + e) * (1 + e)))
		got, err := c.Current().Float32s()
		must(t, err)
		for i := range got {
			if ulps(got[i], want) > 4 {
				t.Errorf("%s'(%v) is %v, want %v", name, z[i], got[i], want)
			}
		}
	}
}

func TestRateConstructor(t *testing.T) {
	for _, test := range []struct {
		tauM float64
		opt  neurons.Option
		text string
	}{
		{float64(nan), neurons.WithBatchSize(1), "tau_m is NaN"},
		{1, neurons.WithPrior("gaussian", math.Inf(1)), "the leak is +Inf, a finite number is wanted"},
		{1, neurons.WithThreshold("soft_threshold", math.NaN()), "the threshold's lambda is NaN"},
		{1, neurons.WithOutputScale(math.NaN()), "output_scale is NaN"},
		{1, neurons.WithResistScale(math.Inf(-1)), "resist_scale is -Inf"},
		{1, neurons.WithPrior("gaussian", 1e300), "the leak is 1e+300, which float32 does not hold"},
		{1, neurons.WithThreshold("soft_threshold", -1e300), "the threshold's lambda is -1e+300, which"},
		{1, neurons.WithOutputScale(1e300), "output_scale is 1e+300, which"},
		{1, neurons.WithResistScale(1e39), "resist_scale is 1e+39, which"},
		{1e-40, neurons.WithBatchSize(1), "1/tau_m is +Inf"},
		{10, neurons.WithTauM(10), "tau_m is the third argument of NewRateCell"},
		{1, neurons.WithActivation("sine"), `no activation "sine"; there are: elu, gelu, heaviside, identity, lrelu, relu, relu6, sigmoid, silu, softplus, tanh, telu, unit_threshold`},
		{1, neurons.WithActivation("softmax"), `no activation "softmax"`},
		{1, neurons.WithActivation("bkwta"), `no activation "bkwta"`},
		{1, neurons.WithActivation("heaviside_step"), `no activation "heaviside_step"`},
		{1, neurons.WithPrior("normal", 1), `no prior "normal"; there are: cauchy, exp, gaussian, laplacian`},
		{1, neurons.WithThreshold("hard", 1), `no threshold "hard"; there are: cauchy_threshold, none, soft_threshold`},
		{1, neurons.WithIntegration("rk4"), `no integration "rk4"; there are: euler, rk1, midpoint, rk2`},
		{1, neurons.WithIntegration("heun"), `no integration "heun"`},
		{1, neurons.WithScale(2.0), "no option WithScale"},
	} {
		_, err := neurons.NewRateCell("z0", 2, test.tauM, test.opt)
		wantError(t, err, neurons.ErrArgument, test.text)
	}
	_, err := neurons.NewGaussianErrorCell("e0", 2, neurons.WithActivation("tanh"))
	wantError(t, err, neurons.ErrArgument, "no option WithActivation")

	c := newRate(t, 6, 10, neurons.WithBatchSize(2), neurons.WithShape(2, 3), neurons.WithKey(1234))
	var names []string
	for _, comp := range c.Compartments() {
		names = append(names, strings.TrimSpace(strings.Join([]string{comp.Name(), comp.DisplayName(), comp.Units()}, " ")))
		wantValue(t, comp, []int{2, 2, 3}, make([]float32, 12)...)
	}
	if want := []string{"j Input Stimulus Current mA", "zF Transformed Rate Activity", "j_td Modulatory Stimulus Current mA", "z Rate Activity mA"}; !slices.Equal(names, want) {
		t.Errorf("the compartments are %q, want %q", names, want)
	}
	if c.BatchSize() != 2 {
		t.Errorf("batch_size is %d", c.BatchSize())
	}
	wantError(t, c.VerifyConnections(), neurons.ErrUnconnected, "z0.j")
	must(t, neurons.Connect(c.Output(), c.Current(), neurons.Overwrite))
	must(t, c.VerifyConnections())
	must(t, neurons.Disconnect(c.Current()))

	must(t, c.Pressure().SetFloat32s([]float32{1, 2, 3}, 1, 3))
	before := state(t, c)
	wantError(t, c.AdvanceState(0, 1), neurons.ErrShape, "z0: ")
	for name, was := range before {
		if state(t, c)[name] != was {
			t.Errorf("a step that fails changes %s", name)
		}
	}
	must(t, c.Reset())
	must(t, c.Current().Clear())
	wantError(t, c.AdvanceState(0, 1), neurons.ErrAbsent, "z0.j")
	must(t, c.Current().SetScalar(1))
	must(t, c.Pressure().Clear()) // it is 0
	must(t, c.AdvanceState(0, 1))
	must(t, c.Close())
	wantError(t, c.AdvanceState(0, 1), neurons.ErrClosed, "z0")
	wantError(t, c.Reset(), neurons.ErrClosed, "z0")
}

// TestRateAllocatesNothing once shapes and dt repeat.
func TestRateAllocatesNothing(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		for _, activation := range []string{"identity", "relu", "silu"} {
			c := newRate(t, 100, 10, neurons.On(dev), neurons.WithActivation(activation))
			must(t, c.Pressure().SetFloat32s(make([]float32, 100)))
			step := func() { must(t, c.AdvanceState(0, 1)) }
			for range 4 {
				step()
			}
			if n := testing.AllocsPerRun(20, step); n != 0 {
				t.Errorf("%s: a step allocates %v times", activation, n)
			}
		}
	})
}

// TestRateKernelsOnEveryDevice: each activation, prior and threshold, both
// methods and cells without a state, to the bits of the reference.
func TestRateKernelsOnEveryDevice(t *testing.T) {
	var specs []kernels.RateSpec
	for _, name := range kernels.Activations() {
		specs = append(specs, kernels.RateSpec{Activation: name, Prior: "gaussian", Threshold: "none"},
			kernels.RateSpec{Activation: name, Prior: "gaussian", Threshold: "none", Stateless: true})
	}
	for i, name := range kernels.Priors() {
		specs = append(specs, kernels.RateSpec{Activation: "relu6", Prior: name, Threshold: "none", Midpoint: i%2 == 0, Resist: true},
			kernels.RateSpec{Activation: "identity", Prior: name, Threshold: "none", Midpoint: i%2 == 1, Resist: true})
	}
	for _, name := range kernels.Thresholds() {
		specs = append(specs, kernels.RateSpec{Activation: "elu", Prior: "laplacian", Threshold: name, Midpoint: true})
	}
	const rows, cols = 3, 67
	numbers := func(seed uint64) []float32 {
		r := rand.New(rand.NewPCG(seed, 2))
		x := make([]float32, rows*cols)
		for i := range x {
			x[i] = float32(r.NormFloat64() * 4)
		}
		copy(x, []float32{0, negZero, 1, -1, 100, -100, 1e30, -1e30, 1e-40, inf, -inf, nan})
		return x
	}
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		for _, spec := range specs {
			opts := []neurons.Option{neurons.On(dev), neurons.WithBatchSize(rows), neurons.WithActivation(spec.Activation),
				neurons.WithPrior(spec.Prior, 0.25), neurons.WithThreshold(spec.Threshold, 0.5), neurons.WithOutputScale(1.5),
				neurons.WithStateful(!spec.Stateless)}
			if spec.Midpoint {
				opts = append(opts, neurons.WithIntegration("midpoint"))
			}
			scalar := func(x float32) *kernels.Array[float32] {
				return &kernels.Array[float32]{Shape: kernels.Shape{}, Data: []float32{x}}
			}
			operands := map[string]*kernels.Array[float32]{"dt": scalar(0.5), "rate": scalar(0.25), "gamma": scalar(0.25),
				"lambda": scalar(0.5), "output_scale": scalar(1.5), "resist_scale": scalar(0.75)}
			if spec.Resist {
				opts = append(opts, neurons.WithResistScale(0.75))
			}
			z := must1(neurons.NewRateCell("z", cols, 4, opts...))(t)
			for i, name := range []string{"j", "j_td", "z"} {
				data := numbers(uint64(i))
				must(t, z.Clamp(name, data))
				operands[name] = &kernels.Array[float32]{Shape: kernels.Shape{rows, cols}, Data: data}
			}
			must(t, z.AdvanceState(0, 0.5))
			kernel := must1(kernels.Rate(spec))(t)
			var in []*kernels.Array[float32]
			for _, operand := range kernel.Inputs() {
				in = append(in, operands[operand.Name])
			}
			out := must1(kernels.Reference(kernel, in...))(t)
			for i, result := range kernel.Outputs() {
				got := must1(find(t, z, strings.TrimPrefix(result.Name, "next-")).Float32s())(t)
				if at := firstDifference(got, out[i].Data); at >= 0 {
					t.Errorf("%+v: %s[%d] is %v, not %v; z %v", spec, result.Name, at, got[at], out[i].Data[at], operands["z"].Data[at])
				}
			}
			must(t, z.Close())
		}
	})
}

// must1 is must for calls with a result.
func must1[T any](x T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return x
	}
}
