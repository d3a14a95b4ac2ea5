package engine

import "errorcell/kernels"

// operation is an elementwise operation of package tensor.
type operation struct {
	name string
	// kernel computes it, and incr adds it to a third operand, z.
	kernel, incr *kernels.Kernel
	least        int  // elements for which the device is quicker
	compares     bool // the result is one of bools, unless it is to be of the operands' type
}

// newOperation makes an operation of the operands x, y and so on.
func newOperation(name string, operands []string, f func(k *kernels.Builder, x []kernels.Value) kernels.Value) *operation {
	define := func(name string, result func(k *kernels.Builder, y kernels.Value) kernels.Value) *kernels.Kernel {
		return kernels.Must(kernels.Define(name, func(k *kernels.Builder) {
			var in []kernels.Value
			for _, operand := range operands {
				in = append(in, k.Input(operand))
			}
			k.Output("result", result(k, f(k, in)))
		}))
	}
	return &operation{
		name:   name,
		least:  least,
		kernel: define(name, func(k *kernels.Builder, y kernels.Value) kernels.Value { return y }),
		incr:   define(name+"-incr", func(k *kernels.Builder, y kernels.Value) kernels.Value { return k.Add(k.Input("z"), y) }),
	}
}

// function is a unary operation that takes long.
func function(name string, f func(k *kernels.Builder, x kernels.Value) kernels.Value) *operation {
	op := unary(name, f)
	op.least = leastOf
	return op
}

func unary(name string, f func(k *kernels.Builder, x kernels.Value) kernels.Value) *operation {
	return newOperation(name, []string{"x"}, func(k *kernels.Builder, x []kernels.Value) kernels.Value { return f(k, x[0]) })
}

func binary(name string, f func(k *kernels.Builder, x, y kernels.Value) kernels.Value) *operation {
	return newOperation(name, []string{"x", "y"}, func(k *kernels.Builder, x []kernels.Value) kernels.Value { return f(k, x[0], x[1]) })
}

// comparison is 1 where it holds, else 0.
func comparison(name string, f func(k *kernels.Builder, x, y kernels.Value) kernels.Value) *operation {
	op := binary(name, func(k *kernels.Builder, x, y kernels.Value) kernels.Value {
		return k.Select(f(k, x, y), k.Const(1), k.Const(0))
	})
	op.compares = true
	return op
}

var (
	add = binary("add", (*kernels.Builder).Add)
	sub = binary("sub", (*kernels.Builder).Sub)
	mul = binary("mul", (*kernels.Builder).Mul)
	div = binary("div", (*kernels.Builder).Div)

	less         = comparison("lt", (*kernels.Builder).Less)
	lessEqual    = comparison("lte", (*kernels.Builder).LessEqual)
	greater      = comparison("gt", func(k *kernels.Builder, x, y kernels.Value) kernels.Value { return k.Less(y, x) })
	greaterEqual = comparison("gte", func(k *kernels.Builder, x, y kernels.Value) kernels.Value { return k.LessEqual(y, x) })
	equal        = comparison("eq", (*kernels.Builder).Equal)
	notEqual     = comparison("ne", func(k *kernels.Builder, x, y kernels.Value) kernels.Value { return k.Not(k.Equal(x, y)) })

	neg    = unary("neg", (*kernels.Builder).Neg)
	abs    = unary("abs", (*kernels.Builder).Abs)
	sign   = unary("sign", (*kernels.Builder).Sign)
	sqrt   = function("sqrt", (*kernels.Builder).Sqrt)
	square = unary("square", func(k *kernels.Builder, x kernels.Value) kernels.Value { return k.Mul(x, x) })
	exp    = function("exp", (*kernels.Builder).Exp)
	log    = function("log", (*kernels.Builder).Log)
	tanh   = function("tanh", (*kernels.Builder).Tanh)

	// clamp is as tensor's: NaN stays, and a number below both bounds is the lower.
	clamp = newOperation("clamp", []string{"x", "low", "high"}, func(k *kernels.Builder, x []kernels.Value) kernels.Value {
		return k.Select(k.Less(x[0], x[1]), x[1], k.Select(k.Less(x[2], x[0]), x[2], x[0]))
	})
)

// sum is over all elements, columns down each column.
var (
	sum = kernels.Must(kernels.Define("sum", func(k *kernels.Builder) {
		k.Output("result", k.Sum(k.Input("x"), kernels.All))
	}))
	columns = kernels.Must(kernels.Define("columns", func(k *kernels.Builder) {
		k.Output("result", k.Sum(k.Input("x"), kernels.Batch))
	}))
)
