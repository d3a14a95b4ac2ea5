//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"sync"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
)

// recordedRun is a run that can be started again and again.
type recordedRun struct {
	program         *program
	lowered         *lowered
	rows, cols      int
	inputs, outputs []backend.Buffer
}

// Record is backend.Recorder's: the runs become one CUDA graph. Their scratch
// memory is allocated before, since a capture must not allocate.
func (d *device) Record(runs []backend.Run) (backend.Recording, error) {
	noted, err := d.note(runs)
	if err != nil {
		return nil, err
	}
	// What others gave to the stream meanwhile would become part of the graph.
	if err := d.enterAlone(); err != nil {
		return nil, err
	}
	defer d.leaveAlone()
	exec, err := d.capture(noted)
	if err != nil {
		return nil, err
	}
	g := &graph{dev: d, exec: exec, runs: noted}
	d.graphs.add(g)
	return g, nil
}

// note makes all runs ready.
func (d *device) note(runs []backend.Run) ([]recordedRun, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.leave()
	noted := make([]recordedRun, len(runs))
	for i, r := range runs {
		p, ok := r.Program.(*program)
		if !ok || p.dev != d {
			return nil, &backend.Error{Device: d.name, Err: fmt.Errorf("run %d of a recording: its program: %w", i, backend.ErrForeign)}
		}
		l, err := p.begin(r.Rows, r.Cols, r.Inputs, r.Outputs)
		if err != nil {
			return nil, err
		}
		inputs, outputs := asTheyAre(r.Inputs), asTheyAre(r.Outputs)
		p.end(r.Inputs, r.Outputs)
		noted[i] = recordedRun{p, l, r.Rows, r.Cols, inputs, outputs}
	}
	return noted, nil
}

// asTheyAre are buffers with the memory that the given ones have now, whatever
// those borrow later.
func asTheyAre(buffers []backend.Buffer) []backend.Buffer {
	fixed := make([]backend.Buffer, len(buffers))
	for i, b := range buffers {
		if b != nil {
			own, _ := bufferOf(b)
			now := *own
			fixed[i] = &now
		}
	}
	return fixed
}

func (d *device) capture(runs []recordedRun) (cu.ExecGraph, error) {
	none := cu.ExecGraph{}
	if err := driver.BeginCapture(d.stream); err != nil {
		return none, d.check(err)
	}
	var failed error
	for _, r := range runs {
		if failed = r.start(); failed != nil {
			break
		}
	}
	captured, err := driver.EndCapture(d.stream)
	if err == nil {
		defer captured.Destroy()
	}
	if failed != nil || err != nil {
		return none, errors.Join(failed, d.check(err))
	}
	exec, err := driver.Instantiate(captured)
	if err != nil {
		return none, d.check(err)
	}
	if err := driver.UploadGraph(exec, d.stream); err != nil {
		return none, errors.Join(d.check(err), exec.Destroy())
	}
	return exec, nil
}

// start gives the run to the stream.
func (r recordedRun) start() error {
	if err := r.program.hold(r.inputs, r.outputs); err != nil {
		return err
	}
	defer release(r.inputs, r.outputs)
	r.program.mu.Lock()
	defer r.program.mu.Unlock()
	return r.program.start(r.lowered, r.rows, r.cols, r.inputs, r.outputs)
}

// graph is a recorded sequence of runs.
type graph struct {
	dev  *device
	exec cu.ExecGraph
	runs []recordedRun

	mu     sync.Mutex
	closed bool
}

func (g *graph) Run() error {
	if err := g.dev.enter(); err != nil {
		return err
	}
	defer g.dev.leave()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return &backend.Error{Device: g.dev.name, Err: backend.ErrClosed}
	}
	// The graph has the addresses in it: the buffers must be those still.
	for i, r := range g.runs {
		if err := r.program.hold(r.inputs, r.outputs); err != nil {
			g.release(i)
			return err
		}
	}
	defer g.release(len(g.runs))
	return g.dev.check(driver.LaunchGraph(g.exec, g.dev.stream))
}

// release ends the holds of the first runs.
func (g *graph) release(runs int) {
	for _, r := range g.runs[:runs] {
		release(r.inputs, r.outputs)
	}
}

func (g *graph) Close() error {
	if err := g.dev.enter(); err != nil {
		return nil // it ends with its device
	}
	defer g.dev.leave()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	g.dev.graphs.remove(g)
	return g.dev.check(g.exec.Destroy())
}

// graphs are those of a device that are not closed.
type graphs struct {
	mu   sync.Mutex
	open map[*graph]bool
}

func (s *graphs) add(g *graph) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*graph]bool{}
	}
	s.open[g] = true
}

func (s *graphs) remove(g *graph) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, g)
}

// close destroys them.
func (s *graphs) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for g := range s.open {
		errs = append(errs, g.exec.Destroy())
	}
	clear(s.open)
	return errors.Join(errs...)
}
