package kernels

// Operation is an elementwise operation of package tensor's, on arrays of one shape,
// some of which may be numbers. It is no cell: the command line does not know it.
type Operation struct {
	// Kernel computes the result, of x, of x and y, or of x, low and high.
	Kernel *Kernel
	// Incr adds that to one operand more, z. Comparisons have none.
	Incr *Kernel
	// Truth is whether a comparison holds, a Bool; nil of other operations.
	Truth *Kernel
	// Fused is as that of a CellKernel, for both.
	Fused []Operands
}

// Operations lists the operations. A comparison is 1 where it holds, else 0.
var Operations = []Operation{
	ofTwo("add", (*Builder).Add),
	ofTwo("sub", (*Builder).Sub),
	ofTwo("mul", (*Builder).Mul),
	ofTwo("div", (*Builder).Div),

	comparison("lt", (*Builder).Less),
	comparison("lte", (*Builder).LessEqual),
	comparison("gt", func(k *Builder, x, y Value) Value { return k.Less(y, x) }),
	comparison("gte", func(k *Builder, x, y Value) Value { return k.LessEqual(y, x) }),
	comparison("eq", (*Builder).Equal),
	comparison("ne", func(k *Builder, x, y Value) Value { return k.Not(k.Equal(x, y)) }),

	ofOne("neg", (*Builder).Neg),
	ofOne("abs", (*Builder).Abs),
	ofOne("sign", (*Builder).Sign),
	ofOne("sqrt", (*Builder).Sqrt),
	ofOne("square", func(k *Builder, x Value) Value { return k.Mul(x, x) }),
	ofOne("exp", (*Builder).Exp),
	ofOne("log", (*Builder).Log),
	ofOne("tanh", (*Builder).Tanh),

	// As tensor's: NaN stays, and a number below both bounds is the lower.
	operation("clamp", []string{"x", "low", "high"}, []Operands{{"low": Scalar, "high": Scalar}}, func(k *Builder, x ...Value) Value {
		return k.Select(k.Less(x[0], x[1]), x[1], k.Select(k.Less(x[2], x[0]), x[2], x[0]))
	}),
}

// SumOfAll adds up all elements of x, SumOfColumns those of each column.
var (
	SumOfAll     = Must(Define("sum", func(k *Builder) { k.Output("result", k.Sum(k.Input("x"), All)) }))
	SumOfColumns = Must(Define("columns", func(k *Builder) { k.Output("result", k.Sum(k.Input("x"), Batch)) }))
)

func ofOne(name string, f func(k *Builder, x Value) Value) Operation {
	return operation(name, []string{"x"}, []Operands{{}}, func(k *Builder, x ...Value) Value { return f(k, x[0]) })
}

func ofTwo(name string, f func(k *Builder, x, y Value) Value) Operation {
	return operation(name, []string{"x", "y"}, []Operands{{}, {"x": Scalar}, {"y": Scalar}}, func(k *Builder, x ...Value) Value { return f(k, x[0], x[1]) })
}

func comparison(name string, f func(k *Builder, x, y Value) Value) Operation {
	o := ofTwo(name, func(k *Builder, x, y Value) Value { return k.Select(f(k, x, y), k.Const(1), k.Const(0)) })
	o.Incr = nil
	o.Truth = Must(Define(name+"-truth", func(k *Builder) { k.Output("result", f(k, k.Input("x"), k.Input("y"))) }))
	return o
}

func operation(name string, operands []string, fused []Operands, f func(k *Builder, x ...Value) Value) Operation {
	define := func(name string, result func(k *Builder, y Value) Value) *Kernel {
		return Must(Define(name, func(k *Builder) {
			var x []Value
			for _, operand := range operands {
				x = append(x, k.Input(operand))
			}
			k.Output("result", result(k, f(k, x...)))
		}))
	}
	return Operation{
		Kernel: define(name, func(k *Builder, y Value) Value { return y }),
		Incr:   define(name+"-incr", func(k *Builder, y Value) Value { return k.Add(k.Input("z"), y) }),
		Fused:  fused,
	}
}
