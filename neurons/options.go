package neurons

import (
	"slices"

	"errorcell/backend"
	"errorcell/kernels"
)

// Option is a setting of a cell's constructor.
type Option func(*config) error

type config struct {
	spec    string         // of the device to open
	device  backend.Device // an open one to use instead
	context *Context       // which the component becomes part of
	dtype   kernels.DType
	loss    Loss

	batchSize       int
	shape           kernels.Shape // of a pattern; nil is that of n_units
	scale           any           // the first Scale or Sigma
	gatedLoss       bool
	scaleDerivative bool
	logits          bool
	trueDerivative  bool
	window          int
	online          bool
	tauM            bool // was given, as an option

	rate                     kernels.RateSpec
	leak, lambda             float64
	outputScale, resistScale float64

	used []string // the options of some cells only that were given
}

// only is an option that some cells have and others do not, by the name of its
// constructor.
func only(name string, set Option) Option {
	return func(cfg *config) error {
		cfg.used = append(cfg.used, name)
		return set(cfg)
	}
}

// configure applies the options. Of those that not every cell has, the cell
// takes the ones it names.
func configure(opts []Option, takes ...string) (config, error) {
	cfg := config{dtype: kernels.F32, batchSize: 1, scale: 1.0, window: defaultWindow, online: true,
		rate:        kernels.RateSpec{Activation: "identity", Prior: "gaussian", Threshold: "none"},
		outputScale: 1, resistScale: 1}
	for _, opt := range opts {
		if opt == nil {
			return cfg, because(ErrArgument, "an option is nil")
		}
		if err := opt(&cfg); err != nil {
			return cfg, err
		}
	}
	for _, name := range cfg.used {
		if !slices.Contains(takes, name) {
			return cfg, because(ErrArgument, "the cell has no option %s", name)
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

// In makes the cell part of a context, on the context's device. Its name must
// be new there.
func In(ctx *Context) Option {
	return func(cfg *config) error {
		if ctx == nil {
			return because(ErrArgument, "In(nil): a context is wanted, such as NewContext gives")
		}
		cfg.context = ctx
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
	return only("WithLoss", func(cfg *config) error {
		if int(loss) >= len(losses) {
			return because(ErrArgument, "there is no loss %v: Mismatch and L1 are", loss)
		}
		cfg.loss = loss
		return nil
	})
}

// WithBatchSize is ngc-learn's batch_size: how many patterns there are in the
// values that the constructor and Reset leave. Batches that are set later may have
// another size as long as they broadcast with all that the step reads: with 1 here
// any, but for the state of a [RateCell], which keeps the size of the first. Else
// SetBatchSize comes first.
func WithBatchSize(patterns int) Option {
	return only("WithBatchSize", func(cfg *config) error {
		if patterns < 1 {
			return because(ErrArgument, "batch_size is %d, at least 1 is wanted", patterns)
		}
		cfg.batchSize = patterns
		return nil
	})
}

// WithShape is ngc-learn's shape: how the units of a pattern are arranged, such
// as height, width and channels, in the values that the constructor and Reset
// leave. There must be n_units of them.
func WithShape(shape ...int) Option {
	return only("WithShape", func(cfg *config) error {
		cfg.shape = append(kernels.Shape{}, shape...)
		return nil
	})
}

// WithScale is ngc-learn's scale, the first value of the compartment Scale: a
// number, of which the compartment is of shape (1, 1), or what [Compartment.Set]
// takes, where a slice has shape (len,).
func WithScale(scale any) Option {
	return only("WithScale", func(cfg *config) error {
		cfg.scale = scale
		return nil
	})
}

// WithSigma is ngc-learn's sigma, the first value of the compartment Sigma, as
// [WithScale] is of Scale. Whatever its name, ngc-learn takes it for the
// variance, not for the standard deviation.
func WithSigma(sigma any) Option {
	return only("WithSigma", func(cfg *config) error {
		cfg.scale = sigma
		return nil
	})
}

// WithGatedLoss makes the loss L that of the units that modulator and mask let
// pass, each deviation times its modulator and its mask, as the derivatives are.
// ngc-learn has no such loss: there L is never gated.
func WithGatedLoss() Option {
	return only("WithGatedLoss", func(cfg *config) error {
		cfg.gatedLoss = true
		return nil
	})
}

// WithScaleDerivative makes dScale or dSigma the derivative of the cell's log
// density by its scale, times modulator and mask, in place of ngc-learn's ones:
// see [ScaledLaplacianErrorCell] and [GaussianErrorCell]. It has the scale's
// shape, and is summed over what shares an element of it; a scale of one number
// for each pattern, shape (B, 1), is an [ErrShape].
func WithScaleDerivative() Option {
	return only("WithScaleDerivative", func(cfg *config) error {
		cfg.scaleDerivative = true
		return nil
	})
}

// WithLogits is ngc-learn's input_logits, false by default: whether the
// prediction p of a [BernoulliErrorCell] is a logit, of which the sigmoid is the
// probability.
func WithLogits(logits bool) Option {
	return only("WithLogits", func(cfg *config) error {
		cfg.logits = logits
		return nil
	})
}

// WithTrueDerivative makes dp of a [BernoulliErrorCell] the derivative of its log
// likelihood by the probability p. ngc-learn's has the factor sigmoid'(p) too,
// as if p were a logit. Of logits dp is the derivative without this option.
func WithTrueDerivative() Option {
	return only("WithTrueDerivative", func(cfg *config) error {
		cfg.trueDerivative = true
		return nil
	})
}

// WithWindow is ngc-learn's ema_window_len, 10 by default: over how many
// episodes [RewardErrorCell.Evolve] averages.
func WithWindow(episodes int) Option {
	return only("WithWindow", func(cfg *config) error {
		if episodes < 1 {
			return because(ErrArgument, "ema_window_len is %d, at least 1 is wanted", episodes)
		}
		cfg.window = episodes
		return nil
	})
}

// WithOnlinePredictor is ngc-learn's use_online_predictor, true by default: see
// [RewardErrorCell].
func WithOnlinePredictor(online bool) Option {
	return only("WithOnlinePredictor", func(cfg *config) error {
		cfg.online = online
		return nil
	})
}

// WithActivation is ngc-learn's act_fx, "identity" by default: by name, one of
// kernels.Activations.
func WithActivation(name string) Option {
	return only("WithActivation", func(cfg *config) error {
		cfg.rate.Activation = name
		return nil
	})
}

// WithPrior is ngc-learn's prior, "gaussian" and 0 by default: the distribution,
// one of kernels.Priors, towards which a cell's state leaks, and how much.
func WithPrior(name string, leak float64) Option {
	return only("WithPrior", func(cfg *config) error {
		cfg.rate.Prior, cfg.leak = name, leak
		return checkFinite("the leak", leak)
	})
}

// WithThreshold is ngc-learn's threshold, "none" by default: by what, one of
// kernels.Thresholds, a cell's state is shrunk after each step, and how much.
func WithThreshold(name string, lambda float64) Option {
	return only("WithThreshold", func(cfg *config) error {
		cfg.rate.Threshold, cfg.lambda = name, lambda
		return checkFinite("the threshold's lambda", lambda)
	})
}

// WithIntegration is ngc-learn's integration_type: "euler" (or "rk1"), the
// default, or "midpoint" (or "rk2"). ngc-learn has more names, but computes
// something else under them.
func WithIntegration(name string) Option {
	return only("WithIntegration", func(cfg *config) error {
		switch name {
		case "euler", "rk1":
			cfg.rate.Midpoint = false
		case "midpoint", "rk2":
			cfg.rate.Midpoint = true
		default:
			return because(ErrArgument, "there is no integration %q; there are: euler, rk1, midpoint, rk2", name)
		}
		return nil
	})
}

// WithStateful is ngc-learn's is_stateful, true by default. Without a state, z
// is j + j_td.
func WithStateful(stateful bool) Option {
	return only("WithStateful", func(cfg *config) error {
		cfg.rate.Stateless = !stateful
		return nil
	})
}

// WithOutputScale is ngc-learn's output_scale, 1 by default: a factor of zF.
func WithOutputScale(factor float64) Option {
	return only("WithOutputScale", func(cfg *config) error {
		cfg.outputScale = factor
		return checkFinite("output_scale", factor)
	})
}

// WithResistScale is ngc-learn's resist_scale, 1 by default: a factor of j.
func WithResistScale(factor float64) Option {
	return only("WithResistScale", func(cfg *config) error {
		cfg.resistScale = factor
		return checkFinite("resist_scale", factor)
	})
}

// checkFinite refuses infinities and NaN, which all steps would come to have.
func checkFinite(what string, x float64) error {
	if x-x != 0 {
		return because(ErrArgument, "%s is %v, a finite number is wanted", what, x)
	}
	return nil
}

func unused() Option { return func(*config) error { return nil } }

// The arguments that ngc-learn's constructor takes and makes no use of. They
// are accepted so that a circuit can be ported line by line.

// WithTauM is ngc-learn's tau_m, a time constant. It is unused: an error cell is
// the fixed point of its dynamics. Of a [RateCell] it is an argument of the
// constructor, and the option an error.
func WithTauM(tauM float64) Option {
	return func(cfg *config) error {
		cfg.tauM = true
		return nil
	}
}

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
