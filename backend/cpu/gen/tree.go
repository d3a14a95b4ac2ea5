package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"errorcell/backend/cpu/internal/form"
	"errorcell/kernels"
)

// tree is a sum by the fixed tree of a form (kernels.TreeSum).
type tree struct {
	sum int // of the form
	// summands is the address of those of a block, as elements.
	summands reg.GPVirtual
}

// cacheLine is the bytes that memory moves in.
const cacheLine = 64

// blocks writes the loop over n elements for a form with sums by the tree: a
// block each, of which the last may be a part.
//
// The elements of a block are computed as those of other forms are, and the
// summands go to the stack, where they are added up afterwards. Whole blocks go
// without the stack where the summands are in memory anyway, and where all lanes
// are in registers at once; but not past the caches: memory would wait for all
// that is computed between one load and the next.
func (b *body) blocks(n reg.GPVirtual) {
	for i, s := range b.form.Sums {
		if !s.Count {
			b.trees = append(b.trees, tree{i, b.allocate(kernels.BlockSize * b.size)})
		}
	}
	first := b.form.Sums[b.trees[0].sum]
	summand := b.form.Nodes[first.Node]
	var whole func() // nil where whole blocks use the stack
	switch {
	case len(b.form.Sums) > 1:
	case summand.Op == kernels.OpInput && len(b.form.Results) == 0:
		whole = func() {
			x := b.GP64()
			b.LEAQ(operand.Mem{Base: b.operands[summand.Index], Index: b.offset, Scale: 1}, x)
			b.addSummands(tree{0, x})
			b.ADDQ(imm(kernels.BlockSize*b.size), b.offset)
		}
	case b.isa.accumulators*b.isa.bytes == 8*kernels.Lanes && !b.streaming && b.vectors == 0:
		whole = b.blockAtOnce
	}
	next, all, added, end := b.label("block"), b.label("whole"), b.label("added"), b.label("end")
	b.Label(next)
	b.TESTQ(n, n)
	b.JZ(operand.LabelRef(end))
	left := b.GP64() // of the block
	b.MOVQ(imm(kernels.BlockSize), left)
	b.CMPQ(n, left)
	b.JGE(operand.LabelRef(all))
	b.MOVQ(n, left)
	b.clearSummands()
	unroll := 1
	if whole == nil {
		b.Label(all)
		unroll = b.isa.unroll
	}
	b.SUBQ(left, n)
	b.summand = b.GP64()
	b.XORQ(b.summand, b.summand)
	b.elements(left, unroll)
	for _, t := range b.trees {
		b.addSummands(t)
	}
	if whole != nil {
		b.JMP(operand.LabelRef(added))
		b.Label(all)
		b.SUBQ(left, n)
		whole()
		b.Label(added)
	}
	if b.nextBlock != nil {
		b.nextBlock()
	}
	b.JMP(operand.LabelRef(next))
	b.Label(end)
}

// allocate is the address of so many bytes on the stack, from a cache line's
// first on.
func (b *body) allocate(bytes int) reg.GPVirtual {
	at := b.GP64()
	b.LEAQ(b.AllocLocal(bytes+cacheLine), at)
	b.ADDQ(imm(cacheLine-1), at)
	b.ANDQ(operand.I32(-cacheLine), at)
	return at
}

// clearSummands makes all summands of a block +0, which those are that the last
// block lacks.
func (b *body) clearSummands() {
	zeros, at, next := b.zeros(), b.GP64(), b.label("clear")
	b.XORQ(at, at)
	b.Label(next)
	for _, t := range b.trees {
		b.do(vmov, zeros, operand.Mem{Base: t.summands, Index: at, Scale: 1})
	}
	b.ADDQ(imm(b.isa.bytes), at)
	b.CMPQ(at, imm(kernels.BlockSize*b.size))
	b.JLT(operand.LabelRef(next))
}

// keepSummands stores the summands of a vector, displacement bytes from the
// next one on.
func (b *body) keepSummands(values []reg.VecVirtual, displacement int) {
	for _, t := range b.trees {
		b.do(vmov, values[t.sum], operand.Mem{Base: t.summands, Index: b.summand, Scale: 1, Disp: displacement})
	}
}

// addSummands adds up the summands of a block, strip by strip: as many lanes as
// fit into registers, and of all lanes those that meet first.
func (b *body) addSummands(t tree) {
	perVector := b.isa.bytes / 8
	strips := kernels.Lanes / perVector / b.isa.accumulators
	var sums []reg.VecVirtual
	ahead := b.GP64()
	if b.streaming {
		b.MOVQ(b.offset, ahead)
	}
	for s := range strips {
		from := b.GP64()
		b.MOVQ(t.summands, from)
		lanes := b.rows(func(lanes []reg.VecVirtual) {
			for i, lane := range lanes {
				b.addLane(operand.Mem{Base: from, Disp: (s + i*strips) * perVector * b.size}, lane)
			}
			b.ADDQ(imm(kernels.Lanes*b.size), from)
			if b.streaming && s == 0 {
				b.prefetch(ahead)
			}
		})
		sums = append(sums, b.fold(lanes))
	}
	b.finish(t.sum, b.across(b.fold(sums), 8))
}

// prefetch asks for the next lines of the streams from an offset on, so that
// memory does not stand still while summands are added up. To ask for more, for
// the whole block in the end, made steps slower.
func (b *body) prefetch(ahead reg.GPVirtual) {
	var streams []reg.GPVirtual
	for i, access := range b.form.Operands {
		if access == form.Stream {
			streams = append(streams, b.operands[i])
		}
	}
	lines := max(1, b.isa.accumulators/4/len(streams))
	for _, x := range streams {
		for i := range lines {
			b.PREFETCHT0(operand.Mem{Base: x, Index: ahead, Scale: 1, Disp: i * cacheLine})
		}
	}
	b.ADDQ(imm(lines*cacheLine), ahead)
}

// blockAtOnce computes a whole block of a form with one sum, and adds that up.
func (b *body) blockAtOnce() {
	lanes := b.rows(func(lanes []reg.VecVirtual) {
		for v := range kernels.Lanes / b.width {
			x := b.vector(v*b.isa.bytes, nil)[0]
			if b.size == 8 {
				b.addLane(x, lanes[v])
				continue
			}
			upper := b.isa.upper(b.emitter, x)
			b.addLane(b.isa.half(x), lanes[2*v])
			b.addLane(upper, lanes[2*v+1])
		}
		b.ADDQ(imm(kernels.Lanes*b.size), b.offset)
	})
	b.finish(0, b.across(b.fold(lanes), 8))
}

// rows writes the loop over the rows of a block, each of which is added to the
// lanes.
func (b *body) rows(add func(lanes []reg.VecVirtual)) []reg.VecVirtual {
	lanes := make([]reg.VecVirtual, b.isa.accumulators)
	for i := range lanes {
		lanes[i] = b.zeros()
	}
	left, next := b.GP64(), b.label("row")
	b.MOVQ(imm(kernels.BlockSize/kernels.Lanes), left)
	b.Label(next)
	add(lanes)
	b.DECQ(left)
	b.JNZ(operand.LabelRef(next))
	return lanes
}

// addLane adds elements, as float64, to as many lanes.
func (b *body) addLane(x operand.Op, lane reg.VecVirtual) {
	if b.size == 4 {
		wide := b.isa.vector(b.Context)
		b.VCVTPS2PD(x, wide)
		x = wide
	}
	b.VADDPD(x, lane, lane)
}

// fold adds the second half of some vectors of lanes to the first, and so on
// down to one (kernels.FoldLanes).
func (b *body) fold(lanes []reg.VecVirtual) reg.VecVirtual {
	for half := len(lanes) / 2; half > 0; half /= 2 {
		for i := range half {
			b.VADDPD(lanes[i+half], lanes[i], lanes[i])
		}
	}
	return lanes[0]
}
