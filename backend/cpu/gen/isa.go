package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/mmcloughlin/avo/x86"

	"errorcell/kernels"
)

// An instruction set is a table: how wide a vector is, how many registers
// there are, and the few things that it does in a way of its own. All the rest
// has the same instructions, by the type of the element.

// isa is an instruction set.
type isa struct {
	name  string
	bytes int // of a vector
	// needs are the features of a processor that it is, by cpuid's names.
	needs []string
	// unroll is how many vectors an iteration of the main loop computes.
	unroll int
	// sideBySide is how many vectors of a long form are computed side by side at
	// most: with more, there is no register left for any constant.
	sideBySide int
	// accumulators is how many vectors of running sums fit into the registers
	// beside the rest.
	accumulators int

	// own is how it computes operations that it has ways of its own for.
	own map[kernels.Op]lowering

	vector func(*build.Context) reg.VecVirtual
	half   func(reg.VecVirtual) reg.Register // the lower half of a vector

	// compare makes a mask of the elements for which the predicate holds.
	compare func(e *emitter, predicate byte, x, y operand.Op) operand.Op
	// blend is x where the mask is set, else y.
	blend func(e *emitter, mask, x, y operand.Op) reg.VecVirtual
	// truth is 1 where the mask is set, else 0.
	truth func(e *emitter, mask operand.Op) reg.VecVirtual
	// keep is x where the mask is set, else +0.
	keep func(e *emitter, mask, x operand.Op) reg.VecVirtual
	// sign is the sign of x: x itself where that is zero or NaN.
	sign func(e *emitter, x operand.Op) reg.VecVirtual
	// upper is the upper half of a vector.
	upper func(e *emitter, x reg.VecVirtual) reg.Register
	// roundDoubles stores a vector of float64 as float32.
	roundDoubles func(e *emitter, from, to operand.Mem)

	// first makes a mask of the first n elements, or of all if n is larger; n
	// is not negative.
	first func(e *emitter, n reg.GPVirtual) operand.Op
	// load and store do not touch the memory of elements without the mask; load
	// reads +0 there.
	load  func(e *emitter, mask, from operand.Op) reg.VecVirtual
	store func(e *emitter, mask, x, to operand.Op)

	// narrow makes bytes of a mask, 1 where it is set, else 0, from the first of
	// a register on.
	narrow func(e *emitter, mask operand.Op) reg.Register
	// storeBytes stores as many of them as a vector has elements or, with a mask
	// that first has made, those in the mask.
	storeBytes func(e *emitter, bytes reg.Register, mask operand.Op, to operand.Mem)
}

var avx2 = &isa{
	name: "AVX2", bytes: 32, needs: []string{"AVX2", "FMA3"}, unroll: 4, sideBySide: 2, accumulators: 8,
	vector: (*build.Context).YMM,
	half:   func(x reg.VecVirtual) reg.Register { return x.AsX() },
	compare: func(e *emitter, predicate byte, x, y operand.Op) operand.Op {
		mask := e.YMM()
		e.do(vcmp, operand.Imm(uint64(predicate)), y, e.register(x), mask)
		return mask
	},
	blend: func(e *emitter, mask, x, y operand.Op) reg.VecVirtual {
		return e.op(vblendv, mask, x, y)
	},
	truth: func(e *emitter, mask operand.Op) reg.VecVirtual {
		return e.op(vand, mask, e.constant(one))
	},
	keep: func(e *emitter, mask, x operand.Op) reg.VecVirtual { return e.op(vand, mask, x) },
	sign: func(e *emitter, x operand.Op) reg.VecVirtual {
		nonzero := e.isa.compare(e, notEqual, x, e.constant(zero))
		unit := e.op(vor, e.op(vand, x, e.constant(signBit)), e.constant(one))
		return e.isa.blend(e, nonzero, unit, x)
	},
	upper: func(e *emitter, x reg.VecVirtual) reg.Register {
		y := e.XMM()
		e.VEXTRACTF128(operand.Imm(1), x, y)
		return y
	},
	roundDoubles: func(e *emitter, from, to operand.Mem) {
		x := e.XMM()
		e.VCVTPD2PSY(from, x)
		e.VMOVUPS(x, to)
	},
	first: func(e *emitter, n reg.GPVirtual) operand.Op {
		// A table of as many ones as a vector has elements, then as many zeros:
		// the mask starts where n ones are left.
		table, from := e.GP64(), e.GP64()
		e.LEAQ(e.data("ones", maskTable(e.width)), table)
		e.MOVQ(imm(e.width), from)
		e.SUBQ(n, from)
		least := e.GP64()
		e.XORQ(least, least)
		e.CMPQ(from, imm(0))
		e.CMOVQLT(least, from)
		mask := e.YMM()
		e.VMOVUPS(operand.Mem{Base: table, Index: from, Scale: uint8(e.size)}, mask)
		return mask
	},
	load: func(e *emitter, mask, from operand.Op) reg.VecVirtual {
		x := e.YMM()
		e.do(vmaskmov, from, mask, x)
		return x
	},
	store: func(e *emitter, mask, x, to operand.Op) { e.do(vmaskmov, x, mask, to) },
	narrow: func(e *emitter, mask operand.Op) reg.Register {
		x := mask.(reg.VecVirtual)
		lower, upper, r := x.AsX(), e.isa.upper(e, x), e.XMM()
		if e.size == 8 { // of each element one half, which is as good as both
			const even = 0x88
			e.VSHUFPS(operand.Imm(even), upper, lower, r)
			lower, upper = r, r
		}
		e.VPACKSSDW(upper, lower, r)
		e.VPACKSSWB(r, r, r)
		e.VPAND(e.constant(bytesOfOne).(reg.VecVirtual).AsX(), r, r)
		return r
	},
	storeBytes: func(e *emitter, bytes reg.Register, mask operand.Op, to operand.Mem) {
		switch {
		case mask != nil:
			// There are no masks for bytes: one after the other.
			left, some, at := e.GP32(), e.GP64(), e.GP64()
			e.do(vmovmsk, mask, left)
			e.VMOVQ(bytes, some)
			e.LEAQ(to, at)
			next, done := e.label("byte"), e.label("stored")
			e.TESTL(left, left)
			e.JZ(operand.LabelRef(done))
			e.Label(next)
			e.MOVB(some.As8(), operand.Mem{Base: at})
			e.INCQ(at)
			e.SHRQ(operand.Imm(8), some)
			e.SHRL(operand.Imm(1), left)
			e.JNZ(operand.LabelRef(next))
			e.Label(done)
		case e.width == 8:
			e.VMOVQ(bytes, to)
		default:
			e.VMOVD(bytes, to)
		}
	},
}

var avx512 = &isa{
	name: "AVX512", bytes: 64, needs: []string{"AVX512F", "AVX512DQ", "AVX512BW", "AVX512VL", "BMI2"}, unroll: 4, sideBySide: 3, accumulators: 16,
	vector: (*build.Context).ZMM,
	half:   func(x reg.VecVirtual) reg.Register { return x.AsY() },
	compare: func(e *emitter, predicate byte, x, y operand.Op) operand.Op {
		mask := e.K()
		e.do(vcmp, operand.Imm(uint64(predicate)), y, e.register(x), mask)
		return mask
	},
	blend: func(e *emitter, mask, x, y operand.Op) reg.VecVirtual {
		return e.op(vblendm, x, y, mask)
	},
	truth: func(e *emitter, mask operand.Op) reg.VecVirtual { return e.isa.keep(e, mask, e.constant(one)) },
	keep: func(e *emitter, mask, x operand.Op) reg.VecVirtual {
		return e.op(vmovz, x, mask)
	},
	sign: func(e *emitter, x operand.Op) reg.VecVirtual {
		nonzero := e.isa.compare(e, notEqual, x, e.constant(zero))
		r := e.op(vmov, x)
		const aAndBOrC = 0xea
		e.do(vpternlog, operand.Imm(aAndBOrC), e.constant(one), e.register(e.constant(signBit)), nonzero, r)
		return r
	},
	upper: func(e *emitter, x reg.VecVirtual) reg.Register {
		y := e.YMM()
		e.VEXTRACTF64X4(operand.Imm(1), x, y)
		return y
	},
	roundDoubles: func(e *emitter, from, to operand.Mem) {
		x := e.YMM()
		e.VCVTPD2PS(from, x)
		e.VMOVUPS(x, to)
	},
	first: func(e *emitter, n reg.GPVirtual) operand.Op {
		// BZHI looks at the lowest byte of its index alone.
		index, most := e.GP64(), e.GP64()
		e.MOVQ(n, index)
		e.MOVQ(imm(e.width), most)
		e.CMPQ(index, most)
		e.CMOVQGT(most, index)
		bits, mask := e.GP64(), e.K()
		e.MOVQ(operand.I32(-1), bits)
		e.BZHIQ(index, bits, bits)
		e.KMOVQ(bits, mask)
		return mask
	},
	own: map[kernels.Op]lowering{
		// VSCALEF multiplies by a power of two, VGETEXP gives an exponent, both with
		// subnormal numbers, which are not wanted. NaN passes through both.
		kernels.OpPow2: {[]constant{one, leastHalf}, func(e *emitter, a []operand.Op) reg.VecVirtual {
			const nearestEven, notLess = 0x08, 0x15
			normal := e.isa.compare(e, notLess, a[0], e.constant(leastHalf))
			r := e.isa.vector(e.Context)
			e.do(vscalefz, e.op(vrndscale, operand.Imm(nearestEven), a[0]), e.register(e.constant(one)), normal, r)
			return r
		}},
		kernels.OpExponent: {[]constant{lowest, highest}, func(e *emitter, a []operand.Op) reg.VecVirtual {
			return e.bound(vmin, e.bound(vmax, e.op(vgetexp, a[0]), e.constant(lowest)), e.constant(highest))
		}},
	},
	load: func(e *emitter, mask, from operand.Op) reg.VecVirtual {
		x := e.ZMM()
		e.do(vmovz, from, mask, x)
		return x
	},
	store: func(e *emitter, mask, x, to operand.Op) { e.do(vmov, x, mask, to) },
	narrow: func(e *emitter, mask operand.Op) reg.Register {
		r := e.XMM()
		e.VMOVDQU8_Z(e.constant(bytesOfOne).(reg.VecVirtual).AsX(), mask, r)
		return r
	},
	storeBytes: func(e *emitter, bytes reg.Register, mask operand.Op, to operand.Mem) {
		switch {
		case mask != nil:
			e.VMOVDQU8(bytes, mask, to)
		case e.width == 16:
			e.VMOVDQU8(bytes, to)
		default:
			e.VMOVQ(bytes, to)
		}
	},
}

// The predicates of comparisons: all are false with NaN but unordered, which
// is true with it alone.
const (
	equal     = 0x00
	less      = 0x11
	lessEqual = 0x12
	unordered = 0x03
	notEqual  = 0x0c
)

// comparisons have a predicate each.
var comparisons = map[kernels.Op]byte{kernels.OpLess: less, kernels.OpLessEqual: lessEqual, kernels.OpEqual: equal}

// instruction is one for float32 and one for float64.
type instruction [2]func(*build.Context, ...operand.Op)

type context = build.Context

// The instructions by their name without the type.
var (
	vadd       = instruction{(*context).VADDPS, (*context).VADDPD}
	vsub       = instruction{(*context).VSUBPS, (*context).VSUBPD}
	vmul       = instruction{(*context).VMULPS, (*context).VMULPD}
	vdiv       = instruction{(*context).VDIVPS, (*context).VDIVPD}
	vmin       = instruction{(*context).VMINPS, (*context).VMINPD}
	vmax       = instruction{(*context).VMAXPS, (*context).VMAXPD}
	vsqrt      = instruction{(*context).VSQRTPS, (*context).VSQRTPD}
	vfmadd231  = instruction{(*context).VFMADD231PS, (*context).VFMADD231PD}
	vfmadd213  = instruction{(*context).VFMADD213PS, (*context).VFMADD213PD}
	vand       = instruction{(*context).VANDPS, (*context).VANDPD}
	vandn      = instruction{(*context).VANDNPS, (*context).VANDNPD}
	vor        = instruction{(*context).VORPS, (*context).VORPD}
	vxor       = instruction{(*context).VXORPS, (*context).VXORPD}
	vcmp       = instruction{(*context).VCMPPS, (*context).VCMPPD}
	vmov       = instruction{(*context).VMOVUPS, (*context).VMOVUPD}
	vmovnt     = instruction{two((*context).VMOVNTPS), two((*context).VMOVNTPD)}
	vmovz      = instruction{three((*context).VMOVUPS_Z), three((*context).VMOVUPD_Z)}
	vmovmsk    = instruction{two((*context).VMOVMSKPS), two((*context).VMOVMSKPD)}
	vmaskmov   = instruction{three((*context).VMASKMOVPS), three((*context).VMASKMOVPD)}
	vblendv    = instruction{blendv((*context).VBLENDVPS), blendv((*context).VBLENDVPD)}
	vblendm    = instruction{blendm(x86.VBLENDMPS), blendm(x86.VBLENDMPD)}
	vpadd      = instruction{(*context).VPADDD, (*context).VPADDQ}
	vpsll      = instruction{(*context).VPSLLD, (*context).VPSLLQ}
	vpsrl      = instruction{(*context).VPSRLD, (*context).VPSRLQ}
	vscalefz   = instruction{four((*context).VSCALEFPS_Z), four((*context).VSCALEFPD_Z)}
	vrndscale  = instruction{(*context).VRNDSCALEPS, (*context).VRNDSCALEPD}
	vgetexp    = instruction{(*context).VGETEXPPS, (*context).VGETEXPPD}
	vpternlog  = instruction{(*context).VPTERNLOGD, (*context).VPTERNLOGQ}
	vbroadcast = instruction{(*context).VBROADCASTSS, (*context).VBROADCASTSD}
)

func two(f func(*context, operand.Op, operand.Op)) func(*context, ...operand.Op) {
	return func(c *context, ops ...operand.Op) { f(c, ops[0], ops[1]) }
}

func three(f func(*context, operand.Op, operand.Op, operand.Op)) func(*context, ...operand.Op) {
	return func(c *context, ops ...operand.Op) { f(c, ops[0], ops[1], ops[2]) }
}

func four(f func(*context, operand.Op, operand.Op, operand.Op, operand.Op)) func(*context, ...operand.Op) {
	return func(c *context, ops ...operand.Op) { f(c, ops[0], ops[1], ops[2], ops[3]) }
}

// blendv takes the operands in the order mask, x, y, result, where vblendm has
// x, y, mask, result; x is taken where the mask is set.
func blendv(f func(c *context, mask, x, y, r operand.Op)) func(*context, ...operand.Op) {
	return func(c *context, ops ...operand.Op) { f(c, ops[0], ops[1], ops[2], ops[3]) }
}

// blendm writes all of the result, as opposed to other instructions with a mask:
// of what was there, avo would keep the register up to here.
func blendm(f func(...operand.Op) (*ir.Instruction, error)) func(*context, ...operand.Op) {
	return func(c *context, ops ...operand.Op) {
		i, err := f(ops...)
		if err != nil {
			panic(err)
		}
		i.Inputs = i.Operands[:len(ops)-1]
		c.Instruction(i)
	}
}

// constant is a number that all elements of a register have.
type constant struct {
	name string
	bits func(size int) uint64
}

var (
	zero       = constant{"zero", func(int) uint64 { return 0 }}
	one        = number(1)
	bytesOfOne = constant{"bytesofone", func(int) uint64 { return 0x0101010101010101 }}
	signBit    = constant{"signbit", func(size int) uint64 { return 1 << (8*size - 1) }}
)

// The constants that are about exponents. Those of normal numbers lie between
// lowest and highest, which themselves are the exponents of zero and infinity.
// whole is a number that rounds another, added to it, to a whole number, which
// is in its last bits then. power is one whose last bits, where a number's
// exponent is put as it is, add it up with the bias; biased takes both away.
var (
	lowest   = byType("lowest", -127, -1023)
	highest  = byType("highest", 128, 1024)
	whole    = byType("whole", 0x1.8p23, 0x1.8p52)
	biased   = byType("biased", 0x1p23+127, 0x1p52+1023)
	power    = byType("power", 0x1p23, 0x1p52)
	infinity = byType("infinity", math.Inf(1), math.Inf(1))

	// leastHalf is half way between the exponents of zero and of normal numbers.
	leastHalf = byType("leasthalf", -126.5, -1022.5)
)

func byType(name string, f32, f64 float64) constant {
	return constant{name, func(size int) uint64 {
		if size == 4 {
			return uint64(math.Float32bits(float32(f32)))
		}
		return math.Float64bits(f64)
	}}
}

// mantissa is the number of bits below the exponent.
func (e *emitter) mantissa() operand.Op {
	if e.size == 4 {
		return operand.Imm(23)
	}
	return operand.Imm(52)
}

// number is a constant of a kernel, rounded to the element type.
func number(x float64) constant {
	name := fmt.Sprintf("x%016x", math.Float64bits(x))
	if x == 1 {
		name = "one"
	}
	return constant{name, func(size int) uint64 {
		if size == 4 {
			return uint64(math.Float32bits(float32(x)))
		}
		return math.Float64bits(x)
	}}
}

// lowering is how an instruction set computes an operation in a way of its own.
type lowering struct {
	needs []constant
	write func(e *emitter, a []operand.Op) reg.VecVirtual
}

// needs lists the constants of the operations in lower.
var needs = map[kernels.Op][]constant{
	kernels.OpNeg:       {signBit},
	kernels.OpAbs:       {signBit},
	kernels.OpSign:      {zero, one, signBit},
	kernels.OpPow2:      {lowest, highest, whole, one},
	kernels.OpExponent:  {infinity, power, biased},
	kernels.OpLess:      {one},
	kernels.OpLessEqual: {one},
	kernels.OpEqual:     {one},
	kernels.OpNot:       {one},
	kernels.OpSelect:    {zero},
}

// constants lists the constants that an operation uses.
func (i *isa) constants(op kernels.Op) []constant {
	if own, ok := i.own[op]; ok {
		return own.needs
	}
	return needs[op]
}

// lower is how each operation is computed. Bools are 0 and 1.
var lower = map[kernels.Op]func(e *emitter, a []operand.Op) reg.VecVirtual{
	kernels.OpNeg:  func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vxor, a[0], e.constant(signBit)) },
	kernels.OpAbs:  func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vandn, a[0], e.constant(signBit)) },
	kernels.OpSign: func(e *emitter, a []operand.Op) reg.VecVirtual { return e.isa.sign(e, a[0]) },
	kernels.OpSqrt: func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vsqrt, a[0]) },

	kernels.OpPow2: func(e *emitter, a []operand.Op) reg.VecVirtual {
		x := e.op(vmin, e.constant(highest), e.op(vmax, e.constant(lowest), a[0]))
		r := e.op(vpadd, e.constant(one), e.op(vpsll, e.mantissa(), e.op(vadd, e.constant(whole), x)))
		return e.isa.blend(e, e.isa.compare(e, unordered, a[0], a[0]), a[0], r)
	},
	kernels.OpExponent: func(e *emitter, a []operand.Op) reg.VecVirtual {
		field := e.op(vpsrl, e.mantissa(), e.op(vand, e.constant(infinity), a[0]))
		r := e.op(vsub, e.constant(biased), e.op(vor, e.constant(power), field))
		return e.isa.blend(e, e.isa.compare(e, unordered, a[0], a[0]), a[0], r)
	},

	// x - y and x / y have the second argument first.
	kernels.OpAdd: func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vadd, a[1], a[0]) },
	kernels.OpSub: func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vsub, a[1], a[0]) },
	kernels.OpMul: func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vmul, a[1], a[0]) },
	kernels.OpDiv: func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vdiv, a[1], a[0]) },
	kernels.OpMin: minimum,
	kernels.OpMax: func(e *emitter, a []operand.Op) reg.VecVirtual {
		// As the minimum, but the sign of zero is kept by an and, under which
		// NaN does not stay: it is put back.
		x := e.op(vand, e.op(vmax, a[0], a[1]), e.op(vmax, a[1], a[0]))
		return e.isa.blend(e, e.isa.compare(e, unordered, a[0], a[1]), e.op(vadd, a[0], a[1]), x)
	},
	kernels.OpFma: func(e *emitter, a []operand.Op) reg.VecVirtual {
		return e.fma(a[0], a[1], e.op(vmov, a[2]))
	},

	kernels.OpLess:      comparison(less),
	kernels.OpLessEqual: comparison(lessEqual),
	kernels.OpEqual:     comparison(equal),
	kernels.OpNot:       func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vsub, a[0], e.constant(one)) },
	kernels.OpAnd:       func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vand, a[0], a[1]) },
	kernels.OpOr:        func(e *emitter, a []operand.Op) reg.VecVirtual { return e.op(vor, a[0], a[1]) },
	kernels.OpSelect: func(e *emitter, a []operand.Op) reg.VecVirtual {
		return e.isa.blend(e, e.isa.compare(e, notEqual, a[0], e.constant(zero)), a[1], a[2])
	},
}

// fma adds x*y to the register z.
func (e *emitter) fma(x, y operand.Op, z reg.VecVirtual) reg.VecVirtual {
	if _, ok := x.(operand.Mem); ok {
		x, y = y, x // one of them can be in memory
	}
	e.do(vfmadd231, y, e.register(x), z)
	return z
}

// bound is the minimum or the maximum, by the instruction, of x and a number that
// is neither 0 nor NaN: where x is NaN, the instruction gives its second argument,
// which is x, too.
func (e *emitter) bound(i instruction, x, number operand.Op) reg.VecVirtual {
	return e.op(i, x, number)
}

// minimum is the IEEE 754-2019 minimum. The instruction gives its second
// argument where both are zeros or one is NaN; so the or of the instruction
// with its arguments in both orders has the sign of -0 if there is one, and is
// NaN if there is one. All other numbers are the same twice.
func minimum(e *emitter, a []operand.Op) reg.VecVirtual {
	return e.op(vor, e.op(vmin, a[0], a[1]), e.op(vmin, a[1], a[0]))
}

func comparison(predicate byte) func(e *emitter, a []operand.Op) reg.VecVirtual {
	return func(e *emitter, a []operand.Op) reg.VecVirtual {
		return e.isa.truth(e, e.isa.compare(e, predicate, a[0], a[1]))
	}
}

// maskTable is n elements of ones, then n of zeros.
func maskTable(n int) []uint64 {
	table := make([]uint64, 2*n)
	for i := range n {
		table[i] = math.MaxUint64
	}
	return table
}
