package neurons

import (
	"errors"
	"fmt"
	"slices"

	"errorcell/backend"
	"errorcell/kernels"
)

// sequence is ops that are done as a whole: all of them, or none if one cannot
// be. Those of a method are one, and so are those of a process.
type sequence struct {
	ops []op
	dev backend.Device

	reads   []*Compartment // before they are written
	touched []*Compartment
	entry   []state // of reads, when the ops were last tried out; nil before
	tried   bool    // reads are like that now, so that each op is as it was then
	saved   []saved

	queue   []launch
	started bool // of the runs that were noted since the ops began, some have started
	awaited bool // there are ops that wait for what those before them compute
	replays replays
}

// launch is a run that is to be started.
type launch struct {
	of *component // whose it is, for errors
	backend.Run
}

// saved is what a compartment held.
type saved struct {
	value *array
	was   array // the value itself, which may have become another since
	shape []int
}

func newSequence(dev backend.Device, ops []op) *sequence {
	s := &sequence{ops: ops, dev: dev}
	s.reads, s.touched = touchedBy(ops)
	s.saved = make([]saved, len(s.touched))
	return s
}

// touchedBy are the compartments that ops read before they write them, and all
// that they read or write.
func touchedBy(ops []op) (reads, all []*Compartment) {
	written := map[*Compartment]bool{}
	touch := func(c *Compartment) {
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	for _, o := range ops {
		o.touches(func(c *Compartment) {
			if !written[c] && !slices.Contains(reads, c) {
				reads = append(reads, c)
			}
			touch(c)
		}, func(c *Compartment) {
			written[c] = true
			touch(c)
		})
	}
	return reads, all
}

// run does the ops. When it fails, every compartment is as it was, but for a
// device that fails at what it has been computing before without complaint, or
// that refuses to go on when it has begun.
func (s *sequence) run() error {
	if s.tried = s.isTried(); !s.tried || s.awaited {
		return s.keep()
	}
	err := s.repeat()
	if errors.Is(err, backend.ErrMemory) && !s.started {
		if err = s.trim(); err == nil {
			err = s.repeat()
		}
	}
	if err != nil && s.started {
		s.entry = nil // to find out what that has come to, and how to go on
	}
	return err
}

// repeat does ops that were tried, in place where that can be. Runs are only noted
// at first: until they start no number has changed, and a failure can be undone.
func (s *sequence) repeat() error {
	for i, c := range s.touched {
		s.save(i)
		if c.value != nil {
			s.saved[i].was = *c.value
		}
	}
	s.started = false
	err := s.perform()
	switch {
	case err == nil:
	case s.started:
		s.flush() // what is before the failure has been done
	default:
		s.undo()
	}
	s.queue = s.queue[:0]
	return err
}

// save notes what the compartment touched[i] holds.
func (s *sequence) save(i int) {
	c := s.touched[i]
	s.saved[i].value, s.saved[i].shape = c.value, append(s.saved[i].shape[:0], c.shape...)
}

// undo gives the compartments the arrays that they had. Those may have been free
// in the meantime, or another's.
func (s *sequence) undo() {
	for _, c := range s.touched {
		c.forget()
		c.of.store.unused = nil // there may be arrays in it that come back
	}
	for i, c := range s.touched {
		was := &s.saved[i]
		if was.value == nil {
			continue
		}
		for _, other := range s.touched {
			other.of.store.withdraw(was.was.buf)
		}
		*was.value = was.was
		c.value, c.shape = was.value, append(c.shape[:0], was.shape...)
	}
}

// isTried reports whether the ops were tried out on operands like these.
func (s *sequence) isTried() bool { return s.entry != nil && areStates(s.entry, s.reads) }

func (s *sequence) perform() error {
	for _, o := range s.ops {
		err := o.apply(s)
		if errors.Is(err, backend.ErrMemory) && (s.started || s.awaited || !s.tried) {
			if err = errors.Join(s.flush(), s.trim()); err == nil {
				err = o.apply(s)
			}
		}
		if err != nil {
			return err
		}
	}
	return s.flush()
}

// keep does ops of which one may fail when others have been computed: for the first
// time, or with some that wait. Meanwhile all that there was is kept, so that it can
// be put back: nothing is computed in place.
func (s *sequence) keep() error {
	entry := s.entry
	if !s.tried {
		entry = make([]state, len(s.reads))
		noteStates(entry, s.reads)
	}
	for i, c := range s.touched {
		s.save(i)
		if c.value != nil {
			c.value.holders++
		}
	}
	s.entry, s.awaited = nil, s.awaited && s.tried
	err := s.perform()
	s.queue = s.queue[:0]
	for i, c := range s.touched {
		was := s.saved[i]
		s.saved[i].value = nil
		switch {
		case err != nil && was.value != nil:
			c.adopt(was.value, was.shape)
		case err != nil:
			c.forget()
		}
		if was.value != nil {
			c.of.store.drop(was.value)
		}
	}
	if !s.tried || err != nil {
		if trimmed := s.trim(); err == nil {
			err = trimmed
		}
	}
	if err == nil {
		s.entry = entry
	}
	return err
}

// await starts the runs that were noted, for an op that needs what they compute or
// the memory that they use.
func (s *sequence) await() error {
	s.awaited = true
	return s.flush()
}

// trim gives back memory of sizes that may not come again.
func (s *sequence) trim() error {
	var last *store // most have one
	for _, c := range s.touched {
		if c.of.store == last {
			continue
		}
		if last = c.of.store; last != nil {
			if err := last.trim(); err != nil {
				return c.of.fail(err)
			}
		}
	}
	return nil
}

// launch notes a run that is to be started.
func (s *sequence) launch(of *component, run backend.Run) {
	s.queue = append(s.queue, launch{of, run})
}

// flush starts the runs that were noted.
func (s *sequence) flush() error {
	if s.tried && len(s.queue) > 1 {
		if done, err := s.replays.run(s.dev, s.queue); done {
			s.queue, s.started = s.queue[:0], true
			return err
		}
	}
	n, err := start(s.queue)
	s.started = s.started || n > 0
	s.queue = slices.Delete(s.queue, 0, n)
	return err
}

// start starts runs, and counts those that it could start.
func start(queue []launch) (n int, err error) {
	for n := range queue {
		l := &queue[n]
		if err := l.Program.Run(l.Rows, l.Cols, l.Inputs, l.Outputs); err != nil {
			return n, l.of.fail(err)
		}
	}
	return len(queue), nil
}

// close gives back what the sequence keeps of the device's. It may be called on
// a nil sequence.
func (s *sequence) close() error {
	if s == nil {
		return nil
	}
	return s.replays.close()
}

// method is what a component can do, by ngc-learn's name for it.
type method struct {
	name   string
	before func(t, dt float64) error // what depends on the time; nil if nothing does
	ops    []op

	own *sequence // for calls of the method alone
}

// does adds a method.
func (c *component) does(name string, ops ...op) *method {
	m := &method{name: name, ops: ops, own: newSequence(c.dev, ops)}
	c.methods = append(c.methods, m)
	return m
}

// method finds a method by ngc-learn's name for it, nil if there is none.
func (c *component) method(name string) *method {
	for _, m := range c.methods {
		if m.name == name {
			return m
		}
	}
	return nil
}

// Methods lists what a process can call, by ngc-learn's names.
func (c *component) Methods() []string {
	names := make([]string, len(c.methods))
	for i, m := range c.methods {
		names[i] = m.name
	}
	return names
}

// call calls a method alone, without the wires.
func (c *component) call(m *method, t, dt float64) error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	if m.before != nil {
		if err := m.before(t, dt); err != nil {
			return c.fail(err)
		}
	}
	return c.fail(m.own.run())
}

// share is an op by which dst takes the value of src, without a copy.
type share struct{ dst, src *Compartment }

func (o *share) touches(reads, writes func(*Compartment)) { reads(o.src); writes(o.dst) }
func (o *share) copy() op                                 { return &share{o.dst, o.src} }

func (o *share) apply(*sequence) error {
	if err := o.src.checkSet(); err != nil {
		return o.dst.fail(fmt.Errorf("wire from %w", err)) // which names the source
	}
	o.dst.adopt(o.src.value, o.src.shape)
	return nil
}

// consume is an op that leaves a compartment without a value.
type consume struct{ comp *Compartment }

func (o *consume) touches(_, writes func(*Compartment)) { writes(o.comp) }
func (o *consume) copy() op                             { return &consume{o.comp} }
func (o *consume) apply(*sequence) error                { o.comp.forget(); return nil }

// fill is an op that makes all numbers of a compartment x.
type fill struct {
	comp  *Compartment
	shape appendShape
	x     float64
	room  kernels.Shape // for the shape
}

// appendShape appends a shape, of a batch as it is now, to another.
type appendShape func(to kernels.Shape) kernels.Shape

func (o *fill) touches(_, writes func(*Compartment)) { writes(o.comp) }
func (o *fill) copy() op                             { return &fill{comp: o.comp, shape: o.shape, x: o.x} }

func (o *fill) apply(*sequence) error {
	o.room = o.shape(o.room[:0])
	return o.comp.setAll(o.room, o.x)
}

// fills are ops that make all numbers of compartments x, 0 or 1. The store keeps
// those; another would be written at once, maybe to memory that a run needs which is
// only noted.
func (c *component) fills(x float64, shape appendShape, comps ...*Compartment) []op {
	ops := make([]op, len(comps))
	for i, comp := range comps {
		ops[i] = &fill{comp: comp, shape: shape, x: x}
	}
	return ops
}
