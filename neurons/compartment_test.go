package neurons_test

import (
	"math"
	"path/filepath"
	"testing"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/neurons"
)

func count(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i)
	}
	return x
}

func TestSetShapes(t *testing.T) {
	mu := newCell(t, "e0", 3).Mean()
	for _, c := range []struct {
		set  func() error
		want []int
	}{
		{func() error { return mu.SetFloat32s(count(6)) }, []int{2, 3}},
		{func() error { return mu.SetFloat32s(count(3)) }, []int{1, 3}},
		{func() error { return mu.SetFloat32s(nil) }, []int{0, 3}},
		{func() error { return mu.SetFloat32s(count(6), 6) }, []int{6}},
		{func() error { return mu.SetFloat32s(count(6), 3, 2) }, []int{3, 2}},
		{func() error { return mu.SetFloat32s(count(5), 5, 1) }, []int{5, 1}},
		{func() error { return mu.SetFloat32s(count(8), 2, 2, 2) }, []int{2, 2, 2}},
		{func() error { return mu.SetFloat32s(count(1), []int{}...) }, []int{}},
		{func() error { return mu.SetFloat64s([]float64{0, 1, 2}) }, []int{1, 3}},
		{func() error { return mu.SetFloat64s([]float64{0, 1}, 2, 1) }, []int{2, 1}},
		{func() error { return mu.SetScalar(0) }, []int{}},
		{func() error { return mu.Set(float32(0)) }, []int{}},
		{func() error { return mu.Set(0.0) }, []int{}},
		{func() error { return mu.Set(0) }, []int{}},
		{func() error { return mu.Set(count(6)) }, []int{2, 3}},
		{func() error { return mu.Set([]float64{0, 1, 2}) }, []int{1, 3}},
		{func() error { return mu.Set(tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(count(4)))) }, []int{2, 2}},
	} {
		must(t, c.set())
		wantValue(t, mu, c.want, count(kernels.Shape(c.want).Len())...)
	}
}

func TestSetErrors(t *testing.T) {
	cell := newCell(t, "e0", 784)
	mu := cell.Mean()
	masked := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(count(4), []bool{false, false, true, false}))
	for _, c := range []struct {
		err  error
		is   error
		text string
	}{
		{mu.SetFloat32s(make([]float32, 783)), neurons.ErrShape, "e0.mu: 783 numbers do not fill patterns of 784 units"},
		{mu.SetFloat64s(make([]float64, 785)), neurons.ErrShape, "e0.mu: 785 numbers do not fill patterns of 784 units"},
		{mu.SetFloat32s(make([]float32, 6), 2, 4), neurons.ErrShape, "e0.mu: 6 numbers are given, shape (2, 4) has 8"},
		{mu.SetFloat32s(make([]float32, 6), 0), neurons.ErrShape, "e0.mu: 6 numbers are given, shape (0,) has 0"},
		{mu.SetFloat32s(make([]float32, 6), -2, -3), neurons.ErrShape, "e0.mu: shape (-2, -3) has a negative length"},
		{mu.SetFloat32s(nil, math.MaxInt, 2), neurons.ErrShape, ", 2) is larger than memory can be"},
		{mu.Resize(-1), neurons.ErrShape, "e0.mu: shape (-1,) has a negative length"},
		{mu.Resize(math.MaxInt/4, 3), neurons.ErrShape, "larger than memory can be"},
		{mu.Resize(math.MaxInt / 16), backend.ErrMemory, "e0.mu: "},
		{mu.Set("x"), neurons.ErrType, "e0.mu: string was given; *tensor.Dense, []float32"},
		{mu.Set(int8(7)), neurons.ErrType, "e0.mu: int8 was given"},
		{cell.Clamp("mu", []int{1}), neurons.ErrType, "e0.mu: []int was given"},
		{cell.Clamp("nu", nil), neurons.ErrCompartment, `e0: there is no compartment "nu"`},
		{mu.SetTensor(new(tensor.Dense)), neurons.ErrType, "e0.mu: the tensor was never made"},
		{mu.SetTensor(tensor.New(tensor.WithShape(2), tensor.WithBacking([]int{1, 2}))), neurons.ErrType, "e0.mu: the tensor holds int"},
		{mu.SetTensor(tensor.New(tensor.WithShape(2), tensor.WithBacking([]complex64{1, 2}))), neurons.ErrType, "complex64"},
		{mu.SetTensor(tensor.New(tensor.WithShape(2), tensor.WithBacking(count(2)), tensor.WithEngine(farAway{}))), neurons.ErrType, "not accessible to the host"},
		{mu.SetTensor(masked), neurons.ErrType, "e0.mu: element [1 0] of the tensor is masked"},
	} {
		wantError(t, c.err, c.is, c.text)
	}
	wantValue(t, mu, []int{1, 784}, make([]float32, 784)...) // nothing of it was set

	_, err := mu.Scalar()
	wantError(t, err, neurons.ErrShape, "e0.mu: it holds 784 numbers of shape (1, 784), not one")
	wantError(t, mu.ReadFloat32s(make([]float32, 783)), neurons.ErrShape, "e0.mu: it holds 784 numbers of shape (1, 784), there is room for 783")
	wantError(t, mu.ReadFloat64s(nil), neurons.ErrShape, "there is room for 0")
	must(t, mu.SetFloat32s(nil))
	_, err = mu.Tensor()
	wantError(t, err, neurons.ErrShape, "e0.mu: package tensor cannot hold an array without elements, of shape (0, 784)")
}

// farAway is an engine whose memory the host cannot reach.
type farAway struct{ tensor.StdEng }

func (farAway) AllocAccessible() bool { return false }

func TestClearAndAbsent(t *testing.T) {
	cell := newCell(t, "e0", 2)
	for _, clear := range []func(*neurons.Compartment) error{
		func(c *neurons.Compartment) error { return c.Clear() },
		func(c *neurons.Compartment) error { return c.Set(nil) },
		func(c *neurons.Compartment) error { return c.SetTensor(nil) },
		func(c *neurons.Compartment) error { return cell.Clamp(c.Name(), nil) },
	} {
		for _, c := range cell.Compartments() {
			must(t, c.SetFloat32s(count(2)))
			must(t, clear(c))
			if c.IsSet() || c.Shape() != nil {
				t.Errorf("%v was cleared and holds a value of shape %v", c, c.Shape())
			}
			_, err := c.Tensor()
			wantError(t, err, neurons.ErrAbsent, c.String()+": it holds no value: ")
			_, err = c.Float32s()
			wantError(t, err, neurons.ErrAbsent, c.String())
			_, err = c.Float64s()
			wantError(t, err, neurons.ErrAbsent, c.String())
			_, err = c.Scalar()
			wantError(t, err, neurons.ErrAbsent, c.String())
			wantError(t, c.ReadFloat32s(nil), neurons.ErrAbsent, c.String())
			wantError(t, c.ReadFloat64s(nil), neurons.ErrAbsent, c.String())
			if _, ok := c.View(); ok {
				t.Errorf("%v shows memory without a value", c)
			}
		}
	}
	wantError(t, cell.Modulator().ReadFloat32s(nil), neurons.ErrAbsent, "each step consumes it")
}

// TestValuesAreCopies makes sure that neither what was set nor what was read is
// the compartment's own memory.
func TestValuesAreCopies(t *testing.T) {
	mu := newCell(t, "e0", 2).Mean()
	in := []float32{1, 2}
	must(t, mu.SetFloat32s(in))
	in[0] = 9
	out, err := mu.Float32s()
	must(t, err)
	out[1] = 9
	dense, err := mu.Tensor()
	must(t, err)
	dense.Float32s()[1] = 9
	shape := mu.Shape()
	shape[0] = 9
	wantValue(t, mu, []int{1, 2}, 1, 2)
}

func TestFloat64IsRoundedOnce(t *testing.T) {
	onEveryCPU(t, func(t *testing.T, dev backend.Device) {
		for _, dev := range []backend.Device{dev, &remote{Device: dev}} {
			mu := newCell(t, "e0", 6, neurons.On(dev)).Mean()
			x := []float64{1 + 1.0/(1<<24), 1 + 3.0/(1<<24), 1e300, -1e-300, 1e-45, math.NaN()}
			must(t, mu.SetFloat64s(x))
			wantValue(t, mu, []int{1, 6}, 1, 1+2.0/(1<<23), inf, negZero, 1e-45, nan)
			back, err := mu.Float64s()
			must(t, err)
			if back[4] != float64(float32(1e-45)) || !math.Signbit(back[3]) {
				t.Errorf("read as float64: %v", back)
			}
			must(t, mu.SetScalar(1+1.0/(1<<24)))
			if one, err := mu.Scalar(); err != nil || one != 1 {
				t.Errorf("%v, %v", one, err)
			}
		}
	})
}

// TestTensorLayouts sets tensors that do not lie in memory as they read.
func TestTensorLayouts(t *testing.T) {
	slice := func(t *testing.T, of *tensor.Dense, s ...tensor.Slice) *tensor.Dense {
		view, err := of.Slice(s...)
		must(t, err)
		return view.(*tensor.Dense)
	}
	matrix := func() *tensor.Dense { return tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(count(12))) }
	for name, make := range map[string]func(t *testing.T) *tensor.Dense{
		"contiguous": func(t *testing.T) *tensor.Dense { return matrix() },
		"float64": func(t *testing.T) *tensor.Dense {
			return tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float64{1, 2, 3, 4}))
		},
		"transposed":         func(t *testing.T) *tensor.Dense { m := matrix(); must(t, m.T()); return m },
		"transposed, moved":  func(t *testing.T) *tensor.Dense { m := matrix(); must(t, m.T()); must(t, m.Transpose()); return m },
		"columns":            func(t *testing.T) *tensor.Dense { return slice(t, matrix(), nil, tensor.S(1, 3)) },
		"one column":         func(t *testing.T) *tensor.Dense { return slice(t, matrix(), nil, tensor.S(2)) },
		"rows":               func(t *testing.T) *tensor.Dense { return slice(t, matrix(), tensor.S(1, 3)) },
		"one row":            func(t *testing.T) *tensor.Dense { return slice(t, matrix(), tensor.S(1)) },
		"one element":        func(t *testing.T) *tensor.Dense { return slice(t, matrix(), tensor.S(1), tensor.S(2)) },
		"every other column": func(t *testing.T) *tensor.Dense { return slice(t, matrix(), nil, tensor.S(0, 4, 2)) },
		"part, transposed": func(t *testing.T) *tensor.Dense {
			v := slice(t, matrix(), tensor.S(1, 3), tensor.S(1, 4))
			must(t, v.T())
			return v
		},
		"part of a transposed": func(t *testing.T) *tensor.Dense {
			m := tensor.New(tensor.WithShape(2, 3, 4), tensor.WithBacking(count(24)))
			must(t, m.T(2, 0, 1))
			return slice(t, m, tensor.S(1))
		},
		"three axes, permuted": func(t *testing.T) *tensor.Dense {
			m := tensor.New(tensor.WithShape(2, 3, 4), tensor.WithBacking(count(24)))
			must(t, m.T(1, 2, 0))
			return m
		},
		"Fortran": func(t *testing.T) *tensor.Dense {
			return tensor.New(tensor.WithShape(3, 4), tensor.AsFortran(count(12)))
		},
		"Fortran column": func(t *testing.T) *tensor.Dense {
			return tensor.New(tensor.WithShape(3, 1), tensor.AsFortran(count(3)))
		},
		"Fortran row": func(t *testing.T) *tensor.Dense {
			return tensor.New(tensor.WithShape(1, 3), tensor.AsFortran(count(3)))
		},
		"Fortran 1 x 1": func(t *testing.T) *tensor.Dense {
			return tensor.New(tensor.WithShape(1, 1), tensor.AsFortran(count(1)))
		},
		"Fortran, part": func(t *testing.T) *tensor.Dense {
			return slice(t, tensor.New(tensor.WithShape(4, 4), tensor.AsFortran(count(16))), tensor.S(1, 3), tensor.S(1, 3))
		},
		"Fortran, transposed": func(t *testing.T) *tensor.Dense {
			m := tensor.New(tensor.WithShape(3, 4), tensor.AsFortran(count(12)))
			must(t, m.T())
			return m
		},
		"row, transposed": func(t *testing.T) *tensor.Dense {
			m := tensor.New(tensor.WithShape(1, 4), tensor.WithBacking(count(4)))
			must(t, m.T())
			return m
		},
		"scalar": func(t *testing.T) *tensor.Dense { return tensor.New(tensor.FromScalar(float32(3))) },
		"vector": func(t *testing.T) *tensor.Dense { return tensor.New(tensor.WithShape(4), tensor.WithBacking(count(4))) },
		"masked nowhere": func(t *testing.T) *tensor.Dense {
			return tensor.New(tensor.WithShape(4), tensor.WithBacking(count(4), []bool{false, false, false, false}))
		},
		"masked elsewhere": func(t *testing.T) *tensor.Dense {
			m := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(count(4), []bool{false, true, false, false}))
			return slice(t, m, nil, tensor.S(0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := make(t)
			// What At says about each index is what a tensor holds.
			want := []float32{}
			index := append([]int{}, x.Shape()...)
			for i := range kernels.Shape(x.Shape()).Len() {
				for axis, rest := len(index)-1, i; axis >= 0; axis-- {
					index[axis], rest = rest%x.Shape()[axis], rest/x.Shape()[axis]
				}
				want = append(want, at(t, x, index))
			}
			mu := newCell(t, "e0", 2).Mean()
			must(t, mu.SetTensor(x))
			wantValue(t, mu, x.Shape(), want...)
		})
	}
}

// at is x.At, which cannot do with an axis too few strides.
func at(t *testing.T, x *tensor.Dense, index []int) float32 {
	if x.Dims() == 0 || len(x.Strides()) < x.Dims() {
		last := 0
		for _, i := range index {
			last = max(last, i)
		}
		return x.Float32s()[last]
	}
	v, err := x.At(index...)
	must(t, err)
	if f, ok := v.(float64); ok {
		return float32(f)
	}
	return v.(float32)
}

// TestTensorAccessPatterns sets tensors whose access pattern leads out of their
// memory.
func TestTensorAccessPatterns(t *testing.T) {
	mu := newCell(t, "e0", 2).Mean()
	for _, c := range []struct{ shape, strides []int }{
		{[]int{3, 4}, []int{4, 2}},
		{[]int{3, 4}, []int{-4, 1}},
		{[]int{3, 4}, []int{math.MaxInt, 1}},
		{[]int{3, 4}, []int{4}},
		{[]int{3, 4}, nil},
		{[]int{3, 4}, []int{4, 1, 1}},
		{[]int{3, 5}, []int{5, 1}},
	} {
		x := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(count(12)))
		x.Info().Init(c.shape, c.strides)
		wantError(t, mu.SetTensor(x), neurons.ErrShape, "which do not fit each other")
	}
	x := tensor.New(tensor.WithShape(0, 2), tensor.WithBacking([]float32{}))
	must(t, mu.SetTensor(x))
	wantValue(t, mu, []int{0, 2})
}

func TestTensorResults(t *testing.T) {
	mu := newCell(t, "e0", 2).Mean()
	for _, shape := range [][]int{{}, {1}, {3}, {1, 1}, {1, 3}, {3, 1}, {2, 3}, {2, 1, 3}, {2, 3, 4, 5}} {
		x := count(kernels.Shape(shape).Len())
		must(t, mu.SetFloat32s(x, shape...))
		got, err := mu.Tensor()
		must(t, err)
		if kernels.Shape(got.Shape()).String() != kernels.Shape(shape).String() || firstDifference(got.Float32s(), x) >= 0 {
			t.Errorf("shape %v: %v, shape %v", shape, got, got.Shape())
		}
		must(t, mu.SetTensor(got)) // and back
		wantValue(t, mu, shape, x...)
	}
}

func TestReading(t *testing.T) {
	mu := newCell(t, "e0", 2).Mean()
	must(t, mu.SetFloat32s([]float32{1, negZero}))
	f32, f64 := make([]float32, 2), make([]float64, 2)
	must(t, mu.ReadFloat32s(f32))
	must(t, mu.ReadFloat64s(f64))
	if firstDifference(f32, []float32{1, negZero}) >= 0 || f64[0] != 1 || !math.Signbit(f64[1]) {
		t.Errorf("%v, %v", f32, f64)
	}
	must(t, mu.SetFloat32s([]float32{7}, 1, 1, 1))
	if x, err := mu.Scalar(); err != nil || x != 7 {
		t.Errorf("%v, %v", x, err)
	}
}

func TestResizeAndView(t *testing.T) {
	cell := newCell(t, "e0", 2, neurons.OnDevice("cpu"))
	target := cell.Target()
	must(t, target.Resize(3, 2))
	view, ok := target.View()
	if !ok || len(view) != 6 || view[5] != 0 {
		t.Fatalf("the view has %d elements, %v", len(view), ok)
	}
	copy(view, count(6))
	wantValue(t, target, []int{3, 2}, count(6)...)
	must(t, cell.AdvanceState(0, 1))
	wantValue(t, cell.DerivMean(), []int{3, 2}, 0, 1, 1, 1, 1, 1)
	dmu, ok := cell.DerivMean().View()
	if !ok || dmu[5] != 1 {
		t.Errorf("the view of dmu: %v, %v", dmu, ok)
	}
	// The same number of elements: the same memory.
	must(t, target.Resize(6))
	wantValue(t, target, []int{6}, count(6)...)
	must(t, target.Resize())
	wantValue(t, target, []int{}, 0)
}

// TestValuesLargerThanMemory: a value of equal numbers takes no memory where it is,
// and is refused where it would.
func TestValuesLargerThanMemory(t *testing.T) {
	const units = 1 << 59
	x := newContext(t, neurons.OnDevice("cpu:generic,threads=1"))
	cell, err := neurons.NewGaussianErrorCell("e0", units, neurons.In(x))
	must(t, err)
	other, err := neurons.NewGaussianErrorCell("e1", 1, neurons.WithDType(kernels.F64))
	must(t, err)
	defer other.Close()
	mu := cell.Mean()
	_, err32 := mu.Float32s()
	_, err64 := mu.Float64s()
	_, errTensor := mu.Tensor()
	must(t, neurons.Connect(mu, other.Mean(), neurons.Overwrite))
	path := filepath.Join(t.TempDir(), "state.npz")
	for what, err := range map[string]error{
		"Float32s": err32, "Float64s": err64, "Tensor": errTensor, "Gather": other.Gather(), "Save": x.Save(path),
		"Resize": mu.Resize(units, 1), "AdvanceState": cell.AdvanceState(0, 1),
	} {
		t.Run(what, func(t *testing.T) { wantError(t, err, backend.ErrMemory, "e0") })
	}
	if _, ok := mu.View(); ok {
		t.Error("there is a view")
	}
}

// TestMemoryOfOtherSizes goes back, whichever way a compartment changes its size.
func TestMemoryOfOtherSizes(t *testing.T) {
	dev := &remote{Device: open(t, "cpu:generic,threads=1")}
	cell := newCell(t, "e0", 2, neurons.On(dev))
	must(t, cell.Target().SetFloat32s(count(2)))
	buffers := dev.buffers
	for n := range 5 {
		must(t, cell.Target().SetFloat32s(count(2*n)))
		must(t, cell.Target().Resize(n+10, 2))
		if dev.buffers != buffers {
			t.Errorf("%d buffers are open, not %d", dev.buffers, buffers)
		}
	}
}

// TestDeviceWithMemoryOfItsOwn runs what a GPU needs: nothing is shown, all is
// copied.
func TestDeviceWithMemoryOfItsOwn(t *testing.T) {
	dev := &remote{Device: open(t, "cpu:generic,threads=1")}
	cell := newCell(t, "e0", 2, neurons.On(dev))
	must(t, cell.Target().SetFloat32s([]float32{1, 2, 3, 4}))
	must(t, cell.Mean().SetFloat64s([]float64{1, 5}))
	if _, ok := cell.Mean().View(); ok {
		t.Error("memory that the host cannot reach is shown")
	}
	must(t, cell.AdvanceState(0, 1))
	wantValue(t, cell.DerivMean(), []int{2, 2}, 0, -1, 1, -1)
	dmu, err := cell.DerivMean().Float64s()
	must(t, err)
	if dmu[1] != -1 {
		t.Errorf("%v", dmu)
	}
	must(t, cell.Reset())
	must(t, cell.Close())
	if dev.buffers != 0 {
		t.Errorf("%d buffers are still open", dev.buffers)
	}
}

// TestFailuresLeaveEverything lets the device fail at each of its calls in turn:
// afterwards all compartments are as before, and no memory is lost.
func TestFailuresLeaveEverything(t *testing.T) {
	for _, wide := range []int{1, 4} { // the results fit their buffers, or need new ones
		for call := 1; ; call++ {
			dev := &remote{Device: open(t, "cpu:generic,threads=1")}
			cell := newCell(t, "e0", 2, neurons.On(dev))
			must(t, cell.Target().SetFloat32s(count(2*wide)))
			must(t, cell.Modulator().SetScalar(3))
			before, buffers := state(t, cell), dev.buffers
			dev.failAt = call
			err := cell.AdvanceState(0, 1)
			dev.failAt = 0
			if err == nil {
				if call < 3 {
					t.Errorf("a step makes %d calls only", call-1)
				}
				break
			}
			wantError(t, err, errRemote, "e0")
			if dev.buffers != buffers {
				t.Errorf("call %d: %d buffers were open before, %d after", call, buffers, dev.buffers)
			}
			for name, value := range state(t, cell) {
				if value != before[name] {
					t.Errorf("call %d: a step that failed changed %s", call, name)
				}
			}
			must(t, cell.AdvanceState(0, 1))
		}
	}

	dev := &remote{Device: open(t, "cpu:generic,threads=1")}
	for call := 1; ; call++ {
		dev.failAt = call
		cell, err := neurons.NewLaplacianErrorCell("e0", 2, neurons.On(dev))
		dev.failAt = 0
		if err == nil {
			must(t, cell.Close())
			break
		}
		wantError(t, err, errRemote, "e0")
		if dev.buffers != 0 {
			t.Errorf("a constructor that failed left %d buffers open", dev.buffers)
		}
	}

	cell := newCell(t, "e0", 2, neurons.On(dev))
	must(t, cell.Mean().SetFloat32s(count(4)))
	for call := 1; call <= 2; call++ {
		buffers := dev.buffers
		dev.failAt = call
		err := cell.Mean().SetFloat32s(count(6))
		dev.failAt = 0
		wantError(t, err, errRemote, "e0.mu: ")
		if dev.buffers != buffers {
			t.Errorf("%d buffers were open before, %d after", buffers, dev.buffers)
		}
		wantValue(t, cell.Mean(), []int{2, 2}, count(4)...)
	}
}
