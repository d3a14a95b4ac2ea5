package neurons

import (
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/internal/memory"
	"errorcell/kernels"
)

// Recorder keeps what compartments held after the steps of a run. Where the
// host does not reach the device's memory, the device copies a value aside and
// goes on computing while the copy comes to the host.
type Recorder struct {
	every  int
	tracks []*track
	steps  []int

	want    int // how many steps there will be
	copying sync.WaitGroup
	mu      sync.Mutex
	failed  error // of a copy
}

// track is what is kept of one compartment.
type track struct {
	comp  *Compartment
	shape kernels.Shape
	data  samples
	fresh bool // nothing has been kept yet

	ring []*side // values on the way to the host
	next int
}

// samples are the values of a track, in the component's type.
type samples interface {
	reset(values, len int)
	// copy gets value i from the compartment, read from a buffer with a copy.
	copy(i int, c *Compartment) error
	read(i int, buf backend.Buffer) error
	tensor(values int, shape kernels.Shape) *tensor.Dense
}

// side is a copy of a value on the device.
type side struct {
	buf     backend.Buffer
	program backend.Program
	in, out [1]backend.Buffer
	arrived chan struct{} // holds a token while the host is done with it
}

// ringSize is how many values of a compartment are on their way at most.
const ringSize = 4

// NewRecorder makes a recorder of compartments, for [RecordTo]. Of the steps of
// a run it keeps the first and then each that is this many steps later. A value
// must keep its shape during the run: cells that are made with [WithBatchSize]
// have it from the first step on, others may have (1, N) then and (B, N) later.
func NewRecorder(every int, comps ...*Compartment) (*Recorder, error) {
	if every < 1 {
		return nil, &Error{Err: because(ErrArgument, "a recorder of every %d steps: 1 or more is wanted", every)}
	}
	if len(comps) == 0 {
		return nil, &Error{Err: because(ErrArgument, "a recorder of no compartments: at least one is wanted")}
	}
	r := &Recorder{every: every}
	for _, c := range comps {
		if err := c.checkOpen(); err != nil {
			return nil, err
		}
		t := &track{comp: c}
		if c.of.dtype == kernels.F32 {
			t.data = &samplesOf[float32]{}
		} else {
			t.data = &samplesOf[float64]{}
		}
		r.tracks = append(r.tracks, t)
	}
	return r, nil
}

// begin forgets the last run.
func (r *Recorder) begin(steps int) error {
	if r == nil || r.every == 0 {
		return because(ErrArgument, "a nil recorder, or one that NewRecorder has not made")
	}
	r.want = steps / r.every
	if steps%r.every != 0 {
		r.want++
	}
	r.steps, r.failed = r.steps[:0], nil
	for _, t := range r.tracks {
		t.fresh = true
	}
	return nil
}

// step keeps what the compartments hold now.
func (r *Recorder) step(step int) error {
	if step%r.every != 0 {
		return nil
	}
	if len(r.steps) == r.want {
		return because(ErrArgument, "a recorder of two runs at once: each wants one of its own")
	}
	for _, t := range r.tracks {
		if err := r.keep(t, len(r.steps)); err != nil {
			return err
		}
	}
	r.steps = append(r.steps, step)
	return nil
}

func (r *Recorder) keep(t *track, i int) error {
	c := t.comp
	if err := c.checkSet(); err != nil {
		return err
	}
	n := c.shape.Len()
	if t.fresh {
		if n > 0 && r.want > int(memory.Limit()/8)/n {
			return c.fail(because(backend.ErrMemory, "%d values of shape %v are more than this machine's memory holds; record every so many steps, or in several runs", r.want, c.shape))
		}
		t.shape = append(t.shape[:0], c.shape...)
		t.data.reset(r.want, n)
		t.fresh = false
	}
	if !slices.Equal(t.shape, c.shape) {
		return c.fail(because(ErrShape, "its shape has become %v, and the values before it that the recorder has are of shape %v: WithBatchSize or SetBatchSize gives it the same from the first step on", c.shape, t.shape))
	}
	if c.value.content.isUniform() || c.value.buf.Host() != nil {
		return t.data.copy(i, c)
	}
	return c.fail(r.aside(t, i))
}

var aside = define("record", func(k *kernels.Builder) kernels.Value { return k.Input("value") })

// aside copies the value on the device, from where the host gets it while the
// device goes on.
func (r *Recorder) aside(t *track, i int) error {
	a := t.comp.value
	if len(t.ring) < ringSize {
		t.ring = append(t.ring, &side{arrived: make(chan struct{}, 1)})
		t.next = len(t.ring) - 1
		t.ring[t.next].arrived <- struct{}{}
	}
	s := t.ring[t.next]
	t.next = (t.next + 1) % len(t.ring)
	<-s.arrived
	fail := func(err error) error {
		s.arrived <- struct{}{}
		return err
	}
	if s.buf == nil || s.buf.Len() != a.buf.Len() {
		buf, err := t.comp.of.dev.NewBuffer(t.comp.of.dtype, a.buf.Len())
		if err != nil {
			return fail(err)
		}
		if s.buf != nil {
			s.buf.Close()
		}
		s.buf = buf
	}
	if s.program == nil {
		sig := kernels.Signature{DType: t.comp.of.dtype}
		sig.Kinds[0] = kernels.Full
		var err error
		if s.program, err = t.comp.of.dev.Compile(aside, sig); err != nil {
			return fail(err)
		}
	}
	s.in[0], s.out[0] = a.buf, s.buf
	if err := s.program.Run(1, a.buf.Len(), s.in[:], s.out[:]); err != nil {
		return fail(err)
	}
	r.copying.Go(func() {
		defer func() { s.arrived <- struct{}{} }()
		if err := t.data.read(i, s.buf); err != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.failed == nil {
				r.failed = err
			}
		}
	})
	return nil
}

// end waits for what is on the way.
func (r *Recorder) end() error {
	r.copying.Wait()
	for _, t := range r.tracks {
		for _, s := range t.ring {
			if s.buf != nil {
				s.buf.Close() // what failed has been reported
			}
		}
		t.ring = nil
	}
	return r.failed
}

// Steps lists the numbers of the steps that the last run's values are from.
func (r *Recorder) Steps() []int { return slices.Clone(r.steps) }

// Tensor has what a compartment held in the last run: of shape (S, ...), where S
// is the number of steps and the rest the value's own shape. It is of the
// component's element type.
func (r *Recorder) Tensor(c *Compartment) (*tensor.Dense, error) {
	for _, t := range r.tracks {
		if t.comp != c {
			continue
		}
		shape := append(kernels.Shape{len(r.steps)}, t.shape...)
		if t.fresh || shape.Len() == 0 {
			return nil, c.fail(because(ErrAbsent, "nothing was recorded of it"))
		}
		return t.data.tensor(len(r.steps), shape), nil
	}
	return nil, &Error{Err: because(ErrCompartment, "the recorder does not record %v", c)}
}

type samplesOf[T kernels.Float] struct {
	data []T
	len  int // of a value
}

func (s *samplesOf[T]) reset(values, len int) {
	s.data, s.len = make([]T, values*len), len
}

func (s *samplesOf[T]) value(i int) []T { return s.data[i*s.len:][:s.len] }

func (s *samplesOf[T]) copy(i int, c *Compartment) error {
	switch c.value.content { // what is known need not make the device wait
	case zeros:
		fillSlice(s.value(i), 0)
	case ones:
		fillSlice(s.value(i), 1)
	default:
		return copyOut(c, s.value(i))
	}
	return nil
}

func (s *samplesOf[T]) read(i int, buf backend.Buffer) error {
	return backend.Download(buf, s.value(i))
}

func (s *samplesOf[T]) tensor(values int, shape kernels.Shape) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(s.data[:values*s.len])))
}
