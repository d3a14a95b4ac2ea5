package kernels

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Signature is what a kernel is specialised for. It is comparable: programs
// are cached by it.
type Signature struct {
	DType DType
	Kinds [MaxInputs]Kind // of each operand, in the order of Kernel.Inputs
	// Omit has bit i set where result i is not wanted: it is not computed, and
	// its buffer is nil. The zero value asks for all.
	Omit uint32
}

// Omits reports whether result i is not wanted.
func (s Signature) Omits(i int) bool { return s.Omit&(1<<i) != 0 }

// Plan is a kernel specialised for one Signature and cut into passes, the form
// that backends compile. It is plain data, shared and never changed.
type Plan struct {
	Kernel    *Kernel
	Signature Signature
	// Passes run in order; a pass may read the sums of earlier ones.
	Passes []Pass
	// Sums says what each sum of the plan is: the Index of OpReduced.
	Sums []Sum
	// Outputs is the kind of each result of the kernel; Absent if it is omitted.
	Outputs []Kind
}

// Pass is one loop over its elements: fuse it. It covers the part of the grid
// that Kind spans, so its elements are rows*cols for Full, cols for Row, rows
// for Column and one for Scalar, and it computes results and sums of just that
// shape.
type Pass struct {
	Kind   Kind
	Nodes  []Node // in order; Args are indices into Nodes
	Stores []Store
	Sums   []int // indices into Plan.Sums; all over one axis
}

// InPlace reports whether the plan may have its result where an operand of as many
// elements is: if it is the only one, of the operands' type, and without sums, each
// element is read before it is written, and by nobody after.
func (p *Plan) InPlace() bool {
	results := 0
	for i, kind := range p.Outputs {
		switch {
		case kind == Absent:
		case p.OutputDType(i) != p.Signature.DType:
			return false
		default:
			results++
		}
	}
	return results == 1 && len(p.Sums) == 0
}

// OutputDType is the element type of result i: [B8] of truth values, else the
// signature's.
func (p *Plan) OutputDType(i int) DType {
	if p.Kernel.nodes[p.Kernel.outputs[i].Node].Type == Bool {
		return B8
	}
	return p.Signature.DType
}

// Store writes a value of a pass to a result of the kernel.
type Store struct {
	Output int // index into Kernel.Outputs
	Node   int // index into Pass.Nodes
}

// Sum is a reduction of a plan.
type Sum struct {
	Pass int // which pass adds it up
	Node int // of that pass
	Axis Axis
	Kind Kind // of the result: Scalar, or Row for a sum over the batch of a row or full value
	// Count says that the summands are -1, 0, +1 or NaN, so that an integer
	// count, with a note of whether a NaN was met, gives the same bits as the
	// tree: the count rounded once, or NaN.
	Count bool
}

// Specialize makes the plan for a signature, such as [Kernel.Bind] gives.
func (k *Kernel) Specialize(sig Signature) (*Plan, error) {
	if k == nil {
		return nil, fmt.Errorf("%w: no kernel", ErrOperands)
	}
	if sig.DType != F32 && sig.DType != F64 {
		return nil, fmt.Errorf("%w: kernel %s computes in float32 or float64, not in %v", ErrOperands, k.name, sig.DType)
	}
	for i, kind := range sig.Kinds {
		switch {
		case i >= len(k.inputs):
			if kind != Absent {
				return nil, fmt.Errorf("%w: kernel %s has %d operands, the signature has more", ErrOperands, k.name, len(k.inputs))
			}
		case kind == Absent && !k.inputs[i].Optional:
			return nil, fmt.Errorf("%w: kernel %s needs %s", ErrOperands, k.name, k.inputs[i].Name)
		case !slices.Contains([]Kind{Absent, Scalar, Row, Column, Full}, kind):
			return nil, fmt.Errorf("%w: kernel %s: %s has no such kind: %v", ErrOperands, k.name, k.inputs[i].Name, kind)
		}
	}
	if sig.Omit>>len(k.outputs) != 0 || bits.OnesCount32(sig.Omit) == len(k.outputs) {
		return nil, fmt.Errorf("%w: kernel %s has %d results, and of them one at least must not be omitted", ErrOperands, k.name, len(k.outputs))
	}
	s := specializer{kernel: k, sig: sig, index: map[nodeKey]int{}}
	s.simplify()
	s.classify()
	return s.cut(), nil
}

// specializer holds a plan in the making.
type specializer struct {
	kernel *Kernel
	sig    Signature

	nodes []Node // simplified, typed anew
	index map[nodeKey]int
	outs  []int // node of each result

	kind  []Kind // of each node's value
	level []int  // how many sums must be complete before it
}

func (s *specializer) add(n Node) int {
	if n.Op.Arity() > 0 {
		types := make([]Type, n.Op.Arity())
		for i := range types {
			types[i] = s.nodes[n.Args[i]].Type
		}
		n.Type = ops[n.Op].result(types)
	}
	key := keyOf(n)
	if i, ok := s.index[key]; ok {
		return i
	}
	s.nodes = append(s.nodes, n)
	s.index[key] = len(s.nodes) - 1
	return len(s.nodes) - 1
}

// simplify puts in the defaults of absent operands and what is for the element
// type, and drops the operations that change no bit of any number. (x + 0 is not
// among them: it turns -0 into +0.)
func (s *specializer) simplify() {
	to := make([]int, len(s.kernel.nodes))
	for i, n := range s.kernel.nodes {
		if n.Op == OpInput && s.sig.Kinds[n.Index] == Absent {
			to[i] = s.add(constNode(s.kernel.inputs[n.Index].Default))
			continue
		}
		if n.Op == OpByType {
			to[i] = to[n.taken(s.sig.DType)]
			continue
		}
		for j := range n.Op.Arity() {
			n.Args[j] = to[n.Args[j]]
		}
		to[i] = s.reduce(n)
	}
	for _, out := range s.kernel.outputs {
		s.outs = append(s.outs, to[out.Node])
	}
}

func (s *specializer) reduce(n Node) int {
	x, y := n.Args[0], n.Args[1]
	arg := func(i int) int { return s.nodes[x].Args[i] }
	switch n.Op {
	case OpMul:
		if s.isConst(y, 1) {
			return x
		}
		if s.isConst(x, 1) {
			return y
		}
	case OpDiv:
		if s.isConst(y, 1) {
			return x
		}
	case OpNeg:
		if s.nodes[x].Op == OpNeg {
			return arg(0)
		}
	case OpAbs:
		if s.nodes[x].Op == OpAbs {
			return x
		}
		if s.nodes[x].Op == OpNeg {
			n.Args[0] = arg(0)
		}
	}
	return s.add(n)
}

func (s *specializer) isConst(node int, x float64) bool {
	return s.nodes[node].Op == OpConst && s.nodes[node].Const == x
}

// classify finds the kind and the level of each node's value.
func (s *specializer) classify() {
	s.kind = make([]Kind, len(s.nodes))
	s.level = make([]int, len(s.nodes))
	for i, n := range s.nodes {
		kind, level := Scalar, 0
		for _, arg := range n.Args[:n.Op.Arity()] {
			kind |= s.kind[arg]
			level = max(level, s.level[arg])
		}
		switch n.Op {
		case OpInput:
			kind = s.sig.Kinds[n.Index]
		case OpSum:
			level++
			kind &^= batch
			if n.Axis == All {
				kind = Scalar
			}
		}
		s.kind[i], s.level[i] = kind, level
	}
}

// group is a pass in the making: what is computed at one level over one part
// of the grid, with sums over one axis at most.
type group struct {
	level  int
	kind   Kind
	stores []Store // Node is an index into specializer.nodes here
	sums   []int   // sum nodes
	axis   Axis
}

// cut sorts results and sums into passes.
func (s *specializer) cut() *Plan {
	var groups []*group
	live := s.live()
	for i, n := range s.nodes {
		if n.Op == OpSum && live[i] {
			x := n.Args[0]
			g := find(&groups, s.level[x], s.kind[x], func(g *group) bool { return len(g.sums) == 0 || g.axis == n.Axis })
			g.axis, g.sums = n.Axis, append(g.sums, i)
		}
	}
	plan := &Plan{Kernel: s.kernel, Signature: s.sig}
	for i, node := range s.outs {
		if s.sig.Omits(i) {
			plan.Outputs = append(plan.Outputs, Absent)
			continue
		}
		g := find(&groups, s.level[node], s.kind[node], func(*group) bool { return true })
		g.stores = append(g.stores, Store{Output: i, Node: node})
		plan.Outputs = append(plan.Outputs, s.kind[node])
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return a.level - b.level })

	sumOf := map[int]int{} // sum node -> index into Plan.Sums
	for i, g := range groups {
		for _, node := range g.sums {
			x := s.nodes[node].Args[0]
			sumOf[node] = len(plan.Sums)
			plan.Sums = append(plan.Sums, Sum{Pass: i, Axis: g.axis, Kind: s.kind[node], Count: s.nodes[x].Type == Ternary})
		}
	}
	for _, g := range groups {
		p := passBuilder{specializer: s, sumOf: sumOf, at: map[int]int{}, pass: Pass{Kind: g.kind}}
		for _, node := range g.sums {
			sum := sumOf[node]
			plan.Sums[sum].Node = p.emit(s.nodes[node].Args[0])
			p.pass.Sums = append(p.pass.Sums, sum)
		}
		for _, st := range g.stores {
			p.pass.Stores = append(p.pass.Stores, Store{st.Output, p.emit(st.Node)})
		}
		plan.Passes = append(plan.Passes, p.pass)
	}
	return plan
}

func find(groups *[]*group, level int, kind Kind, fits func(*group) bool) *group {
	for _, g := range *groups {
		if g.level == level && g.kind == kind && fits(g) {
			return g
		}
	}
	g := &group{level: level, kind: kind}
	*groups = append(*groups, g)
	return g
}

// live marks the nodes that a result needs: some are for omitted results
// alone, and simplification may have left others without use.
func (s *specializer) live() []bool {
	live := make([]bool, len(s.nodes))
	for i, out := range s.outs {
		live[out] = live[out] || !s.sig.Omits(i)
	}
	for i := len(s.nodes) - 1; i >= 0; i-- {
		if live[i] {
			for _, arg := range s.nodes[i].Args[:s.nodes[i].Op.Arity()] {
				live[arg] = true
			}
		}
	}
	return live
}

// passBuilder copies into a pass the nodes that it needs, down to operands,
// constants and the sums of earlier passes.
type passBuilder struct {
	*specializer
	sumOf map[int]int
	at    map[int]int // node -> index into pass.Nodes
	pass  Pass
}

func (p *passBuilder) emit(node int) int {
	if i, ok := p.at[node]; ok {
		return i
	}
	n := p.nodes[node]
	if n.Op == OpSum {
		n = Node{Op: OpReduced, Type: Real, Index: p.sumOf[node]}
	}
	for j := range n.Op.Arity() {
		n.Args[j] = p.emit(n.Args[j])
	}
	p.pass.Nodes = append(p.pass.Nodes, n)
	p.at[node] = len(p.pass.Nodes) - 1
	return p.at[node]
}

// KindOf is the kind of the value that an OpInput or OpReduced node reads.
func (p *Plan) KindOf(n Node) Kind {
	if n.Op == OpReduced {
		return p.Sums[n.Index].Kind
	}
	return p.Signature.Kinds[n.Index]
}

// String lists the passes, for people and for golden tests.
func (p *Plan) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %v(", p.Kernel.name, p.Signature.DType)
	for i, in := range p.Kernel.inputs {
		if i > 0 {
			s.WriteString(", ")
		}
		fmt.Fprintf(&s, "%s %v", in.Name, p.Signature.Kinds[i])
	}
	s.WriteString(")\n")
	for i, pass := range p.Passes {
		fmt.Fprintf(&s, "pass %d over %v\n", i, pass.Kind)
		for j, n := range pass.Nodes {
			fmt.Fprintf(&s, "  v%d %v = %s\n", j, n.Type, p.nodeString(n))
		}
		for _, st := range pass.Stores {
			fmt.Fprintf(&s, "  %s = v%d\n", p.Kernel.outputs[st.Output].Name, st.Node)
		}
		for _, sum := range pass.Sums {
			how := "tree"
			if p.Sums[sum].Count {
				how = "count"
			}
			fmt.Fprintf(&s, "  s%d %v = %s(v%d) over %v\n", sum, p.Sums[sum].Kind, how, p.Sums[sum].Node, p.Sums[sum].Axis)
		}
	}
	return s.String()
}

func (p *Plan) nodeString(n Node) string {
	switch n.Op {
	case OpInput:
		return p.Kernel.inputs[n.Index].Name
	case OpConst:
		return fmt.Sprint(n.Const)
	case OpReduced:
		return fmt.Sprintf("s%d", n.Index)
	}
	args := make([]string, n.Op.Arity())
	for i := range args {
		args[i] = fmt.Sprintf("v%d", n.Args[i])
	}
	return n.Op.String() + "(" + strings.Join(args, ", ") + ")"
}
