package kernels

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test -update rewrites it) differs:\n%s", path, got)
	}
}

func signature(dtype DType, kinds ...Kind) Signature {
	sig := Signature{DType: dtype}
	copy(sig.Kinds[:], kinds)
	return sig
}

func omitting(sig Signature, results uint32) Signature {
	sig.Omit = results
	return sig
}

// batchNorm has sums over the batch of what depends on such sums.
var batchNorm = Must(Define("batch-norm", func(k *Builder) {
	x, n, gain := k.Input("x"), k.Input("n"), k.Optional("gain", 1)
	mean := k.Div(k.Sum(x, Batch), n)
	d := k.Sub(x, mean)
	variance := k.Div(k.Sum(k.Mul(d, d), Batch), n)
	k.Output("y", k.Mul(k.Div(d, k.Sqrt(variance)), gain))
	k.Output("mean", mean)
	k.Output("spread", k.Sum(k.Abs(d), All))
}))

var exponential = Must(Define("exp", func(k *Builder) { k.Output("y", k.Exp(k.Input("x"))) }))

// byType has other operands, shapes and sums by the element type.
var byType = Must(Define("by-type", func(k *Builder) {
	x, y := k.Input("x"), k.Input("y")
	k.Output("z", k.Add(k.ByType(x, y), k.Const(1)))
	k.Output("s", k.Sum(k.ByType(k.Sign(x), k.Sum(y, Batch)), All))
}))

// TestPlans compares plans with reviewed text.
func TestPlans(t *testing.T) {
	for _, c := range []struct {
		golden string
		kernel *Kernel
		sigs   []Signature
	}{
		{"laplacian", Laplacian, []Signature{
			signature(F32, Full, Full, Absent),
			signature(F32, Full, Full, Scalar),
			signature(F32, Full, Full, Row),
			signature(F32, Full, Full, Column),
			signature(F32, Full, Full, Full),
			signature(F64, Row, Column, Absent),
			signature(F32, Row, Scalar, Full),
			omitting(signature(F32, Full, Full, Scalar), 1<<2),
			omitting(signature(F32, Full, Full, Scalar), 1<<0|1<<1),
		}},
		{"laplacian-l1", LaplacianL1, []Signature{signature(F32, Full, Row, Absent), signature(F64, Scalar, Scalar, Scalar)}},
		{"batch-norm", batchNorm, []Signature{
			signature(F32, Full, Scalar, Row),
			signature(F32, Full, Column, Absent),
			omitting(signature(F32, Full, Scalar, Absent), 1<<0|1<<2),
		}},
		{"exp", exponential, []Signature{signature(F32, Full), signature(F64, Full)}},
		{"by-type", byType, []Signature{signature(F32, Full, Column), signature(F64, Full, Column)}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			var text strings.Builder
			text.WriteString(c.kernel.String() + "\n")
			for _, sig := range c.sigs {
				plan, err := c.kernel.Specialize(sig)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&text, "\n%v", plan)
			}
			golden(t, c.golden, text.String())
		})
	}
}

func TestSpecializeErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		sig  Signature
		says string
	}{
		{"no type", signature(0, Full, Full), "not in DType(0)"},
		{"unknown type", signature(99, Full, Full), "not in DType(99)"},
		{"type of results", signature(B8, Full, Full), "in float32 or float64, not in bool"},
		{"operand missing", signature(F32, Absent, Full), "needs target"},
		{"second missing", signature(F32, Full), "needs mu"},
		{"unknown kind", signature(F32, Full, 2), "mu has no such kind: Kind(2)"},
		{"another", signature(F32, Full, Full, 9), "modulator has no such kind: Kind(9)"},
		{"operand too many", signature(F32, Full, Full, Full, Scalar), "has 3 operands"},
		{"last of all", Signature{DType: F32, Kinds: [MaxInputs]Kind{Full, Full, MaxInputs - 1: Row}}, "has 3 operands"},
		{"all omitted", omitting(signature(F32, Full, Full), 7), "one at least must not be omitted"},
		{"result too many", omitting(signature(F32, Full, Full), 8), "has 3 results"},
		{"high bit", omitting(signature(F32, Full, Full), 1<<31), "has 3 results"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := Laplacian.Specialize(c.sig)
			if plan != nil || !errors.Is(err, ErrOperands) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "laplacian") {
				t.Errorf("Specialize gives %v, %v; want an error that is %q and says %q", plan, err, ErrOperands, c.says)
			}
		})
	}
}

// runPlan computes a plan as its passes read, element by element: what a
// backend does, without its haste.
func runPlan[T Float](p *Plan, rows, cols int, inputs [][]T) [][]T {
	outputs := make([][]T, len(p.Outputs))
	for i, kind := range p.Outputs {
		if kind != Absent {
			outputs[i] = make([]T, kind.Len(rows, cols))
		}
	}
	sums := make([][]T, len(p.Sums))
	// load is the element of an array of a kind at a place of the grid.
	load := func(data []T, kind Kind, row, col int) T {
		r, w := kind.Extent(rows, cols)
		if r == 1 {
			row = 0
		}
		if w == 1 {
			col = 0
		}
		return data[row*w+col]
	}
	for _, pass := range p.Passes {
		height, width := pass.Kind.Extent(rows, cols)
		values := make([][]T, len(pass.Nodes)) // of each node, over the pass
		for i, n := range pass.Nodes {
			values[i] = make([]T, height*width)
			for e := range values[i] {
				row, col := e/width, e%width
				switch n.Op {
				case OpInput:
					values[i][e] = load(inputs[n.Index], p.KindOf(n), row, col)
				case OpReduced:
					values[i][e] = load(sums[n.Index], p.KindOf(n), row, col)
				case OpConst:
					values[i][e] = T(n.Const)
				default:
					var args [3]T
					for j, arg := range n.Args[:n.Op.Arity()] {
						args[j] = values[arg][e]
					}
					values[i][e] = Apply(n.Op, args)
				}
			}
		}
		for _, st := range pass.Stores {
			copy(outputs[st.Output], values[st.Node])
		}
		for _, index := range pass.Sums {
			s := p.Sums[index]
			x := values[s.Node]
			if s.Axis == All {
				sums[index] = []T{T(TreeSum(len(x), func(i int) float64 { return float64(x[i]) }))}
				continue
			}
			for col := range width {
				sums[index] = append(sums[index], T(BatchSum(height, func(row int) float64 { return float64(x[row*width+col]) })))
			}
		}
	}
	return outputs
}

// checkPlan checks what backends rely on.
func checkPlan(t *testing.T, p *Plan) {
	t.Helper()
	stored := make([]int, len(p.Outputs))
	complete := make([]bool, len(p.Sums))
	for i, pass := range p.Passes {
		for j, n := range pass.Nodes {
			for _, arg := range n.Args[:n.Op.Arity()] {
				if arg >= j {
					t.Errorf("pass %d: v%d reads v%d", i, j, arg)
				}
			}
			switch {
			case n.Op == OpSum:
				t.Errorf("pass %d: v%d is a sum", i, j)
			case n.Op == OpReduced && !complete[n.Index]:
				t.Errorf("pass %d: v%d reads s%d before it is complete", i, j, n.Index)
			case n.Op == OpInput && p.KindOf(n)|pass.Kind != pass.Kind || n.Op == OpReduced && p.KindOf(n)|pass.Kind != pass.Kind:
				t.Errorf("pass %d over %v: v%d reads a %v operand", i, pass.Kind, j, p.KindOf(n))
			}
		}
		for _, st := range pass.Stores {
			stored[st.Output]++
			if p.Outputs[st.Output] != pass.Kind {
				t.Errorf("pass %d over %v stores a %v result", i, pass.Kind, p.Outputs[st.Output])
			}
		}
		for _, s := range pass.Sums {
			if p.Sums[s].Pass != i || p.Sums[s].Axis != p.Sums[pass.Sums[0]].Axis || complete[s] {
				t.Errorf("pass %d: sum %d is %+v", i, s, p.Sums[s])
			}
			if isTernary := pass.Nodes[p.Sums[s].Node].Type == Ternary; p.Sums[s].Count != isTernary {
				t.Errorf("pass %d: sum %d of a %v has Count %v", i, s, pass.Nodes[p.Sums[s].Node].Type, p.Sums[s].Count)
			}
		}
		for _, s := range pass.Sums {
			complete[s] = true
		}
	}
	for i, n := range stored {
		want := 1
		if p.Signature.Omits(i) {
			want = 0
		}
		if n != want {
			t.Errorf("result %d is stored %d times", i, n)
		}
	}
	if t.Failed() {
		t.Logf("%v", p)
	}
}

// simplified has every expression that plans simplify, and its neighbours that
// they must leave alone.
var simplified = Must(Define("simplified", func(k *Builder) {
	x, one, zero, minusZero := k.Input("x"), k.Optional("one", 1), k.Optional("zero", 0), k.Optional("minus-zero", math.Copysign(0, -1))
	k.Output("times-one", k.Mul(x, one))
	k.Output("one-times", k.Mul(one, x))
	k.Output("over-one", k.Div(x, one))
	k.Output("one-over", k.Div(one, x))
	k.Output("neg-neg", k.Neg(k.Neg(x)))
	k.Output("abs-abs", k.Abs(k.Abs(x)))
	k.Output("abs-neg", k.Abs(k.Neg(x)))
	k.Output("neg-abs", k.Neg(k.Abs(x)))
	k.Output("plus-zero", k.Add(x, zero))
	k.Output("plus-minus-zero", k.Add(minusZero, x))
	k.Output("minus-zero-of", k.Sub(x, zero))
	k.Output("zero-times", k.Mul(zero, x))
	k.Output("times-minus-one", k.Mul(x, k.Neg(one)))
	k.Output("one-times-one", k.Sum(k.Mul(one, one), All))
	k.Output("count", k.Sum(k.Mul(k.Sign(x), one), Batch))
	k.Output("abs-all", k.Sum(k.Abs(k.Neg(k.Abs(x))), All))
}))

// TestPlansAgreeWithReference: a plan computes the bits of the definition,
// whatever it has cut, dropped and put in.
func TestPlansAgreeWithReference(t *testing.T) {
	both(t, testPlansAgree[float32], testPlansAgree[float64])
}

func testPlansAgree[T Float](t *testing.T) {
	numbers := specials[T]()
	rng := rand.New(rand.NewPCG(7, 8))
	for _, k := range []*Kernel{Laplacian, LaplacianL1, LaplacianScaled, batchNorm, simplified, exponential, byType, truths} {
		for round := range 300 {
			sig := Signature{DType: DTypeOf[T]()}
			rows, cols := rng.IntN(5), rng.IntN(7)
			if round%10 == 0 {
				rows, cols = 37, 31
			}
			operands := make([]*Array[T], len(k.inputs))
			inputs := make([][]T, len(k.inputs))
			for i, in := range k.inputs {
				kinds := []Kind{Full, Row, Column, Scalar}
				if in.Optional {
					kinds = append(kinds, Absent, Absent)
				}
				kind := kinds[rng.IntN(len(kinds))]
				if sig.Kinds[i] = kind; kind == Absent {
					continue
				}
				r, w := kind.Extent(rows, cols)
				inputs[i] = make([]T, r*w)
				for e := range inputs[i] {
					inputs[i][e] = numbers[rng.IntN(len(numbers))]
					if round%2 == 0 {
						inputs[i][e] = T(rng.IntN(9)-4) / 4
					}
				}
				operands[i] = array(r, w, inputs[i]...)
			}
			if round%3 == 0 {
				sig.Omit = uint32(rng.IntN(1<<len(k.outputs) - 1))
			}
			plan, err := k.Specialize(sig)
			if err != nil {
				t.Fatal(err)
			}
			checkPlan(t, plan)
			want := mustReference(t, k, operands...)
			for i, got := range runPlan(plan, rows, cols, inputs) {
				if !sig.Omits(i) && !sameAll(got, want[i]) {
					t.Fatalf("%s in a grid of %d x %d is %v, want %v\n%v", k.OutputName(i), rows, cols, got, want[i], plan)
				}
			}
		}
	}
}

// TestSimplifications: what changes no bit is dropped, what would is kept.
func TestSimplifications(t *testing.T) {
	plan, err := simplified.Specialize(signature(F32, Full))
	if err != nil {
		t.Fatal(err)
	}
	formula := map[string]string{}
	for _, pass := range plan.Passes {
		var text func(node int) string
		text = func(node int) string {
			n := pass.Nodes[node]
			if n.Op.Arity() == 0 {
				return plan.nodeString(n)
			}
			args := make([]string, n.Op.Arity())
			for i := range args {
				args[i] = text(n.Args[i])
			}
			return n.Op.String() + "(" + strings.Join(args, " ") + ")"
		}
		for _, st := range pass.Stores {
			formula[simplified.OutputName(st.Output)] = text(st.Node)
		}
		for _, s := range pass.Sums {
			formula[fmt.Sprintf("s%d", s)] = text(plan.Sums[s].Node)
		}
	}
	for name, want := range map[string]string{
		"times-one": "x", "one-times": "x", "over-one": "x", "one-over": "div(1 x)", "neg-neg": "x", "abs-abs": "abs(x)", "abs-neg": "abs(x)",
		"neg-abs": "neg(abs(x))", "plus-zero": "add(x 0)", "minus-zero-of": "sub(x 0)", "zero-times": "mul(0 x)",
	} {
		if formula[name] != want {
			t.Errorf("%s is computed as %s, want %s", name, formula[name], want)
		}
	}
	for _, s := range plan.Sums {
		if s.Axis == Batch && !s.Count {
			t.Error("sign(x) * 1 is not counted where the 1 is an absent operand")
		}
	}
}

// TestSpecializeIsFast: a short kernel in which each value is used twice has as
// many paths as a power of two, and a plan must not walk them all.
func TestSpecializeIsFast(t *testing.T) {
	k := Must(Define("k", func(k *Builder) {
		total := k.Sum(k.Input("w"), All)
		y := k.Input("x")
		for range 40 {
			y = k.Mul(y, y)
		}
		k.Output("y", y)
		k.Output("total", total)
	}))
	done := make(chan error, 1)
	go func() {
		_, err := k.Specialize(signature(F32, Full, Full))
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("no plan of a kernel with %d nodes after 5 s", len(k.nodes))
	}
}

// TestBindingsAgreeWithReference: arrays of any number of axes, flattened to
// the grid that Bind gives and computed by the plan, give what Reference gives
// in their own shapes.
func TestBindingsAgreeWithReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, c := range numpyCases(t) {
		n := len(c.shapes)
		k := Must(Define("k", func(k *Builder) {
			var total Value
			for i := range n {
				x := k.Input(string(rune('a' + i)))
				if i == 0 {
					total = x
				} else {
					total = k.Sub(total, x)
				}
				k.Output(fmt.Sprintf("batch%d", i), k.Sum(x, Batch))
				k.Output(fmt.Sprintf("all%d", i), k.Sum(x, All))
			}
			k.Output("y", total)
			k.Output("batch", k.Sum(total, Batch))
			k.Output("all", k.Sum(k.Sign(total), All))
		}))
		b, err := k.Bind(F64, c.shapes...)
		if err != nil {
			continue // TestBindLikeNumPy says which
		}
		arrays, inputs := make([]*Array[float64], n), make([][]float64, n)
		for i, s := range c.shapes {
			inputs[i] = make([]float64, s.Len())
			for e := range inputs[i] {
				inputs[i][e] = rng.NormFloat64()
			}
			arrays[i] = &Array[float64]{s, inputs[i]}
		}
		plan, err := k.Specialize(b.Signature)
		if err != nil {
			t.Fatal(err)
		}
		want := mustReference(t, k, arrays...)
		for i, got := range runPlan(plan, b.Rows, b.Cols, inputs) {
			if !sameAll(got, want[i]) {
				t.Errorf("%s of operands %v is %v in the grid of %d x %d, Reference gives %v", k.OutputName(i), c.shapes, got, b.Rows, b.Cols, want[i])
			}
		}
	}
}
