package kernels

// The Bernoulli error cell: the fixed point of a population of error units under
// the likelihood of targets that are 0 or 1. For target x and prediction p of
// shape (B x N), or broadcast to it, in the form of ngc-learn 3,
//
//	q       = clip(p, 0.0001, 0.9999)                p being a probability
//	q       = clip(sigmoid(p), 0.0001, 0.9999)       p being a logit
//	L       = sum(log(q)*x + log(1-q)*(1-x))         neither modulated nor masked
//	dp      = (x/q - (1-x)/(1-q)) * s*(1-s)          of a probability, s being sigmoid(p)
//	dp      = x - q                                  of a logit
//	dtarget = log(q) - log(1-q)
//
// the derivatives times modulator, then times mask, which do nothing when they
// are absent. The factor s*(1-s) is ngc-learn's, though p is no logit there. No
// derivative has the clip in it, under which it would be 0 beyond the bounds.
//
// The numbers are these, but not all are computed so. ngc-learn rounds q before it
// takes 1-q, which in float32 leaves ten bits of 1-q where q is 0.9999. Here a
// logit's dtarget is the logit, within the bounds, and both logs come from that.
//
// Beyond ngc-learn, in a kernel of their own, are the losses of what the gates
// let pass, for both sorts of p, and the derivative by a probability:
//
//	gate    = modulator * mask
//	L       = sum((log(q)*x + log(1-q)*(1-x)) * gate)
//	dp      = (x/q - (1-x)/(1-q)) * gate
var (
	// Bernoulli is ngc-learn's step on probabilities.
	Bernoulli = Must(Define("bernoulli", bernoulli))

	// BernoulliLogits is its step on logits.
	BernoulliLogits = Must(Define("bernoulli-logits", bernoulliLogits))

	// BernoulliOptions has the gated losses and the derivative by a probability.
	BernoulliOptions = Must(Define("bernoulli-options", bernoulliOptions))
)

var _ = declare(Cell{
	Name: "bernoulli",
	Help: `The bernoulli cell reads target and p, the probability that a unit is 1, and, if
they are there, modulator and mask. It writes dp, dtarget and the loss L, the sum
of the log likelihoods. With --logits p is the logit, of which the sigmoid is the
probability; without, dp has sigmoid'(p) as a factor too, as in ngc-learn.
A probability beyond 0.0001 or 0.9999 counts as that.`,
	Kernels: []CellKernel{
		{Kernel: Bernoulli, Loss: "likelihood", Fused: bernoulliGates},
		{Kernel: BernoulliLogits, Loss: "likelihood", Flag: "logits", Fused: bernoulliGates},
		{Kernel: BernoulliOptions},
	},
	Flags: map[string]string{"logits": "p of the bernoulli cell is a logit, not a probability"},
})

var bernoulliGates = []Operands{
	{},
	{"modulator": Full, "mask": Full},
}

// The bounds of a probability, and of its logit. In float32 the upper one is that
// of the number which is nearest to 0.9999: beside 1 they lie far apart.
const (
	lowest, highest           = 0.0001, 1 - 0.0001
	lowestLogit, highestLogit = -9.210240366975849378, 9.210240366975849378
	highestLogit32            = 9.210074424815609779
)

// likelihood is the log likelihood of a target.
func likelihood(k *Builder, target, logQ, logNotQ Value) Value {
	return k.Add(k.Mul(logQ, target), k.Mul(logNotQ, k.Sub(k.Const(1), target)))
}

// ofProbability is q, 1-q and the logs of both, for a prediction that is a
// probability.
func ofProbability(k *Builder, p Value) (q, notQ, logQ, logNotQ Value) {
	q = k.Min(k.Max(p, k.Const(lowest)), k.Const(highest))
	notQ = k.Sub(k.Const(1), q)
	return q, notQ, k.logWithin(q), k.logWithin(notQ)
}

// slope is the derivative of the log likelihood by q, x/q - (1-x)/(1-q), in one
// fraction, which is exact where x is near q.
func slope(k *Builder, target, q, notQ Value) Value {
	return k.Div(k.Sub(target, q), k.Mul(q, notQ))
}

// logit is a prediction that is a logit, within the bounds, whether it is less
// than 0, and e = e^-|x|: q and 1-q are e/(1+e) and 1/(1+e), or the other way round.
type logit struct{ x, negative, e Value }

func newLogit(k *Builder, p Value) logit {
	x := k.Min(k.Max(p, k.Const(lowestLogit)), k.ByType(k.Const(highestLogit32), k.Const(highestLogit)))
	return logit{x, k.Less(x, k.Const(0)), k.expWithin(k.Neg(k.Abs(x)))}
}

// probability is q.
func (l logit) probability(k *Builder) Value {
	one := k.Const(1)
	return k.Div(k.Select(l.negative, l.e, one), k.Add(l.e, one))
}

// logs are the logs of q and 1-q. Their difference is the logit.
func (l logit) logs(k *Builder) (logQ, logNotQ Value) {
	zero := k.Const(0)
	log := k.log1pOfUnit(l.e)
	return k.Sub(k.Select(l.negative, l.x, zero), log), k.Sub(k.Select(l.negative, zero, k.Neg(l.x)), log)
}

func bernoulli(k *Builder) {
	target, p, modulator, mask := k.Input("target"), k.Input("p"), k.Optional("modulator", 1), k.Optional("mask", 1)
	gated := func(x Value) Value { return k.Mul(k.Mul(x, modulator), mask) }
	q, notQ, logQ, logNotQ := ofProbability(k, p)
	k.Output("dp", gated(k.Mul(slope(k, target, q, notQ), k.sigmoidSlope(p))))
	k.Output("dtarget", gated(k.Sub(logQ, logNotQ)))
	k.Output("L", k.Sum(likelihood(k, target, logQ, logNotQ), All))
}

func bernoulliLogits(k *Builder) {
	target, p, modulator, mask := k.Input("target"), k.Input("p"), k.Optional("modulator", 1), k.Optional("mask", 1)
	gated := func(x Value) Value { return k.Mul(k.Mul(x, modulator), mask) }
	l := newLogit(k, p)
	logQ, logNotQ := l.logs(k)
	k.Output("dp", gated(k.Sub(target, l.probability(k))))
	k.Output("dtarget", gated(l.x))
	k.Output("L", k.Sum(likelihood(k, target, logQ, logNotQ), All))
}

func bernoulliOptions(k *Builder) {
	target, p, modulator, mask := k.Input("target"), k.Input("p"), k.Optional("modulator", 1), k.Optional("mask", 1)
	gated := func(x Value) Value { return k.Mul(k.Mul(x, modulator), mask) }
	q, notQ, logQ, logNotQ := ofProbability(k, p)
	k.Output("L-probabilities", k.Sum(gated(likelihood(k, target, logQ, logNotQ)), All))
	k.Output("dp-probabilities", gated(slope(k, target, q, notQ)))
	logQ, logNotQ = newLogit(k, p).logs(k)
	k.Output("L-logits", k.Sum(gated(likelihood(k, target, logQ, logNotQ)), All))
}
