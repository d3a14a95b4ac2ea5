package neurons_test

import (
	"errors"
	"fmt"

	"errorcell/backend"
	"errorcell/kernels"
)

// remote is a device whose memory the host cannot reach, made of one whose
// memory it can, and which fails when it is told to.
type remote struct {
	backend.Device
	buffers int  // that are open
	failAt  int  // counts down at each call that may fail; at 1 it does
	mute    bool // reading fails
	room    int  // counts down at each buffer that is made; at 1 there is no memory
}

var errRemote = errors.New("told to fail")

func (r *remote) fails() error {
	if r.failAt == 0 {
		return nil
	}
	if r.failAt--; r.failAt > 0 {
		return nil
	}
	return errRemote
}

func (r *remote) NewBuffer(dtype kernels.DType, n int) (backend.Buffer, error) {
	if err := r.fails(); err != nil {
		return nil, err
	}
	if r.room == 1 {
		return nil, fmt.Errorf("%w: %w", errRemote, backend.ErrMemory)
	}
	r.room = max(r.room-1, 0)
	buf, err := r.Device.NewBuffer(dtype, n)
	if err != nil {
		return nil, err
	}
	r.buffers++
	return &remoteBuffer{Buffer: buf, dev: r}, nil
}

func (r *remote) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	if err := r.fails(); err != nil {
		return nil, err
	}
	p, err := r.Device.Compile(k, sig)
	return remoteProgram{p, r}, err
}

type remoteBuffer struct {
	backend.Buffer
	dev    *remote
	closed bool
}

func (b *remoteBuffer) Device() backend.Device { return b.dev }
func (b *remoteBuffer) Host() []byte           { return nil }

func (b *remoteBuffer) ReadAt(p []byte, off int64) (int, error) {
	if b.dev.mute {
		return 0, errRemote
	}
	return b.Buffer.ReadAt(p, off)
}

func (b *remoteBuffer) WriteAt(p []byte, off int64) (int, error) {
	if err := b.dev.fails(); err != nil {
		return 0, err
	}
	return b.Buffer.WriteAt(p, off)
}

func (b *remoteBuffer) Close() error {
	if !b.closed {
		b.closed = true
		b.dev.buffers--
	}
	return b.Buffer.Close()
}

type remoteProgram struct {
	backend.Program
	dev *remote
}

func (p remoteProgram) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	if err := p.dev.fails(); err != nil {
		return err
	}
	return p.Program.Run(rows, cols, near(inputs), near(outputs))
}

func near(bufs []backend.Buffer) []backend.Buffer {
	out := make([]backend.Buffer, len(bufs))
	for i, b := range bufs {
		if b != nil {
			out[i] = b.(*remoteBuffer).Buffer
		}
	}
	return out
}
