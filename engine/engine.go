// Package engine lets tensors of gorgonia.org/tensor compute on a device. A program
// that has tensors needs one line more, and no other is changed:
//
//	eng, err := engine.Open("")                      // the best device
//	t := tensor.New(tensor.WithEngine(eng), ...)     // instead of without
//
// The device computes Add, Sub, Mul, Div, comparisons, Neg, Abs, Sign, Sqrt, Square,
// Exp, Log, Tanh, Clamp and Sum of float32 and float64, also in place, with a number,
// and with tensor's WithReuse and WithIncr. All else, other types, tensors that are not
// contiguous and short ones are for tensor.StdEng, which the engine contains.
package engine

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/kernels"
)

// Engine is a tensor.Engine whose operations a device computes. It may be used by
// any number of goroutines.
type Engine struct {
	tensor.StdEng
	dev   backend.Device
	host  backend.Borrower
	owned bool // the device is closed with the engine
	own   tensor.ConsOpt

	calls sync.Pool // of *call
}

// New makes an engine on an open device, which must be able to compute in the
// host's memory: those of package cpu are.
func New(dev backend.Device) (*Engine, error) {
	if dev == nil {
		return nil, fmt.Errorf("engine: %w: an open device is wanted, such as backend.Open gives", backend.ErrForeign)
	}
	host, ok := dev.(backend.Borrower)
	if !ok {
		return nil, fmt.Errorf("engine: device %s cannot compute in the host's memory, where tensors are", dev.Name())
	}
	e := &Engine{dev: dev, host: host}
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

// Close closes the device that Open has opened. Tensors keep their memory, and what
// they compute from then on is an error.
func (e *Engine) Close() error {
	if !e.owned {
		return nil
	}
	return e.dev.Close()
}

// Device is where the engine computes.
func (e *Engine) Device() backend.Device { return e.dev }

// least is how many elements a tensor has at least for the device to be quicker at
// an operation that moves memory; functions have leastOf. With fewer, it takes longer
// to get there.
const least, leastOf = 1024, 256

// The operations of StdEng.
type (
	stdOne    = func(e tensor.StdEng, a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error)
	stdTwo    = func(e tensor.StdEng, a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error)
	stdScalar = func(e tensor.StdEng, t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error)
)

func (e *Engine) ofOne(op *operation, std stdOne, a tensor.Tensor, opts []tensor.FuncOpt) (tensor.Tensor, error) {
	if d := plain(a, op.least); d != nil {
		c := e.begin(d, opts)
		defer e.end(c)
		c.array(d)
		if r, err := c.run(op); r != nil || err != nil {
			return r, err
		}
	}
	return std(e.StdEng, a, opts...)
}

func (e *Engine) ofTwo(op *operation, std stdTwo, a, b tensor.Tensor, opts []tensor.FuncOpt) (tensor.Tensor, error) {
	if err := op.check(a, opts); err != nil {
		return nil, err
	}
	if x := plain(a, op.least); x != nil {
		if y := plain(b, op.least); y != nil && alike(x, y) {
			c := e.begin(x, opts)
			defer e.end(c)
			c.array(x)
			c.array(y)
			if r, err := c.run(op); r != nil || err != nil {
				return r, err
			}
		}
	}
	r, err := std(e.StdEng, a, b, opts...)
	if op.compares {
		return e.mine(r, err)
	}
	return r, err
}

func (e *Engine) withScalar(op *operation, std stdScalar, t tensor.Tensor, s any, leftTensor bool, opts []tensor.FuncOpt) (tensor.Tensor, error) {
	if err := op.check(t, opts); err != nil {
		return nil, err
	}
	if d := plain(t, op.least); d != nil {
		c := e.begin(d, opts)
		defer e.end(c)
		if leftTensor {
			c.array(d)
		}
		ok := c.number(s)
		if !leftTensor {
			c.array(d)
		}
		if ok {
			if r, err := c.run(op); r != nil || err != nil {
				return r, err
			}
		}
	}
	r, err := std(e.StdEng, t, s, leftTensor, opts...)
	if op.compares {
		return e.mine(r, err)
	}
	return r, err
}

// Clamp is tensor.Clamp.
func (e *Engine) Clamp(a tensor.Tensor, low, high any, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	if d := plain(a, clamp.least); d != nil {
		c := e.begin(d, opts)
		defer e.end(c)
		c.array(d)
		_, lowTensor := low.(tensor.Tensor) // which StdEng refuses
		_, highTensor := high.(tensor.Tensor)
		if !lowTensor && !highTensor && c.number(low) && c.number(high) {
			if r, err := c.run(clamp); r != nil || err != nil {
				return r, err
			}
		}
	}
	return e.StdEng.Clamp(a, low, high, opts...)
}

var optsPool = sync.Pool{New: func() any { return new(tensor.OpOpt) }}

// check finds comparisons into tensors of another type than their results have,
// which StdEng takes for memory of that type.
func (op *operation) check(a tensor.Tensor, opts []tensor.FuncOpt) error {
	if !op.compares || len(opts) == 0 {
		return nil
	}
	o := optsPool.Get().(*tensor.OpOpt)
	for _, opt := range opts {
		opt(o)
	}
	to, incr := o.IncrReuse()
	same := o.Same()
	*o = tensor.OpOpt{}
	optsPool.Put(o)
	if d, ok := to.(*tensor.Dense); ok && d == nil {
		return nil // StdEng knows whether it is wanted
	}
	want := tensor.Bool
	if same {
		want = a.Dtype()
	}
	switch {
	case incr:
		return fmt.Errorf("engine: %s: a comparison adds to nothing: WithReuse and AsSameType are for it", op.name)
	case to != nil && to.Dtype() != want:
		return fmt.Errorf("engine: %s: the tensor to reuse holds %v, the result %v; AsSameType is for results of the operands' type", op.name, to.Dtype(), want)
	}
	return nil
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

// plain is the tensor, if the device computes with it: floats, one after the other,
// and enough of them. A slice of a transposed tensor may say that its elements are so
// when its memory has others between them.
func plain(t tensor.Tensor, least int) *tensor.Dense {
	d, ok := t.(*tensor.Dense)
	if !ok || d.DataSize() < least || d.RequiresIterator() || !d.IsNativelyAccessible() ||
		d.Dtype() != tensor.Float32 && d.Dtype() != tensor.Float64 || d.DataSize() != d.Shape().TotalSize() {
		return nil
	}
	return d
}

// alike reports whether elements of the same index are in the same place.
func alike(a, b *tensor.Dense) bool {
	return a.Dtype() == b.Dtype() && a.Shape().Eq(b.Shape()) && a.DataOrder().HasSameOrder(b.DataOrder())
}

// call is an operation under way. Calls are kept, so that one allocates nothing.
type call struct {
	engine *Engine
	dtype  kernels.DType
	like   *tensor.Dense // what the result is like
	opts   tensor.OpOpt

	kinds   [kernels.MaxInputs]kernels.Kind
	n       int                                  // operands so far
	buffers [2][maxOperands + 1]backend.Borrowed // by the type; the last is the result's
	inputs  [maxOperands]backend.Buffer
	output  [1]backend.Buffer
	numbers [maxOperands]float64        // room for operands that are numbers
	at      [maxOperands]unsafe.Pointer // where the operands are
}

// maxOperands is how many operands an operation has at most: those of clamp, and z.
const maxOperands = 4

// begin starts a call whose result is like t.
func (e *Engine) begin(t *tensor.Dense, opts []tensor.FuncOpt) *call {
	c, ok := e.calls.Get().(*call)
	if !ok {
		c = &call{engine: e}
	}
	c.dtype, c.like, c.n = dtypeOf(t), t, 0
	for _, opt := range opts {
		opt(&c.opts)
	}
	return c
}

// end lets go of all memory.
func (e *Engine) end(c *call) {
	for _, b := range c.buffers[typeIndex(c.dtype)] {
		if b != nil && b.Len() > 0 {
			b.Borrow(nil, 0)
		}
	}
	c.like, c.opts = nil, tensor.OpOpt{}
	clear(c.kinds[:c.n])
	clear(c.inputs[:])
	clear(c.at[:])
	e.calls.Put(c)
}

func dtypeOf(t *tensor.Dense) kernels.DType {
	if t.Dtype() == tensor.Float32 {
		return kernels.F32
	}
	return kernels.F64
}

func typeIndex(d kernels.DType) int { return d.Size()/4 - 1 }

func memoryOf(t *tensor.Dense) unsafe.Pointer {
	if t.Dtype() == tensor.Float32 {
		return unsafe.Pointer(unsafe.SliceData(t.Float32s()))
	}
	return unsafe.Pointer(unsafe.SliceData(t.Float64s()))
}

// array adds a tensor to the operands.
func (c *call) array(t *tensor.Dense) { c.operand(kernels.Full, memoryOf(t), t.DataSize()) }

// number adds a number, or a tensor of one, if it is of the same type.
func (c *call) number(s any) bool {
	at := unsafe.Pointer(&c.numbers[c.n])
	switch s := s.(type) {
	case float32:
		if c.dtype != kernels.F32 {
			return false
		}
		*(*float32)(at) = s
	case float64:
		if c.dtype != kernels.F64 {
			return false
		}
		*(*float64)(at) = s
	case *tensor.Dense:
		if s.DataSize() > 1 || !s.IsNativelyAccessible() || !s.IsScalar() || s.Dtype() != c.like.Dtype() {
			return false
		}
		// A copy, since the result may be written over it.
		if c.dtype == kernels.F32 {
			*(*float32)(at) = s.Float32s()[0]
		} else {
			*(*float64)(at) = s.Float64s()[0]
		}
	default:
		return false
	}
	c.operand(kernels.Scalar, at, 1)
	return true
}

func (c *call) operand(kind kernels.Kind, first unsafe.Pointer, n int) {
	c.kinds[c.n], c.at[c.n] = kind, first
	c.inputs[c.n] = c.borrow(c.n, first, n)
	c.n++
}

// borrow is buffer i with the memory, or nil if the device has none to give.
func (c *call) borrow(i int, first unsafe.Pointer, n int) backend.Buffer {
	b := &c.buffers[typeIndex(c.dtype)][i]
	if *b == nil {
		made, err := c.engine.host.NewBorrowed(c.dtype)
		if err != nil {
			return nil
		}
		*b = made
	}
	if (*b).Borrow(first, n) != nil {
		return nil
	}
	return *b
}

// run computes the operation. Without a result and an error it is for StdEng.
func (c *call) run(op *operation) (tensor.Tensor, error) {
	to, incr := c.opts.IncrReuse()
	if op.compares && c.opts.Safe() && !c.opts.Same() {
		return nil, nil // the result is one of bools
	}
	kernel := op.kernel
	var result *tensor.Dense
	switch {
	case to != nil:
		if result = plain(to, op.least); result == nil || !alike(result, c.like) {
			return nil, nil
		}
		if incr {
			c.array(result)
			kernel = op.incr
		}
	case !c.opts.Safe():
		result = c.like
	default:
		result = c.newLike()
	}
	if c.overlaps(result) {
		return nil, nil
	}
	c.output[0] = c.borrow(maxOperands, memoryOf(result), result.DataSize())
	sig := kernels.Signature{DType: c.dtype, Kinds: c.kinds}
	program, err := c.engine.dev.Compile(kernel, sig)
	if err == nil {
		err = program.Run(1, result.DataSize(), c.inputs[:c.n], c.output[:])
	}
	if err != nil {
		return nil, fmt.Errorf("engine: %s: %w", op.name, err)
	}
	return result, nil
}

// overlaps reports whether elements of the result are others of an operand: what
// becomes of these is for StdEng to say, which goes from the first to the last.
func (c *call) overlaps(result *tensor.Dense) bool {
	to, size := uintptr(memoryOf(result)), uintptr(result.MemSize())
	for i, at := range c.at[:c.n] {
		if from := uintptr(at); c.kinds[i] == kernels.Full && from != to && from < to+size && to < from+size {
			return true
		}
	}
	return false
}

// newLike makes the tensor of a result.
func (c *call) newLike() *tensor.Dense {
	if c.like.DataSize() <= copied {
		d := c.like.Clone().(*tensor.Dense)
		c.engine.own(d)
		return d
	}
	shape := c.like.Shape().Clone() // which NewDense keeps
	if c.like.DataOrder().IsColMajor() {
		return tensor.NewDense(c.like.Dtype(), shape, c.engine.own, tensor.AsFortran(nil))
	}
	return tensor.NewDense(c.like.Dtype(), shape, c.engine.own)
}

// copied is up to how many elements a clone, though it copies them, is as quick as a
// new tensor, which package tensor makes in more pieces.
const copied = 1 << 14

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
		if d := plain(t, least); d != nil {
			return e.total(d)
		}
		return e.mine(e.StdEng.Sum(t, along...))
	}
	d := plain(t, 1) // StdEng fails on columns that are not rows
	if d == nil {
		return e.mine(e.StdEng.Sum(t, along...))
	}
	// From the last on, so that the numbers of the others stay.
	axes := slices.Clone(along)
	slices.Sort(axes)
	if len(slices.Compact(slices.Clone(axes))) < len(axes) {
		return nil, fmt.Errorf("engine: sum along axes %v, one of them twice", along)
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
	c := e.begin(d, nil)
	defer e.end(c)
	at := unsafe.Pointer(&c.numbers[0])
	if err := c.reduce(sum, memoryOf(d), 1, d.DataSize(), at, 1); err != nil {
		return nil, err
	}
	if c.dtype == kernels.F32 {
		return tensor.New(tensor.FromScalar(*(*float32)(at)), e.own), nil
	}
	return tensor.New(tensor.FromScalar(*(*float64)(at)), e.own), nil
}

// along is the sum along an axis: of blocks of as many rows as the axis is long, the
// columns of each.
func (e *Engine) along(d *tensor.Dense, axis int) (tensor.Tensor, error) {
	c := e.begin(d, nil)
	defer e.end(c)
	shape := slices.Delete(slices.Clone([]int(d.Shape())), axis, axis+1)
	blocks, rows, cols := tensor.Shape(shape[:axis]).TotalSize(), d.Shape()[axis], tensor.Shape(shape[axis:]).TotalSize()
	opts := []tensor.ConsOpt{tensor.Of(d.Dtype()), tensor.WithShape(shape...), e.own}
	if d.DataOrder().IsColMajor() {
		blocks, cols = cols, blocks
		opts = append(opts, tensor.AsFortran(nil))
	}
	result := tensor.New(opts...)
	if rows*cols < least {
		if c.dtype == kernels.F32 {
			short(result.Float32s(), d.Float32s(), blocks, rows, cols)
		} else {
			short(result.Float64s(), d.Float64s(), blocks, rows, cols)
		}
		return result, nil
	}
	for i := range blocks {
		from, to := unsafe.Add(memoryOf(d), i*rows*cols*c.dtype.Size()), unsafe.Add(memoryOf(result), i*cols*c.dtype.Size())
		var err error
		if cols == 1 {
			err = c.reduce(sum, from, 1, rows, to, 1)
		} else {
			err = c.reduce(columns, from, rows, cols, to, cols)
		}
		if err != nil {
			return nil, err
		}
	}
	return result, nil
}

// short adds the columns of blocks that are too short for the device.
func short[T kernels.Float](dst, src []T, blocks, rows, cols int) {
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

// reduce computes a sum of rows x cols elements to n at to.
func (c *call) reduce(kernel *kernels.Kernel, from unsafe.Pointer, rows, cols int, to unsafe.Pointer, n int) error {
	c.n = 0
	c.operand(kernels.Full, from, rows*cols)
	c.output[0] = c.borrow(maxOperands, to, n)
	program, err := c.engine.dev.Compile(kernel, kernels.Signature{DType: c.dtype, Kinds: c.kinds})
	if err == nil {
		err = program.Run(rows, cols, c.inputs[:1], c.output[:])
	}
	if err != nil {
		return fmt.Errorf("engine: %s: %w", kernel.Name(), err)
	}
	return nil
}
