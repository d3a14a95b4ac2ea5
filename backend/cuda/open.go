//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/dustin/go-humanize"
	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
	"errorcell/backend/cuda/emulator"
)

// settings are what the options of a spec ask for.
type settings struct {
	ordinal  int
	emulated bool
	limit    uint64 // bytes of device memory, 0 for all
	arch     string // of an emulated GPU
}

// emulator is how the emulated GPU is configured.
func (s settings) emulator() emulator.Config {
	return emulator.Config{Arch: s.arch}
}

// name is a spec that opens an equal device.
func (s settings) name() string {
	name := fmt.Sprintf("cuda:%d", s.ordinal)
	if s.emulated {
		name = "cuda:emulated"
	}
	if s.arch != "" {
		name += ",arch=" + s.arch
	}
	if s.limit > 0 {
		name += fmt.Sprintf(",memory=%d", s.limit)
	}
	return name
}

func parse(opts []backend.Option) (settings, error) {
	var s settings
	device := "" // the option that chose it
	for _, opt := range opts {
		switch {
		case opt.IsWord && device != "":
			return s, fmt.Errorf("%w: %q and %q are two devices", backend.ErrUnknownOption, device, opt)
		case opt.IsWord && opt.Key == "emulated":
			s.emulated, device = true, opt.Key
		case opt.IsWord:
			n, err := strconv.ParseUint(opt.Key, 10, 16)
			if err != nil {
				return s, fmt.Errorf("%w %q: a GPU's number is wanted, emulated, or memory=SIZE", backend.ErrUnknownOption, opt)
			}
			s.ordinal, device = int(n), opt.Key
		case opt.Key == "memory":
			n, err := humanize.ParseBytes(opt.Value)
			if err != nil || n == 0 {
				return s, fmt.Errorf("%w %q: a size such as memory=8GiB is wanted", backend.ErrUnknownOption, opt)
			}
			s.limit = n
		case opt.Key == "arch":
			s.arch = opt.Value
		default:
			return s, fmt.Errorf("%w %q: a GPU's number is wanted, emulated, or memory=SIZE", backend.ErrUnknownOption, opt)
		}
	}
	if s.arch != "" && !s.emulated {
		return s, fmt.Errorf("%w %q: it is for cuda:emulated", backend.ErrUnknownOption, "arch="+s.arch)
	}
	return s, nil
}

func open(opts []backend.Option) (backend.Device, error) {
	s, err := parse(opts)
	if err != nil {
		return nil, err
	}
	if s.emulated {
		return openEmulated(s)
	}
	count, err := devices()
	if err != nil {
		return nil, err
	}
	if s.ordinal >= count {
		return nil, fmt.Errorf("%w: there is no GPU %d, the driver has %s", backend.ErrUnavailable, s.ordinal, numbers(count))
	}
	dev, err := cu.GetDevice(s.ordinal)
	if err != nil {
		return nil, unavailable(err)
	}
	d, err := newDevice(s.name(), dev, s.limit, nil)
	if err != nil {
		return nil, err // and no device, which a nil *device would be
	}
	return d, nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", backend.ErrUnavailable, err) }

// devices is the number of GPUs; that there is none is an error.
func devices() (int, error) {
	if err := driver.Load(); err != nil {
		return 0, unavailable(err)
	}
	count, err := cu.NumDevices()
	if err == nil && count == 0 {
		err = errors.New("the driver has no GPU for this process (see nvidia-smi and CUDA_VISIBLE_DEVICES)")
	}
	if err != nil {
		return 0, unavailable(err)
	}
	return count, nil
}

func numbers(count int) string {
	if count == 1 {
		return "GPU 0 alone"
	}
	return fmt.Sprintf("GPUs 0 to %d", count-1)
}

func list() []backend.Candidate {
	var found []backend.Candidate
	count, err := devices()
	if err != nil {
		found = append(found, backend.Candidate{Spec: "cuda", Err: err})
	}
	for i := range count {
		c := backend.Candidate{Spec: fmt.Sprintf("cuda:%d", i)}
		dev, err := cu.GetDevice(i)
		if err == nil {
			c.Info, err = describe(dev)
		}
		if err != nil {
			c.Err = unavailable(err)
		}
		found = append(found, c)
	}
	return append(found, backend.Candidate{Spec: "cuda:emulated", Info: emulatedInfo()})
}

// minCapability is the oldest compute capability that kernels are lowered for.
const minCapability = 70

// describe asks the driver what a GPU is.
func describe(dev cu.Device) (backend.Info, error) {
	model, err := dev.Name()
	if err != nil {
		return backend.Info{}, err
	}
	memory, err := dev.TotalMem()
	if err != nil {
		return backend.Info{}, err
	}
	capability, err := capability(dev)
	if err != nil {
		return backend.Info{}, err
	}
	version := cmp.Or(driver.Version(), cu.Version())
	return backend.Info{
		Model:  model,
		ISA:    fmt.Sprintf("sm_%d", capability),
		Memory: uint64(memory),
		Driver: fmt.Sprintf("CUDA %d.%d", version/1000, version%1000/10),
	}, nil
}

// capability is the compute capability, such as 90 for 9.0.
func capability(dev cu.Device) (int, error) {
	major, minor, err := dev.ComputeCapability()
	if err != nil {
		return 0, err
	}
	c := 10*major + minor
	if c < minCapability {
		return 0, fmt.Errorf("compute capability %d.%d: 7.0 (Volta) or newer is wanted", major, minor)
	}
	return c, nil
}
