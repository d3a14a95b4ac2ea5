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
	"errorcell/kernels"
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
		{"column", graph.GaussianError, dev, n(tensor.Float64, 3), n(tensor.Float64, 3, 1), nil, backend.ErrShape, "target has shape (3), the prediction (3, 1)"},
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

// farAway is an engine whose memory the host does not reach.
type farAway struct{ tensor.StdEng }

func (farAway) AllocAccessible() bool { return false }

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
	n := newNodes(t, graph.GaussianError, dev, x, y)
	good := tensor.New(tensor.WithBacking([]float32{1, 2}))
	fails := func(what string, is error, op gorgonia.Op, in ...gorgonia.Value) {
		t.Helper()
		_, err := op.Do(in...)
		if err == nil || !strings.HasPrefix(err.Error(), "graph: GaussianError{") || !errors.Is(err, is) {
			t.Errorf("%s: error %v of %v", what, err, op)
		}
	}
	far := tensor.New(tensor.WithBacking([]float32{1, 2}))
	far.Info().Init([]int{2}, []int{2})
	for _, c := range []struct {
		name string
		is   error
		v    gorgonia.Value
	}{
		{"nil", backend.ErrOperands, nil},
		{"typed", backend.ErrOperands, (*tensor.Dense)(nil)},
		{"scalar", backend.ErrOperands, gorgonia.NewF32(1)},
		{"type", backend.ErrDType, tensor.New(tensor.WithBacking([]float64{1, 2}))},
		{"shape", backend.ErrShape, tensor.New(tensor.WithBacking([]float32{1, 2, 3}))},
		{"strides", backend.ErrShape, far},
		{"far away", backend.ErrForeign, tensor.New(tensor.WithBacking([]float32{1, 2}), tensor.WithEngine(farAway{}))},
	} {
		fails(c.name, c.is, n.all(), good, c.v)
		if c.is != backend.ErrForeign { // the shape is wrong before
			fails(c.name, c.is, n.errors.Op(), c.v)
			fails(c.name, c.is, n.loss.Op(), good, good, c.v, good)
		}
	}
	masked := tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2}, []bool{false, true}))
	if _, err := n.all().Do(good, masked); err == nil || !strings.Contains(err.Error(), "mu: element [1] of the tensor is masked") {
		t.Errorf("masked: error %v", err)
	}
	for _, op := range []gorgonia.Op{n.all(), n.errors.Op(), n.loss.Op()} {
		fails("none", backend.ErrOperands, op)
		if _, err := op.InferShape(); !errors.Is(err, backend.ErrOperands) {
			t.Errorf("no shapes: error %v", err)
		}
	}
	if _, err := n.all().InferShape(tensor.Shape{2}, tensor.Shape{3}); !errors.Is(err, backend.ErrShape) {
		t.Errorf("shapes: error %v", err)
	}
	dev.Close()
	fails("closed", backend.ErrClosed, n.all(), good, good)
}

// A result goes where there is room for it, and elsewhere if it does not fit.
func TestPrealloc(t *testing.T) {
	dev := open(t)
	g := gorgonia.NewGraph()
	const n = 1 << 12
	x := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(n))
	y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("y"), gorgonia.WithShape(n))
	op := newNodes(t, graph.GaussianError, dev, x, y).all().(gorgonia.UsePreallocDoer)
	a := tensor.New(tensor.WithBacking(tensor.Range(tensor.Float32, 0, n)))
	b := tensor.New(tensor.WithBacking(tensor.Range(tensor.Float32, 1, n+1)))
	room := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2*n+1))
	for _, c := range []struct {
		to   gorgonia.Value
		fits bool
	}{
		{room, true},
		{nil, false},
		{gorgonia.NewF32(0), false},
		{(*tensor.Dense)(nil), false},
		{tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(2*n+1)), false},
		{tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n)), false},
		{slice(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2*n+1, 2)), nil, gorgonia.S(1)), false},
	} {
		v, err := op.UsePreallocDo(c.to, a, b)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Data().([]float32); (v == c.to) != c.fits || got[7] != -1 || got[n+7] != 1 || got[2*n] != -n/2 {
			t.Errorf("into %T: there %v, numbers %v, %v and %v", c.to, v == c.to, got[7], got[n+7], got[2*n])
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
			zeros := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(d.Shape()...))
			_, v, err := newNodes(t, graph.GaussianError, dev, node("target"), node("mu")).compute(d, zeros)
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
	other, _, err := graph.GaussianError(open(t), target, mu)
	if err != nil || other == loss {
		t.Errorf("the same node for a cell on another device, error %v", err)
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
	cell := newNodes(t, graph.LaplacianError, dev, x, y)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			a := tensor.New(tensor.WithBacking(tensor.Range(tensor.Float32, i, i+n)))
			b := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(n))
			want := gorgonia.F32(-n)
			if i == 0 { // which is 0 first
				want++
			}
			for range 50 {
				if l, _, err := cell.compute(a, b); err != nil || *l.(*gorgonia.F32) != want {
					t.Errorf("loss %v of numbers from %d on, error %v", l, i, err)
				}
			}
		})
	}
	group.Wait()
}

// What the loss is of is among its operands, whatever was computed before.
func TestLossOfOperands(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName("x"), gorgonia.WithShape(2))
	y := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName("y"), gorgonia.WithShape(2))
	n := newNodes(t, graph.GaussianError, open(t), x, y)
	a, zeros := tensor.New(tensor.WithBacking([]float64{1, 2})), tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(2))
	first, err := n.all().Do(a, zeros)
	if err != nil {
		t.Fatal(err)
	}
	errs, err := n.errors.Op().Do(first)
	if err != nil {
		t.Fatal(err)
	}
	a.Float64s()[0] = 3 // where it is
	second, err := n.all().Do(a, zeros)
	if err != nil {
		t.Fatal(err)
	}
	errs.Data().([]float64)[0] = 100
	for _, c := range []struct {
		all  gorgonia.Value
		want float64
	}{{first, -2.5}, {second, -6.5}, {first, -2.5}} {
		if l, err := n.loss.Op().Do(a, zeros, c.all, errs); err != nil || *l.(*gorgonia.F64) != gorgonia.F64(c.want) {
			t.Errorf("loss %v, not %v; error %v", l, c.want, err)
		}
	}
}

// Errors that another node overwrites, as TapeMachine lets it when nobody reads them
// any more, are read before.
func TestOverwrittenErrors(t *testing.T) {
	dev := open(t)
	g := gorgonia.NewGraph()
	in := []float64{3, 5}
	target := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName("target"), gorgonia.WithShape(2), gorgonia.WithValue(tensor.New(tensor.WithBacking([]float64{1, 1}))))
	mu := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithName("mu"), gorgonia.WithShape(2), gorgonia.WithValue(tensor.New(tensor.WithBacking(in))))
	n := newNodes(t, graph.GaussianError, dev, target, mu)
	squares := gorgonia.Must(gorgonia.Square(n.errors))
	two, three := gorgonia.NewConstant(2.0, gorgonia.WithName("two")), gorgonia.NewConstant(3.0, gorgonia.WithName("three"))
	// Two gradients of one loss, each scaled where the other's is read from.
	operands := gorgonia.Nodes{target, mu, n.allNode(), n.errors}
	var d [2]gorgonia.Nodes
	for i, grad := range []*gorgonia.Node{two, three} {
		var err error
		if d[i], err = n.loss.Op().(gorgonia.SDOp).SymDiff(operands, n.loss, grad); err != nil {
			t.Fatal(err)
		}
	}
	vm := gorgonia.NewTapeMachine(g)
	defer vm.Close()
	for range 2 {
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		for i, x := range in {
			e := 1 - x
			for j, factor := range []float64{2, 3} {
				if got := d[j][0].Value().Data().([]float64)[i]; got != -e*factor {
					t.Errorf("gradient by target %d is %v, not %v", i, got, -e*factor)
				}
				if got := d[j][1].Value().Data().([]float64)[i]; got != e*factor {
					t.Errorf("gradient by mu %d is %v, not %v", i, got, e*factor)
				}
			}
			if got := squares.Value().Data().([]float64)[i]; got != e*e {
				t.Errorf("square %v, not %v", got, e*e)
			}
		}
		if got := n.loss.Value().Data().(float64); got != -10 {
			t.Errorf("loss %v", got)
		}
		vm.Reset()
	}
}

// counted counts the runs of programs.
type counted struct {
	elsewhere
	runs *int
}

func (d counted) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	p, err := d.elsewhere.Compile(k, sig)
	return countedProgram{p, d.runs}, err
}

type countedProgram struct {
	backend.Program
	runs *int
}

func (p countedProgram) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	*p.runs++
	return p.Program.Run(rows, cols, inputs, outputs)
}

// Loss and errors are one run of a kernel, and each derivative is another; that by
// target takes no memory of its own.
func TestRuns(t *testing.T) {
	for _, c := range cells {
		t.Run(c.name, func(t *testing.T) {
			runs, want := 0, 1
			g := gorgonia.NewGraph()
			node := func(name string) *gorgonia.Node {
				return gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(5), gorgonia.WithInit(gorgonia.Uniform(c.low, c.high)))
			}
			target, mu := node("target"), node("mu")
			n := newNodes(t, c.apply, counted{elsewhere{open(t)}, &runs}, target, mu, c.opts...)
			var grads gorgonia.Nodes
			if c.byMu != "" {
				want = 3
				var err error
				if grads, err = gorgonia.Grad(n.loss, target, mu); err != nil {
					t.Fatal(err)
				}
			}
			vm := gorgonia.NewTapeMachine(g)
			defer vm.Close()
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			if runs != want {
				t.Errorf("%d runs, not %d", runs, want)
			}
			all := n.allNode().Value().Data().([]float32)
			if grads != nil && &grads[0].Value().Data().([]float32)[0] != &all[5] {
				t.Error("the derivative by target is elsewhere than it was")
			}
		})
	}
}
