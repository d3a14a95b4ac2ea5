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
)

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
