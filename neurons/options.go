package neurons

import (
	"errorcell/backend"
	"errorcell/kernels"
)

// Option is a setting of a cell's constructor.
type Option func(*config) error

type config struct {
	spec   string         // of the device to open
	device backend.Device // an open one to use instead
	dtype  kernels.DType
	loss   Loss
}

func configure(opts []Option) (config, error) {
	cfg := config{dtype: kernels.F32}
	for _, opt := range opts {
		if opt == nil {
			return cfg, because(ErrArgument, "an option is nil")
		}
		if err := opt(&cfg); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// OnDevice opens a device for the cell alone, which closes it again: see
// backend.Open for the spec. Without it, or with "", the device is the one that
// the environment variable ERRORCELL_DEVICE names, else the best that works.
// Of several OnDevice and On the last counts.
func OnDevice(spec string) Option {
	return func(cfg *config) error {
		cfg.spec, cfg.device = spec, nil
		return nil
	}
}

// On puts the cell on an open device, which it may share with others and does
// not close. Cells that are wired together belong on one device: between two
// devices a wire copies through the host.
func On(dev backend.Device) Option {
	return func(cfg *config) error {
		if dev == nil {
			return because(ErrArgument, "On(nil): an open device is wanted, such as backend.Open gives")
		}
		cfg.device = dev
		return nil
	}
}

// WithDType is the element type that the cell computes in: kernels.F32, the
// default and what ngc-learn computes in, or kernels.F64.
func WithDType(dtype kernels.DType) Option {
	return func(cfg *config) error {
		if dtype.Size() == 0 {
			return because(ErrArgument, "there is no element type %v: float32 and float64 are", dtype)
		}
		cfg.dtype = dtype
		return nil
	}
}

// WithLoss picks what the compartment L means; [Mismatch] is the default.
func WithLoss(loss Loss) Option {
	return func(cfg *config) error {
		if int(loss) >= len(losses) {
			return because(ErrArgument, "there is no loss %v: Mismatch and L1 are", loss)
		}
		cfg.loss = loss
		return nil
	}
}

func unused() Option { return func(*config) error { return nil } }

// The arguments that ngc-learn's constructor takes and makes no use of. They
// are accepted so that a circuit can be ported line by line.

// WithTauM is ngc-learn's tau_m, a time constant. It is unused: the cell is the
// fixed point of its dynamics.
func WithTauM(tauM float64) Option { return unused() }

// WithLeakRate is ngc-learn's leakRate. It is unused: the cell is the fixed
// point of its dynamics.
func WithLeakRate(leakRate float64) Option { return unused() }

// WithKey is ngc-learn's key, of a random number generator. It is unused: the
// cell draws no random numbers.
func WithKey(key any) Option { return unused() }

// WithVerboseDict is ngc-learn's useVerboseDict. It is unused: an unknown
// compartment is always an error that lists those there are.
func WithVerboseDict(verbose bool) Option { return unused() }

// WithKeywords is for the further keyword arguments of ngc-learn's constructor,
// which are unused there too.
func WithKeywords(keywords map[string]any) Option { return unused() }
