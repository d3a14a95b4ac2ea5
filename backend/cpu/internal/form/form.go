// Package form describes what a fused function computes, apart from which
// kernel wants it computed.
//
// A [Form] is a pass of a plan whose operands are numbered in the order of
// their use and told apart only by how they are read. The generator makes one
// function for a form; passes of different kernels, signatures and programs
// that have the same form share it.
package form

import (
	"fmt"
	"strings"

	"errorcell/kernels"
)

// Access is how a function reads an operand.
type Access uint8

const (
	// Stream is an array with an element for each one that is computed. What
	// is broadcast along one axis is a stream too, once it is repeated.
	Stream Access = iota
	// Uniform is one element for all.
	Uniform
)

// Sum is a sum over all elements.
type Sum struct {
	Node int
	// Count says that the summands are -1, 0, +1 or NaN: their sum is exact in
	// any order.
	Count bool
}

// Form is what a fused function computes: results and sums, elementwise, from
// operands.
type Form struct {
	Operands []Access
	Nodes    []kernels.Node // in order; the Index of an OpInput is an operand's
	Results  []int          // the node of each
	Sums     []Sum
}

// Narrow reports whether a result is of truth values, which are stored as bytes.
func (f Form) Narrow(result int) bool { return f.Nodes[f.Results[result]].Type == kernels.Bool }

// Origin says where the operands, results and sums of a form are in the plan
// that it was taken from.
type Origin struct {
	Operands []int          // index of an input or, from NumInputs on, of a sum of an earlier pass
	Kinds    []kernels.Kind // of the operands
	Results  []int          // index of an output
	Sums     []int          // index of a sum
}

// Of is the form of a pass. It has none if it sums over the batch axis.
func Of(plan *kernels.Plan, p kernels.Pass) (Form, Origin, bool) {
	var f Form
	var o Origin
	at := map[int]int{} // operand of the plan -> operand of the form
	for _, n := range p.Nodes {
		index := n.Index
		switch n.Op {
		case kernels.OpReduced:
			index += plan.Kernel.NumInputs()
			fallthrough
		case kernels.OpInput:
			i, ok := at[index]
			if !ok {
				i = len(f.Operands)
				at[index] = i
				access, kind := Stream, plan.KindOf(n)
				if kind == kernels.Scalar && p.Kind != kernels.Scalar {
					access = Uniform
				}
				f.Operands = append(f.Operands, access)
				o.Operands, o.Kinds = append(o.Operands, index), append(o.Kinds, kind)
			}
			n = kernels.Node{Op: kernels.OpInput, Index: i}
		}
		if n.Type != kernels.Bool {
			n.Type = 0 // says nothing of the value
		}
		f.Nodes = append(f.Nodes, n)
	}
	for _, st := range p.Stores {
		f.Results = append(f.Results, st.Node)
		o.Results = append(o.Results, st.Output)
	}
	for _, s := range p.Sums {
		sum := plan.Sums[s]
		if sum.Axis != kernels.All {
			return Form{}, Origin{}, false
		}
		f.Sums = append(f.Sums, Sum{sum.Node, sum.Count})
		o.Sums = append(o.Sums, s)
	}
	return f, o, true
}

// String is the form in one line, the same for equal forms and no others.
func (f Form) String() string {
	var s strings.Builder
	for i, n := range f.Nodes {
		if i > 0 {
			s.WriteByte(' ')
		}
		switch {
		case n.Op == kernels.OpInput && f.Operands[n.Index] == Uniform:
			fmt.Fprintf(&s, "u%d", n.Index)
		case n.Op == kernels.OpInput:
			fmt.Fprintf(&s, "s%d", n.Index)
		case n.Op == kernels.OpConst:
			fmt.Fprintf(&s, "%x", n.Const)
		default:
			s.WriteString(n.Op.String())
			for j := range n.Op.Arity() {
				sep := ","
				if j == 0 {
					sep = "("
				}
				fmt.Fprintf(&s, "%s%d", sep, n.Args[j])
			}
			s.WriteByte(')')
		}
	}
	for i, r := range f.Results {
		how := "store"
		if f.Narrow(i) {
			how = "narrow"
		}
		fmt.Fprintf(&s, " %s(%d)", how, r)
	}
	for _, sum := range f.Sums {
		how := "tree"
		if sum.Count {
			how = "count"
		}
		fmt.Fprintf(&s, " %s(%d)", how, sum.Node)
	}
	return s.String()
}
