//go:build !race

package graph_test

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/graph"
)

// Into memory that is there, a run allocates nothing. (The race detector empties pools.)
func TestAllocations(t *testing.T) {
	dev := open(t)
	g := gorgonia.NewGraph()
	const n = 1 << 12
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(n))
	y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(n))
	_, errs, err := graph.GaussianError(dev, x, y)
	if err != nil {
		t.Fatal(err)
	}
	to := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n))
	in := []gorgonia.Value{tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n)), tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n))}
	op := errs.Op().(gorgonia.UsePreallocDoer)
	if allocs := testing.AllocsPerRun(100, func() { op.UsePreallocDo(to, in...) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
