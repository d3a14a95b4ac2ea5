// What the warps and blocks of a launch over elements in a row have added up,
// put together.

package ptx

import (
	"fmt"
	"math/bits"
)

// foldWidth is the number of partial sums that a warp folds at a time.
const foldWidth = 8 * warp

// finish puts together what the warps and the blocks have added up. Threads
// that have nothing more to do go to done.
func (f *flat) finish() {
	trees := len(f.trees()) > 0
	others := "done"
	if trees {
		others = "wait"
	}
	f.countInWarps()
	f.put(`
		// All warps of the block are through; its first thread speaks for it
		.reg .u32 %last_ticket
		sub.u32 %last_ticket, %blocks, 1
		bar.sync 0
		setp.ne.u32 %over, %warp, 0
		@%over bra $others`, "others", others)
	f.countInBlock()
	f.put(`
		setp.ne.u32 %over, %lane, 0
		@%over bra $others`, "others", others)
	f.countInGrid()
	f.takeTicket(f.param(Control, 0))
	if trees {
		f.put(`
			.shared last_block 4
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

// countInWarps adds up the counts of each warp, and puts them where the block's
// first warp finds them.
func (f *flat) countInWarps() {
	counters := f.counters()
	if len(counters) == 0 {
		return
	}
	f.put("// The counts of the warp, to where the block finds them")
	f.addAcross(f.words["C"], counters, false)
	f.put(`
		.shared warp_counts $bytes
		.reg .u32 %counts
		.reg .pred %q
		mov.u32 %counts, warp_counts
		mad.lo.u32 %counts, %warp, $countSize, %counts`, "bytes", len(counters)*warps*f.countSize())
	for i, r := range counters {
		f.put("@%first st.shared.$C [%counts+$offset], $r", "offset", i*warps*f.countSize(), "r", r)
	}
}

// countInBlock adds up the counts of the block's warps.
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
		f.put("mov.$CB $r, 0\n@%q ld.shared.$C $r, [%counts+$offset]", "offset", i*warps*f.countSize(), "r", r)
	}
	f.addAcross(f.words["C"], counters, false)
}

func (f *flat) countSize() int {
	if f.wide {
		return 8
	}
	return 4
}

// countInGrid adds the block's counts to those of the grid; most have no NaN to
// tell.
func (f *flat) countInGrid() {
	for i, r := range f.counters() {
		f.put(`
			.reg .s64 %total
			setp.ne.$C %q, $r, 0
			cvt.s64.$C %total, $r
			@%q red.global.add.u64 [$control+$offset], %total`, "r", r, "control", f.param(Control, 0), "offset", 8+8*i)
	}
}

// takeTicket counts in a control word the blocks that have come here, up to
// %last_ticket, which is the last one's; the word is zero again then.
func (e *entry) takeTicket(word string) {
	e.put(`
		// The last block to come here goes on
		.reg .u32 %ticket
		fence.acq_rel.gpu
		atom.global.inc.u32 %ticket, [$word], %last_ticket
		fence.acq_rel.gpu`, "word", word)
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
		.reg .pred %q
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
