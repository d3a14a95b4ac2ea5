package cpu

import (
	"fmt"
	"math"
	"sync"

	"errorcell/backend"
	"errorcell/kernels"
)

// minPart is the number of elements below which a part is not worth bringing
// another thread in: see docs/performance.md.
const minPart = 4 * kernels.BlockSize

// maxIdle is how many frames a program keeps: as many runs at once allocate
// nothing once warm.
const maxIdle = 16

// program is a compiled plan.
type program[T kernels.Float] struct {
	dev    *device
	plan   *kernels.Plan
	passes []pass[T]

	// idle keeps the frames of earlier runs, so that a run allocates nothing.
	mu   sync.Mutex
	idle []*frame[T]
}

func compile[T kernels.Float](d *device, plan *kernels.Plan) *program[T] {
	p := &program[T]{dev: d, plan: plan}
	for _, ps := range plan.Passes {
		p.passes = append(p.passes, compilePass[T](plan, ps))
	}
	return p
}

func (p *program[T]) Plan() *kernels.Plan { return p.plan }

func (p *program[T]) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	if err := p.dev.enter(); err != nil {
		return err
	}
	defer p.dev.leave()
	if err := backend.CheckRun(p.dev, p.plan, rows, cols, inputs, outputs); err != nil {
		return err
	}
	f := p.take()
	defer p.give(f)
	if err := f.bind(rows, cols, inputs, outputs); err != nil {
		return err
	}
	for i := range p.passes {
		f.execute(&p.passes[i])
	}
	return nil
}

func (p *program[T]) take() *frame[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		f := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return f
	}
	return newFrame(p)
}

func (p *program[T]) give(f *frame[T]) {
	// Let go of the buffers: an idle frame must not keep their memory.
	clear(f.operands[:p.plan.Kernel.NumInputs()])
	clear(f.results)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < maxIdle {
		p.idle = append(p.idle, f)
	}
}

// frame is the state of one run.
type frame[T kernels.Float] struct {
	program    *program[T]
	rows, cols int
	operands   [][]T // the kernel's inputs, then the plan's sums
	results    [][]T
	partials   [][]float64    // of each sum: a block's each, or a column's of each group of rows
	spaces     []workspace[T] // one for each thread

	// What is under way.
	pass     *pass[T]
	elements int // of the pass
	width    int // its columns
}

// workspace is what one thread writes during a run.
type workspace[T kernels.Float] struct {
	views   [][]T // of each place: the values of the block
	scratch []T
	tallies []tally // of each sum of the pass
}

func newFrame[T kernels.Float](p *program[T]) *frame[T] {
	f := &frame[T]{
		program:  p,
		operands: make([][]T, p.plan.Kernel.NumInputs()+len(p.plan.Sums)),
		results:  make([][]T, len(p.plan.Outputs)),
		partials: make([][]float64, len(p.plan.Sums)),
		spaces:   make([]workspace[T], p.dev.pool.threads),
	}
	return f
}

// space is the workspace of a part, made when the part first runs.
func (f *frame[T]) space(part int) *workspace[T] {
	w := &f.spaces[part]
	if w.views == nil {
		var places, slots, sums int
		for _, ps := range f.program.passes {
			places, slots, sums = max(places, len(ps.places)), max(slots, ps.slots), max(sums, len(ps.sums))
		}
		*w = workspace[T]{
			views:   make([][]T, places),
			scratch: make([]T, slots*kernels.BlockSize),
			tallies: make([]tally, sums),
		}
	}
	return w
}

// bind looks up the memory of the buffers.
func (f *frame[T]) bind(rows, cols int, inputs, outputs []backend.Buffer) error {
	f.rows, f.cols = rows, cols
	kernel := f.program.plan.Kernel
	for i, b := range inputs {
		if b == nil {
			continue
		}
		if err := lookUp(f.program, &f.operands[i], b, kernel.InputName(i)); err != nil {
			return err
		}
	}
	for i, b := range outputs {
		if b == nil {
			continue
		}
		if err := lookUp(f.program, &f.results[i], b, kernel.OutputName(i)); err != nil {
			return err
		}
	}
	for i, s := range f.program.plan.Sums {
		sum := &f.operands[kernel.NumInputs()+i]
		*sum = grow(*sum, s.Kind.Len(rows, cols))
	}
	return nil
}

// lookUp finds the memory of the buffer for the operand or result of a name.
func lookUp[T kernels.Float](p *program[T], to *[]T, b backend.Buffer, name string) error {
	reason := backend.ErrForeign // somebody's wrapper of a buffer
	if own, ok := b.(*buffer); ok {
		if *to, ok = elements[T](own); ok {
			return nil
		}
		reason = backend.ErrClosed
	}
	return &backend.Error{Device: p.dev.name, Err: fmt.Errorf("kernel %s: buffer of %s: %w", p.plan.Kernel.Name(), name, reason)}
}

// grow is a slice of n elements, s itself where it is large enough.
func grow[E any](s []E, n int) []E {
	if cap(s) >= n {
		return s[:n]
	}
	return make([]E, n)
}

// execute runs a pass and completes its sums.
func (f *frame[T]) execute(ps *pass[T]) {
	rows, cols := ps.kind.Extent(f.rows, f.cols)
	f.pass, f.elements, f.width = ps, rows*cols, cols
	for _, s := range ps.sums {
		n := 0
		switch {
		case ps.batch:
			n = groups(rows) * cols
		case s.count == nil:
			n = (f.elements + kernels.BlockSize - 1) / kernels.BlockSize
		}
		f.partials[s.index] = grow(f.partials[s.index], n)
		if ps.batch {
			clear(f.partials[s.index])
		}
	}
	parts := min(f.program.dev.pool.threads, f.elements/minPart)
	parts = f.program.dev.pool.do(f, max(parts, 1))
	for i, s := range ps.sums {
		f.complete(s, i, parts)
	}
}

func groups(rows int) int { return (rows + kernels.GroupRows - 1) / kernels.GroupRows }

// complete makes the result of a sum from what the parts have left.
func (f *frame[T]) complete(s sum[T], index, parts int) {
	to := f.operands[f.program.plan.Kernel.NumInputs()+s.index]
	switch {
	case f.pass.batch:
		foldRows(f.partials[s.index], f.width)
		for i := range to {
			to[i] = 0
			if f.elements > 0 {
				to[i] = T(f.partials[s.index][i])
			}
		}
	case s.count == nil:
		to[0] = T(kernels.FoldPairs(f.partials[s.index]))
	default:
		var t tally
		for w := range parts {
			t.add(f.spaces[w].tallies[index])
		}
		to[0] = T(t.sum)
		if t.nan {
			to[0] = T(math.NaN())
		}
	}
}

// foldRows is kernels.FoldPairs for each column of the rows of x.
func foldRows(x []float64, cols int) {
	if cols == 0 {
		return
	}
	for n := len(x) / cols; n > 1; n = (n + 1) / 2 {
		for i := range n / 2 {
			to, a, b := x[i*cols:][:cols], x[2*i*cols:][:cols], x[(2*i+1)*cols:][:cols]
			for j := range to {
				to[j] = a[j] + b[j]
			}
		}
		if n%2 == 1 {
			copy(x[n/2*cols:][:cols], x[(n-1)*cols:][:cols])
		}
	}
}

// run computes a part of the pass: whole blocks of the tree or, for a sum over
// the batch, whole groups of rows.
func (f *frame[T]) run(part, parts int) {
	unit := kernels.BlockSize
	if f.pass.batch {
		unit = max(1, kernels.GroupRows*f.width)
	}
	units := (f.elements + unit - 1) / unit
	first, end := units*part/parts*unit, min(units*(part+1)/parts*unit, f.elements)

	w := f.space(part)
	clear(w.tallies)
	f.fill(w, min(kernels.BlockSize, max(end-first, 0)))
	for start := first; start < end; start += kernels.BlockSize {
		f.block(w, start, min(kernels.BlockSize, end-start))
	}
}

// fill writes the scratch blocks that stay the same for all blocks.
func (f *frame[T]) fill(w *workspace[T], n int) {
	for _, p := range f.pass.places {
		switch p.source {
		case constant:
			fill(w.slot(p.slot)[:n], T(p.value))
		case scalar:
			fill(w.slot(p.slot)[:n], f.operands[p.index][0])
		}
	}
}

func (w *workspace[T]) slot(i int) []T { return w.scratch[i*kernels.BlockSize:][:kernels.BlockSize] }

func fill[T kernels.Float](x []T, v T) {
	for i := range x {
		x[i] = v
	}
}

// block computes n elements of the pass from an element on.
func (f *frame[T]) block(w *workspace[T], start, n int) {
	views := w.views
	for i, p := range f.pass.places {
		switch p.source {
		case operand:
			views[i] = f.operands[p.index][start:][:n]
		case result:
			views[i] = f.results[p.index][start:][:n]
		case row:
			views[i] = repeatRow(w.slot(p.slot)[:n], f.operands[p.index], start)
		case column:
			views[i] = w.slot(p.slot)[:n]
			repeatColumn(views[i], f.operands[p.index], start, f.width)
		default:
			views[i] = w.slot(p.slot)[:n]
		}
	}
	for _, s := range f.pass.steps {
		s.loop(views[s.dst], views[s.a], views[s.b], views[s.c])
	}
	for i, s := range f.pass.sums {
		x := views[s.place]
		switch {
		case f.pass.batch:
			addRows(f.partials[s.index], x, start, f.width)
		case s.count != nil:
			w.tallies[i].add(s.count(x))
		default:
			f.partials[s.index][start/kernels.BlockSize] = sumBlock(x)
		}
	}
}

// repeatRow is the row, repeated, from an element of the grid on: a part of
// the row itself where the block lies within one.
func repeatRow[T kernels.Float](dst, row []T, start int) []T {
	col := start % len(row)
	if col+len(dst) <= len(row) {
		return row[col:][:len(dst)]
	}
	n := copy(dst, row[col:])
	if n < len(dst) {
		n += copy(dst[n:], row)
	}
	// The row is there once whole, from len(row)-col on: double it.
	for whole := len(row) - col; n < len(dst); {
		n += copy(dst[n:], dst[whole:n])
	}
	return dst
}

// repeatColumn writes each number of the column for a whole row, from an
// element of the grid on.
func repeatColumn[T kernels.Float](dst, column []T, start, cols int) {
	row, col := start/cols, start%cols
	for len(dst) > 0 {
		n := min(cols-col, len(dst))
		fill(dst[:n], column[row])
		dst, row, col = dst[n:], row+1, 0
	}
}
