package graph_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/engine"
	"errorcell/graph"
)

func TestRefusals(t *testing.T) {
	dev := open(t)
	closed, err := backend.Open("cpu:threads=1")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	g := gorgonia.NewGraph()
	n := func(dtype tensor.Dtype, shape ...int) *gorgonia.Node {
		return gorgonia.NewTensor(g, dtype, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(fmt.Sprint(shape, dtype)))
	}
	x := n(tensor.Float64, 2, 3)
	other := gorgonia.NewMatrix(gorgonia.NewGraph(), tensor.Float64, gorgonia.WithShape(2, 3), gorgonia.WithName("other"))
	for _, c := range []struct {
		name       string
		apply      cellFunc
		dev        backend.Device
		target, mu *gorgonia.Node
		opts       []graph.Option
		is         error
		want       string
	}{
		{"no device", graph.GaussianError, nil, x, x, nil, backend.ErrForeign, "GaussianError: buffer of another device: an open device is wanted"},
		{"closed", graph.GaussianError, closed, x, x, nil, backend.ErrClosed, "closed"},
		{"no target", graph.LaplacianError, dev, nil, x, nil, backend.ErrOperands, "LaplacianError: wrong operands: target is nil"},
		{"no mu", graph.LaplacianError, dev, x, nil, nil, backend.ErrOperands, "the prediction is nil"},
		{"shapes", graph.GaussianError, dev, x, n(tensor.Float64, 3, 2), nil, backend.ErrShape, "target has shape (2, 3), the prediction (3, 2)"},
		{"rows", graph.GaussianError, dev, x, n(tensor.Float64, 3), nil, backend.ErrShape, "target has shape (2, 3), the prediction (3)"},
		{"types", graph.GaussianError, dev, x, n(tensor.Float32, 2, 3), nil, backend.ErrDType, "target is of float64, the prediction of float32"},
		{"ints", graph.GaussianError, dev, n(tensor.Int, 2, 3), n(tensor.Int, 2, 3), nil, backend.ErrDType, "float32 or float64 are wanted"},
		{"scalars", graph.GaussianError, dev, gorgonia.NewScalar(g, tensor.Float64), x, nil, backend.ErrDType, "target is of type float64, and tensors"},
		{"no shape", graph.GaussianError, dev, gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithName("a")), gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithName("b")), nil, backend.ErrShape, "tensors of known shape"},
		{"graphs", graph.GaussianError, dev, x, other, nil, nil, "are of two graphs"},
		{"L1", graph.GaussianError, dev, x, x, []graph.Option{graph.L1}, nil, "GaussianError: it has no option L1"},
		{"logits", graph.LaplacianError, dev, x, x, []graph.Option{graph.Logits}, nil, "LaplacianError: it has no option Logits"},
		{"option", graph.BernoulliError, dev, x, x, []graph.Option{9}, nil, "it has no option Option(9)"},
		{"zero option", graph.BernoulliError, dev, x, x, []graph.Option{0}, nil, "it has no option Option(0)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			loss, errs, err := c.apply(c.dev, c.target, c.mu, c.opts...)
			if err == nil || loss != nil || errs != nil {
				t.Fatalf("nodes %v and %v, error %v", loss, errs, err)
			}
			if !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %q, not one of %q", err, c.want)
			}
		})
	}
}

// Asking for a gradient that there is not is an error in both machines.
func TestNoGradient(t *testing.T) {
	dev := open(t)
	for _, c := range []struct {
		name, want string
		cost       func(target, mu *gorgonia.Node) *gorgonia.Node
	}{
		{"mismatch", "option L1", func(target, mu *gorgonia.Node) *gorgonia.Node {
			loss, _, err := graph.LaplacianError(dev, target, mu)
			return gorgonia.Must(loss, err)
		}},
		{"errors", "the errors have no gradient", func(target, mu *gorgonia.Node) *gorgonia.Node {
			loss, errs, err := graph.GaussianError(dev, target, mu)
			return gorgonia.Must(gorgonia.Add(gorgonia.Must(loss, err), gorgonia.Must(gorgonia.Sum(errs))))
		}},
		{"second", "no second derivative", func(target, mu *gorgonia.Node) *gorgonia.Node {
			loss, _, err := graph.GaussianError(dev, target, mu)
			grads, err := gorgonia.Grad(gorgonia.Must(loss, err), mu)
			if err != nil {
				t.Fatal(err)
			}
			return gorgonia.Must(gorgonia.Sum(grads[0]))
		}},
	} {
		for _, machine := range []string{"tape", "lisp"} {
			if c.name == "second" && machine == "lisp" {
				continue // it has no nodes of gradients
			}
			t.Run(c.name+"/"+machine, func(t *testing.T) {
				g := gorgonia.NewGraph()
				target := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName("target"), gorgonia.WithShape(2),
					gorgonia.WithValue(tensor.New(tensor.WithBacking([]float64{1, 2}))))
				mu := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName("mu"), gorgonia.WithShape(2),
					gorgonia.WithValue(tensor.New(tensor.WithBacking([]float64{1, 3}))))
				cost := c.cost(target, mu)
				var err error
				if machine == "tape" {
					_, err = gorgonia.Grad(cost, mu)
				} else {
					vm := gorgonia.NewLispMachine(g)
					defer vm.Close()
					err = vm.RunAll()
				}
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, not one of %q", err, c.want)
				}
			})
		}
	}
}

// Values that are not what the nodes said are errors, and so is a closed device.
func TestBadValues(t *testing.T) {
	dev, err := backend.Open("cpu:threads=1")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(2))
	y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(2))
	loss, errs, err := graph.GaussianError(dev, x, y)
	if err != nil {
		t.Fatal(err)
	}
	good := tensor.New(tensor.WithBacking([]float32{1, 2}))
	masked := tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2}, []bool{false, true}))
	for name, in := range map[string][]gorgonia.Value{
		"none":   nil,
		"one":    {good},
		"nil":    {good, nil},
		"typed":  {good, (*tensor.Dense)(nil)},
		"scalar": {good, gorgonia.NewF32(1)},
		"type":   {good, tensor.New(tensor.WithBacking([]float64{1, 2}))},
		"shape":  {good, tensor.New(tensor.WithBacking([]float32{1, 2, 3}))},
		"masked": {good, masked},
	} {
		if _, err := errs.Op().Do(in...); err == nil || !strings.HasPrefix(err.Error(), "graph: GaussianError") {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := loss.Op().Do(append(in, good)...); err == nil {
			t.Errorf("%s: no error of the loss", name)
		}
	}
	for _, s := range [][]gorgonia.DimSizer{nil, {tensor.Shape{2}}, {tensor.Shape{2}, tensor.Shape{3}}} {
		if _, err := errs.Op().InferShape(s...); !errors.Is(err, backend.ErrShape) && !errors.Is(err, backend.ErrOperands) {
			t.Errorf("shapes %v: error %v", s, err)
		}
	}
	far := tensor.New(tensor.WithBacking([]float32{1, 2}))
	far.Info().Init([]int{2}, []int{2})
	if _, err := errs.Op().Do(good, far); !errors.Is(err, backend.ErrShape) || !strings.Contains(err.Error(), "mu: the tensor of shape (2,) has strides [2]") {
		t.Errorf("error %v of strides that lead out of the memory", err)
	}
	dev.Close()
	if _, err := errs.Op().Do(good, good); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("error %v of a closed device", err)
	}
}

// A result goes where there is room for it, and elsewhere if it does not fit.
func TestPrealloc(t *testing.T) {
	dev := open(t)
	g := gorgonia.NewGraph()
	const n = 1 << 12
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(n))
	y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(n))
	loss, errs, err := graph.GaussianError(dev, x, y)
	if err != nil {
		t.Fatal(err)
	}
	a := tensor.New(tensor.WithBacking(tensor.Range(tensor.Float32, 0, n)))
	b := tensor.New(tensor.WithBacking(tensor.Range(tensor.Float32, 1, n+1)))
	run := func(op gorgonia.Op, prealloc gorgonia.Value, in ...gorgonia.Value) gorgonia.Value {
		v, err := op.(gorgonia.UsePreallocDoer).UsePreallocDo(prealloc, in...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	to := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n))
	if v := run(errs.Op(), to, a, b); v != gorgonia.Value(to) || to.Float32s()[7] != -1 {
		t.Errorf("the result is in %p and begins with %v", v, to.Float32s()[7])
	}
	number := gorgonia.NewF32(0)
	if v := run(loss.Op(), number, a, b, to); v != gorgonia.Value(number) || *number != -n/2 {
		t.Errorf("the loss is %v", v)
	}
	for _, bad := range []gorgonia.Value{nil, gorgonia.NewF32(0), gorgonia.NewF64(0), (*tensor.Dense)(nil), tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(n)), tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, n/2))} {
		if v := run(errs.Op(), bad, a, b); v == bad || v.Data().([]float32)[7] != -1 {
			t.Errorf("the result of %T is %v", bad, v)
		}
	}
}

// Views are read as they show, in order or not.
func TestViews(t *testing.T) {
	dev := open(t)
	eng, err := engine.New(dev)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		view func(d *tensor.Dense) *tensor.Dense
		want []float64
	}{
		{"whole", func(d *tensor.Dense) *tensor.Dense { return d }, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"rows", func(d *tensor.Dense) *tensor.Dense { return slice(d, gorgonia.S(1, 3)) }, []float64{4, 5, 6, 7, 8, 9, 10, 11}},
		{"columns", func(d *tensor.Dense) *tensor.Dense { return slice(d, nil, gorgonia.S(1, 3)) }, []float64{1, 2, 5, 6, 9, 10}},
		{"column", func(d *tensor.Dense) *tensor.Dense { return slice(d, nil, gorgonia.S(2)) }, []float64{2, 6, 10}},
		{"transposed", func(d *tensor.Dense) *tensor.Dense { d.T(); return d }, []float64{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}},
		{"of an engine", func(d *tensor.Dense) *tensor.Dense {
			return tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(d.Data()), tensor.WithEngine(eng))
		}, []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"column order", func(*tensor.Dense) *tensor.Dense {
			return tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float64{0, 3, 1, 4, 2, 5}), tensor.AsFortran(nil))
		}, []float64{0, 1, 2, 3, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.view(tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(tensor.Range(tensor.Float64, 0, 12))))
			g := gorgonia.NewGraph()
			node := func(name string) *gorgonia.Node {
				return gorgonia.NewTensor(g, tensor.Float64, d.Dims(), gorgonia.WithName(name), gorgonia.WithShape(d.Shape()...))
			}
			_, errs, err := graph.GaussianError(dev, node("target"), node("mu"))
			if err != nil {
				t.Fatal(err)
			}
			v, err := errs.Op().Do(d, tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(d.Shape()...)))
			if err != nil {
				t.Fatal(err)
			}
			for i, got := range numbers[float64](t, v) {
				if got != c.want[i] {
					t.Fatalf("%v, not %v", v.Data(), c.want)
				}
			}
		})
	}
}

func slice(d *tensor.Dense, by ...tensor.Slice) *tensor.Dense {
	v, err := d.Slice(by...)
	if err != nil {
		panic(err)
	}
	return v.(*tensor.Dense)
}

// A target may be a constant, and two equal cells are one.
func TestConstant(t *testing.T) {
	dev := open(t)
	g := gorgonia.NewGraph()
	target := gorgonia.NewConstant(tensor.New(tensor.WithBacking([]float64{1, 2})), gorgonia.WithName("target"))
	mu := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName("mu"), gorgonia.WithShape(2), gorgonia.WithValue(tensor.New(tensor.WithBacking([]float64{3, 5}))))
	loss, _, err := graph.GaussianError(dev, target, mu)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := graph.GaussianError(dev, target, mu)
	if err != nil || again != loss {
		t.Errorf("another node for the same cell, error %v", err)
	}
	grads, err := gorgonia.Grad(loss, mu)
	if err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	if d := numbers[float64](t, grads[0].Value()); d[0] != -2 || d[1] != -3 {
		t.Errorf("gradient %v", d)
	}
	if l := numbers[float64](t, loss.Value()); l[0] != -6.5 {
		t.Errorf("loss %v", l)
	}
}

// Target and mu may be one node, whose gradients add up.
func TestOneNode(t *testing.T) {
	dev := open(t)
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName("x"), gorgonia.WithShape(2), gorgonia.WithValue(tensor.New(tensor.WithBacking([]float64{3, 5}))))
	loss, _, err := graph.BernoulliError(dev, x, x, graph.Logits)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := gorgonia.Grad(loss, x)
	if err != nil {
		t.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	in := []float64{3, 5}
	byTarget, byMu := reference(t, "bernoulli-logits/dtarget", in, in, 1), reference(t, "bernoulli-logits/dp", in, in, 1)
	for i, d := range numbers[float64](t, grads[0].Value()) {
		if d != byTarget[i]+byMu[i] {
			t.Errorf("gradient[%d] is %v, not %v + %v", i, d, byTarget[i], byMu[i])
		}
	}
}

// Machines of several goroutines may run a graph's operations.
func TestConcurrent(t *testing.T) {
	dev := open(t)
	g := gorgonia.NewGraph()
	const n = 1000
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(n))
	y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(n))
	loss, errs, err := graph.LaplacianError(dev, x, y)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			a := tensor.New(tensor.WithBacking(tensor.Range(tensor.Float32, i, i+n)))
			b := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n))
			for range 50 {
				e, err := errs.Op().Do(a, b)
				if err != nil {
					t.Error(err)
					return
				}
				l, err := loss.Op().Do(a, b, e)
				if err != nil {
					t.Error(err)
					return
				}
				if want := gorgonia.F32(-n); i > 0 && *l.(*gorgonia.F32) != want || i == 0 && *l.(*gorgonia.F32) != want+1 { // 0 is in the first
					t.Errorf("loss %v of numbers from %d on", l, i)
				}
			}
		})
	}
	group.Wait()
}
