package main

import (
	"go/types"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var goInt = types.Typ[types.Int]

func pointerTo(t types.Type) types.Type { return types.NewPointer(t) }

// addRows writes the function that adds rows to the running sums of the batch
// axis: four at a time, so that a sum is not loaded and stored for each.
func (f *file) addRows(name string) {
	e := f.begin(name, []string{name + " adds rows of n elements, which begin stride elements apart, to n running sums."}, nil,
		parameter{"sums", pointerTo(types.Typ[types.Float64])}, parameter{"x", pointerTo(f.goType())},
		parameter{"n", goInt}, parameter{"stride", goInt}, parameter{"rows", goInt})
	x, stride, rows := e.parameter("x"), e.parameter("stride"), e.parameter("rows")
	e.SHLQ(operand.Imm(uint64(2+e.size/8)), stride)
	stride3 := e.GP64()
	e.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	for _, atOnce := range []int{4, 1} {
		next, done := e.label("rows"), e.label("added")
		e.Label(next)
		e.CMPQ(rows, imm(atOnce))
		e.JLT(operand.LabelRef(done))
		e.addSomeRows(x, []operand.Mem{{Base: x}, {Base: x, Index: stride, Scale: 1}, {Base: x, Index: stride, Scale: 2}, {Base: x, Index: stride3, Scale: 1}}[:atOnce])
		for range atOnce {
			e.ADDQ(stride, x)
		}
		e.SUBQ(imm(atOnce), rows)
		e.JMP(operand.LabelRef(next))
		e.Label(done)
	}
	e.end()
}

// addSomeRows adds the rows, which are at places relative to x, to the sums.
func (e *emitter) addSomeRows(x reg.GPVirtual, rows []operand.Mem) {
	sums, left, begin := e.parameter("sums"), e.parameter("n"), e.GP64()
	e.MOVQ(x, begin)
	e.loop(left, []int{2 * e.isa.bytes / 8, e.isa.bytes / 8, 1}, func(count int) {
		perVector := min(count, e.isa.bytes/8)
		for i := range count / perVector {
			to := operand.Mem{Base: sums, Disp: i * e.isa.bytes}
			sum := e.doubles(perVector, to)
			for _, row := range rows {
				row.Disp = i * perVector * e.size
				if perVector == 1 {
					e.VADDSD(e.wide(1, row), sum, sum)
				} else {
					e.VADDPD(e.wide(perVector, row), sum, sum)
				}
			}
			e.storeDoubles(perVector, sum, to)
		}
		e.ADDQ(imm(8*count), sums)
		e.ADDQ(imm(e.size*count), x)
	})
	e.MOVQ(begin, x)
}

// round writes the function that makes elements of sums.
func (f *file) round(name string) {
	e := f.begin(name, []string{name + " rounds n sums to elements of dst."}, nil,
		parameter{"dst", pointerTo(f.goType())}, parameter{"sums", pointerTo(types.Typ[types.Float64])}, parameter{"n", goInt})
	dst, sums := e.parameter("dst"), e.parameter("sums")
	e.loop(e.parameter("n"), []int{e.isa.bytes / 8, 1}, func(count int) {
		from, to := operand.Mem{Base: sums}, operand.Mem{Base: dst}
		switch {
		case e.size == 8:
			e.storeDoubles(count, e.doubles(count, from), to)
		case count == 1:
			x := e.XMM()
			e.VCVTSD2SS(from, x, x)
			e.VMOVSS(x, to)
		default:
			e.isa.roundDoubles(e, from, to)
		}
		e.ADDQ(imm(8*count), sums)
		e.ADDQ(imm(e.size*count), dst)
	})
	e.end()
}

// loop writes loops over left elements, each with so many at once.
func (e *emitter) loop(left reg.GPVirtual, counts []int, body func(count int)) {
	for _, count := range counts {
		next, done := e.label("some"), e.label("none")
		e.Label(next)
		e.CMPQ(left, imm(count))
		e.JLT(operand.LabelRef(done))
		body(count)
		e.SUBQ(imm(count), left)
		e.JMP(operand.LabelRef(next))
		e.Label(done)
	}
}

// doubles loads a vector of float64, or one.
func (e *emitter) doubles(n int, from operand.Mem) reg.Register {
	if n == 1 {
		x := e.XMM()
		e.VMOVSD(from, x)
		return x
	}
	x := e.isa.vector(e.Context)
	e.VMOVUPD(from, x)
	return x
}

func (e *emitter) storeDoubles(n int, x reg.Register, to operand.Mem) {
	if n == 1 {
		e.VMOVSD(x, to)
	} else {
		e.VMOVUPD(x, to)
	}
}

// wide is a vector's worth of elements, or one, as float64.
func (e *emitter) wide(n int, from operand.Mem) operand.Op {
	switch {
	case e.size == 8:
		return from
	case n == 1:
		x := e.XMM()
		e.VXORPS(x, x, x)
		e.VCVTSS2SD(from, x, x)
		return x
	}
	x := e.isa.vector(e.Context)
	e.VCVTPS2PD(from, x)
	return x
}

// repeatWide writes the function that repeats elements n times each, for n of
// a vector or more: whole vectors, the last of which ends where the n do.
func (f *file) repeatWide(name string) {
	e := f.begin(name, []string{name + " writes each of rows elements of x n times to dst; n is a vector's elements or more."}, nil,
		parameter{"dst", pointerTo(f.goType())}, parameter{"x", pointerTo(f.goType())},
		parameter{"n", goInt}, parameter{"rows", goInt})
	dst, x, bytes, rows := e.parameter("dst"), e.parameter("x"), e.parameter("n"), e.parameter("rows")
	e.SHLQ(operand.Imm(uint64(2+e.size/8)), bytes)

	nextRow, end := e.label("row"), e.label("end")
	e.Label(nextRow)
	e.TESTQ(rows, rows)
	e.JZ(operand.LabelRef(end))
	v := e.op(vbroadcast, operand.Mem{Base: x})
	rowEnd, last := e.GP64(), e.GP64()
	e.LEAQ(operand.Mem{Base: dst, Index: bytes, Scale: 1}, rowEnd)
	e.LEAQ(operand.Mem{Base: rowEnd, Disp: -e.isa.bytes}, last)
	next, done := e.label("store"), e.label("stored")
	e.Label(next)
	e.CMPQ(dst, last)
	e.JGE(operand.LabelRef(done))
	e.do(vmov, v, operand.Mem{Base: dst})
	e.ADDQ(imm(e.isa.bytes), dst)
	e.JMP(operand.LabelRef(next))
	e.Label(done)
	e.do(vmov, v, operand.Mem{Base: last})
	e.MOVQ(rowEnd, dst)
	e.ADDQ(imm(e.size), x)
	e.DECQ(rows)
	e.JMP(operand.LabelRef(nextRow))
	e.Label(end)
	e.end()
}

// repeatNarrow writes the function that repeats elements n times each, for an n
// of so few that a vector's elements often are of several. A vector of the
// result takes its elements from one of x by a permutation, which depends on how
// far into the n it starts: its phase.
func (f *file) repeatNarrow(name string) {
	e := f.begin(name, []string{
		name + " writes vectors of dst, the elements of x n times each. The first",
		"vector starts phase elements into the n of the first element of x. The table holds",
		"a permutation for each phase.",
	}, nil,
		parameter{"dst", pointerTo(f.goType())}, parameter{"x", pointerTo(f.goType())},
		parameter{"table", pointerTo(types.Typ[types.Int32])},
		parameter{"n", goInt}, parameter{"phase", goInt}, parameter{"vectors", goInt})
	n := e.parameter("n")
	// By so many vectors x moves on by the quotient of their elements by n, and
	// the phase by the remainder.
	stepOf := func(vectors int) (bytes, rest reg.GPVirtual) {
		bytes, rest = e.GP64(), e.GP64()
		e.MOVQ(imm(vectors*e.width), reg.RAX)
		e.XORQ(reg.RDX, reg.RDX)
		e.DIVQ(n)
		e.MOVQ(reg.RAX, bytes)
		e.MOVQ(reg.RDX, rest)
		e.SHLQ(operand.Imm(uint64(2+e.size/8)), bytes)
		return bytes, rest
	}
	bytes, rest := stepOf(1)

	// Two vectors side by side, since where one starts follows from the one
	// before in several cycles.
	dst, table := e.parameter("dst"), e.parameter("table")
	x := []reg.GPVirtual{e.parameter("x"), e.GP64()}
	phase := []reg.GPVirtual{e.parameter("phase"), e.GP64()}
	move := func(i int, bytes, rest reg.GPVirtual) {
		over, next := e.GP64(), e.GP64()
		e.ADDQ(bytes, x[i])
		e.ADDQ(rest, phase[i])
		e.LEAQ(operand.Mem{Base: x[i], Disp: e.size}, next)
		e.MOVQ(phase[i], over)
		e.SUBQ(n, over)
		e.CMOVQGE(over, phase[i])
		e.CMOVQGE(next, x[i])
	}
	write := func(i int) {
		row := e.GP64()
		e.MOVQ(phase[i], row)
		e.SHLQ(operand.Imm(uint64(5+e.isa.bytes/64)), row)
		permutation, v := e.isa.vector(e.Context), e.isa.vector(e.Context)
		e.VMOVUPS(operand.Mem{Base: table, Index: row, Scale: 1}, permutation)
		e.VPERMPS(operand.Mem{Base: x[i]}, permutation, v)
		e.do(vmov, v, operand.Mem{Base: dst, Disp: i * e.isa.bytes})
	}
	e.MOVQ(x[0], x[1])
	e.MOVQ(phase[0], phase[1])
	move(1, bytes, rest)
	bytes, rest = stepOf(2)

	vectors := e.parameter("vectors")
	next, last, end := e.label("vectors"), e.label("last"), e.label("end")
	e.Label(next)
	e.CMPQ(vectors, imm(2))
	e.JLT(operand.LabelRef(last))
	for i := range x {
		write(i)
		move(i, bytes, rest)
	}
	e.ADDQ(imm(2*e.isa.bytes), dst)
	e.SUBQ(imm(2), vectors)
	e.JMP(operand.LabelRef(next))
	e.Label(last)
	e.TESTQ(vectors, vectors)
	e.JZ(operand.LabelRef(end))
	write(0)
	e.Label(end)
	e.end()
}
