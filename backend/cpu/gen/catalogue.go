package main

import (
	"fmt"
	"slices"

	"errorcell/backend/cpu/internal/form"
	"errorcell/backend/cpu/internal/simd"
	"errorcell/kernels"
)

// named is a form with the name of its functions.
type named struct {
	name string
	form form.Form
}

// fusedForms lists the forms, for an element type, of the passes over the whole grid
// of kernels with the sets of operands that they declare.
func fusedForms(d kernels.DType) ([]named, error) {
	var list []named
	seen := map[string]bool{}
	for _, k := range kernels.FusedKernels() {
		name := goName(k.Name())
		for _, in := range k.Inputs() {
			if kind, ok := k.Operands[in.Name]; ok {
				name += goName(" " + in.Name)
				if kind == kernels.Scalar {
					name += "1"
				}
			}
		}
		plan, err := k.Specialize(k.Operands.Signature(k.Kernel, d))
		if err != nil {
			return nil, err
		}
		for _, p := range plan.Passes {
			f, _, ok := form.Of(plan, p)
			if !ok || p.Kind != kernels.Full || seen[f.String()] {
				continue
			}
			if len(f.Operands) > simd.MaxOperands || len(f.Results) > simd.MaxResults || len(f.Sums) > simd.MaxSums {
				return nil, fmt.Errorf("%s %v: the form %v is larger than a simd.Call", k.Name(), k.Operands, f)
			}
			seen[f.String()] = true
			list = append(list, named{name, f})
		}
	}
	return list, nil
}

// sums lists the sums over one stream, by the field of simd.Set.
func sums() []named {
	x := kernels.Node{Op: kernels.OpInput}
	abs := kernels.Node{Op: kernels.OpAbs}
	stream := []form.Access{form.Stream}
	return []named{
		{"Count", form.Form{Operands: stream, Nodes: []kernels.Node{x}, Sums: []form.Sum{{Count: true}}}},
		{"CountAbs", form.Form{Operands: stream, Nodes: []kernels.Node{x, abs}, Sums: []form.Sum{{Node: 1, Count: true}}}},
		{"Tree", form.Form{Operands: stream, Nodes: []kernels.Node{x}, Sums: []form.Sum{{}}}},
	}
}

// operation is a primitive: an operation of the language or, with an inner
// one, two.
type operation struct {
	op, inner kernels.Op
	form      form.Form
}

func (o operation) name() string {
	if o.inner != 0 {
		return goName(o.op.String() + " of " + o.inner.String())
	}
	return goName(o.op.String())
}

// primitives lists the elementwise operations, and the pairs of them that are
// worth a function because kernels often have them.
func primitives() []operation {
	var list []operation
	for op := range lower {
		list = append(list, operation{op: op, form: operationForm(op, 0)})
	}
	slices.SortFunc(list, func(a, b operation) int { return int(a.op) - int(b.op) })
	return append(list, operation{kernels.OpSign, kernels.OpSub, operationForm(kernels.OpSign, kernels.OpSub)})
}

// narrowings lists the primitives whose truth values are stored as bytes: numbers
// that are 0 or 1, and comparisons, which need not become numbers before.
func narrowings() []operation {
	list := []operation{
		{form: form.Form{Operands: []form.Access{form.Stream}, Nodes: []kernels.Node{{}}, Results: []int{0}}},
		{kernels.OpLess, 0, operationForm(kernels.OpLess, 0)},
		{kernels.OpLessEqual, 0, operationForm(kernels.OpLessEqual, 0)},
		{kernels.OpEqual, 0, operationForm(kernels.OpEqual, 0)},
		{kernels.OpNot, kernels.OpEqual, operationForm(kernels.OpNot, kernels.OpEqual)},
	}
	for _, o := range list {
		o.form.Nodes[o.form.Results[0]].Type = kernels.Bool
	}
	return list
}

// hasWide reports whether a form has results that are stored as elements.
func hasWide(f form.Form) bool {
	for i := range f.Results {
		if !f.Narrow(i) {
			return true
		}
	}
	return false
}

// operationForm is the form of one operation on streams, or of one on the
// result of an inner one.
func operationForm(op, inner kernels.Op) form.Form {
	first := op
	if inner != 0 {
		first = inner
	}
	var f form.Form
	n := kernels.Node{Op: first}
	for i := range first.Arity() {
		f.Operands = append(f.Operands, form.Stream)
		f.Nodes = append(f.Nodes, kernels.Node{Op: kernels.OpInput, Index: i})
		n.Args[i] = i
	}
	f.Nodes = append(f.Nodes, n)
	if inner != 0 {
		f.Nodes = append(f.Nodes, kernels.Node{Op: op, Args: [3]int{len(f.Nodes) - 1}})
	}
	f.Results = []int{len(f.Nodes) - 1}
	return f
}

// goName makes an identifier of words: "laplacian-l1" becomes laplacianL1.
func goName(words string) string {
	var name []byte
	upper := false
	for _, c := range []byte(words) {
		switch {
		case c == '-' || c == ' ' || c == '_':
			upper = true
		case upper && 'a' <= c && c <= 'z':
			name = append(name, c-'a'+'A')
			upper = false
		default:
			name = append(name, c)
			upper = false
		}
	}
	return string(name)
}
