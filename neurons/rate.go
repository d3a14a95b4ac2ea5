package neurons

import (
	"math"

	"errorcell/kernels"
)

// RateCell is a population of N graded units that integrate a current:
// ngc-learn's cell of that name (3.2.3,
// ngclearn/components/neurons/graded/rateCell.py). With an activation f and a
// prior that has a leak, a step of length dt computes
//
//	j     = j * f'(z) * resist_scale
//	dz/dt = (-leak(z)*gamma + (j + j_td)) / tau_m
//	z     = threshold(z + dz/dt*dt)
//	zF    = f(z) * output_scale
//
// where leak(z) is z for the gaussian prior, sign(z) for the laplacian, 2z/(1+z^2)
// for the cauchy and 2z*exp(-z^2) for the exp prior. Without a state, where tau_m
// is 0 or less, z is j + j_td, and j stays.
//
// As in ngc-learn, j is left modulated: where nobody sets it anew and no wire
// does, it fades from step to step. Of an activation whose derivative is 1 it
// stays; such are identity and, by the straight-through estimator,
// unit_threshold and heaviside.
type RateCell struct {
	component
	j, jTD, z, zF *Compartment

	advance, reset *method
}

// NewRateCell makes a cell of this many units, all zeros. tauM is its time
// constant, in the unit of dt (ngc-learn's is the millisecond). It takes
// [WithActivation], [WithPrior], [WithThreshold], [WithIntegration],
// [WithOutputScale], [WithResistScale], [WithStateful], [WithBatchSize] and
// [WithShape] too. Close it after use.
func NewRateCell(name string, units int, tauM float64, opts ...Option) (*RateCell, error) {
	cfg, err := configure(opts, "WithActivation", "WithPrior", "WithThreshold", "WithIntegration",
		"WithOutputScale", "WithResistScale", "WithStateful", "WithBatchSize", "WithShape")
	switch {
	case err != nil:
	case math.IsNaN(tauM):
		err = because(ErrArgument, "tau_m is NaN")
	case cfg.tauM:
		err = because(ErrArgument, "tau_m is the third argument of NewRateCell, WithTauM is for error cells, which have no use for it")
	}
	if err != nil {
		return nil, &Error{Component: name, Err: err}
	}
	cfg.rate.Resist = cfg.resistScale != 1
	cfg.rate.Stateless = cfg.rate.Stateless || tauM <= 0
	kernel, err := kernels.Rate(cfg.rate)
	if err != nil {
		return nil, &Error{Component: name, Err: because(ErrArgument, "%v", err)}
	}
	c := &RateCell{}
	c.kind = "RateCell"
	if err := c.start(name, units, cfg); err != nil {
		return nil, err
	}
	c.j = c.add("j", cleared).displays("Input Stimulus Current", "mA")
	c.zF = c.add("zF", cleared).displays("Transformed Rate Activity", "")
	c.jTD = c.add("j_td", cleared).displays("Modulatory Stimulus Current", "mA")
	c.z = c.add("z", cleared).displays("Rate Activity", "mA")
	c.wanted = []*Compartment{c.j}
	if err := c.makeMethods(kernel, tauM, cfg); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// makeMethods makes the methods of the kernel's operands and results, by their
// names.
func (c *RateCell) makeMethods(kernel *kernels.Kernel, tauM float64, cfg config) error {
	dt := c.hide("dt")
	of := map[string]*Compartment{"j": c.j, "j_td": c.jTD, "z": c.z, "dt": dt,
		"next-j": c.j, "next-z": c.z, "zF": c.zF}
	rate := 1 / tauM
	if c.dtype == kernels.F32 {
		rate = float64(1 / float32(tauM)) // ngc-learn rounds tau_m before it divides
	}
	for _, p := range []struct {
		name, what string
		x          float64
	}{
		{"rate", "1/tau_m", rate},
		{"gamma", "the leak", cfg.leak},
		{"lambda", "the threshold's lambda", cfg.lambda},
		{"resist_scale", "resist_scale", cfg.resistScale},
		{"output_scale", "output_scale", cfg.outputScale},
	} {
		if kernel.InputIndex(p.name) < 0 {
			continue
		}
		if err := c.checkHolds(p.what, p.x); err != nil {
			return err
		}
		of[p.name] = c.hide(p.name)
		if err := of[p.name].setAll(kernels.Shape{}, p.x); err != nil {
			return err
		}
	}
	var inputs, outputs []*Compartment
	for _, in := range kernel.Inputs() {
		inputs = append(inputs, of[in.Name])
	}
	for _, out := range kernel.Outputs() {
		outputs = append(outputs, of[out.Name])
	}
	c.advance = c.does("advance_state", newStep(kernel, inputs, outputs))
	if kernel.InputIndex("dt") >= 0 {
		last := math.NaN()
		c.advance.before = func(_, now float64) error {
			if now == last {
				return nil
			}
			if err := c.checkHolds("dt", now); err != nil {
				return err
			}
			last = math.NaN() // in case that it cannot be set
			if err := dt.SetScalar(now); err != nil {
				return err
			}
			last = now
			return nil
		}
	}
	c.reset = c.does("reset", c.fills(0, c.batch, c.j, c.jTD, c.z, c.zF)...)
	return c.Reset()
}

// Current is j, the current that drives the cell, (B, N).
func (c *RateCell) Current() *Compartment { return c.j }

// Pressure is j_td, the pressure from above, which no derivative modulates.
func (c *RateCell) Pressure() *Compartment { return c.jTD }

// Rate is z, the cell's state.
func (c *RateCell) Rate() *Compartment { return c.z }

// Output is zF, the activation of the state.
func (c *RateCell) Output() *Compartment { return c.zF }

// AdvanceState moves the cell one step of length dt forward: see [RateCell]. The
// time t is unused. When it fails, every compartment is as it was.
func (c *RateCell) AdvanceState(t, dt float64) error { return c.call(c.advance, t, dt) }

// Reset makes all compartments zeros.
func (c *RateCell) Reset() error { return c.call(c.reset, 0, 0) }
