package neurons

import (
	"cmp"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"errorcell/backend"
	"errorcell/internal/memory"
	"errorcell/kernels"
)

// Compartment is one named array of a component's state, in the memory of the
// component's device. Setting it copies numbers there, reading it copies them
// back after the steps that compute them are complete.
//
// It takes float32 and float64 numbers, whatever the component computes in;
// each number is rounded once. It may hold no value: see [Compartment.IsSet].
type Compartment struct {
	of      *component
	name    string
	absent  string // why it may hold no value
	display string // ngc-learn's display_name
	unit    string // ngc-learn's units

	value   *array        // nil while it holds none
	shape   kernels.Shape // never nil; of the value, if there is one
	wire    *wire         // the last that overwrites it, nil if none does
	watched bool          // what is set is looked at for infinities and NaN
	one     [1]float64    // room for a single number
}

func newCompartment(of *component, name, absent string) *Compartment {
	return &Compartment{of: of, name: name, absent: absent, shape: kernels.Shape{}}
}

// Name is the compartment's name in ngc-learn, such as "mu".
func (c *Compartment) Name() string { return c.name }

// DisplayName is ngc-learn's display_name, for plots and tables, such as
// "Gaussian mean"; where ngc-learn has none it is the name.
func (c *Compartment) DisplayName() string { return cmp.Or(c.display, c.name) }

// Units is ngc-learn's unit of the values, such as "nats"; empty where it has
// none.
func (c *Compartment) Units() string { return c.unit }

// displays sets DisplayName and Units.
func (c *Compartment) displays(name, unit string) *Compartment {
	c.display, c.unit = name, unit
	return c
}

// String is the name of the component and of the compartment, such as "e0.mu".
func (c *Compartment) String() string {
	if c == nil || c.of == nil {
		return "<no compartment>"
	}
	return c.of.name + "." + c.name
}

// IsSet reports whether the compartment holds a value. In a [LaplacianErrorCell]
// that of the modulator is consumed by a step, and that of the loss is absent
// until the first; both are None or missing in ngc-learn. In the other cells
// both have one from the start, until [Compartment.Clear].
func (c *Compartment) IsSet() bool { return c != nil && c.value != nil }

// Shape is the shape of the value, empty for a single number's, and nil if
// there is none.
func (c *Compartment) Shape() []int {
	if !c.IsSet() {
		return nil
	}
	return slices.Clone(c.shape)
}

// fail adds the names of component and compartment to an error.
func (c *Compartment) fail(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Component: c.of.name, Compartment: c.name, Err: err}
}

func (c *Compartment) checkOpen() error {
	if c == nil || c.of == nil {
		return &Error{Err: because(ErrArgument, "the compartment belongs to no component")}
	}
	if c.of.dev == nil {
		return c.fail(ErrClosed)
	}
	return nil
}

func (c *Compartment) checkSet() error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	if c.value == nil {
		return c.fail(because(ErrAbsent, "it holds no value: %s", c.absent))
	}
	return nil
}

// checkSettable finds what speaks against a value set by hand.
func (c *Compartment) checkSettable() error {
	if err := c.checkOpen(); err != nil {
		return err
	}
	if c.wire != nil {
		return c.fail(because(ErrWired, "the wire from %v would overwrite it before it is used: set that, or Disconnect %v first", c.wire.src, c))
	}
	return nil
}

// writable is an array for n numbers: the compartment's own, if nobody else
// holds it and the size fits, else another, which the caller hands to adopt or
// discard.
func (c *Compartment) writable(n int) (*array, error) {
	if a := c.value; a != nil && a.holders == 1 && !a.content.isUniform() && a.buf.Len() == n {
		return a, nil
	}
	return c.of.store.take(n)
}

// adopt makes an array the compartment's value. The old one is free if nobody
// else holds it.
func (c *Compartment) adopt(a *array, shape kernels.Shape) {
	if !slices.Equal(c.shape, shape) {
		c.shape = append(c.shape[:0], shape...)
	}
	if a == c.value {
		return
	}
	a.holders++
	c.forget()
	c.value = a
}

// discard gives back an array that writable gave and nobody adopted.
func (c *Compartment) discard(a *array) {
	if a != nil && a.holders == 0 {
		c.of.store.put(a)
	}
}

// forget leaves the compartment without a value.
func (c *Compartment) forget() {
	if c.value != nil {
		c.of.store.drop(c.value)
		c.value = nil
	}
}

// own sees to it that the value is an array that nobody else holds, with memory
// for each number.
func (c *Compartment) own() error {
	a := c.value
	switch {
	case a.content.isUniform():
		if err := read(a.buf, c.one[:]); err != nil {
			return err
		}
		full, err := c.of.store.full(c.shape.Len(), c.one[0])
		if err != nil {
			return err
		}
		c.adopt(full, c.shape)
	case a.holders > 1:
		copied, err := c.of.store.clone(a)
		if err != nil {
			return err
		}
		c.adopt(copied, c.shape)
	}
	c.value.content = numbers
	return nil
}

// Clear leaves the compartment without a value, like ngc-learn's None. Its
// memory waits for the next one.
func (c *Compartment) Clear() error {
	if err := c.checkSettable(); err != nil {
		return err
	}
	c.forget()
	return nil
}

// Set takes any value that a compartment can have: *tensor.Dense, []float32,
// []float64 (without a shape, see [Compartment.SetFloat32s]), float32, float64,
// int, or nil, which clears it.
func (c *Compartment) Set(value any) error {
	switch v := value.(type) {
	case nil:
		return c.Clear()
	case *tensor.Dense:
		return c.SetTensor(v)
	case []float32:
		return c.SetFloat32s(v)
	case []float64:
		return c.SetFloat64s(v)
	case float32:
		return c.SetScalar(float64(v))
	case float64:
		return c.SetScalar(v)
	case int:
		return c.SetScalar(float64(v))
	}
	if err := c.checkOpen(); err != nil {
		return err
	}
	return c.fail(because(ErrType, "%T was given; *tensor.Dense, []float32, []float64, float32, float64, int and nil are taken", value))
}

// SetFloat32s copies the numbers, in C order (the last axis runs fastest). With
// no shape they are a batch of patterns, (B, N). An empty shape that is not nil
// is that of a single number. What does not broadcast with a batch is an
// [ErrShape], but in a [LaplacianErrorCell], which takes any shape as ngc-learn does.
//
//go:noinline
func (c *Compartment) SetFloat32s(data []float32, shape ...int) error {
	// Inlined into another package, the call would move the shape to the heap:
	// the compiler does not know there what a generic function does with it.
	return setSlice(c, data, shape)
}

// SetFloat64s is [Compartment.SetFloat32s] for float64 numbers.
//
//go:noinline
func (c *Compartment) SetFloat64s(data []float64, shape ...int) error {
	return setSlice(c, data, shape)
}

// SetScalar sets a single number, of shape ().
func (c *Compartment) SetScalar(x float64) error {
	if err := c.checkSettable(); err != nil {
		return err
	}
	c.one[0] = x
	return assign(c, c.one[:], kernels.Shape{})
}

// SetTensor copies a tensor of float32 or float64 numbers, with its shape; it
// may be transposed, a slice of another or in Fortran order. A nil tensor
// clears the compartment. Masked elements and memory that only another device
// can reach are errors.
func (c *Compartment) SetTensor(t *tensor.Dense) error {
	if err := c.checkSettable(); err != nil {
		return err
	}
	if t == nil {
		return c.Clear()
	}
	if err := checkTensor(t); err != nil {
		return c.fail(err)
	}
	if t.Dtype() == tensor.Float32 {
		return setTensor[float32](c, t)
	}
	return setTensor[float64](c, t)
}

func setTensor[T kernels.Float](c *Compartment, t *tensor.Dense) error {
	data, err := flatten[T](t)
	if err != nil {
		return c.fail(err)
	}
	if err := c.checkShape(kernels.Shape(t.Shape()), len(data)); err != nil {
		return err
	}
	return assign(c, data, kernels.Shape(t.Shape()))
}

// checkShape finds what speaks against so many numbers of a shape, set by hand:
// it must broadcast with a batch of the component's patterns or, where the units
// are arranged in some way, with (B, N).
func (c *Compartment) checkShape(shape kernels.Shape, numbers int) error {
	n, err := shapeLen(shape)
	switch {
	case err != nil:
		return c.fail(err)
	case n != numbers:
		return c.fail(because(ErrShape, "%d numbers are given, shape %s has %d", numbers, shape.String(), n))
	case !c.of.anyShape && !alike(shape, c.of.pattern) && !alike(shape, kernels.Shape{c.of.units}):
		return c.fail(because(ErrShape, "shape %s was given; (B, %d), or what broadcasts with it, is wanted", shape.String(), c.of.units))
	}
	return nil
}

// alike reports whether the last axes of two shapes broadcast with each other.
func alike(a, b kernels.Shape) bool {
	for i := 1; i <= min(len(a), len(b)); i++ {
		if x, y := a[len(a)-i], b[len(b)-i]; x != y && x != 1 && y != 1 {
			return false
		}
	}
	return true
}

func setSlice[T kernels.Float](c *Compartment, data []T, shape []int) error {
	if err := c.checkSettable(); err != nil {
		return err
	}
	if shape != nil {
		if err := c.checkShape(shape, len(data)); err != nil {
			return err
		}
		return assign(c, data, shape)
	}
	if len(data)%c.of.units != 0 {
		return c.fail(because(ErrShape, "%d numbers do not fill patterns of %d units; give their shape if they are something else",
			len(data), c.of.units))
	}
	batch := [2]int{len(data) / c.of.units, c.of.units}
	return assign(c, data, batch[:])
}

// assign replaces the value. The shape is copied, and does not escape.
func assign[T kernels.Float](c *Compartment, data []T, shape kernels.Shape) error {
	var a *array
	if err := c.of.store.again(func() (err error) { a, err = c.writable(len(data)); return err }); err != nil {
		return c.fail(err)
	}
	a.content = numbers
	if err := write(a.buf, data); err != nil {
		c.discard(a)
		c.of.store.trim() // the error that led here is the one to report
		return c.fail(err)
	}
	if c.watched && allFinite(data) {
		a.content = finite
	}
	return c.replace(a, shape)
}

// replace adopts an array of numbers, and gives memory back if its size is another
// than before: what waits has sizes that may not come again.
func (c *Compartment) replace(a *array, shape kernels.Shape) error {
	resized := c.value != nil && !c.value.content.isUniform() && c.value.buf.Len() != a.buf.Len()
	c.adopt(a, shape)
	if resized {
		return c.fail(c.of.store.trim())
	}
	return nil
}

// setAll makes the value an array of this shape, all of whose elements are x.
// It takes no memory for them.
func (c *Compartment) setAll(shape kernels.Shape, x float64) error {
	a, err := c.of.store.constant(x)
	if err != nil {
		return c.fail(err)
	}
	c.adopt(a, shape)
	return nil
}

// Tensor is a copy of the value: a tensor with its own memory, with elements
// of the component's DType and the value's shape. Package tensor panics on many
// uses of an array without elements, so here that is an [ErrShape]; Float32s
// and Float64s read it.
func (c *Compartment) Tensor() (*tensor.Dense, error) {
	if err := c.checkSet(); err != nil {
		return nil, err
	}
	if c.shape.Len() == 0 {
		return nil, c.fail(because(ErrShape, "package tensor cannot hold an array without elements, of shape %v; read a slice instead", c.shape))
	}
	if c.of.dtype == kernels.F32 {
		return readTensor[float32](c)
	}
	return readTensor[float64](c)
}

func readTensor[T kernels.Float](c *Compartment) (*tensor.Dense, error) {
	data, err := readAll[T](c)
	if err != nil {
		return nil, err
	}
	return tensor.New(tensor.WithShape(c.shape...), tensor.WithBacking(data)), nil
}

// Float32s is a copy of the value's numbers, in C order.
func (c *Compartment) Float32s() ([]float32, error) { return readAll[float32](c) }

// Float64s is a copy of the value's numbers, in C order.
func (c *Compartment) Float64s() ([]float64, error) { return readAll[float64](c) }

// ReadFloat32s copies the value's numbers to dst, in C order; there must be
// just as many.
func (c *Compartment) ReadFloat32s(dst []float32) error { return readInto(c, dst) }

// ReadFloat64s copies the value's numbers to dst, in C order; there must be
// just as many.
func (c *Compartment) ReadFloat64s(dst []float64) error { return readInto(c, dst) }

// Scalar is the value of a compartment that holds a single number, whatever its
// shape: () or (1, 1).
func (c *Compartment) Scalar() (float64, error) {
	if err := c.checkSet(); err != nil {
		return 0, err
	}
	if n := c.shape.Len(); n != 1 {
		return 0, c.fail(because(ErrShape, "it holds %d numbers of shape %v, not one", n, c.shape))
	}
	err := readInto(c, c.one[:])
	return c.one[0], err
}

func readAll[T kernels.Float](c *Compartment) ([]T, error) {
	if err := c.checkSet(); err != nil {
		return nil, err
	}
	if err := c.checkMemory(kernels.DTypeOf[T]()); err != nil {
		return nil, err
	}
	data := make([]T, c.shape.Len())
	if err := copyOut(c, data); err != nil {
		return nil, err
	}
	return data, nil
}

// checkMemory refuses a value that the host cannot hold. Where all elements are one
// number, which takes no memory, there may be any number of them.
func (c *Compartment) checkMemory(dtype kernels.DType) error {
	if n := c.shape.Len(); uint64(n) > memory.Limit()/uint64(dtype.Size()) {
		return c.fail(because(backend.ErrMemory, "it holds %d numbers of shape %v, more than this machine's memory of %.3g GB", n, c.shape, float64(memory.Limit())/1e9))
	}
	return nil
}

// copyOut reads the value, of which dst has the size.
func copyOut[T kernels.Float](c *Compartment, dst []T) error {
	if !c.value.content.isUniform() {
		return c.fail(read(c.value.buf, dst))
	}
	if err := read(c.value.buf, c.one[:]); err != nil {
		return c.fail(err)
	}
	fillSlice(dst, T(c.one[0]))
	return nil
}

func readInto[T kernels.Float](c *Compartment, dst []T) error {
	if err := c.checkSet(); err != nil {
		return err
	}
	if n := c.shape.Len(); n != len(dst) {
		return c.fail(because(ErrShape, "it holds %d numbers of shape %v, there is room for %d", n, c.shape, len(dst)))
	}
	return copyOut(c, dst)
}

// Resize gives the compartment a value of this shape that is still to be
// written, through [Compartment.View]: until then it has the old numbers where
// their count is the same, else zeros.
func (c *Compartment) Resize(shape ...int) error {
	if err := c.checkSettable(); err != nil {
		return err
	}
	n, err := shapeLen(shape)
	if err != nil {
		return c.fail(err)
	}
	if err := c.checkShape(shape, n); err != nil {
		return err
	}
	if c.value != nil && c.shape.Len() == n {
		if err := c.own(); err != nil {
			return c.fail(err)
		}
		c.adopt(c.value, shape)
		return nil
	}
	var a *array
	if err := c.of.store.again(func() (err error) { a, err = c.of.store.full(n, 0); return err }); err != nil {
		return c.fail(err)
	}
	return c.replace(a, shape)
}

// View is the value itself, in C order, where the component computes in float32
// and the host can reach the device's memory; elsewhere, and for a compartment
// without a value, it is false. It waits for the steps given to the device so
// far. The slice is for reading and writing until the next use of the
// compartment or step of its component; ask for it anew then. It is no other
// compartment's: a value that a wire has brought is copied.
func (c *Compartment) View() ([]float32, bool) {
	if c.checkSet() != nil || c.value.buf.Host() == nil || c.of.dtype != kernels.F32 {
		return nil, false
	}
	if c.of.dev.Sync() != nil || c.own() != nil {
		return nil, false
	}
	return backend.View[float32](c.value.buf)
}

// maxElements keeps every size in bytes within an int.
const maxElements = math.MaxInt / 8

// shapeLen is the number of elements of a shape that a caller gave.
func shapeLen(shape kernels.Shape) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, because(ErrShape, "shape %s has a negative length", shape.String())
		}
		if d > 0 && n > maxElements/d {
			return 0, because(ErrShape, "shape %s is larger than memory can be", shape.String())
		}
		n *= d
	}
	return n, nil
}
