package neurons

import "errorcell/kernels"

// BernoulliErrorCell is a population of N error units under the Bernoulli
// distribution, whose targets are 0 or 1: ngc-learn's cell of that name (3.2.3,
// ngclearn/components/neurons/graded/bernoulliErrorCell.py). For a target, a
// prediction p, and a modulator and a mask that broadcast, a step computes
//
//	q       = clip(p, 0.0001, 0.9999), or with WithLogits of sigmoid(p)
//	dp      = (target/q - (1-target)/(1-q)) * sigmoid'(p) * modulator * mask
//	dp      = (target - q) * modulator * mask, with WithLogits
//	dtarget = (log(q) - log(1-q)) * modulator * mask
//	L       = sum(target*log(q) + (1-target)*log(1-q))
//
// and then makes the mask ones; the modulator stays. L is one number, the log
// likelihood of the batch. The factor sigmoid'(p) of a p that is no logit is
// ngc-learn's.
//
// Beyond ngc-learn, [WithGatedLoss] gives
//
//	L       = sum((target*log(q) + (1-target)*log(1-q)) * modulator * mask)
//
// and [WithTrueDerivative], of probabilities,
//
//	dp      = (target/q - (1-target)/(1-q)) * modulator * mask
type BernoulliErrorCell struct{ errorUnits }

// NewBernoulliErrorCell makes a cell of this many units. p and target are zeros,
// modulator and mask are ones and L is 0. It takes [WithLogits], [WithBatchSize]
// and [WithShape] too, and [WithGatedLoss] and [WithTrueDerivative]. Close it
// after use.
func NewBernoulliErrorCell(name string, units int, opts ...Option) (*BernoulliErrorCell, error) {
	c := &BernoulliErrorCell{}
	c.kind = "BernoulliErrorCell"
	cfg, err := c.configure(name, units, opts, "WithLogits", "WithTrueDerivative")
	if err != nil {
		return nil, err
	}
	if cfg.logits && cfg.trueDerivative {
		c.Close()
		return nil, c.fail(because(ErrArgument, "WithTrueDerivative is for probabilities; of logits dp is the derivative"))
	}
	c.loss = c.add("L", cleared).displays("Bernoulli Log likelihood", "nats")
	c.mean = c.add("p", cleared).displays("Bernoulli param (prob or logit) for B(X=1; p)", "")
	c.derivMean = c.add("dp", cleared)
	c.target = c.add("target", cleared).displays("Bernoulli data/target variable", "")
	c.derivTarget = c.add("dtarget", cleared)
	c.modulator = c.add("modulator", cleared)
	c.mask = c.add("mask", cleared)
	kernel, gated := kernels.Bernoulli, "L-probabilities"
	if cfg.logits {
		kernel, gated = kernels.BernoulliLogits, "L-logits"
	}
	if err := c.finish(cfg, kernel, kernels.BernoulliOptions, gated); err != nil {
		return nil, err
	}
	return c, nil
}

// Probability is p, the prediction; [BernoulliErrorCell.Mean] is the same
// compartment by the name that other cells have for it.
func (c *BernoulliErrorCell) Probability() *Compartment { return c.mean }

// DerivProbability is dp; [BernoulliErrorCell.DerivMean] is the same compartment.
func (c *BernoulliErrorCell) DerivProbability() *Compartment { return c.derivMean }
