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
	g := gorgonia.NewGraph()
	const n = 1 << 12
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(n))
	y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(n))
	op := newNodes(t, graph.GaussianError, open(t), x, y).all().(gorgonia.UsePreallocDoer)
	in := []gorgonia.Value{tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n)), tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n))}
	to, err := op.UsePreallocDo(nil, in...)
	if err != nil {
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(100, func() { op.UsePreallocDo(to, in...) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
