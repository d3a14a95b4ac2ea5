package neurons

import (
	"errors"
	"slices"
	"strings"

	"errorcell/backend"
	"errorcell/kernels"
)

// component is what every cell is: a name, compartments on a device, and the
// wires that arrive at them.
type component struct {
	kind         string // the Go type's name; the constructor sets it before start
	name         string
	units        int
	pattern      kernels.Shape // how the units are arranged
	anyShape     bool          // values need not have the shape of a batch of patterns
	dtype        kernels.DType
	dev          backend.Device // nil once closed
	ownsDevice   bool
	context      *Context // nil if it is in none
	store        *store   // where the compartments' arrays are from
	batchSize    int      // ngc-learn's batch_size
	compartments []*Compartment
	aliases      map[string]*Compartment // by their other names
	hidden       []*Compartment          // with values that only steps need
	batched      []*Compartment          // that have a batch's shape, and that reset leaves
	methods      []*method
	wanted       []*Compartment // at which a wire must arrive
	wires        []*wire        // in the order in which they were connected
	gather       *sequence
}

// start checks what every constructor is given and finds the device.
func (c *component) start(name string, units int, cfg config) error {
	if c.kind == "" {
		panic("neurons: the constructor of a cell sets its kind first, which is in files of state")
	}
	if name == "" {
		return c.fail(because(ErrArgument, "a component needs a name: wires and errors refer to it"))
	}
	c.name, c.units, c.dtype = name, units, cfg.dtype
	if units < 1 {
		return c.fail(because(ErrArgument, "n_units is %d, at least 1 is wanted", units))
	}
	c.batchSize = cfg.batchSize
	if err := c.checkBatchSize(c.batchSize); err != nil {
		return err
	}
	c.pattern = cfg.shape
	if c.pattern == nil {
		c.pattern = kernels.Shape{units}
	} else if n, err := shapeLen(c.pattern); err != nil || n != units {
		return c.fail(because(ErrArgument, "a pattern of shape %v does not have n_units = %d units", c.pattern, units))
	}
	if cfg.context != nil && (cfg.device != nil || cfg.spec != "") {
		return c.fail(because(ErrArgument, "it is in context %s and computes on the context's device; On and OnDevice are for the context", cfg.context.name))
	}
	if cfg.context != nil {
		return c.fail(cfg.context.admit(c))
	}
	c.dev = cfg.device
	if c.dev == nil {
		dev, err := backend.Open(cfg.spec)
		if err != nil {
			return c.fail(err)
		}
		c.dev, c.ownsDevice = dev, true
	}
	c.store = newStore(c.dev, c.dtype)
	return nil
}

// add makes a compartment. absent says why it may hold no value.
func (c *component) add(name, absent string) *Compartment {
	comp := newCompartment(c, name, absent)
	c.compartments = append(c.compartments, comp)
	return comp
}

// hide makes a compartment that only steps know, and whose value is the
// constructor's or made anew before each use: [Context.Save] does not keep it. Its
// name is for messages.
func (c *component) hide(name string) *Compartment {
	comp := newCompartment(c, name, "no step has computed it")
	c.hidden = append(c.hidden, comp)
	return comp
}

// fail adds the component's name to an error that does not have one yet.
func (c *component) fail(err error) error { return named(c.name, err) }

func (c *component) checkOpen() error {
	if c.dev == nil {
		return &Error{Component: c.name, Err: ErrClosed}
	}
	return nil
}

// Name is the name of the component, unique in its circuit.
func (c *component) Name() string { return c.name }

// Units is the number N of units, ngc-learn's n_units.
func (c *component) Units() int { return c.units }

// DType is the element type that the component computes in.
func (c *component) DType() kernels.DType { return c.dtype }

// Device is where the component computes; nil after Close.
func (c *component) Device() backend.Device { return c.dev }

// Compartments lists the compartments in ngc-learn's order.
func (c *component) Compartments() []*Compartment { return slices.Clone(c.compartments) }

// Compartment finds a compartment by its name in ngc-learn, such as "dmu".
func (c *component) Compartment(name string) (*Compartment, error) {
	if comp, ok := c.aliases[name]; ok {
		return comp, nil
	}
	if comp := c.own(name); comp != nil {
		return comp, nil
	}
	names := make([]string, len(c.compartments))
	for i, comp := range c.compartments {
		names[i] = comp.name
	}
	return nil, c.fail(because(ErrCompartment, "there is no compartment %q; there are: %s", name, strings.Join(names, ", ")))
}

// own finds a compartment by its own name, no alias, nil if there is none.
func (c *component) own(name string) *Compartment {
	for _, comp := range c.compartments {
		if comp.name == name {
			return comp
		}
	}
	return nil
}

// Clamp sets the compartment of this name; see [Compartment.Set].
func (c *component) Clamp(name string, value any) error {
	comp, err := c.Compartment(name)
	if err != nil {
		return err
	}
	return comp.Set(value)
}

// Gather lets every wire that arrives here deliver, in the order in which they
// were connected. If one cannot, none does.
func (c *component) Gather() error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	if c.gather == nil {
		c.gather = newSequence(c.dev, c.arrivals())
	}
	return c.fail(c.gather.run())
}

// BatchSize is ngc-learn's batch_size: how many patterns there are in the
// values that Reset leaves.
func (c *component) BatchSize() int { return c.batchSize }

// SetBatchSize changes how many patterns there are in a batch and begins anew
// with that many: it is a Reset, and what a Reset leaves alone becomes zeros if
// its shape has the batch in it. A scale and other parameters stay.
func (c *component) SetBatchSize(patterns int) error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	if err := c.checkBatchSize(patterns); err != nil {
		return err
	}
	was := c.batchSize
	c.batchSize = patterns
	ops := slices.Concat(c.method("reset").ops, c.fills(0, c.batch, c.batched...))
	if err := newSequence(c.dev, ops).run(); err != nil {
		c.batchSize = was
		return c.fail(err)
	}
	if c.context != nil {
		c.context.resized()
	}
	return nil
}

// batch appends the shape of a batch of patterns.
func (c *component) batch(to kernels.Shape) kernels.Shape {
	return append(append(to, c.batchSize), c.pattern...)
}

// grid is the shape of a batch of so many patterns.
func (c *component) grid(patterns int) kernels.Shape {
	return append(kernels.Shape{patterns}, c.pattern...)
}

func (c *component) checkBatchSize(patterns int) error {
	switch {
	case patterns < 1:
		return c.fail(because(ErrArgument, "batch_size is %d, at least 1 is wanted", patterns))
	case c.units > maxElements/patterns:
		return c.fail(because(backend.ErrMemory, "a batch of %d patterns of n_units = %d is larger than memory can be", patterns, c.units))
	}
	return nil
}

// checkHolds refuses what is infinite or NaN in the component's element type,
// which all steps would come to have.
func (c *component) checkHolds(what string, x float64) error {
	if y := float32(x); c.dtype == kernels.F32 && y-y != 0 && x-x == 0 {
		return c.fail(because(ErrArgument, "%s is %v, which float32 does not hold", what, x))
	}
	return c.fail(checkFinite(what, x))
}

// VerifyConnections finds out whether at least one wire arrives at each
// compartment that the cell cannot do without; a value that was set is no wire.
// What is missing is an [ErrUnconnected].
func (c *component) VerifyConnections() error { return c.checkIncoming(c.wanted...) }

// checkIncoming is ngc-learn's check_incoming_connections, for a minimum of one.
func (c *component) checkIncoming(comps ...*Compartment) error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	for _, comp := range comps {
		if !slices.ContainsFunc(c.wires, func(w *wire) bool { return w.dst == comp }) {
			return comp.fail(because(ErrUnconnected, "no wire arrives, at least 1 is wanted (a value that was set is no wire)"))
		}
	}
	return nil
}

// Save does nothing: the cell has no parameters. It is there, as in ngc-learn,
// so that a whole circuit can be saved component by component; [Context.Save]
// saves what a whole circuit holds.
func (c *component) Save(dir string) error { return c.checkOpen() }

// Close releases the memory of the compartments, and the device if it was
// opened for this component alone. Closing again does nothing; any other use
// afterwards is an [ErrClosed].
func (c *component) Close() error {
	if c.dev == nil {
		return nil
	}
	var errs []error
	for _, m := range c.methods {
		errs = append(errs, m.own.close())
	}
	errs = append(errs, c.gather.close())
	for _, comp := range slices.Concat(c.compartments, c.hidden) {
		comp.forget()
	}
	if c.context != nil {
		c.context.dismiss(c)
		errs = append(errs, c.store.trim())
	} else {
		errs = append(errs, c.store.close())
	}
	if c.ownsDevice {
		errs = append(errs, c.dev.Close())
	}
	c.dev = nil
	return c.fail(errors.Join(errs...))
}
