//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
	"errorcell/kernels"
)

// device is a GPU with one stream, in whose order everything happens.
type device struct {
	name       string
	info       backend.Info
	capability int
	units      int // streaming multiprocessors
	gpu        cu.Device
	context    cu.CUContext
	stream     cu.Stream
	emulated   *emulation // nil for a real one

	// use is held for reading by every call under way, and for writing by
	// Close and by a capture, which so wait for them. Nobody calls what is the
	// user's, or takes it again, while holding it.
	use    sync.RWMutex
	closed bool
	lost   atomic.Pointer[backend.Error] // a fault after which nothing works

	memory  allocator
	staging staging
	shared  shared

	compile  sync.Mutex
	programs map[programKey]*program
	modules  map[string]cu.Module // by their text

	graphs graphs
}

type programKey struct {
	kernel *kernels.Kernel
	sig    kernels.Signature
}

func newDevice(name string, gpu cu.Device, limit uint64, e *emulation) (_ *device, err error) {
	d := &device{name: name, gpu: gpu, emulated: e, programs: map[programKey]*program{}, modules: map[string]cu.Module{}}
	defer func() {
		if err != nil {
			err = unavailable(d.explain(err))
			d.release()
		}
	}()
	if d.info, err = describe(gpu); err != nil {
		return nil, err
	}
	if d.capability, err = capability(gpu); err != nil {
		return nil, err
	}
	if d.units, err = gpu.Attribute(cu.MultiprocessorCount); err != nil {
		return nil, err
	}
	if d.shared.lacks, err = lackForSharing(gpu); err != nil {
		return nil, err
	}
	if limit > 0 {
		d.info.Memory = min(d.info.Memory, limit)
	}
	d.memory = newAllocator(d.info.Memory, func() error { return d.stream.Synchronize() })
	if d.context, err = gpu.RetainPrimaryCtx(); err != nil {
		d.context = cu.CUContext{}
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err = cu.SetCurrentContext(d.context); err != nil {
		return nil, err
	}
	if d.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
		return nil, err
	}
	if err = d.staging.start(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *device) Name() string { return d.name }

func (d *device) Info() backend.Info { return d.info }

// enter begins a use of the device by this goroutine, which leave ends. In
// between the goroutine stays on a thread that has the device's context.
func (d *device) enter() error {
	d.use.RLock()
	err := d.bind()
	if err != nil {
		d.use.RUnlock()
	}
	return err
}

func (d *device) leave() {
	runtime.UnlockOSThread()
	d.use.RUnlock()
}

// enterAlone is enter once no other call is under way, until leaveAlone.
func (d *device) enterAlone() error {
	d.use.Lock()
	err := d.bind()
	if err != nil {
		d.use.Unlock()
	}
	return err
}

func (d *device) leaveAlone() {
	runtime.UnlockOSThread()
	d.use.Unlock()
}

// bind locks the goroutine to a thread with the device's context, if the device
// can be used.
func (d *device) bind() error {
	if err := d.usable(); err != nil {
		return err
	}
	runtime.LockOSThread()
	err := d.check(cu.SetCurrentContext(d.context))
	if err != nil {
		runtime.UnlockOSThread()
	}
	return err
}

func (d *device) usable() error {
	if d.closed {
		return &backend.Error{Device: d.name, Err: backend.ErrClosed}
	}
	if lost := d.lost.Load(); lost != nil {
		return lost
	}
	return nil
}

// fatal are the results after which a context does nothing more: what the
// driver calls sticky.
var fatal = []error{
	cu.IllegalAddress, cu.LaunchTimeout, cu.Assert, cu.HardwareStackError, cu.IllegalInstruction,
	cu.MisalignedAddress, cu.InvalidAddressSpace, cu.InvalidPc, cu.LaunchFailed,
	cu.EccUncorrectable, cu.NvlinkUncorrectable, cu.ContextIsDestroyed, cu.Unknown,
}

// check makes of the driver's error the device's. A fault in a kernel marks the
// device as lost.
func (d *device) check(err error) error {
	if err == nil {
		return nil
	}
	explained := &backend.Error{Device: d.name, Err: d.explain(err)}
	if slices.ContainsFunc(fatal, func(f error) bool { return errors.Is(err, f) }) {
		explained.Err = fmt.Errorf("%w: %w", backend.ErrLost, explained.Err)
		// The first fault is the cause of all later ones.
		d.lost.CompareAndSwap(nil, explained)
		return d.lost.Load()
	}
	return explained
}

// explain adds what an emulated GPU knows of a failure: kernel, line, thread.
func (d *device) explain(err error) error {
	if d.emulated != nil {
		if fault := d.emulated.fault(); fault != nil {
			return fmt.Errorf("%w: %w", err, fault)
		}
	}
	return err
}

func (d *device) NewBuffer(dtype kernels.DType, n int) (backend.Buffer, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	if err := backend.CheckBuffer(d, dtype, n); err != nil {
		return nil, err
	}
	p, err := d.newPiece(uint64(n*dtype.Size()), false)
	if err != nil {
		return nil, err
	}
	return &buffer{dev: d, dtype: dtype, len: n, piece: p, at: p.ptr}, nil
}

// newPiece makes a piece of zeros, written in the stream's order.
func (d *device) newPiece(bytes uint64, shared bool) (*piece, error) {
	mem, err := d.allocate(bytes, shared)
	if err != nil {
		return nil, err
	}
	p := &piece{memory: mem, home: &d.memory}
	if err := d.clear(mem); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// allocate gets device memory, or such as the host has too. Where there is none,
// the error is an ErrMemory.
func (d *device) allocate(bytes uint64, shared bool) (memory, error) {
	mem, err := d.memory.get(bytes, shared)
	if errors.Is(err, backend.ErrMemory) {
		return memory{}, &backend.Error{Device: d.name, Err: err}
	}
	return mem, d.check(err)
}

// clear writes zeros, in the stream's order.
func (d *device) clear(m memory) error {
	if m.bytes == 0 {
		return nil
	}
	return d.check(cu.MemsetD8Async(m.ptr, 0, int64(m.bytes), d.stream))
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
	p := &program{dev: d, plan: plan}
	if p.narrow, err = d.lower(plan, false); err != nil {
		return nil, err
	}
	d.programs[key] = p
	return p, nil
}

// module is the compiled text, made once. The error is the driver's.
func (d *device) module(text string) (cu.Module, error) {
	if m, ok := d.modules[text]; ok {
		return m, nil
	}
	m, _, err := driver.LoadModule(text)
	if err != nil {
		return m, err
	}
	d.modules[text] = m
	return m, nil
}

func (d *device) Sync() error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	return d.check(d.stream.Synchronize())
}

// Elapsed runs work and tells how long the device was at it, by its own clock.
func (d *device) Elapsed(work func() error) (time.Duration, error) {
	begin, err := d.mark()
	if err != nil {
		return 0, err
	}
	defer d.unmark(begin)
	if err := work(); err != nil {
		return 0, err
	}
	end, err := d.mark()
	if err != nil {
		return 0, err
	}
	defer d.unmark(end)
	if err := d.enter(); err != nil {
		return 0, err
	}
	defer d.leave()
	if err := end.Synchronize(); err != nil {
		return 0, d.check(err)
	}
	ms, err := begin.Elapsed(end)
	return time.Duration(ms * float64(time.Millisecond)), d.check(err)
}

// mark makes an event behind the work that the stream has; unmark ends it.
func (d *device) mark() (cu.Event, error) {
	if err := d.enter(); err != nil {
		return cu.Event{}, err
	}
	defer d.leave()
	event, err := cu.MakeEvent(cu.DefaultEvent)
	if err != nil {
		return event, d.check(err)
	}
	if err := event.Record(d.stream); err != nil {
		return event, errors.Join(d.check(err), cu.DestroyEvent(&event))
	}
	return event, nil
}

func (d *device) unmark(event cu.Event) {
	if d.enter() == nil { // else it went with the context
		defer d.leave()
		d.check(cu.DestroyEvent(&event))
	}
}

func (d *device) Close() error {
	d.use.Lock()
	defer d.use.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.release()
}

// release gives back all that the device has. A fault that nobody has been told
// of is its error. Of a lost device the memory goes with the context: what the
// driver says of it then is no news.
func (d *device) release() error {
	told := d.lost.Load() != nil
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var errs []error
	do := func(err error) { errs = append(errs, d.check(err)) }
	if d.context != (cu.CUContext{}) {
		do(cu.SetCurrentContext(d.context))
		if d.stream != (cu.Stream{}) {
			do(d.stream.Synchronize())
		}
		do(d.graphs.close())
		for _, p := range d.programs {
			p.close()
		}
		for _, m := range d.modules {
			do(m.Unload())
		}
		do(d.staging.close())
		d.shared.close()
		do(d.memory.close())
		if d.stream != (cu.Stream{}) {
			do(d.stream.Destroy())
		}
		do(cu.SetCurrentContext(cu.CUContext{}))
		do(d.gpu.ReleasePrimaryCtx())
	}
	if lost := d.lost.Load(); lost != nil {
		errs = []error{lost}
		if told {
			errs = nil
		}
	}
	if d.emulated != nil {
		if err := d.emulated.close(); err != nil {
			errs = append(errs, &backend.Error{Device: d.name, Err: err})
		}
	}
	return errors.Join(errs...)
}
