package neurons_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"errorcell/kernels"
	"errorcell/neurons"
)

// check draws cases for a property of cells on one device.
func check(t *testing.T, units int, property func(t *rapid.T, cell *neurons.LaplacianErrorCell, batch int)) {
	dev := open(t, "cpu:generic,threads=1")
	rapid.Check(t, func(rt *rapid.T) {
		cell, err := neurons.NewLaplacianErrorCell("e0", units, neurons.On(dev))
		if err != nil {
			rt.Fatal(err)
		}
		defer cell.Close()
		property(rt, cell, rapid.IntRange(0, 5).Draw(rt, "batch"))
	})
}

// stepped gives dmu, dtarget and L of a step.
func stepped(t *rapid.T, cell *neurons.LaplacianErrorCell, target, mu []float32) (dmu, dtarget []float32, loss float64) {
	for c, x := range map[*neurons.Compartment][]float32{cell.Target(): target, cell.Mean(): mu} {
		if err := c.SetFloat32s(x); err != nil {
			t.Fatal(err)
		}
	}
	if err := cell.AdvanceState(0, 1); err != nil {
		t.Fatal(err)
	}
	dmu, err := cell.DerivMean().Float32s()
	if err != nil {
		t.Fatal(err)
	}
	if dtarget, err = cell.DerivTarget().Float32s(); err != nil {
		t.Fatal(err)
	}
	if loss, err = cell.Loss().Scalar(); err != nil {
		t.Fatal(err)
	}
	return dmu, dtarget, loss
}

func TestPropertyWhatIsSetIsRead(t *testing.T) {
	check(t, 3, func(t *rapid.T, cell *neurons.LaplacianErrorCell, batch int) {
		x := drawN(t, floats, 3*batch, "x")
		c := rapid.SampledFrom(cell.Compartments()).Draw(t, "compartment")
		if err := c.SetFloat32s(x); err != nil {
			t.Fatal(err)
		}
		got, err := c.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		if i := firstDifference(got, x); i >= 0 {
			t.Fatalf("element %d: set %v, read %v", i, x, got)
		}
		wide, err := c.Float64s()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetFloat64s(wide); err != nil { // through float64 and back changes nothing
			t.Fatal(err)
		}
		if err := c.ReadFloat32s(got); err != nil {
			t.Fatal(err)
		}
		if i := firstDifference(got, x); i >= 0 {
			t.Fatalf("element %d: set %v, read %v", i, x, got)
		}
	})
}

func TestPropertyAgreesWithTheReference(t *testing.T) {
	check(t, 3, func(t *rapid.T, cell *neurons.LaplacianErrorCell, batch int) {
		target, mu := drawN(t, floats, 3*batch, "target"), drawN(t, floats, 3*batch, "mu")
		dmu, dtarget, loss := stepped(t, cell, target, mu)
		shape := kernels.Shape{batch, 3}
		want, err := kernels.Reference(kernels.Laplacian,
			&kernels.Array[float32]{Shape: shape, Data: target}, &kernels.Array[float32]{Shape: shape, Data: mu}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if firstDifference(dmu, want[0].Data) >= 0 || firstDifference(dtarget, want[1].Data) >= 0 || !same(float32(loss), want[2].Data[0]) {
			t.Fatalf("dmu %v, dtarget %v, L %v; the reference has %v, %v, %v", dmu, dtarget, loss, want[0].Data, want[1].Data, want[2].Data)
		}
	})
}

// TestPropertyTranslation: what is added to both target and prediction, exactly,
// changes nothing.
func TestPropertyTranslation(t *testing.T) {
	check(t, 3, func(t *rapid.T, cell *neurons.LaplacianErrorCell, batch int) {
		target, mu := drawN(t, small, 3*batch, "target"), drawN(t, small, 3*batch, "mu")
		shift := small.Draw(t, "shift")
		dmu, dtarget, loss := stepped(t, cell, target, mu)
		for i := range target {
			target[i] += shift
			mu[i] += shift
		}
		dmu2, dtarget2, loss2 := stepped(t, cell, target, mu)
		if firstDifference(dmu, dmu2) >= 0 || firstDifference(dtarget, dtarget2) >= 0 || loss != loss2 {
			t.Fatal("a translation changed the step")
		}
	})
}

// TestPropertySwap: target and prediction exchanged exchange the derivatives.
func TestPropertySwap(t *testing.T) {
	check(t, 3, func(t *rapid.T, cell *neurons.LaplacianErrorCell, batch int) {
		target, mu := drawN(t, floats, 3*batch, "target"), drawN(t, floats, 3*batch, "mu")
		dmu, dtarget, loss := stepped(t, cell, target, mu)
		dmu2, dtarget2, loss2 := stepped(t, cell, mu, target)
		for i := range dmu {
			// As numbers: a zero's sign does not change sides.
			for _, pair := range [][2]float32{{dmu[i], dtarget2[i]}, {dtarget[i], dmu2[i]}} {
				if pair[0] != pair[1] && pair[0] == pair[0] && pair[1] == pair[1] {
					t.Fatalf("element %d: %g and %g", i, pair[0], pair[1])
				}
			}
		}
		if loss != loss2 && !(math.IsNaN(loss) && math.IsNaN(loss2)) {
			t.Fatalf("L = %g and %g", loss, loss2)
		}
	})
}

// TestPropertyBatchSplit: a batch cut in two gives the same derivatives, and
// losses that add up to the same.
func TestPropertyBatchSplit(t *testing.T) {
	check(t, 3, func(t *rapid.T, cell *neurons.LaplacianErrorCell, batch int) {
		target, mu := drawN(t, small, 3*batch, "target"), drawN(t, small, 3*batch, "mu")
		dmu, dtarget, loss := stepped(t, cell, target, mu)
		cut := 3 * rapid.IntRange(0, batch).Draw(t, "cut")
		dmuA, dtargetA, lossA := stepped(t, cell, target[:cut], mu[:cut])
		dmuB, dtargetB, lossB := stepped(t, cell, target[cut:], mu[cut:])
		if firstDifference(dmu, append(dmuA, dmuB...)) >= 0 || firstDifference(dtarget, append(dtargetA, dtargetB...)) >= 0 {
			t.Fatal("the derivatives depend on the split")
		}
		if loss != lossA+lossB {
			t.Fatalf("L = %g, of the parts %g and %g", loss, lossA, lossB)
		}
	})
}

// TestPropertyModulator: a modulator multiplies the derivatives, leaves the
// loss, and is gone afterwards.
func TestPropertyModulator(t *testing.T) {
	check(t, 3, func(t *rapid.T, cell *neurons.LaplacianErrorCell, batch int) {
		target, mu := drawN(t, floats, 3*batch, "target"), drawN(t, floats, 3*batch, "mu")
		modulator := drawN(t, floats, 3*batch, "modulator")
		dmu, dtarget, loss := stepped(t, cell, target, mu)
		if err := cell.Modulator().SetFloat32s(modulator); err != nil {
			t.Fatal(err)
		}
		for i, m := range modulator {
			dmu[i] *= m
			dtarget[i] *= m
		}
		dmu2, dtarget2, loss2 := stepped(t, cell, target, mu)
		if firstDifference(dmu, dmu2) >= 0 || firstDifference(dtarget, dtarget2) >= 0 || !same(float32(loss), float32(loss2)) {
			t.Fatalf("dmu %v, not %v; L %v, not %v", dmu2, dmu, loss2, loss)
		}
		if cell.Modulator().IsSet() {
			t.Fatal("the modulator was not consumed")
		}
	})
}
