package main

import (
	"fmt"
	"go/types"
	"slices"
	"unsafe"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"errorcell/backend/cpu/internal/form"
	"errorcell/backend/cpu/internal/simd"
	"errorcell/kernels"
)

// body writes the elements of a form, one vector at a time.
type body struct {
	*emitter
	form      form.Form
	streaming bool
	layout

	operands []reg.GPVirtual // of a stream: its address
	results  []reg.GPVirtual
	// offset is the number of bytes from the streams' addresses to the next
	// element.
	offset reg.GPVirtual
	// outside are the values that are the same for all elements and have registers;
	// onStack are uniform operands that have none.
	outside map[int]reg.VecVirtual
	onStack map[int]operand.Mem
	// conditions are the comparisons that stay masks.
	conditions map[int]bool
	// narrows says that there are results of truth values.
	narrows bool
	// order is in which the nodes are computed; last is the one that has a node's
	// value as an argument last, or one after all where it is a result or summed.
	order, last []int
	// accumulators are the running sums of each count: as many as vectors are
	// computed side by side, so that none waits for another.
	accumulators [][]reg.VecVirtual
	// finish takes the value of a sum: of a count at the end, of a sum by the
	// tree for each block.
	finish func(sum int, value reg.Register)
	// nextBlock, unless nil, is called after the sums of a block.
	nextBlock func()
	// trees are the sums by the tree, and summand is the number of bytes of the
	// block's summands, of each, that are stored.
	trees   []tree
	summand reg.GPVirtual
}

// newBody loads what stays the same while the elements are computed.
func newBody(e *emitter, f form.Form, operands, results []reg.GPVirtual) *body {
	b := &body{emitter: e, form: f, operands: operands, results: results, outside: map[int]reg.VecVirtual{}, onStack: map[int]operand.Mem{}, conditions: map[int]bool{}, order: order(f)}
	b.last = lastUses(f, b.order)
	for i, n := range f.Nodes {
		switch {
		case n.Op == kernels.OpInput && f.Operands[n.Index] == form.Uniform:
			x := e.op(vbroadcast, operand.Mem{Base: operands[n.Index]})
			if e.inMemory[uniformName(n)] {
				b.onStack[i] = e.AllocLocal(e.isa.bytes)
				e.do(vmov, x, b.onStack[i])
			} else {
				b.outside[i] = x
			}
		case n.Op == kernels.OpConst:
			if c := number(n.Const); !e.inMemory[c.name] {
				b.outside[i] = e.constant(c).(reg.VecVirtual)
			}
		case n.Op.Elementwise():
			args, invariant := b.invariant(n)
			switch {
			case !invariant && compares(n.Op) && onlyConditions(f, i):
				b.conditions[i] = true
				continue
			case n.Op == kernels.OpSelect && b.conditions[n.Args[0]]:
				continue
			}
			e.prepare(n)
			if invariant {
				b.outside[i] = e.compute(n.Op, args)
			}
		}
	}
	for i, r := range f.Results {
		if f.Narrow(i) {
			b.narrows = true
			e.constant(bytesOfOne)
			if !b.conditions[r] {
				e.constant(zero)
			}
		}
	}
	b.offset = e.GP64()
	e.XORQ(b.offset, b.offset)
	return b
}

// invariant reports whether the arguments of a node are the same for all
// elements.
func (b *body) invariant(n kernels.Node) ([]operand.Op, bool) {
	var args []operand.Op
	for _, arg := range n.Args[:n.Op.Arity()] {
		x, ok := b.outside[arg]
		if !ok {
			return nil, false
		}
		args = append(args, x)
	}
	return args, true
}

// vector writes the elements of one vector, displacement bytes from the offset
// on. With a mask it touches no others than those in the mask. It returns the
// values that the sums add up.
func (b *body) vector(displacement int, mask operand.Op) []reg.VecVirtual {
	return b.sideBySide([]int{displacement}, mask)[0]
}

// sideBySide writes the elements of several vectors, each operation of all
// before the next: while the one of a vector waits for its arguments, those of
// others run.
func (b *body) sideBySide(displacements []int, mask operand.Op) (sums [][]reg.VecVirtual) {
	at := func(base reg.GPVirtual, v int) operand.Mem {
		return operand.Mem{Base: base, Index: b.offset, Scale: 1, Disp: displacements[v]}
	}
	// The masks are of conditions, which have no values.
	values, masks := make([][]reg.VecVirtual, len(displacements)), make([]map[int]operand.Op, len(displacements))
	for v := range values {
		values[v], masks[v] = make([]reg.VecVirtual, len(b.form.Nodes)), map[int]operand.Op{}
	}
	for _, i := range b.order {
		n := b.form.Nodes[i]
		for v := range values {
			x, ok := b.outside[i]
			_, stack := b.onStack[i]
			switch {
			case ok, stack, n.Op == kernels.OpConst:
			case n.Op == kernels.OpInput && mask != nil:
				x = b.isa.load(b.emitter, mask, at(b.operands[n.Index], v))
			case n.Op == kernels.OpInput:
				x = b.op(vmov, at(b.operands[n.Index], v))
			case b.conditions[i]:
				args := b.arguments(n, values[v])
				masks[v][i] = b.isa.compare(b.emitter, comparisons[n.Op], args[0], args[1])
			case n.Op == kernels.OpSelect && b.conditions[n.Args[0]]:
				args := b.arguments(n, values[v])
				x = b.isa.blend(b.emitter, masks[v][n.Args[0]], args[1], args[2])
			default:
				x = b.node(i, values[v])
			}
			values[v][i] = x
		}
	}
	byteOffset := b.byteOffset()
	for v := range values {
		for i, r := range b.form.Results {
			switch {
			case b.form.Narrow(i):
				truth, ok := masks[v][r]
				if !ok {
					truth = b.isa.compare(b.emitter, notEqual, values[v][r], b.constant(zero))
				}
				to := operand.Mem{Base: b.results[i], Index: byteOffset, Scale: 1, Disp: displacements[v] / b.size}
				b.isa.storeBytes(b.emitter, b.isa.narrow(b.emitter, truth), mask, to)
			case mask != nil:
				b.isa.store(b.emitter, mask, values[v][r], at(b.results[i], v))
			case b.streaming:
				b.do(vmovnt, values[v][r], at(b.results[i], v))
			default:
				b.do(vmov, values[v][r], at(b.results[i], v))
			}
		}
	}
	for v := range values {
		var summed []reg.VecVirtual
		for _, s := range b.form.Sums {
			x := values[v][s.Node]
			if mask != nil {
				x = b.isa.keep(b.emitter, mask, x)
			}
			summed = append(summed, x)
		}
		sums = append(sums, summed)
	}
	return sums
}

// byteOffset is the number of bytes from the addresses of truth values to the
// next one, where there are any.
func (b *body) byteOffset() reg.GPVirtual {
	if !b.narrows {
		return nil
	}
	r := b.GP64()
	b.MOVQ(b.offset, r)
	b.SHRQ(operand.Imm(uint64(2+b.size/8)), r)
	return r
}

// node computes a node from the values before it.
func (b *body) node(i int, values []reg.VecVirtual) reg.VecVirtual {
	n := b.form.Nodes[i]
	args := b.arguments(n, values)
	// spent is whether the register of an argument can be written: it is not needed
	// any more.
	spent := func(j int) bool {
		_, ok := b.outside[n.Args[j]]
		return !ok && values[n.Args[j]] != nil && b.last[n.Args[j]] == i
	}
	// bound is whether an argument is a constant that is neither 0 nor NaN.
	bound := func(j int) bool {
		c := b.form.Nodes[n.Args[j]]
		return c.Op == kernels.OpConst && c.Const == c.Const && number(c.Const).bits(b.size)<<(65-8*b.size) != 0
	}
	switch n.Op {
	case kernels.OpFma:
		switch {
		case spent(2):
			return b.fma(args[0], args[1], values[n.Args[2]])
		case spent(0):
			b.do(vfmadd213, args[2], b.register(args[1]), args[0])
			return values[n.Args[0]]
		case spent(1):
			b.do(vfmadd213, args[2], b.register(args[0]), args[1])
			return values[n.Args[1]]
		}
	case kernels.OpMin, kernels.OpMax:
		i := vmin
		if n.Op == kernels.OpMax {
			i = vmax
		}
		if bound(1) {
			return b.bound(i, args[0], args[1])
		}
		if bound(0) {
			return b.bound(i, args[1], args[0])
		}
	case kernels.OpAdd, kernels.OpMul:
		if values[n.Args[0]] == nil {
			args[0], args[1] = args[1], args[0] // the second can be in memory
		}
	}
	return b.compute(n.Op, args)
}

// uniformName is the name of a uniform operand among the constants.
func uniformName(n kernels.Node) string { return fmt.Sprintf("uniform%d", n.Index) }

// arguments are those of a node; constants and uniform operands may be in memory,
// and conditions are left out.
func (b *body) arguments(n kernels.Node, values []reg.VecVirtual) []operand.Op {
	args := make([]operand.Op, n.Op.Arity())
	for i, arg := range n.Args[:len(args)] {
		switch c := b.form.Nodes[arg]; {
		case values[arg] != nil:
			args[i] = values[arg]
		case c.Op == kernels.OpConst:
			args[i] = b.constant(number(c.Const))
		default:
			args[i] = b.onStack[arg]
		}
	}
	return args
}

// compares reports whether an operation is a comparison.
func compares(op kernels.Op) bool {
	_, ok := comparisons[op]
	return ok
}

// onlyConditions reports whether all that a node is for is to select by it, or to
// be stored as bytes.
func onlyConditions(f form.Form, node int) bool {
	for _, n := range f.Nodes {
		for i, arg := range n.Args[:n.Op.Arity()] {
			if arg == node && (n.Op != kernels.OpSelect || i > 0) {
				return false
			}
		}
	}
	return f.Nodes[node].Type == kernels.Bool || lastUses(f, order(f))[node] < len(f.Nodes)
}

// order is an order of the nodes in which few values wait for others: each just
// before it is used, and of arguments that first which needs most registers.
func order(f form.Form) []int {
	// need is how many registers a node needs, as if no other had the same arguments.
	need := make([]int, len(f.Nodes))
	arguments := make([][]int, len(f.Nodes))
	for i, n := range f.Nodes {
		arguments[i] = slices.Clone(n.Args[:n.Op.Arity()])
		slices.SortStableFunc(arguments[i], func(a, b int) int { return need[b] - need[a] })
		if n.Op != kernels.OpConst && (n.Op != kernels.OpInput || f.Operands[n.Index] == form.Stream) {
			need[i] = 1
		}
		for waiting, arg := range arguments[i] {
			need[i] = max(need[i], need[arg]+waiting)
		}
	}
	var order []int
	done := make([]bool, len(f.Nodes))
	var visit func(node int)
	visit = func(node int) {
		if done[node] {
			return
		}
		done[node] = true
		for _, arg := range arguments[node] {
			visit(arg)
		}
		order = append(order, node)
	}
	for _, r := range f.Results {
		visit(r)
	}
	for _, s := range f.Sums {
		visit(s.Node)
	}
	return order
}

// lastUses are the nodes that, in an order, have each node's value as an argument
// last, or a number after all for results and what is summed.
func lastUses(f form.Form, order []int) []int {
	last := make([]int, len(f.Nodes))
	for _, i := range order {
		n := f.Nodes[i]
		for _, arg := range n.Args[:n.Op.Arity()] {
			last[arg] = i
		}
	}
	for _, r := range f.Results {
		last[r] = len(f.Nodes)
	}
	for _, s := range f.Sums {
		last[s.Node] = len(f.Nodes)
	}
	return last
}

// clearCounts makes the accumulators of the counts, n of each.
func (b *body) clearCounts(n int) {
	for _, s := range b.form.Sums {
		var a []reg.VecVirtual
		for range n {
			if s.Count {
				a = append(a, b.zeros())
			}
		}
		b.accumulators = append(b.accumulators, a)
	}
}

// count adds to the accumulators of the counts. A ternary number is a whole
// one, and the element type holds the number of elements of a call exactly, so
// the order is of no account; and NaN stays NaN.
func (b *body) count(sums []reg.VecVirtual, accumulator int) {
	for i, s := range b.form.Sums {
		if s.Count {
			a := b.accumulators[i][accumulator]
			b.do(vadd, sums[i], a, a)
		}
	}
}

// finishCounts makes one number of the accumulators of each count.
func (b *body) finishCounts() {
	for i, s := range b.form.Sums {
		if !s.Count {
			continue
		}
		total := b.accumulators[i][0]
		for _, a := range b.accumulators[i][1:] {
			b.do(vadd, a, total, total)
		}
		sum := b.across(total, b.size)
		if b.size == 4 {
			b.VCVTSS2SD(sum, sum, sum)
		}
		b.finish(i, sum)
	}
}

// across adds the elements of a vector, of a size in bytes: the upper half to
// the lower, and so on down to one.
func (e *emitter) across(x reg.VecVirtual, size int) reg.Register {
	add := vadd[size/4-1]
	half := e.isa.half(x)
	add(e.Context, e.isa.upper(e, x), half, half)
	if e.isa.bytes == 64 {
		upper := e.XMM()
		e.VEXTRACTF32X4(operand.Imm(1), half, upper)
		half = x.AsX()
		add(e.Context, upper, half, half)
	}
	other := e.XMM()
	e.VPERMILPD(operand.Imm(1), half, other)
	add(e.Context, other, half, half)
	if size == 4 {
		e.VPSRLQ(operand.Imm(32), half, other)
		add(e.Context, other, half, half)
	}
	return half
}

// The layout of simd.Call.
const (
	operandsOffset = int(unsafe.Offsetof(simd.Call{}.Operands))
	resultsOffset  = int(unsafe.Offsetof(simd.Call{}.Results))
	sumsOffset     = int(unsafe.Offsetof(simd.Call{}.Sums))
	blockOffset    = int(unsafe.Offsetof(simd.Call{}.Block))
)

// fused writes a function that computes a form from a simd.Call.
func (f *file) fused(name string, fm form.Form, streaming bool, in layout) {
	e := f.begin(name, []string{name + " computes " + fm.String() + "."}, nil, parameter{"c", pointerTo(callType)})
	e.inMemory = in.inMemory
	call := e.parameter("c")
	n := e.GP64()
	e.MOVQ(operand.Mem{Base: call}, n)
	operands, results := make([]reg.GPVirtual, len(fm.Operands)), make([]reg.GPVirtual, len(fm.Results))
	for i := range operands {
		operands[i] = e.GP64()
		e.MOVQ(operand.Mem{Base: call, Disp: operandsOffset + 8*i}, operands[i])
	}
	for i := range results {
		results[i] = e.GP64()
		e.MOVQ(operand.Mem{Base: call, Disp: resultsOffset + 8*i}, results[i])
	}
	b := newBody(e, fm, operands, results)
	b.streaming, b.layout = streaming, in
	if trees(fm) > 0 {
		e.MOVQ(imm(0), operand.Mem{Base: call, Disp: blockOffset})
	}
	b.finish = func(sum int, value reg.Register) {
		call, to := e.parameter("c"), e.GP64()
		e.MOVQ(operand.Mem{Base: call, Disp: sumsOffset + 8*sum}, to)
		if fm.Sums[sum].Count {
			e.VADDSD(operand.Mem{Base: to}, value, value)
			e.VMOVSD(value, operand.Mem{Base: to})
			return
		}
		block := e.GP64()
		e.MOVQ(operand.Mem{Base: call, Disp: blockOffset}, block)
		e.VMOVSD(value, operand.Mem{Base: to, Index: block, Scale: 8})
	}
	b.nextBlock = func() { e.INCQ(operand.Mem{Base: e.parameter("c"), Disp: blockOffset}) }
	b.all(n)
	if streaming {
		e.SFENCE()
	}
	e.end()
}

// all writes the elements and the sums.
func (b *body) all(n reg.GPVirtual) {
	b.clearCounts(b.isa.unroll)
	if trees(b.form) > 0 {
		b.blocks(n)
	} else {
		b.elements(n, b.isa.unroll)
	}
	b.finishCounts()
}

// primitive writes a function that computes a form of one result from streams,
// given as parameters of some names, of which it may not need all.
func (f *file) primitive(name string, fm form.Form, streams ...string) {
	array := pointerTo(f.goType())
	params := []parameter{{"dst", array}}
	if fm.Narrow(0) {
		params[0].typ = pointerTo(types.Typ[types.Byte])
	}
	for _, s := range streams {
		params = append(params, parameter{s, array})
	}
	e := f.begin(name, []string{name + " computes " + fm.String() + "."}, nil, append(params, parameter{"n", goInt})...)
	n := e.parameter("n")
	var operands []reg.GPVirtual
	for i := range fm.Operands {
		operands = append(operands, e.parameter(streams[i]))
	}
	newBody(e, fm, operands, []reg.GPVirtual{e.parameter("dst")}).all(n)
	e.end()
}

// copyTwo writes a function that copies two arrays and computes nothing: the
// limit of what a step can reach that reads two and writes two.
func (f *file) copyTwo(name string, streaming bool) {
	fm := form.Form{Operands: []form.Access{form.Stream, form.Stream}, Nodes: []kernels.Node{{}, {Index: 1}}, Results: []int{0, 1}}
	array := pointerTo(f.goType())
	e := f.begin(name, []string{name + " copies n elements from a to x and from b to y."}, nil,
		parameter{"x", array}, parameter{"y", array}, parameter{"a", array}, parameter{"b", array}, parameter{"n", goInt})
	n := e.parameter("n")
	b := newBody(e, fm, []reg.GPVirtual{e.parameter("a"), e.parameter("b")}, []reg.GPVirtual{e.parameter("x"), e.parameter("y")})
	b.streaming = streaming
	b.all(n)
	if streaming {
		e.SFENCE()
	}
	e.end()
}

// stream writes a function that copies past the caches, and one that makes what
// was stored so seen before what follows.
func (f *file) stream(name, fence string) {
	fm := form.Form{Operands: []form.Access{form.Stream}, Nodes: []kernels.Node{{}}, Results: []int{0}}
	array := pointerTo(f.goType())
	e := f.begin(name, []string{name + " copies n elements, past the caches, to dst, which is aligned."}, nil,
		parameter{"dst", array}, parameter{"x", array}, parameter{"n", goInt})
	n := e.parameter("n")
	b := newBody(e, fm, []reg.GPVirtual{e.parameter("x")}, []reg.GPVirtual{e.parameter("dst")})
	b.streaming = true
	b.all(n)
	e.end()

	e = f.begin(fence, []string{fence + " waits until what was stored past the caches is where others see it."}, nil)
	e.SFENCE()
	e.RET()
}

// sum writes a function that returns a sum over one stream: a count, or the
// sum of one block by the tree.
func (f *file) sum(name string, fm form.Form) {
	e := f.begin(name, []string{name + " returns " + fm.String() + " of n elements, 1 to 1024."},
		types.Typ[types.Float64], parameter{"x", pointerTo(f.goType())}, parameter{"n", goInt})
	n := e.parameter("n")
	b := newBody(e, fm, []reg.GPVirtual{e.parameter("x")}, nil)
	b.finish = func(_ int, value reg.Register) { e.Store(value, e.ReturnIndex(0)) }
	b.all(n)
	e.end()
}

// elements writes the loops over n elements: unroll vectors an iteration, or as
// many as the layout has side by side, one an iteration, and at last a part of one.
func (b *body) elements(n reg.GPVirtual, unroll int) {
	if b.vectors > 0 && unroll > 1 {
		unroll = b.vectors
	}
	loop := func(vectors int) {
		next, done := b.label("loop"), b.label("done")
		b.Label(next)
		b.CMPQ(n, imm(vectors*b.width))
		b.JLT(operand.LabelRef(done))
		var displacements []int
		for v := range vectors {
			displacements = append(displacements, v*b.isa.bytes)
		}
		v := 0
		for some := range slices.Chunk(displacements, max(1, b.vectors)) {
			for i, values := range b.sideBySide(some, nil) {
				b.count(values, v)
				b.keepSummands(values, some[i])
				v++
			}
		}
		b.ADDQ(imm(vectors*b.isa.bytes), b.offset)
		if len(b.trees) > 0 {
			b.ADDQ(imm(vectors*b.isa.bytes), b.summand)
		}
		b.SUBQ(imm(vectors*b.width), n)
		b.JMP(operand.LabelRef(next))
		b.Label(done)
	}
	if unroll > 1 {
		loop(unroll)
	}
	loop(1)
	end := b.label("end")
	b.TESTQ(n, n)
	b.JZ(operand.LabelRef(end))
	values := b.vector(0, b.isa.first(b.emitter, n))
	b.count(values, 0)
	b.keepSummands(values, 0)
	b.Label(end)
}

func trees(f form.Form) int {
	n := 0
	for _, s := range f.Sums {
		if !s.Count {
			n++
		}
	}
	return n
}
