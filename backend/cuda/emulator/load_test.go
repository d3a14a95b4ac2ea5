package emulator

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// statements are what stands in a kernel, and the kind of mistake that it is;
// none for what is right. ptxas 12.9 agrees on every one but those marked,
// where the emulator is the stricter.
var statements = []struct {
	text string
	kind Kind
}{
	{"mov.f32 f0, 0;", TypeMismatch},
	{"mov.f32 f0, 1.5;", 0},
	{"mov.f32 f0, -0.0;", 0},
	{"mov.b32 f0, 1;", 0},
	{"mov.b32 r0, 0f3F800000;", 0},
	{"mov.u32 f0, 1;", TypeMismatch},
	{"mov.u32 r0, 0x1FFFFFFFF;", TypeMismatch}, // stricter
	{"mov.u32 r0, -1;", 0},
	{"mov.b64 rd0, 0f3F800000;", TypeMismatch},
	{"mov.u32 r0, sm;", 0},
	{"mov.u64 rd0, sm;", 0},
	{"mov.b64 rd0, {r0, r1};", 0},
	{"mov.b64 {r0, r1}, rd0;", 0},
	{"mov.b64 {r0, _}, rd0;", 0},
	{"mov.b32 r0, {h0, h1};", 0},
	{"mov.b64 rd0, {r0, h1};", TypeMismatch},
	{"mov.u64 rd0, {r0, r1};", TypeMismatch},
	{"mov.f32 f0, f1, f2;", InvalidPTX},
	{"mov.pred p0, p1;", 0},
	{"mov.pred p0, 1;", 0},
	{"mov.u32 u0, %tid;", InvalidPTX},
	{"mov.u32 u0, %clock64;", TypeMismatch},
	{"mov.u64 rd0, %clock64;", 0},
	{"add.u32 u0, u1, s1;", 0},
	{"add.rn.f32 f0, r0, r1;", 0},
	{"add.rn.f32 f0, f1, 1;", TypeMismatch},
	{"add.s32 s0, s1, 1.5;", TypeMismatch},
	{"add.rn.f32 f0, f1, 0d3FF0000000000000;", TypeMismatch}, // stricter
	{"add.f32 f0, f1, f2;", LooseNumerics},                   // stricter
	{"add.rz.f32 f0, f1, f2;", NotEmulated},                  // stricter
	{"fma.f32 f0, f1, f2, f3;", UnknownInstruction},
	{"div.f32 f0, f1, f2;", UnknownInstruction},
	{"div.approx.f32 f0, f1, f2;", NotEmulated},   // stricter
	{"sqrt.approx.f32 f0, f1;", NotEmulated},      // stricter
	{"tanh.approx.f32 f0, f1;", NotEmulated},      // stricter
	{"add.rn.ftz.f32 f0, f1, f2;", LooseNumerics}, // stricter
	{"mul.u32 u0, u1, u2;", UnknownInstruction},
	{"abs.u32 u0, u1;", UnknownInstruction},
	{"neg.u32 u0, u1;", UnknownInstruction},
	{"shl.b32 r0, r1, rd1;", TypeMismatch},
	{"shl.u32 r0, r1, 1;", UnknownInstruction},
	{"min.u32 f0, f1, f2;", TypeMismatch},
	{"min.NaN.f32 f0, f1, f2;", 0},
	{"selp.f32 f0, f1, f2, p0;", 0},
	{"setp.lt.and.f32 p0|p1, f0, f1, !p2;", 0},
	{"setp.lo.f32 p0, f0, f1;", UnknownInstruction},
	{"setp.lt.b32 p0, r0, r1;", UnknownInstruction},
	{"setp.lo.s32 p0, s0, s1;", UnknownInstruction},
	{"setp.ge.u32 p0, %tid.x, 4;", TypeMismatch},
	{"and.pred p0, p1, !p2;", 0},
	{"and.pred p0, r0, p2;", TypeMismatch},
	{"lop3.b32 r0, r1, r2, r3, 0x80;", 0},
	{"lop3.b32 r0, r1, r2, r3, r4;", TypeMismatch},
	{"popc.b64 r0, rd1;", 0},
	{"cvt.s32.f32 s0, f0;", UnknownInstruction},
	{"cvt.rn.s32.f32 s0, f0;", UnknownInstruction},
	{"cvt.rzi.s32.f32 rd0, f0;", 0},
	{"cvt.rzi.s32.f32 f1, f0;", TypeMismatch},
	{"cvt.f32.s32 f0, s0;", UnknownInstruction},
	{"cvt.f32.f64 f0, d0;", UnknownInstruction},
	{"cvt.rn.f64.f32 d0, f0;", UnknownInstruction},
	{"cvt.sat.s64.s32 rd0, r0;", UnknownInstruction},
	{"cvt.u32.u64 rd1, rd0;", 0},

	{"ld.global.f32 f0, [rd0];", 0},
	{"ld.global.f32 f0, [rd0+-4];", 0},
	{"ld.global.f32 f0, [rd0-4];", InvalidPTX},
	{"ld.global.f32 f0, [rd0+4+4];", 0},
	{"ld.global.f32 f0, [r0];", TypeMismatch},
	{"ld.global.f32 f0, rd0;", TypeMismatch},
	{"ld.global.u8 f0, [rd0];", TypeMismatch},
	{"ld.global.u16 r0, [rd0];", 0},
	{"ld.global.f32 r1, [rd0];", 0},
	{"ld.global.u32 f1, [rd0];", TypeMismatch},
	{"ld.shared.f32 f0, [sm];", 0},
	{"ld.shared.f32 f0, [sm+60];", 0},
	{"ld.global.f32 f0, [sm];", TypeMismatch},
	{"ld.const.f32 f0, [p];", TypeMismatch},
	{"ld.param.u32 r0, [p];", 0},
	{"ld.param.u64 rd0, [q];", InvalidPTX},
	{"ld.param.u64 rd0, [p+4];", InvalidPTX}, // stricter
	{"ld.global.v4.f32 {f0, f1, f2, f3}, [rd0];", 0},
	{"ld.global.v4.f32 {f0, f1, f2}, [rd0];", TypeMismatch},
	{"ld.global.v4.f32 f0, [rd0];", TypeMismatch},
	{"ld.global.v4.f64 {d0, d1, d2, d3}, [rd0];", WrongTarget},
	{"ld.global.L1::no_allocate.L2::128B.v4.f32 {f0, f1, f2, f3}, [rd0];", 0},
	{"ld.global.nc.L1::no_allocate.f32 f0, [rd0];", 0},
	{"ld.global.nc.cs.f32 f0, [rd0];", 0},
	{"ld.global.cs.nc.f32 f0, [rd0];", 0},
	{"ld.global.L2::evict_first.f32 f0, [rd0];", WrongTarget},
	{"ld.global.b128 rd0, [rd1];", NotEmulated},
	{"ld.local.u32 r0, [rd0];", NotEmulated}, // stricter
	{"ld.volatile.global.u32 r0, [rd0];", 0},
	{"ld.acquire.gpu.global.u32 r0, [rd0];", 0},
	{"ld.acquire.global.u32 r0, [rd0];", UnknownInstruction},
	{"st.global.u16 [rd0], r0;", 0},
	{"st.global.f32 [rd0], 0f00000000;", 0},
	{"st.global.v2.f32 [rd0], {f0, 0f00000000};", 0},
	{"st.global.u32 [rd0], 5;", 0},
	{"st.release.gpu.global.u32 [rd0], 5;", 0},
	{"st.const.f32 [rd0], f0;", ReadOnly},
	{"st.param.f32 [p], f0;", ReadOnly},
	{"atom.global.add.u32 r0, [rd0], 1;", 0},
	{"atom.global.add.s64 rd0, [rd1], rd2;", UnknownInstruction},
	{"atom.acq_rel.gpu.global.add.u32 r0, [rd0], 1;", 0},
	{"red.global.add.f32 [rd0], f1;", 0},
	{"red.global.exch.b32 [rd0], r1;", UnknownInstruction},
	{"cvta.to.global.u64 rd0, p;", TypeMismatch},

	{"bar.sync 0;", 0},
	{"bar.sync r0;", 0},
	{"bar.sync rd0;", TypeMismatch},
	{"bar.sync 16;", InvalidPTX},
	{"bar.sync 0, 33;", InvalidPTX},
	{"shfl.sync.down.b32 f0|p0, f1, 1, 31, -1;", 0},
	{"shfl.sync.down.b32 f0, f1, 1, 31;", InvalidPTX},
	{"shfl.down.b32 f0, f1, 1, 31;", UnknownInstruction},
	{"vote.sync.ballot.b32 r0, p0, -1;", 0},
	{"fence.acq_rel.gpu;", 0},
	{"fence.acq_rel;", UnknownInstruction},
	{"membar.gl;", 0},
	{"bra L;", InvalidPTX},
	{"L: bra L;", 0},
	{"L: L: bra L;", InvalidPTX},
	{"{ .reg .f32 z; mov.f32 z, 0f00000000; } add.rn.f32 f0, z, z;", InvalidPTX},
	{"{ .reg .f32 f0; mov.f32 f0, 0f00000000; }", 0},
	{"foo.f32 f0;", UnknownInstruction},
	{"exit", InvalidPTX},
	{"@p0 exit;", 0},
	{"@r0 exit;", TypeMismatch},
	{"@_ exit;", InvalidPTX},
	{"call f;", NotEmulated},
	{".local .b32 x;", NotEmulated}, // stricter
	{".reg .b32 %tid;", InvalidPTX}, // stricter
	{"mov.u32 r0, 0x;", InvalidPTX},
	{"mov.f32 f0, 0f3F80;", InvalidPTX},
	{"mov.f32 f0, 1e;", InvalidPTX},
	{"mov.u32 r0, 1; /*", InvalidPTX},
	{"mov.u32 r0, #1;", InvalidPTX},
	{"{", InvalidPTX},
	{"}", InvalidPTX},
	{strings.Repeat("{", 1000), InvalidPTX},
}

const head = ".version 8.8\n.target sm_90\n.address_size 64\n"

// TestStatements: what is right loads, and of what is wrong the kind is found,
// on its line.
func TestStatements(t *testing.T) {
	g, err := New(Config{})
	must(t, err)
	for _, s := range statements {
		text := head + `.visible .entry k(.param .u64 p, .param .u32 n)
{
.reg .pred p<4>; .reg .b32 r<9>; .reg .u32 u<9>; .reg .s32 s<9>; .reg .f32 f<9>; .reg .b64 rd<9>; .reg .f64 d<9>; .reg .b16 h<9>;
.shared .align 16 .b8 sm[64];
` + s.text + "\nret;\n}\n"
		_, err := g.Load(text)
		var f *Fault
		switch {
		case s.kind == 0 && err != nil:
			t.Errorf("%s: %v", s.text, err)
		case s.kind != 0 && !errors.As(err, &f):
			t.Errorf("%s: %v, want %v", s.text, err, s.kind)
		case s.kind != 0 && (f.Kind != s.kind || f.Line < 8):
			t.Errorf("%s: %v in line %d, want %v\n%v", s.text, f.Kind, f.Line, s.kind, err)
		}
	}
}

// modules are texts that are wrong outside of a kernel's body, and right ones.
var modules = []struct {
	text string
	kind Kind
}{
	{"", InvalidPTX},
	{".version 8.8\n", InvalidPTX},
	{".version x\n", InvalidPTX},
	{".version 5.0\n.target sm_70\n.address_size 64\n", WrongTarget},
	{".version 7.0\n.target sm_90\n.address_size 64\n", WrongTarget},
	{".version 8.8\n.target sm_91\n.address_size 64\n", WrongTarget},
	{".version 8.8\n.target sm_100\n.address_size 64\n", WrongTarget},
	{".version 8.8\n.target sm_90a\n.address_size 64\n", 0},
	{".version 8.8\n.target sm_80, debug\n.address_size 64\n", 0},
	{".version 8.8\n.target sm_90\n.address_size 32\n", NotEmulated},
	{head, 0},
	{head + ".func f() { ret; }", NotEmulated},
	{head + ".extern .func f();", InvalidPTX},
	{head + ".entry k() { ret; } .entry k() { ret; }", InvalidPTX},
	{head + ".entry k(.param .u32 a, .param .u32 a) { ret; }", InvalidPTX},
	{head + ".entry k(.param .pred a) { ret; }", InvalidPTX},
	{head + ".entry k(.param .align 16 .b8 a[5000]) { ret; }", InvalidPTX},
	{head + ".entry k(.param .u64 .ptr .global .align 16 a, .param .align 8 .b8 b[24]) .maxntid 128 .minnctapersm 2 { ret; }", 0},
	{head + ".entry k() .reqntid 2048 { ret; }", InvalidPTX},
	{head + ".entry k() .reqntid 0 { ret; }", InvalidPTX},
	{head + ".shared .b32 s[4] = {1};", InvalidPTX},
	{head + ".const .b32 c[4] = {1, 2, 3, 4, 5};", InvalidPTX},
	{head + ".const .b32 c[40000];", InvalidPTX},
	{head + ".const .b32 c[];", InvalidPTX},
	{head + ".const .align 3 .b32 c;", InvalidPTX},
	{head + ".global .b32 g[2000000000];", InvalidPTX},
	{head + ".global .b32 g[2000000000] = {1};", InvalidPTX},
	{head + ".global .f32 g[2][2] = {{1.0, 2.0}, {3.0, 4.0}};", 0},
	{head + ".file 1 \"a.cu\"\n.entry k() { .loc 1 2 3\n ret; }", 0},
	{head + "# 1", InvalidPTX},
}

func TestModules(t *testing.T) {
	g, err := New(Config{Memory: 1 << 20})
	must(t, err)
	free, _ := g.MemInfo()
	for _, m := range modules {
		module, err := g.Load(m.text)
		var f *Fault
		if m.kind == 0 && err != nil || m.kind != 0 && (!errors.As(err, &f) || f.Kind != m.kind) {
			t.Errorf("%q: %v, want %v", m.text, err, m.kind)
		}
		if err == nil {
			must(t, module.Unload())
			if err := module.Unload(); !errors.Is(err, ErrInvalid) {
				t.Errorf("unloaded twice: %v", err)
			}
		}
	}
	if now, _ := g.MemInfo(); now != free {
		t.Errorf("%d bytes free, %d before", now, free)
	}
}

// FuzzLoad: whatever the text, Load returns, with a Fault if with an error;
// and what it accepts can be launched.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/right/*.ptx", "testdata/wrong/*.ptx"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			must(f, err)
			f.Add(string(text))
		}
	}
	for _, m := range modules {
		f.Add(m.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := New(Config{Memory: 1 << 20, Workers: 1, StepLimit: 1000, Arch: "sm_120"})
		must(t, err)
		m, err := g.Load(text)
		var fault *Fault
		if err != nil && (!errors.As(err, &fault) || !fault.Kind.AtLoad() || fault.Error() == "") {
			t.Fatalf("not a fault of loading: %v", err)
		}
		if err != nil {
			return
		}
		for _, name := range m.Functions() {
			fn, err := m.Function(name)
			must(t, err)
			ptr, err := g.Alloc(256)
			if err != nil {
				return
			}
			params := make([][]byte, len(fn.Params))
			for i, p := range fn.Params {
				params[i] = make([]byte, p.Size)
				copy(params[i], on(ptr))
			}
			err = g.Launch(fn, [3]uint32{2, 1, 1}, [3]uint32{40, 1, 1}, 64, params)
			if err != nil && !errors.As(err, &fault) && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrLost) {
				t.Fatal(err)
			}
		}
	})
}
