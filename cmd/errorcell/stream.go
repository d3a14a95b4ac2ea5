package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
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
	defer func() {
		for _, s := range sources {
			s.Close()
		}
	}()
	if err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return err
	}
	results := r.results()
	created, err := makeFolder(r.call.out)
	if err != nil {
		return err
	}
	writers, err := r.createStreams(results)
	defer func() {
		r.discard()
		if created {
			os.Remove(r.call.out) // only if it is still empty
		}
	}()
	if err != nil {
		return err
	}
	ring, err := r.makeSlots(sources, results)
	if err != nil {
		return err
	}
	if err := r.pump(ring, sources, results, writers); err != nil {
		return err
	}
	if err := r.outputs.commit(); err != nil {
		return err
	}
	return r.summarise()
}

// openStreams opens the operands' files; the streams are in the kernel's order.
func (r *stepRun) openStreams(files map[string]string) (map[int]*numpy.Stream, error) {
	sources := map[int]*numpy.Stream{}
	r.operands = make([]operand, r.kernel.NumInputs())
	for _, name := range slices.Sorted(maps.Keys(files)) {
		at := r.kernel.InputIndex(r.cell.operandOf(name))
		if at < 0 {
			return sources, usagef("--%s is no operand of the %s cell", name, r.cell.name)
		}
		if r.operands[at].given() {
			return sources, usagef("--%s and --%s are two names of one operand", r.operands[at].name, name)
		}
		s, err := numpy.OpenStream(files[name])
		if err != nil {
			return sources, err
		}
		sources[at] = s
		if s.Header().DType != "<f4" {
			r.note("%s: it is converted from %s to float32", files[name], s.Header().DType)
		}
		if r.operands[at], err = newOperand(name, files[name], s.Header().Shape); err != nil {
			return sources, err
		}
	}
	for i, in := range r.kernel.Inputs() {
		if !r.operands[i].given() && !in.Optional {
			return sources, usagef("step needs --%s FILE.npy beside the other operands", in.Name)
		}
	}
	return sources, nil
}

// makeFolder makes the output's folder if it is not there; its parent must be.
func makeFolder(path string) (created bool, err error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return false, nil
	case err == nil:
		return false, fmt.Errorf("%s: it is a file; the results of .npy files go to a folder", path)
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		if pathErr, ok := err.(*fs.PathError); ok {
			err = pathErr.Err
		}
		return false, fmt.Errorf("%s: the folder cannot be made: %w", path, err)
	}
	return true, nil
}

// createStreams starts the results' files.
func (r *stepRun) createStreams(results []result) ([]*numpy.File, error) {
	var writers []*numpy.File
	for _, res := range results {
		w, err := r.outputs.create(filepath.Join(r.call.out, res.name+".npy"))
		if err != nil {
			return nil, err
		}
		if err := numpy.WriteHeader(w, res.whole); err != nil {
			return nil, err
		}
		writers = append(writers, w)
	}
	return writers, nil
}

// makeSlots makes the memory for the steps under way. Operands that are held
// for all steps are read here, once, and shared by the slots.
func (r *stepRun) makeSlots(sources map[int]*numpy.Stream, results []result) ([]*slot, error) {
	held := make([]backend.Buffer, len(r.operands))
	var ring []*slot
	for range min(slots, max(r.steps, 1)) {
		inputs, outputs, err := r.buffers(held)
		if err != nil {
			return nil, err
		}
		s := &slot{inputs: inputs, outputs: outputs, read: make([][]float32, len(inputs)), write: make([][]float32, len(results))}
		for i, b := range inputs {
			if b != nil {
				s.read[i] = hostSide(b)
			}
		}
		for i, res := range results {
			s.write[i] = hostSide(outputs[res.index])
		}
		if ring == nil {
			for i, o := range r.operands {
				if !o.given() || o.steps > 1 || o.steps < 0 {
					continue
				}
				if err := sources[i].Read(s.read[i]); err != nil {
					return nil, err
				}
				if err := toDevice(inputs[i], s.read[i]); err != nil {
					return nil, err
				}
				held[i] = inputs[i]
			}
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

// toDevice and toHost bring a buffer and its host side together, where they
// are not one.
func toDevice(b backend.Buffer, host []float32) error {
	if b.Host() != nil {
		return nil
	}
	return backend.Upload(b, host)
}

func toHost(b backend.Buffer, host []float32) error {
	if b.Host() != nil {
		return nil
	}
	return backend.Download(b, host)
}

// pump moves every step through the slots: while one is computed, the next is
// read and the last one written.
func (r *stepRun) pump(ring []*slot, sources map[int]*numpy.Stream, results []result, writers []*numpy.File) error {
	free, full, done := make(chan *slot, slots), make(chan *slot, slots), make(chan *slot, slots)
	for _, s := range ring {
		free <- s
	}
	var stepBytes int64
	for i, o := range r.operands {
		if o.steps > 1 {
			stepBytes += 4 * int64(len(ring[0].read[i]))
		}
	}
	bar := r.progress("read", stepBytes*int64(r.steps), true)
	defer bar.Close()

	g, ctx := errgroup.WithContext(r.ctx)
	g.Go(func() error {
		defer close(full)
		return r.each(ctx, free, full, func(s *slot) error {
			for i, o := range r.operands {
				if o.steps > 1 {
					if err := sources[i].Read(s.read[i]); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	g.Go(func() error {
		defer close(done)
		return r.each(ctx, full, done, func(s *slot) error {
			for i, o := range r.operands {
				if o.steps > 1 {
					if err := toDevice(s.inputs[i], s.read[i]); err != nil {
						return err
					}
				}
			}
			return r.once(s.inputs, s.outputs)
		})
	})
	g.Go(func() error {
		return r.each(ctx, done, free, func(s *slot) error {
			for i, res := range results {
				if err := toHost(s.outputs[res.index], s.write[i]); err != nil {
					return err
				}
				if err := numpy.WriteData(writers[i], s.write[i]); err != nil {
					return err
				}
				r.addLoss(res, s.write[i])
			}
			bar.Add64(stepBytes)
			return nil
		})
	})
	return g.Wait()
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
