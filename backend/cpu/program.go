package cpu

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"errorcell/backend"
	"errorcell/backend/cpu/internal/simd"
	"errorcell/kernels"
)

// maxIdle is how many frames a program keeps: as many runs at once allocate
// nothing once warm.
const maxIdle = 16

// program is a compiled plan.
type program[T kernels.Float] struct {
	dev    *device
	plan   *kernels.Plan
	kit    *kit[T]
	passes []pass[T]
	// straight is, for each sum, the result that it is, which it is written to
	// straight away, or -1.
	straight []int

	// The frames of earlier runs are kept, so that a run allocates nothing: one
	// where it is found at once, and more for runs side by side.
	last atomic.Pointer[frame[T]]
	mu   sync.Mutex
	idle []*frame[T]
}

func compile[T kernels.Float](d *device, k *kit[T], plan *kernels.Plan) *program[T] {
	p := &program[T]{dev: d, plan: plan, kit: k}
	p.straight = slices.Repeat([]int{-1}, len(plan.Sums))
	for _, ps := range plan.Passes {
		copies := 0
		for _, st := range ps.Stores {
			if n := ps.Nodes[st.Node]; n.Op == kernels.OpReduced && p.straight[n.Index] < 0 {
				p.straight[n.Index] = st.Output
				copies++
			}
		}
		if copies < len(ps.Stores) || len(ps.Sums) > 0 {
			p.passes = append(p.passes, compilePass(k, plan, ps))
		}
	}
	return p
}

func (p *program[T]) Plan() *kernels.Plan { return p.plan }

func (p *program[T]) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	if err := p.dev.enter(); err != nil {
		return err
	}
	defer p.dev.leave()
	f := p.take()
	defer p.give(f)
	if !f.bind(rows, cols, inputs, outputs) {
		return p.refuse(rows, cols, inputs, outputs)
	}
	for i := range p.passes {
		if ps := &p.passes[i]; ps.single != nil {
			f.evaluate(ps)
		} else {
			f.execute(ps)
		}
	}
	return nil
}

// refuse says why arguments that cannot be bound are wrong.
func (p *program[T]) refuse(rows, cols int, inputs, outputs []backend.Buffer) error {
	if err := backend.CheckRun(p.dev, p.plan, rows, cols, inputs, outputs); err != nil {
		return err
	}
	for i, b := range slices.Concat(inputs, outputs) {
		own, ok := bufferOf(b)
		if b == nil || ok && own.array.Load() != nil {
			continue
		}
		name, reason := "", backend.ErrForeign // somebody's wrapper of a buffer
		if ok {
			reason = backend.ErrClosed
		}
		if i < len(inputs) {
			name = p.plan.Kernel.InputName(i)
		} else {
			name = p.plan.Kernel.OutputName(i - len(inputs))
		}
		return &backend.Error{Device: p.dev.name, Err: fmt.Errorf("kernel %s: buffer of %s: %w", p.plan.Kernel.Name(), name, reason)}
	}
	// Closed while it was looked at: whoever does that has no claim to a result.
	return &backend.Error{Device: p.dev.name, Err: fmt.Errorf("kernel %s: %w", p.plan.Kernel.Name(), backend.ErrClosed)}
}

// take is a frame that nobody uses.
func (p *program[T]) take() *frame[T] {
	if f := p.last.Swap(nil); f != nil {
		return f
	}
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
	f.release()
	if p.last.CompareAndSwap(nil, f) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < maxIdle {
		p.idle = append(p.idle, f)
	}
}

// release lets go of the buffers: an idle frame must not keep their memory.
func (f *frame[T]) release() {
	clear(f.arrays[:len(f.arrays)-len(f.partials)])
	clear(f.truths)
	for i, to := range f.program.straight {
		if to >= 0 {
			f.arrays[len(f.arrays)-len(f.partials)+i] = nil
		}
	}
	for i := range f.spaces[:f.workers] {
		w := &f.spaces[i]
		if w.call.N > 0 {
			w.call = simd.Call{}
		}
		if w.viewed {
			clear(w.views)
			w.viewed = false
		}
	}
	f.workers = 1
}

// frame is the state of one run.
type frame[T kernels.Float] struct {
	program    *program[T]
	rows, cols int
	arrays     [][]T                 // of the buffers of the run, and of the plan's sums: in parts,
	results    [][]T                 // the kernel's results, nil where they are truth values,
	operands   [][]T                 // its inputs, then the sums
	truths     [][]byte              // the results that are truth values, nil where they are not
	bound      []uintptr             // which buffers the operands and results are; 0 for none
	lens       [kernels.Full + 1]int // the elements of an array by its kind
	partials   [][]float64           // of each sum: a block's each, or a column's of each row of tiles
	spaces     []workspace[T]        // one for each thread
	workers    int                   // how many of them may have taken part in the run

	values []T // of a pass of one element

	// What is under way.
	pass      *pass[T]
	elements  int // of the pass
	width     int // its columns
	cut       cut // of a pass that sums over the batch
	streaming bool
	table     []int32 // for the kit's repeat, if tableCols is the width
	tableCols int
}

// workspace is what one thread writes during a run.
type workspace[T kernels.Float] struct {
	views   [][]T // of each place: the values of the block
	viewed  bool  // they hold something
	scratch []T
	counts  []float64 // of each sum of the pass
	tile    tile
	ready   *pass[T] // whose scratch blocks are filled
	call    simd.Call
}

func newFrame[T kernels.Float](p *program[T]) *frame[T] {
	f := &frame[T]{
		program:  p,
		arrays:   make([][]T, len(p.plan.Outputs)+p.plan.Kernel.NumInputs()+len(p.plan.Sums)),
		truths:   make([][]byte, len(p.plan.Outputs)),
		bound:    make([]uintptr, p.plan.Kernel.NumInputs()+len(p.plan.Outputs)),
		partials: make([][]float64, len(p.plan.Sums)),
		spaces:   make([]workspace[T], p.dev.pool.threads),
	}
	f.workers = 1
	f.results, f.operands = f.arrays[:len(p.plan.Outputs)], f.arrays[len(p.plan.Outputs):]
	return f
}

// space is the workspace of a worker, made when it first takes part.
func (f *frame[T]) space(worker int) *workspace[T] {
	w := &f.spaces[worker]
	if w.views == nil {
		var places, scratch, sums, batch int
		for _, ps := range f.program.passes {
			places, scratch, sums = max(places, len(ps.places)), max(scratch, ps.slots*ps.slotLen()), max(sums, len(ps.sums))
			if ps.batch {
				batch = max(batch, len(ps.sums))
			}
		}
		*w = workspace[T]{
			views:   make([][]T, places),
			scratch: make([]T, scratch),
			counts:  make([]float64, sums),
			tile:    tile{sums: make([]float64, batch*tileLevels*tileColumns)},
		}
	}
	return w
}

// slotLen is the length of a scratch block: a span, and as much again to begin
// reading a repeated row at each of its elements.
func (p *pass[T]) slotLen() int { return 2 * p.span }

// bind looks up the memory of the buffers. It is false where anything is not
// as [backend.CheckRun] wants it, or a buffer is closed.
func (f *frame[T]) bind(rows, cols int, inputs, outputs []backend.Buffer) bool {
	plan := f.program.plan
	most, elements := bits.Mul64(uint64(rows), uint64(cols))
	if rows < 0 || cols < 0 || most > 0 || elements > math.MaxInt/8 ||
		len(inputs) != plan.Kernel.NumInputs() || len(outputs) != len(f.results) {
		return false
	}
	f.rows, f.cols = rows, cols
	f.lens = [...]int{kernels.Scalar: 1, kernels.Row: cols, kernels.Column: rows, kernels.Full: int(elements)}
	for i, b := range inputs {
		own, ok := lookUp(f, &f.operands[i], b, plan.Signature.DType, plan.Signature.Kinds[i])
		if !ok {
			return false
		}
		f.bound[i] = own
	}
	for i, b := range outputs {
		own, ok := lookUpResult(f, i, b)
		others := f.bound[:len(inputs)+i]
		if !ok || own != 0 && slices.Contains(others, own) {
			return false
		}
		f.bound[len(others)] = own
	}
	for i, s := range plan.Sums {
		sum := &f.operands[len(inputs)+i]
		if to := f.program.straight[i]; to >= 0 {
			*sum = f.results[to]
		} else {
			*sum = grow(*sum, f.lens[s.Kind])
		}
	}
	return true
}

// lookUp finds the memory of a buffer for an operand or result of a kind, and
// tells which buffer it is by its address, which keeps nothing in memory.
func lookUp[T kernels.Float, E elementType](f *frame[T], to *[]E, b backend.Buffer, dtype kernels.DType, kind kernels.Kind) (uintptr, bool) {
	if b == nil {
		return 0, kind == kernels.Absent
	}
	own, ok := bufferOf(b)
	if !ok || kind == kernels.Absent || own.dev != f.program.dev ||
		own.dtype != dtype || own.len != f.lens[kind] {
		return 0, false
	}
	*to, ok = elements[E](own)
	return uintptr(unsafe.Pointer(own)), ok
}

func lookUpResult[T kernels.Float](f *frame[T], i int, b backend.Buffer) (uintptr, bool) {
	plan := f.program.plan
	if dtype := plan.OutputDType(i); dtype != kernels.B8 {
		return lookUp(f, &f.results[i], b, dtype, plan.Outputs[i])
	}
	return lookUp(f, &f.truths[i], b, kernels.B8, plan.Outputs[i])
}

// grow is a slice of n elements, s itself where it is large enough.
func grow[E any](s []E, n int) []E {
	if cap(s) >= n {
		return s[:n]
	}
	return make([]E, n)
}

// evaluate computes a pass of one element.
func (f *frame[T]) evaluate(ps *pass[T]) {
	f.values = grow(f.values, len(ps.Nodes))
	for i := range ps.Nodes {
		n := &ps.Nodes[i]
		switch n.Op {
		case kernels.OpInput:
			f.values[i] = f.operands[n.Index][0]
		case kernels.OpReduced:
			f.values[i] = f.operands[f.program.plan.Kernel.NumInputs()+n.Index][0]
		case kernels.OpConst:
			f.values[i] = T(n.Const)
		default:
			// An operation ignores the arguments that it does not have.
			f.values[i] = ps.single[i]([3]T{f.values[n.Args[0]], f.values[n.Args[1]], f.values[n.Args[2]]})
		}
	}
	for _, st := range ps.Stores {
		if x := f.values[st.Node]; ps.Nodes[st.Node].Type == kernels.Bool {
			f.truths[st.Output][0] = byte(x)
		} else {
			f.results[st.Output][0] = x
		}
	}
}

// execute runs a pass and completes its sums.
func (f *frame[T]) execute(ps *pass[T]) {
	rows, cols := ps.Kind.Extent(f.rows, f.cols)
	f.pass, f.elements, f.width = ps, rows*cols, cols
	pool, parts := f.program.dev.pool, 1
	if pool.threads > 1 {
		parts = min(pool.threads, f.elements/f.program.dev.minPart)
	}
	units := (f.elements + kernels.BlockSize - 1) / kernels.BlockSize
	if ps.batch {
		f.cut = newCut(rows, cols, parts)
		units = f.cut.tiles()
	}
	for _, s := range ps.sums {
		n := 0
		switch {
		case ps.batch && f.cut.down > 1:
			n = f.cut.down * cols
		case !ps.batch && !s.exact:
			n = units
		}
		f.partials[s.index] = grow(f.partials[s.index], n)
	}
	f.streaming = f.streams()
	if ps.repeats && f.tableCols != cols {
		f.table, f.tableCols = f.program.kit.table(f.table[:0], cols), cols
	}
	f.workers = max(f.workers, parts)
	for i := range f.spaces[:f.workers] {
		f.spaces[i].ready = nil
	}
	pool.do(f, units, parts)
	for i, s := range ps.sums {
		f.complete(s, i)
	}
}

// streams reports whether results should go past the caches: they do where
// what a pass reads and writes takes more than three quarters of the last of
// them, so that little of it would be found there again. That wants aligned
// memory, which buffers and the edges of parts are, but not all that is borrowed.
// What takes the place of an operand is in the cache already.
func (f *frame[T]) streams() bool {
	ps, cache := f.pass, f.program.dev.cache
	if f.elements*ps.traffic*f.program.plan.Signature.DType.Size() <= cache-cache/4 {
		return false
	}
	inputs := f.operands[:f.program.plan.Kernel.NumInputs()]
	for _, r := range f.results {
		to := unsafe.SliceData(r)
		if uintptr(unsafe.Pointer(to))%align != 0 ||
			slices.ContainsFunc(inputs, func(x []T) bool { return to != nil && unsafe.SliceData(x) == to }) {
			return false
		}
	}
	if ps.fused != nil {
		return ps.fused.Streaming != nil
	}
	// The groups of a sum over the batch begin anywhere.
	return f.program.kit.stream != nil && !ps.batch
}

// complete makes the result of a sum from what the parts have left.
func (f *frame[T]) complete(s sum[T], index int) {
	to := f.operands[f.program.plan.Kernel.NumInputs()+s.index]
	switch {
	case f.elements == 0:
		clear(to)
	case f.pass.batch && f.cut.down > 1:
		f.program.kit.foldRows(f.partials[s.index], f.width)
		f.program.kit.round(to, f.partials[s.index])
	case f.pass.batch: // what a tile adds up is the sum
	case s.exact:
		var total float64
		for i := range f.spaces[:f.workers] {
			if w := &f.spaces[i]; w.ready == f.pass {
				total += w.counts[index]
			}
		}
		to[0] = T(total)
	default:
		to[0] = T(kernels.FoldPairs(f.partials[s.index]))
	}
}

// run computes some units of the pass.
func (f *frame[T]) run(worker, first, end int) {
	w := f.space(worker)
	if w.ready != f.pass {
		w.ready = f.pass
		clear(w.counts)
		if f.pass.slots > 0 {
			f.fill(w)
		}
	}
	if f.pass.batch {
		for i := first; i < end; i++ {
			f.addTile(w, i)
		}
		return
	}
	// A block of the tree is one thread's.
	first, end = first*kernels.BlockSize, min(end*kernels.BlockSize, f.elements)
	for start := first; start < end; start += f.pass.span {
		f.block(w, start, min(f.pass.span, end-start))
	}
	if f.streaming && f.pass.fused == nil {
		f.program.kit.fence()
	}
}

// fill writes the scratch blocks that stay the same for all blocks.
func (f *frame[T]) fill(w *workspace[T]) {
	n := min(f.pass.span, f.elements)
	for i := range f.pass.places {
		p := &f.pass.places[i]
		switch p.source {
		case constant:
			f.program.kit.fill(f.slot(w, p)[:n], T(p.value))
		case scalar:
			f.program.kit.fill(f.slot(w, p)[:n], f.operands[p.index][0])
		case row:
			if x := f.operands[p.index]; f.repeatsOnce(x) {
				repeatRow(f.slot(w, p)[:n+len(x)], x, 0)
			}
		}
	}
}

// repeatsOnce reports whether a row is so short that its repetition for one
// block, and as much again as it is long, has that for any block in it.
func (f *frame[T]) repeatsOnce(row []T) bool { return len(row) <= f.pass.span && len(row) < f.elements }

func (f *frame[T]) slot(w *workspace[T], p *place) []T {
	n := f.pass.slotLen()
	return w.scratch[p.slot*n:][:n]
}

// block computes n elements of the pass from an element on.
func (f *frame[T]) block(w *workspace[T], start, n int) {
	if f.pass.fused != nil {
		f.call(w, start, n)
		return
	}
	views := w.views
	w.viewed = true
	for i := range f.pass.places {
		views[i] = f.view(w, &f.pass.places[i], start, n)
	}
	for _, s := range f.pass.steps {
		s.loop(views[s.dst], views[s.a], views[s.b], views[s.c])
	}
	for _, t := range f.pass.truths {
		t.loop(f.truths[t.output][start:][:n], views[t.a], views[t.b])
	}
	for i, s := range f.pass.sums {
		x := views[s.place]
		switch {
		case f.pass.batch:
			f.addBatch(w.tile.level(i), x, start%f.width-w.tile.col)
		case s.exact:
			w.counts[i] += s.count(x)
		default:
			f.partials[s.index][start/kernels.BlockSize] = f.program.kit.sumBlock(x)
		}
	}
	if f.streaming {
		for i := range f.pass.places {
			if p := &f.pass.places[i]; p.source == result {
				f.program.kit.stream(f.results[p.index][start:][:n], views[i])
			}
		}
	}
}

// view is n elements of a place from an element of the pass on.
func (f *frame[T]) view(w *workspace[T], p *place, start, n int) []T {
	switch p.source {
	case operand:
		return f.operands[p.index][start:][:n]
	case element:
		return f.operands[p.index]
	case result:
		if f.streaming {
			return f.slot(w, p)[:n]
		}
		return f.results[p.index][start:][:n]
	case row:
		return f.row(w, p, start, n)
	case column:
		return f.column(w, p, start, n)
	}
	return f.slot(w, p)[:n]
}

// call runs the fused function on a block.
func (f *frame[T]) call(w *workspace[T], start, n int) {
	fused, c := f.pass.fused, &w.call
	c.N = n
	for i, p := range fused.operands {
		c.Operands[i] = unsafe.Pointer(unsafe.SliceData(f.view(w, &f.pass.places[p], start, n)))
	}
	for i, p := range fused.results {
		c.Results[i] = f.to(&f.pass.places[p], start)
	}
	for i, s := range f.pass.sums {
		if s.exact {
			c.Sums[i] = &w.counts[i]
		} else {
			c.Sums[i] = &f.partials[s.index][start/kernels.BlockSize]
		}
	}
	if f.streaming {
		fused.Streaming(c)
	} else {
		fused.Run(c)
	}
}

// to is where a fused function stores a result, from an element of the pass on.
func (f *frame[T]) to(p *place, start int) unsafe.Pointer {
	if p.source == narrowed {
		return unsafe.Pointer(unsafe.SliceData(f.truths[p.index][start:]))
	}
	return unsafe.Pointer(unsafe.SliceData(f.results[p.index][start:]))
}

// row is the view of a row, repeated, from an element of the grid on.
func (f *frame[T]) row(w *workspace[T], p *place, start, n int) []T {
	x := f.operands[p.index]
	if f.repeatsOnce(x) {
		return f.slot(w, p)[start%len(x):][:n]
	}
	return repeatRow(f.slot(w, p)[:n], x, start)
}

// column is the view of a column, repeated along the rows.
func (f *frame[T]) column(w *workspace[T], p *place, start, n int) []T {
	x := f.operands[p.index]
	if f.width == 1 {
		return x[start:][:n]
	}
	dst := f.slot(w, p)[:n]
	f.program.kit.repeat(dst, x, start/f.width, start%f.width, f.width, f.table)
	return dst
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
