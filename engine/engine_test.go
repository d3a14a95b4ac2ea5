package engine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/tensor"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/engine"
)

// floats is a tensor of random numbers, some of them special.
func floats[T float32 | float64](r *rand.Rand, eng tensor.Engine, order tensor.ConsOpt, shape ...int) *tensor.Dense {
	n := tensor.Shape(shape).TotalSize()
	data := make([]T, n)
	for i := range data {
		data[i] = T(r.NormFloat64() * 4)
		if r.IntN(8) == 0 {
			data[i] = T([]float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), math.NaN()}[r.IntN(7)])
		}
	}
	opts := []tensor.ConsOpt{tensor.WithShape(shape...), tensor.WithBacking(data), tensor.WithEngine(eng)}
	if order != nil {
		opts = append(opts, order)
	}
	return tensor.New(opts...)
}

// operation is one of package tensor's, of two tensors and a number.
type operation struct {
	name string
	run  func(a, b *tensor.Dense, s any, opts ...tensor.FuncOpt) (tensor.Tensor, error)
	// ulps is how far the device and StdEng may be apart.
	ulps     float64
	compares bool
}

func two(name string, compares bool, f func(a, b any, opts ...tensor.FuncOpt) (tensor.Tensor, error)) []operation {
	return []operation{
		{name, func(a, b *tensor.Dense, s any, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
			return f(a, b, opts...)
		}, 0, compares},
		{name + " with a number", func(a, b *tensor.Dense, s any, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
			return f(a, s, opts...)
		}, 0, compares},
		{name + " of a number", func(a, b *tensor.Dense, s any, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
			return f(s, a, opts...)
		}, 0, compares},
	}
}

func one(name string, ulps float64, f func(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error)) []operation {
	return []operation{{name, func(a, b *tensor.Dense, s any, opts ...tensor.FuncOpt) (tensor.Tensor, error) { return f(a, opts...) }, ulps, false}}
}

var operations = slices.Concat(
	two("Add", false, tensor.Add), two("Sub", false, tensor.Sub), two("Mul", false, tensor.Mul), two("Div", false, tensor.Div),
	two("Lt", true, tensor.Lt), two("Lte", true, tensor.Lte), two("Gt", true, tensor.Gt), two("Gte", true, tensor.Gte),
	two("ElEq", true, tensor.ElEq), two("ElNe", true, tensor.ElNe),
	one("Neg", 0, tensor.Neg), one("Abs", 0, tensor.Abs), one("Sign", 0, tensor.Sign), one("Sqrt", 0, tensor.Sqrt), one("Square", 0, tensor.Square),
	one("Exp", 16, tensor.Exp), one("Log", 8, tensor.Log), one("Tanh", 8, tensor.Tanh),
	[]operation{{"Clamp", func(a, b *tensor.Dense, s any, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
		if a.Dtype() == tensor.Float32 {
			return tensor.Clamp(a, float32(-1), s, opts...)
		}
		return tensor.Clamp(a, -1.0, s, opts...)
	}, 0, false}},
)

// TestLikeStdEng: each operation has StdEng's results, in each way of asking.
func TestLikeStdEng(t *testing.T) {
	onEach(t, func(t *testing.T, eng *engine.Engine) {
		for _, op := range operations {
			t.Run(op.name, func(t *testing.T) {
				likeStdEng[float32](t, eng, op, false)
				likeStdEng[float64](t, eng, op, false)
			})
			t.Run(op.name+" placed", func(t *testing.T) { likeStdEng[float32](t, eng, op, true) })
		}
	})
}

// likeStdEng computes of tensors in Go's memory or in the device's, if it has some.
func likeStdEng[T float32 | float64](t *testing.T, eng *engine.Engine, op operation, placed bool) {
	ways := map[string]func(a, b, to *tensor.Dense) []tensor.FuncOpt{
		"safe":        func(a, b, to *tensor.Dense) []tensor.FuncOpt { return nil },
		"unsafe":      func(a, b, to *tensor.Dense) []tensor.FuncOpt { return []tensor.FuncOpt{tensor.UseUnsafe()} },
		"reuse":       func(a, b, to *tensor.Dense) []tensor.FuncOpt { return []tensor.FuncOpt{tensor.WithReuse(to)} },
		"incr":        func(a, b, to *tensor.Dense) []tensor.FuncOpt { return []tensor.FuncOpt{tensor.WithIncr(to)} },
		"reuse a":     func(a, b, to *tensor.Dense) []tensor.FuncOpt { return []tensor.FuncOpt{tensor.WithReuse(a)} },
		"of one type": func(a, b, to *tensor.Dense) []tensor.FuncOpt { return []tensor.FuncOpt{tensor.AsSameType()} },
		"reuse, one type": func(a, b, to *tensor.Dense) []tensor.FuncOpt {
			return []tensor.FuncOpt{tensor.WithReuse(to), tensor.AsSameType()}
		},
	}
	for way, opts := range ways {
		for _, shape := range [][]int{{7}, {1000}, {40, 30}, {3, 17, 11}} {
			for _, order := range []tensor.ConsOpt{nil, tensor.AsFortran(nil)} {
				if op.compares && (way == "incr" || way == "reuse" || way == "reuse a" || order != nil) {
					continue // StdEng takes floats for bools, and columns for rows: see TestComparisons
				}
				results := map[bool]tensor.Tensor{}
				errs := map[bool]error{}
				for _, std := range []bool{false, true} {
					r := rand.New(rand.NewPCG(1, 2))
					var e tensor.Engine = eng
					if std {
						e = tensor.StdEng{}
					}
					a, b, to := floats[T](r, e, order, shape...), floats[T](r, e, order, shape...), floats[T](r, e, order, shape...)
					if placed && !std {
						for _, d := range []**tensor.Dense{&a, &b, &to} {
							p, err := eng.Place(*d)
							if err != nil {
								t.Fatal(err)
							}
							defer eng.Free(p, 0)
							*d = p
						}
					}
					results[std], errs[std] = op.run(a, b, T(1.5), opts(a, b, to)...)
				}
				if (errs[true] == nil) != (errs[false] == nil) {
					t.Errorf("%s of %v: error %v, StdEng's is %v", way, shape, errs[false], errs[true])
					continue
				}
				if errs[true] != nil {
					continue
				}
				got, want := results[false], results[true]
				if !got.Shape().Eq(want.Shape()) || got.Dtype() != want.Dtype() || got.DataOrder() != want.DataOrder() {
					t.Errorf("%s: %v %v %v, StdEng has %v %v %v", way, got.Shape(), got.Dtype(), got.DataOrder(), want.Shape(), want.Dtype(), want.DataOrder())
					continue
				}
				if of, ok := got.Engine().(interface{ Device() backend.Device }); !ok || of.Device() != eng.Device() {
					t.Errorf("%s of %v: the result's engine is %T", way, shape, got.Engine())
				}
				if d := difference[T](got.Data(), want.Data(), op, way == "incr"); d != "" {
					t.Errorf("%s of %v: %s", way, shape, d)
				}
			}
		}
	}
}

// TestComparisons: what StdEng would take for something else is an error.
func TestComparisons(t *testing.T) {
	eng := open(t)
	r := rand.New(rand.NewPCG(3, 4))
	for _, shape := range [][]int{{5}, {1000}} {
		a, b, to := floats[float32](r, eng, nil, shape...), floats[float32](r, eng, nil, shape...), floats[float32](r, eng, nil, shape...)
		for _, opt := range []tensor.FuncOpt{tensor.WithReuse(to), tensor.WithIncr(to)} {
			if _, err := tensor.Lt(a, b, opt); err == nil || !strings.Contains(err.Error(), "AsSameType") {
				t.Errorf("of %v: error %v", shape, err)
			}
			if _, err := tensor.Lt(a, float32(1), opt); err == nil || !strings.Contains(err.Error(), "AsSameType") {
				t.Errorf("of %v with a number: error %v", shape, err)
			}
		}
	}
	// In columns, as the operands are.
	for _, n := range []int{3, 40} {
		a, b := floats[float32](r, eng, tensor.AsFortran(nil), n, 30), floats[float32](r, eng, tensor.AsFortran(nil), n, 30)
		same, err := tensor.Lt(a, b, tensor.AsSameType())
		if err != nil {
			t.Fatal(err)
		}
		bools, err := tensor.Lt(a, b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			for j := range 30 {
				x, y := at(t, a, i, j).(float32), at(t, b, i, j).(float32)
				if at(t, same, i, j).(float32) == 1 != (x < y) || at(t, bools, i, j).(bool) != (x < y) {
					t.Fatalf("%v < %v is %v and %v", x, y, at(t, same, i, j), at(t, bools, i, j))
				}
			}
		}
	}
	// A tensor that is reused keeps its engine, at any length.
	for _, n := range []int{5, 3000} {
		a := floats[float32](r, eng, nil, n)
		to := tensor.New(tensor.WithShape(n), tensor.Of(tensor.Bool))
		if _, err := tensor.Lt(a, a, tensor.WithReuse(to)); err != nil {
			t.Fatal(err)
		}
		if _, ok := to.Engine().(tensor.StdEng); !ok {
			t.Errorf("a tensor of %d bools has the engine %T now", n, to.Engine())
		}
	}
}

func open(t testing.TB) *engine.Engine {
	t.Helper()
	eng, err := engine.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { eng.Close() })
	return eng
}

// TestSum: along all axes and each, the same numbers as StdEng's in float64, which
// rounds more often.
func TestSum(t *testing.T) {
	eng := open(t)
	r := rand.New(rand.NewPCG(5, 6))
	for _, shape := range [][]int{{9}, {1000}, {40, 30}, {3, 17, 11}, {2, 5000}} {
		for _, order := range []tensor.ConsOpt{nil, tensor.AsFortran(nil)} {
			data := make([]float64, tensor.Shape(shape).TotalSize())
			for i := range data {
				data[i] = r.Float64()
			}
			of := func(e tensor.Engine) *tensor.Dense {
				opts := []tensor.ConsOpt{tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(data)), tensor.WithEngine(e)}
				if order != nil {
					opts = append(opts, order)
				}
				return tensor.New(opts...)
			}
			alongs := [][]int{nil}
			for axis := range shape {
				alongs = append(alongs, []int{axis})
				for second := range axis {
					alongs = append(alongs, []int{second, axis})
				}
			}
			for _, along := range alongs {
				got, err := tensor.Sum(of(eng), along...)
				if err != nil {
					t.Errorf("sum of %v along %v: %v", shape, along, err)
					continue
				}
				want := map[string]float64{}
				for i, x := range each(of(eng)) {
					want[remaining(i, along)] += x
				}
				if got.Engine() != tensor.Engine(eng) {
					t.Errorf("sum of %v along %v: the engine is %T", shape, along, got.Engine())
				}
				n := 0
				for i, x := range each(got.(*tensor.Dense)) {
					n++
					if w := want[fmt.Sprint(i)]; !(math.Abs(x-w) <= 1e-12*math.Abs(w)) {
						t.Errorf("sum of %v along %v: %v is %v, not %v", shape, along, i, x, w)
						break
					}
				}
				if n != len(want) {
					t.Errorf("sum of %v along %v: %d numbers, not %d", shape, along, n, len(want))
				}
			}
		}
	}
}

// each goes through the elements by their indices.
func each(t *tensor.Dense) iter.Seq2[[]int, float64] {
	return func(yield func([]int, float64) bool) {
		if t.IsScalar() {
			yield([]int{}, t.ScalarValue().(float64))
			return
		}
		index := make([]int, t.Dims())
		for range t.Shape().TotalSize() {
			x, err := t.At(index...)
			if err != nil {
				panic(err)
			}
			if !yield(slices.Clone(index), x.(float64)) {
				return
			}
			for axis := len(index) - 1; axis >= 0; axis-- {
				if index[axis]++; index[axis] < t.Shape()[axis] {
					break
				}
				index[axis] = 0
			}
		}
	}
}

// remaining is an index without the axes along which is summed; without any these
// are all.
func remaining(index, along []int) string {
	left := []int{}
	for axis, i := range index {
		if len(along) > 0 && !slices.Contains(along, axis) {
			left = append(left, i)
		}
	}
	return fmt.Sprint(left)
}

// TestConcurrent: one engine, many goroutines. The race detector watches.
func TestConcurrent(t *testing.T) {
	eng := open(t)
	var all sync.WaitGroup
	for seed := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			for range 20 {
				a, b := floats[float64](r, eng, nil, 30, 100), floats[float64](r, eng, nil, 30, 100)
				got, err := tensor.Add(a, b)
				if err != nil {
					t.Error(err)
					return
				}
				x, y := a.Float64s(), b.Float64s()
				for i, z := range got.Data().([]float64) {
					if z != x[i]+y[i] && z == z {
						t.Errorf("%v + %v is %v", x[i], y[i], z)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// TestClosed: after Close, what the device would compute is an error, and the
// operands stay as they are.
func TestClosed(t *testing.T) {
	eng := open(t)
	a := tensor.New(tensor.WithShape(3000), tensor.WithBacking(make([]float32, 3000)), tensor.WithEngine(eng))
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func() (tensor.Tensor, error){
		"add": func() (tensor.Tensor, error) { return tensor.Add(a, float32(1), tensor.UseUnsafe()) },
		"sum": func() (tensor.Tensor, error) { return tensor.Sum(a) },
	} {
		if _, err := run(); !errors.Is(err, backend.ErrClosed) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s on a closed device: %v", name, err)
		}
	}
	if a.Float32s()[7] != 0 {
		t.Error("an operand has changed")
	}
}

// TestNew: what is no device has no engine.
func TestNew(t *testing.T) {
	if _, err := engine.New(nil); err == nil {
		t.Error("an engine on no device")
	}
	if _, err := engine.Open("gpu"); !errors.Is(err, backend.ErrUnknownDevice) {
		t.Errorf("an engine on a device that there is not: %v", err)
	}
}

// TestWholePrograms: operations that only StdEng has, on tensors of the engine.
func TestWholePrograms(t *testing.T) {
	eng := open(t)
	r := rand.New(rand.NewPCG(9, 9))
	a, b := floats[float64](r, eng, nil, 40, 50), floats[float64](r, eng, nil, 50, 40)
	if p, err := tensor.MatMul(a, b); err != nil || !p.Shape().Eq(tensor.Shape{40, 40}) {
		t.Errorf("a matrix product: %v", err)
	}
	view, err := a.Slice(nil, tensor.S(3, 40))
	if err != nil {
		t.Fatal(err)
	}
	doubled, err := tensor.Add(view, view) // not contiguous
	if err != nil {
		t.Fatal(err)
	}
	x, _ := view.At(2, 5)
	if y, err := doubled.At(2, 5); err != nil || y.(float64) != 2*x.(float64) {
		t.Errorf("twice %v of a view is %v; %v", x, y, err)
	}
	ints := tensor.New(tensor.WithShape(2000), tensor.WithBacking(make([]int, 2000)), tensor.WithEngine(eng))
	if _, err := tensor.Add(ints, 1); err != nil {
		t.Errorf("of ints: %v", err)
	}
	std := tensor.New(tensor.WithShape(40, 50), tensor.WithBacking(make([]float64, 2000)))
	if sum, err := tensor.Add(a, std); err != nil || sum.Shape().TotalSize() != 2000 {
		t.Errorf("with a tensor of StdEng: %v", err)
	}
	if s := fmt.Sprint(a); len(s) < 100 {
		t.Errorf("it prints as %q", s)
	}
}

// TestOverlap: memory that a result shares with an operand, but not element for
// element, gives what StdEng gives; a number in it is read before it is written.
func TestOverlap(t *testing.T) {
	eng := open(t)
	const n = 1 << 18 // for all threads of the device
	part := func(x *tensor.Dense, from, to int) *tensor.Dense {
		v, err := x.Slice(tensor.S(from, to))
		if err != nil {
			t.Fatal(err)
		}
		return v.(*tensor.Dense)
	}
	for name, run := range map[string]func(x, y *tensor.Dense, by int) (tensor.Tensor, error){
		"Add into what follows": func(x, y *tensor.Dense, by int) (tensor.Tensor, error) {
			return tensor.Add(part(x, 0, n), y, tensor.WithReuse(part(x, by, n+by)))
		},
		"Sub of what follows": func(x, y *tensor.Dense, by int) (tensor.Tensor, error) {
			return tensor.Sub(part(x, 0, n), part(x, by, n+by), tensor.UseUnsafe())
		},
		"Mul of what precedes": func(x, y *tensor.Dense, by int) (tensor.Tensor, error) {
			return tensor.Mul(part(x, by, n+by), part(x, 0, n), tensor.UseUnsafe())
		},
		"Square into what follows": func(x, y *tensor.Dense, by int) (tensor.Tensor, error) {
			return tensor.Square(part(x, 0, n), tensor.WithReuse(part(x, by, n+by)))
		},
		"Neg added to what follows": func(x, y *tensor.Dense, by int) (tensor.Tensor, error) {
			return tensor.Neg(part(x, 0, n), tensor.WithIncr(part(x, by, n+by)))
		},
		"Sub with its own number": func(x, y *tensor.Dense, by int) (tensor.Tensor, error) {
			return tensor.Sub(x, part(x, by, by+1), tensor.UseUnsafe())
		},
	} {
		for _, by := range []int{1, 40, n - 10} {
			var got []string
			for _, e := range []tensor.Engine{eng, tensor.StdEng{}} {
				r := rand.New(rand.NewPCG(9, 9))
				x, y := floats[float64](r, e, nil, 2*n), floats[float64](r, e, nil, n)
				if _, err := run(x, y, by); err != nil {
					t.Fatal(err)
				}
				sum := fnv.New64()
				for _, v := range x.Float64s() {
					if v != v {
						v = 12345 // one NaN is as good as another
					}
					binary.Write(sum, binary.NativeEndian, v)
				}
				got = append(got, fmt.Sprint(sum.Sum64()))
			}
			if got[0] != got[1] {
				t.Errorf("%s by %d is not StdEng's", name, by)
			}
		}
	}
}

// TestRefused: what StdEng refuses is refused at each length, without a panic.
func TestRefused(t *testing.T) {
	eng := open(t)
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{5, 2000} {
		a, b := floats[float32](r, eng, nil, n), floats[float32](r, eng, nil, n+1)
		one := tensor.New(tensor.FromScalar(float32(1)), tensor.WithEngine(eng))
		if _, err := tensor.Lt(a, b, tensor.WithReuse((*tensor.Dense)(nil))); err == nil {
			t.Errorf("of %d: Lt of two lengths into nothing", n)
		}
		if _, err := tensor.Clamp(a, one, one); err == nil {
			t.Errorf("of %d: Clamp by tensors", n)
		}
		rows := floats[float32](r, eng, nil, n, 3, 2)
		if _, err := tensor.Sum(rows, 0, 0); err == nil {
			t.Errorf("of %d: Sum along an axis twice", n)
		}
	}
}

// TestSliceOfTransposed: such a slice says that it is contiguous and is not.
func TestSliceOfTransposed(t *testing.T) {
	for _, by := range []tensor.Slice{tensor.S(1, 199), nil} {
		var got [2][]any
		for i, e := range []tensor.Engine{open(t), tensor.StdEng{}} {
			x := floats[float32](rand.New(rand.NewPCG(1, 1)), e, nil, 200, 200)
			if err := x.T(); err != nil {
				t.Fatal(err)
			}
			v, err := x.Slice(by)
			if err != nil {
				t.Fatal(err)
			}
			y, err := tensor.Abs(v)
			if err != nil {
				t.Fatal(err)
			}
			sums, err := tensor.Sum(v, 0)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = []any{y.Data(), sums.Data()}
		}
		for i, what := range []string{"magnitudes", "sums"} {
			if d := difference[float32](got[0][i], got[1][i], operation{}, false); d != "" {
				t.Errorf("%s of a slice by %v: %s", what, by, d)
			}
		}
	}
}
