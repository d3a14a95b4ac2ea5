package emulator

// Launches: the grid's blocks in a random order, over several goroutines, and
// a block's warps in turns.

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

const warpSize = 32

// A launch is a kernel being run.
type launch struct {
	gpu       *GPU
	fn        *Function
	grid      [3]uint32
	block     [3]uint32
	blocks    uint64
	dynShared uint32
	params    []byte
	id        uint64

	stop  atomic.Bool // some block has failed, or ctx is done
	mu    sync.Mutex
	fault error // the first

	race launchRaces
}

// newLaunch checks the arguments of a launch.
func newLaunch(g *GPU, f *Function, grid, block [3]uint32, dynShared uint32, params [][]byte) (*launch, error) {
	if f == nil || f.module.gpu != g || f.module.functions == nil {
		return nil, invalid("launch of a function of no loaded module of this GPU")
	}
	for i, limit := range [3]uint32{1<<31 - 1, 65535, 65535} {
		if grid[i] == 0 || grid[i] > limit {
			return nil, invalid("grid %v: 1 to %d in dimension %d", grid, limit, i)
		}
	}
	threads := uint64(1)
	for i, limit := range [3]uint32{1024, 1024, 64} {
		if block[i] == 0 || block[i] > limit {
			return nil, invalid("block %v: 1 to %d in dimension %d", block, limit, i)
		}
		threads *= uint64(block[i])
	}
	if threads > uint64(f.MaxThreads) {
		return nil, invalid("block %v of %d threads: kernel %s allows %d", block, threads, f.Name, f.MaxThreads)
	}
	if f.Required != [3]uint32{} && block != f.Required {
		return nil, invalid("block %v: kernel %s requires %v", block, f.Name, f.Required)
	}
	if allowed := max(uint64(f.maxDynamic), sharedDefault-min(f.shared.bytes, sharedDefault)); uint64(dynShared) > allowed {
		return nil, invalid("%d bytes of dynamic shared memory: kernel %s allows %d", dynShared, f.Name, allowed)
	}
	if hi, blocks := bits.Mul64(uint64(grid[0])*uint64(grid[1]), uint64(grid[2])); hi != 0 || blocks >= 1<<32 {
		return nil, invalid("grid %v of more than 2^32 blocks", grid)
	}
	if len(params) != len(f.Params) {
		return nil, invalid("%d parameters: kernel %s has %d", len(params), f.Name, len(f.Params))
	}
	all := make([]byte, f.paramBytes)
	for i, p := range f.Params {
		if uint64(len(params[i])) != p.Size {
			return nil, invalid("%d bytes for parameter %s of kernel %s, a .%s of %d bytes", len(params[i]), p.Name, f.Name, p.Type, p.Size)
		}
		copy(all[p.Offset:], params[i])
	}
	g.races.launches++
	return &launch{gpu: g, fn: f, grid: grid, block: block, dynShared: dynShared, params: all,
		blocks: uint64(grid[0]) * uint64(grid[1]) * uint64(grid[2]), id: g.races.launches}, nil
}

// run runs all blocks. The error is the first Fault.
func (l *launch) run(ctx context.Context) error {
	l.beginRaces()
	rng := newRand(l.gpu.config.Seed, l.id)
	order := newOrder(l.blocks, rng)
	done := make(chan struct{})
	defer close(done)
	if ctx.Done() != nil {
		go func() {
			select {
			case <-ctx.Done():
				l.fail(fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx)))
			case <-done:
			}
		}()
	}
	var next atomic.Uint64
	var workers sync.WaitGroup
	work := func(sm int) {
		defer func() {
			if r := recover(); r != nil {
				l.fail(asError(r))
			}
		}()
		b := newBlock(l, sm)
		defer b.release()
		for !l.stop.Load() {
			i := next.Add(1) - 1
			if i >= l.blocks {
				return
			}
			if f := b.run(order.at(i)); f != nil {
				l.fail(f)
			}
		}
	}
	n := int(min(uint64(l.gpu.config.Workers), l.blocks))
	for i := 1; i < n; i++ {
		workers.Go(func() { work(i) })
	}
	work(0)
	workers.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// fail notes the first error and stops every block.
func (l *launch) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
	}
	l.stop.Store(true)
}

func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// An order is a permutation of [0, n): i -> a*i + b mod n for a prime to n.
type order struct{ n, a, b uint64 }

func newOrder(n uint64, rng *rand.Rand) order {
	o := order{n: n, a: 1, b: rng.Uint64N(n)}
	if n > 2 {
		o.a = 1 + rng.Uint64N(n-1)
	}
	for gcd(o.a, n) != 1 {
		o.a--
	}
	return o
}

func (o order) at(i uint64) uint64 {
	hi, lo := bits.Mul64(o.a, i)
	_, rem := bits.Div64(hi, lo, o.n)
	return (rem + o.b) % o.n
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// A block runs the blocks of a grid one after the other; a worker has one.
type block struct {
	launch   *launch
	sm       int
	number   uint64 // in the grid
	id       [3]uint32
	threads  int
	warps    []*warp
	barriers [16]barrier
	static   *region // shared memory
	dynamic  *region
	rng      *rand.Rand
	order    blockOrder
}

func newBlock(l *launch, sm int) *block {
	b := &block{launch: l, sm: sm % l.gpu.config.SMs, threads: int(l.block[0] * l.block[1] * l.block[2]),
		rng: newRand(l.gpu.config.Seed, l.id<<16|uint64(sm))}
	shared := &l.fn.shared
	b.static = newRegion(0, make([]byte, shared.end()), "shared memory")
	b.static.valid = make([]uint64, (len(b.static.data)+63)/64)
	for _, v := range shared.variables {
		if v.offset < dynamicBase {
			for i := v.offset; i < v.offset+v.size; i++ {
				b.static.valid[i/64] |= 1 << (i & 63)
			}
		}
	}
	b.dynamic = newRegion(dynamicBase, make([]byte, l.dynShared), "dynamic shared memory")
	for i := 0; i*warpSize < b.threads; i++ {
		b.warps = append(b.warps, newWarp(b, i))
	}
	for i := range b.barriers {
		b.barriers[i].arrived, b.barriers[i].begun = make([]uint32, len(b.warps)), make([]uint32, len(b.warps))
	}
	return b
}

// release leaves the registers to later launches.
func (b *block) release() {
	for _, w := range b.warps {
		r := w.registers
		b.launch.fn.spare.Put(&r)
	}
}

// run runs one block of the grid.
func (b *block) run(number uint64) *Fault {
	l := b.launch
	b.number = number
	b.id = [3]uint32{uint32(number % uint64(l.grid[0])), uint32(number / uint64(l.grid[0]) % uint64(l.grid[1])),
		uint32(number / uint64(l.grid[0]) / uint64(l.grid[1]))}
	b.static.forget()
	b.dynamic.forget()
	b.beginOrder()
	for i := range b.barriers {
		b.barriers[i].reset()
	}
	for _, w := range b.warps {
		w.begin()
	}
	for {
		running, moved := false, false
		first := b.rng.IntN(len(b.warps))
		for i := range b.warps {
			w := b.warps[(first+i)%len(b.warps)]
			if w.live == 0 {
				continue
			}
			running = true
			before := w.steps
			if f := w.run(64 + b.rng.IntN(512)); f != nil {
				return f
			}
			moved = moved || w.steps != before
			if w.live != 0 && w.steps > l.gpu.config.StepLimit {
				return w.fault(w.frags[0].lane(), StepLimit, "more than %d instructions in one warp", l.gpu.config.StepLimit)
			}
		}
		switch {
		case !running || l.stop.Load():
			return nil
		case !moved:
			return b.deadlock()
		}
	}
}
