package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"errorcell/backend/cpu/internal/form"
	"errorcell/kernels"
)

// tree is a sum by the fixed tree of a form (kernels.TreeSum).
type tree struct {
	sum   int         // of the form
	lanes operand.Mem // of the block
}

// blocks writes the loop over n elements for a form with sums by the tree: a
// block each, of which the last may be a part.
//
// As many lanes of a block as fit into registers are a strip. A block is
// computed strip by strip, each from the block's first row of lanes to its
// last; a part of a block in strips of a vector, with masks.
func (b *body) blocks(n reg.GPVirtual) {
	strip := b.isa.accumulators * b.isa.bytes / 8
	for n := 1; n < trees(b.form); n *= 2 {
		strip /= 2
	}
	if b.isa.accumulators == 8 && len(b.outside) > 0 {
		strip /= 2 // which leaves registers for the values that stay the same
	}
	strip = max(strip, b.width)
	var sums []tree
	for i, s := range b.form.Sums {
		if !s.Count {
			sums = append(sums, tree{sum: i, lanes: b.AllocLocal(8 * kernels.Lanes)})
		}
	}
	next, part, fold, end := b.label("block"), b.label("part"), b.label("fold"), b.label("end")
	b.Label(next)
	b.TESTQ(n, n)
	b.JZ(operand.LabelRef(end))
	b.CMPQ(n, imm(kernels.BlockSize))
	b.JLT(operand.LabelRef(part))
	b.block(sums, strip, nil)
	b.SUBQ(imm(kernels.BlockSize), n)
	b.JMP(operand.LabelRef(fold))
	b.Label(part)
	b.block(sums, b.width, n)
	b.XORQ(n, n)
	b.Label(fold)
	for _, t := range sums {
		b.foldLanes(t)
	}
	if b.nextBlock != nil {
		b.nextBlock()
	}
	b.JMP(operand.LabelRef(next))
	b.Label(end)
}

// block writes the loops over one block, or over the n elements of the last
// one. The offset goes on to the next.
func (b *body) block(sums []tree, strip int, n reg.GPVirtual) {
	if b.inOrder > 0 {
		b.blockInOrder(sums, n)
		return
	}
	start, first := b.GP64(), b.GP64() // the block's offset, the strip's first lane
	b.MOVQ(b.offset, start)
	b.XORQ(first, first)
	nextStrip := b.label("strip")
	b.Label(nextStrip)
	b.LEAQ(operand.Mem{Base: start, Index: first, Scale: uint8(b.size)}, b.offset)

	registers := make([][]reg.VecVirtual, len(sums))
	for i := range sums {
		for range strip * 8 / b.isa.bytes {
			registers[i] = append(registers[i], b.zeros())
		}
	}
	// How many elements of the block there are from here on.
	left := b.GP64()
	if n != nil {
		b.MOVQ(n, left)
	} else {
		b.MOVQ(imm(kernels.BlockSize), left)
	}
	b.SUBQ(first, left)
	next, done := b.label("row"), b.label("done")
	b.Label(next)
	b.CMPQ(left, imm(0))
	b.JLE(operand.LabelRef(done))
	for v := 0; v < strip; v += b.width {
		var mask operand.Op
		if n != nil {
			mask = b.isa.first(b.emitter, left)
		}
		if strip < kernels.Lanes && n == nil && v*b.size%cacheLine == 0 {
			// The processor does not guess the next block from steps of a row.
			b.prefetch((kernels.BlockSize + v) * b.size)
		}
		values := b.vector(v*b.size, mask)
		b.count(values, 0)
		for i, t := range sums {
			b.addLanes(values[t.sum], registers[i][v*8/b.isa.bytes:])
		}
	}
	b.ADDQ(imm(kernels.Lanes*b.size), b.offset)
	b.SUBQ(imm(kernels.Lanes), left)
	b.JMP(operand.LabelRef(next))
	b.Label(done)

	for i, t := range sums {
		for j, x := range registers[i] {
			to := t.lanes.Offset(j * b.isa.bytes)
			to.Index, to.Scale = first, 8
			b.VMOVUPD(x, to)
		}
	}
	b.ADDQ(imm(strip), first)
	b.CMPQ(first, imm(kernels.Lanes))
	b.JLT(operand.LabelRef(nextStrip))
	b.LEAQ(operand.Mem{Base: start, Disp: kernels.BlockSize * b.size}, b.offset)
}

// blockInOrder writes the loop over the block's elements in their order, for lanes
// that stay in memory.
func (b *body) blockInOrder(sums []tree, n reg.GPVirtual) {
	for _, t := range sums {
		zeros := b.zeros()
		for at := 0; at < 8*kernels.Lanes; at += b.isa.bytes {
			b.VMOVUPD(zeros, t.lanes.Offset(at))
		}
	}
	lane, left := b.GP64(), b.GP64()
	b.XORQ(lane, lane)
	vectors := []int{0}
	if n != nil {
		b.MOVQ(n, left)
	} else {
		b.MOVQ(imm(kernels.BlockSize), left)
		for v := 1; v < b.inOrder; v++ {
			vectors = append(vectors, v*b.isa.bytes)
		}
	}
	next := b.label("row")
	b.Label(next)
	var mask operand.Op
	if n != nil {
		mask = b.isa.first(b.emitter, left)
	}
	halves := b.width * 8 / b.isa.bytes
	for v, values := range b.sideBySide(vectors, mask) {
		b.count(values, 0)
		for _, t := range sums {
			for j := range halves {
				at := t.lanes.Offset((v*halves + j) * b.isa.bytes)
				at.Index, at.Scale = lane, 8
				total := b.isa.vector(b.Context)
				b.VADDPD(at, b.widened(values[t.sum], j), total)
				b.VMOVUPD(total, at)
			}
		}
	}
	b.ADDQ(imm(len(vectors)*b.isa.bytes), b.offset)
	b.ADDQ(imm(len(vectors)*b.width), lane)
	b.ANDQ(imm(kernels.Lanes-1), lane)
	b.SUBQ(imm(len(vectors)*b.width), left)
	b.CMPQ(left, imm(0))
	b.JG(operand.LabelRef(next))
}

// cacheLine is the bytes that memory moves in.
const cacheLine = 64

// prefetch asks for the lines of the streams displacement bytes from the
// offset on.
func (b *body) prefetch(displacement int) {
	for i, access := range b.form.Operands {
		if access == form.Stream {
			b.PREFETCHT0(operand.Mem{Base: b.operands[i], Index: b.offset, Scale: 1, Disp: displacement})
		}
	}
}

// addLanes adds a vector's elements, as float64, to as many lanes.
func (b *body) addLanes(x reg.VecVirtual, lanes []reg.VecVirtual) {
	for i := range b.width * 8 / b.isa.bytes {
		b.VADDPD(b.widened(x, i), lanes[i], lanes[i])
	}
}

// widened is a vector's elements as float64, or of float32 the lower or the
// upper half of them.
func (b *body) widened(x reg.VecVirtual, upper int) reg.VecVirtual {
	if b.size == 8 {
		return x
	}
	half := b.isa.half(x)
	if upper == 1 {
		half = b.isa.upper(b.emitter, x)
	}
	wide := b.isa.vector(b.Context)
	b.VCVTPS2PD(half, wide)
	return wide
}

// foldLanes makes one number of the lanes of a block (kernels.FoldLanes).
func (b *body) foldLanes(t tree) {
	// fold is a vector of lanes once there are no more than so many vectors.
	var fold func(i, vectors int) reg.VecVirtual
	fold = func(i, vectors int) reg.VecVirtual {
		if vectors*b.isa.bytes == 8*kernels.Lanes {
			x := b.isa.vector(b.Context)
			b.VMOVUPD(t.lanes.Offset(i*b.isa.bytes), x)
			return x
		}
		x, y := fold(i, 2*vectors), fold(i+vectors, 2*vectors)
		b.VADDPD(y, x, x)
		return x
	}
	b.finish(t.sum, b.across(fold(0, 1), 8))
}
