package kernels

// The Laplacian error cell, after ngc-learn's LaplacianErrorCell of April
// 2024: the fixed point of a population of error units under the Laplace
// likelihood with unit scale. For target, mu and an optional modulator, all of
// shape (B x N) or broadcast to it,
//
//	e       = sign(target - mu)
//	dmu     = e * modulator      derivative of the loss by the prediction
//	dtarget = -dmu               derivative of the loss by the target
//
// and a scalar loss L, which is never modulated.
var (
	// Laplacian has the loss that ngc-learn computes: L = -sum|e|, minus the
	// number of mismatched units of the batch.
	Laplacian = Must(laplacian("laplacian", func(k *Builder, e, _ Value) Value { return e }))

	// LaplacianL1 has the loss that ngc-learn documents: L = -sum|target - mu|,
	// the log likelihood of the Laplace distribution up to a constant. Its
	// derivatives are those of Laplacian.
	LaplacianL1 = Must(laplacian("laplacian-l1", func(k *Builder, _, diff Value) Value { return diff }))
)

func laplacian(name string, deviation func(k *Builder, e, diff Value) Value) (*Kernel, error) {
	return Define(name, func(k *Builder) {
		target, mu, modulator := k.Input("target"), k.Input("mu"), k.Optional("modulator", 1)
		diff := k.Sub(target, mu)
		e := k.Sign(diff)
		dmu := k.Mul(e, modulator)
		k.Output("dmu", dmu)
		k.Output("dtarget", k.Neg(dmu))
		k.Output("L", k.Neg(k.Sum(k.Abs(deviation(k, e, diff)), All)))
	})
}
