package lend

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"unsafe"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/kernels"
)

// remote is a CPU device whose memory the host does not reach, and which reaches none
// of the host's. It counts what is open, and fails when it is told to.
type remote struct {
	backend.Device
	open, copied atomic.Int64 // buffers now, and ever

	fails string // which method
	after int    // its calls that succeed before
}

var errTold = errors.New("told to fail")

func (r *remote) call(method string) error {
	if method != r.fails {
		return nil
	}
	if r.after--; r.after < 0 {
		return errTold
	}
	return nil
}

func (r *remote) NewBuffer(dtype kernels.DType, n int) (backend.Buffer, error) {
	if err := r.call("NewBuffer"); err != nil {
		return nil, err
	}
	b, err := r.Device.NewBuffer(dtype, n)
	if err != nil {
		return nil, err
	}
	r.open.Add(1)
	r.copied.Add(1)
	return &remoteBuffer{Buffer: b, dev: r}, nil
}

func (r *remote) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	p, err := r.Device.Compile(k, sig)
	return remoteProgram{p, r}, err
}

func (r *remote) Sync() error {
	if err := r.call("Sync"); err != nil {
		return err
	}
	return r.Device.Sync()
}

type remoteBuffer struct {
	backend.Buffer
	dev    *remote
	closed bool
}

func (b *remoteBuffer) Host() []byte { return nil }

func (b *remoteBuffer) ReadAt(p []byte, off int64) (int, error) {
	if err := b.dev.call("ReadAt"); err != nil {
		return 0, err
	}
	return b.Buffer.ReadAt(p, off)
}

func (b *remoteBuffer) WriteAt(p []byte, off int64) (int, error) {
	if err := b.dev.call("WriteAt"); err != nil {
		return 0, err
	}
	return b.Buffer.WriteAt(p, off)
}

func (b *remoteBuffer) Close() error {
	if !b.closed {
		b.closed = true
		b.dev.open.Add(-1)
	}
	return b.Buffer.Close()
}

type remoteProgram struct {
	backend.Program
	dev *remote
}

func (p remoteProgram) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	if err := p.dev.call("Run"); err != nil {
		return err
	}
	return p.Program.Run(rows, cols, own(inputs), own(outputs))
}

// own are the CPU device's own buffers.
func own(buffers []backend.Buffer) []backend.Buffer {
	out := make([]backend.Buffer, len(buffers))
	for i, b := range buffers {
		switch b := b.(type) {
		case *remoteBuffer:
			out[i] = b.Buffer
		case *remoteBorrowed:
			out[i] = b.Borrowed
		}
	}
	return out
}

// borrower is a remote that does reach some of the host's memory.
type borrower struct {
	*remote
	reaches func(first unsafe.Pointer) bool
	lent    atomic.Int64 // buffers that have memory
}

func (r *borrower) NewBorrowed(dtype kernels.DType) (backend.Borrowed, error) {
	if err := r.call("NewBorrowed"); err != nil {
		return nil, err
	}
	b, err := r.Device.(backend.Borrower).NewBorrowed(dtype)
	return &remoteBorrowed{b, r}, err
}

type remoteBorrowed struct {
	backend.Borrowed
	dev *borrower
}

func (b *remoteBorrowed) Borrow(first unsafe.Pointer, n int) error {
	if n > 0 {
		if err := b.dev.call("Borrow"); err != nil {
			return err
		}
		if !b.dev.reaches(first) {
			return &backend.Error{Device: b.dev.Name(), Err: fmt.Errorf("%w: %p", backend.ErrForeign, first)}
		}
	}
	switch {
	case b.Len() == 0 && n > 0:
		b.dev.lent.Add(1)
	case b.Len() > 0 && n == 0:
		b.dev.lent.Add(-1)
	}
	return b.Borrowed.Borrow(first, n)
}

// open is the best CPU device.
func open(tb testing.TB) backend.Device {
	tb.Helper()
	dev, err := backend.Open("cpu")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { dev.Close() })
	return dev
}

// never and every second array, in an order that differs between runs.
func never(unsafe.Pointer) bool { return false }

func sometimes() func(unsafe.Pointer) bool {
	var n atomic.Int64
	return func(unsafe.Pointer) bool { return n.Add(1)%3 > 0 }
}

// way is a device that memory is lent to, with what it has open.
type way struct {
	name string
	dev  backend.Device
	*remote
	*borrower
}

func ways(tb testing.TB) []way {
	dev := open(tb)
	copies, foreign, some := &remote{Device: dev}, &borrower{remote: &remote{Device: dev}, reaches: never}, &borrower{remote: &remote{Device: dev}, reaches: sometimes()}
	return []way{
		{name: "in place", dev: dev},
		{name: "copies", dev: copies, remote: copies},
		{name: "foreign", dev: foreign, remote: foreign.remote, borrower: foreign},
		{name: "some", dev: some, remote: some.remote, borrower: some},
	}
}

// check finds memory that was not let go.
func (w way) check(t *testing.T) {
	t.Helper()
	if w.remote != nil && w.remote.open.Load() != 0 {
		t.Errorf("%d buffers are open", w.remote.open.Load())
	}
	if w.borrower != nil && w.borrower.lent.Load() != 0 {
		t.Errorf("%d buffers have memory", w.borrower.lent.Load())
	}
}
