package neurons

import (
	"slices"

	"errorcell/backend"
)

// Process is an ordered list of components' methods that is run as one step:
// ngc-learn's MethodProcess. For each method in turn, the wires that arrive at
// its component deliver, and then it runs. So a method sees what those before it
// have computed in the same step, and what those after it did in the step before
// (Gauss-Seidel, not simultaneous).
//
// Before it first runs, a process is compiled for its circuit: see [Fusing]. A
// GPU then replays each step as one graph. What a process computes is, to the
// bit, what Gather and the methods called one by one compute.
type Process struct {
	context *Context
	name    string
	calls   []call
	fusing  bool
	whole   *sequence // nil until it is compiled for the wires that there are
}

type call struct {
	of     *component
	method *method
}

// ProcessOption is a setting of [Context.NewProcess].
type ProcessOption func(*Process)

// Fusing says whether neighbouring kernels become one where nothing else happens
// between them, so that what one computes for the next need not go through
// memory, and what nobody reads any more is not written. The bits are the same.
//
// By default they do where starting a kernel costs time, on a GPU. On a CPU
// they do not: there a cell's own kernel is a function of its own, which is
// faster than a kernel that is put together while the program runs.
func Fusing(on bool) ProcessOption { return func(p *Process) { p.fusing = on } }

// NewProcess makes a process of methods by their paths, such as
// "z0.advance_state". A method may occur more than once.
func (x *Context) NewProcess(name string, methods []string, opts ...ProcessOption) (*Process, error) {
	if err := x.checkOpen(); err != nil {
		return nil, err
	}
	p := &Process{context: x, name: name}
	_, p.fusing = x.dev.(backend.Recorder)
	fail := func(err error) error { return &Error{Component: x.name, Compartment: name, Err: err} }
	switch {
	case !validName(name):
		return nil, x.fail(because(ErrArgument, nameRule, name))
	case slices.ContainsFunc(x.processes, func(other *Process) bool { return other.name == name }):
		return nil, fail(because(ErrArgument, "there is a process of that name already"))
	case len(methods) == 0:
		return nil, fail(because(ErrArgument, "a process of no methods: at least one is wanted"))
	}
	for _, path := range methods {
		c, name, err := x.split(path, "method")
		if err != nil {
			return nil, err
		}
		m := c.method(name)
		if m == nil {
			return nil, c.fail(because(ErrMethod, "there is no method %q; there are: %s", name, list(c.Methods())))
		}
		p.calls = append(p.calls, call{c, m})
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, fail(because(ErrArgument, "an option is nil"))
		}
		opt(p)
	}
	x.processes = append(x.processes, p)
	return p, nil
}

// Name is the process's name.
func (p *Process) Name() string { return p.name }

// Methods lists the methods' paths, in order.
func (p *Process) Methods() []string {
	paths := make([]string, len(p.calls))
	for i, c := range p.calls {
		paths[i] = c.of.name + "." + c.method.name
	}
	return paths
}

func (p *Process) checkOpen() error {
	if p == nil || p.context == nil {
		e := &Error{Err: because(ErrClosed, "the process is closed")}
		if p != nil {
			e.Component = p.name
		}
		return e
	}
	if err := p.context.checkOpen(); err != nil {
		return err
	}
	for _, c := range p.calls {
		if err := c.of.checkOpen(); err != nil {
			return err
		}
	}
	return nil
}

// Step runs the process once. t is the time, and dt the length of the step, both
// in the unit of the cells' time constants (ngc-learn's is the millisecond).
//
// When it fails, every compartment is as it was, unless the device refuses the rest
// of a step that it has begun. A device that is still computing when Step returns
// may report a failure later, when a result is read.
func (p *Process) Step(t, dt float64) error {
	if err := p.checkOpen(); err != nil {
		return err
	}
	for _, c := range p.calls {
		if c.method.before != nil {
			if err := c.method.before(t, dt); err != nil {
				return c.of.fail(err)
			}
		}
	}
	if p.whole == nil {
		p.compile()
	}
	return p.context.fail(p.whole.run())
}

// compile makes the ops of the whole process.
func (p *Process) compile() {
	var ops []op
	for _, c := range p.calls {
		ops = append(ops, c.of.arrivals()...)
		for _, o := range c.method.ops {
			ops = append(ops, o.copy())
		}
	}
	if p.fusing {
		ops = fuse(ops)
	}
	p.whole = newSequence(p.context.dev, ops)
}

// Close removes the process from its context. Closing again does nothing.
func (p *Process) Close() error {
	if p == nil || p.context == nil {
		return nil
	}
	p.context.processes = slices.DeleteFunc(p.context.processes, func(other *Process) bool { return other == p })
	p.context = nil
	return p.whole.close()
}
