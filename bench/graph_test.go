package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/engine"
	"errorcell/graph"
)

// losses are log likelihoods as error cells, and as one writes them in Gorgonia's own
// nodes.
var losses = []struct {
	name      string
	low, high float32 // of mu
	cell      func(dev backend.Device, target, mu *G.Node) (*G.Node, error)
	own       func(target, mu *G.Node) (*G.Node, error)
}{
	{"Gaussian", -3, 3,
		func(dev backend.Device, target, mu *G.Node) (*G.Node, error) {
			loss, _, err := graph.GaussianError(dev, target, mu)
			return loss, err
		},
		func(target, mu *G.Node) (*G.Node, error) {
			squares := G.Must(G.Square(G.Must(G.Sub(target, mu))))
			return G.Mul(G.NewConstant(float32(-0.5)), G.Must(G.Sum(squares)))
		},
	},
	{"Laplacian,L1", -3, 3,
		func(dev backend.Device, target, mu *G.Node) (*G.Node, error) {
			loss, _, err := graph.LaplacianError(dev, target, mu, graph.L1)
			return loss, err
		},
		func(target, mu *G.Node) (*G.Node, error) {
			return G.Neg(G.Must(G.Sum(G.Must(G.Abs(G.Must(G.Sub(target, mu)))))))
		},
	},
	{"Bernoulli,Logits", -3, 3,
		func(dev backend.Device, target, mu *G.Node) (*G.Node, error) {
			loss, _, err := graph.BernoulliError(dev, target, mu, graph.Logits)
			return loss, err
		},
		func(target, mu *G.Node) (*G.Node, error) {
			return G.Neg(G.Must(G.Sum(G.Must(G.BinaryXent(G.Must(G.Sigmoid(mu)), target)))))
		},
	},
}

// tape is a TapeMachine that computes a loss of n numbers and its gradient by mu.
type tape struct {
	vm             runner
	loss, gradient *G.Node
}

func newTape(tb testing.TB, n int, low, high float32, loss func(target, mu *G.Node) (*G.Node, error), opts ...G.VMOpt) tape {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	g := G.NewGraph()
	node := func(name string, number func() float32) *G.Node {
		data := make([]float32, n)
		for i := range data {
			data[i] = number()
		}
		return G.NewMatrix(g, tensor.Float32, G.WithName(name), G.WithShape(n/64, 64), G.WithValue(tensor.New(tensor.WithShape(n/64, 64), tensor.WithBacking(data))))
	}
	target := node("target", func() float32 { return float32(r.IntN(2)) })
	mu := node("mu", func() float32 { return low + r.Float32()*(high-low) })
	l, err := loss(target, mu)
	if err != nil {
		tb.Fatal(err)
	}
	gradients, err := G.Grad(l, mu)
	if err != nil {
		tb.Fatal(err)
	}
	vm := G.NewTapeMachine(g, opts...)
	step := func() error {
		defer vm.Reset()
		return vm.RunAll()
	}
	return tape{runner{step: step, close: func() { vm.Close() }}, l, gradients[0]}
}

// BenchmarkGraph is how much faster a loss and its gradient by mu are in a graph with
// the cells than with Gorgonia's own nodes, in turns: own/ours.
func BenchmarkGraph(b *testing.B) {
	dev := openDevice(b, "cpu")
	defer dev.Close()
	for _, l := range losses {
		for _, n := range []int{64, 4096, 65536, 1 << 20} {
			b.Run(fmt.Sprintf("%s/n=%d", l.name, n), func(b *testing.B) {
				ours := newTape(b, n, l.low, l.high, func(target, mu *G.Node) (*G.Node, error) { return l.cell(dev, target, mu) })
				own := newTape(b, n, l.low, l.high, l.own)
				defer ours.vm.close()
				defer own.vm.close()
				takeTurns(b, "own/ours", ours.vm.step, own.vm.step, max(1, 1<<12/n))
			})
		}
	}
}

// BenchmarkGorgonia is how much faster a program of Gorgonia's is with the engine, one
// option more of its machine, than without, in turns: std/engine. It is the loss
// mean((target - tanh(z))^2) and its gradient by z.
func BenchmarkGorgonia(b *testing.B) {
	eng, err := engine.Open("cpu")
	if err != nil {
		b.Fatal(err)
	}
	defer eng.Close()
	loss := func(target, z *G.Node) (*G.Node, error) {
		return G.Mean(G.Must(G.Square(G.Must(G.Sub(target, G.Must(G.Tanh(z)))))))
	}
	for _, n := range []int{64, 4096, 65536, 1 << 20} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			with, without := newTape(b, n, -3, 3, loss, G.WithEngine(eng)), newTape(b, n, -3, 3, loss)
			defer with.vm.close()
			defer without.vm.close()
			takeTurns(b, "std/engine", with.vm.step, without.vm.step, max(1, 1<<12/n))
		})
	}
}

// TestLossesAgree: what is compared must compute the same.
func TestLossesAgree(t *testing.T) {
	const n = 4096
	dev := openDevice(t, "cpu")
	defer dev.Close()
	for _, l := range losses {
		ours := newTape(t, n, l.low, l.high, func(target, mu *G.Node) (*G.Node, error) { return l.cell(dev, target, mu) })
		own := newTape(t, n, l.low, l.high, l.own)
		for _, tape := range []tape{ours, own} {
			defer tape.vm.close()
			if err := tape.vm.step(); err != nil {
				t.Fatal(err)
			}
		}
		near := func(what string, a, b float32, within float64) {
			t.Helper()
			if !(math.Abs(float64(a-b)) <= within) {
				t.Errorf("%s: %s is %v with the cell, %v of Gorgonia's nodes", l.name, what, a, b)
			}
		}
		loss := ours.loss.Value().Data().(float32)
		near("loss", loss, own.loss.Value().Data().(float32), 1e-4*math.Abs(float64(loss)))
		for i, d := range ours.gradient.Value().Data().([]float32) {
			near("gradient", d, own.gradient.Value().Data().([]float32)[i], 1e-4)
		}
	}
}
