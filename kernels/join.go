package kernels

import "fmt"

// Part is a kernel in a [Join].
type Part struct {
	Kernel *Kernel
	// Operands says of each operand of the kernel where it comes from.
	Operands []Operand
}

// Operand is where an operand of a part comes from.
type Operand struct {
	// Part is an earlier part, whose result Index it is; or it is [Outside], and
	// Index is an operand of the whole; or it is [Nowhere], and the operand is
	// absent.
	Part, Index int
}

// Places of an [Operand] that are no part.
const (
	Outside = -1
	Nowhere = -2
)

// Result is a result of a part that becomes one of the whole.
type Result struct{ Part, Index int }

// Join makes one kernel of several: what one computes and another reads need
// not go through memory. Each operation stays as it is, so the results have the
// bits that the parts have when they run one after the other, as long as all of
// them cover one grid.
//
// The operands of the whole are those of inputs that a result needs, in some
// order; the results are named y0, y1 and so on, in the order of results.
func Join(name string, inputs []Input, parts []Part, results []Result) (*Kernel, error) {
	for i, p := range parts {
		if err := p.check(i, parts, len(inputs)); err != nil {
			return nil, &DefineError{name, err.Error()}
		}
	}
	return Define(name, func(b *Builder) {
		j := joiner{b, inputs, parts, map[[2]int]Value{}, make([]*Value, len(inputs))}
		for i, r := range results {
			if r.Part < 0 || r.Part >= len(parts) || r.Index < 0 || r.Index >= len(parts[r.Part].Kernel.outputs) {
				b.fail("there is no result %d of part %d", r.Index, r.Part)
				return
			}
			b.Output(fmt.Sprintf("y%d", i), j.result(r))
		}
	})
}

func (p Part) check(place int, parts []Part, inputs int) error {
	if p.Kernel == nil || len(p.Operands) != len(p.Kernel.inputs) {
		return fmt.Errorf("part %d has no kernel, or not just the operands of its kernel", place)
	}
	for i, o := range p.Operands {
		known := false
		switch {
		case o.Part == Nowhere:
			known = p.Kernel.inputs[i].Optional
		case o.Part == Outside:
			known = o.Index >= 0 && o.Index < inputs
		case o.Part >= 0 && o.Part < place:
			known = o.Index >= 0 && o.Index < len(parts[o.Part].Kernel.outputs)
		}
		if !known {
			return fmt.Errorf("part %d, kernel %s: there is nothing for operand %s at %+v", place, p.Kernel.name, p.Kernel.inputs[i].Name, o)
		}
	}
	return nil
}

// joiner copies nodes of the parts into a kernel.
type joiner struct {
	*Builder
	inputs []Input
	parts  []Part
	copied map[[2]int]Value // of a part, a node
	given  []*Value         // of inputs; nil is not declared yet
}

func (j *joiner) result(r Result) Value {
	return j.node(r.Part, j.parts[r.Part].Kernel.outputs[r.Index].Node)
}

// node copies a node with all that it needs.
func (j *joiner) node(part, node int) Value {
	key := [2]int{part, node}
	if v, ok := j.copied[key]; ok {
		return v
	}
	p := j.parts[part]
	n := p.Kernel.nodes[node]
	var v Value
	switch n.Op {
	case OpInput:
		v = j.operand(p, n.Index)
	case OpConst:
		v = j.Const(n.Const)
	default:
		args := make([]Value, n.Op.Arity())
		for i := range args {
			args[i] = j.node(part, n.Args[i])
		}
		v = j.complete(Node{Op: n.Op, Axis: n.Axis}, args...)
	}
	j.copied[key] = v
	return v
}

func (j *joiner) operand(p Part, i int) Value {
	switch o := p.Operands[i]; o.Part {
	case Nowhere:
		return j.Const(p.Kernel.inputs[i].Default)
	case Outside:
		if j.given[o.Index] == nil {
			v := j.input(j.inputs[o.Index])
			j.given[o.Index] = &v
		}
		return *j.given[o.Index]
	default:
		v := j.result(Result(o))
		if v.node >= 0 && j.k.nodes[v.node].Type == Bool {
			j.fail("kernel %s: operand %s is a number, and result %d of part %d a truth value", p.Kernel.name, p.Kernel.inputs[i].Name, o.Index, o.Part)
		}
		return v
	}
}
