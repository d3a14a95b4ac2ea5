package engine_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/engine"
)

// TestGorgonia: a program of Gorgonia's learns the same with the engine, which is one
// option more of its machine, as without.
func TestGorgonia(t *testing.T) {
	for _, machine := range []string{"tape", "lisp"} {
		want := learn(t, machine)
		if last := want[len(want)-1]; !(last < want[0]/2) {
			t.Fatalf("without the engine, the loss goes from %v to %v", want[0], last)
		}
		t.Run(machine, func(t *testing.T) {
			onEach(t, func(t *testing.T, eng *engine.Engine) {
				for i, loss := range learn(t, machine, gorgonia.WithEngine(eng)) {
					if math.Abs(loss-want[i]) > 1e-4*want[0] {
						t.Fatalf("loss %v after %d steps, without the engine %v", loss, i, want[i])
					}
				}
			})
		})
	}
}

// TestGorgoniaPlaced: a placed value is bound to a node like any other, before or after
// the machine is made.
func TestGorgoniaPlaced(t *testing.T) {
	onEach(t, func(t *testing.T, eng *engine.Engine) {
		for _, opts := range [][]gorgonia.VMOpt{nil, {gorgonia.WithEngine(eng)}} {
			g := gorgonia.NewGraph()
			x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(3000))
			y := gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.HadamardProd(x, x)), x))
			var result gorgonia.Value
			gorgonia.Read(y, &result)
			vm := gorgonia.NewTapeMachine(g, opts...)
			defer vm.Close()
			for first := range 3 {
				in, err := eng.Place(tensor.New(tensor.WithBacking(tensor.Range(tensor.Float32, first, first+3000))))
				if err != nil {
					t.Fatal(err)
				}
				if err := gorgonia.Let(x, in); err != nil {
					t.Fatal(err)
				}
				if err := vm.RunAll(); err != nil {
					t.Fatal(err)
				}
				for i, got := range result.Data().([]float32) {
					if v := float32(first + i); got != v*v+v {
						t.Fatalf("of %v: %v", v, got)
					}
				}
				vm.Reset()
				if err := eng.Free(in, int64(in.MemSize())); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// learn fits a network of one hidden layer to a wave, and gives the loss of each step.
func learn(t *testing.T, machine string, opts ...gorgonia.VMOpt) []float64 {
	const batch, hidden = 96, 32
	r := rand.New(rand.NewPCG(1, 2))
	g := gorgonia.NewGraph()
	normal := func(scale float64, shape ...int) *tensor.Dense {
		data := make([]float64, tensor.Shape(shape).TotalSize())
		for i := range data {
			data[i] = scale * r.NormFloat64()
		}
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	matrix := func(name string, value *tensor.Dense) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithName(name), gorgonia.WithShape(value.Shape()...), gorgonia.WithValue(value))
	}
	xs, ys := normal(1, batch, 1), normal(0, batch, 1)
	for i, x := range xs.Float64s() {
		ys.Float64s()[i] = math.Sin(2 * x)
	}
	x, y := matrix("x", xs), matrix("y", ys)
	w, v := matrix("w", normal(1, 1, hidden)), matrix("v", normal(0.2, hidden, 1))
	h := gorgonia.Must(gorgonia.Tanh(gorgonia.Must(gorgonia.Mul(x, w))))
	e := gorgonia.Must(gorgonia.Sub(y, gorgonia.Must(gorgonia.Mul(h, v))))
	cost := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(e))))
	var loss gorgonia.Value
	gorgonia.Read(cost, &loss)
	newMachine := func() gorgonia.VM { return gorgonia.NewLispMachine(g, opts...) } // for a step
	if machine == "tape" {
		if _, err := gorgonia.Grad(cost, w, v); err != nil {
			t.Fatal(err)
		}
		vm := gorgonia.NewTapeMachine(g, append(opts, gorgonia.BindDualValues(w, v))...)
		t.Cleanup(func() { vm.Close() })
		newMachine = func() gorgonia.VM { return vm }
	}
	solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(0.05))
	var losses []float64
	for range 60 {
		vm := newMachine()
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		losses = append(losses, loss.Data().(float64))
		if err := solver.Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{w, v})); err != nil {
			t.Fatal(err)
		}
		vm.Reset()
	}
	return losses
}
