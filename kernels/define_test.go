package kernels

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// valid is a definition without a mistake, for tests that are about another.
func valid(k *Builder) { k.Output("y", k.Input("x")) }

func TestDefineErrors(t *testing.T) {
	var foreign Value
	Must(Define("other", func(k *Builder) {
		foreign = k.Input("x")
		k.Output("y", foreign)
	}))
	for _, c := range []struct {
		name   string
		kernel string
		define func(k *Builder)
		reason string
	}{
		{"no kernel name", "", valid, "a kernel's name is letters"},
		{"digit first", "2fast", valid, "a kernel's name is letters"},
		{"space in name", "a b", valid, "a kernel's name is letters"},
		{"foreign letter", "é", valid, "a kernel's name is letters"},
		{"no result", "k", func(k *Builder) {}, "it has no result"},
		{"operand name", "k", func(k *Builder) { k.Output("y", k.Input("x y")) }, `operand name "x y"`},
		{"empty operand name", "k", func(k *Builder) { k.Output("y", k.Input("")) }, `operand name ""`},
		{"two operands", "k", func(k *Builder) { k.Output("y", k.Add(k.Input("x"), k.Optional("x", 0))) }, `two operands are called "x"`},
		{"NaN default", "k", func(k *Builder) { k.Output("y", k.Optional("x", math.NaN())) }, `operand "x" has NaN for its default`},
		{"NaN constant", "k", func(k *Builder) { k.Output("y", k.Const(math.NaN())) }, "NaN as a constant"},
		{"17 operands", "k", func(k *Builder) {
			sum := k.Const(0)
			for i := range MaxInputs + 1 {
				sum = k.Add(sum, k.Input(fmt.Sprintf("x%d", i)))
			}
			k.Output("y", sum)
		}, "more than 16 operands"},
		{"17 results", "k", func(k *Builder) {
			for i := range MaxOutputs + 1 {
				k.Output(fmt.Sprintf("y%d", i), k.Const(1))
			}
		}, "more than 16 results"},
		{"foreign value", "k", func(k *Builder) { k.Output("y", k.Add(k.Input("x"), foreign)) }, "argument 2 of add is no value of this kernel"},
		{"zero value", "k", func(k *Builder) { k.Output("y", k.Neg(Value{})) }, "argument 1 of neg is no value of this kernel"},
		{"foreign result", "k", func(k *Builder) { k.Output("y", foreign) }, `result "y" is no value of this kernel`},
		{"bool for a number", "k", func(k *Builder) { x := k.Input("x"); k.Output("y", k.Mul(x, k.Less(x, x))) }, "argument 2 of mul is bool, real is wanted"},
		{"number for a bool", "k", func(k *Builder) { x := k.Input("x"); k.Output("y", k.Select(x, x, x)) }, "argument 1 of select is real, bool is wanted"},
		{"sign for a bool", "k", func(k *Builder) { x := k.Sign(k.Input("x")); k.Output("y", k.Select(k.Not(x), x, x)) }, "argument 1 of not is ternary, bool is wanted"},
		{"sum of a bool", "k", func(k *Builder) { x := k.Input("x"); k.Output("y", k.Sum(k.Equal(x, x), All)) }, "argument 1 of sum is bool, real is wanted"},
		{"unknown axis", "k", func(k *Builder) { k.Output("y", k.Sum(k.Input("x"), 7)) }, "sum over the unknown axis 7"},
		{"result name", "k", func(k *Builder) { k.Output("y!", k.Input("x")) }, `result name "y!"`},
		{"two results", "k", func(k *Builder) { x := k.Input("x"); k.Output("y", x); k.Output("y", k.Neg(x)) }, `two results are called "y"`},
		{"result like operand", "k", func(k *Builder) { k.Output("x", k.Input("x")) }, `"x" is the name of an operand and of a result`},
		{"unused operand", "k", func(k *Builder) { valid(k); k.Input("z") }, `operand "z" is never used`},
		{"unused value", "k", func(k *Builder) { x := k.Input("x"); k.Output("y", x); k.Sqrt(k.Neg(x)) }, "sqrt(-x) is computed and never used"},
		{"unused constant", "k", func(k *Builder) { valid(k); k.Const(0.5) }, "0.5 is computed and never used"},
		{"only the first mistake", "k", func(k *Builder) { k.Output("y!", k.Neg(foreign)) }, "argument 1 of neg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := Define(c.kernel, c.define)
			var definition *DefineError
			if k != nil || !errors.As(err, &definition) {
				t.Fatalf("Define gives %v, %v; want a *DefineError", k, err)
			}
			if definition.Kernel != c.kernel || !strings.HasPrefix(definition.Reason, c.reason) {
				t.Errorf("the error is %q of kernel %q, want %q of %q", definition.Reason, definition.Kernel, c.reason, c.kernel)
			}
			if want := fmt.Sprintf("kernel %q: ", c.kernel); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("the error %q does not begin with %q", err, want)
			}
		})
	}
}

// TestTruthValues: results that are truth values are of a type of their own, in
// a kernel of either, and 0 and 1 in the reference.
func TestTruthValues(t *testing.T) { both(t, testTruthValues[float32], testTruthValues[float64]) }

func testTruthValues[T Float](t *testing.T) {
	nan, inf := T(math.NaN()), T(math.Inf(1))
	want := [][]T{{0, 0, 0, 0, 1, 0}, {1, 0, 1, 1, 1, 0}, {1, 1, T(math.Copysign(0, -1)), inf, -inf, 1}}
	results := mustReference(t, truths, array(1, 6, 1, 2, 0, inf, -inf, nan), array(1, 6, 1, 1, T(math.Copysign(0, -1)), inf, 0, 1))
	for i, r := range results {
		if !sameAll(r, want[i]) {
			t.Errorf("%s is %v, want %v", truths.OutputName(i), r, want[i])
		}
	}
	dtype := DTypeOf[T]()
	plan, err := truths.Specialize(signature(dtype, Full, Full))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []DType{B8, B8, dtype} {
		if got := plan.OutputDType(i); got != want {
			t.Errorf("%s is of %v, want %v", truths.OutputName(i), got, want)
		}
	}
}

// truths has results of both types.
var truths = Must(Define("truths", func(k *Builder) {
	x, y := k.Input("x"), k.Input("y")
	less := k.Less(x, y)
	k.Output("less", less)
	k.Output("at-most", k.Or(less, k.Equal(x, y)))
	k.Output("smaller", k.Select(less, x, y))
}))

func TestMust(t *testing.T) {
	defer func() {
		if err, ok := recover().(*DefineError); !ok {
			t.Errorf("Must of a refused kernel panics with %v, want a *DefineError", err)
		}
	}()
	Must(Define("", valid))
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "Z", "dmu", "laplacian-l1", "x_0", "dScale"} {
		if _, err := Define(name, valid); err != nil {
			t.Errorf("the name %q: %v", name, err)
		}
	}
}

// TestSameExpressionOnce: what is written twice is computed once, and -0 is
// not +0.
func TestSameExpressionOnce(t *testing.T) {
	k := Must(Define("k", func(k *Builder) {
		x, y := k.Input("x"), k.Input("y")
		for name, write := range map[string]func() Value{
			"sum":        func() Value { return k.Add(x, y) },
			"constant":   func() Value { return k.Const(0.1) },
			"reduction":  func() Value { return k.Sum(x, All) },
			"comparison": func() Value { return k.Select(k.Less(x, y), x, y) },
		} {
			if once, again := write(), write(); once != again {
				t.Errorf("the same %s gives another value", name)
			}
		}
		if k.Add(x, y) == k.Add(y, x) || k.Const(0) == k.Const(math.Copysign(0, -1)) || k.Sum(x, All) == k.Sum(x, Batch) {
			t.Error("different expressions give one value")
		}
		k.Output("a", k.Add(k.Add(x, y), k.Add(y, x)))
		k.Output("b", k.Add(k.Add(k.Const(0.1), k.Const(0)), k.Const(math.Copysign(0, -1))))
		k.Output("c", k.Add(k.Sum(x, All), k.Sum(x, Batch)))
		k.Output("d", k.Select(k.Less(x, y), x, y))
	}))
	var ops []Op
	for _, n := range k.Nodes() {
		ops = append(ops, n.Op)
	}
	count := func(op Op) (n int) {
		for _, o := range ops {
			if o == op {
				n++
			}
		}
		return n
	}
	if count(OpConst) != 3 || count(OpSum) != 2 || count(OpInput) != 2 || count(OpAdd) != 6 {
		t.Errorf("the nodes are %v", ops)
	}
	for i, n := range k.Nodes() {
		for _, arg := range n.Args[:n.Op.Arity()] {
			if arg >= i {
				t.Errorf("node %d (%v) refers to node %d", i, n.Op, arg)
			}
		}
	}
}

func TestTypes(t *testing.T) {
	Define("k", func(k *Builder) {
		x := k.Input("x")
		s := k.Sign(x)
		c := k.Less(x, k.Const(0.5))
		for name, v := range map[string]Value{
			"r-x": x, "r-half": k.Const(0.5), "r-sum": k.Sum(s, All), "r-sqrt": k.Sqrt(s), "r-add": k.Add(s, s), "r-sub": k.Sub(s, s),
			"r-div": k.Div(s, s), "r-fma": k.Fma(s, s, s), "r-mul": k.Mul(s, x), "r-min": k.Min(x, s), "r-neg": k.Neg(x),
			"r-select": k.Select(c, s, x), "r-pow2": k.Pow2(s), "r-exponent": k.Exponent(s), "r-by-type": k.ByType(s, x),
			"t-s": s, "t-one": k.Const(1), "t-minus": k.Const(-1), "t-zero": k.Const(0), "t-neg": k.Neg(s),
			"t-abs": k.Abs(s), "t-mul": k.Mul(s, k.Neg(s)), "t-max": k.Max(s, k.Const(-1)), "t-select": k.Select(c, s, k.Const(0)),
			"t-by-type": k.ByType(s, k.Const(1)),
		} {
			want := map[byte]Type{'r': Real, 't': Ternary}[name[0]]
			if got := k.k.nodes[v.node].Type; got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		for _, v := range []Value{c, k.Not(c), k.And(c, c), k.Or(c, c), k.Equal(s, x), k.LessEqual(x, s)} {
			if got := k.k.nodes[v.node].Type; got != Bool {
				t.Errorf("a comparison is %v", got)
			}
		}
		// The kernel is incomplete; only the types matter here.
	})
}

func TestFormula(t *testing.T) {
	k := Must(Define("k", func(k *Builder) {
		x, y, o := k.Input("x"), k.Input("y"), k.Optional("o", 2)
		k.Output("a", k.Neg(k.Mul(k.Add(x, y), k.Sub(x, k.Const(0.1)))))
		k.Output("b", k.Select(k.And(k.Less(x, y), k.Not(k.Or(k.LessEqual(x, o), k.Equal(y, o)))), k.Abs(x), k.Sqrt(y)))
		k.Output("c", k.Sum(k.Div(x, y), All))
		k.Output("d", k.Sum(k.Fma(x, y, o), Batch))
		k.Output("e", k.Min(k.Sign(x), k.Max(k.Const(-1), k.Const(math.Inf(1)))))
		k.Output("f", k.ByType(k.Pow2(x), k.Exponent(k.Const(0.1))))
	}))
	want := `a = -((x + y) * (x - 0.1))
b = select((x < y) && not((x <= o) || (y == o)), abs(x), sqrt(y))
c = sum(x / y)
d = sum(fma(x, y, o), axis=batch)
e = min(sign(x), max(-1, +Inf))
f = by_type(pow2(x), exponent(0.1))`
	if got := k.String(); got != want {
		t.Errorf("the formula is\n%s\nwant\n%s", got, want)
	}
}

func TestKernelDescribesItself(t *testing.T) {
	k := Laplacian
	if k.Name() != "laplacian" || k.NumInputs() != 3 || k.InputName(1) != "mu" || k.OutputName(2) != "L" {
		t.Errorf("%s has %d operands, %q and %q", k.Name(), k.NumInputs(), k.InputName(1), k.OutputName(2))
	}
	if k.InputIndex("modulator") != 2 || k.InputIndex("dmu") != -1 || k.OutputIndex("dtarget") != 1 || k.OutputIndex("mu") != -1 {
		t.Error("operands or results are not found by name")
	}
	if in := k.Inputs()[2]; !in.Optional || in.Default != 1 || k.Inputs()[0].Optional {
		t.Errorf("the modulator is %+v", in)
	}
	// What the methods give is the caller's: the kernel does not change with it.
	k.Inputs()[0].Name, k.Outputs()[0].Node, k.Nodes()[0].Op = "changed", 99, OpNeg
	if k.InputName(0) != "target" || k.Outputs()[0].Node == 99 || k.Nodes()[0].Op != OpInput {
		t.Error("a kernel changes through what its methods return")
	}
}

// TestKernelIsImmutable: a builder that outlives its definition has no power
// over the kernel.
func TestKernelIsImmutable(t *testing.T) {
	var late *Builder
	var x Value
	k := Must(Define("k", func(k *Builder) {
		late, x = k, k.Input("x")
		k.Output("y", k.Neg(x))
	}))
	inputs, outputs, nodes, formula := k.Inputs(), k.Outputs(), k.Nodes(), k.String()
	z := late.Input("z")
	late.Optional("o", 1)
	late.Output("w", late.Add(late.Mul(x, x), z))
	late.Output("v", late.Const(2))
	if !slices.Equal(k.Inputs(), inputs) || !slices.Equal(k.Outputs(), outputs) || !slices.Equal(k.Nodes(), nodes) || k.String() != formula {
		t.Errorf("after its definition the kernel has become\n%v\nwith %d operands and %d nodes, it was\n%v\nwith %d and %d",
			k, k.NumInputs(), len(k.Nodes()), formula, len(inputs), len(nodes))
	}
}

func TestCatalogue(t *testing.T) {
	names := map[string]bool{}
	for _, k := range Catalogue() {
		if names[k.Name()] {
			t.Errorf("two kernels are called %s", k.Name())
		}
		names[k.Name()] = true
		if found, ok := Lookup(k.Name()); !ok || found != k {
			t.Errorf("Lookup(%q) gives %v, %v", k.Name(), found, ok)
		}
	}
	if len(names) == 0 {
		t.Error("the catalogue is empty")
	}
	if k, ok := Lookup("no-such-kernel"); ok || k != nil {
		t.Errorf("Lookup of no kernel gives %v, %v", k, ok)
	}
	Catalogue()[0] = nil
	if Catalogue()[0] == nil {
		t.Error("the catalogue changes through what Catalogue returns")
	}
}

func TestDTypes(t *testing.T) {
	if DTypeOf[float32]() != F32 || DTypeOf[float64]() != F64 {
		t.Error("DTypeOf")
	}
	for d, want := range map[DType]string{F32: "float32 4", F64: "float64 8", 0: "DType(0) 0", 9: "DType(9) 0"} {
		if got := fmt.Sprint(d, d.Size()); got != want {
			t.Errorf("%d is %s, want %s", uint8(d), got, want)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		kind       Kind
		name       string
		rows, cols int // of a grid of 2 x 5
	}{
		{Absent, "absent", 0, 0}, {Scalar, "scalar", 1, 1}, {Row, "row", 1, 5}, {Column, "column", 2, 1}, {Full, "full", 2, 5}, {2, "Kind(2)", 1, 5},
	} {
		r, w := c.kind.Extent(2, 5)
		if r != c.rows || w != c.cols || c.kind.Len(2, 5) != r*w || c.kind.String() != c.name {
			t.Errorf("%v spans %d x %d, %d elements; want %s, %d x %d", c.kind, r, w, c.kind.Len(2, 5), c.name, c.rows, c.cols)
		}
	}
	if Row|Column != Full || Scalar|Row != Row || Absent|Scalar != Scalar {
		t.Error("kinds do not join with or")
	}
}
