package neurons

import "errorcell/kernels"

// GaussianErrorCell is a population of N error units under the normal
// distribution: ngc-learn's cell of that name (3.2.3,
// ngclearn/components/neurons/graded/gaussianErrorCell.py). For a target, a
// prediction mu, and a variance Sigma, a modulator and a mask that broadcast, a
// step computes
//
//	e       = target - mu
//	dmu     = e / Sigma * modulator * mask
//	dtarget = -e / Sigma * modulator * mask
//	dSigma  = ones
//	L       = -sum(e^2) * (0.5/Sigma)
//
// and then makes the mask ones; the modulator stays. L has the shape of Sigma
// without the axes of length 1. Each element of it has the sum of all units.
//
// Beyond ngc-learn, [WithGatedLoss] gives
//
//	L       = -sum(e^2 * modulator * mask) * (0.5/Sigma)
//
// and [WithScaleDerivative] the derivative by the variance v of the density
// whose derivative by the mean dmu is, log p = -e^2/(2v) - log(2 pi v)/2:
//
//	dSigma  = (e^2/Sigma - 1) * 0.5 / Sigma * modulator * mask
//
// summed over what shares an element of Sigma.
type GaussianErrorCell struct{ errorUnits }

// NewGaussianErrorCell makes a cell of this many units. mu and target are zeros,
// Sigma is that of [WithSigma], modulator and mask are ones and L is 0. It takes
// [WithBatchSize], [WithShape] and [WithSigma] too, and [WithGatedLoss] and
// [WithScaleDerivative]. Close it after use.
func NewGaussianErrorCell(name string, units int, opts ...Option) (*GaussianErrorCell, error) {
	c := &GaussianErrorCell{}
	c.kind = "GaussianErrorCell"
	cfg, err := c.configure(name, units, opts, "WithSigma", "WithScaleDerivative")
	if err != nil {
		return nil, err
	}
	c.loss = c.add("L", cleared).displays("Gaussian Log likelihood", "nats")
	c.mean = c.add("mu", cleared).displays("Gaussian mean", "")
	c.derivMean = c.add("dmu", cleared)
	c.scale = c.add("Sigma", cleared).displays("Gaussian variance/covariance", "")
	c.derivScale = c.add("dSigma", cleared)
	c.target = c.add("target", cleared).displays("Gaussian data/target variable", "")
	c.derivTarget = c.add("dtarget", cleared)
	c.modulator = c.add("modulator", cleared)
	c.mask = c.add("mask", cleared)
	if err := c.finish(cfg, kernels.Gaussian, kernels.GaussianOptions, "L-squared"); err != nil {
		return nil, err
	}
	return c, nil
}

// Sigma is the predicted variance.
func (c *GaussianErrorCell) Sigma() *Compartment { return c.scale }

// DerivSigma is dSigma: ones, or with [WithScaleDerivative] the derivative of
// the log density by Sigma.
func (c *GaussianErrorCell) DerivSigma() *Compartment { return c.derivScale }
