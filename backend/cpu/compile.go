package cpu

// How a pass of a plan becomes a fused call, or steps on blocks.

import (
	"math"
	"slices"

	"errorcell/backend/cpu/internal/form"
	"errorcell/backend/cpu/internal/simd"
	"errorcell/kernels"
)

// pass is a kernels.Pass made ready to run: places for its values, and what
// goes from place to place: a fused function, or else loops. A pass of one
// element needs neither.
type pass[T kernels.Float] struct {
	kernels.Pass
	// single has a function for each node of a pass of one element without
	// sums, which needs no loops; nil for those that are no operations.
	single []func([3]T) T
	places []place
	slots  int // scratch blocks
	span   int // the most elements that are computed at once
	fused  *fusedCall
	steps  []step[T]
	truths []narrowing[T]
	sums   []sum[T]
	// traffic is the arrays that are read and written, of an element for each.
	traffic int
	batch   bool // the sums are over the batch axis
	inPlace bool // they are of operands, and nothing else is computed
	// repeats says that it has columns, which are repeated along the rows.
	repeats bool
}

// place is where a value of a pass is while a block is computed: a slice of an
// operand or a result, or a scratch block.
type place struct {
	source source
	index  int     // of the operand or the result
	slot   int     // the scratch block, for all but operand and element
	value  float64 // of a constant
}

type source uint8

const (
	operand  source = iota // the block's part of an operand of the pass's shape
	element                // an operand of one element
	result                 // the block's part of a result; a scratch block if that is copied there
	scratch                // written by a step
	constant               // filled once
	scalar                 // filled once from an operand of one element
	row                    // filled, once or for each block, from an operand of N elements
	column                 // filled for each block from an operand of B elements
	narrowed               // of a fused call: the block's part of a result of truth values
)

// fusedCall is a function for all of a pass, with the places of its operands
// and results.
type fusedCall struct {
	simd.Fused
	operands, results []int
}

// step runs a loop on places.
type step[T kernels.Float] struct {
	loop         loop[T]
	dst, a, b, c int
}

// narrowing is a result of truth values, made of the values at places by a loop.
type narrowing[T kernels.Float] struct {
	loop   narrowLoop[T]
	output int
	a, b   int
}

// sum is a reduction of the value at a place.
type sum[T kernels.Float] struct {
	index int  // into Plan.Sums
	exact bool // a count: its parts add up in any order
	place int  // with steps
	// count is nil for a sum by the tree.
	count func([]T) float64
}

// Spans of fused functions. What is only read and written where it is can be
// done in long calls; what is broadcast goes through scratch blocks, which
// should stay in the L1 cache: a column's are written for each span, a row's
// are read only.
const (
	longSpan   = simd.MaxElements
	rowSpan    = 4 * kernels.BlockSize
	columnSpan = kernels.BlockSize
)

// compiler makes one pass.
type compiler[T kernels.Float] struct {
	plan  *kernels.Plan
	nodes []kernels.Node
	kit   *kit[T]

	uses   []int // how often a node's value is read
	stored []int // the result that a node's value goes to first, -1 for none
	at     []int // the place of a node's value, -1 while it has none
	pass   pass[T]
}

func compilePass[T kernels.Float](k *kit[T], plan *kernels.Plan, p kernels.Pass) pass[T] {
	c := compiler[T]{
		plan: plan, nodes: p.Nodes, kit: k,
		uses: make([]int, len(p.Nodes)), stored: make([]int, len(p.Nodes)), at: make([]int, len(p.Nodes)),
		pass: pass[T]{Pass: p, span: kernels.BlockSize},
	}
	if p.Kind == kernels.Scalar && len(p.Sums) == 0 {
		for _, n := range p.Nodes {
			c.pass.single = append(c.pass.single, kernels.Function[T](n.Op))
		}
		return c.pass
	}
	if !c.useFused(p) {
		c.useLoops(p)
	}
	for _, p := range c.pass.places {
		if p.source == operand || p.source == result {
			c.pass.traffic++
		}
	}
	c.pass.inPlace = len(p.Stores) == 0 && len(c.pass.steps) == 0 && !slices.ContainsFunc(c.pass.sums, func(s sum[T]) bool { return c.pass.places[s.place].source != operand })
	c.assignSlots()
	return c.pass
}

// useFused makes the pass one call of a function for its form, if there is one.
func (c *compiler[T]) useFused(p kernels.Pass) bool {
	f, origin, ok := form.Of(c.plan, p)
	if !ok {
		return false
	}
	name := f.String()
	i := slices.IndexFunc(c.kit.fused, func(f simd.Fused) bool { return f.Form == name })
	if i < 0 {
		return false
	}
	call := &fusedCall{Fused: c.kit.fused[i]}
	c.pass.fused, c.pass.span = call, longSpan
	for i, index := range origin.Operands {
		to := c.load(index, origin.Kinds[i])
		switch {
		case f.Operands[i] == form.Uniform:
			to.source = element
		case to.source == row:
			c.pass.span = min(c.pass.span, rowSpan)
		case to.source == column:
			c.pass.span = min(c.pass.span, columnSpan)
		}
		call.operands = append(call.operands, c.place(to))
	}
	for i, index := range origin.Results {
		to := place{source: result, index: index}
		if f.Narrow(i) {
			to.source = narrowed
		}
		call.results = append(call.results, c.place(to))
	}
	for i, index := range origin.Sums {
		c.pass.sums = append(c.pass.sums, sum[T]{index: index, exact: f.Sums[i].Count})
	}
	return true
}

// useLoops makes the pass steps, one for each operation.
func (c *compiler[T]) useLoops(p kernels.Pass) {
	for i, n := range p.Nodes {
		c.stored[i], c.at[i] = -1, -1
		for _, arg := range n.Args[:n.Op.Arity()] {
			c.uses[arg]++
		}
	}
	for _, st := range p.Stores {
		c.uses[st.Node]++
		if n := p.Nodes[st.Node]; c.stored[st.Node] < 0 && n.Op.Elementwise() && n.Type != kernels.Bool {
			c.stored[st.Node] = st.Output
		}
	}
	for _, s := range p.Sums {
		c.uses[c.plan.Sums[s].Node]++
	}
	for _, st := range p.Stores {
		if p.Nodes[st.Node].Type == kernels.Bool {
			c.narrow(st)
			continue
		}
		from := c.emit(st.Node)
		if to := (place{source: result, index: st.Output}); c.pass.places[from] != to {
			c.step(opCopy, c.place(to), from)
		}
	}
	for _, s := range p.Sums {
		c.sum(s)
	}
}

// narrow stores truth values: by a loop for their operation where they are for
// nothing else, else from the numbers that they are.
func (c *compiler[T]) narrow(st kernels.Store) {
	n := c.nodes[st.Node]
	args := n.Args[:n.Op.Arity()]
	loop, ok := c.kit.narrows[[2]kernels.Op{n.Op}]
	if inner := c.nodes[args[0]]; !ok && c.uses[args[0]] == 1 {
		args = inner.Args[:inner.Op.Arity()]
		loop, ok = c.kit.narrows[[2]kernels.Op{n.Op, inner.Op}]
	}
	if !ok || c.uses[st.Node] > 1 {
		args = []int{st.Node}
		loop = c.kit.narrows[[2]kernels.Op{opCopy}]
	}
	t := narrowing[T]{loop: loop, output: st.Output}
	for i, arg := range args {
		*[]*int{&t.a, &t.b}[i] = c.emit(arg)
	}
	if len(args) == 1 {
		t.b = t.a // which the loop ignores
	}
	c.pass.truths = append(c.pass.truths, t)
}

func (c *compiler[T]) sum(index int) {
	s := c.plan.Sums[index]
	c.pass.batch = s.Axis == kernels.Batch
	if !s.Count || c.pass.batch {
		c.pass.sums = append(c.pass.sums, sum[T]{index: index, place: c.emit(s.Node)})
		return
	}
	node, count := s.Node, c.kit.count
	if n := c.nodes[node]; n.Op == kernels.OpAbs {
		node, count = n.Args[0], c.kit.countAbs
	}
	c.pass.sums = append(c.pass.sums, sum[T]{index: index, exact: true, place: c.emit(node), count: count})
}

func (c *compiler[T]) place(p place) int {
	c.pass.places = append(c.pass.places, p)
	return len(c.pass.places) - 1
}

func (c *compiler[T]) step(op kernels.Op, dst int, args ...int) {
	c.appendStep(c.kit.loops[op], dst, args)
}

func (c *compiler[T]) appendStep(l loop[T], dst int, args []int) {
	s := step[T]{loop: l, dst: dst}
	for i, to := range []*int{&s.a, &s.b, &s.c} {
		// A loop ignores the arguments that it does not have; they are set so
		// that every place of a step is valid.
		*to = dst
		if i < len(args) {
			*to = args[i]
		}
	}
	c.pass.steps = append(c.pass.steps, s)
}

// emit adds the steps that compute a node, and returns its value's place.
func (c *compiler[T]) emit(node int) int {
	if c.at[node] >= 0 {
		return c.at[node]
	}
	n := c.nodes[node]
	switch n.Op {
	case kernels.OpInput:
		c.at[node] = c.place(c.load(n.Index, c.plan.KindOf(n)))
	case kernels.OpReduced:
		c.at[node] = c.place(c.load(c.plan.Kernel.NumInputs()+n.Index, c.plan.KindOf(n)))
	case kernels.OpConst:
		c.at[node] = c.place(place{source: constant, value: n.Const})
	default:
		loop, args := c.kit.loops[n.Op], n.Args[:n.Op.Arity()]
		if inner := c.nodes[args[0]]; c.uses[args[0]] == 1 {
			if both, ok := c.kit.pairs[[2]kernels.Op{n.Op, inner.Op}]; ok {
				loop, args = both, inner.Args[:inner.Op.Arity()]
			}
		}
		var at [3]int
		for i, arg := range args {
			at[i] = c.emit(arg)
		}
		to := place{source: scratch}
		if c.stored[node] >= 0 {
			to = place{source: result, index: c.stored[node]}
		}
		c.at[node] = c.place(to)
		c.appendStep(loop, c.at[node], at[:len(args)])
	}
	return c.at[node]
}

// load is the place of an operand. Operands are the kernel's inputs and, after
// them, the sums of the plan.
func (c *compiler[T]) load(index int, kind kernels.Kind) place {
	switch kind {
	case c.pass.Kind:
		return place{source: operand, index: index}
	case kernels.Row:
		return place{source: row, index: index}
	case kernels.Column:
		return place{source: column, index: index}
	}
	return place{source: scalar, index: index}
}

// assignSlots gives each value that needs one a scratch block. Values that
// steps write share blocks when one is read for the last time before the other
// is written, so that all fit into the L1 cache.
func (c *compiler[T]) assignSlots() {
	last := make([]int, len(c.pass.places)) // the last step that reads a place
	for i, s := range c.pass.steps {
		for _, p := range []int{s.a, s.b, s.c} {
			last[p] = max(last[p], i)
		}
	}
	for _, t := range c.pass.truths {
		last[t.a], last[t.b] = math.MaxInt, math.MaxInt
	}
	for _, s := range c.pass.sums {
		last[s.place] = math.MaxInt
	}
	var free []int
	take := func() int {
		if len(free) > 0 {
			slot := free[len(free)-1]
			free = free[:len(free)-1]
			return slot
		}
		c.pass.slots++
		return c.pass.slots - 1
	}
	for i := range c.pass.places {
		switch c.pass.places[i].source {
		case column:
			c.pass.repeats = true
			fallthrough
		case constant, scalar, row:
			c.pass.places[i].slot = take()
		case result:
			if c.pass.fused == nil {
				c.pass.places[i].slot = take()
			}
		}
	}
	for i, s := range c.pass.steps {
		if c.pass.places[s.dst].source == scratch {
			c.pass.places[s.dst].slot = take()
		}
		for _, p := range []int{s.a, s.b, s.c} {
			if c.pass.places[p].source == scratch && last[p] == i {
				free = append(free, c.pass.places[p].slot)
				last[p] = -1 // once, when it is two arguments
			}
		}
	}
}
