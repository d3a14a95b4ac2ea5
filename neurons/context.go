package neurons

import (
	"errors"
	"slices"
	"strings"

	"errorcell/backend"
	"errorcell/kernels"
)

// Context is a circuit: components by their names, all on one device, with the
// processes that run their methods. It is ngcsimlib's Context.
//
// A context with all that is in it is used by one goroutine at a time.
type Context struct {
	name       string
	dev        backend.Device // nil once closed
	ownsDevice bool
	stores     map[kernels.DType]*store
	components []*component
	processes  []*Process
}

// NewContext makes an empty circuit. Of the options it takes [OnDevice] and
// [On]; without them the device is the one that backend.Open("") picks. Close it
// after use.
func NewContext(name string, opts ...Option) (*Context, error) {
	x := &Context{name: name, stores: map[kernels.DType]*store{}}
	cfg, err := configure(opts)
	switch {
	case len(cfg.used) > 0:
		return nil, x.fail(because(ErrArgument, "a context has no option %s", cfg.used[0]))
	case err != nil:
		return nil, x.fail(err)
	case cfg.dtype != kernels.F32:
		return nil, x.fail(because(ErrArgument, "a context has no option WithDType: each of its components may have another"))
	case !validName(name):
		return nil, x.fail(because(ErrArgument, nameRule, name))
	case cfg.context != nil:
		return nil, x.fail(because(ErrArgument, "a context cannot be in another"))
	}
	x.dev = cfg.device
	if x.dev == nil {
		dev, err := backend.Open(cfg.spec)
		if err != nil {
			return nil, x.fail(err)
		}
		x.dev, x.ownsDevice = dev, true
	}
	return x, nil
}

// nameRule says what names of contexts, processes and components in a context
// must be, since they are parts of paths such as "z0.zF" and of files' names.
const nameRule = "the name %q: at least one letter, digit, '_' or '-', and nothing else, is wanted"

func validName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
}

func (x *Context) fail(err error) error { return named(x.name, err) }

func (x *Context) checkOpen() error {
	if x == nil || x.dev == nil {
		e := &Error{Err: because(ErrClosed, "the context is closed")}
		if x != nil {
			e.Component = x.name
		}
		return e
	}
	return nil
}

// Name is the context's name.
func (x *Context) Name() string { return x.name }

// Device is where the context's components compute; nil after Close.
func (x *Context) Device() backend.Device { return x.dev }

// admit takes a component in.
func (x *Context) admit(c *component) error {
	if x.dev == nil {
		return because(ErrClosed, "context %q is closed, or was not made by NewContext", x.name)
	}
	if !validName(c.name) {
		return because(ErrArgument, "in context %s: "+nameRule, x.name, c.name)
	}
	if x.find(c.name) != nil {
		return because(ErrArgument, "context %s has a component of that name already", x.name)
	}
	if x.stores[c.dtype] == nil {
		x.stores[c.dtype] = newStore(x.dev, c.dtype)
	}
	c.context, c.dev, c.store = x, x.dev, x.stores[c.dtype]
	x.components = append(x.components, c)
	return nil
}

// dismiss lets go of a component that is being closed.
func (x *Context) dismiss(c *component) {
	x.components = slices.DeleteFunc(x.components, func(other *component) bool { return other == c })
	x.rewired()
}

// rewired makes what follows from wires anew.
func (x *Context) rewired() {
	for _, p := range x.processes {
		p.whole.close() // a device that cannot end a recording says so at its next use
		p.whole = nil
	}
}

// resized has processes try out their methods again: what a reset in them leaves
// has other shapes now.
func (x *Context) resized() {
	for _, p := range x.processes {
		if p.whole != nil {
			p.whole.entry = nil
		}
	}
}

func (x *Context) find(name string) *component {
	for _, c := range x.components {
		if c.name == name {
			return c
		}
	}
	return nil
}

// component finds a component by its name.
func (x *Context) component(name string) (*component, error) {
	if err := x.checkOpen(); err != nil {
		return nil, err
	}
	if c := x.find(name); c != nil {
		return c, nil
	}
	return nil, x.fail(because(ErrComponent, "there is no component %q; there are: %s", name, list(x.Components())))
}

// list writes names for an error.
func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Components lists the names of the components, in the order in which they were
// made.
func (x *Context) Components() []string {
	names := make([]string, len(x.components))
	for i, c := range x.components {
		names[i] = c.name
	}
	return names
}

// Compartment finds a compartment by its path, such as "z0.zF".
func (x *Context) Compartment(path string) (*Compartment, error) {
	component, name, err := x.split(path, "compartment")
	if err != nil {
		return nil, err
	}
	return component.Compartment(name)
}

// split takes a path apart.
func (x *Context) split(path, kind string) (*component, string, error) {
	if err := x.checkOpen(); err != nil {
		return nil, "", err
	}
	component, name, ok := strings.Cut(path, ".")
	if !ok {
		return nil, "", x.fail(because(ErrArgument, "%q: a component, a dot and a %s are wanted", path, kind))
	}
	c, err := x.component(component)
	return c, name, err
}

// Connect lays a wire between compartments given by their paths, such as
// "z0.zF" and "e0.mu", that overwrites: see the function [Connect].
func (x *Context) Connect(src, dst string) error {
	from, err := x.Compartment(src)
	if err != nil {
		return err
	}
	to, err := x.Compartment(dst)
	if err != nil {
		return err
	}
	return Connect(from, to, Overwrite)
}

// Gather lets the wires that arrive at a component deliver, as the component's
// own Gather does.
func (x *Context) Gather(name string) error {
	c, err := x.component(name)
	if err != nil {
		return err
	}
	return c.Gather()
}

// VerifyConnections finds the first component that lacks a wire: see its own
// VerifyConnections.
func (x *Context) VerifyConnections() error {
	if err := x.checkOpen(); err != nil {
		return err
	}
	for _, c := range x.components {
		if err := c.checkIncoming(c.wanted...); err != nil {
			return err
		}
	}
	return nil
}

// Reset resets every component.
func (x *Context) Reset() error {
	if err := x.checkOpen(); err != nil {
		return err
	}
	for _, c := range x.components {
		if err := c.call(c.method("reset"), 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// SetBatchSize changes how many patterns there are in a batch, in every
// component, and begins anew with that many: the state of patterns that are no
// more, or not yet, cannot be kept. Scales and other parameters stay, and so
// do wires and processes. A size that does not suit one component changes none.
func (x *Context) SetBatchSize(patterns int) error {
	if err := x.checkOpen(); err != nil {
		return err
	}
	for _, c := range x.components {
		if err := c.checkBatchSize(patterns); err != nil {
			return err
		}
	}
	for _, c := range x.components {
		if err := c.SetBatchSize(patterns); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the processes and the components, and the device if it was opened
// for this context. Closing again does nothing; any other use afterwards is an
// [ErrClosed].
func (x *Context) Close() error {
	if x == nil || x.dev == nil {
		return nil
	}
	var errs []error
	for _, p := range slices.Clone(x.processes) {
		errs = append(errs, p.Close())
	}
	for _, c := range slices.Clone(x.components) {
		errs = append(errs, c.Close())
	}
	for _, s := range x.stores {
		errs = append(errs, s.close())
	}
	if x.ownsDevice {
		errs = append(errs, x.dev.Close())
	}
	x.dev = nil
	return x.fail(errors.Join(errs...))
}
