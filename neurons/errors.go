package neurons

import (
	"errors"
	"fmt"

	"errorcell/backend"
	"errorcell/kernels"
)

// What errors of this package are, for errors.Is. Those of package backend,
// such as backend.ErrMemory, pass through it.
var (
	ErrAbsent      = errors.New("no value")            // a compartment that holds none is read
	ErrCompartment = errors.New("unknown compartment") // a name that the cell does not have
	ErrComponent   = errors.New("unknown component")   // a name that the context does not have
	ErrMethod      = errors.New("unknown method")      // a name that the component does not have
	ErrUnconnected = errors.New("missing wire")        // what VerifyConnections finds
	ErrWired       = errors.New("set by a wire")       // a compartment that a wire overwrites is set by hand
	ErrArgument    = errors.New("bad argument")        // of a constructor or of Connect
	ErrType        = errors.New("unsupported value")   // no number, slice or tensor of floats
	ErrShape       = kernels.ErrShape                  // lengths that do not fit each other
	ErrState       = errors.New("unfit state")         // a file that Context.Load cannot use, or not in this circuit
	ErrClosed      = backend.ErrClosed                 // use after Close
)

// Error says what is wrong with a component or with one of its compartments; or
// with a context or one of its processes, whose names stand in their places.
type Error struct {
	Component   string // empty if there is none yet
	Compartment string // empty if the component as a whole is meant
	Err         error
}

func (e *Error) Error() string {
	text := e.Err.Error()
	switch {
	case e.Compartment != "":
		return e.Component + "." + e.Compartment + ": " + text
	case e.Component != "":
		return e.Component + ": " + text
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// named adds a component's name to an error that has none yet.
func named(component string, err error) error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	return &Error{Component: component, Err: err}
}

// reason is an error with its own text that errors.Is finds to be another.
type reason struct {
	is   error
	text string
}

func because(is error, format string, args ...any) error {
	return reason{is, fmt.Sprintf(format, args...)}
}

func (r reason) Error() string { return r.text }
func (r reason) Unwrap() error { return r.is }
