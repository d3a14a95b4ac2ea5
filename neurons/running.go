package neurons

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// run is how [Process.Run] goes.
type run struct {
	from      float64
	each      []func(step int) error
	recorders []*Recorder
	progress  func(done, steps int)
}

// RunOption is a setting of [Process.Run].
type RunOption func(*run)

// From is the time t of the first step; 0 without it.
func From(t float64) RunOption { return func(r *run) { r.from = t } }

// EachStep calls f after every step with its number, from 0 on, when recorders
// have what they want of it. What f sets, the next step reads. An error of f ends
// the run and comes back from it. A compartment that f reads makes the run wait
// for the device; a [Recorder] does not. A nil f is not called.
func EachStep(f func(step int) error) RunOption {
	return func(r *run) {
		if f != nil {
			r.each = append(r.each, f)
		}
	}
}

// RecordTo lets a recorder copy its compartments after every step that it wants.
// A recorder is of one run at a time.
func RecordTo(rec *Recorder) RunOption {
	return func(r *run) {
		if !slices.Contains(r.recorders, rec) {
			r.recorders = append(r.recorders, rec)
		}
	}
}

// OnProgress calls f with the number of steps done and of all, some times a
// second and at the end: for a progress bar.
func OnProgress(f func(done, steps int)) RunOption { return func(r *run) { r.progress = f } }

// progressEvery is how often progress is told.
const progressEvery = 100 * time.Millisecond

// Run runs the process a number of times and waits for the device to be done. dt
// is the length of a step, and step i is given the time t = i*dt; see [From].
//
// Run ends early with an error when ctx is cancelled, between two steps (the error
// is context.Cause(ctx)), or when a step, a callback or a recorder fails. The
// compartments then have the values of the last step that was completed, whose
// number the error tells; the next Run goes on from there.
func (p *Process) Run(ctx context.Context, steps int, dt float64, opts ...RunOption) error {
	if err := p.checkOpen(); err != nil {
		return err
	}
	// A callback may close the context.
	dev, circuit := p.context.dev, p.context.name
	fail := func(err error) error { return &Error{Component: circuit, Compartment: p.name, Err: err} }
	switch {
	case ctx == nil:
		return fail(because(ErrArgument, "the context.Context is nil: context.Background() is never cancelled"))
	case steps < 0:
		return fail(because(ErrArgument, "a run of %d steps: 0 or more are wanted", steps))
	}
	var r run
	for _, opt := range opts {
		if opt == nil {
			return fail(because(ErrArgument, "an option is nil"))
		}
		opt(&r)
	}
	for _, rec := range r.recorders {
		if err := rec.begin(steps); err != nil {
			return fail(err)
		}
	}
	done, err := p.run(ctx, steps, dt, &r)
	for _, rec := range r.recorders {
		if e := rec.end(); err == nil {
			err = e
		}
	}
	if e := dev.Sync(); err == nil {
		err = e
	}
	if r.progress != nil {
		r.progress(done, steps)
	}
	if err != nil {
		return fail(fmt.Errorf("after %d of %d steps: %w", done, steps, err))
	}
	return nil
}

func (p *Process) run(ctx context.Context, steps int, dt float64, r *run) (done int, err error) {
	told := time.Now()
	for i := range steps {
		if ctx.Err() != nil {
			return i, context.Cause(ctx)
		}
		if err := p.Step(r.from+float64(i)*dt, dt); err != nil {
			return i, err
		}
		for _, rec := range r.recorders {
			if err := rec.step(i); err != nil {
				return i + 1, err
			}
		}
		for _, f := range r.each {
			if err := f(i); err != nil {
				return i + 1, err
			}
		}
		if r.progress != nil && time.Since(told) >= progressEvery {
			r.progress(i+1, steps)
			told = time.Now()
		}
	}
	return steps, nil
}
