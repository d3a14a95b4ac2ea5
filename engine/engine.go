// Package engine lets tensors of gorgonia.org/tensor compute on a device. A program
// that has tensors needs one line more, and no other is changed:
//
//	eng, err := engine.Open("")                      // the best device
//	t := tensor.New(tensor.WithEngine(eng), ...)     // instead of without
//
// The device computes Add, Sub, Mul, Div, comparisons, Neg, Abs, Sign, Sqrt, Square,
// Exp, Log, Tanh, Clamp and Sum of float32 and float64, also in place, with a number,
// and with tensor's WithReuse and WithIncr. All else, other types, tensors that are not
// contiguous and, on a CPU, short ones are for tensor.StdEng, which the engine contains.
//
// A GPU has memory of its own, to which the operands are copied for each operation, and
// the result back. Tensors that [Engine.Place] gives are there already. The host reaches
// them, too: they are read, printed and given to StdEng's operations like any other.
package engine

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/internal/dense"
	"errorcell/internal/lend"
	"errorcell/kernels"
)

// Engine is a tensor.Engine whose operations a device computes. It may be used by
// any number of goroutines.
type Engine struct {
	tensor.StdEng
	dev    backend.Device
	lender *lend.Lender
	local  bool           // the device computes in Go's memory
	sharer backend.Sharer // else, where it has memory that the host reaches
	owned  bool           // the device is closed with the engine
	own    tensor.ConsOpt

	calls sync.Pool // of *call

	mu     sync.Mutex
	placed map[uintptr][]byte // memory of tensors, by the address
	closed bool
}

// New makes an engine on an open device, which is to stay open as long as tensors that
// Place has made are used.
func New(dev backend.Device) (*Engine, error) {
	if dev == nil {
		return nil, fmt.Errorf("engine: %w: an open device is wanted, such as backend.Open gives", backend.ErrForeign)
	}
	e := &Engine{dev: dev, lender: lend.New(dev), placed: map[uintptr][]byte{}}
	e.sharer, _ = dev.(backend.Sharer)
	if _, borrows := dev.(backend.Borrower); borrows && e.sharer == nil {
		e.local = true
	}
	e.own = tensor.WithEngine(e)
	return e, nil
}

// Open opens a device for an engine, which closes it: see [backend.Open] for the spec.
func Open(spec string) (*Engine, error) {
	dev, err := backend.Open(spec)
	if err != nil {
		return nil, err
	}
	e, err := New(dev)
	if err != nil {
		dev.Close()
		return nil, err
	}
	e.owned = true
	return e, nil
}

// Close closes the device that Open has opened. What tensors compute on it from then on
// is an error. Their memory stays, that of placed ones as well: until they are freed, the
// device is closed to the engine's operations only.
func (e *Engine) Close() error {
	if !e.owned {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return e.closeUnused()
}

// closeUnused closes the device once it is to be and no tensor has memory of it.
func (e *Engine) closeUnused() error {
	if !e.closed || len(e.placed) > 0 {
		return nil
	}
	return e.dev.Close()
}

// use fails once the engine is closed.
func (e *Engine) use() error {
	if e.local {
		return nil // where the device itself is
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return e.errClosed()
	}
	return nil
}

func (e *Engine) errClosed() error {
	return &backend.Error{Device: e.dev.Name(), Err: backend.ErrClosed}
}

// Device is where the engine computes.
func (e *Engine) Device() backend.Device { return e.dev }

// least is how many elements a tensor has at least for a CPU to be quicker at adding
// them up, or at two for each of a result. With fewer, it takes longer to get there
// than StdEng takes. Operations have a number each: what StdEng is slower at is worth
// the way for less.
const least = 2048

// leastColumns is how many elements are worth the way for the sums of columns.
const leastColumns = 1024

// The operations of StdEng.
type (
	stdOne    = func(e tensor.StdEng, a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error)
	stdTwo    = func(e tensor.StdEng, a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error)
	stdScalar = func(e tensor.StdEng, t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error)
)

func (e *Engine) ofOne(op *operation, std stdOne, a tensor.Tensor, opts []tensor.FuncOpt) (tensor.Tensor, error) {
	if !e.few(a, op.least) {
		if x := e.plain(a, op.least); x != nil {
			if r, err := e.compute(op, opts, x, x); r != nil || err != nil {
				return r, err
			}
		}
	}
	return std(e.StdEng, a, opts...)
}

func (e *Engine) ofTwo(op *operation, std stdTwo, a, b tensor.Tensor, opts []tensor.FuncOpt) (tensor.Tensor, error) {
	fresh, err := op.check(a, opts)
	if err != nil {
		return nil, err
	}
	if least := op.from(a); !e.few(a, least) {
		if x, y := e.plain(a, least), e.plain(b, least); x != nil && y != nil && alike(x, y) {
			if r, err := e.compute(op, opts, x, x, y); r != nil || err != nil {
				return r, err
			}
		}
	}
	r, err := std(e.StdEng, a, b, opts...)
	if fresh {
		return e.mine(r, err)
	}
	return r, err
}

func (e *Engine) withScalar(op *operation, std stdScalar, t tensor.Tensor, s any, leftTensor bool, opts []tensor.FuncOpt) (tensor.Tensor, error) {
	fresh, err := op.check(t, opts)
	if err != nil {
		return nil, err
	}
	if least := op.from(t); !e.few(t, least) {
		if x := e.plain(t, least); x != nil {
			operands := [...]any{x, s}
			if !leftTensor {
				operands = [...]any{s, x}
			}
			if r, err := e.compute(op, opts, x, operands[:]...); r != nil || err != nil {
				return r, err
			}
		}
	}
	r, err := std(e.StdEng, t, s, leftTensor, opts...)
	if fresh {
		return e.mine(r, err)
	}
	return r, err
}

// Clamp is tensor.Clamp.
func (e *Engine) Clamp(a tensor.Tensor, low, high any, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	if !e.few(a, clamp.least) {
		_, lowTensor := low.(tensor.Tensor) // which StdEng refuses
		_, highTensor := high.(tensor.Tensor)
		if x := e.plain(a, clamp.least); x != nil && !lowTensor && !highTensor {
			if r, err := e.compute(clamp, opts, x, x, low, high); r != nil || err != nil {
				return r, err
			}
		}
	}
	return e.StdEng.Clamp(a, low, high, opts...)
}

// from is from how many elements on the device computes the operation of a tensor: any
// comparison in column order, the elements of whose columns StdEng gives in a row.
func (op *operation) from(t tensor.Tensor) int {
	if op.truth != nil {
		if d, ok := t.(*tensor.Dense); ok && d != nil && d.DataOrder().IsColMajor() {
			return 1
		}
	}
	return op.least
}

var optsPool = sync.Pool{New: func() any { return new(tensor.OpOpt) }}

// check finds comparisons into tensors of another type than their results have,
// which StdEng takes for memory of that type. Without an error it tells whether the
// result of a comparison is a new tensor.
func (op *operation) check(a tensor.Tensor, opts []tensor.FuncOpt) (fresh bool, err error) {
	if op.truth == nil || len(opts) == 0 {
		return op.truth != nil, nil
	}
	o := optsPool.Get().(*tensor.OpOpt)
	for _, opt := range opts {
		opt(o)
	}
	to, incr := o.IncrReuse()
	same, safe := o.Same(), o.Safe()
	*o = tensor.OpOpt{}
	optsPool.Put(o)
	if d, ok := to.(*tensor.Dense); ok && d == nil {
		return false, nil // StdEng knows whether it is wanted
	}
	want := tensor.Bool
	if same {
		want = a.Dtype()
	}
	switch {
	case incr:
		return false, fmt.Errorf("engine: %s: a comparison adds to nothing: WithReuse and AsSameType are for it", op.name)
	case to != nil && to.Dtype() != want:
		return false, fmt.Errorf("engine: %s: the tensor to reuse holds %v, the result %v; AsSameType is for results of the operands' type", op.name, to.Dtype(), want)
	}
	return safe && to == nil, nil
}

// mine gives the engine to a result of StdEng that it makes with its own, as those
// of comparisons and sums; others are made like an operand.
func (e *Engine) mine(t tensor.Tensor, err error) (tensor.Tensor, error) {
	if d, ok := t.(*tensor.Dense); ok && err == nil {
		if _, std := d.Engine().(tensor.StdEng); std {
			e.own(d)
		}
	}
	return t, err
}

// few reports whether a tensor surely has fewer elements than the device is for. It
// is asked first, so that the way to StdEng is as short as can be.
func (e *Engine) few(t tensor.Tensor, least int) bool {
	d, ok := t.(*tensor.Dense)
	return ok && d != nil && e.local && d.MemSize() < uintptr(least*kernels.F32.Size())
}

// plain is the tensor, if the device computes with it: floats, one after the other,
// and enough of them. A slice of a transposed tensor may say that its elements are so
// when its memory has others between them.
func (e *Engine) plain(t tensor.Tensor, least int) *tensor.Dense {
	if !e.local {
		least = 1
	}
	d, ok := t.(*tensor.Dense)
	if !ok || d == nil || d.DataSize() < least || !inOrder(d) || d.Dtype() != tensor.Float32 && d.Dtype() != tensor.Float64 {
		return nil
	}
	return d
}

func inOrder(d *tensor.Dense) bool {
	return !d.RequiresIterator() && d.IsNativelyAccessible() && d.DataSize() == d.Shape().TotalSize() && dense.IsInOwnOrder(d)
}

// alike reports whether elements of the same index are in the same place.
func alike(a, b *tensor.Dense) bool {
	return a.Dtype() == b.Dtype() && placedAlike(a, b)
}

func placedAlike(a, b *tensor.Dense) bool {
	return a.Shape().Eq(b.Shape()) && a.DataOrder().HasSameOrder(b.DataOrder())
}

// call is an operation under way. Calls are kept, so that one allocates nothing.
type call struct {
	dtype    kernels.DType
	opts     tensor.OpOpt
	n        int // operands so far
	kinds    [kernels.MaxInputs]kernels.Kind
	operands [maxOperands]lend.Memory
	numbers  [maxOperands]float64 // room for operands that are numbers
	result   [1]lend.Memory
}

// maxOperands is how many operands an operation has at most: those of clamp, and z.
const maxOperands = 4

// begin starts a call with operands of a type.
func (e *Engine) begin(dtype kernels.DType) *call {
	c, ok := e.calls.Get().(*call)
	if !ok {
		c = new(call)
	}
	c.dtype = dtype
	return c
}

// end lets go of all memory.
func (e *Engine) end(c *call) {
	*c = call{}
	e.calls.Put(c)
}

func dtypeOf(t *tensor.Dense) kernels.DType {
	switch t.Dtype() {
	case tensor.Float32:
		return kernels.F32
	case tensor.Float64:
		return kernels.F64
	}
	return kernels.B8
}

// memoryOf is where a tensor's elements are.
func memoryOf(t *tensor.Dense) lend.Memory {
	return lend.Memory{DType: dtypeOf(t), First: dense.First(t), Len: t.DataSize()}
}

// operand adds a tensor or a number, if it is of the call's type.
func (c *call) operand(x any) bool {
	if d, ok := x.(*tensor.Dense); ok && d != nil && !d.IsScalar() {
		c.kinds[c.n], c.operands[c.n] = kernels.Full, memoryOf(d)
	} else {
		at := unsafe.Pointer(&c.numbers[c.n])
		if !c.number(x, at) {
			return false
		}
		c.kinds[c.n], c.operands[c.n] = kernels.Scalar, lend.Memory{DType: c.dtype, First: at, Len: 1}
	}
	c.n++
	return true
}

// number writes a number, or that of a tensor of one, to a place. Of a tensor, that is
// a copy, since the result may be written over it.
func (c *call) number(x any, at unsafe.Pointer) bool {
	if d, ok := x.(*tensor.Dense); ok {
		if d == nil || !d.IsNativelyAccessible() {
			return false
		}
		switch d.Dtype() {
		case tensor.Float32:
			x = d.Float32s()[0]
		case tensor.Float64:
			x = d.Float64s()[0]
		}
	}
	switch x := x.(type) {
	case float32:
		*(*float32)(at) = x
		return c.dtype == kernels.F32
	case float64:
		*(*float64)(at) = x
		return c.dtype == kernels.F64
	}
	return false
}

// compute computes an operation of tensors like like and numbers. Without a result and
// an error it is for StdEng.
func (e *Engine) compute(op *operation, opts []tensor.FuncOpt, like *tensor.Dense, operands ...any) (tensor.Tensor, error) {
	c := e.begin(dtypeOf(like))
	defer e.end(c)
	for _, opt := range opts {
		opt(&c.opts)
	}
	for _, x := range operands {
		if !c.operand(x) {
			return nil, nil
		}
	}
	to, incr := c.opts.IncrReuse()
	kernel, dtype := op.kernel, like.Dtype()
	if op.truth != nil && c.opts.Safe() && !c.opts.Same() {
		kernel, dtype = op.truth, tensor.Bool
	}
	var result *tensor.Dense
	switch {
	case to != nil:
		var ok bool
		if result, ok = to.(*tensor.Dense); !ok || result == nil || !inOrder(result) || result.Dtype() != dtype || !placedAlike(result, like) {
			return nil, nil
		}
		if incr {
			c.operand(result)
			kernel = op.incr
		}
	case !c.opts.Safe():
		result = like
	default:
		result = e.newLike(like, dtype)
	}
	memory := memoryOf(result)
	if c.overlaps(memory) {
		return nil, nil
	}
	if err := e.run(c, kernel, 1, memory.Len, memory); err != nil {
		return nil, fmt.Errorf("engine: %s: %w", op.name, err)
	}
	return result, nil
}

// run computes a kernel of the call's operands.
func (e *Engine) run(c *call, kernel *kernels.Kernel, rows, cols int, result lend.Memory) error {
	if err := e.use(); err != nil {
		return err
	}
	program, err := e.dev.Compile(kernel, kernels.Signature{DType: c.dtype, Kinds: c.kinds})
	if err != nil {
		return err
	}
	c.result[0] = result
	return e.lender.Run(program, rows, cols, c.operands[:c.n], c.result[:])
}

// overlaps reports whether elements of the result are others of an operand: what
// becomes of these is for StdEng to say, which goes from the first to the last.
func (c *call) overlaps(result lend.Memory) bool {
	to, size := uintptr(result.First), uintptr(result.Len*result.DType.Size())
	for i, m := range c.operands[:c.n] {
		if from := uintptr(m.First); c.kinds[i] == kernels.Full && from != to && from < to+size && to < from+size {
			return true
		}
	}
	return false
}

// newLike makes the tensor of a result of a type.
func (e *Engine) newLike(t *tensor.Dense, dtype tensor.Dtype) *tensor.Dense {
	if dtype != t.Dtype() || t.IsView() {
		return e.newTensor(dtype, t.Shape().Clone(), t.DataOrder().IsColMajor())
	}
	// With less to allocate than for a new tensor, and without Clone's copy.
	d := t.ShallowClone()
	d.Raw = make([]byte, len(t.Raw))
	e.own(d)
	return d
}

// newTensor makes a tensor, which keeps the shape, in new memory or in some that is there.
func (e *Engine) newTensor(dtype tensor.Dtype, shape tensor.Shape, columnOrder bool, memory ...tensor.ConsOpt) *tensor.Dense {
	opts := append(memory, e.own)
	if columnOrder {
		opts = append(opts, tensor.AsFortran(nil))
	}
	return tensor.NewDense(dtype, shape, opts...)
}

// Sum is tensor.Sum: over all elements, or along axes. The numbers are added in
// float64 in a fixed order and rounded once for each axis, where StdEng rounds each
// time; of few elements, a sum over all is StdEng's.
func (e *Engine) Sum(t tensor.Tensor, along ...int) (tensor.Tensor, error) {
	whole := len(along) == 0
	if !whole && len(along) == t.Dims() {
		rising, byOne := tensor.IsMonotonicInts(along)
		whole = rising && byOne
	}
	if whole {
		if !e.few(t, least) {
			if d := e.plain(t, least); d != nil {
				return e.total(d)
			}
		}
		return e.mine(e.StdEng.Sum(t, along...))
	}
	d := e.plain(t, 1) // StdEng fails on columns that are not rows
	if d == nil {
		return e.mine(e.StdEng.Sum(t, along...))
	}
	// From the last on, so that the numbers of the others stay.
	axes := along
	if len(axes) > 1 {
		axes = slices.Clone(along)
		slices.Sort(axes)
		if len(slices.Compact(slices.Clone(axes))) < len(axes) {
			return nil, fmt.Errorf("engine: sum along axes %v, one of them twice", along)
		}
	}
	var result tensor.Tensor = d
	for i := len(axes) - 1; i >= 0; i-- {
		d := result.(*tensor.Dense)
		if axes[i] < 0 || axes[i] >= d.Dims() {
			return nil, fmt.Errorf("engine: sum along axis %d of a tensor of %d axes", axes[i], d.Dims())
		}
		var err error
		if result, err = e.along(d, axes[i]); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// total is the sum of all elements.
func (e *Engine) total(d *tensor.Dense) (tensor.Tensor, error) {
	c := e.begin(dtypeOf(d))
	defer e.end(c)
	at := unsafe.Pointer(&c.numbers[0])
	c.operand(d)
	if err := e.run(c, sum, 1, d.DataSize(), lend.Memory{DType: c.dtype, First: at, Len: 1}); err != nil {
		return nil, fmt.Errorf("engine: sum: %w", err)
	}
	if c.dtype == kernels.F32 {
		return tensor.New(tensor.FromScalar(*(*float32)(at)), e.own), nil
	}
	return tensor.New(tensor.FromScalar(*(*float64)(at)), e.own), nil
}

// along is the sum along an axis: of blocks of as many rows as the axis is long, the
// columns of each.
func (e *Engine) along(d *tensor.Dense, axis int) (tensor.Tensor, error) {
	c := e.begin(dtypeOf(d))
	defer e.end(c)
	shape := slices.Delete(slices.Clone([]int(d.Shape())), axis, axis+1)
	blocks, rows, cols := tensor.Shape(shape[:axis]).TotalSize(), d.Shape()[axis], tensor.Shape(shape[axis:]).TotalSize()
	if d.DataOrder().IsColMajor() {
		blocks, cols = cols, blocks
	}
	result := e.newTensor(d.Dtype(), shape, d.DataOrder().IsColMajor())
	if n := rows * cols; n < leastColumns || cols == 1 && n < least {
		if c.dtype == kernels.F32 {
			addUp(result.Float32s(), d.Float32s(), blocks, rows, cols)
		} else {
			addUp(result.Float64s(), d.Float64s(), blocks, rows, cols)
		}
		return result, nil
	}
	kernel, grid := columns, [2]int{rows, cols}
	if cols == 1 {
		kernel, grid = sum, [2]int{1, rows}
	}
	c.operand(d)
	from, to := memoryOf(d), memoryOf(result)
	for i := range blocks {
		c.operands[0] = part(from, i*rows*cols, rows*cols)
		if err := e.run(c, kernel, grid[0], grid[1], part(to, i*cols, cols)); err != nil {
			return nil, fmt.Errorf("engine: sum: %w", err)
		}
	}
	return result, nil
}

// part is n elements of memory, from one on.
func part(m lend.Memory, first, n int) lend.Memory {
	return lend.Memory{DType: m.DType, First: unsafe.Add(m.First, first*m.DType.Size()), Len: n}
}

// addUp adds the columns of blocks that are too short for the device.
func addUp[T kernels.Float](dst, src []T, blocks, rows, cols int) {
	if cols == 1 {
		for b := range blocks {
			dst[b] = T(sumOf(src[b*rows:][:rows]))
		}
		return
	}
	for b := range blocks {
		for j := range cols {
			total := 0.0
			for i := range rows {
				total += float64(src[(b*rows+i)*cols+j])
			}
			dst[b*cols+j] = T(total)
		}
	}
}

// sumOf adds up in four running sums, since each addition waits for the one before.
func sumOf[T kernels.Float](x []T) float64 {
	var sums [4]float64
	for ; len(x) >= 4; x = x[4:] {
		sums[0] += float64(x[0])
		sums[1] += float64(x[1])
		sums[2] += float64(x[2])
		sums[3] += float64(x[3])
	}
	for _, v := range x {
		sums[0] += float64(v)
	}
	return (sums[0] + sums[1]) + (sums[2] + sums[3])
}
