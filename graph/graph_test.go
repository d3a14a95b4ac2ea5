package graph_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/graph"
	"errorcell/kernels"
)

func open(t testing.TB) backend.Device {
	t.Helper()
	dev, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

// elsewhere is a device that does not say that it computes in the host's memory.
type elsewhere struct{ backend.Device }

// onEveryDevice runs a test where the values are, on copies, and on the emulated GPU
// where it is compiled in.
func onEveryDevice(t *testing.T, test func(t *testing.T, dev backend.Device)) {
	t.Run("cpu", func(t *testing.T) { test(t, open(t)) })
	t.Run("elsewhere", func(t *testing.T) { test(t, elsewhere{open(t)}) })
	t.Run("cuda:emulated", func(t *testing.T) {
		dev, err := backend.Open("cuda:emulated")
		if errors.Is(err, backend.ErrUnknownDevice) || errors.Is(err, backend.ErrUnavailable) {
			t.Skip("this test binary has no CUDA: make test has a pass that does, on Linux with a C compiler")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dev.Close() })
		test(t, dev)
	})
}

type cellFunc = func(dev backend.Device, target, mu *gorgonia.Node, opts ...graph.Option) (loss, errors *gorgonia.Node, err error)

// cell is what a cell computes by the reference: loss, errors and, of the loss, the
// derivatives by target and mu.
type cell struct {
	name                         string
	apply                        cellFunc
	opts                         []graph.Option
	loss, errors, byTarget, byMu string // kernel/result
	low, high                    float64
}

var cells = []cell{
	{"gaussian", graph.GaussianError, nil, "gaussian/L", "gaussian/dmu", "gaussian/dtarget", "gaussian/dmu", -3, 3},
	{"mismatch", graph.LaplacianError, nil, "laplacian/L", "laplacian/dmu", "", "", -3, 3},
	{"l1", graph.LaplacianError, []graph.Option{graph.L1}, "laplacian-l1/L", "laplacian/dmu", "laplacian/dtarget", "laplacian/dmu", -3, 3},
	{"probabilities", graph.BernoulliError, nil, "bernoulli/L", "bernoulli/dp", "bernoulli/dtarget", "bernoulli-options/dp-probabilities", 0.05, 0.95},
	{"logits", graph.BernoulliError, []graph.Option{graph.Logits}, "bernoulli-logits/L", "bernoulli-logits/dp", "bernoulli-logits/dtarget", "bernoulli-logits/dp", -3, 3},
}

var byName = map[string]*kernels.Kernel{
	"gaussian": kernels.Gaussian, "laplacian": kernels.Laplacian, "laplacian-l1": kernels.LaplacianL1,
	"bernoulli": kernels.Bernoulli, "bernoulli-options": kernels.BernoulliOptions, "bernoulli-logits": kernels.BernoulliLogits,
}

// reference is a result by kernels.Reference, a derivative times factor.
func reference[T kernels.Float](t *testing.T, what string, target, mu []T, factor T) []T {
	t.Helper()
	name, result, _ := strings.Cut(what, "/")
	k := byName[name]
	in := make([]*kernels.Array[T], k.NumInputs())
	in[0] = &kernels.Array[T]{Shape: kernels.Shape{len(target)}, Data: target}
	in[1] = &kernels.Array[T]{Shape: kernels.Shape{len(mu)}, Data: mu}
	in[2] = &kernels.Array[T]{Shape: kernels.Shape{1}, Data: []T{factor}}
	out, err := kernels.Reference(k, in...)
	if err != nil {
		t.Fatal(err)
	}
	return out[k.OutputIndex(result)].Data
}

// numbers are those of a value, one at least.
func numbers[T kernels.Float](t *testing.T, v gorgonia.Value) []T {
	t.Helper()
	switch x := v.Data().(type) {
	case []T:
		return x
	case T:
		return []T{x}
	}
	t.Fatalf("value is a %T of %T", v, v.Data())
	return nil
}

func sample[T kernels.Float](r *rand.Rand, c cell, n int) (target, mu []T) {
	target, mu = make([]T, n), make([]T, n)
	for i := range n {
		target[i] = T(r.Float64()*(c.high-c.low) + c.low)
		mu[i] = T(r.Float64()*(c.high-c.low) + c.low)
		if i%7 == 3 && c.byMu == "" {
			mu[i] = target[i]
		}
	}
	return target, mu
}

// nodes are those of a cell, whose operations compute without a machine.
type nodes struct{ loss, errors *gorgonia.Node }

func newNodes(t *testing.T, apply cellFunc, dev backend.Device, target, mu *gorgonia.Node, opts ...graph.Option) nodes {
	t.Helper()
	loss, errs, err := apply(dev, target, mu, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return nodes{loss, errs}
}

// all is the operation that errors and loss are taken from the result of.
func (n nodes) all() gorgonia.Op { return n.allNode().Op() }

func (n nodes) allNode() *gorgonia.Node {
	operands := n.errors.Graph().From(n.errors.ID())
	operands.Next()
	return operands.Node().(*gorgonia.Node)
}

func (n nodes) compute(target, mu gorgonia.Value) (loss, errors gorgonia.Value, err error) {
	all, err := n.all().Do(target, mu)
	if err != nil {
		return nil, nil, err
	}
	if errors, err = n.errors.Op().Do(all); err != nil {
		return nil, nil, err
	}
	loss, err = n.loss.Op().Do(target, mu, all, errors)
	return loss, errors, err
}

func TestCells(t *testing.T) { onEveryDevice(t, testCells) }

func testCells(t *testing.T, dev backend.Device) {
	for _, c := range cells {
		for _, shape := range []tensor.Shape{{1}, {17}, {3, 4}, {1, 5}, {5, 1}, {2, 3, 2}, {64, 33}} {
			for _, machine := range []string{"tape", "lisp"} {
				t.Run(fmt.Sprintf("%s/%v/%s/float32", c.name, shape, machine), func(t *testing.T) { testCell[float32](t, dev, c, shape, machine) })
				t.Run(fmt.Sprintf("%s/%v/%s/float64", c.name, shape, machine), func(t *testing.T) { testCell[float64](t, dev, c, shape, machine) })
			}
		}
	}
}

// testCell computes -2L of a cell, twice with other numbers.
func testCell[T kernels.Float](t *testing.T, dev backend.Device, c cell, shape tensor.Shape, machine string) {
	g := gorgonia.NewGraph()
	dtype := tensor.Float64
	if kernels.DTypeOf[T]() == kernels.F32 {
		dtype = tensor.Float32
	}
	node := func(name string) *gorgonia.Node {
		return gorgonia.NewTensor(g, dtype, shape.Dims(), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	}
	target, mu := node("target"), node("mu")
	loss, errs, err := c.apply(dev, target, mu, c.opts...)
	if err != nil {
		t.Fatal(err)
	}
	if !loss.IsScalar() || !errs.Shape().Eq(shape) {
		t.Fatalf("loss has shape %v, errors %v", loss.Shape(), errs.Shape())
	}
	cost := gorgonia.Must(gorgonia.Mul(gorgonia.NewConstant(T(-2)), loss))
	differentiable := c.byMu != ""
	var vm gorgonia.VM
	if machine == "tape" {
		if differentiable {
			if _, err := gorgonia.Grad(cost, target, mu); err != nil {
				t.Fatal(err)
			}
		}
		vm = gorgonia.NewTapeMachine(g)
		defer vm.Close()
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2 {
		x, y := sample[T](r, c, shape.TotalSize())
		gorgonia.Let(target, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x)))
		gorgonia.Let(mu, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(y)))
		if machine == "lisp" { // which runs once: its Reset does not go back to the start
			if differentiable {
				vm = gorgonia.NewLispMachine(g)
			} else {
				vm = gorgonia.NewLispMachine(g, gorgonia.ExecuteFwdOnly())
			}
			defer vm.Close()
		}
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		compare := func(what string, got gorgonia.Value, err error, want []T) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := numbers[T](t, got); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s is %v, the reference %v", what, got, want)
			}
		}
		compare("loss", loss.Value(), nil, reference(t, c.loss, x, y, 1))
		compare("errors", errs.Value(), nil, reference(t, c.errors, x, y, 1))
		if differentiable {
			d, err := target.Grad()
			compare("gradient by target", d, err, reference(t, c.byTarget, x, y, -2))
			d, err = mu.Grad()
			compare("gradient by mu", d, err, reference(t, c.byMu, x, y, -2))
			differences(t, c, x, y)
		}
		if machine == "tape" {
			vm.Reset()
			continue
		}
		for _, n := range []*gorgonia.Node{target, mu} { // as a solver does
			if d, err := n.Grad(); err == nil {
				d.(*tensor.Dense).Zero()
			}
		}
	}
}

// differences compares the derivatives with finite differences of the loss.
func differences[T kernels.Float](t *testing.T, c cell, target, mu []T) {
	if kernels.DTypeOf[T]() == kernels.F32 || len(target) > 20 {
		return
	}
	const h = 1e-5
	for what, x := range map[string][]T{c.byTarget: target, c.byMu: mu} {
		for i, d := range reference(t, what, target, mu, 1) {
			at := x[i]
			x[i] = at + h
			up := reference(t, c.loss, target, mu, 1)[0]
			x[i] = at - h
			slope := (up - reference(t, c.loss, target, mu, 1)[0]) / (2 * h)
			x[i] = at
			if math.Abs(float64(slope-d)) > 1e-6*(1+math.Abs(float64(d))) {
				t.Fatalf("%s[%d] is %v, differences of %s give %v", what, i, d, c.loss, slope)
			}
		}
	}
}

// What the operands are computed from is differentiated on, whatever order they are in,
// and derivatives of two cells add up.
func TestInsideGraph(t *testing.T) {
	dev := open(t)
	for _, machine := range []string{"tape", "lisp"} {
		t.Run(machine, func(t *testing.T) {
			g := gorgonia.NewGraph()
			a := gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithShape(3, 2), gorgonia.WithName("a"),
				gorgonia.WithValue(tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float64{1, 2, 3, 4, 5, 6}))))
			w := gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithShape(2, 3), gorgonia.WithName("w"),
				gorgonia.WithValue(tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float64{0.5, 7, 2.5, 1.5, 9, 3}))))
			mu := gorgonia.Must(gorgonia.Tanh(w))
			target := gorgonia.Must(gorgonia.Transpose(a, 1, 0))
			one, errs, err := graph.GaussianError(dev, target, mu)
			if err != nil {
				t.Fatal(err)
			}
			two, _, err := graph.LaplacianError(dev, target, mu, graph.L1)
			if err != nil {
				t.Fatal(err)
			}
			cost := gorgonia.Must(gorgonia.Neg(gorgonia.Must(gorgonia.Add(one, two))))
			var vm gorgonia.VM
			if machine == "tape" {
				if _, err := gorgonia.Grad(cost, w); err != nil {
					t.Fatal(err)
				}
				vm = gorgonia.NewTapeMachine(g)
			} else {
				vm = gorgonia.NewLispMachine(g)
			}
			defer vm.Close()
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			d, err := w.Grad()
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range []float64{0.5, 7, 2.5, 1.5, 9, 3} {
				e := []float64{1, 3, 5, 2, 4, 6}[i] - math.Tanh(x)
				if got := errs.Value().Data().([]float64)[i]; math.Abs(got-e) > 1e-12 {
					t.Errorf("errors[%d] is %v, not %v", i, got, e)
				}
				th := math.Tanh(x)
				want := -(e + 1) * (1 - th*th)
				if got := d.Data().([]float64)[i]; math.Abs(got-want) > 1e-12 {
					t.Errorf("gradient[%d] is %v, not %v", i, got, want)
				}
			}
		})
	}
}
