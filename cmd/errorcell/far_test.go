// A device whose memory the host cannot reach, as that of a GPU: the cpu behind
// copies. It runs at its own time, and breaks where a test wants it to.

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
)

const farName = "far"

// registerFar makes the device known; TestMain does so before all else.
func registerFar() {
	backend.Register(backend.Driver{
		Name: farName, Rank: 1 << 20,
		Open: openFar,
		List: func() []backend.Candidate {
			return []backend.Candidate{
				{Spec: farName, Info: backend.Info{Model: "cpu behind copies"}},
				{Spec: farName + ":9", Err: fmt.Errorf("%w: there is\none", backend.ErrUnavailable)},
			}
		},
	})
}

// openFar takes run=N, sync=N and memory=N: the Nth run, the Nth wait and the
// Nth buffer fails.
func openFar(opts []backend.Option) (backend.Device, error) {
	near, err := backend.Open("cpu:threads=2")
	if err != nil {
		return nil, err
	}
	d := &farDevice{Device: near, failAt: map[string]int{}, work: make(chan func() error)}
	for _, opt := range opts {
		n, err := strconv.Atoi(opt.Value)
		switch {
		case opt.String() == "9":
			return nil, fmt.Errorf("%w: there is one", backend.ErrUnavailable)
		case err != nil || !slices.Contains([]string{"run", "sync", "memory"}, opt.Key):
			return nil, fmt.Errorf("%w %q", backend.ErrUnknownOption, opt)
		}
		d.failAt[opt.Key] = n
	}
	go d.serve()
	return d, nil
}

type farDevice struct {
	backend.Device
	failAt map[string]int
	count  struct{ run, sync, memory int } // each is counted in one goroutine
	work   chan func() error
	err    error // of the work, for Sync
}

// serve runs the work, one after the other. What is sent waits for what was
// sent before.
func (d *farDevice) serve() {
	for job := range d.work {
		if err := job(); err != nil && d.err == nil {
			d.err = err
		}
	}
}

var errFar = errors.New("the device has fallen off the bus")

func (d *farDevice) fail(what string, count *int) error {
	if *count++; d.failAt[what] == *count {
		return &backend.Error{Device: farName, Err: errFar}
	}
	return nil
}

func (d *farDevice) Name() string { return farName }

func (d *farDevice) Info() backend.Info { return backend.Info{} }

func (d *farDevice) NewBuffer(dtype kernels.DType, n int) (backend.Buffer, error) {
	if err := d.fail("memory", &d.count.memory); err != nil {
		return nil, err
	}
	b, err := d.Device.NewBuffer(dtype, n)
	return farBuffer{b, d}, err
}

func (d *farDevice) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	p, err := d.Device.Compile(k, sig)
	return farProgram{p, d}, err
}

func (d *farDevice) Sync() error {
	if err := d.fail("sync", &d.count.sync); err != nil {
		return err
	}
	var err error
	d.wait(func() { err = d.err })
	return err
}

// wait does something after the work so far.
func (d *farDevice) wait(f func()) {
	done := make(chan struct{})
	d.work <- func() error {
		f()
		close(done)
		return nil
	}
	<-done
}

type farProgram struct {
	backend.Program
	dev *farDevice
}

func (p farProgram) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	if err := p.dev.fail("run", &p.dev.count.run); err != nil {
		return err
	}
	near := func(far []backend.Buffer) []backend.Buffer {
		all := make([]backend.Buffer, len(far))
		for i, b := range far {
			if b != nil {
				all[i] = b.(farBuffer).Buffer
			}
		}
		return all
	}
	in, out := near(inputs), near(outputs)
	p.dev.work <- func() error { return p.Program.Run(rows, cols, in, out) }
	return nil
}

type farBuffer struct {
	backend.Buffer
	dev *farDevice
}

func (b farBuffer) Device() backend.Device { return b.dev }

func (b farBuffer) Host() []byte { return nil }

func (b farBuffer) ReadAt(p []byte, off int64) (n int, err error) {
	b.dev.wait(func() { n, err = b.Buffer.ReadAt(p, off) })
	return n, err
}

func (b farBuffer) WriteAt(p []byte, off int64) (n int, err error) {
	b.dev.wait(func() { n, err = b.Buffer.WriteAt(p, off) })
	return n, err
}

// What the device computes is tested with all the others, by the goldens. Here
// it fails.
func TestDeviceFails(t *testing.T) {
	folder := t.TempDir()
	in := arrays{"target": counting(3, 5, 2, 3), "mu": counting(2, 5, 2, 3), "modulator": counting(5, 3)}
	writeNPZ(t, filepath.Join(folder, "in.npz"), in)
	writeNPY(t, folder, in)
	archive := []string{"step", "--in", "in.npz", "--out", "new.npz", "--device"}
	stream := []string{"step", "--target", "target.npy", "--mu", "mu.npy", "--modulator", "modulator.npy", "--out", "new", "--device"}
	before := contents(t, folder)
	for _, args := range [][]string{archive, stream} {
		for _, fault := range []string{"run=1", "run=3", "run=5", "sync=1", "sync=4", "memory=1", "memory=4", "memory=6"} {
			checkFailure(t, errorcell(t, folder, append(args, farName+":"+fault)...), exitFailed, "fallen off the bus")
		}
		checkFailure(t, errorcell(t, folder, append(args, farName+":9")...), exitFailed, "device not available")
		checkContents(t, folder, before)
	}
	for _, args := range [][]string{archive, stream} {
		succeed(t, folder, append(args, farName)...)
	}
	checkArrays(t, readNPY(t, filepath.Join(folder, "new")), readNPZ(t, filepath.Join(folder, "new.npz")))
	checkFailure(t, finish(t, verifyFew(command(t, folder, "verify", "--device", farName+":run=3"))), exitFailed, farName, "differs")
}
