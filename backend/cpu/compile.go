package cpu

import (
	"math"

	"errorcell/kernels"
)

// pass is a kernels.Pass made ready to run: places for its values, and loops
// that go from place to place.
type pass[T kernels.Float] struct {
	kind   kernels.Kind
	places []place
	slots  int // scratch blocks
	steps  []step[T]
	sums   []sum[T]
	batch  bool // the sums are over the batch axis
}

// place is where a value of a pass is while a block is computed: a slice of an
// operand or a result, or a scratch block.
type place struct {
	source source
	index  int     // of the operand or the result
	slot   int     // the scratch block, for all but operand and result
	value  float64 // of a constant
}

type source uint8

const (
	operand  source = iota // the block's part of an operand of the pass's shape
	result                 // the block's part of a result
	scratch                // written by a step
	constant               // filled once
	scalar                 // filled once from an operand of one element
	row                    // filled for each block from an operand of N elements
	column                 // filled for each block from an operand of B elements
)

// step runs a loop on places.
type step[T kernels.Float] struct {
	loop         loop[T]
	dst, a, b, c int
}

// sum is a reduction of the value at a place.
type sum[T kernels.Float] struct {
	index int // into Plan.Sums
	place int
	// count is nil for a sum by the tree.
	count func([]T) tally
}

// fused is a table of loops that compute two operations, the inner one being
// the outer one's first argument and used by nothing else.
func fused[T kernels.Float]() map[[2]kernels.Op]loop[T] {
	table := map[[2]kernels.Op]loop[T]{}
	switch table := any(table).(type) {
	case map[[2]kernels.Op]loop[float32]:
		table[[2]kernels.Op{kernels.OpSign, kernels.OpSub}] = signOfSub32
	case map[[2]kernels.Op]loop[float64]:
		table[[2]kernels.Op{kernels.OpSign, kernels.OpSub}] = signOfSub64
	}
	return table
}

// counts gives the loops that add up ternary numbers, and their magnitudes.
func counts[T kernels.Float]() (plain, ofAbs func([]T) tally) {
	switch any(*new(T)).(type) {
	case float32:
		plain, _ = any(count32).(func([]T) tally)
		ofAbs, _ = any(countAbs32).(func([]T) tally)
	case float64:
		plain, _ = any(count64).(func([]T) tally)
		ofAbs, _ = any(countAbs64).(func([]T) tally)
	}
	return plain, ofAbs
}

// compiler makes one pass.
type compiler[T kernels.Float] struct {
	plan  *kernels.Plan
	nodes []kernels.Node
	loops map[kernels.Op]loop[T]
	fused map[[2]kernels.Op]loop[T]

	uses   []int // how often a node's value is read
	stored []int // the result that a node's value goes to first, -1 for none
	at     []int // the place of a node's value, -1 while it has none
	pass   pass[T]
}

func compilePass[T kernels.Float](plan *kernels.Plan, p kernels.Pass) pass[T] {
	c := compiler[T]{
		plan: plan, nodes: p.Nodes, loops: loops[T](), fused: fused[T](),
		uses: make([]int, len(p.Nodes)), stored: make([]int, len(p.Nodes)), at: make([]int, len(p.Nodes)),
		pass: pass[T]{kind: p.Kind},
	}
	for i, n := range p.Nodes {
		c.stored[i], c.at[i] = -1, -1
		for _, arg := range n.Args[:n.Op.Arity()] {
			c.uses[arg]++
		}
	}
	for _, st := range p.Stores {
		c.uses[st.Node]++
		if c.stored[st.Node] < 0 && p.Nodes[st.Node].Op.Elementwise() {
			c.stored[st.Node] = st.Output
		}
	}
	for _, s := range p.Sums {
		c.uses[plan.Sums[s].Node]++
	}
	for _, st := range p.Stores {
		from := c.emit(st.Node)
		if to := (place{source: result, index: st.Output}); c.pass.places[from] != to {
			c.step(opCopy, c.place(to), from)
		}
	}
	for _, s := range p.Sums {
		c.sum(s)
	}
	c.assignSlots()
	return c.pass
}

func (c *compiler[T]) sum(index int) {
	s := c.plan.Sums[index]
	c.pass.batch = s.Axis == kernels.Batch
	if !s.Count || c.pass.batch {
		c.pass.sums = append(c.pass.sums, sum[T]{index: index, place: c.emit(s.Node)})
		return
	}
	plain, ofAbs := counts[T]()
	if n := c.nodes[s.Node]; n.Op == kernels.OpAbs {
		c.pass.sums = append(c.pass.sums, sum[T]{index, c.emit(n.Args[0]), ofAbs})
		return
	}
	c.pass.sums = append(c.pass.sums, sum[T]{index, c.emit(s.Node), plain})
}

func (c *compiler[T]) place(p place) int {
	c.pass.places = append(c.pass.places, p)
	return len(c.pass.places) - 1
}

func (c *compiler[T]) step(op kernels.Op, dst int, args ...int) {
	c.appendStep(c.loops[op], dst, args)
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
		loop, args := c.loops[n.Op], n.Args[:n.Op.Arity()]
		if inner := c.nodes[args[0]]; c.uses[args[0]] == 1 {
			if both, ok := c.fused[[2]kernels.Op{n.Op, inner.Op}]; ok {
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
	case c.pass.kind:
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
		case constant, scalar, row, column:
			c.pass.places[i].slot = take()
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
