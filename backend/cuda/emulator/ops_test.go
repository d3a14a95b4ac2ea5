package emulator

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// Every instruction that computes lane by lane, on special and on random
// operands, against an oracle that shares nothing with it: math/big for what
// is rounded or wider than a word, a loop over bits for what is about bits.

// An opTest is an instruction. Types are of the operands: the result, then the
// sources, "pred" for predicates.
type opTest struct {
	op     string
	types  string
	oracle func(a []uint64) uint64
}

// values are operands of a type: all that is special, then random ones.
func values(t typ, n int, rng *rand.Rand) []uint64 {
	if t == pred {
		return []uint64{0, 1}
	}
	special := []uint64{0, 1, 2, 3, 31, 32, 33, 63, 64, 255, t.mask(), t.mask() - 1, t.mask() >> 1, t.mask()>>1 + 1}
	mant := map[typ]uint{f32: 23, f64: 52}[t]
	if mant != 0 {
		inf := t.mask() >> 1 >> mant << mant
		one := inf >> 1 >> mant << mant
		special = nil
		for _, v := range []uint64{0, 1, 1<<mant - 1, 1 << mant, one - 1, one, one + 1, one + 1<<mant, inf - 1, inf, inf + 1<<(mant-1), one>>1 + 5,
			one + 1<<(mant-1), one + 31<<mant, one + 31<<mant - 1, one + 32<<mant, one + 63<<mant} {
			special = append(special, v, v|(t.mask()>>1+1))
		}
	}
	for range n {
		v := rng.Uint64() >> (rng.UintN(2) * rng.UintN(64))
		if mant != 0 && rng.UintN(2) == 0 { // near one, where sums and products are interesting
			v = v&(1<<(mant+4)-1) + (t.mask() >> 2 >> mant << mant) - 8<<mant + rng.Uint64N(2)<<(t.bits-1)
		}
		special = append(special, v&t.mask())
	}
	return special
}

// kernel is PTX that computes one instruction for each of n threads: sources
// and result lie in cells of 8 bytes.
func (o opTest) kernel(version, target string) string {
	types := strings.Fields(o.types)
	var s strings.Builder
	fmt.Fprintf(&s, ".version %s\n.target %s\n.address_size 64\n.visible .entry k(.param .u64 in, .param .u64 out)\n{\n", version, target)
	s.WriteString(".reg .b32 %i; .reg .b32 %nt; .reg .b32 %cta; .reg .b64 %in; .reg .b64 %out; .reg .b64 %wide; .reg .b32 %word;\n")
	for i, t := range types {
		fmt.Fprintf(&s, ".reg .%s %%v%d;\n", t, i)
	}
	fmt.Fprintf(&s, "mov.u32 %%i, %%tid.x; mov.u32 %%nt, %%ntid.x; mov.u32 %%cta, %%ctaid.x; mad.lo.u32 %%i, %%cta, %%nt, %%i;\n"+
		"ld.param.u64 %%in, [in]; ld.param.u64 %%out, [out]; mad.wide.u32 %%in, %%i, %d, %%in; mad.wide.u32 %%out, %%i, 8, %%out;\n", 8*(len(types)-1))
	var args []string
	for i, t := range types[1:] {
		if t == "pred" {
			fmt.Fprintf(&s, "ld.global.b32 %%word, [%%in+%d]; setp.ne.b32 %%v%d, %%word, 0;\n", 8*i, i+1)
		} else {
			fmt.Fprintf(&s, "ld.global.%s %%v%d, [%%in+%d];\n", t, i+1, 8*i)
		}
		args = append(args, fmt.Sprintf("%%v%d", i+1))
	}
	op, rest, _ := strings.Cut(o.op, " ") // a constant may follow
	fmt.Fprintf(&s, "%s %%v0, %s;\n", op, strings.Join(append(args, strings.Fields(rest)...), ", "))
	switch t := typeNames[types[0]]; {
	case t == pred:
		s.WriteString("selp.b32 %word, 1, 0, %v0; cvt.u64.u32 %wide, %word; st.global.b64 [%out], %wide;\n")
	case t.bits < 64:
		fmt.Fprintf(&s, "st.global.b64 [%%out], 0; st.global.%s [%%out], %%v0;\n", types[0])
	default:
		s.WriteString("st.global.b64 [%out], %v0;\n")
		return strings.Replace(s.String(), "st.global.b64 [%out], %v0", "st.global."+types[0]+" [%out], %v0", 1) + "ret;\n}\n"
	}
	return s.String() + "ret;\n}\n"
}

func (o opTest) run(t *testing.T, g *GPU) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(len(o.op))))
	var sources []typ
	for _, name := range strings.Fields(o.types)[1:] {
		sources = append(sources, typeNames[name])
	}
	var lists [][]uint64
	for _, s := range sources {
		lists = append(lists, values(s, 0, rng))
	}
	var cases [][]uint64
	var cross func(prefix []uint64)
	cross = func(prefix []uint64) {
		if len(prefix) == len(lists) {
			cases = append(cases, append([]uint64(nil), prefix...))
			return
		}
		for _, v := range lists[len(prefix)] {
			cross(append(prefix, v))
		}
	}
	cross(nil)
	rng.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	cases = cases[:min(len(cases), 4096)]
	if testing.Short() {
		cases = cases[:min(len(cases), 400)]
	}
	for range 256 + len(cases)/2 {
		var c []uint64
		for _, s := range sources {
			v := values(s, 3, rng)
			c = append(c, v[len(v)-1-rng.IntN(2)])
		}
		cases = append(cases, c)
	}
	for len(cases)%256 != 0 {
		cases = append(cases, cases[0])
	}
	var in []byte
	for _, c := range cases {
		for _, v := range c {
			in = binary.LittleEndian.AppendUint64(in, v)
		}
	}
	text := o.kernel("8.8", "sm_90")
	m, err := g.Load(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	f, err := m.Function("k")
	must(t, err)
	a, err := g.Alloc(uint64(len(in)))
	must(t, err)
	b, err := g.Alloc(uint64(8 * len(cases)))
	must(t, err)
	must(t, g.CopyToDevice(a, in))
	must(t, g.Launch(f, [3]uint32{uint32(len(cases) / 256), 1, 1}, [3]uint32{256, 1, 1}, 0, [][]byte{u64p(a), u64p(b)}))
	out := make([]byte, 8*len(cases))
	must(t, g.CopyToHost(out, b))
	must(t, g.Free(a))
	must(t, g.Free(b))
	result := typeNames[strings.Fields(o.types)[0]]
	wrong := 0
	for i, c := range cases {
		got, want := binary.LittleEndian.Uint64(out[8*i:]), o.oracle(c)
		if got != want && !(isNaN(result, got) && isNaN(result, want)) {
			t.Errorf("%s of %#x: %#x, want %#x", o.op, c, got, want)
			if wrong++; wrong > 3 {
				return
			}
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isNaN(t typ, v uint64) bool {
	return t == f32 && math.Float32frombits(uint32(v)) != math.Float32frombits(uint32(v)) || t == f64 && math.Float64frombits(v) != math.Float64frombits(v)
}

// Oracles of integers: exact in math/big, then wrapped.

func integer(t typ, v uint64) *big.Int {
	x := new(big.Int).SetUint64(v)
	if t.class == signed && v>>(t.bits-1) != 0 {
		x.Sub(x, new(big.Int).Lsh(big.NewInt(1), uint(t.bits)))
	}
	return x
}

func wrapped(x *big.Int, n uint8) uint64 {
	return new(big.Int).And(x, new(big.Int).SetUint64(^uint64(0)>>(64-n))).Uint64()
}

// onInts makes an oracle from a function of exact integers.
func onInts(in string, out uint8, f func(a, b, c *big.Int) *big.Int) func(a []uint64) uint64 {
	return func(a []uint64) uint64 {
		var x [3]*big.Int
		types := strings.Fields(in)
		for i := range a {
			x[i] = integer(typeNames[types[i]], a[i])
		}
		return wrapped(f(x[0], x[1], x[2]), out)
	}
}

// byBits makes an oracle from a function of a result's bit.
func byBits(n int, f func(i int, a []uint64) uint64) func(a []uint64) uint64 {
	return func(a []uint64) (r uint64) {
		for i := range n {
			r |= f(i, a) & 1 << i
		}
		return r
	}
}

// Oracles of floats: exact or almost in math/big, then rounded once.

const exactly = 5000 // bits, enough for any product of doubles plus any double

func float(t typ, v uint64) float64 {
	if t == f32 {
		return float64(math.Float32frombits(uint32(v)))
	}
	return math.Float64frombits(v)
}

func rounded(t typ, x *big.Float) uint64 {
	if t == f32 {
		f, _ := x.Float32()
		return uint64(math.Float32bits(f))
	}
	f, _ := x.Float64()
	return math.Float64bits(f)
}

// onFloats makes an oracle for t: native decides where operands or result are
// no finite numbers or the result is a zero, exact everywhere else.
func onFloats(t typ, native func(a, b, c float64) float64, exact func(a, b, c *big.Float) *big.Float) func(a []uint64) uint64 {
	return func(a []uint64) uint64 {
		var x [3]float64
		var e [3]*big.Float
		finite := true
		for i := range a {
			x[i] = float(t, a[i])
			finite = finite && !math.IsNaN(x[i]) && !math.IsInf(x[i], 0)
		}
		n := native(x[0], x[1], x[2])
		if finite && !math.IsNaN(n) && !(math.IsInf(n, 0) && t == f32 && exact == nil) {
			for i := range a {
				e[i] = new(big.Float).SetPrec(exactly).SetFloat64(x[i])
			}
			if exact != nil && !(math.IsInf(n, 0) && a[len(a)-1]<<1&t.mask() == 0) {
				if r := exact(e[0], e[1], e[2]); r.Sign() != 0 {
					return rounded(t, r)
				}
			}
		}
		if t == f32 {
			return uint64(math.Float32bits(float32(n)))
		}
		return math.Float64bits(n)
	}
}

func newFloat() *big.Float { return new(big.Float).SetPrec(exactly) }

func orNaN(pick func(a, b float64) float64) func(a, b, _ float64) float64 {
	return func(a, b, _ float64) float64 {
		switch {
		case math.IsNaN(a):
			return b
		case math.IsNaN(b):
			return a
		}
		return pick(a, b)
	}
}

func comparison(t typ, f func(a, b float64) bool) func(a []uint64) uint64 {
	return func(a []uint64) uint64 { return b2u(f(float(t, a[0]), float(t, a[1]))) }
}

func opTests() []opTest {
	var tests []opTest
	add := func(op, types string, oracle func(a []uint64) uint64) {
		tests = append(tests, opTest{op, types, oracle})
	}
	shift := func(x *big.Int, n uint) *big.Int { return new(big.Int).Rsh(x, n) }
	for _, name := range strings.Fields("u16 u32 u64 s16 s32 s64") {
		t := typeNames[name]
		n := t.bits
		two, three := name+" "+name+" "+name, name+" "+name+" "+name+" "+name
		ints := func(f func(a, b, c *big.Int) *big.Int) func(a []uint64) uint64 { return onInts(three, n, f) }
		add("add."+name, two, ints(func(a, b, _ *big.Int) *big.Int { return new(big.Int).Add(a, b) }))
		add("sub."+name, two, ints(func(a, b, _ *big.Int) *big.Int { return new(big.Int).Sub(a, b) }))
		add("mul.lo."+name, two, ints(func(a, b, _ *big.Int) *big.Int { return new(big.Int).Mul(a, b) }))
		add("mul.hi."+name, two, ints(func(a, b, _ *big.Int) *big.Int { return shift(new(big.Int).Mul(a, b), uint(n)) }))
		mad := func(a, b, c *big.Int) *big.Int { return new(big.Int).Add(new(big.Int).Mul(a, b), c) }
		add("mad.lo."+name, three, ints(mad))
		add("mad.hi."+name, three, ints(func(a, b, c *big.Int) *big.Int {
			return new(big.Int).Add(shift(new(big.Int).Mul(a, b), uint(n)), c)
		}))
		if n < 64 {
			wide := fmt.Sprintf("%c%d", name[0], 2*n)
			add("mul.wide."+name, wide+" "+name+" "+name, onInts(three, 2*n, func(a, b, _ *big.Int) *big.Int { return new(big.Int).Mul(a, b) }))
			add("mad.wide."+name, wide+" "+name+" "+name+" "+wide, onInts(name+" "+name+" "+wide, 2*n, mad))
		}
		add("sad."+name, three, ints(func(a, b, c *big.Int) *big.Int {
			d := new(big.Int).Sub(a, b)
			return d.Add(d.Abs(d), c)
		}))
		pick := func(sign int) func(a, b, _ *big.Int) *big.Int {
			return func(a, b, _ *big.Int) *big.Int {
				if a.Cmp(b)*sign > 0 {
					return a
				}
				return b
			}
		}
		add("max."+name, two, ints(pick(1)))
		add("min."+name, two, ints(pick(-1)))
		// The divisor is a constant here; a zero is a fault.
		for _, divisor := range []int64{1, 3, 7, 1000, -1, -3} {
			if divisor < 0 && t.class != signed {
				continue
			}
			d := big.NewInt(divisor)
			types := name + " " + name
			add(fmt.Sprintf("div.%s %d", name, divisor), types, ints(func(a, _, _ *big.Int) *big.Int { return new(big.Int).Quo(a, d) }))
			add(fmt.Sprintf("rem.%s %d", name, divisor), types, ints(func(a, _, _ *big.Int) *big.Int { return new(big.Int).Rem(a, d) }))
		}
		if t.class == signed {
			add("abs."+name, name+" "+name, ints(func(a, _, _ *big.Int) *big.Int { return new(big.Int).Abs(a) }))
			add("neg."+name, name+" "+name, ints(func(a, _, _ *big.Int) *big.Int { return new(big.Int).Neg(a) }))
		}
		add("shr."+name, name+" "+name+" u32", func(a []uint64) uint64 {
			return wrapped(shift(integer(t, a[0]), uint(a[1])), n)
		})
		for op, f := range map[string]func(c int) bool{"eq": func(c int) bool { return c == 0 }, "ne": func(c int) bool { return c != 0 },
			"lt": func(c int) bool { return c < 0 }, "le": func(c int) bool { return c <= 0 }, "gt": func(c int) bool { return c > 0 }, "ge": func(c int) bool { return c >= 0 }} {
			is := func(a []uint64) bool { return f(integer(t, a[0]).Cmp(integer(t, a[1]))) }
			add("setp."+op+"."+name, "pred "+name+" "+name, func(a []uint64) uint64 { return b2u(is(a)) })
			add("setp."+op+".xor."+name, "pred "+name+" "+name+" pred", func(a []uint64) uint64 { return b2u(is(a)) ^ a[2] })
			add("set."+op+".u32."+name, "u32 "+name+" "+name, func(a []uint64) uint64 { return b2u(is(a)) * 0xffffffff })
			add("set."+op+".and.f32."+name, "f32 "+name+" "+name+" pred", func(a []uint64) uint64 { return b2u(is(a)) & a[2] * 0x3f800000 })
			if u, ok := map[string]string{"lt": "lo", "le": "ls", "gt": "hi", "ge": "hs"}[op]; ok && t.class == unsigned {
				add("setp."+u+"."+name, "pred "+name+" "+name, func(a []uint64) uint64 { return b2u(is(a)) })
			}
		}
		add("selp."+name, name+" "+name+" "+name+" pred", func(a []uint64) uint64 { return a[1-a[2]] })
		add("slct."+name+".s32", name+" "+name+" "+name+" s32", func(a []uint64) uint64 { return a[a[2]>>31] })
		add("slct."+name+".f32", name+" "+name+" "+name+" f32", func(a []uint64) uint64 {
			return a[1-b2u(math.Float32frombits(uint32(a[2])) >= 0)]
		})
	}
	bound := func(x *big.Int) *big.Int {
		for _, limit := range []int64{-1 << 31, 1<<31 - 1} {
			if l := big.NewInt(limit); x.Cmp(l)*l.Sign() > 0 {
				return l
			}
		}
		return x
	}
	s3 := "s32 s32 s32 s32"
	add("add.sat.s32", "s32 s32 s32", onInts(s3, 32, func(a, b, _ *big.Int) *big.Int { return bound(new(big.Int).Add(a, b)) }))
	add("sub.sat.s32", "s32 s32 s32", onInts(s3, 32, func(a, b, _ *big.Int) *big.Int { return bound(new(big.Int).Sub(a, b)) }))
	add("mad.hi.sat.s32", s3, onInts(s3, 32, func(a, b, c *big.Int) *big.Int {
		return bound(new(big.Int).Add(shift(new(big.Int).Mul(a, b), 32), c))
	}))

	for _, name := range strings.Fields("b16 b32 b64") {
		n := int(typeNames[name].bits)
		one, two := name+" "+name, name+" "+name+" "+name
		bit := func(v uint64, i int) uint64 { return v >> i & 1 }
		add("and."+name, two, byBits(n, func(i int, a []uint64) uint64 { return bit(a[0], i) * bit(a[1], i) }))
		add("or."+name, two, byBits(n, func(i int, a []uint64) uint64 { return max(bit(a[0], i), bit(a[1], i)) }))
		add("xor."+name, two, byBits(n, func(i int, a []uint64) uint64 { return bit(a[0], i) + bit(a[1], i) }))
		add("not."+name, one, byBits(n, func(i int, a []uint64) uint64 { return 1 - bit(a[0], i) }))
		add("cnot."+name, one, func(a []uint64) uint64 { return b2u(a[0] == 0) })
		add("mov."+name, one, func(a []uint64) uint64 { return a[0] })
		add("shl."+name, two[:len(one)]+" u32", byBits(n, func(i int, a []uint64) uint64 {
			if uint64(i) < a[1] {
				return 0
			}
			return bit(a[0], i-int(a[1]))
		}))
		add("setp.eq."+name, "pred "+one, func(a []uint64) uint64 { return b2u(a[0] == a[1]) })
		if n == 16 {
			continue
		}
		add("brev."+name, one, byBits(n, func(i int, a []uint64) uint64 { return bit(a[0], n-1-i) }))
		count := func(a []uint64) (c uint64) {
			for i := range n {
				c += bit(a[0], i)
			}
			return c
		}
		add("popc."+name, "u32 "+name, count)
		add("clz."+name, "u32 "+name, func(a []uint64) (c uint64) {
			for i := n - 1; i >= 0 && bit(a[0], i) == 0; i-- {
				c++
			}
			return c
		})
		add("bfi."+name, name+" "+one+" u32 u32", byBits(n, func(i int, a []uint64) uint64 {
			pos, length := int(a[2]&255), int(a[3]&255)
			if i >= pos && i < pos+length {
				return bit(a[0], i-pos)
			}
			return bit(a[1], i)
		}))
	}
	for _, name := range strings.Fields("u32 u64 s32 s64") {
		t := typeNames[name]
		msb := int(t.bits) - 1
		bit := func(v uint64, i int) uint64 { return v >> i & 1 }
		find := func(a []uint64) int {
			sign := uint64(0)
			if t.class == signed {
				sign = bit(a[0], msb)
			}
			for i := msb; i >= 0; i-- {
				if bit(a[0], i) != sign {
					return i
				}
			}
			return -1
		}
		add("bfind."+name, "u32 "+name, func(a []uint64) uint64 { return uint64(uint32(find(a))) })
		add("bfind.shiftamt."+name, "u32 "+name, func(a []uint64) uint64 {
			if i := find(a); i >= 0 {
				return uint64(msb - i)
			}
			return 0xffffffff
		})
		add("bfe."+name, name+" "+name+" u32 u32", byBits(msb+1, func(i int, a []uint64) uint64 {
			pos, length := int(a[1]&255), int(a[2]&255)
			sign := uint64(0)
			if t.class == signed && length > 0 {
				sign = bit(a[0], min(pos+length-1, msb))
			}
			if i < length && pos+i <= msb {
				return bit(a[0], pos+i)
			}
			return sign
		}))
	}
	for _, table := range []uint64{0x80, 0x96, 0xe8, 0xca, 0x01} {
		add(fmt.Sprintf("lop3.b32 %d", table), "b32 b32 b32 b32", byBits(32, func(i int, a []uint64) uint64 {
			return table >> (a[0]>>i&1<<2 | a[1]>>i&1<<1 | a[2]>>i&1)
		}))
	}
	for _, mode := range []string{"wrap", "clamp"} {
		amount := func(c uint64) int {
			if mode == "wrap" {
				return int(c & 31)
			}
			return int(min(c, 32))
		}
		both := func(a []uint64, i int) uint64 {
			if i < 0 || i >= 64 {
				return 0
			}
			return (a[1]<<32 | a[0]) >> i
		}
		add("shf.l."+mode+".b32", "b32 b32 b32 u32", byBits(32, func(i int, a []uint64) uint64 { return both(a, i+32-amount(a[2])) }))
		add("shf.r."+mode+".b32", "b32 b32 b32 u32", byBits(32, func(i int, a []uint64) uint64 { return both(a, i+amount(a[2])) }))
	}
	// The tables of the manual: byte 3 first.
	for mode, table := range map[string][4]string{"f4e": {"3210", "4321", "5432", "6543"}, "b4e": {"5670", "6701", "7012", "0123"},
		"rc8": {"0000", "1111", "2222", "3333"}, "ecl": {"3210", "3211", "3222", "3333"},
		"ecr": {"0000", "1110", "2210", "3210"}, "rc16": {"1010", "3232", "1010", "3232"}} {
		add("prmt.b32."+mode, "b32 b32 b32 b32", func(a []uint64) (r uint64) {
			for i, digit := range table[a[2]&3] {
				r |= (a[1]<<32 | a[0]) >> (8 * (digit - '0')) & 255 << (8 * (3 - i))
			}
			return r
		})
	}
	add("prmt.b32", "b32 b32 b32 b32", func(a []uint64) (r uint64) {
		for i := range 4 {
			by := (a[1]<<32 | a[0]) >> (8 * (a[2] >> (4 * i) & 7)) & 255
			if a[2]>>(4*i)&8 != 0 {
				by = by >> 7 * 255
			}
			r |= by << (8 * i)
		}
		return r
	})
	for op, f := range map[string]func(a, b uint64) uint64{"and": func(a, b uint64) uint64 { return a & b },
		"or": func(a, b uint64) uint64 { return a | b }, "xor": func(a, b uint64) uint64 { return a ^ b }} {
		add(op+".pred", "pred pred pred", func(a []uint64) uint64 { return f(a[0], a[1]) })
	}
	add("not.pred", "pred pred", func(a []uint64) uint64 { return 1 - a[0] })
	add("mov.pred", "pred pred", func(a []uint64) uint64 { return a[0] })

	for _, t := range []typ{f32, f64} {
		name := t.String()
		one := name + " " + name
		two, three := one+" "+name, one+" "+name+" "+name
		add("add.rn."+name, two, onFloats(t, func(a, b, _ float64) float64 { return a + b }, func(a, b, _ *big.Float) *big.Float { return newFloat().Add(a, b) }))
		add("sub.rn."+name, two, onFloats(t, func(a, b, _ float64) float64 { return a - b }, func(a, b, _ *big.Float) *big.Float { return newFloat().Sub(a, b) }))
		add("mul.rn."+name, two, onFloats(t, func(a, b, _ float64) float64 { return a * b }, func(a, b, _ *big.Float) *big.Float { return newFloat().Mul(a, b) }))
		fma := func(a, b, c *big.Float) *big.Float { return newFloat().Add(newFloat().Mul(a, b), c) }
		add("fma.rn."+name, three, onFloats(t, math.FMA, fma))
		add("mad.rn."+name, three, onFloats(t, math.FMA, fma))
		quotient := func(a, b *big.Float) *big.Float {
			if b.Sign() == 0 {
				return new(big.Float)
			}
			return new(big.Float).SetPrec(300).Quo(a, b)
		}
		add("div.rn."+name, two, onFloats(t, func(a, b, _ float64) float64 { return a / b }, func(a, b, _ *big.Float) *big.Float { return quotient(a, b) }))
		add("rcp.rn."+name, one, onFloats(t, func(a, _, _ float64) float64 { return 1 / a }, func(a, _, _ *big.Float) *big.Float { return quotient(big.NewFloat(1), a) }))
		add("sqrt.rn."+name, one, onFloats(t, func(a, _, _ float64) float64 { return math.Sqrt(a) }, func(a, _, _ *big.Float) *big.Float {
			return new(big.Float).SetPrec(300).Sqrt(a)
		}))
		sign := t.mask()>>1 + 1
		add("neg."+name, one, func(a []uint64) uint64 { return a[0] ^ sign })
		add("abs."+name, one, func(a []uint64) uint64 { return a[0] &^ sign })
		add("copysign."+name, two, func(a []uint64) uint64 { return a[0]&sign | a[1]&^sign })
		add("min."+name, two, onFloats(t, orNaN(math.Min), nil))
		add("max."+name, two, onFloats(t, orNaN(math.Max), nil))
		if t == f32 {
			add("min.NaN.f32", two, onFloats(t, func(a, b, _ float64) float64 { return min(a, b) }, nil))
			add("max.NaN.f32", two, onFloats(t, func(a, b, _ float64) float64 { return max(a, b) }, nil))
			add("add.rn.sat.f32", two, onFloats(t, func(a, b, _ float64) float64 {
				if s := float64(float32(a + b)); s > 0 {
					return min(s, 1)
				}
				return 0
			}, nil))
		}
		unordered := func(a, b float64) bool { return math.IsNaN(a) || math.IsNaN(b) }
		for op, f := range map[string]func(a, b float64) bool{
			"eq": func(a, b float64) bool { return a == b }, "ne": func(a, b float64) bool { return a != b && !unordered(a, b) },
			"lt": func(a, b float64) bool { return a < b }, "le": func(a, b float64) bool { return a <= b },
			"gt": func(a, b float64) bool { return a > b }, "ge": func(a, b float64) bool { return a >= b }} {
			add("setp."+op+"."+name, "pred "+one, comparison(t, f))
			add("setp."+op+"u."+name, "pred "+one, comparison(t, func(a, b float64) bool { return f(a, b) || unordered(a, b) }))
		}
		add("setp.num."+name, "pred "+one, comparison(t, func(a, b float64) bool { return !unordered(a, b) }))
		add("setp.nan."+name, "pred "+one, comparison(t, unordered))
		for prop, f := range map[string]func(x float64) bool{
			"finite":     func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) },
			"infinite":   func(x float64) bool { return math.IsInf(x, 0) },
			"number":     func(x float64) bool { return !math.IsNaN(x) },
			"notanumber": math.IsNaN,
			"normal": func(x float64) bool {
				return math.Abs(x) >= map[typ]float64{f32: 0x1p-126, f64: 0x1p-1022}[t] && !math.IsInf(x, 0)
			},
			"subnormal": func(x float64) bool {
				return x != 0 && math.Abs(x) < map[typ]float64{f32: 0x1p-126, f64: 0x1p-1022}[t]
			}} {
			add("testp."+prop+"."+name, "pred "+name, func(a []uint64) uint64 { return b2u(f(float(t, a[0]))) })
		}
	}
	return append(tests, cvtTests()...)
}

// cvtTests are the conversions.
func cvtTests() []opTest {
	var tests []opTest
	modes := map[string]big.RoundingMode{"n": big.ToNearestEven, "z": big.ToZero, "m": big.ToNegativeInf, "p": big.ToPositiveInf}
	clampTo := func(t typ, x *big.Int) uint64 {
		lo, hi := new(big.Int), new(big.Int).SetUint64(t.mask())
		if t.class == signed {
			lo, hi = integer(t, t.mask()>>1+1), new(big.Int).SetUint64(t.mask()>>1)
		}
		if x.Cmp(lo) < 0 {
			x = lo
		}
		if x.Cmp(hi) > 0 {
			x = hi
		}
		return wrapped(x, t.bits)
	}
	// toInt rounds exactly, by the doubled value's place among the integers.
	toInt := func(x float64, mode string) *big.Int {
		low, _ := new(big.Float).SetFloat64(math.Floor(x)).Int(nil)
		rest := x - math.Floor(x)
		up := false
		switch mode {
		case "n":
			up = rest > 0.5 || rest == 0.5 && low.Bit(0) == 1
		case "z":
			up = x < 0 && rest != 0
		case "p":
			up = rest != 0
		}
		if up {
			low.Add(low, big.NewInt(1))
		}
		return low
	}
	ints := strings.Fields("u16 u32 u64 s16 s32 s64")
	for _, from := range ints {
		for _, to := range ints {
			f, t := typeNames[from], typeNames[to]
			tests = append(tests, opTest{"cvt." + to + "." + from, to + " " + from, func(a []uint64) uint64 { return wrapped(integer(f, a[0]), t.bits) }})
			if t.bits < f.bits || f.class == signed && t.class == unsigned || t.bits == f.bits && f.class != t.class {
				tests = append(tests, opTest{"cvt.sat." + to + "." + from, to + " " + from, func(a []uint64) uint64 { return clampTo(t, integer(f, a[0])) }})
			}
		}
		for _, t := range []typ{f32, f64} {
			f := typeNames[from]
			for m, mode := range modes {
				tests = append(tests, opTest{"cvt.r" + m + "." + t.String() + "." + from, t.String() + " " + from, func(a []uint64) uint64 {
					x := new(big.Float).SetPrec(map[typ]uint{f32: 24, f64: 53}[t]).SetMode(mode).SetInt(integer(f, a[0]))
					return rounded(t, x)
				}})
				tests = append(tests, opTest{"cvt.r" + m + "i." + from + "." + t.String(), from + " " + t.String(), func(a []uint64) uint64 {
					x := float(t, a[0])
					switch {
					case math.IsNaN(x) && (f.bits == 64 || t == f64):
						return f.mask()>>1 + 1
					case math.IsNaN(x):
						return 0
					case math.IsInf(x, 0):
						return clampTo(f, new(big.Int).Lsh(big.NewInt(int64(math.Copysign(1, x))), 80))
					}
					return clampTo(f, toInt(x, m))
				}})
			}
		}
	}
	for m, mode := range modes {
		tests = append(tests, opTest{"cvt.r" + m + ".f32.f64", "f32 f64", func(a []uint64) uint64 {
			x := math.Float64frombits(a[0])
			if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
				return uint64(math.Float32bits(float32(x)))
			}
			// Below the least normal the precision falls: round to a multiple
			// of the unit there, which is exact in a float64.
			prec := 24
			if e := math.Ilogb(x); e < -126 {
				prec = 24 - (-126 - e)
			}
			unit := math.Ldexp(1, max(math.Ilogb(x), -126)-23)
			if prec <= 0 {
				q := toInt(math.Copysign(0.25, x), m) // less than half a unit
				if prec == 0 {
					q = toInt(math.Abs(x)/unit*math.Copysign(1, x), m)
				}
				r, _ := new(big.Float).SetInt(q).Float64()
				return uint64(math.Float32bits(float32(math.Copysign(math.Abs(r)*unit, x))))
			}
			r, _ := new(big.Float).SetPrec(uint(prec)).SetMode(mode).SetFloat64(x).Float64()
			// Overflow: the modes towards zero stop at the greatest number.
			if math.Abs(r) > math.MaxFloat32 {
				if m == "z" || m == "m" && x > 0 || m == "p" && x < 0 {
					r = math.Copysign(math.MaxFloat32, x)
				} else {
					r = math.Copysign(math.Inf(1), x)
				}
			}
			return uint64(math.Float32bits(float32(r)))
		}})
		for _, t := range []typ{f32, f64} {
			tests = append(tests, opTest{"cvt.r" + m + "i." + t.String() + "." + t.String(), t.String() + " " + t.String(), func(a []uint64) uint64 {
				x := float(t, a[0])
				if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
					return a[0]
				}
				r := math.Copysign(math.Abs(func() float64 { f, _ := new(big.Float).SetInt(toInt(x, m)).Float64(); return f }()), x)
				if t == f32 {
					return uint64(math.Float32bits(float32(r)))
				}
				return math.Float64bits(r)
			}})
		}
	}
	return append(tests,
		opTest{"cvt.f64.f32", "f64 f32", func(a []uint64) uint64 { return math.Float64bits(float64(math.Float32frombits(uint32(a[0])))) }},
		opTest{"cvt.u8.u32", "u32 u32", func(a []uint64) uint64 { return a[0] & 255 }},
		opTest{"cvt.s8.s32", "s32 s32", func(a []uint64) uint64 { return uint64(uint32(int8(a[0]))) }},
		opTest{"cvt.rzi.s8.f32", "s32 f32", func(a []uint64) uint64 {
			x := float64(math.Float32frombits(uint32(a[0])))
			if math.IsNaN(x) {
				return 0
			}
			return uint64(uint32(int32(math.Trunc(max(-128, min(127, x))))))
		}},
		opTest{"cvt.u32.u8", "u32 u32", func(a []uint64) uint64 { return a[0] & 255 }},
		opTest{"cvt.s32.s8", "s32 s32", func(a []uint64) uint64 { return uint64(uint32(int8(a[0]))) }},
	)
}

// TestOps checks every instruction of opTests.
func TestOps(t *testing.T) {
	g, err := New(Config{})
	must(t, err)
	for _, o := range opTests() {
		o.run(t, g)
	}
}
