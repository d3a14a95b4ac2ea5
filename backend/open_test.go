package backend

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"errorcell/kernels"
)

// withDrivers registers drivers in place of all others, for a test, and clears
// the environment variable.
func withDrivers(t *testing.T, list ...Driver) {
	t.Helper()
	registry.Lock()
	before := registry.drivers
	registry.drivers = nil
	registry.Unlock()
	t.Cleanup(func() {
		registry.Lock()
		defer registry.Unlock()
		registry.drivers = before
	})
	t.Setenv(EnvDevice, "")
	for _, d := range list {
		Register(d)
	}
}

// fakeDevice is a device that only has a name.
type fakeDevice struct{ name string }

func (d *fakeDevice) Name() string { return d.name }
func (d *fakeDevice) Info() Info   { return Info{Model: "fake " + d.name} }
func (d *fakeDevice) NewBuffer(dtype kernels.DType, n int) (Buffer, error) {
	return nil, CheckBuffer(d, dtype, n)
}
func (d *fakeDevice) Compile(*kernels.Kernel, kernels.Signature) (Program, error) { return nil, nil }
func (d *fakeDevice) Sync() error                                                 { return nil }
func (d *fakeDevice) Close() error                                                { return nil }

// working is a driver whose devices are called by their spec; broken one that
// has none.
func working(name string, rank int) Driver {
	return Driver{
		Name: name, Rank: rank,
		Open: func(opts []Option) (Device, error) {
			spec := name
			for i, o := range opts {
				if o.Key == "bad" {
					return nil, fmt.Errorf("%w %q: there is no such thing", ErrUnknownOption, o)
				}
				spec += map[bool]string{true: ":", false: ","}[i == 0] + o.String()
			}
			return &fakeDevice{spec}, nil
		},
		List: func() []Candidate {
			return []Candidate{{Spec: name, Info: Info{Model: name}}, {Spec: name + ":slow", Info: Info{Model: name}}}
		},
	}
}

func broken(name string, rank int, reason error) Driver {
	return Driver{
		Name: name, Rank: rank,
		Open: func([]Option) (Device, error) { return nil, reason },
		List: func() []Candidate { return []Candidate{{Spec: name, Err: reason}} },
	}
}

func TestParse(t *testing.T) {
	word := func(key string) Option { return Option{Key: key, IsWord: true} }
	pair := func(key, value string) Option { return Option{Key: key, Value: value} }
	for _, c := range []struct {
		spec string
		name string
		opts []Option
		err  error
	}{
		{"cpu", "cpu", nil, nil},
		{"cpu:generic", "cpu", []Option{word("generic")}, nil},
		{"cpu:threads=4", "cpu", []Option{pair("threads", "4")}, nil},
		{"cpu:generic,threads=1", "cpu", []Option{word("generic"), pair("threads", "1")}, nil},
		{"cuda:1", "cuda", []Option{word("1")}, nil},
		{"cuda:emulated,sms=2,strict", "cuda", []Option{word("emulated"), pair("sms", "2"), word("strict")}, nil},
		{"x:path=a:b=c", "x", []Option{pair("path", "a:b=c")}, nil}, // a value may have either sign

		{"", "", nil, ErrUnknownDevice},
		{":", "", nil, ErrUnknownDevice},
		{":generic", "", nil, ErrUnknownDevice},
		{"cpu:", "", nil, ErrUnknownDevice},
		{" cpu", "", nil, ErrUnknownDevice},
		{"cpu ", "", nil, ErrUnknownDevice},
		{"cpu: generic", "", nil, ErrUnknownDevice},
		{"cpu:a,\tb", "", nil, ErrUnknownDevice},
		{"cpu\n", "", nil, ErrUnknownDevice},
		{"cpu:,", "", nil, ErrUnknownOption},
		{"cpu:a,", "", nil, ErrUnknownOption},
		{"cpu:,a", "", nil, ErrUnknownOption},
		{"cpu:a,,b", "", nil, ErrUnknownOption},
		{"cpu:=", "", nil, ErrUnknownOption},
		{"cpu:=4", "", nil, ErrUnknownOption},
		{"cpu:threads=", "", nil, ErrUnknownOption},
	} {
		name, opts, err := parse(c.spec)
		if name != c.name || !slices.Equal(opts, c.opts) || !errors.Is(err, c.err) {
			t.Errorf("parse(%q) gives %q, %v, %v; want %q, %v, %v", c.spec, name, opts, err, c.name, c.opts, c.err)
		}
		if c.err != nil && !strings.Contains(fmt.Sprint(err), `such as "cpu"`) {
			t.Errorf("parse(%q) does not say how a device is written: %v", c.spec, err)
		}
		if c.err == nil { // options are written as they are read
			var parts []string
			for _, o := range opts {
				parts = append(parts, o.String())
			}
			if again := strings.TrimSuffix(name+":"+strings.Join(parts, ","), ":"); again != c.spec {
				t.Errorf("the options of %q are written %q", c.spec, again)
			}
		}
	}
}

func TestOpenNamed(t *testing.T) {
	withDrivers(t, working("cpu", 10), broken("cuda", 1, fmt.Errorf("%w: no driver", ErrUnavailable)))
	for _, spec := range []string{"cpu", "cpu:generic", "cpu:generic,threads=4"} {
		if dev, err := Open(spec); err != nil || dev.Name() != spec {
			t.Errorf("Open(%q) gives %v, %v", spec, dev, err)
		}
	}
	for _, c := range []struct {
		spec string
		want error
		says []string
	}{
		{"tpu", ErrUnknownDevice, []string{`"tpu"`, "cuda, cpu"}},
		{"CPU", ErrUnknownDevice, []string{`"CPU"`}},
		{"cpu:bad", ErrUnknownOption, []string{`"cpu:bad"`, "no such thing"}},
		{"cuda", ErrUnavailable, []string{`"cuda"`, "no driver"}},
		{"cuda:1", ErrUnavailable, []string{`"cuda:1"`}},
		{"cpu:", ErrUnknownDevice, []string{`"cpu:"`}},
	} {
		dev, err := Open(c.spec)
		var device *Error
		if dev != nil || !errors.Is(err, c.want) || !errors.As(err, &device) || device.Device != c.spec {
			t.Errorf("Open(%q) gives %v, %v; want an *Error of the device that is %q", c.spec, dev, err, c.want)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("Open(%q) does not say %q: %v", c.spec, s, err)
			}
		}
	}
}

func TestOpenFromEnvironment(t *testing.T) {
	withDrivers(t, working("cpu", 10), working("best", 1))
	t.Setenv(EnvDevice, "cpu:slow")
	if dev, err := Open(""); err != nil || dev.Name() != "cpu:slow" {
		t.Errorf("Open of nothing gives %v, %v; want the device of the variable", dev, err)
	}
	if dev, err := Open("cpu"); err != nil || dev.Name() != "cpu" {
		t.Errorf("Open(cpu) gives %v, %v: the variable is for no name only", dev, err)
	}
	t.Setenv(EnvDevice, "tpu")
	dev, err := Open("")
	var device *Error
	if dev != nil || !errors.Is(err, ErrUnknownDevice) || !errors.As(err, &device) || device.Device != "tpu" || !strings.Contains(err.Error(), EnvDevice) {
		t.Errorf("Open of nothing gives %v, %v; want an error that names the variable and its device", dev, err)
	}
	t.Setenv(EnvDevice, "")
	if dev, err := Open(""); err != nil || dev.Name() != "best" {
		t.Errorf("with an empty variable Open gives %v, %v; want the best device", dev, err)
	}
}

func TestOpenBest(t *testing.T) {
	noGPU := fmt.Errorf("%w: no driver is installed", ErrUnavailable)
	t.Run("lowest rank that works", func(t *testing.T) {
		withDrivers(t, working("last", 30), broken("first", 1, noGPU), working("second", 20))
		if dev, err := Open(""); err != nil || dev.Name() != "second" {
			t.Errorf("Open gives %v, %v; want the second", dev, err)
		}
	})
	t.Run("none works", func(t *testing.T) {
		tooOld := errors.New("the processor is too old")
		withDrivers(t, broken("cpu", 10, tooOld), broken("cuda", 1, noGPU))
		dev, err := Open("")
		if dev != nil || err == nil {
			t.Fatalf("Open gives %v, %v", dev, err)
		}
		if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "cuda: device not available: no driver is installed; cpu: the processor is too old") {
			t.Errorf("the error has not every reason in one line: %q", text)
		}
		for _, want := range []error{ErrUnavailable, noGPU, tooOld} {
			if !errors.Is(err, want) {
				t.Errorf("the error is not %q: %v", want, err)
			}
		}
		var device *Error
		if !errors.As(err, &device) {
			t.Errorf("the error is no *Error: %v", err)
		}
	})
	t.Run("no driver", func(t *testing.T) {
		withDrivers(t)
		for spec, want := range map[string]error{"": ErrUnavailable, "cpu": ErrUnknownDevice} {
			if dev, err := Open(spec); dev != nil || !errors.Is(err, want) || !strings.Contains(err.Error(), "import errorcell/backend/cpu") {
				t.Errorf("Open(%q) gives %v, %v; want advice", spec, dev, err)
			}
		}
	})
}

func TestRegisterReplaces(t *testing.T) {
	withDrivers(t, broken("cpu", 5, ErrUnavailable), working("cpu", 5))
	if dev, err := Open("cpu"); err != nil {
		t.Errorf("Open gives %v, %v: the second driver of a name replaces the first", dev, err)
	}
	if n := len(Devices()); n != 2 {
		t.Errorf("there are %d devices, want the two of the second driver", n)
	}
}

func TestDevices(t *testing.T) {
	withDrivers(t, working("c", 30), broken("a", 1, ErrUnavailable), working("b", 20), working("b2", 20))
	var specs []string
	for _, c := range Devices() {
		specs = append(specs, c.Spec)
		if (c.Spec == "a") != errors.Is(c.Err, ErrUnavailable) {
			t.Errorf("%s has the error %v", c.Spec, c.Err)
		}
	}
	if want := []string{"a", "b", "b:slow", "b2", "b2:slow", "c", "c:slow"}; !slices.Equal(specs, want) {
		t.Errorf("the devices are %v, want %v", specs, want)
	}
}

func TestRegistryConcurrently(t *testing.T) {
	withDrivers(t, working("cpu", 1))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			Register(working(fmt.Sprintf("d%d", i), 10))
			if _, err := Open("cpu"); err != nil {
				t.Error(err)
			}
			Devices()
		})
	}
	group.Wait()
}

func TestErrors(t *testing.T) {
	err := error(&Error{"cpu", fmt.Errorf("mu: %w", ErrDType)})
	if err.Error() != `device "cpu": mu: wrong element type` || !errors.Is(err, ErrDType) {
		t.Errorf("the error is %v", err)
	}
	if !errors.Is(ErrShape, kernels.ErrShape) || !errors.Is(ErrOperands, kernels.ErrOperands) {
		t.Error("the errors of shapes and operands are not those of kernels")
	}
	list := []error{ErrUnknownDevice, ErrUnknownOption, ErrUnavailable, ErrClosed, ErrForeign, ErrDType, ErrAliased, ErrMemory, ErrShape, ErrOperands}
	for i, a := range list {
		for _, b := range list[:i] {
			if errors.Is(a, b) || a.Error() == b.Error() {
				t.Errorf("two errors are alike: %v, %v", a, b)
			}
		}
	}
}
