package main

import (
	"fmt"
	"go/types"
	"slices"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"errorcell/kernels"
)

// file is an assembly file in the making: the functions of an instruction set
// for an element type.
type file struct {
	*build.Context
	isa    *isa
	dtype  kernels.DType
	size   int // bytes of an element
	width  int // elements of a vector
	global map[string]operand.Mem
	labels int
}

func newFile(i *isa, d kernels.DType) *file {
	return &file{
		Context: build.NewContext(), isa: i, dtype: d, size: d.Size(), width: i.bytes / d.Size(),
		global: map[string]operand.Mem{},
	}
}

// suffix ends the names of functions and data: F32AVX2.
func (f *file) suffix() string { return fmt.Sprintf("F%d%s", 8*f.size, f.isa.name) }

// goType is the element type in Go.
func (f *file) goType() types.Type {
	if f.size == 4 {
		return types.Typ[types.Float32]
	}
	return types.Typ[types.Float64]
}

// parameter is one of a function.
type parameter struct {
	name string
	typ  types.Type
}

// callType stands for simd.Call.
var callType = types.NewNamed(types.NewTypeName(0, nil, "Call", nil), types.NewStruct(nil, nil), nil)

// begin starts a function. It returns nothing where result is nil.
func (f *file) begin(name string, doc []string, result types.Type, params ...parameter) *emitter {
	var vars []*types.Var
	var results *types.Tuple
	if result != nil {
		results = types.NewTuple(types.NewParam(0, nil, "", result))
	}
	for _, p := range params {
		vars = append(vars, types.NewParam(0, nil, p.name, p.typ))
	}
	f.Function(name)
	f.Attributes(attr.NOSPLIT)
	f.Doc(doc...)
	f.Pragma("noescape")
	f.Signature(gotypes.NewSignature(nil, types.NewSignatureType(nil, nil, nil, types.NewTuple(vars...), results, false)))
	return &emitter{file: f, constants: map[string]reg.VecVirtual{}}
}

// data is a table of elements in memory.
func (f *file) data(name string, elements []uint64) operand.Mem {
	name += f.suffix()
	if m, ok := f.global[name]; ok {
		return m
	}
	m := f.StaticGlobal(name)
	f.DataAttributes(attr.RODATA | attr.NOPTR)
	for _, bits := range elements {
		if f.size == 4 {
			f.AppendDatum(operand.U32(uint32(bits)))
		} else {
			f.AppendDatum(operand.U64(bits))
		}
	}
	f.global[name] = m
	return m
}

// label is a name for a place in the function that no other place has.
func (f *file) label(name string) string {
	f.labels++
	return fmt.Sprintf("%s%d", name, f.labels)
}

// emitter writes a function.
type emitter struct {
	*file
	constants map[string]reg.VecVirtual
	// inMemory are the constants that have no register.
	inMemory map[string]bool
}

// do writes an instruction.
func (e *emitter) do(i instruction, ops ...operand.Op) {
	i[e.size/4-1](e.Context, ops...)
}

// op writes an instruction that makes a new vector, its last operand. Of the
// others, only the first can be in memory: what else is gets a register.
func (e *emitter) op(i instruction, ops ...operand.Op) reg.VecVirtual {
	ops = slices.Clone(ops)
	for j := 1; j < len(ops); j++ {
		ops[j] = e.register(ops[j])
	}
	r := e.isa.vector(e.Context)
	e.do(i, append(ops, r)...)
	return r
}

// register is x, in a register if it is in memory.
func (e *emitter) register(x operand.Op) operand.Op {
	if _, ok := x.(operand.Mem); ok {
		return e.op(vmov, x)
	}
	return x
}

// constant is a register with the constant, from where it was first asked for,
// or a vector of it in memory.
func (e *emitter) constant(c constant) operand.Op {
	if r, ok := e.constants[c.name]; ok {
		return r
	}
	bits := c.bits(e.size)
	if e.inMemory[c.name] {
		if bits == 0 {
			return e.zeros()
		}
		return e.data(c.name+"v", slices.Repeat([]uint64{bits}, e.width))
	}
	var r reg.VecVirtual
	if bits == 0 {
		r = e.zeros()
	} else {
		r = e.op(vbroadcast, e.data(c.name, []uint64{bits}))
	}
	e.constants[c.name] = r
	return r
}

// zeros is a vector of +0.
func (e *emitter) zeros() reg.VecVirtual {
	r := e.isa.vector(e.Context)
	e.VXORPS(r, r, r)
	return r
}

// prepare puts the constants that an operation uses into registers: what is
// asked for within a loop must be there before it.
func (e *emitter) prepare(n kernels.Node) {
	for _, c := range e.isa.constants(n.Op) {
		if !e.inMemory[c.name] {
			e.constant(c)
		}
	}
}

// compute writes the operation of a node.
func (e *emitter) compute(op kernels.Op, args []operand.Op) reg.VecVirtual {
	if own, ok := e.isa.own[op]; ok {
		return own.write(e, args)
	}
	f, ok := lower[op]
	if !ok {
		panic(fmt.Sprintf("no lowering for %v", op))
	}
	return f(e, args)
}

// parameter loads a parameter.
func (e *emitter) parameter(name string) reg.GPVirtual {
	r := e.GP64()
	e.Load(e.Param(name), r)
	return r
}

// end closes the function.
func (e *emitter) end() {
	e.VZEROUPPER()
	e.RET()
}

// pruneMoves leaves out moves of a vector to itself, which the allocator makes
// where the old value is not needed any more.
func pruneMoves(fn *ir.Function) error {
	fn.Nodes = slices.DeleteFunc(fn.Nodes, func(n ir.Node) bool {
		i, ok := n.(*ir.Instruction)
		return ok && (i.Opcode == "VMOVUPS" || i.Opcode == "VMOVUPD") && len(i.Operands) == 2 && i.Operands[0] == i.Operands[1]
	})
	return nil
}

// allowSplit lets functions with a frame grow the stack: it is larger than what
// is always there.
func allowSplit(f *ir.File) {
	for _, fn := range f.Functions() {
		if fn.FrameBytes() > 0 {
			fn.Attributes &^= attr.NOSPLIT
		}
	}
}

// checkRegisters makes sure that no function uses what its instruction set
// does not have, which the allocator does not look at.
func (f *file) checkRegisters(compiled *ir.File) error {
	for _, fn := range compiled.Functions() {
		for _, feature := range fn.ISA {
			// What every processor of these sets has is not asked for.
			if !slices.Contains(append(f.isa.needs, "AVX", "CMOV", "MMX+", "SSE2"), feature) {
				return fmt.Errorf("%s needs %s, which %s does not say", fn.Name, feature, f.isa.name)
			}
		}
		for _, i := range fn.Instructions() {
			for _, r := range i.Registers() {
				if p, ok := r.(reg.Physical); ok && f.isa != avx512 && p.Kind() == reg.KindVector && p.PhysicalIndex() > 15 {
					return fmt.Errorf("%s needs a register more than there are: %v", fn.Name, p.Asm())
				}
			}
		}
	}
	return nil
}

// imm is a whole number as an operand of an instruction on addresses.
func imm(n int) operand.Op { return operand.U32(n) }
