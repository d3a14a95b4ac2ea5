// What a form says of a pass, and what not.

package form

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"errorcell/kernels"
)

// plan specialises a kernel for operands of the kinds; those that are not
// named are absent if they may be, else full.
func plan(t *testing.T, k *kernels.Kernel, kinds map[string]kernels.Kind) *kernels.Plan {
	t.Helper()
	sig := kernels.Signature{DType: kernels.F64}
	for i, in := range k.Inputs() {
		kind, ok := kinds[in.Name]
		if !ok && !in.Optional {
			kind = kernels.Full
		}
		sig.Kinds[i] = kind
	}
	p, err := k.Specialize(sig)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// of is the form of a pass of the plan.
func of(t *testing.T, p *kernels.Plan, pass int) (Form, Origin) {
	t.Helper()
	f, o, ok := Of(p, p.Passes[pass])
	if !ok {
		t.Fatalf("pass %d of\n%vhas no form", pass, p)
	}
	return f, o
}

// TestShared: what a form says of its operands is how they are read, not which
// they are.
func TestShared(t *testing.T) {
	type kinds = map[string]kernels.Kind
	modulator, origin := of(t, plan(t, kernels.Laplacian, kinds{"modulator": kernels.Full}), 0)
	mask, other := of(t, plan(t, kernels.LaplacianScaled, kinds{"mask": kernels.Full}), 0)
	if modulator.String() != mask.String() || !reflect.DeepEqual(modulator, mask) {
		t.Errorf("a modulator and a mask make two forms:\n%v\n%v", modulator, mask)
	}
	want := Origin{Operands: []int{0, 1, kernels.Laplacian.InputIndex("modulator")}, Kinds: []kernels.Kind{kernels.Full, kernels.Full, kernels.Full}, Results: []int{0, 1}, Sums: []int{0}}
	if !reflect.DeepEqual(origin, want) {
		t.Errorf("the origin is %v, wanted %v", origin, want)
	}
	want.Operands[2] = kernels.LaplacianScaled.InputIndex("mask")
	if !reflect.DeepEqual(other, want) {
		t.Errorf("the origin is %v, wanted %v", other, want)
	}
	for _, kind := range []kernels.Kind{kernels.Row, kernels.Column} {
		f, _ := of(t, plan(t, kernels.Laplacian, kinds{"mu": kind, "modulator": kernels.Row}), 0)
		if f.String() != modulator.String() {
			t.Errorf("a %v makes another form than a full operand:\n%v\n%v", kind, f, modulator)
		}
	}
	uniform, _ := of(t, plan(t, kernels.Laplacian, kinds{"modulator": kernels.Scalar}), 0)
	if want := []Access{Stream, Stream, Uniform}; !slices.Equal(uniform.Operands, want) {
		t.Errorf("target, mu and one modulator for all are read as %v, wanted %v", uniform.Operands, want)
	}
	if uniform.String() == modulator.String() {
		t.Errorf("one modulator and many have the form %v", uniform)
	}
}

// TestNarrow: results that are truth values are told from those that are numbers.
func TestNarrow(t *testing.T) {
	k := kernels.Must(kernels.Define("k", func(k *kernels.Builder) {
		x, y := k.Input("x"), k.Input("y")
		less := k.Less(x, y)
		k.Output("less", less)
		k.Output("smaller", k.Select(less, x, y))
	}))
	f, _ := of(t, plan(t, k, nil), 0)
	if !f.Narrow(0) || f.Narrow(1) {
		t.Errorf("of %v truth values are %v and %v", f, f.Narrow(0), f.Narrow(1))
	}
	if got, want := f.String(), "s0 s1 less(0,1) select(2,0,1) narrow(2) store(3)"; got != want {
		t.Errorf("the form is %s, wanted %s", got, want)
	}
}

// TestReduced: the sum of an earlier pass is an operand, numbered from the
// kernel's own on; in a pass over one element all is a stream.
func TestReduced(t *testing.T) {
	p := plan(t, kernels.LaplacianScaled, map[string]kernels.Kind{"scale": kernels.Scalar})
	last := len(p.Passes) - 1
	f, o := of(t, p, last)
	if want := []Access{Stream, Stream}; !slices.Equal(f.Operands, want) {
		t.Errorf("%v reads its operands as %v, wanted %v", f, f.Operands, want)
	}
	k := kernels.LaplacianScaled
	if want := []int{k.NumInputs(), k.InputIndex("scale")}; !slices.Equal(o.Operands, want) {
		t.Errorf("the operands of %v are %v, wanted %v", f, o.Operands, want)
	}
	if p.Passes[last].Stores[0].Output != o.Results[0] || len(o.Results) != len(p.Passes[last].Stores) || len(o.Sums) > 0 {
		t.Errorf("results %v and sums %v of\n%v", o.Results, o.Sums, p)
	}
}

// TestOrder: operands are numbered in the order of their use.
func TestOrder(t *testing.T) {
	k := kernels.Must(kernels.Define("order", func(b *kernels.Builder) {
		x, y, z := b.Input("x"), b.Input("y"), b.Input("z")
		b.Output("r", b.Sub(b.Div(z, x), b.Mul(y, z)))
	}))
	f, o := of(t, plan(t, k, nil), 0)
	if got, want := f.String(), "s0 s1 div(0,1) s2 mul(3,0) sub(2,4) store(5)"; got != want {
		t.Errorf("the form is %s, wanted %s", got, want)
	}
	if want := []int{2, 0, 1}; !slices.Equal(o.Operands, want) {
		t.Errorf("the operands are %v, wanted %v", o.Operands, want)
	}
}

func TestNoFormOfBatchSums(t *testing.T) {
	k := kernels.Must(kernels.Define("batch", func(b *kernels.Builder) {
		b.Output("r", b.Sum(b.Input("x"), kernels.Batch))
	}))
	p := plan(t, k, nil)
	if f, _, ok := Of(p, p.Passes[0]); ok {
		t.Errorf("a sum over the batch has the form %v", f)
	}
}

// TestString: forms have the same string if they are the same, and only then.
func TestString(t *testing.T) {
	constants := []float64{0, math.Copysign(0, -1), 1, 1 + 0x1p-52, math.Inf(1), 0x1p-1074}
	ops := []kernels.Op{kernels.OpNeg, kernels.OpAbs, kernels.OpSub, kernels.OpMul, kernels.OpFma, kernels.OpSelect}
	rapid.Check(t, func(t *rapid.T) {
		below := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") }
		draw := func() Form {
			f := Form{Operands: []Access{Access(below(2)), Stream}, Results: []int{below(5)}, Sums: []Sum{{below(5), below(2) == 0}}}
			f.Nodes = []kernels.Node{{Op: kernels.OpInput}, {Op: kernels.OpInput, Index: 1}, {Op: kernels.OpConst, Const: constants[below(len(constants))]}}
			for range 2 {
				n := kernels.Node{Op: ops[below(len(ops))]}
				for i := range n.Op.Arity() {
					n.Args[i] = below(3)
				}
				f.Nodes = append(f.Nodes, n)
			}
			return f
		}
		f, other := draw(), draw()
		g := f // but for a part of it
		switch below(8) {
		case 0:
			g.Operands = other.Operands
		case 1:
			g.Results = other.Results
		case 2:
			g.Results = nil
		case 3:
			g.Sums = other.Sums
		case 4:
			g.Sums = nil
		default:
			i := below(len(f.Nodes))
			g.Nodes = slices.Clone(f.Nodes)
			g.Nodes[i] = other.Nodes[i]
		}
		// Constants are the same if their bits are.
		same := reflect.DeepEqual(f, g) && math.Float64bits(f.Nodes[2].Const) == math.Float64bits(g.Nodes[2].Const)
		if (f.String() == g.String()) != same {
			t.Fatalf("%+v and %+v have the strings %v and %v", f, g, f, g)
		}
	})
}
