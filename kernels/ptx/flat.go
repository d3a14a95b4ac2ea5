// Launches over elements in a row: results element for element, and sums over
// all of them.

package ptx

import (
	"fmt"
	"math/bits"

	"errorcell/kernels"
)

// foldWidth is the number of partial sums that a warp folds at a time.
const foldWidth = 8 * warp

// flat writes a job over the elements of its pass.
//
// A warp takes a unit of elements at a time: a block of the tree if there are
// sums by the tree, else as much as it loads at once. Whole units go the fast
// way, through vectors; what is left, and everything if an address or the
// number of columns does not fit vectors, goes element by element. Then the
// block's counts are added to those of the other blocks, and the last block to
// come there folds the sums and does what follows from them.
func (e *entry) flat(j job, l *Launch) {
	p := e.pass(j.pass, nil)
	trees := p.trees()
	f := flat{pass: p, job: j}
	f.width = max(1, e.arch.vectorBytes()/e.dtype().Size())
	if len(trees) > 0 {
		f.width = min(f.width, perThread)
	}
	f.slots = max(1, 64/(e.arch.vectorBytes()*max(1, p.loads())))
	f.unit = warp * f.width * f.slots
	if len(trees) > 0 {
		f.slots = max(f.slots, perThread/f.width)
		f.unit = kernels.BlockSize
	}
	l.TileCols, l.counts, l.vector, l.sums = f.unit*warps, len(p.counts()), f.width, len(p.Sums) > 0

	f.begin()
	p.scalars()
	f.units(f.vectors(), "vectors", "Whole units, in vectors", "%whole")
	f.units(f.elements(), "elements", "What is left, element by element", "%units")
	if l.sums {
		f.finish()
	}
	e.put("done:\nret")
}

// flat is such a launch in the making.
type flat struct {
	*pass
	job   job
	width int // elements of a vector
	slots int // vectors that a thread loads at once
	unit  int // elements that a warp takes at a time
}

// begin finds the number of elements, the warp's first unit and whether
// vectors can be used.
func (f *flat) begin() {
	f.put(`
		// The warp takes units of $unit elements: its first, and every so many
		.reg .u32 %block, %blocks, %thread, %warp, %lane, %start, %warps
		.reg .$I %unit, %stride, %place, %mine, %i
		.reg .pred %first
		mov.u32 %block, %ctaid.x
		mov.u32 %blocks, %nctaid.x
		mov.u32 %thread, %tid.x
		shr.b32 %warp, %thread, 5
		and.b32 %lane, %thread, 31
		mad.lo.u32 %start, %block, $warps, %warp
		mul.lo.u32 %warps, %blocks, $warps
		$indexFrom32 %unit, %start
		$indexFrom32 %stride, %warps
		$indexFrom32 %place, %lane
		setp.eq.u32 %first, %lane, 0`, "unit", f.unit, "warps", warps)
	f.countElements()
	f.put(`
		// There are %units of them, the last of which may be a part
		.reg .$I %units, %whole, %last
		.reg .pred %over
		add.$I %units, %n, $less
		shr.$IB %units, %units, $shift
		shr.$IB %whole, %n, $shift
		sub.$I %last, %n, 1`, "less", f.unit-1, "shift", bits.TrailingZeros(uint(f.unit)))
	cols := ""
	if f.has(kernels.Row) || f.has(kernels.Column) {
		cols = f.param(Cols, 0)
	}
	f.chooseVectors(f.width, cols)
	f.put("selp.$IB %whole, %whole, 0, %vectors")
	for _, sum := range f.counts() {
		f.put(".reg .$C %count$k, %nans$k\n.reg .$T %tally$k\nmov.$bitsOfCount %count$k, 0\nmov.$bitsOfCount %nans$k, 0", "k", sum)
	}
}

// countElements sets %n.
func (f *flat) countElements() {
	f.put("// The elements\n.reg .$I %n")
	switch f.Kind {
	case kernels.Full:
		f.put("mul.lo.$I %n, $rows, $cols", "rows", f.param(Rows, 0), "cols", f.param(Cols, 0))
	case kernels.Row:
		f.put("mov.$I %n, $cols", "cols", f.param(Cols, 0))
	case kernels.Column:
		f.put("mov.$I %n, $rows", "rows", f.param(Rows, 0))
	default:
		f.put("mov.$I %n, 1")
	}
}

// chooseVectors sets %vectors: every array that is accessed in vectors of a
// width must be aligned to them and, if the number of columns is given, so must
// every row.
func (p *pass) chooseVectors(width int, cols string) {
	bytes := width * p.dtype().Size()
	p.put(`
		// Vectors of $bytes bytes fit if every address is a multiple of that
		.reg .u64 %bits
		.reg .pred %vectors
		mov.u64 %bits, 0`, "bytes", bytes)
	seen := map[string]bool{}
	check := func(array string) {
		if !seen[array] {
			p.put("or.b64 %bits, %bits, $array", "array", array)
		}
		seen[array] = true
	}
	for i, n := range p.Nodes {
		if source := p.source(n); source != "" && (p.kind[i] == kernels.Full || p.kind[i] == kernels.Row) {
			check(source)
		}
	}
	for _, st := range p.Stores {
		check(p.param(Result, st.Output))
	}
	p.put("and.b64 %bits, %bits, $less\nsetp.eq.u64 %vectors, %bits, 0", "less", bytes-1)
	if cols != "" {
		p.put(`
			// and every row a multiple of $width elements
			.reg .$I %rest
			.reg .pred %fit
			and.$IB %rest, $cols, $less
			setp.eq.$I %fit, %rest, 0
			and.pred %vectors, %vectors, %fit`, "width", width, "cols", cols, "less", width-1)
	}
}

// vectors is the fast way, for whole units.
func (f *flat) vectors() *trip {
	t := &trip{pass: f.pass, width: f.width}
	for s := range f.slots {
		t.slots = append(t.slots, slot{index: "%i", offset: s * warp * f.width})
	}
	return t
}

// elements is the way for what does not fit vectors. Threads beyond the last
// element load that one, and neither store nor add it.
func (f *flat) elements() *trip {
	t := &trip{pass: f.pass, width: 1}
	slots := 1
	if len(f.trees()) > 0 {
		slots = perThread
	}
	for s := range slots {
		t.slots = append(t.slots, slot{guard: lettered("%here", s), index: lettered("%i", s)})
	}
	return t
}

// lettered tells registers apart that no user has named.
func lettered(name string, i int) string { return fmt.Sprintf("%s_%c", name, 'a'+i) }

// units goes through units, below the one that a register says, in trips.
func (f *flat) units(t *trip, name, says, bound string) {
	stride := warp * t.width * len(t.slots)
	trips := f.unit / stride
	f.put(`
		// $says
		mul.lo.$I %mine, %place, $width
		$name:
		.pragma "nounroll"
		setp.ge.$I %over, %unit, $bound
		@%over bra after_$name
		mad.lo.$I %i, %unit, $unit, %mine`, "says", says, "width", t.width, "name", name, "bound", bound, "unit", f.unit)
	for _, sum := range f.counts() {
		f.put("mov.$T %tally$k, $zero", "k", sum)
	}
	f.clearLanes(f.trees(), perThread)
	if trips > 1 {
		f.put(".reg .u32 %trip\nmov.u32 %trip, $trips\ntrip_$name:\n.pragma \"nounroll\"", "trips", trips, "name", name)
	}
	f.positions(t)
	t.compute()
	t.addToTallies()
	t.addToLanes(f.trees(), perThread)
	if trips > 1 {
		f.put(`
			// The next elements of the unit
			.reg .pred %more
			add.$I %i, %i, $stride
			sub.u32 %trip, %trip, 1
			setp.ne.u32 %more, %trip, 0
			@%more bra trip_$name`, "stride", stride, "name", name)
	}
	f.endUnit(t)
	f.put(`
		// The next unit
		add.$I %unit, %unit, %stride
		bra $name
		after_$name:`, "name", name)
}

// positions finds the elements of each slot, and their rows and columns if an
// operand needs them.
func (f *flat) positions(t *trip) {
	for s := range t.slots {
		at := &t.slots[s]
		if at.guard != "" {
			f.put(`
				.reg .pred $here
				.reg .$I $index
				add.$I $index, %i, $offset
				setp.lt.$I $here, $index, %n
				min.$I $index, $index, %last`, "here", at.guard, "index", at.index, "offset", s*warp)
		}
		if !f.has(kernels.Row) && !f.has(kernels.Column) {
			continue
		}
		at.row, at.col = lettered("%row", s), lettered("%col", s)
		f.put(`
			.reg .$I $row, $col, %there
			add.$I %there, $index, $offset
			div.$I $row, %there, $cols
			mul.lo.$I $col, $row, $cols
			sub.$I $col, %there, $col`, "row", at.row, "col", at.col, "index", at.index, "offset", at.offset, "cols", f.param(Cols, 0))
	}
}

// endUnit adds the unit's tallies to the counts, and stores the sums of a
// block of the tree.
func (f *flat) endUnit(t *trip) {
	for _, sum := range f.counts() {
		f.put(`
			// The unit's tally of s$k is a small whole number, or NaN
			.reg .$C %whole_tally
			setp.nan.$T %q, %tally$k, %tally$k
			cvt.rni.$C.$T %whole_tally, %tally$k
			add.$C %count$k, %count$k, %whole_tally
			@%q add.$C %nans$k, %nans$k, 1`, "k", sum)
	}
	trees := f.trees()
	if len(trees) == 0 {
		return
	}
	t.foldLanes(trees)
	for _, sum := range trees {
		f.put(`
			.reg .u64 %address
			$at %address, %unit, 8, $partials
			@%first st.global.f64 [%address], $sum`, "partials", f.param(Partials, sum), "sum", f.lane(sum, 0))
	}
}

// finish puts together what the warps and the blocks have added up. Threads
// that have nothing more to do go to done.
func (f *flat) finish() {
	trees := len(f.trees()) > 0
	others := "done"
	if trees {
		others = "wait"
	}
	f.put("finish:")
	f.countInWarps()
	f.put(`
		// All warps of the block are through; its first thread speaks for it
		bar.sync 0
		setp.ne.u32 %over, %warp, 0
		@%over bra $others`, "others", others)
	f.countInBlock()
	f.put(`
		setp.ne.u32 %over, %lane, 0
		@%over bra $others`, "others", others)
	f.countInGrid()
	f.takeTicket(f.param(Control, 0), "%blocks")
	if trees {
		f.put(`
			.shared .align 8 .b8 last_block[4]
			st.shared.u32 [last_block], %ticket
			wait:
			bar.sync 0
			ld.shared.u32 %ticket, [last_block]`)
	}
	f.put(`
		setp.ne.u32 %over, %ticket, %last_ticket
		@%over bra done`)
	known := map[int]string{}
	for _, sum := range f.trees() {
		f.foldPartials(sum)
	}
	if trees {
		f.put("setp.ne.u32 %over, %thread, 0\n@%over bra done")
	}
	for _, sum := range f.Sums {
		known[sum] = f.result(sum)
	}
	f.keep(f.job, known, "")
	f.follow(f.job, known, slot{})
}

// counters are the registers with the thread's counts.
func (f *flat) counters() (regs []string) {
	for _, sum := range f.counts() {
		regs = append(regs, fmt.Sprintf("%%count%d", sum), fmt.Sprintf("%%nans%d", sum))
	}
	return regs
}

func (f *flat) countInWarps() {
	counters := f.counters()
	if len(counters) == 0 {
		return
	}
	f.put("// The counts of the warp, and where the block finds them")
	f.addAcross(f.words["C"], counters, false)
	f.put(`
		.shared .align 8 .b8 warp_counts[$bytes]
		.reg .u32 %counts
		mov.u32 %counts, warp_counts
		mad.lo.u32 %counts, %warp, $countSize, %counts`, "bytes", len(counters)*warps*f.countSize())
	for i, r := range counters {
		f.put("@%first st.shared.$C [%counts+$offset], $r", "offset", i*warps*f.countSize(), "r", r)
	}
}

func (f *flat) countInBlock() {
	counters := f.counters()
	if len(counters) == 0 {
		return
	}
	f.put(`
		// The counts of the block
		mov.u32 %counts, warp_counts
		mad.lo.u32 %counts, %lane, $countSize, %counts
		setp.lt.u32 %q, %lane, $warps`, "warps", warps)
	for i, r := range counters {
		f.put("mov.$bitsOfCount $r, 0\n@%q ld.shared.$C $r, [%counts+$offset]", "offset", i*warps*f.countSize(), "r", r)
	}
	f.addAcross(f.words["C"], counters, false)
}

func (f *flat) countSize() int {
	if f.wide {
		return 8
	}
	return 4
}

func (f *flat) countInGrid() {
	for i, r := range f.counters() {
		f.put(`
			.reg .s64 %total
			cvt.s64.$C %total, $r
			red.global.add.u64 [$control+$offset], %total`, "r", r, "control", f.param(Control, 0), "offset", 8+8*i)
	}
}

// takeTicket counts the blocks that have come here, in a control word that is
// zero again when the last has: its ticket is %last_ticket.
func (e *entry) takeTicket(word, blocks string) {
	e.put(`
		// The last block to come here goes on
		.reg .u32 %ticket, %last_ticket
		sub.u32 %last_ticket, $blocks, 1
		fence.acq_rel.gpu
		atom.global.inc.u32 %ticket, [$word], %last_ticket
		fence.acq_rel.gpu`, "blocks", blocks, "word", word)
}

// foldPartials adds up the sums of the blocks of the tree as kernels.FoldPairs
// does: a warp adds $width neighbours to one, and the results are gone through
// in the same way. What is missing to a multiple of $width is +0, which
// changes nothing: no sum of the tree is -0.
func (f *flat) foldPartials(sum int) {
	fold, chunks := f.label("fold"), f.label("chunks")
	e := f.entry
	e.put(`
		// s$k: the blocks' sums in pairs, then those in pairs, and so on
		.reg .u64 %from, %to, %address
		.reg .$I %left, %next, %chunk, %padded, %warp_index, %thread_index
		.reg .f64 %zero, %xa, %xb, %xc, %xd, %xe, %xf, %xg, %xh, %tree$k
		mov.f64 %zero, 0d0000000000000000
		$indexFrom32 %warp_index, %warp
		$indexFrom32 %thread_index, %thread
		mov.u64 %from, $partials
		mov.$I %left, %units
		$fold:
		setp.le.$I %over, %left, 1
		@%over bra end_$fold

		// Zeros up to the next multiple of $width
		add.$I %next, %left, $less
		shr.$IB %next, %next, $shift
		shl.$IB %padded, %next, $shift
		$at %to, %padded, 8, %from
		add.$I %chunk, %left, %thread_index
		setp.lt.$I %q, %chunk, %padded
		$at %address, %chunk, 8, %from
		@%q st.global.f64 [%address], %zero
		bar.sync 0
		mov.$I %chunk, %warp_index
		$chunks:
		setp.ge.$I %over, %chunk, %next
		@%over bra end_$chunks
		mad.lo.$I %padded, %chunk, 32, %place
		$at %address, %padded, 64, %from
		ld.global.cg.v2.f64 {%xa, %xb}, [%address]
		ld.global.cg.v2.f64 {%xc, %xd}, [%address+16]
		ld.global.cg.v2.f64 {%xe, %xf}, [%address+32]
		ld.global.cg.v2.f64 {%xg, %xh}, [%address+48]
		add.rn.f64 %xa, %xa, %xb
		add.rn.f64 %xc, %xc, %xd
		add.rn.f64 %xe, %xe, %xf
		add.rn.f64 %xg, %xg, %xh
		add.rn.f64 %xa, %xa, %xc
		add.rn.f64 %xe, %xe, %xg
		add.rn.f64 %xa, %xa, %xe`,
		"k", sum, "partials", e.param(Partials, sum), "fold", fold, "chunks", chunks,
		"width", foldWidth, "less", foldWidth-1, "shift", bits.TrailingZeros(foldWidth))
	e.addAcross("f64", []string{"%xa"}, true)
	e.put(`
		$at %address, %chunk, 8, %to
		@%first st.global.f64 [%address], %xa
		add.$I %chunk, %chunk, $warps
		bra $chunks
		end_$chunks:
		bar.sync 0
		mov.u64 %from, %to
		mov.$I %left, %next
		bra $fold
		end_$fold:
		mov.f64 %tree$k, %zero
		setp.ne.$I %q, %left, 0
		@%q ld.global.cg.f64 %tree$k, [%from]`, "k", sum, "fold", fold, "chunks", chunks, "warps", warps)
}

// result is the register with the result of a sum, rounded once.
func (f *flat) result(sum int) string {
	if !f.plan.Sums[sum].Count {
		f.put("// s$k, rounded", "k", sum)
		return f.convert(sum, fmt.Sprintf("%%tree%d", sum))
	}
	offset := 8
	for _, other := range f.counts() {
		if other == sum {
			break
		}
		offset += 16
	}
	f.put(`
		// s$k: the count, rounded, or NaN; its counters are zero again
		.reg .$T %s$k
		.reg .b64 %nothing, %met
		mov.b64 %nothing, 0
		atom.global.exch.b64 %total, [$control+$offset], %nothing
		atom.global.exch.b64 %met, [$control+$next], %nothing
		cvt.rn.$T.s64 %s$k, %total
		setp.ne.s64 %q, %met, 0
		selp.$T %s$k, $nan, %s$k, %q`, "k", sum, "control", f.param(Control, 0), "offset", offset, "next", offset+8)
	return fmt.Sprintf("%%s%d", sum)
}
