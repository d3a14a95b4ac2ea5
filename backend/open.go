package backend

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// EnvDevice is the environment variable that names the device which Open("")
// opens.
const EnvDevice = "ERRORCELL_DEVICE"

// Driver makes the devices of one kind.
type Driver struct {
	// Name is the first part of a spec: cpu, cuda.
	Name string
	// Rank orders the drivers when no device is named: the lowest that works
	// is taken.
	Rank int
	// Open makes a device from the rest of the spec. An option that it does
	// not know is an ErrUnknownOption; a device that cannot be had is an
	// ErrUnavailable that says why.
	Open func(opts []Option) (Device, error)
	// List names each device that could be asked for, the best first, with the
	// reason where it cannot be had.
	List func() []Candidate
}

// Option is a part of a spec behind the colon: a word ("generic", "0"), or a
// key with a value ("threads=4").
type Option struct {
	Key   string
	Value string
	// IsWord tells "threads" from "threads=".
	IsWord bool
}

func (o Option) String() string {
	if o.IsWord {
		return o.Key
	}
	return o.Key + "=" + o.Value
}

// Candidate is a device that could be asked for.
type Candidate struct {
	Spec string
	Info Info  // if Err is nil
	Err  error // why it cannot be had
}

var registry struct {
	sync.RWMutex
	drivers []Driver
}

// Register adds a driver. Packages that have one call it from init; a second
// driver of one name replaces the first.
func Register(d Driver) {
	registry.Lock()
	defer registry.Unlock()
	registry.drivers = slices.DeleteFunc(registry.drivers, func(old Driver) bool { return old.Name == d.Name })
	registry.drivers = append(registry.drivers, d)
	slices.SortStableFunc(registry.drivers, func(a, b Driver) int { return cmp.Compare(a.Rank, b.Rank) })
}

func drivers() []Driver {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Clone(registry.drivers)
}

// Open opens the device that a spec names:
//
//	spec   = name [ ":" option { "," option } ]
//	option = word | key "=" value
//
// such as "cpu", "cpu:generic", "cpu:threads=4", "cpu:generic,threads=1",
// "cuda:1". The empty spec is the value of the environment variable
// ERRORCELL_DEVICE or, where that is empty too, the best device that works.
// What errors.As finds of an error is an *[Error].
func Open(spec string) (Device, error) {
	if spec == "" {
		if spec = os.Getenv(EnvDevice); spec == "" {
			return openBest()
		}
		dev, err := open(spec)
		if err != nil {
			return nil, fmt.Errorf("%s is set: %w", EnvDevice, err)
		}
		return dev, nil
	}
	return open(spec)
}

func open(spec string) (Device, error) {
	name, opts, err := parse(spec)
	if err != nil {
		return nil, &Error{spec, err}
	}
	var names []string
	for _, d := range drivers() {
		if d.Name == name {
			dev, err := d.Open(opts)
			if err != nil {
				return nil, &Error{spec, err}
			}
			return dev, nil
		}
		names = append(names, d.Name)
	}
	return nil, &Error{spec, fmt.Errorf("%w; this program has: %s; for others, import errorcell/backend/cpu or errorcell/backend/cuda", ErrUnknownDevice, cmp.Or(strings.Join(names, ", "), "none"))}
}

// openBest tries the drivers in turn; when none works, the error has each
// one's reason.
func openBest() (Device, error) {
	var reasons []string
	var errs []error
	for _, d := range drivers() {
		dev, err := d.Open(nil)
		if err == nil {
			return dev, nil
		}
		reasons = append(reasons, d.Name+": "+err.Error())
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, &Error{"", fmt.Errorf("%w: this program has no backend (import errorcell/backend/cpu)", ErrUnavailable)}
	}
	return nil, &Error{"", &noneError{strings.Join(reasons, "; "), append(errs, ErrUnavailable)}}
}

// noneError is the failure of every driver, in one line.
type noneError struct {
	text string
	errs []error
}

func (e *noneError) Error() string   { return "no device works: " + e.text }
func (e *noneError) Unwrap() []error { return e.errs }

// Devices lists every device that could be asked for, the best first.
func Devices() []Candidate {
	var list []Candidate
	for _, d := range drivers() {
		list = append(list, d.List()...)
	}
	return list
}

var errGrammar = errors.New(`a device is written name[:option,...], such as "cpu" or "cpu:generic,threads=2"`)

func parse(spec string) (name string, opts []Option, err error) {
	name, rest, colon := strings.Cut(spec, ":")
	if name == "" || colon && rest == "" || strings.ContainsAny(spec, " \t\r\n") {
		return "", nil, fmt.Errorf("%w: %w", ErrUnknownDevice, errGrammar)
	}
	if !colon {
		return name, nil, nil
	}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, pair := strings.Cut(part, "=")
		if key == "" || pair && value == "" {
			return "", nil, fmt.Errorf("%w %q: %w", ErrUnknownOption, part, errGrammar)
		}
		opts = append(opts, Option{Key: key, Value: value, IsWord: !pair})
	}
	return name, opts, nil
}
