package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"errorcell/backend"
	"errorcell/internal/numpy"
)

// slots is how many steps are under way at once: one is read, one computed and
// one written.
const slots = 3

// slot is the memory of one step under way.
type slot struct {
	inputs, outputs []backend.Buffer
	// read and write are the host's side of the buffers: their own memory
	// where the host can reach it, else a copy. By operand and by result.
	read, write [][]float32
}

// stream runs from .npy files to a folder of .npy files, in constant memory.
func (r *stepRun) stream(files map[string]string) error {
	sources, err := r.openStreams(files)
	defer closeStreams(sources)
	if err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return err
	}
	ring, err := r.makeSlots()
	if err != nil {
		return err
	}
	defer r.outputs.discard()
	sinks, err := r.createStreams()
	if err != nil {
		return err
	}
	if err := r.pump(ring, sources, sinks); err != nil {
		return err
	}
	for _, w := range sinks {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if err := r.outputs.commit(); err != nil {
		return err
	}
	return r.summarise()
}

// openStreams opens the operands' files; the streams are in the kernel's order,
// nil for operands that are absent.
func (r *stepRun) openStreams(files map[string]string) ([]*numpy.Stream, error) {
	sources := make([]*numpy.Stream, r.kernel.NumInputs())
	r.operands = make([]operand, r.kernel.NumInputs())
	names := make([]string, r.kernel.NumInputs())
	for _, name := range slices.Sorted(maps.Keys(files)) {
		at := r.kernel.InputIndex(r.cell.operandOf(name))
		if at < 0 {
			return nil, usagef("--%s is no operand of the %s cell, which has %s", name, r.cell.Name, r.cell.fileFlags(r.kernel))
		}
		if names[at] != "" {
			return nil, usagef("--%s and --%s are two names of one operand", names[at], name)
		}
		names[at] = name
	}
	for i, in := range r.kernel.Inputs() {
		if names[i] == "" && !in.Optional {
			return nil, usagef("step needs --%s FILE.npy beside the other operands", in.Name)
		}
	}
	if err := r.openEach(sources, names, files); err != nil {
		return sources, err
	}
	for at, s := range sources {
		if s == nil {
			continue
		}
		name, path := names[at], files[names[at]]
		if s.Header().DType != "<f4" {
			r.note("%s: it was converted from %s to float32", numpy.ShowPath(path), s.Header().DType)
		}
		var err error
		if r.operands[at], err = newOperand(name, path, s.Header().Shape); err != nil {
			return sources, err
		}
	}
	return sources, nil
}

// openEach opens the files all at once: to open a pipe waits for its writer,
// which could be opening another one first. After an error, some may still be
// waiting; they are left to the process's end.
func (r *stepRun) openEach(sources []*numpy.Stream, names []string, files map[string]string) error {
	type opened struct {
		at     int
		stream *numpy.Stream
		err    error
	}
	each := make(chan opened, len(files))
	for at, name := range names {
		if name == "" {
			continue
		}
		go func() {
			s, err := numpy.OpenStream(files[name])
			each <- opened{at, s, err}
		}()
	}
	for range files {
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case o := <-each:
			if o.err != nil {
				return o.err
			}
			sources[o.at] = o.stream
		}
	}
	return nil
}

func closeStreams(sources []*numpy.Stream) {
	for _, s := range sources {
		if s != nil {
			s.Close()
		}
	}
}

// createStreams starts the results' files. Their writers are buffered for the
// sake of small results: L is a number a step.
func (r *stepRun) createStreams() ([]*bufio.Writer, error) {
	if err := r.outputs.makeFolder(r.call.out); err != nil {
		return nil, err
	}
	var sinks []*bufio.Writer
	for _, res := range r.results {
		path := filepath.Join(r.call.out, res.name+".npy")
		f, err := r.outputs.create(path)
		if err != nil {
			return nil, err
		}
		w := bufio.NewWriterSize(f, 64<<10)
		if err := numpy.WriteHeader(w, res.whole); err != nil {
			return nil, fmt.Errorf("%s: %w", numpy.ShowPath(path), err)
		}
		sinks = append(sinks, w)
	}
	return sinks, nil
}

// makeSlots makes the memory for the steps under way. Operands that are held
// for all steps are shared by the slots.
func (r *stepRun) makeSlots() ([]*slot, error) {
	held := make([]backend.Buffer, len(r.operands))
	var ring []*slot
	for range min(slots, max(r.steps, 1)) {
		inputs, outputs, err := r.buffers(held)
		if err != nil {
			return nil, err
		}
		s := &slot{inputs: inputs, outputs: outputs, read: make([][]float32, len(inputs)), write: make([][]float32, len(r.results))}
		for i, o := range r.operands {
			switch {
			case o.held() && ring != nil:
				s.read[i] = ring[0].read[i]
			case o.given():
				s.read[i] = hostSide(inputs[i])
			}
			if o.held() {
				held[i] = inputs[i]
			}
		}
		for i, res := range r.results {
			s.write[i] = hostSide(outputs[res.index])
		}
		ring = append(ring, s)
	}
	return ring, nil
}

// hostSide is where the host reads and writes a buffer.
func hostSide(b backend.Buffer) []float32 {
	if view, ok := backend.View[float32](b); ok {
		return view
	}
	return make([]float32, b.Len())
}

// pump moves every step through the slots: while one is computed, the next is
// read and the last one written.
func (r *stepRun) pump(ring []*slot, sources []*numpy.Stream, sinks []*bufio.Writer) error {
	free, full, done := make(chan *slot, slots), make(chan *slot, slots), make(chan *slot, slots)
	for _, s := range ring {
		free <- s
	}
	var stepBytes int64
	for i, o := range r.operands {
		if o.varies() {
			stepBytes += 4 * int64(len(ring[0].read[i]))
		}
	}
	bar := r.progress("read", stepBytes*int64(r.steps), true)
	defer bar.Close()

	g, ctx := errgroup.WithContext(r.ctx)
	// A read from a pipe could wait for ever when the run has failed elsewhere,
	// or is to stop.
	defer context.AfterFunc(ctx, func() { closeStreams(sources) })()
	g.Go(func() error {
		defer close(full)
		if err := r.read(ring[0], sources, operand.held); err != nil {
			return err
		}
		if err := r.upload(ring[0], operand.held); err != nil {
			return err
		}
		return r.each(ctx, free, full, func(s *slot) error {
			return r.read(s, sources, operand.varies)
		})
	})
	g.Go(func() error {
		defer close(done)
		return r.each(ctx, full, done, func(s *slot) error {
			if err := r.upload(s, operand.varies); err != nil {
				return err
			}
			return r.once(s.inputs, s.outputs)
		})
	})
	g.Go(func() error {
		return r.each(ctx, done, free, func(s *slot) error {
			if err := r.write(s, sinks); err != nil {
				return err
			}
			bar.Add64(stepBytes)
			return nil
		})
	})
	return g.Wait()
}

// read fills the host's side of those operands from their files, and upload
// brings them to the device.
func (r *stepRun) read(s *slot, sources []*numpy.Stream, which func(operand) bool) error {
	for i, o := range r.operands {
		if which(o) {
			if err := sources[i].Read(s.read[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *stepRun) upload(s *slot, which func(operand) bool) error {
	for i, o := range r.operands {
		if which(o) && s.inputs[i].Host() == nil {
			if err := backend.Upload(s.inputs[i], s.read[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// write gets the results from the device and puts them to their files.
func (r *stepRun) write(s *slot, sinks []*bufio.Writer) error {
	for i, res := range r.results {
		if b := s.outputs[res.index]; b.Host() == nil {
			if err := backend.Download(b, s.write[i]); err != nil {
				return err
			}
		}
		if err := numpy.WriteData(sinks[i], s.write[i]); err != nil {
			return err
		}
		r.addLoss(res, s.write[i])
	}
	return nil
}

// each does the work for every step, on the slots that come, and passes them on.
func (r *stepRun) each(ctx context.Context, from <-chan *slot, to chan<- *slot, work func(*slot) error) error {
	for range r.steps {
		var s *slot
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s = <-from:
		}
		if s == nil { // the stage before has failed, and says why
			return nil
		}
		if err := work(s); err != nil {
			return err
		}
		to <- s // there is room for all slots
	}
	return nil
}
