// The suite on the simplest device that is right: one that runs
// kernels.Reference on its buffers. The same device with one fault built in
// shows that the suite finds that fault (faults_test.go).

package backendtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

func init() {
	backend.Register(backend.Driver{
		Name: "reference",
		Open: func([]backend.Option) (backend.Device, error) { return newReferenceDevice(noFault), nil },
		List: func() []backend.Candidate { return nil },
	})
}

func TestReferenceDevice(t *testing.T) {
	Run(t, func() (backend.Device, error) { return backend.Open("reference") },
		append(Quick(), Exception{"Allocations", "the reference interpreter allocates every value"})...)
}

func TestUnavailableDeviceIsSkipped(t *testing.T) {
	skipped := false
	t.Run("device", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		Run(t, func() (backend.Device, error) { return nil, &backend.Error{Device: "gpu", Err: backend.ErrUnavailable} })
	})
	if !skipped {
		t.Error("a device that cannot be had is not skipped")
	}
}

const memory = 1 << 30

type referenceDevice struct {
	fault    fault
	mu       sync.RWMutex // held for reading while the device works
	closed   bool
	programs map[any]*referenceProgram
	sharing  sync.Mutex
	shared   []*referenceShared
	spoiler  // of faults in the numbers
}

func newReferenceDevice(f fault) *referenceDevice {
	if f == faultGoroutine {
		go func() { select {} }()
	}
	return &referenceDevice{fault: f, programs: map[any]*referenceProgram{}}
}

func (d *referenceDevice) Name() string { return "reference" }

func (d *referenceDevice) Info() backend.Info {
	return backend.Info{Model: "interpreter", Threads: 1, Memory: memory}
}

func (d *referenceDevice) fail(err error) error {
	if d.fault == faultNamelessError {
		return err
	}
	return &backend.Error{Device: d.Name(), Err: err}
}

// enter is called where the device's memory is used; leave ends that.
func (d *referenceDevice) enter() error {
	d.mu.RLock()
	if d.closed && d.fault != faultUseAfterClose {
		d.mu.RUnlock()
		return d.fail(backend.ErrClosed)
	}
	return nil
}

func (d *referenceDevice) leave() { d.mu.RUnlock() }

func (d *referenceDevice) Sync() error {
	err := d.enter()
	if err == nil {
		d.leave()
	}
	return err
}

func (d *referenceDevice) Close() error {
	d.mu.Lock()
	if d.fault == faultDeadlock && !d.closed {
		return nil // and never unlocks
	}
	defer d.mu.Unlock()
	if d.closed && d.fault == faultCloseTwice {
		return d.fail(backend.ErrClosed)
	}
	d.closed = true
	return nil
}

func (d *referenceDevice) NewBuffer(dtype kernels.DType, n int) (backend.Buffer, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	if err := backend.CheckBuffer(d, dtype, n); err != nil {
		return nil, err
	}
	if n > memory/dtype.Size() {
		return nil, d.fail(fmt.Errorf("%w: %d x %v in %d bytes", backend.ErrMemory, n, dtype, memory))
	}
	b := &referenceBuffer{device: d, dtype: dtype, n: n, data: make([]byte, n*dtype.Size())}
	if d.fault == faultDirtyBuffer {
		for i := range b.data {
			b.data[i] = 0x40
		}
	}
	return b, nil
}

func (d *referenceDevice) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	d.leave()
	plan, err := k.Specialize(sig)
	if err != nil {
		return nil, d.fail(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var key any = struct {
		k   *kernels.Kernel
		sig kernels.Signature
	}{k, sig}
	if d.fault == faultCachedByName {
		key = fmt.Sprint(k.Name(), sig)
	}
	p, ok := d.programs[key]
	if !ok || d.fault == faultNoCache {
		p = &referenceProgram{d, plan}
		d.programs[key] = p
	}
	return p, nil
}

type referenceBuffer struct {
	device *referenceDevice
	dtype  kernels.DType
	n      int
	data   []byte
	closed atomic.Bool
}

func (b *referenceBuffer) Device() backend.Device { return b.device }
func (b *referenceBuffer) DType() kernels.DType   { return b.dtype }
func (b *referenceBuffer) Len() int               { return b.n }

func (b *referenceBuffer) Close() error {
	b.closed.Store(true)
	return nil
}

func (b *referenceBuffer) Host() []byte {
	b.device.mu.RLock()
	defer b.device.mu.RUnlock()
	if b.closed.Load() || b.device.closed {
		return nil
	}
	return b.data
}

func (b *referenceBuffer) check() error {
	if b.closed.Load() && b.device.fault != faultClosedBuffer {
		return backend.ErrClosed
	}
	return nil
}

func (b *referenceBuffer) access(p []byte, off int64, f func(memory, p []byte, off int64) (int, error)) (int, error) {
	if err := b.device.enter(); err != nil {
		return 0, err
	}
	defer b.device.leave()
	if err := b.check(); err != nil {
		return 0, b.device.fail(err)
	}
	return f(b.data, p, off)
}

func (b *referenceBuffer) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.access(p, off, backend.ReadAtHost)
	if b.device.fault == faultNoEOF && err != nil && n > 0 {
		err = nil
	}
	return n, err
}

func (b *referenceBuffer) WriteAt(p []byte, off int64) (int, error) {
	return b.access(p, off, backend.WriteAtHost)
}

// referenceShared is memory of Go's that the device has given.
type referenceShared struct {
	data  []byte
	freed atomic.Bool
}

func (d *referenceDevice) NewShared(bytes int) ([]byte, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	switch {
	case bytes < 0:
		return nil, d.fail(fmt.Errorf("%w: %d bytes", backend.ErrShape, bytes))
	case bytes > memory:
		return nil, d.fail(fmt.Errorf("%w: %d bytes in %d", backend.ErrMemory, bytes, memory))
	case bytes == 0:
		return nil, nil
	}
	const align = 256
	data := make([]byte, bytes+align)
	data = data[align-int(uintptr(unsafe.Pointer(&data[0]))%align):][:bytes:bytes]
	if d.fault == faultDirtyShared {
		data[bytes-1] = 0x40
	}
	d.sharing.Lock()
	defer d.sharing.Unlock()
	d.shared = append(d.shared, &referenceShared{data: data})
	return data, nil
}

// find is the shared memory that has an address, and how much of it comes before.
func (d *referenceDevice) find(first unsafe.Pointer) (*referenceShared, int, error) {
	for _, s := range d.shared {
		if off := uintptr(first) - uintptr(unsafe.Pointer(&s.data[0])); off < uintptr(len(s.data)) {
			return s, int(off), nil
		}
	}
	return nil, 0, d.fail(fmt.Errorf("%w: memory at %p", backend.ErrForeign, first))
}

func (d *referenceDevice) FreeShared(memory []byte) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	d.sharing.Lock()
	defer d.sharing.Unlock()
	s, off, err := d.find(unsafe.Pointer(unsafe.SliceData(memory)))
	switch {
	case err != nil && len(memory) == 0:
		return nil
	case err != nil:
		return err
	case (off > 0 || len(memory) < len(s.data)) && d.fault != faultFreesParts:
		return d.fail(fmt.Errorf("%w: a part of shared memory", backend.ErrShape))
	}
	s.freed.Store(true)
	d.shared = slices.DeleteFunc(d.shared, func(other *referenceShared) bool { return other == s })
	return nil
}

// referenceBorrowed is a buffer in shared memory.
type referenceBorrowed struct {
	referenceBuffer
	in *referenceShared
}

func (d *referenceDevice) NewBorrowed(dtype kernels.DType) (backend.Borrowed, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	return &referenceBorrowed{referenceBuffer: referenceBuffer{device: d, dtype: dtype}}, nil
}

func (b *referenceBorrowed) Borrow(first unsafe.Pointer, n int) error {
	d := b.device
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if b.closed.Load() {
		return d.fail(backend.ErrClosed)
	}
	if err := backend.CheckBorrow(d, first, n); err != nil {
		return err
	}
	b.n, b.data, b.in = n, nil, nil
	if n == 0 {
		return nil
	}
	d.sharing.Lock()
	defer d.sharing.Unlock()
	s, off, err := d.find(first)
	size := b.dtype.Size()
	switch {
	case err != nil && d.fault == faultBorrowsAll:
		b.data = unsafe.Slice((*byte)(first), n*size)
		return nil
	case err != nil:
		return err
	case uintptr(first)%uintptr(size) != 0 || n > (len(s.data)-off)/size:
		return d.fail(fmt.Errorf("%w: %d elements %d bytes before the end", backend.ErrShape, n, len(s.data)-off))
	}
	b.data, b.in = s.data[off:][:n*size], s
	if d.fault == faultBorrowCopies {
		b.data = slices.Clone(b.data)
	}
	return nil
}

func (b *referenceBorrowed) isFreed() bool {
	return b.in != nil && b.in.freed.Load() && b.device.fault != faultUsesFreed
}

// referenceOf is the device's own buffer that b is, nil for others.
func referenceOf(b backend.Buffer) *referenceBuffer {
	switch b := b.(type) {
	case *referenceBuffer:
		return b
	case *referenceBorrowed:
		return &b.referenceBuffer
	}
	return nil
}

type referenceProgram struct {
	device *referenceDevice
	plan   *kernels.Plan
}

func (p *referenceProgram) Plan() *kernels.Plan { return p.plan }

func (p *referenceProgram) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	if err := p.device.enter(); err != nil {
		return err
	}
	defer p.device.leave()
	if p.device.fault == faultWriteFirst && len(outputs) > 0 && outputs[0] != nil {
		clear(referenceOf(outputs[0]).data)
	}
	err := backend.CheckRun(p.device, p.plan, rows, cols, inputs, outputs)
	if p.device.fault == faultAliased && errors.Is(err, backend.ErrAliased) {
		err = nil
	}
	if err != nil {
		return err
	}
	for i, list := range [][]backend.Buffer{inputs, outputs} {
		name := p.plan.Kernel.InputName
		if i == 1 {
			name = p.plan.Kernel.OutputName
		}
		for j, b := range list {
			borrowed, ok := b.(*referenceBorrowed)
			if b != nil && referenceOf(b).check() != nil || ok && borrowed.isFreed() {
				return p.device.fail(fmt.Errorf("kernel %s: %s: %w", p.plan.Kernel.Name(), name(j), backend.ErrClosed))
			}
		}
	}
	if p.plan.Signature.DType == kernels.F32 {
		return compute[float32](p, rows, cols, inputs, outputs)
	}
	return compute[float64](p, rows, cols, inputs, outputs)
}

func compute[T kernels.Float](p *referenceProgram, rows, cols int, inputs, outputs []backend.Buffer) error {
	r := run[T]{p.plan, rows, cols, views[T](inputs)}
	results, err := r.reference()
	if err != nil {
		return p.device.fail(err)
	}
	spoil(p.device, r, results)
	for i, b := range outputs {
		switch b := referenceOf(b); {
		case b == nil:
		case b.dtype == kernels.B8:
			for j, x := range results[i] {
				b.data[j] = byte(x)
			}
		default:
			copy(b.data, bytesOf(results[i]))
		}
	}
	return nil
}

func bytesOf[T kernels.Float](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(*new(T))))
}

// run is the arguments of a program's run.
type run[T kernels.Float] struct {
	plan       *kernels.Plan
	rows, cols int
	inputs     [][]T
}

func views[T kernels.Float](buffers []backend.Buffer) [][]T {
	list := make([][]T, len(buffers))
	for i, b := range buffers {
		if b := referenceOf(b); b != nil && b.n > 0 {
			list[i] = unsafe.Slice((*T)(unsafe.Pointer(&b.data[0])), b.n)
		}
	}
	return list
}

func (r run[T]) reference() ([][]T, error) {
	operands := make([]*kernels.Array[T], len(r.inputs))
	for i, data := range r.inputs {
		if kind := r.plan.Signature.Kinds[i]; kind != kernels.Absent {
			rows, cols := kind.Extent(r.rows, r.cols)
			operands[i] = &kernels.Array[T]{Shape: kernels.Shape{rows, cols}, Data: data}
		}
	}
	arrays, err := kernels.Reference(r.plan.Kernel, operands...)
	if err != nil {
		return nil, err
	}
	results := make([][]T, len(arrays))
	for i, a := range arrays {
		results[i] = a.Data
	}
	return results, nil
}
