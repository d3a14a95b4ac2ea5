// The kernels of the suite: one for each operation in each position, and one
// for each way in which a plan can be cut into passes.

package backendtest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"errorcell/kernels"
)

type (
	builder = kernels.Builder
	value   = kernels.Value
)

// operations says how the builder writes each operation that computes an
// element from elements.
var operations = []struct {
	op    kernels.Op
	build func(k *builder, a []value) value
}{
	{kernels.OpNeg, func(k *builder, a []value) value { return k.Neg(a[0]) }},
	{kernels.OpAbs, func(k *builder, a []value) value { return k.Abs(a[0]) }},
	{kernels.OpSign, func(k *builder, a []value) value { return k.Sign(a[0]) }},
	{kernels.OpSqrt, func(k *builder, a []value) value { return k.Sqrt(a[0]) }},
	{kernels.OpPow2, func(k *builder, a []value) value { return k.Pow2(a[0]) }},
	{kernels.OpExponent, func(k *builder, a []value) value { return k.Exponent(a[0]) }},
	{kernels.OpAdd, func(k *builder, a []value) value { return k.Add(a[0], a[1]) }},
	{kernels.OpSub, func(k *builder, a []value) value { return k.Sub(a[0], a[1]) }},
	{kernels.OpMul, func(k *builder, a []value) value { return k.Mul(a[0], a[1]) }},
	{kernels.OpDiv, func(k *builder, a []value) value { return k.Div(a[0], a[1]) }},
	{kernels.OpMin, func(k *builder, a []value) value { return k.Min(a[0], a[1]) }},
	{kernels.OpMax, func(k *builder, a []value) value { return k.Max(a[0], a[1]) }},
	{kernels.OpFma, func(k *builder, a []value) value { return k.Fma(a[0], a[1], a[2]) }},
	{kernels.OpLess, func(k *builder, a []value) value { return k.Less(a[0], a[1]) }},
	{kernels.OpLessEqual, func(k *builder, a []value) value { return k.LessEqual(a[0], a[1]) }},
	{kernels.OpEqual, func(k *builder, a []value) value { return k.Equal(a[0], a[1]) }},
	{kernels.OpNot, func(k *builder, a []value) value { return k.Not(a[0]) }},
	{kernels.OpAnd, func(k *builder, a []value) value { return k.And(a[0], a[1]) }},
	{kernels.OpOr, func(k *builder, a []value) value { return k.Or(a[0], a[1]) }},
	{kernels.OpSelect, func(k *builder, a []value) value { return k.Select(a[0], a[1], a[2]) }},
}

// takesBool and givesBool are the operations with a logical argument in the
// given position, and with a logical result.
func takesBool(op kernels.Op, position int) bool {
	switch op {
	case kernels.OpNot, kernels.OpAnd, kernels.OpOr:
		return true
	}
	return op == kernels.OpSelect && position == 0
}

func givesBool(op kernels.Op) bool {
	switch op {
	case kernels.OpLess, kernels.OpLessEqual, kernels.OpEqual, kernels.OpNot, kernels.OpAnd, kernels.OpOr:
		return true
	}
	return false
}

// operationKernel has a result for each way to put operands and the constant c
// into the positions of an operation: y0 has operands alone, the last one the
// constant alone, and "same" the first operand everywhere. Truth values become
// numbers, unless they are wanted as they are.
func operationKernel(op kernels.Op, build func(*builder, []value) value, c float64, truths bool) *kernels.Kernel {
	name := strings.ReplaceAll(op.String(), "_", "-")
	return kernels.Must(kernels.Define(name, func(k *builder) {
		operands := make([]value, op.Arity())
		for i := range operands {
			operands[i] = k.Input(string(rune('a' + i)))
		}
		result := func(name string, position func(i int) value) {
			args := make([]value, len(operands))
			for i := range args {
				args[i] = position(i)
				if takesBool(op, i) {
					args[i] = k.Less(args[i], k.Const(0.5))
				}
			}
			y := build(k, args)
			if givesBool(op) && !truths {
				y = k.Select(y, k.Const(1), k.Const(math.Copysign(0, -1)))
			}
			k.Output(name, y)
		}
		for mask := range 1 << len(operands) {
			result(fmt.Sprintf("y%d", mask), func(i int) value {
				if mask>>i&1 == 1 {
					return k.Const(c)
				}
				return operands[i]
			})
		}
		result("same", func(int) value { return operands[0] })
	}))
}

// operationConstants are the constants that operations meet: those that a
// simplifier likes, one that float32 rounds, one that it takes for zero and
// one for infinity, and a NaN-maker.
var operationConstants = []float64{1, 0, math.Copysign(0, -1), -1, 2, 0.1, -1e-46, 1e39, math.Inf(1), math.Inf(-1)}

// operationKernels are the kernels of an operation, one for each constant.
var operationKernels = func() map[kernels.Op][]*kernels.Kernel {
	table := map[kernels.Op][]*kernels.Kernel{}
	for _, o := range operations {
		for _, c := range operationConstants {
			table[o.op] = append(table[o.op], operationKernel(o.op, o.build, c, false))
			if givesBool(o.op) {
				table[o.op] = append(table[o.op], operationKernel(o.op, o.build, c, true))
			}
		}
	}
	return table
}()

func define(name string, f func(k *builder)) *kernels.Kernel {
	return kernels.Must(kernels.Define(name, f))
}

// forms are kernels of each shape that a plan can have.
var forms = []*kernels.Kernel{
	define("copy", func(k *builder) {
		x, y := k.Input("x"), k.Input("y")
		k.Output("x1", x)
		k.Output("x2", x)
		k.Output("y1", y)
	}),
	define("constants", func(k *builder) {
		// Ties and limits of the rounding to float32.
		for i, c := range []float64{0, math.Copysign(0, -1), 1, 0.1, 1<<24 + 1, 1<<24 + 3, 0x1.8p-149, 0x1p-150, 1e39, math.Inf(-1)} {
			k.Output(fmt.Sprintf("c%d", i), k.Const(c))
		}
		k.Output("s", k.Sum(k.Const(0.1), kernels.All))
		k.Output("b", k.Sum(k.Const(math.Copysign(0, -1)), kernels.Batch))
	}),
	define("defaults", func(k *builder) {
		x := k.Input("x")
		for i, d := range []float64{0, math.Copysign(0, -1), 1, -1, 0.1, math.Inf(1)} {
			o := k.Optional(fmt.Sprintf("o%d", i), d)
			k.Output(fmt.Sprintf("add%d", i), k.Add(x, o))
			k.Output(fmt.Sprintf("mul%d", i), k.Mul(o, x))
			if i%2 == 1 {
				k.Output(fmt.Sprintf("sum%d", i), k.Sum(o, kernels.All))
			}
		}
	}),
	define("counts", func(k *builder) {
		a, b := k.Input("a"), k.Input("b")
		e, f := k.Sign(k.Sub(a, b)), k.Sign(b)
		sums(k, "neg", k.Neg(e), "abs", k.Abs(e), "mul", k.Mul(e, f), "min", k.Min(e, f), "max", k.Max(e, f))
	}),
	define("selected-counts", func(k *builder) {
		a, b := k.Input("a"), k.Input("b")
		less, zero, minusZero, one, minusOne := k.Less(a, b), k.Const(0), k.Const(math.Copysign(0, -1)), k.Const(1), k.Const(-1)
		sums(k, "plus_minus", k.Select(less, one, minusOne), "one_zero", k.Select(k.Equal(a, b), one, zero),
			"minus_zero", k.Select(less, minusOne, minusZero), "nested", k.Select(less, k.Sign(a), k.Abs(k.Sign(b))))
	}),
	define("trees", func(k *builder) {
		a, b := k.Input("a"), k.Input("b")
		sums(k, "a", a, "b", b, "product", k.Mul(a, b), "difference", k.Sub(a, b), "abs", k.Abs(a))
	}),
	define("two-axes", func(k *builder) { // of one value that is a result too
		x := k.Neg(k.Input("x"))
		k.Output("y", x)
		k.Output("all", k.Sum(x, kernels.All))
		k.Output("batch", k.Sum(x, kernels.Batch))
	}),
	define("variance", func(k *builder) { // over all: mean, then variance, then a full pass
		x := k.Input("x")
		n := k.Sum(k.Select(k.Equal(x, x), k.Const(1), k.Const(1)), kernels.All)
		mean := k.Div(k.Sum(x, kernels.All), n)
		d := k.Sub(x, mean)
		variance := k.Div(k.Sum(k.Mul(d, d), kernels.All), n)
		k.Output("mean", mean)
		k.Output("variance", variance)
		k.Output("normal", k.Div(d, k.Sqrt(k.Add(variance, k.Const(1e-5)))))
	}),
	batchNorm,
	define("levels", func(k *builder) { // sums of sums, and what depends on several levels
		x, y := k.Input("x"), k.Input("y")
		rows := k.Sum(x, kernels.Batch)
		total := k.Sum(k.Mul(rows, rows), kernels.All)
		again := k.Sum(k.Sub(k.Mul(y, total), rows), kernels.Batch)
		last := k.Sum(k.Mul(again, k.Sum(again, kernels.Batch)), kernels.All)
		k.Output("again", again)
		k.Output("mixed", k.Add(k.Mul(x, last), k.Sub(y, total)))
		k.Output("last", last)
	}),
	define("smaller", func(k *builder) { // results and sums of operands that may be smaller than the grid
		x, w := k.Input("x"), k.Input("w")
		s := k.Sum(w, kernels.All)
		k.Output("square", k.Mul(w, w))
		k.Output("y", k.Mul(x, s))
		k.Output("w_batch", k.Sum(k.Abs(w), kernels.Batch))
		k.Output("count", k.Sum(k.Sign(w), kernels.All))
		k.Output("count_batch", k.Sum(k.Sign(w), kernels.Batch))
		k.Output("scaled", k.Div(w, s))
	}),
	define("logic", func(k *builder) {
		x, lo, hi := k.Input("x"), k.Optional("lo", -1), k.Optional("hi", 1)
		inside := k.And(k.LessEqual(lo, x), k.Less(x, hi))
		odd := k.Or(k.Not(inside), k.Equal(x, k.Const(0)))
		k.Output("clipped", k.Select(inside, x, k.Select(k.Less(x, lo), lo, hi)))
		k.Output("odd", k.Select(odd, k.Sign(x), k.Const(0)))
		k.Output("outside", k.Sum(k.Select(odd, k.Const(1), k.Const(0)), kernels.All))
	}),
	truths,
	define("polynomial", func(k *builder) { // x*y + z, fused and not: they must differ where they do
		x, y, z := k.Input("x"), k.Input("y"), k.Input("z")
		k.Output("fused", k.Fma(x, y, z))
		k.Output("rounded", k.Add(k.Mul(x, y), z))
		k.Output("minus", k.Sub(z, k.Mul(x, y)))
	}),
	define("functions", func(k *builder) { // each is many operations, and other constants by the type
		x := k.Input("x")
		k.Output("exp", k.Exp(x))
		k.Output("log", k.Log(x))
		k.Output("tanh", k.Tanh(x))
		k.Output("sigmoid", k.Sigmoid(x))
		k.Output("softplus", k.Softplus(x))
		k.Output("erf", k.Erf(x))
	}),
	define("by-type", func(k *builder) { // other operands, shapes and sums by the type
		x, y := k.Input("x"), k.Input("y")
		k.Output("z", k.Add(k.ByType(x, y), k.Const(1)))
		k.Output("s", k.Sum(k.ByType(k.Sign(x), k.Sum(y, kernels.Batch)), kernels.All))
	}),
	define("widest", func(k *builder) {
		var total value
		for i := range kernels.MaxInputs {
			name := fmt.Sprintf("x%d", i)
			if i == 0 {
				total = k.Input(name)
			} else {
				total = k.Add(total, k.Optional(name, float64(i)))
			}
		}
		k.Output("y", total)
		k.Output("s", k.Sum(total, kernels.Batch))
	}),
}

// truths has truth values and numbers among its results: of comparisons that are
// for nothing else, that are used or stored twice, and of sums.
var truths = define("truths", func(k *builder) {
	x, y := k.Input("x"), k.Optional("y", 0.5)
	less, differ := k.Less(x, y), k.Not(k.Equal(x, y))
	k.Output("less", less)
	k.Output("less_again", less)
	k.Output("smaller", k.Select(less, x, y))
	k.Output("at_most", k.LessEqual(x, y))
	k.Output("differ", differ)
	k.Output("between", k.And(k.Less(k.Const(-1), x), k.Not(k.Less(k.Const(1), k.Neg(y)))))
	k.Output("of_y", k.Or(k.Equal(y, k.Const(0)), k.Not(k.Equal(y, y))))
	k.Output("below_sum", k.Less(y, k.Sum(y, kernels.All)))
	k.Output("column_positive", k.Less(k.Const(0), k.Sum(x, kernels.Batch)))
	k.Output("any", k.Less(k.Const(0), k.Sum(k.Select(less, k.Const(1), k.Const(0)), kernels.All)))
})

// batchNorm is the variance over the batch, with rows of sums.
var batchNorm = define("batch-norm", func(k *builder) {
	x, gain, bias := k.Input("x"), k.Optional("gain", 1), k.Optional("bias", 0)
	n := k.Sum(k.Select(k.Equal(x, x), k.Const(1), k.Const(1)), kernels.Batch)
	mean := k.Div(k.Sum(x, kernels.Batch), n)
	d := k.Sub(x, mean)
	variance := k.Div(k.Sum(k.Mul(d, d), kernels.Batch), n)
	k.Output("y", k.Fma(k.Div(d, k.Sqrt(k.Add(variance, k.Const(1e-5)))), gain, bias))
	k.Output("mean", mean)
})

// everything has a sum of each sort, and a result that needs them.
var everything = define("everything", func(k *builder) {
	x := k.Input("x")
	all, batch := k.Sum(x, kernels.All), k.Sum(x, kernels.Batch)
	k.Output("all", all)
	k.Output("batch", batch)
	k.Output("count", k.Sum(k.Sign(x), kernels.All))
	k.Output("count_batch", k.Sum(k.Sign(x), kernels.Batch))
	k.Output("y", k.Sub(k.Mul(x, all), batch))
})

// sums gives the kernel two results for each pair of a name and a value: its
// sums over all and over the batch.
func sums(k *builder, pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		name, x := pairs[i].(string), pairs[i+1].(value)
		k.Output(name+"_all", k.Sum(x, kernels.All))
		k.Output(name+"_batch", k.Sum(x, kernels.Batch))
	}
}

var kinds = []kernels.Kind{kernels.Full, kernels.Row, kernels.Column, kernels.Scalar}

// allKinds is the product of the kinds that the operands may have; of large
// products, the combinations in which all are alike and some at random.
func allKinds(k *kernels.Kernel) [][]kernels.Kind {
	const most, some = 128, 80
	inputs := k.Inputs()
	choices := make([][]kernels.Kind, len(inputs))
	product := 1
	for i, in := range inputs {
		choices[i] = kinds
		if in.Optional {
			choices[i] = append([]kernels.Kind{kernels.Absent}, kinds...)
		}
		product = min(product*len(choices[i]), most+1)
	}
	// choose makes a combination from the choice for each operand.
	choose := func(choice func(i, n int) int) []kernels.Kind {
		combination := make([]kernels.Kind, len(inputs))
		for i := range combination {
			combination[i] = choices[i][choice(i, len(choices[i]))]
		}
		return combination
	}
	var list [][]kernels.Kind
	if product <= most {
		for digits := range product {
			list = append(list, choose(func(_, n int) int {
				digit := digits % n
				digits /= n
				return digit
			}))
		}
		return list
	}
	for kind := range len(kinds) + 1 {
		list = append(list, choose(func(_, n int) int { return kind % n }))
	}
	rng := seeded(len(inputs))
	for range some {
		list = append(list, choose(func(_, n int) int { return rng.IntN(n) }))
	}
	return list
}

// full are operands that all span the grid.
func full(k *kernels.Kernel) []kernels.Kind {
	return slices.Repeat([]kernels.Kind{kernels.Full}, k.NumInputs())
}

// fewest are as few operands as the kernel allows, spanning the grid.
func fewest(k *kernels.Kernel) []kernels.Kind {
	list := full(k)
	for i, in := range k.Inputs() {
		if in.Optional {
			list[i] = kernels.Absent
		}
	}
	return list
}

// laplacians are kernels with a loss of which more is known than that the
// reference computes it.
var laplacians = []*kernels.Kernel{kernels.Laplacian, kernels.LaplacianL1, kernels.LaplacianScaled, kernels.LaplacianScaledL1}
