// The values of a pass: their registers, and the instructions for the elements
// that a thread computes at once.

package ptx

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"errorcell/kernels"
)

// pass is a kernels.Pass with a place for its values.
type pass struct {
	*entry
	kernels.Pass
	kind  []kernels.Kind // of each node's value, Full standing for the pass's own
	base  []string       // of the node's registers
	says  []string       // what comments call it
	known map[int]string // the registers of sums that this launch itself has made
}

func (e *entry) pass(p kernels.Pass, known map[int]string) *pass {
	ps := &pass{entry: e, Pass: p, known: known}
	stored := map[int]string{}
	for _, st := range p.Stores {
		if _, ok := stored[st.Node]; !ok {
			stored[st.Node] = e.plan.Kernel.OutputName(st.Output)
		}
	}
	for i, n := range p.Nodes {
		kind, name := kernels.Scalar, fmt.Sprint("x", i)
		switch n.Op {
		case kernels.OpInput:
			kind, name = ps.relative(e.plan.KindOf(n)), e.plan.Kernel.InputName(n.Index)
		case kernels.OpReduced:
			kind, name = ps.relative(e.plan.KindOf(n)), fmt.Sprint("s", n.Index)
		case kernels.OpConst:
			name = "c"
		default:
			if result, ok := stored[i]; ok {
				name = result
			}
			for _, arg := range n.Args[:n.Op.Arity()] {
				kind |= ps.kind[arg]
			}
		}
		base := e.base(name)
		if n.Op == kernels.OpConst {
			name = strconv.FormatFloat(n.Const, 'g', -1, 64)
		}
		ps.kind, ps.base, ps.says = append(ps.kind, kind), append(ps.base, base), append(ps.says, name)
	}
	return ps
}

// relative is the kind of an operand as the pass sees it.
func (p *pass) relative(k kernels.Kind) kernels.Kind {
	if k == p.Kind {
		return kernels.Full
	}
	return k
}

// has reports whether the pass reads operands of a kind.
func (p *pass) has(kind kernels.Kind) bool {
	for i, n := range p.Nodes {
		if p.kind[i] == kind && p.source(n) != "" {
			return true
		}
	}
	return false
}

// loads counts the operands that are read for each element.
func (p *pass) loads() int {
	count := 0
	for i, n := range p.Nodes {
		if p.kind[i] != kernels.Scalar && p.source(n) != "" {
			count++
		}
	}
	return count
}

// source is the register with the address of the array that a node reads, ""
// if it reads none.
func (p *pass) source(n kernels.Node) string {
	switch {
	case n.Op == kernels.OpInput:
		return p.param(Operand, n.Index)
	case n.Op == kernels.OpReduced && p.known[n.Index] == "":
		return p.param(Sum, n.Index)
	}
	return ""
}

// scalars computes, once for all elements, what depends on none of them.
func (p *pass) scalars() {
	t := trip{pass: p, width: 1, slots: []slot{{}}}
	for i, n := range p.Nodes {
		if p.kind[i] != kernels.Scalar {
			continue
		}
		switch {
		case p.source(n) != "":
			p.put("// $says, for all elements\n$load.$T $d, [$source]",
				"says", p.says[i], "d", t.reg(i, 0, 0), "source", p.source(n))
		case n.Op == kernels.OpConst:
			p.put("// the constant $says\nmov.$T $d, $x", "says", p.says[i], "d", t.reg(i, 0, 0), "x", literal(p.dtype(), n.Const))
		case n.Op != kernels.OpReduced:
			t.operate(i)
		}
	}
}

// slot is a vector of elements in memory, or one element.
type slot struct {
	guard string // the predicate under which it is there, "" for always
	// Registers with indices of its first element, to which offset is to be
	// added: in the pass, and in its row and column. No register is index 0.
	index    string
	offset   int
	row, col string
}

// trip is a pass in the making for the elements that a thread computes at
// once: slots of width elements.
type trip struct {
	*pass
	width  int
	slots  []slot
	asRows bool // the slots are rows of the same columns

	at map[string]string // the index whose address a register has
}

// place is the number, of a node's registers, that element e of slot s has.
// Elements share a register if the value is the same for all of them.
func (t *trip) place(kind kernels.Kind, s, e int) int {
	switch {
	case kind == kernels.Scalar:
		return 0
	case kind == kernels.Column:
		return s * t.width
	case kind == kernels.Row && t.asRows:
		return e
	}
	return s*t.width + e
}

// reg is the register of a node's value for an element.
func (t *trip) reg(node, s, e int) string {
	n := t.Nodes[node]
	if known := t.known[n.Index]; n.Op == kernels.OpReduced && known != "" {
		return known
	}
	typ := t.words["T"]
	if n.Type == kernels.Bool {
		typ = "pred"
	}
	return t.pass.entry.reg(typ, fmt.Sprintf("%%%s_%d", t.base[node], t.place(t.kind[node], s, e)))
}

// vector names the registers of a node's values in a slot, and the suffix of
// an access to them.
func (t *trip) vector(node, s int) (regs, suffix string) {
	n := t.width
	if t.kind[node] == kernels.Column {
		n = 1
	}
	list := make([]string, n)
	for e := range list {
		list[e] = t.reg(node, s, e)
	}
	return vectorOf(list)
}

// vectorOf names registers as one operand of an access, with its suffix.
func vectorOf(list []string) (regs, suffix string) {
	if len(list) == 1 {
		return list[0], ""
	}
	return "{" + strings.Join(list, ", ") + "}", fmt.Sprint(".v", len(list))
}

// compute is the whole trip but for its sums.
func (t *trip) compute() {
	t.at = map[string]string{}
	for i := range t.Nodes {
		for s := range t.slots {
			t.load(i, s)
		}
	}
	for i, n := range t.Nodes {
		if n.Op.Elementwise() && t.kind[i] != kernels.Scalar {
			t.operate(i)
		}
	}
	for _, st := range t.Stores {
		for s := range t.slots {
			t.store(st, s)
		}
	}
}

// load reads the elements of an operand in a slot. A slot that is not there
// has an index within the array all the same.
func (t *trip) load(node, s int) {
	kind, source := t.kind[node], t.source(t.Nodes[node])
	if source == "" || kind == kernels.Scalar || t.place(kind, s, 0) != s*t.width {
		return
	}
	hint := ""
	if kind == kernels.Full && t.Kind != kernels.Scalar {
		hint = t.arch.readOnce()
	}
	if s == 0 {
		t.put("// $says", "says", t.says[node])
	}
	regs, suffix := t.vector(node, s)
	address := t.address(source, "at_"+t.base[node], kind, t.slots[s], t.dtype().Size())
	t.put("$load$hint$suffix.$T $regs, [$address]", "hint", hint, "suffix", suffix, "regs", regs, "address", address)
}

// store writes the elements of a result in a slot.
func (t *trip) store(st kernels.Store, s int) {
	name := t.plan.Kernel.OutputName(st.Output)
	if s == 0 {
		t.put("// $name, stored", "name", name)
	}
	dtype := t.plan.OutputDType(st.Output)
	address := t.address(t.param(Result, st.Output), "to_"+t.paramName(Param{Result, st.Output}), kernels.Full, t.slots[s], dtype.Size())
	if dtype == kernels.B8 {
		t.storeBytes(st.Node, s, address)
		return
	}
	regs, suffix := t.vector(st.Node, s)
	t.put(guarded(t.slots[s].guard, "st.global.cs$suffix.$T [$address], $regs"), "suffix", suffix, "regs", regs, "address", address)
}

// storeBytes writes the truth values of a slot, up to four bytes at once.
func (t *trip) storeBytes(node, s int, address string) {
	const most = 4
	for first := 0; first < t.width; first += most {
		var list []string
		for e := first; e < min(first+most, t.width); e++ {
			byteReg := t.pass.entry.reg("u32", lettered("%byte", e-first))
			t.put("selp.u32 $byte, 1, 0, $truth", "byte", byteReg, "truth", t.reg(node, s, e))
			list = append(list, byteReg)
		}
		regs, suffix := vectorOf(list)
		t.put(guarded(t.slots[s].guard, "st.global.cs$suffix.u8 [$address], $regs"),
			"suffix", suffix, "regs", regs, "address", plusBytes(address, first))
	}
}

// address is that of a slot's first element in an array of a kind, of elements of
// a size in bytes.
func (t *trip) address(array, name string, kind kernels.Kind, s slot, size int) string {
	index, offset := s.index, s.offset
	switch kind {
	case kernels.Row:
		index, offset = s.col, 0
	case kernels.Column:
		index, offset = s.row, 0
	}
	if index == "" {
		return array
	}
	at := t.pass.entry.reg("u64", "%"+name)
	if t.at[at] != index {
		t.at[at] = index
		t.put("$at $to, $index, $size, $array", "to", at, "index", index, "size", size, "array", array)
	}
	return plusBytes(at, offset*size)
}

// plusBytes is the text of an address some bytes after another.
func plusBytes(address string, bytes int) string {
	base, before, _ := strings.Cut(address, "+")
	if n, err := strconv.Atoi(before); err == nil {
		bytes += n
	}
	if bytes == 0 {
		return base
	}
	return fmt.Sprintf("%s+%d", base, bytes)
}

// operate computes a node for all elements that have their own value.
func (t *trip) operate(node int) {
	n := t.Nodes[node]
	row, ok := t.operation(n.Op)
	if !ok {
		t.fail("no lowering for the operation %v", n.Op)
		return
	}
	t.put("// $name = $says", "name", t.says[node], "says", os.Expand(row.says, func(word string) string {
		return t.says[n.Args[word[0]-'a']]
	}))
	for s := range t.slots {
		for e := range t.width {
			if t.place(t.kind[node], s, e) != s*t.width+e {
				continue
			}
			pairs := []any{"d", t.reg(node, s, e), "t", "%t", "q", "%q"}
			for i, arg := range n.Args[:n.Op.Arity()] {
				pairs = append(pairs, string(rune('a'+i)), t.reg(arg, s, e))
			}
			t.put(".reg .$T %t\n.reg .pred %q\n"+row.ptx, pairs...)
		}
	}
}
