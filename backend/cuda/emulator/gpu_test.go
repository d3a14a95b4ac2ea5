package emulator

import (
	"encoding/binary"
	"testing"
)

const addPTX = `
.version 7.0
.target sm_70
.address_size 64
.visible .entry add(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)
{
	.reg .pred %p<2>;
	.reg .b32 %r<6>;
	.reg .f32 %f<4>;
	.reg .b64 %rd<11>;
	ld.param.u64 %rd1, [a];
	ld.param.u64 %rd2, [b];
	ld.param.u64 %rd3, [c];
	ld.param.u32 %r2, [n];
	mov.u32 %r3, %ctaid.x;
	mov.u32 %r4, %ntid.x;
	mov.u32 %r5, %tid.x;
	mad.lo.s32 %r1, %r3, %r4, %r5;
	setp.ge.u32 %p1, %r1, %r2;
	@%p1 bra DONE;
	mul.wide.u32 %rd4, %r1, 4;
	add.s64 %rd5, %rd1, %rd4;
	add.s64 %rd6, %rd2, %rd4;
	add.s64 %rd7, %rd3, %rd4;
	ld.global.f32 %f1, [%rd5];
	ld.global.f32 %f2, [%rd6];
	add.rn.f32 %f3, %f1, %f2;
	st.global.f32 [%rd7], %f3;
DONE:
	ret;
}
`

func u64p(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
func u32p(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func TestAdd(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := g.Load(addPTX)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := m.Function("add")
	const n = 1 << 20
	a, _ := g.Alloc(4 * n)
	b, _ := g.Alloc(4 * n)
	c, _ := g.Alloc(4 * n)
	g.Memset32(a, 0x3f800000, n)
	g.Memset32(b, 0x3f800000, n)
	for range 5 {
		if err := g.Launch(f, [3]uint32{n / 256, 1, 1}, [3]uint32{256, 1, 1}, 0, [][]byte{u64p(a), u64p(b), u64p(c), u32p(n)}); err != nil {
			t.Fatal(err)
		}
	}
	out := make([]byte, 4*n)
	if err := g.CopyToHost(out, c); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if binary.LittleEndian.Uint32(out[4*i:]) != 0x40000000 {
			t.Fatal(i)
		}
	}
}
