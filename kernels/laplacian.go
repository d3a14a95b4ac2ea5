package kernels

// The Laplacian error cell: the fixed point of a population of error units
// under the Laplace likelihood. For target and mu of shape (B x N), or
// broadcast to it,
//
//	e       = sign(target - mu)
//	dmu     = e * modulator      derivative of the loss by the prediction
//	dtarget = -dmu               derivative of the loss by the target
//	L       = -sum|e|            loss, never modulated
//
// in the form of ngc-learn's LaplacianErrorCell of April 2024. The scaled form
// is that of ngc-learn 3, where mu is also called shift:
//
//	dmu     = e / scale * modulator * mask
//	dScale  = scale*0 + 1        ones: ngc-learn has no derivative there
//	L       = -sum|e| * (1/scale)
//
// with operands that do nothing when they are absent. L has the shape of scale.
//
// Beyond ngc-learn, in a kernel of their own, are the loss of what the gates
// let pass, and the derivative by the scale b of the log density of the Laplace
// distribution, log p = -|target - mu|/b - log(2b):
//
//	gate    = modulator * mask
//	L       = -sum(|e| * gate) * (1/scale)       gated; for L1 of target - mu
//	dScale  = (|target - mu|/scale - 1) / scale * gate
//
// dScale is summed over what shares an element of scale.
var (
	// Laplacian has the loss that ngc-learn computes, minus the number of
	// mismatched units of the batch.
	Laplacian = Must(laplacian("laplacian", mismatch, unscaled))

	// LaplacianL1 has the loss that ngc-learn documents: L = -sum|target - mu|,
	// the log likelihood of the Laplace distribution up to a constant. Its
	// derivatives are those of Laplacian.
	LaplacianL1 = Must(laplacian("laplacian-l1", l1, unscaled))

	// LaplacianScaled and LaplacianScaledL1 are the same with mask and scale.
	LaplacianScaled   = Must(laplacian("laplacian-scaled", mismatch, scaled))
	LaplacianScaledL1 = Must(laplacian("laplacian-scaled-l1", l1, scaled))

	// LaplacianOptions has the gated losses and the derivative by the scale.
	LaplacianOptions = Must(Define("laplacian-options", laplacianOptions))
)

var _ = declare(Cell{
	Name: "laplacian",
	Help: `The laplacian cell reads target and mu (or shift, the same thing) and, if they
are there, modulator, mask and scale. It writes dmu (dshift), dtarget, the loss L
and, with scale, dScale. L is minus the number of units in error, or with
--loss l1 minus the sum of |target - mu|.`,
	Kernels: []CellKernel{
		{Kernel: Laplacian, Fused: modulators},
		{Kernel: LaplacianL1, Fused: modulators},
		{Kernel: LaplacianScaled, Fused: gates, Loss: "mismatch"},
		{Kernel: LaplacianScaledL1, Fused: gates, Loss: "l1"},
		{Kernel: LaplacianOptions},
	},
	Aliases: map[string]Alias{"shift": {Operand: "mu", Results: map[string]string{"dmu": "dshift"}}},
	Needs:   map[string]string{"dScale": "scale"},
})

var modulators = []Operands{
	{},
	{"modulator": Full},
	{"modulator": Scalar},
}

var gates = []Operands{
	{"modulator": Full, "mask": Full},
	{"scale": Scalar},
	{"scale": Scalar, "mask": Full},
	{"scale": Scalar, "mask": Full, "modulator": Full},
}

// Which deviation the loss adds up, and whether there are mask and scale.
const (
	mismatch, l1     = false, true
	unscaled, scaled = false, true
)

func laplacian(name string, l1, scaled bool) (*Kernel, error) {
	return Define(name, func(k *Builder) {
		target, mu, modulator := k.Input("target"), k.Input("mu"), k.Optional("modulator", 1)
		diff := k.Sub(target, mu)
		e := k.Sign(diff)
		deviation := e
		if l1 {
			deviation = diff
		}
		loss := k.Neg(k.Sum(k.Abs(deviation), All))
		if !scaled {
			dmu := k.Mul(e, modulator)
			k.Output("dmu", dmu)
			k.Output("dtarget", k.Neg(dmu))
			k.Output("L", loss)
			return
		}
		mask, scale := k.Optional("mask", 1), k.Optional("scale", 1)
		dmu := k.Mul(k.Mul(k.Div(e, scale), modulator), mask)
		k.Output("dmu", dmu)
		k.Output("dtarget", k.Neg(dmu))
		k.Output("L", k.Mul(loss, k.Div(k.Const(1), scale)))
		k.Output("dScale", k.Add(k.Mul(scale, k.Const(0)), k.Const(1)))
	})
}

func laplacianOptions(k *Builder) {
	target, mu, modulator := k.Input("target"), k.Input("mu"), k.Optional("modulator", 1)
	mask, scale := k.Optional("mask", 1), k.Optional("scale", 1)
	gated := func(x Value) Value { return k.Mul(k.Mul(x, modulator), mask) }
	diff := k.Sub(target, mu)
	distance := k.Abs(diff)
	loss := func(deviation Value) Value {
		return k.Mul(k.Neg(k.Sum(gated(deviation), All)), k.Div(k.Const(1), scale))
	}
	k.Output("L-mismatch", loss(k.Abs(k.Sign(diff))))
	k.Output("L-l1", loss(distance))
	slope := k.Div(k.Sub(k.Div(distance, scale), k.Const(1)), scale)
	outputShared(k, "dScale", gated(slope))
}
