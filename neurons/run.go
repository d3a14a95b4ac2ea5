package neurons

import "gorgonia.org/tensor"

// RunCell is [RunLaplacianCell]; dt and eType are unused, as in ngc-learn.
func RunCell(dt float64, targ, mu any, eType string, opts ...Option) (dmu, dtarg *tensor.Dense, loss float64, err error) {
	return RunLaplacianCell(dt, targ, mu, opts...)
}

// RunLaplacianCell computes one step of a [LaplacianErrorCell] without keeping
// one: the derivatives by the prediction and by the target, and the loss. targ
// and mu are what [Compartment.Set] takes, but a slice has shape (len,); dt is
// unused. Each call opens a device and closes it again, unless the options have
// an open one ([On]).
func RunLaplacianCell(dt float64, targ, mu any, opts ...Option) (dmu, dtarg *tensor.Dense, loss float64, err error) {
	const anyUnits = 1 // every shape is given
	cell, err := NewLaplacianErrorCell("run_laplacian_cell", anyUnits, opts...)
	if err != nil {
		return nil, nil, 0, err
	}
	defer cell.Close()
	for _, do := range []func() error{
		func() error { return setArray(cell.target, targ) },
		func() error { return setArray(cell.mu, mu) },
		func() error { return cell.AdvanceState(0, dt) },
		func() (err error) { dmu, err = cell.dmu.Tensor(); return err },
		func() (err error) { dtarg, err = cell.dtarget.Tensor(); return err },
		func() (err error) { loss, err = cell.loss.Scalar(); return err },
	} {
		if err := do(); err != nil {
			return nil, nil, 0, err
		}
	}
	return dmu, dtarg, loss, nil
}

// setArray is Set where no cell gives a slice the shape of a batch.
func setArray(c *Compartment, value any) error {
	switch v := value.(type) {
	case []float32:
		return c.SetFloat32s(v, len(v))
	case []float64:
		return c.SetFloat64s(v, len(v))
	}
	return c.Set(value)
}
