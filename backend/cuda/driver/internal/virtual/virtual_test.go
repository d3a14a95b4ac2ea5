package virtual

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// fake is a GPU of a few words, whose one kernel adds its parameter to a word.
type fake struct {
	memory map[uint64][]byte
	next   uint64
	lost   error
	did    []string
}

var (
	errPointer = errors.New("no such memory")
	errKernel  = errors.New("the kernel failed")
	errLost    = errors.New("lost")
)

func newFake() *fake { return &fake{memory: map[uint64][]byte{}, next: 1 << 20} }

func (f *fake) at(ptr, n uint64) ([]byte, error) {
	for base, b := range f.memory {
		if ptr >= base && ptr+n <= base+uint64(len(b)) {
			return b[ptr-base:][:n], nil
		}
	}
	return nil, errPointer
}

func (f *fake) Name() string { return "fake" }
func (f *fake) Attribute(a int) int {
	return map[int]int{maxThreadsPerBlock: 64, maxBlockDim: 64, maxBlockDim + 1: 64, maxBlockDim + 2: 64, maxGridDim: 8, maxGridDim + 1: 8, maxGridDim + 2: 8}[a]
}
func (f *fake) MemInfo() (uint64, uint64) { return 1 << 20, 1 << 20 }
func (f *fake) Alloc(n uint64) (uint64, error) {
	f.next += 1 << 20
	f.memory[f.next] = make([]byte, n)
	return f.next, f.lost
}
func (f *fake) AllocManaged(n uint64) (uint64, error) { return f.Alloc(n) }
func (f *fake) Free(ptr uint64) error {
	if _, ok := f.memory[ptr]; !ok {
		return errPointer
	}
	delete(f.memory, ptr)
	return f.lost
}
func (f *fake) CopyToDevice(dst uint64, src []byte) error {
	b, err := f.at(dst, uint64(len(src)))
	copy(b, src)
	f.did = append(f.did, "in")
	return err
}
func (f *fake) CopyToHost(dst []byte, src uint64) error {
	b, err := f.at(src, uint64(len(dst)))
	copy(dst, b)
	f.did = append(f.did, "out")
	return err
}
func (f *fake) CopyDeviceToDevice(dst, src, n uint64) error {
	from, err := f.at(src, n)
	to, err2 := f.at(dst, n)
	copy(to, from)
	return errors.Join(err, err2)
}
func (f *fake) Memset8(dst uint64, value byte, n uint64) error {
	b, err := f.at(dst, n)
	for i := range b {
		b[i] = value
	}
	return err
}
func (f *fake) Memset32(dst uint64, value uint32, n uint64) error {
	b, err := f.at(dst, 4*n)
	for i := 0; i < len(b); i += 4 {
		binary.LittleEndian.PutUint32(b[i:], value)
	}
	return err
}
func (f *fake) Load(ptx string) (Module, error) {
	if ptx != "add" {
		return nil, fmt.Errorf("line 1: %q", ptx)
	}
	return f, nil
}
func (f *fake) Function(name string) (Function, error) {
	if name != "add" {
		return nil, errors.New("none")
	}
	return kernel{f}, nil
}
func (f *fake) Unload() error { return nil }
func (f *fake) Err() error    { return f.lost }
func (f *fake) Code(err error) int {
	switch {
	case errors.Is(err, errLost):
		return 700
	case errors.Is(err, errKernel):
		return 719
	}
	return 1
}

type kernel struct{ *fake }

func (k kernel) Params() []int { return []int{8, 4} }
func (k kernel) Attribute(a int) int {
	return map[int]int{functionMaxThreads: 32, functionMaxDynamic: 100}[a]
}
func (k kernel) SetAttribute(a, v int) error       { return nil }
func (k kernel) MaxActiveBlocks(t, shared int) int { return 64 / t }
func (k kernel) Launch(grid, block [3]uint32, shared uint32, params [][]byte) error {
	if shared == 13 {
		return errKernel
	}
	if shared == 14 {
		k.lost = errLost
		return errLost
	}
	b, err := k.at(binary.LittleEndian.Uint64(params[0]), 4)
	if err != nil {
		return err
	}
	k.did = append(k.did, "add")
	binary.LittleEndian.PutUint32(b, binary.LittleEndian.Uint32(b)+binary.LittleEndian.Uint32(params[1]))
	return nil
}

// bench is a context with a word of memory, and the kernel.
type bench struct {
	t    *testing.T
	gpu  *fake
	dev  *Device
	ctx  *Context
	word uint64
	add  *LoadedFunction
}

const me = 7 // a thread

func newBench(t *testing.T) *bench {
	b := &bench{t: t, gpu: newFake()}
	b.dev = NewDevice(b.gpu)
	var s Status
	if b.ctx, s = b.dev.NewContext(0); s != Success {
		t.Fatal(s)
	}
	if b.word, s = b.ctx.Alloc(4, me); s != Success {
		t.Fatal(s)
	}
	m, _, s := b.ctx.Load("add")
	if s != Success {
		t.Fatal(s)
	}
	if b.add, s = m.Function("add"); s != Success {
		t.Fatal(s)
	}
	return b
}

func (b *bench) want(got, want Status) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("%v, want %v", got, want)
	}
}

func (b *bench) stream(flags uint) *Stream {
	b.t.Helper()
	s, status := b.ctx.NewStream(flags, 0)
	b.want(status, Success)
	return s
}

func (b *bench) event() *Event {
	b.t.Helper()
	e, status := b.ctx.NewEvent(0)
	b.want(status, Success)
	return e
}

func (b *bench) launch(n uint32) Launch {
	return Launch{Grid: [3]uint32{1, 1, 1}, Block: [3]uint32{32, 1, 1}, Params: [][]byte{
		binary.LittleEndian.AppendUint64(nil, b.word), binary.LittleEndian.AppendUint32(nil, n),
	}}
}

// value looks into the memory behind the driver's back.
func (b *bench) value() uint32 { return binary.LittleEndian.Uint32(b.gpu.memory[b.word]) }

// TestLate: work is done when something waits for it, and not before.
func TestLate(t *testing.T) {
	b := newBench(t)
	s := b.stream(streamNonBlocking)
	host := make([]byte, 4)
	b.want(s.Memset32(b.word, 1, 1), Success)
	b.want(s.Launch(b.add, b.launch(2)), Success)
	b.want(s.CopyToHost(host, b.word, true), Success)
	if b.value() != 0 || host[0] != 0 {
		t.Errorf("done at once: %d on the device, %d on the host", b.value(), host[0])
	}
	b.want(b.ctx.Null().Synchronize(), Success) // waits for others only
	if host[0] != 0 {
		t.Error("the default stream has waited for a non-blocking one")
	}
	b.want(s.Query(), NotReady)
	b.want(s.Query(), NotReady)
	b.want(s.Query(), NotReady)
	b.want(s.Query(), Success)
	if host[0] != 3 {
		t.Errorf("%d, want 3", host[0])
	}

	// Memory that is not pinned is copied in at once, and out at once.
	src := []byte{9, 0, 0, 0}
	b.want(s.CopyToDevice(b.word, src, false), Success)
	src[0] = 1
	b.want(s.CopyToHost(host, b.word, false), Success)
	if host[0] != 9 {
		t.Errorf("%d, want 9", host[0])
	}
	b.want(s.CopyToDevice(b.word, src, true), Success)
	src[0] = 5
	b.want(b.ctx.Synchronize(), Success)
	if b.value() != 5 {
		t.Errorf("pinned memory was not read late: %d", b.value())
	}
}

// TestOrder: the default stream waits for blocking streams and they for it;
// events order any.
func TestOrder(t *testing.T) {
	b := newBench(t)
	x, y, free := b.stream(0), b.stream(0), b.stream(streamNonBlocking)
	null := b.ctx.Null()
	b.want(x.Memset32(b.word, 1, 1), Success)
	b.want(null.Launch(b.add, b.launch(10)), Success)
	b.want(y.Launch(b.add, b.launch(100)), Success)
	b.want(y.Synchronize(), Success)
	if b.value() != 111 {
		t.Errorf("%d, want 111", b.value())
	}

	e := b.event()
	b.want(free.Wait(e), Success) // never recorded: nothing to wait for
	b.want(x.Memset32(b.word, 1, 1), Success)
	b.want(e.Record(x), Success)
	b.want(x.Memset32(b.word, 2, 1), Success)
	b.want(free.Wait(e), Success)
	b.want(free.Launch(b.add, b.launch(1)), Success)
	b.want(e.Query(), NotReady)
	b.want(free.Synchronize(), Success)
	b.want(e.Query(), Success)
	if b.value() != 2 {
		t.Errorf("%d, want 2: only what was before the event", b.value())
	}
	b.want(b.ctx.Synchronize(), Success)
	if b.value() != 2 || len(x.queue) != 0 {
		t.Errorf("%d, want 2", b.value())
	}

	first, second := b.event(), b.event()
	if _, s := second.Elapsed(first); s != InvalidHandle {
		t.Errorf("elapsed between events never recorded: %v", s)
	}
	b.want(first.Record(x), Success)
	b.want(second.Record(x), Success)
	if _, s := second.Elapsed(first); s != NotReady {
		t.Errorf("elapsed between events not reached: %v", s)
	}
	b.want(second.Synchronize(), Success)
	if d, s := second.Elapsed(first); s != Success || d < 0 {
		t.Errorf("elapsed %v, %v", d, s)
	}
}

// TestErrors: what can be seen at once is an error at once; a kernel's failure
// comes with the call that waits; a lost device is lost.
func TestErrors(t *testing.T) {
	b := newBench(t)
	s := b.stream(0)
	for what, change := range map[string]func(*Launch){
		"no blocks":       func(l *Launch) { l.Grid[1] = 0 },
		"too many blocks": func(l *Launch) { l.Grid[0] = 9 },
		"too many along":  func(l *Launch) { l.Block = [3]uint32{1, 1, 65} },
		"too many":        func(l *Launch) { l.Block = [3]uint32{11, 3, 1} },
		"too much shared": func(l *Launch) { l.Shared = 101 },
		"parameters":      func(l *Launch) { l.Params = l.Params[1:] },
	} {
		l := b.launch(1)
		if change(&l); s.Launch(b.add, l) != InvalidValue {
			t.Errorf("%s: launched", what)
		}
	}

	l := b.launch(1)
	l.Shared = 13
	b.want(s.Launch(b.add, l), Success)
	b.want(s.Launch(b.add, b.launch(1)), Success)
	b.want(s.Synchronize(), 719)
	b.want(s.Synchronize(), Success)

	l.Shared = 14
	b.want(s.Launch(b.add, l), Success)
	b.want(s.Launch(b.add, b.launch(1)), Success)
	b.want(b.ctx.Synchronize(), 700)
	b.want(s.Launch(b.add, b.launch(1)), 700)
	if _, s := b.ctx.Alloc(4, me); s != 700 {
		t.Errorf("allocated on a lost device: %v", s)
	}
	b.want(b.ctx.Destroy(), 700)
	b.want(b.ctx.Destroy(), ContextIsDestroyed)

	b = newBench(t)
	if _, log, s := b.ctx.Load("sub"); s != 1 || log != `line 1: "sub"` {
		t.Errorf("%v, log %q", s, log)
	}
	b.want(b.ctx.Free(5, me), 1)
	b.want(b.ctx.Free(0, me), Success)
	b.want(b.ctx.Destroy(), Success)
	if len(b.gpu.memory) != 0 {
		t.Errorf("a destroyed context left %d allocations", len(b.gpu.memory))
	}
	_, status := b.ctx.NewStream(0, 0)
	b.want(status, ContextIsDestroyed)
}

func TestPrimary(t *testing.T) {
	d := NewDevice(newFake())
	a, _ := d.RetainPrimary()
	b, _ := d.RetainPrimary()
	if a != b {
		t.Error("two primary contexts")
	}
	if a.Destroy() != InvalidContext {
		t.Error("a primary context was destroyed")
	}
	if c, s := d.ReleasePrimary(); c != nil || s != Success {
		t.Errorf("released to %v, %v", c, s)
	}
	if c, s := d.ReleasePrimary(); c != a || s != Success {
		t.Errorf("released to %v, %v", c, s)
	}
	if _, s := d.ReleasePrimary(); s != InvalidContext {
		t.Errorf("released once more: %v", s)
	}
	if c, _ := d.RetainPrimary(); c == a {
		t.Error("a primary context has come back")
	}
}

// TestCapture: streams record, and the graph does it again.
func TestCapture(t *testing.T) {
	b := newBench(t)
	s, side := b.stream(0), b.stream(0)
	fork, join := b.event(), b.event()
	b.want(s.BeginCapture(captureThreadLocal, me), Success)
	b.want(s.BeginCapture(captureThreadLocal, me), IllegalState)
	b.want(s.Launch(b.add, b.launch(1)), Success)
	b.want(fork.Record(s), Success)
	b.want(side.Wait(fork), Success)
	b.want(side.Launch(b.add, b.launch(10)), Success)
	b.want(join.Record(side), Success)
	b.want(join.Synchronize(), CapturedEvent)
	b.want(s.Wait(join), Success)
	b.want(s.Launch(b.add, b.launch(100)), Success)
	if s.Capturing() != 1 || side.Capturing() != 1 || b.value() != 0 {
		t.Error("not captured")
	}
	_, status := s.EndCapture(me + 1)
	b.want(status, CaptureWrongThread)
	g, status := s.EndCapture(me)
	b.want(status, Success)
	if s.Capturing() != 0 || side.Capturing() != 0 {
		t.Error("still capturing")
	}
	b.want(side.Wait(join), CapturedEvent)
	ready := g.Instantiate()
	for range 3 {
		b.want(side.LaunchGraph(ready), Success)
	}
	b.want(b.ctx.Synchronize(), Success)
	if b.value() != 333 {
		t.Errorf("%d, want 333", b.value())
	}
}

// TestCaptureMisuse: calls that no capture survives, as with the real driver.
func TestCaptureMisuse(t *testing.T) {
	type misuse struct {
		what string
		do   func(b *bench, s *Stream) Status
		want Status
		end  Status
	}
	for _, m := range []misuse{
		{"synchronize the stream", func(_ *bench, s *Stream) Status { return s.Synchronize() }, CaptureUnsupported, CaptureInvalidated},
		{"query it", func(_ *bench, s *Stream) Status { return s.Query() }, CaptureUnsupported, CaptureInvalidated},
		{"synchronize the context", func(b *bench, _ *Stream) Status { return b.ctx.Synchronize() }, CaptureUnsupported, CaptureInvalidated},
		{"use the default stream", func(b *bench, _ *Stream) Status { return b.ctx.Null().Memset8(b.word, 0, 1) }, CaptureImplicit, CaptureInvalidated},
		{"allocate", func(b *bench, _ *Stream) Status { _, s := b.ctx.Alloc(4, me); return s }, CaptureUnsupported, CaptureInvalidated},
		{"allocate managed memory", func(b *bench, _ *Stream) Status { _, s := b.ctx.AllocManaged(4, me); return s }, CaptureUnsupported, CaptureInvalidated},
		{"allocate elsewhere", func(b *bench, _ *Stream) Status { _, s := b.ctx.Alloc(4, me+1); return s }, Success, Success},
		{"free", func(b *bench, _ *Stream) Status { return b.ctx.Free(b.word, me) }, CaptureUnsupported, CaptureInvalidated},
		{"copy from unpinned memory", func(b *bench, s *Stream) Status { return s.CopyToDevice(b.word, make([]byte, 4), false) }, CaptureUnsupported, CaptureInvalidated},
		{"wait for work outside", func(b *bench, s *Stream) Status {
			e := b.event()
			e.Record(b.stream(streamNonBlocking))
			return s.Wait(e)
		}, CaptureUnsupported, CaptureInvalidated},
		{"a fork that is not joined", func(b *bench, s *Stream) Status {
			e, side := b.event(), b.stream(0)
			e.Record(s)
			side.Wait(e)
			return side.Launch(b.add, b.launch(1))
		}, Success, CaptureUnjoined},
		{"work after the join", func(b *bench, s *Stream) Status {
			e, side := b.event(), b.stream(0)
			e.Record(s)
			side.Wait(e)
			e.Record(side)
			s.Wait(e)
			return side.Launch(b.add, b.launch(1))
		}, Success, CaptureUnjoined},
		{"end of another stream", func(b *bench, s *Stream) Status {
			e, side := b.event(), b.stream(0)
			e.Record(s)
			side.Wait(e)
			_, status := side.EndCapture(me)
			return status
		}, CaptureUnmatched, CaptureInvalidated},
	} {
		b := newBench(t)
		s := b.stream(0)
		b.want(s.BeginCapture(captureThreadLocal, me), Success)
		if got := m.do(b, s); got != m.want {
			t.Errorf("%s: %v, want %v", m.what, got, m.want)
		}
		if _, got := s.EndCapture(me); got != m.end {
			t.Errorf("%s: the capture ends with %v, want %v", m.what, got, m.end)
		}
		if s.Capturing() != 0 {
			t.Errorf("%s: the capture does not end", m.what)
		}
	}
	b := newBench(t)
	b.want(b.ctx.Null().BeginCapture(captureGlobal, me), CaptureUnsupported)
	s := b.stream(0)
	b.want(s.BeginCapture(3, me), InvalidValue)
	_, status := s.EndCapture(me)
	b.want(status, IllegalState)
}

// TestSettle: what ends is not needed any more.
func TestSettle(t *testing.T) {
	b := newBench(t)
	s := b.stream(streamNonBlocking)
	host := make([]byte, 4)
	b.want(s.Launch(b.add, b.launch(3)), Success)
	b.want(s.CopyToHost(host, b.word, true), Success)
	b.dev.Settle()
	if host[0] != 3 || !slices.Equal(b.gpu.did, []string{"add", "out"}) {
		t.Errorf("%d after %v", host[0], b.gpu.did)
	}
	ptr, status := s.AllocAsync(4)
	b.want(status, Success)
	b.want(s.Memset32(ptr, 7, 1), Success)
	b.want(s.FreeAsync(ptr), Success)
	if _, ok := b.gpu.memory[ptr]; !ok {
		t.Error("freed before the work is done")
	}
	b.want(s.Destroy(), Success)
	if _, ok := b.gpu.memory[ptr]; ok {
		t.Error("not freed when the stream ends")
	}
}
