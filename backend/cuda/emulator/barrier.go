package emulator

// Barriers of a block: bar and barrier.

import (
	"fmt"
	"math/bits"
	"strings"
)

// A barrierKind is what an instruction does at a barrier.
type barrierKind struct {
	aligned bool // all threads of a warp come together
	waits   bool // sync and red; not arrive
	red     string
}

// A barrier is one of the sixteen of a block.
type barrier struct {
	arrived []uint32 // lanes of each warp
	begun   []uint32 // the segment that each warp began when it arrived and went on
	came    uint32   // warps of which all lanes that were live have arrived
	waiting uint32   // warps of which some lanes wait
	count   uint32   // of threads expected; 0 for all
	line    int32
	pending bool
	trues   uint32 // threads whose predicate was true, for red
	total   uint32
}

func (b *barrier) reset() {
	clear(b.arrived)
	clear(b.begun)
	*b = barrier{arrived: b.arrived, begun: b.begun}
}

func buildBarrier(in *inst, m *mods) (Kind, string) {
	k := barrierKind{aligned: strings.HasPrefix(m.form.syntax, "bar.") || m.has("aligned"), waits: !m.has("arrive")}
	if m.has("red") {
		k.red = m.words[2]
	}
	in.x.barrier = k
	limits := []uint64{15, 1024} // of the number and of the count
	for i, o := range barrierOperands(in) {
		if o.constant && (o.value > limits[i] || i == 1 && (o.value%warpSize != 0 || o.value == 0)) {
			return InvalidPTX, "barriers are 0 to 15, and threads at one a multiple of 32"
		}
	}
	return 0, ""
}

// barrierOperands are the number of the barrier and the count of threads, if
// there is one.
func barrierOperands(in *inst) []operand {
	if in.x.barrier.red != "" {
		return in.x.ops[1 : len(in.x.ops)-1]
	}
	return in.x.ops
}

// barrierValues are the values of a barrier's operands, which every thread of
// the warp must give alike.
func (w *warp) barrierValues(in *inst, mask uint32) (number, count uint32, f *Fault) {
	var values []uint32
	first := bits.TrailingZeros32(mask)
	for _, o := range barrierOperands(in) {
		if f := w.need(mask, o.row); f != nil {
			return 0, 0, f
		}
		for l := range lanesOf(mask) {
			if w.regs[o.row][l] != w.regs[o.row][first] {
				return 0, 0, w.fault(l, BarrierMisuse, "the threads of a warp give different operands")
			}
		}
		values = append(values, uint32(w.regs[o.row][first]))
	}
	number = values[0]
	if len(values) > 1 {
		count = values[1]
	}
	switch {
	case number >= 16:
		f = w.fault(first, BarrierMisuse, "barrier %d: there are 16", number)
	case count%warpSize != 0 || int(count) > len(w.block.warps)*warpSize || len(values) > 1 && count == 0:
		f = w.fault(first, BarrierMisuse, "%d threads at a barrier of a block of %d: a multiple of %d expected", count, w.block.threads, warpSize)
	}
	return number, count, f
}

// arrive brings the lanes of fragment i, which are mask, to a barrier.
func (w *warp) arrive(i int, in *inst, mask uint32) *Fault {
	k := in.x.barrier
	number, count, f := w.barrierValues(in, mask)
	if f != nil {
		return f
	}
	if k.aligned && mask != w.live {
		away := bits.TrailingZeros32(w.live &^ mask)
		return w.fault(away, BarrierMisuse, "the thread does not reach the barrier together with its warp: it is at line %d", w.lineOf(away))
	}
	b := &w.block.barriers[number]
	switch {
	case !b.pending:
		b.count, b.line, b.pending = count, in.line, true
	case b.count != count:
		return w.fault(bits.TrailingZeros32(mask), BarrierMisuse, "%d threads at barrier %d, for which line %d said %d (0 is all)", count, number, b.line, b.count)
	case b.arrived[w.index]&mask != 0:
		return w.fault(bits.TrailingZeros32(mask), BarrierMisuse, "the thread arrives at barrier %d twice", number)
	}
	b.arrived[w.index] |= mask
	if k.red != "" {
		p := in.x.ops[len(in.x.ops)-1]
		if f := w.needPredicates(mask, p.pred); f != nil {
			return f
		}
		b.trues += uint32(bits.OnesCount32(w.predicate(p) & mask))
		b.total += uint32(bits.OnesCount32(mask))
	}
	if k.waits {
		b.waiting |= 1 << w.index
		w.frags[i].wait, w.frags[i].barrier = waitBarrier, number
	} else {
		w.frags[i].pc++
		b.begun[w.index] = w.newSegment()
	}
	return w.block.settle(b, number)
}

// lineOf is the line at which a lane stands.
func (w *warp) lineOf(lane int) int32 {
	for _, f := range w.frags {
		if f.mask>>lane&1 != 0 {
			return w.block.launch.fn.code[f.pc].line
		}
	}
	return 0
}

// exited looks at the barriers after threads of w have ended.
func (b *block) exited(w *warp) *Fault {
	for i := range b.barriers {
		if b.barriers[i].pending {
			if f := b.settle(&b.barriers[i], uint32(i)); f != nil {
				return f
			}
		}
	}
	return nil
}

// settle lets the waiting threads of a barrier go on if all have come.
func (b *block) settle(bar *barrier, number uint32) *Fault {
	complete := true
	for i, w := range b.warps {
		arrived := bar.arrived[i]
		if arrived == w.live && arrived != 0 {
			bar.came |= 1 << i
		}
		if bar.count != 0 {
			continue
		}
		complete = complete && arrived == w.live
		if w.live != w.all && !b.launch.gpu.config.AllowEarlyExit {
			return b.faultAt(w, bits.TrailingZeros32(w.all&^w.live), BarrierMisuse, bar.line,
				"the thread has exited, and does not reach barrier %d, which waits for the whole block", number)
		}
	}
	if bar.count != 0 {
		complete = uint32(bits.OnesCount32(bar.came))*warpSize >= bar.count
	}
	if !complete {
		return nil
	}
	if all := uint32(uint64(1)<<len(b.warps) - 1); bar.came == all && bar.waiting == all {
		b.barrierPassed()
	} else {
		b.partialPassed(bar)
	}
	for i := range lanesOf(bar.waiting) {
		b.warps[i].pass(bar, number)
	}
	bar.reset()
	return nil
}

// pass lets the fragments that wait at a barrier go on, with its result.
func (w *warp) pass(bar *barrier, number uint32) {
	for i := range w.frags {
		f := &w.frags[i]
		if f.wait != waitBarrier || f.barrier != number {
			continue
		}
		in := &w.block.launch.fn.code[f.pc]
		switch in.x.barrier.red {
		case "popc":
			w.fill(in.d, f.mask, func(int) uint64 { return uint64(bar.trues) })
		case "and":
			w.setPredicate(in.x.ops[0].pred, f.mask, uint32(b2u(bar.trues == bar.total))*allLanes)
		case "or":
			w.setPredicate(in.x.ops[0].pred, f.mask, uint32(b2u(bar.trues != 0))*allLanes)
		}
		f.wait = running
		f.pc++
	}
}

// faultAt is the fault of a thread that is not executing, at a line.
func (b *block) faultAt(w *warp, lane int, k Kind, line int32, format string, args ...any) *Fault {
	f := w.fault(lane, k, format, args...)
	f.Line = int(line)
	f.Source = b.launch.fn.module.source(f.Line)
	return f
}

// deadlock is the fault of a block of which every thread waits. It names one
// that is waited for.
func (b *block) deadlock() *Fault {
	code := b.launch.fn.code
	for _, w := range b.warps {
		for _, f := range w.frags {
			if f.wait == waitLanes {
				missing := f.members
				for _, o := range w.frags {
					if o.pc == f.pc && o.wait == waitLanes && o.members == f.members {
						missing &^= o.mask
					}
				}
				lane := bits.TrailingZeros32(missing)
				return b.faultAt(w, lane, Deadlock, code[f.pc].line, "the thread never comes: membermask %#x waits for it, and it waits at line %d", f.members, w.lineOf(lane))
			}
		}
	}
	for number := range b.barriers {
		bar := &b.barriers[number]
		if !bar.pending {
			continue
		}
		for i, w := range b.warps {
			if missing := w.live &^ bar.arrived[i]; missing != 0 {
				lane := bits.TrailingZeros32(missing)
				return b.faultAt(w, lane, Deadlock, bar.line, "the thread never comes: barrier %d waits for it, and it waits at line %d", number, w.lineOf(lane))
			}
		}
		return b.faultAt(b.warps[0], 0, Deadlock, bar.line, "barrier %d waits for %d threads, and fewer come", number, bar.count)
	}
	return &Fault{Kind: Deadlock, Kernel: b.launch.fn.Name, Block: b.id, Detail: fmt.Sprintf("%d warps wait", len(b.warps))}
}
