package cpu

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/klauspost/cpuid/v2"

	"errorcell/backend"
	"errorcell/internal/memory"
	"errorcell/kernels"
)

// device is a set of workers with the programs they run.
type device struct {
	name    string
	variant *variant
	fused   bool // whether forms run in functions of their own
	pool    *pool

	// What decides how work is done, and no result: tests set them.
	cache   int // bytes of the last cache
	minPart int // see variant

	// use is held for reading by every call under way, and for writing by
	// Close, which so waits for them.
	use    sync.RWMutex
	closed bool

	taken atomic.Uint64 // bytes of open buffers

	compile  sync.Mutex
	programs map[programKey]backend.Program
	kit32    *kit[float32] // nil until a program needs it
	kit64    *kit[float64]
}

type programKey struct {
	kernel *kernels.Kernel
	sig    kernels.Signature
}

func newDevice(v *variant, threads int, fused bool) *device {
	d := &device{
		name:     fmt.Sprintf("cpu:%s,threads=%d", v.name, threads),
		variant:  v,
		fused:    fused,
		cache:    lastCache(),
		minPart:  v.minPart,
		pool:     newPool(threads),
		programs: map[programKey]backend.Program{},
	}
	if !fused {
		d.name += ",fused=off"
	}
	return d
}

// lastCache is the size of the last-level cache, as the processor tells it. If
// it does not, no array is known to be larger.
func lastCache() int {
	for _, size := range []int{cpuid.CPU.Cache.L3, cpuid.CPU.Cache.L2} {
		if size > 0 {
			return size
		}
	}
	return math.MaxInt
}

func (d *device) Name() string { return d.name }

func (d *device) Info() backend.Info { return info(d.variant, d.pool.threads) }

// enter begins a use of the device, which leave ends.
func (d *device) enter() error {
	d.use.RLock()
	if d.closed {
		d.use.RUnlock()
		return &backend.Error{Device: d.name, Err: backend.ErrClosed}
	}
	return nil
}

func (d *device) leave() { d.use.RUnlock() }

func (d *device) NewBuffer(dtype kernels.DType, n int) (backend.Buffer, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	if err := backend.CheckBuffer(d, dtype, n); err != nil {
		return nil, err
	}
	bytes := uint64(n) * uint64(dtype.Size())
	if taken := d.taken.Add(bytes); taken > memory.Limit() {
		d.taken.Add(-bytes)
		return nil, &backend.Error{Device: d.name, Err: fmt.Errorf("%w: %d bytes were asked for, %d of %d are taken",
			backend.ErrMemory, bytes, taken-bytes, memory.Limit())}
	}
	return newBuffer(d, dtype, n), nil
}

func (d *device) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	d.compile.Lock()
	defer d.compile.Unlock()
	key := programKey{k, sig}
	if p, ok := d.programs[key]; ok {
		return p, nil
	}
	plan, err := k.Specialize(sig)
	if err != nil {
		return nil, &backend.Error{Device: d.name, Err: err}
	}
	var p backend.Program
	if sig.DType == kernels.F32 {
		p = compile(d, kitFor(d, &d.kit32), plan)
	} else {
		p = compile(d, kitFor(d, &d.kit64), plan)
	}
	d.programs[key] = p
	return p, nil
}

// kitFor is the device's kit, made when it is first needed.
func kitFor[T kernels.Float](d *device, k **kit[T]) *kit[T] {
	if *k == nil {
		*k = newKit[T](d.variant)
		if !d.fused {
			(*k).fused = nil
		}
	}
	return *k
}

// Sync has nothing to wait for: Run returns when its results are there.
func (d *device) Sync() error {
	if err := d.enter(); err != nil {
		return err
	}
	d.leave()
	return nil
}

func (d *device) Close() error {
	d.use.Lock()
	defer d.use.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.pool.close()
	clear(d.programs)
	return nil
}
