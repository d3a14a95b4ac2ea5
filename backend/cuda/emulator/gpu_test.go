package emulator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func u64p(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func TestConfig(t *testing.T) {
	g, err := New(Config{})
	must(t, err)
	if c := g.Config(); c.Memory == 0 || c.SMs == 0 || c.Arch == "" || c.Seed == 0 || c.Workers == 0 || c.StepLimit == 0 || c.Seed != g.Seed() {
		t.Errorf("defaults are missing: %+v", c)
	}
	for _, c := range []Config{{Arch: "sm_91"}, {Arch: "gfx90"}, {Arch: "sm_"}, {SMs: -1}, {Workers: -1}} {
		if _, err := New(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestMemory(t *testing.T) {
	g, err := New(Config{Memory: 1 << 20})
	must(t, err)
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err = g.Alloc(0)
	is("no bytes", err, ErrInvalid)
	_, err = g.Alloc(1<<20 + 1)
	is("too much", err, ErrOutOfMemory)
	var out *OutOfMemoryError
	if !errors.As(err, &out) || out.Asked != 1<<20+1 || out.Free != 1<<20 || Code(err) != 2 {
		t.Errorf("asked and free: %v, code %d", err, Code(err))
	}
	a, err := g.Alloc(1000)
	must(t, err)
	b, err := g.Alloc(5000)
	must(t, err)
	if a%256 != 0 || b%256 != 0 || a%512 == 0 || b < a+1000+64<<10 {
		t.Errorf("allocations at %#x and %#x", a, b)
	}
	if free, total := g.MemInfo(); free != 1<<20-6000 || total != 1<<20 {
		t.Errorf("%d of %d bytes free", free, total)
	}
	if r, err := g.Range(a + 999); err != nil || r != (Allocation{a, 1000, 1}) {
		t.Errorf("range %v: %v", r, err)
	}
	_, err = g.Range(a + 1000)
	is("past the end", err, ErrInvalid)
	if want := []Allocation{{a, 1000, 1}, {b, 5000, 2}}; !slices.Equal(g.Leaks(), want) {
		t.Errorf("leaks %v, want %v", g.Leaks(), want)
	}

	buf := make([]byte, 1001)
	is("into the gap", g.CopyToDevice(a, buf), ErrInvalid)
	is("before the start", g.CopyToDevice(a-1, buf[:2]), ErrInvalid)
	is("from nowhere", g.CopyToHost(buf, 12), ErrInvalid)
	is("nothing", g.CopyToHost(nil, 12), nil)
	is("never written", g.CopyToHost(buf[:1], a), Uninitialised)
	is("written", g.CopyToDevice(a+10, []byte("hello")), nil)
	is("read back", g.CopyToHost(buf[:5], a+10), nil)
	if string(buf[:5]) != "hello" {
		t.Errorf("read back %q", buf[:5])
	}
	is("one more than written", g.CopyToHost(buf[:6], a+10), Uninitialised)
	is("device to device", g.CopyDeviceToDevice(b+4094, a+9, 7), nil)
	is("what was written", g.CopyToHost(buf[:5], b+4095), nil)
	is("what was not written", g.CopyToHost(buf[:6], b+4094), Uninitialised)
	is("overlap", g.CopyDeviceToDevice(a+12, a+10, 5), ErrInvalid)
	is("memset of words", g.Memset32(b, 0x04030201, 3), nil)
	is("odd memset", g.Memset32(b+2, 0, 3), ErrInvalid)
	is("too long a memset", g.Memset8(b, 0, 5001), ErrInvalid)
	is("far too long a memset", g.Memset32(b, 0, 1<<62), ErrInvalid)
	is("memset of bytes", g.Memset8(b+12, 9, 2), nil)
	is("read back", g.CopyToHost(buf[:14], b), nil)
	if want := []byte{1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 9, 9}; !slices.Equal(buf[:14], want) {
		t.Errorf("memset gives %v", buf[:14])
	}

	is("free in the middle", g.Free(a+256), ErrInvalid)
	is("free", g.Free(a), nil)
	is("double free", g.Free(a), ErrInvalid)
	is("use after free", g.CopyToHost(buf[:1], a), ErrInvalid)
	c, err := g.Alloc(1000)
	must(t, err)
	if c == a {
		t.Error("an address is used twice")
	}
	is("fresh memory", g.CopyToHost(buf[:1], c), Uninitialised)
	is("", g.Err(), nil)
}

// TestFaults: each failure that can be asked for comes at the call it was
// asked for, once; a lost device stays lost.
func TestFaults(t *testing.T) {
	r := newRig(t, "add", Config{})
	g := r.gpu
	x, z := r.in(make([]float32, 32)), r.out(128)
	run := func() error {
		return g.Launch(r.fn, [3]uint32{1, 1, 1}, [3]uint32{32, 1, 1}, 0, [][]byte{on(x), on(x), on(z), on(uint32(32))})
	}
	alloc := func() error {
		p, err := g.Alloc(4)
		if err == nil {
			err = g.Free(p)
		}
		return err
	}
	copies := []func() error{
		func() error { return g.CopyToHost(make([]byte, 4), x) },
		func() error { return g.CopyToDevice(x, make([]byte, 4)) },
		func() error { return g.CopyDeviceToDevice(z, x, 4) },
		func() error { return g.Memset8(x, 0, 4) },
		func() error { return g.Memset32(x, 0, 1) },
	}
	for n := 1; n <= 3; n++ {
		for what, c := range map[string]struct {
			arm  func(int)
			call func() error
			want []error
		}{
			"alloc":  {g.FailAlloc, alloc, []error{ErrInjected, ErrOutOfMemory}},
			"launch": {g.FailLaunch, run, []error{ErrInjected}},
			"copy":   {g.FailCopy, copies[n], []error{ErrInjected}},
		} {
			c.arm(n)
			for i := 1; i <= 4; i++ {
				err := c.call()
				if (err != nil) != (i == n) {
					t.Errorf("%s: call %d of which the %d-th fails: %v", what, i, n, err)
				}
				for _, want := range c.want {
					if i == n && !errors.Is(err, want) {
						t.Errorf("%s: %v is no %v", what, err, want)
					}
				}
			}
			c.arm(1)
			c.arm(0)
			must(t, c.call())
		}
	}
	must(t, g.Err())

	g.LoseAfter(2)
	must(t, run())
	if err := alloc(); !errors.Is(err, ErrLost) || !errors.Is(err, ErrInjected) || Code(err) != 719 {
		t.Errorf("lost: %v, code %d", err, Code(err))
	}
	_, loading := g.Load("")
	_, ranging := g.Range(x)
	calls := map[string]error{"load": loading, "range": ranging, "launch": run(), "alloc": alloc(), "free": g.Free(x),
		"unload": r.fn.module.Unload(), "shared": r.fn.SetMaxDynamicShared(1)}
	for _, c := range copies {
		calls["copy"] = c()
	}
	for what, err := range calls {
		if !errors.Is(err, ErrLost) {
			t.Errorf("%s of a lost device: %v", what, err)
		}
	}
	if len(g.Leaks()) != 2 {
		t.Errorf("leaks of a lost device: %v", g.Leaks())
	}
	other, err := New(Config{})
	must(t, err)
	other.LoseDevice()
	if _, err := other.Alloc(1); !errors.Is(err, ErrLost) {
		t.Errorf("lost: %v", err)
	}
}

// TestSticky: after a kernel's fault every call returns it.
func TestSticky(t *testing.T) {
	r := newRig(t, "add", Config{})
	g := r.gpu
	err := g.Launch(r.fn, [3]uint32{1, 1, 1}, [3]uint32{32, 1, 1}, 0, [][]byte{on(uint64(0)), on(uint64(0)), on(uint64(0)), on(uint32(32))})
	var first, later *Fault
	if !errors.As(err, &first) || first.Kind != IllegalAddress || errors.Is(err, ErrLost) || Code(err) != 700 {
		t.Fatalf("launch: %v", err)
	}
	_, err = g.Alloc(4)
	if !errors.As(err, &later) || later != first || !errors.Is(err, ErrLost) || Code(err) != 700 {
		t.Errorf("later: %v, code %d", err, Code(err))
	}
}

// TestLaunchArguments: what is wrong with a launch is found before it runs,
// and does not lose the device.
func TestLaunchArguments(t *testing.T) {
	g, err := New(Config{})
	must(t, err)
	m, err := g.Load(head + `
.visible .entry free(.param .u32 n) { ret; }
.visible .entry fixed() .reqntid 32, 2, 1 { ret; }
.visible .entry few() .maxntid 64 { ret; }
.extern .shared .align 16 .b8 more[];
.visible .entry memory() { .shared .align 16 .b8 s[1024]; ret; }`)
	must(t, err)
	if names := strings.Join(m.Functions(), " "); names != "free fixed few memory" {
		t.Errorf("functions %s", names)
	}
	if _, err := m.Function("none"); !errors.Is(err, ErrNotFound) || Code(err) != 500 {
		t.Errorf("no function: %v", err)
	}
	if _, _, err := m.Global("none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no variable: %v", err)
	}
	type d = [3]uint32
	for _, c := range []struct {
		name        string
		grid, block d
		shared      uint32
		params      [][]byte
		ok          bool
	}{
		{"free", d{1, 1, 1}, d{1, 1, 1}, 0, [][]byte{{1, 2, 3, 4}}, true},
		{"free", d{1, 1, 1}, d{1, 1, 1}, 0, nil, false},
		{"free", d{1, 1, 1}, d{1, 1, 1}, 0, [][]byte{{1, 2, 3}}, false},
		{"free", d{0, 1, 1}, d{1, 1, 1}, 0, [][]byte{{1, 2, 3, 4}}, false},
		{"free", d{1, 65536, 1}, d{1, 1, 1}, 0, [][]byte{{1, 2, 3, 4}}, false},
		{"free", d{1 << 31, 1, 1}, d{1, 1, 1}, 0, [][]byte{{1, 2, 3, 4}}, false},
		{"free", d{1<<31 - 1, 65535, 65535}, d{1, 1, 1}, 0, [][]byte{{1, 2, 3, 4}}, false},
		{"free", d{1, 1, 1}, d{1, 0, 1}, 0, [][]byte{{1, 2, 3, 4}}, false},
		{"free", d{1, 1, 1}, d{1, 1, 65}, 0, [][]byte{{1, 2, 3, 4}}, false},
		{"free", d{1, 1, 1}, d{32, 32, 1}, 0, [][]byte{{1, 2, 3, 4}}, true},
		{"free", d{1, 1, 1}, d{32, 32, 2}, 0, [][]byte{{1, 2, 3, 4}}, false},
		{"fixed", d{1, 1, 1}, d{32, 2, 1}, 0, nil, true},
		{"fixed", d{1, 1, 1}, d{64, 1, 1}, 0, nil, false},
		{"few", d{1, 1, 1}, d{64, 1, 1}, 0, nil, true},
		{"few", d{1, 1, 1}, d{65, 1, 1}, 0, nil, false},
		{"memory", d{1, 1, 1}, d{32, 1, 1}, 47 << 10, nil, true},
		{"memory", d{1, 1, 1}, d{32, 1, 1}, 47<<10 + 1, nil, false},
	} {
		f, err := m.Function(c.name)
		must(t, err)
		err = g.Launch(f, c.grid, c.block, c.shared, c.params)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	f, err := m.Function("memory")
	must(t, err)
	if n := f.SharedBytes(); n != 1024 {
		t.Errorf("%d bytes of shared memory", n)
	}
	if err := f.SetMaxDynamicShared(226<<10 + 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("more than there is: %v", err)
	}
	must(t, f.SetMaxDynamicShared(226<<10))
	must(t, g.Launch(f, d{1, 1, 1}, d{32, 1, 1}, 226<<10, nil))
	if err := g.Launch(nil, d{1, 1, 1}, d{32, 1, 1}, 0, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("no function: %v", err)
	}
	other, err := New(Config{})
	must(t, err)
	if err := other.Launch(f, d{1, 1, 1}, d{32, 1, 1}, 0, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("function of another GPU: %v", err)
	}
	must(t, m.Unload())
	if err := g.Launch(f, d{1, 1, 1}, d{32, 1, 1}, 0, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("function of an unloaded module: %v", err)
	}
	must(t, g.Err())
}

// endless is a kernel that never ends.
const endless = head + ".visible .entry k() { L: bra L; }"

func TestContext(t *testing.T) {
	g, err := New(Config{StepLimit: 1 << 60})
	must(t, err)
	m, err := g.Load(endless)
	must(t, err)
	f, err := m.Function("k")
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = g.LaunchContext(ctx, f, [3]uint32{100, 1, 1}, [3]uint32{1024, 1, 1}, 0, nil)
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || Code(err) != 702 {
		t.Errorf("launch: %v, code %d", err, Code(err))
	}
	if !errors.Is(g.Err(), ErrTimeout) {
		t.Errorf("the device: %v", g.Err())
	}
}

// TestCancelled: a context that is already done runs nothing.
func TestCancelled(t *testing.T) {
	g, err := New(Config{})
	must(t, err)
	m, err := g.Load(endless)
	must(t, err)
	f, err := m.Function("k")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.LaunchContext(ctx, f, [3]uint32{1, 1, 1}, [3]uint32{32, 1, 1}, 0, nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("launch: %v", err)
	}
}

// TestConcurrent: calls from many goroutines, for the race detector.
func TestConcurrent(t *testing.T) {
	r := newRig(t, "add", Config{Workers: 4})
	g := r.gpu
	once := func(v float32) error {
		x, err := g.Alloc(4)
		if err != nil {
			return err
		}
		z, err := g.Alloc(4)
		if err != nil {
			return err
		}
		back := make([]byte, 4)
		err = errors.Join(
			g.CopyToDevice(x, on(v)),
			g.Launch(r.fn, [3]uint32{4, 1, 1}, [3]uint32{1, 1, 1}, 0, [][]byte{on(x), on(x), on(z), on(uint32(1))}),
			g.CopyToHost(back, z), g.Free(x), g.Free(z))
		if err == nil && !slices.Equal(back, on(2*v)) {
			err = fmt.Errorf("%v + %v is %v", v, v, back)
		}
		return err
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := once(float32(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if leaks := r.gpu.Leaks(); leaks != nil {
		t.Errorf("leaks %v", leaks)
	}
}

// TestAllow: each check that can be turned off, is.
func TestAllow(t *testing.T) {
	for name, c := range map[string]Config{
		"ftz": {AllowLooseNumerics: true}, "missing_rn": {AllowLooseNumerics: true},
		"plain_counter": {AllowRaces: true}, "missing_fence": {AllowRaces: true}, "nc_written": {AllowRaces: true},
		"unset_register": {AllowUnset: true}, "barrier_exited": {AllowEarlyExit: true},
	} {
		samples := readSamples(t, "testdata/wrong/"+name+".ptx")
		if err := samples[0].run(t, c); err != nil {
			t.Errorf("%s with %+v: %v", name, c, err)
		}
	}
	g, err := New(Config{AllowUninitialised: true})
	must(t, err)
	x, err := g.Alloc(4)
	must(t, err)
	must(t, g.CopyToHost(make([]byte, 4), x))
}

// TestOrderOfBlocks: every block runs once, in an order that the seed decides.
func TestOrderOfBlocks(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 4, 10, 97, 1000, 4096} {
		first := newOrder(n, newRand(1, 1))
		seen := make([]bool, n)
		same := true
		for i := range n {
			at := first.at(i)
			if at >= n || seen[at] {
				t.Fatalf("of %d blocks, %d runs twice", n, at)
			}
			seen[at] = true
			same = same && at == i
		}
		if same && n > 4 {
			t.Errorf("%d blocks run in their order", n)
		}
		if again := newOrder(n, newRand(1, 1)); again != first {
			t.Errorf("one seed, two orders of %d blocks", n)
		}
	}
}
