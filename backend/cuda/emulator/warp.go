package emulator

// Warps: 32 threads in lock step, in fragments where they have parted.

import (
	"fmt"
	"math/bits"
)

const allLanes = 1<<warpSize - 1

// lanes is one register of every thread of a warp.
type lanes [warpSize]uint64

// A waitKind says what a fragment waits for.
type waitKind uint8

const (
	running     waitKind = iota
	waitBarrier          // of the block
	waitLanes            // the others that its membermask names
)

// A fragment is those threads of a warp that stand at the same instruction.
type fragment struct {
	pc      int32
	mask    uint32
	wait    waitKind
	barrier uint32 // number of the barrier, for waitBarrier
	members uint32 // the membermask, for waitLanes
}

func (f fragment) lane() int { return bits.TrailingZeros32(f.mask) }

type warp struct {
	block *block
	index int
	all   uint32 // the lanes that exist
	live  uint32 // those that have not exited
	frags []fragment
	pc    int32 // being executed
	steps uint64

	registers
	carry uint32 // the carry flag of add.cc and its like

	cache *region // the region that the last access has hit
	order warpOrder
}

// registers are those of a warp. A warp of a later launch of the function may take
// them over: constants stay, and what is not set cannot be read.
type registers struct {
	regs    []lanes
	set     []uint32 // of each register, the lanes that have written it
	preds   []uint32
	predSet []uint32
}

func newRegisters(fn *Function) registers {
	if r, ok := fn.spare.Get().(*registers); ok {
		return *r
	}
	r := registers{make([]lanes, len(fn.rows)), make([]uint32, len(fn.rows)),
		make([]uint32, len(fn.predicates)), make([]uint32, len(fn.predicates))}
	for i, row := range fn.rows {
		for l := range r.regs[i] {
			r.regs[i][l] = row.value
		}
	}
	return r
}

func newWarp(b *block, index int) *warp {
	w := &warp{block: b, index: index, all: allLanes, registers: newRegisters(b.launch.fn)}
	if rest := b.threads - index*warpSize; rest < warpSize {
		w.all = 1<<rest - 1
	}
	return w
}

// begin makes the warp ready for the block's next run.
func (w *warp) begin() {
	fn := w.block.launch.fn
	allowUnset := w.block.launch.gpu.config.AllowUnset
	w.live, w.steps, w.carry = w.all, 0, 0
	w.frags = append(w.frags[:0], fragment{mask: w.all})
	for i, r := range fn.rows {
		switch {
		case r.special != nil:
			for l := range w.regs[i] {
				w.regs[i][l] = r.special(w, l)
			}
			w.set[i] = allLanes
		case r.set:
			w.set[i] = allLanes
		case allowUnset:
			w.regs[i], w.set[i] = lanes{}, allLanes
		default:
			w.set[i] = 0
		}
	}
	for i := range w.preds {
		w.preds[i], w.predSet[i] = 0, 0
		if i == 0 {
			w.preds[i] = allLanes
		}
		if i == 0 || allowUnset {
			w.predSet[i] = allLanes
		}
	}
	w.beginOrder()
}

// thread is the %tid of a lane.
func (w *warp) thread(lane int) [3]uint32 {
	n := uint32(w.index*warpSize + lane)
	d := w.block.launch.block
	return [3]uint32{n % d[0], n / d[0] % d[1], n / d[0] / d[1]}
}

// pick merges the running fragments that stand at the same instruction and
// returns the one to run next: the first in the function's order. -1 if all
// wait.
func (w *warp) pick() int {
	if len(w.frags) == 1 {
		if w.frags[0].wait == running {
			return 0
		}
		return -1
	}
	best, order := -1, w.block.launch.fn.order
	for i := 0; i < len(w.frags); i++ {
		f := &w.frags[i]
		switch {
		case f.wait != running:
		case best >= 0 && f.pc == w.frags[best].pc:
			w.frags[best].mask |= f.mask
			w.drop(i)
			i--
		case best < 0 || order[f.pc] < order[w.frags[best].pc] ||
			order[f.pc] == order[w.frags[best].pc] && f.pc < w.frags[best].pc:
			best = i
		}
	}
	return best
}

// drop removes a fragment; those after it move up.
func (w *warp) drop(i int) { w.frags = append(w.frags[:i], w.frags[i+1:]...) }

// run executes up to about quantum instructions, or until every thread waits
// or has exited.
func (w *warp) run(quantum int) *Fault {
	fn := w.block.launch.fn
	end := w.steps + uint64(quantum)
	for w.steps < end && w.live != 0 {
		i := w.pick()
		if i < 0 {
			return nil
		}
		pc, mask := w.frags[i].pc, w.frags[i].mask
		for w.steps < end {
			in := &fn.code[pc]
			w.pc = pc
			w.steps++
			m := w.preds[in.guard]
			if in.guardNot {
				m = ^m
			}
			m &= mask
			if mask&^w.predSet[in.guard] != 0 {
				return w.needPredicates(mask, in.guard)
			}
			switch {
			case m == 0:
				pc++
			case in.flow == flowNone:
				if f := in.exec(w, in, m); f != nil {
					return f
				}
				pc++
			case in.flow == flowBranch && m == mask:
				pc = in.target
			case in.flow == flowBranch:
				w.frags = append(w.frags, fragment{pc: in.target, mask: m})
				mask &^= m
				w.frags[i].mask = mask
				pc++
			default:
				w.frags[i].pc = pc
				if f := w.meet(i, in, m); f != nil {
					return f
				}
				pc = -1
			}
			if pc < 0 {
				break // meet has put the fragments where they belong
			}
			if len(w.frags) > 1 && fn.leader[pc] {
				break
			}
		}
		if pc >= 0 {
			w.frags[i].pc = pc
		}
	}
	return nil
}

// meet executes what ends threads or makes them wait for each other: lanes m
// of fragment i do, its others go on.
func (w *warp) meet(i int, in *inst, m uint32) *Fault {
	f := w.frags[i]
	if rest := f.mask &^ m; rest != 0 {
		w.frags = append(w.frags, fragment{pc: f.pc + 1, mask: rest})
		w.frags[i].mask = m
	}
	switch in.flow {
	case flowExit:
		w.drop(i)
		w.live &^= m
		return w.exited(in, m)
	case flowBarrier:
		return w.arrive(i, in, m)
	}
	return w.gather(i, in, m)
}

// exited checks that nobody waits for threads that have ended.
func (w *warp) exited(in *inst, m uint32) *Fault {
	for _, f := range w.frags {
		if gone := f.members & m; f.wait == waitLanes && gone != 0 {
			w.pc = f.pc
			return w.fault(f.lane(), BadMask, "membermask %#x names lane %d, which has exited in line %d",
				f.members, bits.TrailingZeros32(gone), in.line)
		}
	}
	return w.block.exited(w)
}

// gather executes an instruction that the lanes of a membermask execute
// together, for each set of lanes that is complete; the others wait.
func (w *warp) gather(i int, in *inst, m uint32) *Fault {
	op := in.x.ops[len(in.x.ops)-1]
	if f := w.need(m, op.row); f != nil {
		return f
	}
	pc := w.frags[i].pc
	w.drop(i)
	for m != 0 {
		lane := bits.TrailingZeros32(m)
		members := uint32(w.regs[op.row][lane])
		group := uint32(0)
		for l := range lanesOf(m) {
			if uint32(w.regs[op.row][l]) == members {
				group |= 1 << l
			}
		}
		m &^= group
		if outside := group &^ members; outside != 0 {
			return w.fault(bits.TrailingZeros32(outside), BadMask, "membermask %#x does not name the thread's own lane %d",
				members, bits.TrailingZeros32(outside))
		}
		if missing := members &^ w.live; missing != 0 {
			why := "has exited"
			if missing &= members &^ w.all; missing != 0 {
				why = "does not exist in this block"
			} else {
				missing = members &^ w.live
			}
			return w.fault(lane, BadMask, "membermask %#x names lane %d, which %s", members, bits.TrailingZeros32(missing), why)
		}
		if f := w.join(fragment{pc: pc, mask: group, wait: waitLanes, members: members}, in); f != nil {
			return f
		}
	}
	return nil
}

// join adds a set of lanes to those that wait with the same membermask, and
// executes the instruction when all of it are there.
func (w *warp) join(f fragment, in *inst) *Fault {
	union, met := f.mask, []int(nil)
	for i, o := range w.frags {
		if o.wait != waitLanes || o.members != f.members {
			continue
		}
		other := &w.block.launch.fn.code[o.pc]
		if o.pc != f.pc && (in.x.m.form != other.x.m.form || in.x.m.form.syntax != "bar.warp.sync") {
			return w.fault(f.lane(), BadMask, "lanes %#x of membermask %#x wait at another instruction, in line %d", o.mask, f.members, other.line)
		}
		union |= o.mask
		met = append(met, i)
	}
	if union != f.members {
		w.frags = append(w.frags, f)
		return nil
	}
	for _, i := range met {
		w.frags[i].wait = running
		w.frags[i].pc++
	}
	w.frags = append(w.frags, fragment{pc: f.pc + 1, mask: f.mask})
	return in.exec(w, in, union)
}

// fault describes a mistake of a thread at the instruction being executed.
func (w *warp) fault(lane int, k Kind, format string, args ...any) *Fault {
	fn := w.block.launch.fn
	line := int(fn.code[w.pc].line)
	return &Fault{Kind: k, Kernel: fn.Name, Line: line, Source: fn.module.source(line), Block: w.block.id,
		Thread: w.thread(lane), Seed: w.block.launch.gpu.config.Seed, Detail: fmt.Sprintf(format, args...)}
}

// need checks that lanes have written the registers that they read.
func (w *warp) need(mask uint32, rows ...int32) *Fault {
	for _, row := range rows {
		if bad := mask &^ w.set[row]; bad != 0 {
			return w.unset(bad, w.block.launch.fn.rows[row].name)
		}
	}
	return nil
}

// needPredicates is need for predicates.
func (w *warp) needPredicates(mask uint32, predicates ...int32) *Fault {
	for _, p := range predicates {
		if bad := mask &^ w.predSet[p]; bad != 0 {
			return w.unset(bad, w.block.launch.fn.predicates[p])
		}
	}
	return nil
}

func (w *warp) unset(bad uint32, name string) *Fault {
	return w.fault(bits.TrailingZeros32(bad), UnsetRegister, "the thread reads %s, which it has not written", name)
}

// lanesOf iterates over the lanes in a mask.
func lanesOf(mask uint32) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for ; mask != 0; mask &= mask - 1 {
			if !yield(bits.TrailingZeros32(mask)) {
				return
			}
		}
	}
}
