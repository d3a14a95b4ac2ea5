package emulator

// The instructions: syntax, operands, what executes them. See syntax.go for
// how to read a row.

import (
	"math"
	"math/bits"
	"strings"
)

// A row is one syntax of an instruction. Most compute each lane by itself, and
// give a lane; the others give what executes them for a warp.
type row struct {
	syntax, operands string

	lane  laneBuilder
	exec  execFunc
	build func(in *inst, m *mods) (Kind, string) // more preparation for exec; what is wrong, if anything
	flow  flowKind                               // for what moves threads about
	need  need
}

const (
	ofOne   = "d:T s:T"
	ofTwo   = "d:T s:T s:T"
	ofThree = "d:T s:T s:T s:T"
)

var integerTable = []row{
	{syntax: "add.INT", operands: ofTwo, lane: ints(func(a, b, _ uint64) uint64 { return a + b })},
	{syntax: "sub.INT", operands: ofTwo, lane: ints(func(a, b, _ uint64) uint64 { return a - b })},
	{syntax: "add.sat.s32", operands: ofTwo, lane: saturated32(func(a, b int64) int64 { return a + b })},
	{syntax: "sub.sat.s32", operands: ofTwo, lane: saturated32(func(a, b int64) int64 { return a - b })},
	{syntax: "add.cc.WORD", operands: ofTwo, exec: execCarry},
	{syntax: "addc.cc?.WORD", operands: ofTwo, exec: execCarry},
	{syntax: "sub.cc.WORD", operands: ofTwo, exec: execCarry},
	{syntax: "subc.cc?.WORD", operands: ofTwo, exec: execCarry},
	{syntax: "mul.{hi,lo}.INT", operands: ofTwo, lane: multiply},
	{syntax: "mad.{hi,lo}.INT", operands: ofThree, lane: multiply},
	{syntax: "mad.hi.sat.s32", operands: ofThree, lane: multiplySaturated},
	{syntax: "mul.wide.{u16,u32,s16,s32}", operands: "d:W s:T s:T", lane: multiply},
	{syntax: "mad.wide.{u16,u32,s16,s32}", operands: "d:W s:T s:T s:W", lane: multiply},
	{syntax: "sad.INT", operands: ofThree, lane: difference},
	{syntax: "div.INT", operands: ofTwo, exec: execDivide,
		lane: extended(divide, func(a, b, _ uint64) uint64 { return a / b })},
	{syntax: "rem.INT", operands: ofTwo, exec: execDivide,
		lane: extended(remainder, func(a, b, _ uint64) uint64 { return a % b })},
	{syntax: "abs.SIGNED", operands: ofOne, lane: extended(func(a, _, _ int64) int64 { return max(a, -a) }, nil)},
	{syntax: "neg.SIGNED", operands: ofOne, lane: ints(func(a, _, _ uint64) uint64 { return -a })},
	{syntax: "min.INT", operands: ofTwo, lane: extended(
		func(a, b, _ int64) int64 { return min(a, b) }, func(a, b, _ uint64) uint64 { return min(a, b) })},
	{syntax: "max.INT", operands: ofTwo, lane: extended(
		func(a, b, _ int64) int64 { return max(a, b) }, func(a, b, _ uint64) uint64 { return max(a, b) })},

	{syntax: "and.BITS", operands: ofTwo, lane: ints(func(a, b, _ uint64) uint64 { return a & b })},
	{syntax: "or.BITS", operands: ofTwo, lane: ints(func(a, b, _ uint64) uint64 { return a | b })},
	{syntax: "xor.BITS", operands: ofTwo, lane: ints(func(a, b, _ uint64) uint64 { return a ^ b })},
	{syntax: "not.BITS", operands: ofOne, lane: ints(func(a, _, _ uint64) uint64 { return ^a })},
	{syntax: "cnot.BITS", operands: ofOne, lane: ints(func(a, _, _ uint64) uint64 { return b2u(a == 0) })},
	{syntax: "and.pred", operands: "P p p", exec: execPredicates},
	{syntax: "or.pred", operands: "P p p", exec: execPredicates},
	{syntax: "xor.pred", operands: "P p p", exec: execPredicates},
	{syntax: "not.pred", operands: "P p", exec: execPredicates},
	{syntax: "mov.pred", operands: "P p", exec: execPredicates},
	{syntax: "shl.BITS", operands: "d:T s:T s:u32", lane: shiftLeft},
	{syntax: "shr.{b16,b32,b64,u16,u32,u64,s16,s32,s64}", operands: "d:T s:T s:u32", lane: shiftRight},
	{syntax: "shf.{l,r}.{wrap,clamp}.b32", operands: "d:T s:T s:T s:u32", lane: funnel},
	{syntax: "lop3.b32", operands: "d:T s:T s:T s:T i", lane: logic3},
	{syntax: "prmt.b32.MODE?", operands: ofThree, lane: permute},
	{syntax: "bfe.WORD", operands: "d:T s:T s:u32 s:u32", lane: extract},
	{syntax: "bfi.{b32,b64}", operands: "d:T s:T s:T s:u32 s:u32", exec: execInsert},
	{syntax: "brev.{b32,b64}", operands: ofOne, lane: func(m *mods) laneFunc {
		n := 64 - m.typ.bits
		return func(a, _, _ uint64) uint64 { return bits.Reverse64(a) >> n }
	}},
	{syntax: "popc.{b32,b64}", operands: "d:u32 s:T",
		lane: ints(func(a, _, _ uint64) uint64 { return uint64(bits.OnesCount64(a)) })},
	{syntax: "clz.{b32,b64}", operands: "d:u32 s:T", lane: func(m *mods) laneFunc {
		n := 64 - int(m.typ.bits)
		return func(a, _, _ uint64) uint64 { return uint64(bits.LeadingZeros64(a) - n) }
	}},
	{syntax: "bfind.shiftamt?.WORD", operands: "d:u32 s:T", lane: findBit},
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

var floatTable = []row{
	{syntax: "add.RND?.ftz?.sat?.f32", operands: ofTwo, lane: addition},
	{syntax: "add.RND?.f64", operands: ofTwo, lane: addition},
	{syntax: "sub.RND?.ftz?.sat?.f32", operands: ofTwo, lane: subtraction},
	{syntax: "sub.RND?.f64", operands: ofTwo, lane: subtraction},
	{syntax: "mul.RND?.ftz?.sat?.f32", operands: ofTwo, lane: multiplication},
	{syntax: "mul.RND?.f64", operands: ofTwo, lane: multiplication},
	{syntax: "fma.RND.ftz?.sat?.f32", operands: ofThree, lane: fusion},
	{syntax: "fma.RND.f64", operands: ofThree, lane: fusion},
	{syntax: "mad.RND.ftz?.sat?.f32", operands: ofThree, lane: fusion},
	{syntax: "mad.RND.f64", operands: ofThree, lane: fusion},
	{syntax: "div.RND.ftz?.f32", operands: ofTwo, lane: division},
	{syntax: "div.RND.f64", operands: ofTwo, lane: division},
	{syntax: "rcp.RND.ftz?.f32", operands: ofOne, lane: reciprocal},
	{syntax: "rcp.RND.f64", operands: ofOne, lane: reciprocal},
	{syntax: "sqrt.RND.ftz?.f32", operands: ofOne, lane: root},
	{syntax: "sqrt.RND.f64", operands: ofOne, lane: root},
	{syntax: "neg.ftz?.f32", operands: ofOne, lane: negation},
	{syntax: "neg.f64", operands: ofOne, lane: negation},
	{syntax: "abs.ftz?.f32", operands: ofOne, lane: magnitude},
	{syntax: "abs.f64", operands: ofOne, lane: magnitude},
	{syntax: "min.ftz?.NaN?.f32", operands: ofTwo, lane: minimum},
	{syntax: "min.f64", operands: ofTwo, lane: minimum},
	{syntax: "max.ftz?.NaN?.f32", operands: ofTwo, lane: maximum},
	{syntax: "max.f64", operands: ofTwo, lane: maximum},
	{syntax: "copysign.FLOAT", operands: ofTwo,
		lane: signBits(func(sign, a, b uint64) uint64 { return a&sign | b&^sign })},
	{syntax: "testp.PROP.FLOAT", operands: "P s:T", exec: execCompare,
		build: buildTest},
}

var (
	addition = floats(func(a, b, _ float32) float32 { return a + b },
		func(a, b, _ float64) float64 { return a + b })
	subtraction = floats(func(a, b, _ float32) float32 { return a - b },
		func(a, b, _ float64) float64 { return a - b })
	multiplication = floats(func(a, b, _ float32) float32 { return a * b },
		func(a, b, _ float64) float64 { return a * b })
	fusion   = floats(fma32, math.FMA)
	division = floats(func(a, b, _ float32) float32 { return a / b },
		func(a, b, _ float64) float64 { return a / b })
	reciprocal = floats(func(a, _, _ float32) float32 { return 1 / a },
		func(a, _, _ float64) float64 { return 1 / a })
	root = floats(func(a, _, _ float32) float32 { return float32(math.Sqrt(float64(a))) },
		func(a, _, _ float64) float64 { return math.Sqrt(a) })
	negation  = signBits(func(sign, a, _ uint64) uint64 { return a ^ sign })
	magnitude = signBits(func(sign, a, _ uint64) uint64 { return a &^ sign })
	minimum   = extremum(least[float32], leastOrNaN[float32], least[float64])
	maximum   = extremum(greatest[float32], greatestOrNaN[float32], greatest[float64])
)

var dataTable = []row{
	{syntax: "mov.SCALAR", operands: "* *", exec: execMap},
	{syntax: "cvt.sat?.ANYINT.ANYINT", operands: "D:T S:S", lane: convertInts, build: checkSaturation},
	{syntax: "cvt.IRND.ftz?.sat?.ANYINT.FLOAT", operands: "D:T S:S", lane: floatToInt},
	{syntax: "cvt.RND.sat?.FLOAT.ANYINT", operands: "D:T S:S", lane: intToFloat},
	{syntax: "cvt.RND.ftz?.sat?.f32.f64", operands: "D:T S:S", lane: narrow},
	{syntax: "cvt.ftz?.sat?.f64.f32", operands: "D:T S:S", lane: widen},
	{syntax: "cvt.IRND?.ftz?.sat?.f32.f32", operands: "D:T S:S", lane: roundFloat},
	{syntax: "cvt.IRND?.sat?.f64.f64", operands: "D:T S:S", lane: roundFloat},
	{syntax: "cvta.{global,shared,shared::cta}.u64", operands: "d:T *", lane: toGeneric},
	{syntax: "cvta.to.{global,shared,shared::cta}.u64", operands: ofOne, lane: fromGeneric},
	{syntax: "isspacep.{global,shared,shared::cta}", operands: "P s:u64", exec: execCompare, build: isSpace},

	{syntax: "selp.SCALAR", operands: "d:T s:T s:T p", exec: execSelect},
	{syntax: "slct.ftz?.SCALAR.f32", operands: "d:T s:T s:T s:S", lane: func(*mods) laneFunc {
		return func(a, b, c uint64) uint64 { return choose(get32(c) >= 0, a, b) }
	}},
	{syntax: "slct.SCALAR.s32", operands: "d:T s:T s:T s:S", lane: func(*mods) laneFunc {
		return func(a, b, c uint64) uint64 { return choose(int32(c) >= 0, a, b) }
	}},
	{syntax: "setp.CMP.INTEGRAL", operands: "P| s:T s:T", exec: execCompare, build: buildCompare},
	{syntax: "setp.CMPF.ftz?.FLOAT", operands: "P| s:T s:T", exec: execCompare, build: buildCompare},
	{syntax: "setp.CMP.BOOL.INTEGRAL", operands: "P| s:T s:T p", exec: execCompare, build: buildCompare},
	{syntax: "setp.CMPF.BOOL.ftz?.FLOAT", operands: "P| s:T s:T p", exec: execCompare, build: buildCompare},
	{syntax: "set.CMP.{u32,s32,f32}.INTEGRAL", operands: "d:T s:S s:S", exec: execCompare, build: buildCompare},
	{syntax: "set.CMPF.ftz?.{u32,s32,f32}.FLOAT", operands: "d:T s:S s:S", exec: execCompare, build: buildCompare},
	{syntax: "set.CMP.BOOL.{u32,s32,f32}.INTEGRAL", operands: "d:T s:S s:S p", exec: execCompare, build: buildCompare},
	{syntax: "set.CMPF.BOOL.ftz?.{u32,s32,f32}.FLOAT", operands: "d:T s:S s:S p", exec: execCompare, build: buildCompare},
}

func choose(c bool, a, b uint64) uint64 {
	if c {
		return a
	}
	return b
}

var memoryTable = []row{
	{syntax: "ld.weak?.SPACE?.LDCACHE?.EVICT?.EVICT2?.FETCH?.VEC?.MEMTYPE", operands: "V:T m", exec: execLoad, build: buildAccess},
	{syntax: "ld.global.LDCACHE?.nc.EVICT?.EVICT2?.FETCH?.VEC?.MEMTYPE", operands: "V:T m", exec: execLoad, build: buildAccess},
	{syntax: "ld.global.nc.LDCACHE.FETCH?.VEC?.MEMTYPE", operands: "V:T m", exec: execLoad, build: buildAccess},
	{syntax: "ld.volatile.SPACE?.FETCH?.VEC?.MEMTYPE", operands: "V:T m", exec: execLoad, build: buildAccess},
	{syntax: "ld.{relaxed,acquire}.SCOPE.RW?.EVICT?.EVICT2?.FETCH?.VEC?.MEMTYPE", operands: "V:T m", exec: execLoad, build: buildAccess},
	{syntax: "st.weak?.RW?.STCACHE?.EVICT?.EVICT2?.VEC?.MEMTYPE", operands: "m v:T", exec: execStore, build: buildAccess},
	{syntax: "st.volatile.RW?.VEC?.MEMTYPE", operands: "m v:T", exec: execStore, build: buildAccess},
	{syntax: "st.{relaxed,release}.SCOPE.RW?.EVICT?.EVICT2?.VEC?.MEMTYPE", operands: "m v:T", exec: execStore, build: buildAccess},
	{syntax: "st.weak?.{const,param}.VEC?.MEMTYPE", operands: "m v:T", build: func(*inst, *mods) (Kind, string) {
		return ReadOnly, "kernels cannot write this state space"
	}},
	{syntax: "prefetch.{global,local}?.{L1,L2}", operands: "m", exec: execNothing},
	{syntax: "prefetchu.L1", operands: "m", exec: execNothing},

	{syntax: "atom.SEM?.SCOPE?.RW?.add.{u32,s32,u64,f32,f64}", operands: "d:T m s:T", exec: execAtomic, build: buildAccess},
	{syntax: "atom.SEM?.SCOPE?.RW?.{inc,dec}.u32", operands: "d:T m s:T", exec: execAtomic, build: buildAccess},
	{syntax: "atom.SEM?.SCOPE?.RW?.{min,max}.WORD", operands: "d:T m s:T", exec: execAtomic, build: buildAccess},
	{syntax: "atom.SEM?.SCOPE?.RW?.{and,or,xor,exch}.{b32,b64}", operands: "d:T m s:T", exec: execAtomic, build: buildAccess},
	{syntax: "atom.SEM?.SCOPE?.RW?.cas.{b32,b64}", operands: "d:T m s:T s:T", exec: execAtomic, build: buildAccess},
	{syntax: "red.{relaxed,release}?.SCOPE?.RW?.add.{u32,s32,u64,f32,f64}", operands: "m s:T", exec: execAtomic, build: buildAccess},
	{syntax: "red.{relaxed,release}?.SCOPE?.RW?.{inc,dec}.u32", operands: "m s:T", exec: execAtomic, build: buildAccess},
	{syntax: "red.{relaxed,release}?.SCOPE?.RW?.{min,max}.WORD", operands: "m s:T", exec: execAtomic, build: buildAccess},
	{syntax: "red.{relaxed,release}?.SCOPE?.RW?.{and,or,xor}.{b32,b64}", operands: "m s:T", exec: execAtomic, build: buildAccess},
}

var controlTable = []row{
	{syntax: "bra.uni?", operands: "l", flow: flowBranch},
	{syntax: "ret.uni?", flow: flowExit},
	{syntax: "exit", flow: flowExit},
	{syntax: "trap", exec: execTrap},

	{syntax: "bar.cta?.sync", operands: "s:u32 s:u32?", flow: flowBarrier, build: buildBarrier},
	{syntax: "bar.cta?.arrive", operands: "s:u32 s:u32", flow: flowBarrier, build: buildBarrier},
	{syntax: "bar.cta?.red.popc.u32", operands: "d:u32 s:u32 p", flow: flowBarrier, build: buildBarrier},
	{syntax: "bar.cta?.red.popc.u32", operands: "d:u32 s:u32 s:u32 p", flow: flowBarrier, build: buildBarrier},
	{syntax: "bar.cta?.red.{and,or}.pred", operands: "P s:u32 p", flow: flowBarrier, build: buildBarrier},
	{syntax: "bar.cta?.red.{and,or}.pred", operands: "P s:u32 s:u32 p", flow: flowBarrier, build: buildBarrier},
	{syntax: "barrier.cta?.sync.aligned?", operands: "s:u32 s:u32?", flow: flowBarrier, build: buildBarrier},
	{syntax: "barrier.cta?.arrive.aligned?", operands: "s:u32 s:u32", flow: flowBarrier, build: buildBarrier},

	{syntax: "bar.warp.sync", operands: "s:u32", flow: flowCollective, exec: execWarpBarrier},
	{syntax: "shfl.sync.{up,down,bfly,idx}.b32", operands: "d|:T s:T s:u32 s:u32 s:u32", flow: flowCollective, exec: execShuffle},
	{syntax: "vote.sync.{all,any,uni}.pred", operands: "P p s:u32", flow: flowCollective, exec: execVote},
	{syntax: "vote.sync.ballot.b32", operands: "d:T p s:u32", flow: flowCollective, exec: execVote},
	{syntax: "match.any.sync.{b32,b64}", operands: "d:u32 s:T s:u32", flow: flowCollective, exec: execMatch},
	{syntax: "match.all.sync.{b32,b64}", operands: "d|:u32 s:T s:u32", flow: flowCollective, exec: execMatch},
	{syntax: "redux.sync.{add,min,max}.{u32,s32}", operands: "d:T s:T s:u32", flow: flowCollective, exec: execRedux, need: need{80, 70}},
	{syntax: "redux.sync.{and,or,xor}.b32", operands: "d:T s:T s:u32", flow: flowCollective, exec: execRedux, need: need{80, 70}},
	{syntax: "activemask.b32", operands: "d:T", exec: execActiveMask, need: need{30, 62}},

	{syntax: "membar.{cta,gl,sys}", exec: execFence},
	{syntax: "fence.{sc,acq_rel}.SCOPE", exec: execFence},
	{syntax: "nanosleep.u32", operands: "s:u32", exec: execNothing, need: need{70, 63}},
	{syntax: "griddepcontrol.{launch_dependents,wait}", exec: execNothing, need: need{90, 78}},
}

// refused are instructions and modifiers that PTX has and the emulator has
// not, and why.
var refused = map[string]string{".approx": approximate, ".full": approximate}

const (
	approximate = "an approximation, the bits of which differ between GPUs; use .rn instructions"
	unemulated  = "PTX has it, but it is not emulated"
)

func init() {
	for name := range strings.FieldsSeq("ex2 lg2 sin cos tanh rsqrt") {
		refused[name] = approximate
	}
	for name := range strings.FieldsSeq("call alloca stacksave stackrestore brx brkpt pmevent setmaxnreg elect mapa " +
		"tex tld4 txq suld sust sured suq istypep wmma mma wgmma ldmatrix stmatrix movmatrix tcgen05 cp mbarrier tensormap " +
		"multimem ldu applypriority discard createpolicy getctarank clusterlaunchcontrol dp2a dp4a mul24 mad24 fns szext bmsk " +
		"vadd vsub vabsdiff vmin vmax vshl vshr vmad vset madc " +
		".f16 .f16x2 .bf16 .bf16x2 .tf32 .e4m3x2 .e5m2x2 .b128 .s16x2 .u16x2 .u8x4 .s8x4 .L2::cache_hint .shared::cluster .unified .mmio") {
		refused[name] = unemulated
	}
}
