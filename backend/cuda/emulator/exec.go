package emulator

// What executes an instruction for a warp: lane by lane for most, and those
// that are about predicates, vectors or several lanes.

import "math/bits"

// checkSources checks that every register read was written.
func (w *warp) checkSources(in *inst, mask uint32) *Fault {
	return w.need(mask, in.a, in.b, in.c)
}

// execMap computes each lane by itself.
func execMap(w *warp, in *inst, mask uint32) *Fault {
	if mask&^(w.set[in.a]&w.set[in.b]&w.set[in.c]) != 0 {
		return w.checkSources(in, mask)
	}
	d, a, b, c, f := &w.regs[in.d], &w.regs[in.a], &w.regs[in.b], &w.regs[in.c], in.lane
	if mask == allLanes {
		for l := range d {
			d[l] = f(a[l], b[l], c[l])
		}
	} else {
		for m := mask; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m)
			d[l] = f(a[l], b[l], c[l])
		}
	}
	w.set[in.d] |= mask
	return nil
}

func execNothing(*warp, *inst, uint32) *Fault { return nil }

func execTrap(w *warp, _ *inst, mask uint32) *Fault {
	return w.fault(bits.TrailingZeros32(mask), Trap, "the kernel has trapped")
}

func execDivide(w *warp, in *inst, mask uint32) *Fault {
	if f := w.checkSources(in, mask); f != nil {
		return f
	}
	for l := range lanesOf(mask) {
		if w.regs[in.b][l] == 0 {
			return w.fault(l, Unspecified, "division by zero, the result of which PTX leaves open")
		}
	}
	return execMap(w, in, mask)
}

// execCarry is add, addc, sub and subc with the carry flag.
func execCarry(w *warp, in *inst, mask uint32) *Fault {
	if f := w.checkSources(in, mask); f != nil {
		return f
	}
	m := in.x.m
	name := m.form.syntax[:4]
	subtract, in0 := name[:3] == "sub", name[3] == 'c'
	for l := range lanesOf(mask) {
		a, b, carry := w.regs[in.a][l], w.regs[in.b][l], uint64(0)
		if in0 {
			carry = uint64(w.carry >> l & 1)
		}
		var sum, out uint64
		if m.typ.bits == 64 {
			if subtract {
				sum, out = bits.Sub64(a, b, carry)
			} else {
				sum, out = bits.Add64(a, b, carry)
			}
		} else {
			if subtract {
				sum = a - b - carry
			} else {
				sum = a + b + carry
			}
			out = sum >> 32 & 1
		}
		w.regs[in.d][l] = sum & m.typ.mask()
		if m.has("cc") {
			w.carry = w.carry&^(1<<l) | uint32(out)<<l
		}
	}
	w.set[in.d] |= mask
	return nil
}

func execInsert(w *warp, in *inst, mask uint32) *Fault {
	o := in.x.ops
	for _, s := range o[1:] {
		if f := w.need(mask, s.row); f != nil {
			return f
		}
	}
	for l := range lanesOf(mask) {
		w.regs[o[0].row][l] = insert(in.x.m.typ, w.regs[o[1].row][l], w.regs[o[2].row][l], w.regs[o[3].row][l], w.regs[o[4].row][l])
	}
	w.set[o[0].row] |= mask
	return nil
}

// execPack is mov.b64 d, {a, b} and its like.
func execPack(w *warp, in *inst, mask uint32) *Fault {
	d, parts := in.x.ops[0], in.x.ops[1].vec
	width := uint(in.x.m.typ.bits) / uint(len(parts))
	for _, p := range parts {
		if f := w.need(mask, p.row); f != nil {
			return f
		}
	}
	for l := range lanesOf(mask) {
		v := uint64(0)
		for i, p := range parts {
			v |= w.regs[p.row][l] << (uint(i) * width)
		}
		w.regs[d.row][l] = v
	}
	w.set[d.row] |= mask
	return nil
}

// execUnpack is mov.b64 {a, b}, s and its like.
func execUnpack(w *warp, in *inst, mask uint32) *Fault {
	parts, s := in.x.ops[0].vec, in.x.ops[1]
	width := uint(in.x.m.typ.bits) / uint(len(parts))
	if f := w.need(mask, s.row); f != nil {
		return f
	}
	for l := range lanesOf(mask) {
		v := w.regs[s.row][l]
		for i, p := range parts {
			if p.row >= 0 {
				w.regs[p.row][l] = v >> (uint(i) * width) & (1<<width - 1)
			}
		}
	}
	for _, p := range parts {
		if p.row >= 0 {
			w.set[p.row] |= mask
		}
	}
	return nil
}

// execSpecial reads a special register that changes while the block runs.
func execSpecial(w *warp, in *inst, mask uint32) *Fault {
	w.fill(in.x.ops[0].row, mask, func(l int) uint64 { return in.x.special(w, l) })
	return nil
}

// buildCompare prepares setp and set.
func buildCompare(in *inst, m *mods) (Kind, string) {
	t, op := m.styp, m.get("CMP")
	switch {
	case t.class == bitsClass && op != "eq" && op != "ne", t.class == signed && (op == "lo" || op == "ls" || op == "hi" || op == "hs"):
		return UnknownInstruction, "." + op + " does not compare ." + t.String()
	}
	in.x.compare = compare(m)
	return 0, ""
}

func buildTest(in *inst, m *mods) (Kind, string) {
	in.x.compare = testProperty(m)
	return 0, ""
}

// predicate returns the lanes in which a predicate operand is true.
func (w *warp) predicate(o operand) uint32 {
	if o.not {
		return ^w.preds[o.pred]
	}
	return w.preds[o.pred]
}

func (w *warp) setPredicate(p int32, mask, value uint32) {
	if p >= 0 {
		w.preds[p] = w.preds[p]&^mask | value&mask
		w.predSet[p] |= mask
	}
}

// execCompare is setp, set and testp: a comparison, perhaps combined with a
// predicate, into predicates or a register.
func execCompare(w *warp, in *inst, mask uint32) *Fault {
	if f := w.checkSources(in, mask); f != nil {
		return f
	}
	a, b, f := &w.regs[in.a], &w.regs[in.b], in.x.compare
	var is uint32
	for m := mask; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		if f(a[l], b[l]) {
			is |= 1 << l
		}
	}
	not := ^is
	ops := in.x.ops
	if op := in.x.m.get("BOOL"); op != "" {
		if f := w.needPredicates(mask, ops[3].pred); f != nil {
			return f
		}
		c := w.predicate(ops[3])
		is, not = boolOps[op](is, c), boolOps[op](not, c)
	}
	if d := ops[0]; d.row < 0 {
		w.setPredicate(d.pred, mask, is)
		if d.vec != nil {
			w.setPredicate(d.vec[0].pred, mask, not)
		}
		return nil
	}
	yes := in.x.m.typ.mask()
	if in.x.m.typ == f32 {
		yes = 0x3f800000
	}
	for l := range lanesOf(mask) {
		w.regs[in.d][l] = choose(is>>l&1 != 0, yes, 0)
	}
	w.set[in.d] |= mask
	return nil
}

func execSelect(w *warp, in *inst, mask uint32) *Fault {
	if f := w.needPredicates(mask, in.x.ops[3].pred); f != nil {
		return f
	}
	p := w.predicate(in.x.ops[3])
	if f := w.checkSources(in, mask); f != nil {
		return f
	}
	d, a, b := &w.regs[in.d], &w.regs[in.a], &w.regs[in.b]
	for l := range lanesOf(mask) {
		d[l] = choose(p>>l&1 != 0, a[l], b[l])
	}
	w.set[in.d] |= mask
	return nil
}

// execPredicates is and, or, xor, not and mov of predicates.
func execPredicates(w *warp, in *inst, mask uint32) *Fault {
	ops := in.x.ops
	last := ops[len(ops)-1]
	if f := w.needPredicates(mask, ops[1].pred, last.pred); f != nil {
		return f
	}
	a, b := w.predicate(ops[1]), w.predicate(last)
	switch in.x.m.form.syntax {
	case "and.pred":
		a &= b
	case "or.pred":
		a |= b
	case "xor.pred":
		a ^= b
	case "not.pred":
		a = ^a
	}
	w.setPredicate(ops[0].pred, mask, a)
	return nil
}

func execActiveMask(w *warp, in *inst, mask uint32) *Fault {
	w.fill(in.d, mask, func(int) uint64 { return uint64(mask) })
	return nil
}

// fill writes a register of the lanes in mask.
func (w *warp) fill(row int32, mask uint32, f func(lane int) uint64) {
	d := &w.regs[row]
	for l := range lanesOf(mask) {
		d[l] = f(l)
	}
	w.set[row] |= mask
}

// What follows is executed by all lanes of a membermask together.

func execWarpBarrier(w *warp, _ *inst, mask uint32) *Fault {
	w.warpSynced(mask)
	return nil
}

func execShuffle(w *warp, in *inst, mask uint32) *Fault {
	ops := in.x.ops
	for _, o := range ops[1:4] {
		if f := w.need(mask, o.row); f != nil {
			return f
		}
	}
	a := w.regs[ops[1].row] // a copy, as the result may go to the same register
	var inRange uint32
	var fault *Fault
	mode := in.x.m.words[1]
	w.fill(ops[0].row, mask, func(l int) uint64 {
		b, c := int(w.regs[ops[2].row][l]&31), w.regs[ops[3].row][l]
		clamp, segment := int(c&31), int(c>>8&31)
		low := l & segment
		high := low | clamp&^segment
		j, ok := l, false
		switch mode {
		case "up":
			j = l - b
			ok = j >= high
		case "down":
			j = l + b
			ok = j <= high
		case "bfly":
			j = l ^ b
			ok = j <= high
		case "idx":
			j = low | b&^segment
			ok = j <= high
		}
		if !ok {
			return a[l]
		}
		inRange |= 1 << l
		if mask>>j&1 == 0 && fault == nil {
			fault = w.fault(l, Unspecified, "takes the value of lane %d, which does not take part: membermask %#x", j, mask)
		}
		return a[j]
	})
	if fault != nil {
		return fault
	}
	if ops[0].pred >= 0 {
		w.setPredicate(ops[0].pred, mask, inRange)
	}
	return nil
}

func execVote(w *warp, in *inst, mask uint32) *Fault {
	if f := w.needPredicates(mask, in.x.ops[1].pred); f != nil {
		return f
	}
	p := w.predicate(in.x.ops[1]) & mask
	result := false
	switch in.x.m.words[1] {
	case "ballot":
		w.fill(in.d, mask, func(int) uint64 { return uint64(p) })
		return nil
	case "all":
		result = p == mask
	case "any":
		result = p != 0
	case "uni":
		result = p == mask || p == 0
	}
	w.setPredicate(in.x.ops[0].pred, mask, uint32(b2u(result))*allLanes)
	return nil
}

func execMatch(w *warp, in *inst, mask uint32) *Fault {
	if f := w.need(mask, in.a); f != nil {
		return f
	}
	v := w.regs[in.a]
	equal := func(l int) (same uint32) {
		for o := range lanesOf(mask) {
			if v[o] == v[l] {
				same |= 1 << o
			}
		}
		return same
	}
	all := equal(bits.TrailingZeros32(mask)) == mask
	if in.x.m.has("any") {
		w.fill(in.d, mask, func(l int) uint64 { return uint64(equal(l)) })
		return nil
	}
	w.fill(in.d, mask, func(int) uint64 { return b2u(all) * uint64(mask) })
	if p := in.x.ops[0].pred; p >= 0 {
		w.setPredicate(p, mask, uint32(b2u(all))*allLanes)
	}
	return nil
}

func execRedux(w *warp, in *inst, mask uint32) *Fault {
	if f := w.need(mask, in.a); f != nil {
		return f
	}
	combine := atomics[in.x.m.words[1]](in.x.m.typ, spaceShared)
	first := bits.TrailingZeros32(mask)
	sum := w.regs[in.a][first]
	for l := range lanesOf(mask &^ (1 << first)) {
		sum = combine(sum, w.regs[in.a][l], 0)
	}
	w.fill(in.d, mask, func(int) uint64 { return sum })
	return nil
}
