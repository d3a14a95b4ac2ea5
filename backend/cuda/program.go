//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"sync"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
	"errorcell/kernels"
	"errorcell/kernels/ptx"
)

// program is a plan on the device: lowered with indices of 32 bits and, once a
// grid needs them, with indices of 64.
type program struct {
	dev  *device
	plan *kernels.Plan

	mu     sync.Mutex // held while a run is given to the stream
	narrow *lowered
	wide   *lowered
}

// lowered is a module with all that its launches need.
type lowered struct {
	module   *ptx.Module
	launches []launch
	partials []memory // of each sum of the plan
	sums     []memory // results that one launch leaves for another
}

// launch is an entry that is ready to be launched.
type launch struct {
	*ptx.Launch
	call    *driver.Launch
	most    int    // blocks that the GPU can hold at once
	control memory // counters: zero between launches
}

func (d *device) lower(plan *kernels.Plan, wide bool) (_ *lowered, err error) {
	m, err := ptx.Lower(plan, ptx.Options{Arch: d.capability, Wide: wide})
	if err != nil {
		return nil, &backend.Error{Device: d.name, Err: err}
	}
	module, err := d.module(m.Text)
	if err != nil {
		return nil, d.check(fmt.Errorf("kernel %s: %w", plan.Kernel.Name(), err))
	}
	l := &lowered{module: m, partials: make([]memory, len(plan.Sums)), sums: make([]memory, len(plan.Sums))}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	for i := range m.Launches {
		info := &m.Launches[i]
		fn, err := module.Function(info.Entry)
		if err != nil {
			return nil, d.check(err)
		}
		perUnit, err := fn.MaxActiveBlocksPerMultiProcessor(info.Threads, 0)
		if err != nil {
			return nil, d.check(err)
		}
		call, err := driver.NewLaunch(fn, len(info.Params))
		if err != nil {
			return nil, &backend.Error{Device: d.name, Err: err}
		}
		l.launches = append(l.launches, launch{Launch: info, call: call, most: max(1, perUnit) * d.units})
	}
	return l, nil
}

// close frees the launches; the memory is the device's.
func (l *lowered) close() {
	if l != nil {
		for i := range l.launches {
			l.launches[i].call.Close()
		}
	}
}

func (p *program) close() {
	p.narrow.close()
	p.wide.close()
}

func (p *program) Plan() *kernels.Plan { return p.plan }

func (p *program) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	d := p.dev
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	l, err := p.begin(rows, cols, inputs, outputs)
	if err != nil {
		return err
	}
	defer p.end(inputs, outputs)
	return p.start(l, rows, cols, inputs, outputs)
}

// begin checks a run and makes room for it. Until end, its buffers are held and
// nobody else starts the program.
func (p *program) begin(rows, cols int, inputs, outputs []backend.Buffer) (*lowered, error) {
	if err := backend.CheckRun(p.dev, p.plan, rows, cols, inputs, outputs); err != nil {
		return nil, err
	}
	if err := p.hold(inputs, outputs); err != nil {
		return nil, err
	}
	p.mu.Lock()
	l, err := p.prepare(rows, cols)
	if err != nil {
		p.end(inputs, outputs)
		return nil, err
	}
	return l, nil
}

func (p *program) end(inputs, outputs []backend.Buffer) {
	p.mu.Unlock()
	release(inputs, outputs)
}

// hold holds the buffers of a run until release. One that is closed, or only
// looks like ours, is an error.
func (p *program) hold(inputs, outputs []backend.Buffer) error {
	if i, err := holdAll(inputs); err != nil {
		return p.refuse(p.plan.Kernel.InputName(i), err)
	}
	if i, err := holdAll(outputs); err != nil {
		releaseAll(inputs)
		return p.refuse(p.plan.Kernel.OutputName(i), err)
	}
	return nil
}

func (p *program) refuse(name string, err error) error {
	return &backend.Error{Device: p.dev.name, Err: fmt.Errorf("kernel %s: buffer of %s: %w", p.plan.Kernel.Name(), name, err)}
}

func release(inputs, outputs []backend.Buffer) {
	releaseAll(inputs)
	releaseAll(outputs)
}

// holdAll holds all of the buffers, or none and says which one cannot be held.
func holdAll(buffers []backend.Buffer) (int, error) {
	for i, b := range buffers {
		if b == nil {
			continue
		}
		err := backend.ErrForeign
		if own, ok := bufferOf(b); ok {
			if own.hold() {
				continue
			}
			err = backend.ErrClosed
		}
		releaseAll(buffers[:i])
		return i, err
	}
	return 0, nil
}

func releaseAll(buffers []backend.Buffer) {
	for _, b := range buffers {
		if b != nil {
			own, _ := bufferOf(b)
			own.piece.release()
		}
	}
}

// prepare chooses the width of indices and makes room for the scratch memory.
func (p *program) prepare(rows, cols int) (*lowered, error) {
	l := p.narrow
	if ptx.NeedsWide(rows, cols) {
		if p.wide == nil {
			p.dev.compile.Lock()
			wide, err := p.dev.lower(p.plan, true)
			p.dev.compile.Unlock()
			if err != nil {
				return nil, err
			}
			p.wide = wide
		}
		l = p.wide
	}
	for i := range l.partials {
		n := l.module.PartialsLen(i, rows, cols)
		if err := p.dev.grow(&l.partials[i], 8*n, false); err != nil {
			return nil, err
		}
	}
	for _, i := range l.module.ScratchSums {
		n := p.plan.Sums[i].Kind.Len(rows, cols)
		if err := p.dev.grow(&l.sums[i], n*p.plan.Signature.DType.Size(), false); err != nil {
			return nil, err
		}
	}
	for i := range l.launches {
		if err := p.dev.grow(&l.launches[i].control, l.launches[i].ControlBytes(rows, cols), true); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// grow makes sure of that many bytes of scratch memory. What was there before
// is not given back: a recording may still use it. Where there is room it at
// least doubles, so that this is no more than as much again.
func (d *device) grow(m *memory, bytes int, zero bool) error {
	if uint64(bytes) <= m.bytes {
		return nil
	}
	larger, err := d.allocate(max(uint64(bytes), 2*m.bytes, 256), false)
	if errors.Is(err, backend.ErrMemory) {
		larger, err = d.allocate(uint64(bytes), false)
	}
	if err != nil {
		return err
	}
	if zero {
		if err := d.clear(larger); err != nil {
			return err
		}
	}
	*m = larger
	return nil
}

// start gives the launches to the stream.
func (p *program) start(l *lowered, rows, cols int, inputs, outputs []backend.Buffer) error {
	for i := range l.launches {
		run := &l.launches[i]
		for j, param := range run.Params {
			switch param.Role {
			case ptx.Operand:
				run.call.SetPointer(j, pointer(inputs[param.Index]))
			case ptx.Result:
				run.call.SetPointer(j, pointer(outputs[param.Index]))
			case ptx.Sum:
				run.call.SetPointer(j, l.sums[param.Index].ptr)
			case ptx.Partials:
				run.call.SetPointer(j, l.partials[param.Index].ptr)
			case ptx.Control:
				run.call.SetPointer(j, run.control.ptr)
			case ptx.Rows:
				run.call.SetUint64(j, uint64(rows))
			case ptx.Cols:
				run.call.SetUint64(j, uint64(cols))
			}
		}
		blocks := min(run.Blocks(rows, cols), run.most)
		run.call.Configure([3]int{blocks, 1, 1}, [3]int{run.Threads, 1, 1}, 0)
		if err := run.call.Run(p.dev.stream); err != nil {
			return p.dev.check(fmt.Errorf("kernel %s: %w", p.plan.Kernel.Name(), err))
		}
	}
	return nil
}

// pointer is the memory of a buffer that is held.
func pointer(b backend.Buffer) cu.DevicePtr {
	own, _ := bufferOf(b)
	return own.at
}
