package neurons_test

import (
	"testing"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/neurons"
)

// TestNothingIsAllocated: once shapes repeat, neither setting, stepping nor
// reading into the caller's memory allocates.
func TestNothingIsAllocated(t *testing.T) {
	const batch, units = 8, 500
	x32, x64 := make([]float32, batch*units), make([]float64, batch*units)
	dense := tensor.New(tensor.WithShape(batch, units), tensor.WithBacking(make([]float32, batch*units)))
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		for _, dtype := range []kernels.DType{kernels.F32, kernels.F64} {
			cell := newCell(t, "e0", units, neurons.On(dev), neurons.WithDType(dtype))
			from := newCell(t, "e1", units, neurons.On(dev), neurons.WithDType(dtype))
			must(t, neurons.Connect(from.DerivMean(), cell.DerivTarget(), neurons.Overwrite))
			must(t, neurons.Connect(from.DerivMean(), cell.DerivTarget(), neurons.Additive))
			must(t, from.DerivMean().SetFloat32s(x32))
			for _, c := range []struct {
				name string
				call func() error
			}{
				{"SetFloat32s", func() error { return cell.Target().SetFloat32s(x32) }},
				{"SetFloat32s with a shape", func() error { return cell.Mean().SetFloat32s(x32, batch, units) }},
				{"SetFloat64s", func() error { return cell.Target().SetFloat64s(x64) }},
				{"SetTensor", func() error { return cell.Target().SetTensor(dense) }},
				{"SetScalar", func() error { return cell.Modulator().SetScalar(2) }},
				{"Resize", func() error { return cell.Mean().Resize(batch, units) }},
				{"AdvanceState", func() error { return cell.AdvanceState(0, 1) }},
				{"a modulated AdvanceState", func() error {
					must(t, cell.Modulator().SetScalar(2))
					return cell.AdvanceState(0, 1)
				}},
				{"ReadFloat32s", func() error { return cell.DerivMean().ReadFloat32s(x32) }},
				{"ReadFloat64s", func() error { return cell.DerivMean().ReadFloat64s(x64) }},
				{"Scalar", func() error { _, err := cell.Loss().Scalar(); return err }},
				{"View", func() error { cell.DerivMean().View(); return nil }},
				{"Gather", func() error { return cell.Gather() }},
				{"Clear", func() error { return cell.Modulator().Clear() }},
			} {
				// The additive wire alternates between two buffers: warm both.
				for range 2 {
					must(t, c.call())
				}
				if n := testing.AllocsPerRun(20, func() {
					if err := c.call(); err != nil {
						t.Fatal(err)
					}
				}); n != 0 {
					t.Errorf("%v: %s allocates %v times", dtype, c.name, n)
				}
			}
		}
	})
}
