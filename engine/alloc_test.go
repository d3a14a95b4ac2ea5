//go:build !race

// Under the race detector, pools lose what they hold at random.

package engine_test

import (
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"
)

// TestAllocations: the engine allocates no more than the result.
func TestAllocations(t *testing.T) {
	eng := open(t)
	r := rand.New(rand.NewPCG(7, 8))
	std := func(x *tensor.Dense) *tensor.Dense {
		y := x.Clone().(*tensor.Dense)
		tensor.WithEngine(tensor.StdEng{})(y)
		return y
	}
	for name, run := range map[string]func(a, b, to *tensor.Dense){
		"new":    func(a, b, to *tensor.Dense) { tensor.Add(a, b) },
		"reuse":  func(a, b, to *tensor.Dense) { tensor.Mul(a, b, tensor.WithReuse(to)) },
		"unsafe": func(a, b, to *tensor.Dense) { tensor.Sub(a, b, tensor.UseUnsafe()) },
		"number": func(a, b, to *tensor.Dense) { tensor.Mul(a, float32(1), tensor.WithReuse(to)) },
		"unary":  func(a, b, to *tensor.Dense) { tensor.Abs(a, tensor.WithReuse(to)) },
		"bools":  func(a, b, to *tensor.Dense) { tensor.Lt(a, b) },
		"same":   func(a, b, to *tensor.Dense) { tensor.Lt(a, b, tensor.WithReuse(to), tensor.AsSameType()) },
		"sum":    func(a, b, to *tensor.Dense) { tensor.Sum(a) },
	} {
		for _, n := range []int{16, 4096, 1 << 16} {
			a, b, to := floats[float32](r, eng, nil, n), floats[float32](r, eng, nil, n), floats[float32](r, eng, nil, n)
			sa, sb, sto := std(a), std(b), std(to)
			ours := testing.AllocsPerRun(20, func() { run(a, b, to) })
			theirs := testing.AllocsPerRun(20, func() { run(sa, sb, sto) })
			if ours > theirs {
				t.Errorf("%s of %d allocates %v times, StdEng %v", name, n, ours, theirs)
			}
		}
	}
}
