package emulator

import (
	"errors"
	"testing"
)

// orderings are kernels that share memory between threads, and whether something
// orders that. They start with x, 4096 bytes that are written, y, 4096 bytes
// of zeros, and t, the thread's number in the block; xt, the address of x[t]
// and st, that of shared s[t]; b, the block's number; last, the greatest of
// those.
var orderings = []struct {
	name, body  string
	grid, block uint32
	race        bool
}{
	{"fence and ticket by one thread after a barrier", `
		mad.wide.u32 at, b, 256, xt; st.global.u32 [at], t; bar.sync 0; @notFirst bra OUT;
		membar.gl; atom.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT;
		ld.global.u32 v, [x]; ld.global.u32 v, [x+252]; ld.global.u32 v, [x+256]; ld.global.u32 v, [x+764]; OUT:`, 3, 64, false},
	{"every thread has a fence, then a barrier, then one a ticket", `
		mad.wide.u32 at, b, 256, xt; st.global.u32 [at], t; fence.acq_rel.gpu; bar.sync 0; @notFirst bra OUT;
		atom.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT;
		ld.global.u32 v, [x]; ld.global.u32 v, [x+252]; ld.global.u32 v, [x+764]; OUT:`, 3, 64, false},
	{"not every thread has a fence", `
		mad.wide.u32 at, b, 256, xt; st.global.u32 [at], t; setp.lt.u32 p, t, 63; @p fence.acq_rel.gpu; bar.sync 0; @notFirst bra OUT;
		atom.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT;
		ld.global.u32 v, [x+252]; ld.global.u32 v, [x+508]; ld.global.u32 v, [x+764]; OUT:`, 3, 64, true},
	{"no barrier before the ticket", `
		mad.wide.u32 at, b, 256, xt; st.global.u32 [at], t; fence.acq_rel.gpu; @notFirst bra OUT;
		atom.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT;
		ld.global.u32 v, [x+252]; ld.global.u32 v, [x+508]; ld.global.u32 v, [x+764]; OUT:`, 3, 64, true},
	{"the ticket is its own fence", `
		mad.wide.u32 at, b, 256, xt; st.global.u32 [at], t; bar.sync 0; @notFirst bra OUT;
		atom.acq_rel.gpu.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT;
		ld.global.u32 v, [x+252]; ld.global.u32 v, [x+508]; ld.global.u32 v, [x+764]; OUT:`, 3, 64, false},
	{"the fence comes before the store", `
		mad.wide.u32 at, b, 4, x; @notFirst bra OUT; membar.gl; st.global.u32 [at], t;
		atom.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT;
		ld.global.u32 v, [x]; ld.global.u32 v, [x+4]; ld.global.u32 v, [x+8]; OUT:`, 3, 32, true},
	{"a ticket of each warp, after a barrier of the warp", `
		mad.wide.u32 at, b, 128, xt; st.global.u32 [at], t; bar.warp.sync -1; @notFirst bra OUT;
		membar.gl; atom.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT;
		ld.global.u32 v, [x+124]; ld.global.u32 v, [x+252]; OUT:`, 2, 32, false},
	{"the last block resets the ticket", `
		@notFirst bra OUT; atom.global.add.u32 v, [y], 1; membar.gl; setp.ne.u32 p, v, last; @p bra OUT; st.global.u32 [y], 0; OUT:`, 3, 32, false},
	{"every block resets the ticket", `
		@notFirst bra OUT; atom.global.add.u32 v, [y], 1; membar.gl; st.global.u32 [y], 0; OUT:`, 3, 32, true},
	{"all blocks read, the last one writes", `
		ld.global.u32 v, [xt]; bar.sync 0; @notFirst bra OUT;
		membar.gl; atom.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT; st.global.u32 [x+4], 0; OUT:`, 3, 64, false},
	{"all blocks read, one writes", `
		ld.global.u32 v, [xt]; bar.sync 0; setp.ne.u32 p, b, 1; @p bra OUT; st.global.u32 [xt], 0; OUT:`, 3, 64, true},
	{"a flag that is released and acquired", `
		@notFirst bra OUT; setp.eq.u32 p, b, 0; @p bra GIVE; ld.acquire.gpu.global.u32 v, [y]; setp.eq.u32 p, v, 0; @p bra OUT;
		ld.global.u32 v, [x]; bra OUT; GIVE: st.global.u32 [x], 7; st.release.gpu.global.u32 [y], 1; OUT:`, 2, 32, false},
	{"a flag that is not released", `
		@notFirst bra OUT; setp.eq.u32 p, b, 0; @p bra GIVE; ld.acquire.gpu.global.u32 v, [y]; 
		ld.global.u32 v, [x]; bra OUT; GIVE: st.global.u32 [x], 7; st.relaxed.gpu.global.u32 [y], 1; OUT:`, 2, 32, true},
	{"an atomic of the block on what blocks share", `
		atom.relaxed.cta.global.add.u32 v, [y], 1;`, 2, 32, true},
	{"an atomic of the GPU on what blocks share", `
		atom.relaxed.gpu.global.add.u32 v, [y], 1;`, 2, 32, false},
	{"a plain load of what others count", `
		red.global.add.u32 [y], 1; ld.global.u32 v, [y];`, 1, 32, true},
	{"a strong load of what others count", `
		red.global.add.u32 [y], 1; ld.relaxed.gpu.global.u32 v, [y];`, 2, 32, false},
	{"bytes of one word, in place", `
		sub.u64 at, xt, x; shr.u64 at, at, 2; add.u64 at, at, x; ld.global.u8 v, [at]; st.global.u8 [at], v;`, 1, 64, false},
	{"a byte of a word that another writes", `
		setp.eq.u32 p, t, 1; @!p ld.global.u8 v, [x+6]; @p st.global.u32 [x+4], 0;`, 1, 64, true},
	{"read by all, a barrier, written by one", `
		ld.global.u32 v, [x]; bar.sync 0; @notFirst bra OUT; st.global.u32 [x], v; OUT:`, 1, 128, false},
	{"read by all, written by one", `
		ld.global.u32 v, [x]; @notFirst bra OUT; st.global.u32 [x], v; OUT:`, 1, 32, true},
	{"read by another warp, written by one", `
		setp.lt.u32 p, t, 32; @!p ld.global.u32 v, [x]; @p st.global.u32 [xt], 1;`, 1, 64, true},
	{"shared by half a warp, with a barrier of that half", `
		setp.ge.u32 p, t, 16; @p bra OUT; st.shared.u32 [st], t; bar.warp.sync 0xffff; xor.b32 v, t, 5; mad.lo.u32 v, v, 4, s0; ld.shared.u32 v, [v]; OUT:`, 1, 32, false},
	{"shared by a warp, with a barrier of half of it", `
		st.shared.u32 [st], t; setp.ge.u32 p, t, 16; @p bra OUT; bar.warp.sync 0xffff; xor.b32 v, t, 16; mad.lo.u32 v, v, 4, s0; ld.shared.u32 v, [v]; OUT:`, 1, 32, true},
	{"handed on by two barriers of pairs", `
		setp.gt.u32 p, t, 2; @p bra OUT; setp.eq.u32 p, t, 0; @p st.shared.u32 [st], t; setp.eq.u32 p, t, 2; @p bra LATE;
		bar.warp.sync 3; setp.eq.u32 p, t, 0; @p bra OUT; LATE: bar.warp.sync 6; setp.eq.u32 p, t, 2; @!p bra OUT; ld.shared.u32 v, [s0]; OUT:`, 1, 32, false},
	{"read by half a warp, a barrier of that half, written by one of it", `
		st.shared.u32 [st], t; bar.sync 0; setp.ge.u32 p, t, 16; @p bra OUT; ld.shared.u32 v, [s0]; bar.warp.sync 0xffff; @notFirst bra OUT; st.shared.u32 [s0], v; OUT:`, 1, 32, false},
	{"a shuffle does not order memory", `
		st.shared.u32 [st], t; shfl.sync.bfly.b32 v, t, 1, 31, -1; mad.lo.u32 v, v, 4, s0; ld.shared.u32 v, [v];`, 1, 32, true},
	{"volatile does not order shared memory", `
		st.volatile.shared.u32 [st], t; xor.b32 v, t, 1; mad.lo.u32 v, v, 4, s0; ld.volatile.shared.u32 v, [v];`, 1, 32, true},
	{"shared atomics, a barrier, a load", `
		setp.eq.u32 p, t, 0; @p st.shared.u32 [s0], 0; bar.sync 0; atom.shared.add.u32 v, [s0], 1; bar.sync 0; ld.shared.u32 v, [s0];`, 1, 128, false},
	{"shared atomics and a load", `
		setp.eq.u32 p, t, 0; @p st.shared.u32 [s0], 0; bar.sync 0; atom.shared.add.u32 v, [s0], 1; ld.shared.u32 v, [s0];`, 1, 128, true},
	{"many barriers", `
		mov.u32 v, 0; AGAIN: st.shared.u32 [st], v; bar.sync 0; ld.shared.u32 w, [s0]; bar.sync 0; add.u32 v, v, 1; setp.lt.u32 p, v, 100; @p bra AGAIN;`, 2, 64, false},
	{"a named barrier of the warps that share", `
		setp.ge.u32 p, t, 64; @p bra OUT; st.shared.u32 [st], t; barrier.sync 3, 64; xor.b32 v, t, 32; mad.lo.u32 v, v, 4, s0; ld.shared.u32 v, [v]; OUT:`, 1, 128, false},
	{"stores before arriving", `
		st.shared.u32 [st], t; bar.sync 0; setp.ge.u32 p, t, 32; @p bra TAKE; st.shared.u32 [st], b; barrier.arrive 3, 64; bra OUT;
		TAKE: barrier.sync 3, 64; xor.b32 v, t, 32; mad.lo.u32 v, v, 4, s0; ld.shared.u32 v, [v]; OUT:`, 1, 64, false},
	{"stores after arriving", `
		st.shared.u32 [st], t; bar.sync 0; setp.ge.u32 p, t, 32; @p bra TAKE; barrier.arrive 3, 64; st.shared.u32 [st], b; bra OUT;
		TAKE: barrier.sync 3, 64; xor.b32 v, t, 32; mad.lo.u32 v, v, 4, s0; ld.shared.u32 v, [v]; OUT:`, 1, 64, true},
	{"a barrier that says how many threads the block has, then a ticket", `
		mad.wide.u32 at, b, 256, xt; st.global.u32 [at], t; bar.sync 0, 64; @notFirst bra OUT;
		membar.gl; atom.global.inc.u32 v, [y], last; setp.ne.u32 p, v, last; @p bra OUT;
		ld.global.u32 v, [x+252]; ld.global.u32 v, [x+508]; ld.global.u32 v, [x+764]; OUT:`, 3, 64, false},
	{"a named barrier of other warps", `
		st.shared.u32 [st], t; bar.sync 0; st.shared.u32 [st], b; setp.ge.u32 p, t, 64; @p bra OUT; barrier.sync 3, 64; xor.b32 v, t, 64; mad.lo.u32 v, v, 4, s0; ld.shared.u32 v, [v]; OUT:`, 1, 128, true},
}

// TestOrder runs each under several seeds, on one worker and on three: what is
// ordered never races, what is not always does.
func TestOrder(t *testing.T) {
	for _, o := range orderings {
		t.Run(o.name, func(t *testing.T) {
			text := head + `.visible .entry k(.param .u64 x, .param .u64 y)
{
	.reg .pred p, notFirst; .reg .b32 t, b, last, v, w, st, s0; .reg .b64 x_, xt, y_, at;
	.shared .align 4 .b32 s[256];
	ld.param.u64 x_, [x]; ld.param.u64 y_, [y];
	mov.u32 t, %tid.x; mov.u32 b, %ctaid.x; mov.u32 last, %nctaid.x; sub.u32 last, last, 1;
	setp.ne.u32 notFirst, t, 0; mad.wide.u32 xt, t, 4, x_; mov.u32 s0, s; mad.lo.u32 st, t, 4, s0;
	{
	.reg .b64 x, y; mov.b64 x, x_; mov.b64 y, y_;
` + o.body + "\n\t}\n\tret;\n}\n"
			for seed := range uint64(12) {
				// Blocks on several workers may never meet; on one they do.
				g, err := New(Config{Seed: seed + 1, Workers: 1 + int(seed%2)*2*int(b2u(!o.race))})
				must(t, err)
				m, err := g.Load(text)
				must(t, err)
				f, err := m.Function("k")
				must(t, err)
				x, err := g.Alloc(4096)
				must(t, err)
				y, err := g.Alloc(4096)
				must(t, err)
				must(t, g.Memset32(x, 1, 1024))
				must(t, g.Memset32(y, 0, 1024))
				err = g.Launch(f, [3]uint32{o.grid, 1, 1}, [3]uint32{o.block, 1, 1}, 0, [][]byte{on(x), on(y)})
				if errors.Is(err, Race) != o.race || !o.race && err != nil {
					t.Fatalf("seed %d: %v", seed+1, err)
				}
			}
		})
	}
}

// TestRaceTableReset: segments that run out are numbered anew, and what the
// earlier ones have marked is forgotten.
func TestRaceTableReset(t *testing.T) {
	r := newRig(t, "add", Config{})
	x, z := r.in(make([]float32, 64)), r.out(256)
	for range 3 {
		r.launch([3]uint32{2, 1, 1}, [3]uint32{32, 1, 1}, 0, x, x, z, uint32(64))
		r.gpu.races.next.Store(1<<31 + 16)
	}
	if n := r.gpu.races.next.Load(); n < 1<<31 {
		t.Errorf("%d segments", n)
	}
	r.launch([3]uint32{2, 1, 1}, [3]uint32{32, 1, 1}, 0, x, x, z, uint32(64))
	if n := r.gpu.races.next.Load(); n > 1000 {
		t.Errorf("%d segments after a new start", n)
	}
}

// TestMarks: the bounds between groups, pages and bytes of what is written.
func TestMarks(t *testing.T) {
	r := newRegion(0, make([]byte, 3*pageBytes), "")
	written := make([]bool, r.size)
	for _, span := range [][2]uint64{{0, 1}, {63, 2}, {70, 100}, {pageBytes - 1, 2}, {2*pageBytes - 65, 130}, {r.size - 1, 1}} {
		r.markWritten(span[0], span[1])
		for i := range span[1] {
			written[span[0]+i] = true
		}
	}
	for i, w := range written {
		if got := r.pages[i/pageBytes].isWritten(uint64(i), 1); got != w {
			t.Errorf("byte %d is written: %v", i, got)
		}
		at, found := r.firstUnwritten(uint64(i), r.size-uint64(i))
		want := i
		for want < len(written) && written[want] {
			want++
		}
		if found != (want < len(written)) || found && at != uint64(want) {
			t.Fatalf("first unwritten byte from %d: %d, %v, want %d", i, at, found, want)
		}
	}
}
