// Kernels and numbers at random: what no table thinks of.

package ptx

import (
	"fmt"
	"math"
	"math/rand/v2"

	"pgregory.net/rapid"

	"errorcell/kernels"
)

// drawing is a kernel while it is drawn.
type drawing struct {
	t *rapid.T
	*kernels.Builder
	reals, bools []kernels.Value
	used         map[kernels.Value]bool
}

// pick takes an earlier value, the later ones more often, so that chains grow.
func (d *drawing) pick(from []kernels.Value) kernels.Value {
	i := max(rapid.IntRange(0, len(from)-1).Draw(d.t, "argument"), rapid.IntRange(0, len(from)-1).Draw(d.t, "or argument"))
	d.used[from[i]] = true
	return from[i]
}

func (d *drawing) real() kernels.Value { return d.pick(d.reals) }

func (d *drawing) bool() kernels.Value {
	if len(d.bools) == 0 {
		d.bools = append(d.bools, d.LessEqual(d.real(), d.real()))
	}
	return d.pick(d.bools)
}

func (d *drawing) axis() kernels.Axis {
	return rapid.SampledFrom([]kernels.Axis{kernels.All, kernels.Batch}).Draw(d.t, "axis")
}

func (d *drawing) constant() float64 {
	return rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e-5, 2, math.Inf(1), -0.75, 1e10}).Draw(d.t, "constant")
}

// steps are the ways in which a kernel grows, sums more than once so that they
// are drawn more often.
var steps = []func(d *drawing) kernels.Value{
	func(d *drawing) kernels.Value { return d.Neg(d.real()) },
	func(d *drawing) kernels.Value { return d.Abs(d.real()) },
	func(d *drawing) kernels.Value { return d.Sign(d.real()) },
	func(d *drawing) kernels.Value { return d.Sqrt(d.real()) },
	func(d *drawing) kernels.Value { return d.Pow2(d.real()) },
	func(d *drawing) kernels.Value { return d.Exponent(d.real()) },
	func(d *drawing) kernels.Value { return d.ByType(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Add(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Sub(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Mul(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Div(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Min(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Max(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Fma(d.real(), d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Select(d.bool(), d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Const(d.constant()) },
	func(d *drawing) kernels.Value { return d.Sum(d.real(), d.axis()) },
	func(d *drawing) kernels.Value { return d.Sum(d.real(), d.axis()) },
	func(d *drawing) kernels.Value { return d.Sum(d.Sign(d.real()), d.axis()) },
}

var boolSteps = []func(d *drawing) kernels.Value{
	func(d *drawing) kernels.Value { return d.Less(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.LessEqual(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Equal(d.real(), d.real()) },
	func(d *drawing) kernels.Value { return d.Not(d.bool()) },
	func(d *drawing) kernels.Value { return d.And(d.bool(), d.bool()) },
	func(d *drawing) kernels.Value { return d.Or(d.bool(), d.bool()) },
}

// drawKernel draws a well-typed kernel. What nothing uses in the end becomes a
// result.
func drawKernel(t *rapid.T) *kernels.Kernel {
	k, err := kernels.Define("random", func(k *kernels.Builder) {
		d := &drawing{t: t, Builder: k, used: map[kernels.Value]bool{}}
		for i := range rapid.IntRange(1, 4).Draw(t, "operands") {
			name := []string{"x", "in_x", "x-1", "x_1"}[i] // names that are nearly the same in PTX
			if rapid.IntRange(0, 3).Draw(t, "optional") == 0 {
				d.reals = append(d.reals, k.Optional(name, d.constant()))
			} else {
				d.reals = append(d.reals, k.Input(name))
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			choice := rapid.IntRange(0, len(steps)+len(boolSteps)-1).Draw(t, "step")
			if choice < len(steps) {
				d.reals = append(d.reals, steps[choice](d))
			} else {
				d.bools = append(d.bools, boolSteps[choice-len(steps)](d))
			}
		}
		d.results()
	})
	if err != nil {
		t.Fatalf("this is no kernel: %v", err)
	}
	return k
}

func (d *drawing) results() {
	truths := 0
	for _, c := range d.bools {
		if !d.used[c] {
			d.used[c] = true
			if rapid.Bool().Draw(d.t, "as it is") && truths < 4 {
				d.Output(fmt.Sprintf("truth%d", truths), c)
				truths++
				continue
			}
			d.reals = append(d.reals, d.Select(c, d.Const(d.constant()), d.Const(d.constant())))
		}
	}
	last := d.reals[len(d.reals)-1]
	d.used[last] = false
	count := 0
	for _, x := range d.reals {
		if !d.used[x] {
			d.used[x] = true // it may be in the list twice
			d.Output(fmt.Sprintf("y%d", count), x)
			count++
		}
	}
}

var kinds = []kernels.Kind{kernels.Full, kernels.Row, kernels.Column, kernels.Scalar}

// drawCall draws kinds and numbers for a kernel's operands, a grid, and
// sometimes results to leave out.
func drawCall[T kernels.Float](t *rapid.T, k *kernels.Kernel) call[T] {
	rows := rapid.SampledFrom([]int{1, 2, 3, 0, 31, 33, 70, 300}).Draw(t, "rows")
	cols := rapid.SampledFrom([]int{1, 2, 3, 0, 4, 8, 31, 32, 33, 64, 130, 1030, 4096}).Draw(t, "cols")
	cols = min(cols, max(1, 5000/max(rows, 1)))
	chosen := make([]kernels.Kind, k.NumInputs())
	for i, in := range k.Inputs() {
		choices := kinds
		if in.Optional {
			choices = append([]kernels.Kind{kernels.Absent}, kinds...)
		}
		chosen[i] = rapid.SampledFrom(choices).Draw(t, "kind of "+in.Name)
	}
	c := newCall[T](k, rows, cols, chosen, rapid.Uint64().Draw(t, "seed"))
	if n := len(k.Outputs()); n > 1 && rapid.IntRange(0, 2).Draw(t, "omit some") == 2 {
		c.omit = rapid.Uint32Range(0, 1<<n-2).Draw(t, "omitted")
	}
	return c
}

// newCall makes a call with numbers of all sorts.
func newCall[T kernels.Float](k *kernels.Kernel, rows, cols int, kinds []kernels.Kind, seed uint64) call[T] {
	c := call[T]{kernel: k, rows: rows, cols: cols, kinds: kinds, inputs: make([][]T, len(kinds))}
	for i, kind := range kinds {
		if kind != kernels.Absent {
			c.inputs[i] = numbers[T](kind.Len(rows, cols), seed+uint64(i))
		}
	}
	return c
}

// numbers are n numbers: often equal ones; large ones that cancel, so that
// sums show the order of addition; and, for one seed in four, special ones.
func numbers[T kernels.Float](n int, seed uint64) []T {
	rng := rand.New(rand.NewPCG(seed, 1))
	list := specials[T]()
	x := make([]T, n)
	for i := range x {
		switch rng.IntN(8) {
		case 0:
			x[i] = T(math.Copysign(0, rng.Float64()-0.5))
		case 1, 2, 3:
			x[i] = T(rng.IntN(17)-8) / 4
		case 4:
			if seed%4 == 0 {
				x[i] = list[rng.IntN(len(list))]
				break
			}
			x[i] = T(math.Ldexp(1+rng.Float64(), 40+rng.IntN(8)))
			if i > 0 {
				j := rng.IntN(i)
				x[j] = -x[i]
			}
		default:
			x[i] = T(math.Ldexp(rng.NormFloat64(), rng.IntN(13)-6))
		}
	}
	return x
}

// specials are the numbers that go wrong first.
func specials[T kernels.Float]() []T {
	tiny, normal, largest := 0x1p-149, 0x1p-126, float64(math.MaxFloat32)
	if kernels.DTypeOf[T]() == kernels.F64 {
		tiny, normal, largest = math.SmallestNonzeroFloat64, 0x1p-1022, math.MaxFloat64
	}
	list := []T{T(math.NaN())}
	for _, x := range []float64{0, tiny, 3 * tiny, normal - tiny, normal, 0.5, 1, 1.5, 3, largest / 2, largest, math.Inf(1)} {
		list = append(list, T(x), T(-x))
	}
	return list
}

// drawWay draws how a plan is lowered and launched.
func drawWay(t *rapid.T) way {
	return way{
		arch:   rapid.SampledFrom([]int{80, 70, 100, 90}).Draw(t, "arch"),
		wide:   rapid.IntRange(0, 3).Draw(t, "wide") == 3,
		blocks: rapid.SampledFrom([]int{0, 1, 2, 7}).Draw(t, "blocks"),
		shift:  rapid.SampledFrom([]int{0, 0, 1, 2, 4}).Draw(t, "shift"),
	}
}
