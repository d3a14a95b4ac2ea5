//go:build !race

// Under the race detector, pools lose what they hold at random.

package lend

import (
	"testing"

	"errorcell/kernels"
)

func TestAllocations(t *testing.T) {
	dev := open(t)
	l := New(dev)
	program := compile(t, dev, kernels.Laplacian, kernels.F32, kernels.Absent, "dmu", "L")
	x, y, to, loss := make([]float32, 4), make([]float32, 4), make([]float32, 4), make([]float32, 1)
	if allocs := testing.AllocsPerRun(100, func() {
		inputs, outputs := [3]Memory{Of(x), Of(y)}, [3]Memory{Of(to), {}, Of(loss)}
		if err := l.Run(program, 1, len(x), inputs[:], outputs[:]); err != nil {
			t.Fatal(err)
		}
	}); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
