package emulator

// The device as the host sees it: memory, copies, faults asked for.

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Config says what GPU to emulate and how strictly. The zero Config is an
// sm_90 with 4 GiB on which every check is on.
type Config struct {
	// Memory is in bytes; 4 GiB if 0. The host gives it when it is touched: a
	// byte, and four for the marks of the race check if a kernel touches it.
	Memory uint64
	SMs    int    // 8 if 0
	Arch   string // as in PTX's .target: "sm_90" if empty
	// Seed orders the blocks and the warps; 0 takes a random one, which Seed
	// and every Fault tell.
	Seed uint64
	// Workers is the number of goroutines that run blocks; GOMAXPROCS if 0.
	Workers int
	// StepLimit ends a launch one warp of which has executed more instructions
	// than this; 1<<26 if 0.
	StepLimit uint64

	// Each of these turns a check off.
	AllowLooseNumerics bool // .ftz, and add, sub, mul without a rounding mode
	AllowRaces         bool // accesses to one word without an order between them
	AllowUnset         bool // registers read before they are written
	AllowUninitialised bool // copies to the host of memory never written; kernels stay checked
	AllowEarlyExit     bool // bar.sync of a block some of whose threads have exited
}

// A GPU is one emulated device. Its methods may be called from any goroutine;
// calls run one after the other and are complete when they return, so that
// every stream and event of a driver on top of it is always done.
type GPU struct {
	mu      sync.Mutex
	config  Config
	sm      int // 90 for sm_90
	space   space
	lost    error
	pending [numCalls]int // the n-th call from now fails; 0: none does
	races   raceTable
}

// New makes a GPU.
func New(c Config) (*GPU, error) {
	if c.Memory == 0 {
		c.Memory = 4 << 30
	}
	if c.SMs == 0 {
		c.SMs = 8
	}
	if c.Arch == "" {
		c.Arch = "sm_90"
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()>>32 | 1
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.StepLimit == 0 {
		c.StepLimit = 1 << 26
	}
	sm, ok := parseArch(c.Arch)
	if _, known := targets[sm]; !ok || !known {
		return nil, invalid("architecture %q", c.Arch)
	}
	if c.SMs < 0 || c.Workers < 0 {
		return nil, invalid("%d SMs, %d workers", c.SMs, c.Workers)
	}
	return &GPU{config: c, sm: sm, space: space{limit: c.Memory, allocated: map[uint64]*region{}}}, nil
}

// parseArch turns "sm_90" or "sm_90a" into 90.
func parseArch(arch string) (int, bool) {
	digits, ok := strings.CutPrefix(arch, "sm_")
	sm, err := strconv.Atoi(strings.TrimRight(digits, "af"))
	return sm, ok && err == nil
}

// Config returns the configuration with every default filled in.
func (g *GPU) Config() Config { return g.config }

// Seed is the seed of the order in which blocks and warps run.
func (g *GPU) Seed() uint64 { return g.config.Seed }

// A call is a kind of call that can be told to fail.
type call uint8

const (
	callAlloc call = iota
	callLaunch
	callCopy
	callAny
	numCalls
)

// enter takes the device's lock for a call, unless the call must fail. On
// success the caller unlocks.
func (g *GPU) enter(c call) error {
	g.mu.Lock()
	err := g.lost
	if err == nil && g.due(callAny) {
		g.lose(fmt.Errorf("%w: device lost", ErrInjected))
		err = g.lost
	}
	if err == nil && c < callAny && g.due(c) {
		err = ErrInjected
	}
	if err != nil {
		g.mu.Unlock()
	}
	return err
}

func (g *GPU) due(c call) bool {
	if g.pending[c] == 0 {
		return false
	}
	g.pending[c]--
	return g.pending[c] == 0
}

func (g *GPU) lose(cause error) {
	if g.lost == nil {
		g.lost = &LostError{cause}
	}
}

func (g *GPU) arm(c call, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending[c] = max(n, 0)
}

// FailAlloc makes the n-th allocation from now fail for want of memory; 0 takes it
// back.
func (g *GPU) FailAlloc(n int) { g.arm(callAlloc, n) }

// FailLaunch makes the n-th launch from now fail, without running anything.
func (g *GPU) FailLaunch(n int) { g.arm(callLaunch, n) }

// FailCopy makes the n-th copy or memset from now fail, without copying.
func (g *GPU) FailCopy(n int) { g.arm(callCopy, n) }

// LoseAfter loses the device at the n-th call from now, whatever it is.
func (g *GPU) LoseAfter(n int) { g.arm(callAny, n) }

// LoseDevice makes this and every later call return ErrLost.
func (g *GPU) LoseDevice() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lose(ErrInjected)
}

// Err is nil, or the LostError that every call returns.
func (g *GPU) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// Alloc reserves memory. It holds nothing until it is written.
func (g *GPU) Alloc(bytes uint64) (ptr uint64, err error) {
	return g.alloc(bytes, "an allocation", false)
}

// AllocManaged is Alloc for memory that the host has at the same address, where it
// may read and write it while no kernel runs. The emulator does not see when it
// does: so all counts as written, though with what is not to be counted on. After
// Free the host's address leads nowhere. It takes Linux.
func (g *GPU) AllocManaged(bytes uint64) (ptr uint64, err error) {
	return g.alloc(bytes, "a managed allocation", true)
}

func (g *GPU) alloc(bytes uint64, owner string, managed bool) (ptr uint64, err error) {
	if err := g.enter(callAlloc); err == ErrInjected {
		return 0, fmt.Errorf("%w: %w", &OutOfMemoryError{Asked: bytes}, err)
	} else if err != nil {
		return 0, err
	}
	defer g.mu.Unlock()
	if bytes == 0 {
		return 0, invalid("allocation of 0 bytes")
	}
	r, err := g.space.add(bytes, owner, managed)
	if err != nil {
		return 0, err
	}
	if managed {
		r.fill(0, bytes, []byte{0xa5}) // a driver promises no zeros
	}
	r.counted = true
	g.space.allocated[r.base] = r
	return r.base, nil
}

// Free releases what Alloc or AllocManaged has reserved.
func (g *GPU) Free(ptr uint64) error {
	if err := g.enter(callAny); err != nil {
		return err
	}
	defer g.mu.Unlock()
	r := g.space.allocated[ptr]
	if r == nil {
		return invalid("free of %#x, which is not the start of an allocation", ptr)
	}
	delete(g.space.allocated, ptr)
	g.space.remove(r)
	return nil
}

// MemInfo returns the bytes that are free and those that there are.
func (g *GPU) MemInfo() (free, total uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.space.limit - g.space.used, g.space.limit
}

// Range returns the allocation that holds an address.
func (g *GPU) Range(ptr uint64) (Allocation, error) {
	if err := g.enter(callAny); err != nil {
		return Allocation{}, err
	}
	defer g.mu.Unlock()
	r, err := g.space.lookup(ptr, 1)
	if err != nil {
		return Allocation{}, err
	}
	return Allocation{r.base, r.size, r.serial}, nil
}

// An Allocation is memory that Alloc or AllocManaged has given.
type Allocation struct {
	Ptr, Bytes uint64
	Serial     int // counts the allocations of the GPU, from 1
}

// Leaks lists what has been allocated and not freed, oldest first. It works on
// a lost device too.
func (g *GPU) Leaks() []Allocation {
	g.mu.Lock()
	defer g.mu.Unlock()
	var leaks []Allocation
	for r := range maps.Values(g.space.allocated) {
		leaks = append(leaks, Allocation{r.base, r.size, r.serial})
	}
	slices.SortFunc(leaks, func(a, b Allocation) int { return a.Serial - b.Serial })
	return leaks
}

// CopyToDevice copies host memory to dst.
func (g *GPU) CopyToDevice(dst uint64, src []byte) error {
	return g.touch(dst, uint64(len(src)), func(r *region, off uint64) error {
		copy(r.data[off:], src)
		r.markWritten(off, uint64(len(src)))
		return nil
	})
}

// CopyToHost copies device memory at src to dst. Bytes that nothing has
// written are a Fault, which does not lose the device.
func (g *GPU) CopyToHost(dst []byte, src uint64) error {
	return g.touch(src, uint64(len(dst)), func(r *region, off uint64) error {
		if at, found := r.firstUnwritten(off, uint64(len(dst))); found && !g.config.AllowUninitialised {
			return &Fault{Kind: Uninitialised, Detail: fmt.Sprintf(
				"copy to the host of %d bytes at %#x: nothing has written byte %d of the %d bytes at %#x",
				len(dst), src, at, r.size, r.base)}
		}
		copy(dst, r.data[off:])
		return nil
	})
}

// CopyDeviceToDevice copies n bytes, and with them whether they were written.
func (g *GPU) CopyDeviceToDevice(dst, src, n uint64) error {
	return g.touch(dst, n, func(r *region, off uint64) error {
		from, err := g.space.lookup(src, n)
		if err != nil {
			return err
		}
		if dst < src+n && src < dst+n {
			return invalid("copy of %d bytes from %#x to %#x, which overlap", n, src, dst)
		}
		copy(r.data[off:off+n], from.data[src-from.base:])
		r.copyMarks(off, from, src-from.base, n)
		return nil
	})
}

// Memset8 fills n bytes at dst.
func (g *GPU) Memset8(dst uint64, value byte, n uint64) error {
	return g.fill(dst, []byte{value}, n)
}

// Memset32 fills n 32-bit words at dst.
func (g *GPU) Memset32(dst uint64, value uint32, n uint64) error {
	if dst%4 != 0 {
		return invalid("32-bit memset at %#x", dst)
	}
	return g.fill(dst, []byte{byte(value), byte(value >> 8), byte(value >> 16), byte(value >> 24)}, n)
}

func (g *GPU) fill(dst uint64, pattern []byte, n uint64) error {
	size := n * uint64(len(pattern))
	if size/uint64(len(pattern)) != n {
		return invalid("memset of %d values", n)
	}
	return g.touch(dst, size, func(r *region, off uint64) error {
		r.fill(off, size, pattern)
		return nil
	})
}

// touch runs a copy on the n bytes at addr. No bytes are always fine.
func (g *GPU) touch(addr, n uint64, f func(r *region, off uint64) error) error {
	if err := g.enter(callCopy); err != nil {
		return err
	}
	defer g.mu.Unlock()
	if n == 0 {
		return nil
	}
	r, err := g.space.lookup(addr, n)
	if err != nil {
		return err
	}
	return f(r, addr-r.base)
}

// Launch runs a kernel and waits for it. Each of params is the bytes of one
// parameter. A Fault loses the device.
func (g *GPU) Launch(f *Function, grid, block [3]uint32, dynShared uint32, params [][]byte) error {
	return g.LaunchContext(context.Background(), f, grid, block, dynShared, params)
}

// LaunchContext is Launch with an end: when ctx is done the kernel stops, the
// error is an ErrTimeout, and the device is lost.
func (g *GPU) LaunchContext(ctx context.Context, f *Function, grid, block [3]uint32, dynShared uint32, params [][]byte) error {
	if err := g.enter(callLaunch); err != nil {
		return err
	}
	defer g.mu.Unlock()
	l, err := newLaunch(g, f, grid, block, dynShared, params)
	if err != nil {
		return err
	}
	if err := l.run(ctx); err != nil {
		g.lose(err)
		return err
	}
	return nil
}
