package backend

import (
	"errors"
	"math"
	"strings"
	"testing"

	"errorcell/kernels"
)

func TestCheckBuffer(t *testing.T) {
	dev := &fakeDevice{"fake"}
	for _, c := range []struct {
		dtype kernels.DType
		n     int
		want  error
	}{
		{kernels.F32, 0, nil}, {kernels.F64, 1 << 30, nil}, {kernels.F64, maxElements, nil}, {kernels.B8, 7, nil},
		{kernels.F32, -1, ErrShape}, {kernels.F64, math.MinInt, ErrShape},
		{0, 1, ErrDType}, {9, 1, ErrDType}, {9, -1, ErrDType},
		{kernels.F64, maxElements + 1, ErrMemory}, {kernels.F32, math.MaxInt, ErrMemory},
	} {
		err := CheckBuffer(dev, c.dtype, c.n)
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), `device "fake"`) {
			t.Errorf("a buffer of %d %v: %v, want %v", c.n, c.dtype, err, c.want)
		}
	}
}

// TestCheckRun: what is right passes, in the same words each mistake does not.
func TestCheckRun(t *testing.T) {
	dev, other := &fakeDevice{"fake"}, &fakeDevice{"other"}
	plan := func(omit uint32, kinds ...kernels.Kind) *kernels.Plan {
		sig := kernels.Signature{DType: kernels.F32, Omit: omit}
		copy(sig.Kinds[:], kinds)
		p, err := kernels.Laplacian.Specialize(sig)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	of := func(n int) Buffer { return newFakeBuffer(dev, kernels.F32, n) }
	x, y := of(6), of(6)
	for _, c := range []struct {
		name            string
		plan            *kernels.Plan
		rows, cols      int
		inputs, outputs []Buffer
		want            error
		says            string
	}{
		{"right", plan(0, kernels.Full, kernels.Row, kernels.Column), 2, 3, []Buffer{x, of(3), of(2)}, []Buffer{y, of(6), of(1)}, nil, ""},
		{"one operand twice", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x, nil}, []Buffer{y, of(6), of(1)}, nil, ""},
		{"one omitted", plan(2, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x, nil}, []Buffer{y, nil, of(1)}, nil, ""},
		{"no rows", plan(0, kernels.Full, kernels.Row), 0, 3, []Buffer{of(0), of(3), nil}, []Buffer{of(0), of(0), of(1)}, nil, ""},
		{"no rows and many columns", plan(0, kernels.Full, kernels.Column), 0, math.MaxInt, []Buffer{of(0), of(0), nil}, []Buffer{of(0), of(0), of(1)}, nil, ""},

		{"negative rows", plan(0, kernels.Full, kernels.Full), -1, 3, []Buffer{x, x, nil}, []Buffer{y, of(6), of(1)}, ErrShape, "-1 x 3"},
		{"huge", plan(0, kernels.Full, kernels.Full), math.MaxInt, 3, []Buffer{x, x, nil}, []Buffer{y, of(6), of(1)}, ErrShape, "larger than memory"},
		{"operands", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x}, []Buffer{y, of(6), of(1)}, ErrOperands, "3 operands and 3 results are wanted, 2 and 3 are given"},
		{"results", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x, nil}, nil, ErrOperands, "3 and 0 are given"},
		{"missing", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, nil, nil}, []Buffer{y, of(6), of(1)}, ErrOperands, "mu is full"},
		{"superfluous", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x, of(1)}, []Buffer{y, of(6), of(1)}, ErrOperands, "modulator is absent"},
		{"missing result", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x, nil}, []Buffer{y, nil, of(1)}, ErrOperands, "dtarget is full"},
		{"superfluous result", plan(4, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x, nil}, []Buffer{y, of(6), of(1)}, ErrOperands, "L is absent"},
		{"foreign", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, newFakeBuffer(other, kernels.F32, 6), nil}, []Buffer{y, of(6), of(1)}, ErrForeign, `mu: buffer of another device: it belongs to device "other"`},
		{"type", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x, nil}, []Buffer{newFakeBuffer(dev, kernels.F64, 6), of(6), of(1)}, ErrDType, "dmu: wrong element type: it holds float64, float32 is wanted"},
		{"length", plan(0, kernels.Full, kernels.Column), 2, 3, []Buffer{x, of(3), nil}, []Buffer{y, of(6), of(1)}, ErrShape, "mu: shape mismatch: it has 3 elements, a column operand of a grid of 2 x 3 has 2"},
		{"on an operand", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, y, nil}, []Buffer{of(6), y, of(1)}, ErrAliased, "mu and dtarget are one buffer"},
		{"on a result", plan(0, kernels.Full, kernels.Full), 2, 3, []Buffer{x, x, nil}, []Buffer{y, y, of(1)}, ErrAliased, "dmu and dtarget are one buffer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckRun(dev, c.plan, c.rows, c.cols, c.inputs, c.outputs)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("CheckRun gives %v, want %v", err, c.want)
			}
			if err == nil {
				return
			}
			for _, s := range []string{c.says, `device "fake": kernel laplacian: `} {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not say %q: %v", s, err)
				}
			}
		})
	}
}
