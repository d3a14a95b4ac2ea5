package emulator

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// The kernels of testdata/right, each against the same thing in Go.

// a rig is a loaded kernel of testdata/right on a GPU of its own.
type rig struct {
	t   testing.TB
	gpu *GPU
	fn  *Function
}

func newRig(t testing.TB, name string, c Config) *rig {
	t.Helper()
	g, err := New(c)
	must(t, err)
	text, err := os.ReadFile("testdata/right/" + name + ".ptx")
	must(t, err)
	m, err := g.Load(string(text))
	must(t, err)
	fn, err := m.Function(name)
	must(t, err)
	return &rig{t, g, fn}
}

// on gives the bytes of a value or of a slice.
func on(v any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err)
	}
	return b
}

// in allocates memory that holds a slice.
func (r *rig) in(v any) uint64 {
	r.t.Helper()
	b := on(v)
	ptr := r.out(len(b))
	must(r.t, r.gpu.CopyToDevice(ptr, b))
	return ptr
}

// out allocates memory that holds nothing.
func (r *rig) out(bytes int) uint64 {
	r.t.Helper()
	ptr, err := r.gpu.Alloc(uint64(bytes))
	must(r.t, err)
	return ptr
}

// launch runs the kernel; params are uint64, uint32 or float32.
func (r *rig) launch(grid, block [3]uint32, shared uint32, params ...any) {
	r.t.Helper()
	var p [][]byte
	for _, v := range params {
		p = append(p, on(v))
	}
	must(r.t, r.gpu.Launch(r.fn, grid, block, shared, p))
}

// read copies device memory to a slice.
func read[T any](r *rig, ptr uint64, n int) []T {
	r.t.Helper()
	v := make([]T, n)
	b := make([]byte, binary.Size(v))
	must(r.t, r.gpu.CopyToHost(b, ptr))
	if _, err := binary.Decode(b, binary.LittleEndian, v); err != nil {
		r.t.Fatal(err)
	}
	return v
}

func equal[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func randomFloats(n int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

func TestAdd(t *testing.T) {
	for _, n := range []int{1, 31, 32, 33, 255, 256, 257, 10_000} {
		r := newRig(t, "add", Config{})
		x, y := randomFloats(n), randomFloats(2 * n)[:n]
		want := make([]float32, n)
		for i := range want {
			want[i] = x[i] + y[i]
		}
		z := r.out(4 * n)
		r.launch([3]uint32{uint32(n+255) / 256, 1, 1}, [3]uint32{256, 1, 1}, 0, r.in(x), r.in(y), z, uint32(n))
		equal(t, "z", read[float32](r, z, n), want)
	}
}

func TestStride(t *testing.T) {
	for _, n := range []int{1, 3, 4, 5, 1000, 4099} {
		r := newRig(t, "stride", Config{})
		x, y := randomFloats(n), randomFloats(2 * n)[:n]
		want := make([]float32, n)
		for i := range want {
			want[i] = fma32(1.7, x[i], y[i])
		}
		py := r.in(y)
		r.launch([3]uint32{3, 1, 1}, [3]uint32{128, 1, 1}, 0, float32(1.7), r.in(x), py, uint32(n))
		equal(t, "y", read[float32](r, py, n), want)
	}
}

// TestSum: the same bits whatever the order of blocks and the workers, twice
// over, as the ticket is back at 0.
func TestSum(t *testing.T) {
	const n, blocks = 10_000, 7
	x := randomFloats(n)
	// The kernel's order of additions.
	threads := make([]float64, blocks*256)
	for i, v := range x {
		threads[i%len(threads)] += float64(v)
	}
	want := 0.0
	for b := range blocks {
		sum := 0.0
		for w := range 8 {
			lanes := slices.Clone(threads[b*256+w*32:][:32])
			for d := 16; d > 0; d /= 2 {
				next := slices.Clone(lanes)
				for l := range lanes {
					next[l] = lanes[l] + lanes[l^d]
				}
				lanes = next
			}
			if w == 0 {
				sum = lanes[0]
			} else {
				sum += lanes[0]
			}
		}
		if b == 0 {
			want = sum
		} else {
			want += sum
		}
	}
	for seed := range uint64(20) {
		r := newRig(t, "sum", Config{Seed: seed + 1, Workers: int(seed%4) + 1})
		partial, ticket, out := r.out(8*blocks), r.in(uint32(0)), r.out(8)
		px := r.in(x)
		for range 2 {
			r.launch([3]uint32{blocks, 1, 1}, [3]uint32{256, 1, 1}, 0, px, uint32(n), partial, ticket, out)
			equal(t, "sum", read[float64](r, out, 1), []float64{want})
		}
	}
}

func TestTranspose(t *testing.T) {
	for _, shape := range [][2]int{{1, 1}, {32, 32}, {33, 31}, {70, 100}} {
		r := newRig(t, "transpose", Config{})
		rows, cols := shape[0], shape[1]
		x := randomFloats(rows * cols)
		want := make([]float32, rows*cols)
		for i := range rows {
			for j := range cols {
				want[j*rows+i] = x[i*cols+j]
			}
		}
		out := r.out(4 * rows * cols)
		r.launch([3]uint32{uint32(cols+31) / 32, uint32(rows+31) / 32, 1}, [3]uint32{32, 8, 1}, 0, r.in(x), out, uint32(rows), uint32(cols))
		equal(t, "out", read[float32](r, out, rows*cols), want)
	}
}

func TestHistogram(t *testing.T) {
	const n = 5000
	r := newRig(t, "histogram", Config{})
	x := make([]byte, n)
	want := make([]uint32, 256)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = byte(rng.NormFloat64() * 20)
		want[x[i]]++
	}
	out := r.out(1024)
	must(t, r.gpu.Memset32(out, 0, 256))
	r.launch([3]uint32{5, 1, 1}, [3]uint32{256, 1, 1}, 1024, r.in(x), uint32(n), out)
	equal(t, "counts", read[uint32](r, out, 256), want)
}

func TestCollatz(t *testing.T) {
	const n = 1000
	r := newRig(t, "collatz", Config{})
	want := make([]uint32, n)
	for i := range want {
		for v := i + 1; v != 1; want[i]++ {
			if v%2 == 0 {
				v /= 2
			} else {
				v = 3*v + 1
			}
		}
	}
	out := r.out(4 * n)
	r.launch([3]uint32{4, 1, 1}, [3]uint32{256, 1, 1}, 0, out, uint32(n))
	equal(t, "steps", read[uint32](r, out, n), want)
}

func TestCold(t *testing.T) {
	r := newRig(t, "cold", Config{})
	want := make([]uint32, 64)
	for i := range want {
		if want[i] = uint32(i ^ 63); want[i]%4 == 0 {
			want[i] += 1000
		}
	}
	out := r.out(256)
	r.launch([3]uint32{1, 1, 1}, [3]uint32{64, 1, 1}, 0, out)
	equal(t, "out", read[uint32](r, out, 64), want)
}

func TestCollectives(t *testing.T) {
	rows := []func(l uint32) uint32{
		func(l uint32) uint32 { return square(choose32(l >= 3, l-3, l)) },
		func(l uint32) uint32 { return choose32(l >= 3, 1, 0) },
		func(l uint32) uint32 { return square(choose32(l < 29, l+3, l)) },
		func(l uint32) uint32 { return choose32(l < 29, 1, 0) },
		func(l uint32) uint32 { return square(l ^ 5) },
		func(l uint32) uint32 { return square(l&^7 | 3) },
		func(uint32) uint32 { return 0xaaaaaaaa },
		func(uint32) uint32 { return 1 + 4 },
		func(l uint32) uint32 { return 0x11111111 << (l % 4) },
		func(uint32) uint32 { return 0xffffffff },
		func(uint32) uint32 { return 31 * 32 * 63 / 6 },
		func(uint32) uint32 { return ^uint32(30) },
		func(l uint32) uint32 { return choose32(l%2 == 1, 31, 30) },
		func(uint32) uint32 { return 16 },
		func(uint32) uint32 { return 2 },
		func(l uint32) uint32 { return choose32(l%2 == 1, 0xaaaaaaaa, 5) },
	}
	r := newRig(t, "collectives", Config{})
	var want []uint32
	for _, f := range rows {
		for l := range uint32(32) {
			want = append(want, f(l))
		}
	}
	out := r.out(4 * len(want))
	r.launch([3]uint32{1, 1, 1}, [3]uint32{32, 1, 1}, 0, out)
	equal(t, "out", read[uint32](r, out, len(want)), want)
}

func square(v uint32) uint32 { return v * v }

func choose32(c bool, a, b uint32) uint32 { return uint32(choose(c, uint64(a), uint64(b))) }

func TestTables(t *testing.T) {
	r := newRig(t, "tables", Config{})
	type row struct {
		C, C2 uint32
		G     float64
		S, Is uint32
		A, B  uint16
		High  int32
	}
	var want []row
	for i := range uint32(4) {
		g := []float64{1.5, -2, 3, 0}[i]
		want = append(want, row{[]uint32{2, 3, 5, 7}[i], 5, g, 100 + i, 1 + 8, 0, uint16(100 + i), int32(int8(math.Float64bits(g) >> 56))})
	}
	out := r.out(32 * 4)
	r.launch([3]uint32{1, 1, 1}, [3]uint32{4, 1, 1}, 0, out)
	equal(t, "out", read[row](r, out, 4), want)
	ptr, n, err := r.fn.module.Global("g")
	must(t, err)
	b := make([]byte, n)
	must(t, r.gpu.CopyToHost(b, ptr))
	if v := math.Float64frombits(binary.LittleEndian.Uint64(b[8:])); n != 32 || v != -2 {
		t.Errorf("g has %d bytes, and -2 is %v", n, v)
	}
}

func TestProducer(t *testing.T) {
	for seed := range uint64(10) {
		r := newRig(t, "producer", Config{Seed: seed + 1})
		var want []uint32
		for i := range uint32(8 * 32) {
			want = append(want, i/32*1000+(i%32^31))
		}
		out := r.out(4 * len(want))
		r.launch([3]uint32{1, 1, 1}, [3]uint32{64, 1, 1}, 0, out)
		equal(t, "out", read[uint32](r, out, len(want)), want)
	}
}

func TestCarry(t *testing.T) {
	r := newRig(t, "carry", Config{})
	rng := rand.New(rand.NewPCG(1, 2))
	var x, want []uint64
	for i := range 64 {
		a := [4]uint64{rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()}
		for j := range a {
			if i>>j&1 != 0 {
				a[j] = -uint64(i >> 5)
			}
		}
		x = append(x, a[:]...)
		sum := a[0] + a[2]
		difference := a[0] - a[2]
		want = append(want, sum, a[1]+a[3]+b2u(sum < a[0]), difference, a[1]-a[3]-b2u(a[0] < a[2]))
	}
	out := r.out(8 * len(x))
	r.launch([3]uint32{1, 1, 1}, [3]uint32{64, 1, 1}, 0, r.in(x), out)
	equal(t, "sum and difference", read[uint64](r, out, len(want)), want)
}

func TestAtomics(t *testing.T) {
	const n = 512
	r := newRig(t, "atomics", Config{Workers: 3})
	out, seen := r.in(make([]uint64, 12)), r.out(4*n)
	must(t, r.gpu.Memset32(out+40, math.MaxUint32, 1))
	r.launch([3]uint32{4, 1, 1}, [3]uint32{n / 4, 1, 1}, 0, out, seen)
	sum := n * (n - 1) / 2
	want := []uint64{uint64(sum), 0, n - 1, math.MaxUint32, 0, 0, uint64(math.Float32bits(float32(sum))),
		math.Float64bits(float64(sum)), n % 100, 100 - n%100, 5, 3 * n}
	equal(t, "cells", read[uint64](r, out, 12), want)
	counts := make([]int, 100)
	for _, v := range read[uint32](r, seen, n) {
		counts[v]++
	}
	for v, c := range counts {
		if c != n/100 && c != n/100+1 {
			t.Errorf("inc has given %d %d times", v, c)
		}
	}
}

func TestWide(t *testing.T) {
	r := newRig(t, "wide", Config{Arch: "sm_120"})
	x := randomFloats(64)
	want := slices.Clone(x)
	for i := range want {
		want[i] = -want[i]
	}
	y := r.out(256)
	r.launch([3]uint32{1, 1, 1}, [3]uint32{8, 1, 1}, 0, r.in(x), y)
	equal(t, "y", read[float32](r, y, 64), want)
}

func TestPlaces(t *testing.T) {
	r := newRig(t, "places", Config{SMs: 3, Workers: 2})
	grid, block := [3]uint32{2, 3, 4}, [3]uint32{5, 4, 3}
	const words = 19
	out := r.out(24 * 60 * words * 4)
	r.launch(grid, block, 0, out)
	got := read[uint32](r, out, 24*60*words)
	i := 0
	for b := range uint32(24) {
		for n := range uint32(60) {
			l := n % 32
			want := []uint32{n % 5, n / 5 % 4, n / 20, 5, 4, 3, b % 2, b / 2 % 3, b / 6, 2, 3, 4, l,
				1 << l, 1<<l - 1, 2<<l - 1, ^(2<<l - 1), ^(1<<l - 1)}
			equal(t, "places", got[i:i+words-1], want)
			if free := got[i+words-1]; free == 0 || free > 3 {
				t.Errorf("SM %d of 3", 3-free)
			}
			i += words
		}
	}
}

// BenchmarkAdd is a step of a million elements: bytes and thread instructions
// a second.
func BenchmarkAdd(b *testing.B) {
	const n = 1 << 20
	for name, c := range map[string]Config{"all": {}, "one-worker": {Workers: 1}, "no-race-check": {AllowRaces: true}} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, "add", c)
			x, z := r.in(make([]float32, n)), r.out(4*n)
			b.ResetTimer()
			for b.Loop() {
				r.launch([3]uint32{n / 256, 1, 1}, [3]uint32{256, 1, 1}, 0, x, x, z, uint32(n))
			}
			b.ReportMetric(21*n/1e6/(b.Elapsed().Seconds()/float64(b.N)), "Minst/s")
		})
	}
}
