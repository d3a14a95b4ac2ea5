package neurons

import (
	"fmt"
	"slices"

	"errorcell/kernels"
)

// group is an op that stands for several, whose steps become one kernel: what
// one computes and the next reads does not go through memory in between, and
// what nobody reads after the group is not written at all.
type group struct {
	ops  []op // what it stands for
	head *component

	joined map[string]*kernels.Kernel // by what was joined

	reads  []*Compartment // before the group writes them
	states []state        // of reads; what follows is made for them
	bound  bool
	apart  bool // the ops cannot be one kernel, with these operands

	work  work
	moves []move   // of what the compartments hold after the group
	held  []*array // of each move that takes a value from before the group
}

// move is what becomes of a compartment.
type move struct {
	comp   *Compartment
	result int          // index of the result that it holds, or -1
	from   *Compartment // else: it takes what this one held before
	known  *array       // else: a constant; and if there is none, it holds nothing
	shape  kernels.Shape
}

// fuse makes groups of neighbouring ops.
func fuse(ops []op) []op {
	var fused, run []op
	flush := func() {
		steps := 0
		for _, o := range run {
			if _, ok := o.(*step); ok {
				steps++
			}
		}
		if steps > 1 {
			fused = append(fused, newGroup(run))
		} else {
			fused = append(fused, run...)
		}
		run = nil
	}
	for _, o := range ops {
		if !fits(run, o) {
			flush()
		}
		switch o.(type) {
		case *step, *share, *consume:
			run = append(run, o)
		default:
			fused = append(fused, o)
		}
	}
	flush()
	return fused
}

// fits reports whether an op may stand in one group with others: it has their
// device and element type, and the operands and results do not become too many.
func fits(run []op, o op) bool {
	switch o.(type) {
	case *step, *share, *consume:
	default:
		return false
	}
	reads, writes := map[*Compartment]bool{}, map[*Compartment]bool{}
	alike := true
	var head *component
	for _, o := range append(slices.Clone(run), o) {
		_, computes := o.(*step)
		o.touches(func(c *Compartment) {
			reads[c] = reads[c] || !writes[c]
		}, func(c *Compartment) {
			writes[c] = true
			if computes {
				if head == nil {
					head = c.of
				}
				alike = alike && c.of.dev == head.dev && c.of.dtype == head.dtype
			}
		})
	}
	inputs := 0
	for _, before := range reads {
		if before {
			inputs++
		}
	}
	return alike && inputs <= kernels.MaxInputs && len(writes) <= kernels.MaxOutputs
}

func newGroup(ops []op) *group {
	g := &group{ops: ops, joined: map[string]*kernels.Kernel{}}
	for _, o := range ops {
		if s, ok := o.(*step); ok && g.head == nil {
			g.head = s.outputs[0].of
		}
	}
	g.reads, _ = touchedBy(ops)
	g.states = make([]state, len(g.reads))
	return g
}

func (g *group) touches(reads, writes func(*Compartment)) {
	for _, o := range g.ops {
		o.touches(reads, writes)
	}
}

func (g *group) copy() op {
	ops := make([]op, len(g.ops))
	for i, o := range g.ops {
		ops[i] = o.copy()
	}
	return newGroup(ops)
}

func (g *group) isBound() bool { return g.bound && areStates(g.states, g.reads) }

func (g *group) apply(q *sequence) error {
	if !q.tried && !g.isBound() {
		if err := g.bind(); err != nil {
			return err
		}
	}
	if g.apart {
		for _, o := range g.ops {
			if err := o.apply(q); err != nil {
				return err
			}
		}
		return nil
	}
	for i, m := range g.moves {
		g.held[i] = nil
		if m.from != nil {
			g.held[i] = m.from.value
			m.from.value.holders++
		}
	}
	if err := g.work.start(q); err != nil {
		g.release()
		return err
	}
	for i, m := range g.moves {
		switch {
		case m.result >= 0:
			m.comp.adopt(g.work.next[m.result], m.shape)
		case m.from != nil:
			m.comp.adopt(g.held[i], m.shape)
		case m.known != nil:
			m.comp.adopt(m.known, m.shape)
		default:
			m.comp.forget()
		}
	}
	g.release()
	return nil
}

func (g *group) release() {
	for i, a := range g.held {
		if a != nil {
			g.head.store.drop(a)
			g.held[i] = nil
		}
	}
}

// bind finds out what the ops come to with operands as they are. Whatever
// speaks against one kernel leaves the ops apart; if something is wrong with
// them, they say so themselves.
func (g *group) bind() error {
	g.bound = false
	noteStates(g.states, g.reads)
	b := binder{group: g, values: map[*Compartment]value{}}
	var err error
	g.apart, err = b.bind()
	if err != nil {
		return g.head.fail(err)
	}
	g.bound = true
	return nil
}

// value is what a compartment holds at some place in a group.
type value struct {
	state
	from    *Compartment    // what this one held before the group,
	operand kernels.Operand // else the result of a part,
	known   *array          // or a constant
}

// binder goes through the ops of a group without doing them.
type binder struct {
	*group
	values map[*Compartment]value
	order  []*Compartment // the keys of values that were written, in order

	parts    []kernels.Part
	steps    []*step             // of which the parts are
	operands [][]kernels.Operand // of the parts
	inputs   []kernels.Input
	sources  []*Compartment
	shapes   [][]kernels.Shape // of each part's results, as its kernel has them
	given    [][]kernels.Shape // and as its compartments get them
}

// bind reports whether the ops must stay apart.
func (b *binder) bind() (apart bool, err error) {
	for _, o := range b.ops {
		ok := true
		switch o := o.(type) {
		case *consume:
			b.write(o.comp, value{})
		case *share:
			v := b.read(o.src)
			ok = v.set
			b.write(o.dst, v)
		case *step:
			ok, err = b.step(o)
		}
		if !ok || err != nil {
			return true, err
		}
	}
	return b.join()
}

func (b *binder) read(c *Compartment) value {
	v, ok := b.values[c]
	if !ok {
		v = value{from: c}
		v.note(c)
		b.values[c] = v
	}
	return v
}

func (b *binder) write(c *Compartment, v value) {
	if !slices.Contains(b.order, c) {
		b.order = append(b.order, c)
	}
	b.values[c] = v
}

// step adds a step as a part. It is false if that cannot be.
func (b *binder) step(s *step) (ok bool, err error) {
	states, shapes := make([]state, len(s.inputs)), make([]kernels.Shape, len(s.inputs))
	for i, c := range s.inputs {
		states[i] = b.read(c).state
		if states[i].set {
			shapes[i] = append(kernels.Shape{}, states[i].shape...) // never nil, of a number neither
		}
	}
	binding, err := s.kernel.Bind(b.head.dtype, shapes...)
	if err != nil {
		return false, nil
	}
	own := make([]kernels.Shape, len(binding.Outputs))
	for i, shape := range binding.Outputs {
		own[i] = slices.Clone(shape)
	}
	if s.adjust != nil && s.adjust(&binding, shapes) != nil {
		return false, nil
	}
	var known *array
	if s.constant != nil {
		if x, ok := s.constant(states); ok {
			if known, err = b.head.store.constant(x); err != nil {
				return false, err
			}
		}
	}
	if known == nil {
		part := kernels.Part{Kernel: s.kernel}
		for i, in := range s.kernel.Inputs() {
			operand, ok := b.operand(in, b.values[s.inputs[i]])
			if !ok {
				return false, nil
			}
			part.Operands = append(part.Operands, operand)
		}
		b.parts, b.steps, b.operands = append(b.parts, part), append(b.steps, s), append(b.operands, part.Operands)
		b.shapes, b.given = append(b.shapes, own), append(b.given, binding.Outputs)
	}
	for i, c := range s.outputs {
		if binding.Signature.Omits(i) {
			continue
		}
		v := value{state: state{set: true, shape: binding.Outputs[i]}, known: known}
		if known != nil {
			v.content = known.content
		} else {
			v.operand = kernels.Operand{Part: len(b.parts) - 1, Index: i}
		}
		b.write(c, v)
	}
	return true, nil
}

// operand is where a part finds a value.
func (b *binder) operand(in kernels.Input, v value) (o kernels.Operand, ok bool) {
	switch {
	case !v.set:
		return kernels.Operand{Part: kernels.Nowhere}, in.Optional
	case v.known != nil:
		return o, false // rare: what ate a mask is read by nobody in the same step
	case v.from == nil:
		// A part that reads a result must see the shape that its kernel has given it.
		o := v.operand
		return o, slices.Equal(b.shapes[o.Part][o.Index], b.given[o.Part][o.Index])
	}
	for i, source := range b.sources {
		if source == v.from && b.inputs[i].Optional == in.Optional && b.inputs[i].Default == in.Default {
			return kernels.Operand{Part: kernels.Outside, Index: i}, true
		}
	}
	in.Name = fmt.Sprintf("x%d", len(b.inputs))
	b.inputs, b.sources = append(b.inputs, in), append(b.sources, v.from)
	return kernels.Operand{Part: kernels.Outside, Index: len(b.inputs) - 1}, true
}

// join makes the kernel and all that the group needs to run it.
func (b *binder) join() (apart bool, err error) {
	g := b.group
	g.moves = g.moves[:0]
	var wanted []kernels.Result
	var outputs []*Compartment
	for _, c := range b.order {
		v := b.values[c]
		m := move{comp: c, result: -1, shape: v.shape}
		switch {
		case !v.set:
		case v.known != nil:
			m.known = v.known
		case v.from != nil:
			if m.from = v.from; m.from == c {
				continue
			}
		default:
			r := kernels.Result(v.operand)
			if m.result = slices.Index(wanted, r); m.result < 0 {
				m.result = len(wanted)
				wanted = append(wanted, r)
				outputs = append(outputs, c)
			}
		}
		g.moves = append(g.moves, m)
	}
	if len(wanted) == 0 || len(wanted) > kernels.MaxOutputs || len(b.inputs) > kernels.MaxInputs {
		return true, nil
	}
	key := fmt.Sprint(b.inputs, b.steps, b.operands, wanted)
	kernel := g.joined[key]
	if kernel == nil {
		if kernel, err = kernels.Join(b.name(), b.inputs, b.parts, wanted); err != nil {
			return true, nil
		}
		kernel = same(kernel)
		g.joined[key] = kernel
	}
	var inputs []*Compartment
	for _, in := range kernel.Inputs() {
		i := slices.IndexFunc(b.inputs, func(other kernels.Input) bool { return other.Name == in.Name })
		inputs = append(inputs, b.sources[i])
	}
	shapes, err := shapesOf(kernel, inputs)
	if err != nil {
		return true, nil
	}
	binding, err := kernel.Bind(b.head.dtype, shapes...)
	if err != nil {
		return true, nil
	}
	g.work = newWork(inputs, outputs)
	for i, r := range wanted {
		if !slices.Equal(binding.Outputs[i], b.shapes[r.Part][r.Index]) {
			return true, nil
		}
		g.work.results[i].len = binding.Outputs[i].Len()
	}
	g.held = make([]*array, len(g.moves))
	return false, g.work.bind(b.head.dev, kernel, binding)
}

// name is made of those of the parts, for tools that show which kernel runs.
func (b *binder) name() string {
	name := b.parts[0].Kernel.Name()
	for _, p := range b.parts[1:] {
		name += "_" + p.Kernel.Name()
	}
	return name
}
