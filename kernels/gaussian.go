package kernels

// The Gaussian error cell: the fixed point of a population of error units under
// the normal distribution of variance sigma. For target and mu of shape
// (B x N), or broadcast to it, in the form of ngc-learn 3,
//
//	e       = target - mu
//	dmu     = e / sigma * modulator * mask
//	dtarget = -dmu
//	dSigma  = sigma*0 + 1        ones: ngc-learn has no derivative there
//	L       = -sum(e^2) * (0.5/sigma)
//
// with operands that do nothing when they are absent. L has the shape of sigma.
//
// Beyond ngc-learn, in a kernel of their own, are the loss of what the gates
// let pass, and the derivative by sigma of the log density of the normal
// distribution, log p = -e^2/(2 sigma) - log(2 pi sigma)/2:
//
//	gate    = modulator * mask
//	L       = -sum(e^2 * gate) * (0.5/sigma)     gated
//	dSigma  = (e^2/sigma - 1) * 0.5 / sigma * gate
//
// dSigma is summed over what shares an element of sigma.
var (
	// Gaussian is ngc-learn's step.
	Gaussian = Must(Define("gaussian", gaussian))

	// GaussianOptions has the gated loss and the derivative by sigma.
	GaussianOptions = Must(Define("gaussian-options", gaussianOptions))
)

var _ = declare(Cell{
	Name: "gaussian",
	Help: `The gaussian cell reads target and mu and, if they are there, modulator, mask and
sigma, the variance. It writes dmu, dtarget, dSigma and the loss L, minus the sum
of (target - mu)^2/(2 sigma).`,
	Kernels: []CellKernel{
		{Kernel: Gaussian, Loss: "squared", Fused: []Operands{
			{},
			{"sigma": Scalar},
			{"sigma": Scalar, "mask": Full},
			{"sigma": Scalar, "modulator": Full, "mask": Full},
		}},
		{Kernel: GaussianOptions},
	},
})

func gaussian(k *Builder) {
	target, mu, modulator := k.Input("target"), k.Input("mu"), k.Optional("modulator", 1)
	mask, sigma := k.Optional("mask", 1), k.Optional("sigma", 1)
	e := k.Sub(target, mu)
	dmu := k.Mul(k.Mul(k.Div(e, sigma), modulator), mask)
	k.Output("dmu", dmu)
	k.Output("dtarget", k.Neg(dmu))
	k.Output("L", k.Mul(k.Neg(k.Sum(k.Mul(e, e), All)), k.Div(k.Const(0.5), sigma)))
	k.Output("dSigma", k.Add(k.Mul(sigma, k.Const(0)), k.Const(1)))
}

func gaussianOptions(k *Builder) {
	target, mu, modulator := k.Input("target"), k.Input("mu"), k.Optional("modulator", 1)
	mask, sigma := k.Optional("mask", 1), k.Optional("sigma", 1)
	gated := func(x Value) Value { return k.Mul(k.Mul(x, modulator), mask) }
	e := k.Sub(target, mu)
	square := k.Mul(e, e)
	k.Output("L-squared", k.Mul(k.Neg(k.Sum(gated(square), All)), k.Div(k.Const(0.5), sigma)))
	slope := k.Div(k.Mul(k.Sub(k.Div(square, sigma), k.Const(1)), k.Const(0.5)), sigma)
	outputShared(k, "dSigma", gated(slope))
}
