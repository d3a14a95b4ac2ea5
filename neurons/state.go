package neurons

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"errorcell/backend"
	"errorcell/internal/memory"
	"errorcell/internal/numpy"
	"errorcell/kernels"
)

// A file of state is a .npz with an array for each compartment that holds a value,
// by its path, and one that says whose state it is.

const (
	// ownerArray is the name of the latter: the bytes of an owner in JSON. Paths of
	// compartments have a dot.
	ownerArray = "errorcell"

	// stateFormat is the version of all this. A program that does not know a
	// version refuses the file.
	stateFormat = 1

	maxDifferences = 20 // that an error lists
)

// owner is the circuit that a state is of.
type owner struct {
	Format     int           `json:"format"`
	Components []ownerMember `json:"components"`
}

type ownerMember struct {
	Name      string           `json:"name"`
	Cell      string           `json:"cell"`
	Units     int              `json:"n_units"`
	Shape     []int            `json:"shape"` // of a pattern
	DType     string           `json:"dtype"`
	BatchSize int              `json:"batch_size"`
	Values    map[string][]int `json:"values"` // the shapes of those that there are
}

// Save writes what the compartments of all components hold to a .npz file, from
// which [Context.Load] gets it. In NumPy,
//
//	state = numpy.load("circuit.npz")
//	state["z0.mu"]                           # a compartment
//	json.loads(bytes(state["errorcell"]))    # the components, and the file's version
//
// There is an array for each compartment that holds a value, with its shape and its
// component's element type, which who edits it must keep: numpy.random, for one,
// gives float64, which Load refuses for a float32 cell. Not in the file are wires,
// processes and what constructors are given, such as a learning rate: the program
// that loads a state makes the circuit first.
//
// The file takes its place when it is complete and on the disk. If Save fails, what
// was at that path stays.
func (x *Context) Save(path string) error {
	if err := x.checkOpen(); err != nil {
		return err
	}
	if err := x.save(path); err != nil {
		return &Error{Component: x.name, Err: err}
	}
	return nil
}

func (x *Context) save(path string) error {
	f, err := numpy.Create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	out := numpy.NewArchiveWriter(f)
	if err := x.writeTo(out); err != nil {
		return atPath(path, err)
	}
	if err := out.Close(); err != nil {
		return err
	}
	return f.Commit()
}

// atPath names a path in an error of a compartment.
func atPath(path string, err error) error {
	if named := (*Error)(nil); errors.As(err, &named) {
		return fmt.Errorf("%s: %w", numpy.ShowPath(path), err)
	}
	return err
}

func (x *Context) writeTo(out *numpy.ArchiveWriter) error {
	of := owner{Format: stateFormat, Components: []ownerMember{}}
	for _, c := range x.components {
		of.Components = append(of.Components, c.member())
	}
	text, err := json.Marshal(of)
	if err != nil {
		return err
	}
	w, err := numpy.Begin[uint8](out, ownerArray, []int{len(text)})
	if err == nil {
		err = numpy.WriteData(w, text)
	}
	if err != nil {
		return err
	}
	for _, c := range x.components {
		for _, comp := range c.compartments {
			if comp.value == nil {
				continue
			}
			if c.dtype == kernels.F32 {
				err = saveAs[float32](out, comp)
			} else {
				err = saveAs[float64](out, comp)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *component) member() ownerMember {
	m := ownerMember{c.name, c.kind, c.units, c.pattern, c.dtype.String(), c.batchSize, map[string][]int{}}
	for _, comp := range c.compartments {
		if comp.value != nil {
			m.Values[comp.name] = comp.shape
		}
	}
	return m
}

// saveAs writes the value, whose elements are of type T.
func saveAs[T kernels.Float](out *numpy.ArchiveWriter, c *Compartment) error {
	if err := c.checkMemory(c.of.dtype); err != nil { // Load would refuse it
		return err
	}
	w, err := numpy.Begin[T](out, c.String(), c.shape)
	if format := (*numpy.FormatError)(nil); errors.As(err, &format) {
		return c.fail(err)
	}
	if err != nil {
		return err
	}
	if c.value.content.isUniform() {
		return saveUniform[T](w, c)
	}
	if err := c.of.dev.Sync(); err != nil {
		return c.fail(err)
	}
	data, ok := backend.View[T](c.value.buf)
	if !ok {
		if data, err = readAll[T](c); err != nil {
			return err
		}
	}
	return numpy.WriteData(w, data)
}

// saveUniform writes the number that all elements are as often as there are
// elements, without memory for them.
func saveUniform[T kernels.Float](w io.Writer, c *Compartment) error {
	left := c.shape.Len()
	piece := make([]T, min(left, 64<<10))
	if err := copyOut(c, piece); err != nil {
		return err
	}
	for ; left > 0; left -= len(piece) {
		piece = piece[:min(left, len(piece))]
		if err := numpy.WriteData(w, piece); err != nil {
			return err
		}
	}
	return nil
}

// Load gives all compartments the values that [Context.Save] has written, to a
// circuit that was made as the one that was saved: it has components of the same
// names, each the same cell with as many units, in the same arrangement and element
// type. The device may be another; the steps that follow have the same bits.
//
// A compartment without a value in the file is left without one. A wired compartment
// gets its value, too, which it holds until a wire delivers the next.
//
// A value fits if it broadcasts to a batch of batch_size patterns; a loss, a scale and
// others that Reset does not make a batch may also lack axes of length 1. For a state
// of another batch, call [Context.SetBatchSize] first. Where the component's
// batch_size is what it was when it was saved, a value of the shape that it had then
// fits in any case, as any can be set by hand, and so does one of the shape that the
// compartment has now.
//
// When Load fails, every compartment is as it was. A file that is none of Save's or
// does not fit is an [ErrState] that lists what differs.
func (x *Context) Load(path string) error {
	if err := x.checkOpen(); err != nil {
		return err
	}
	if err := x.load(path); err != nil {
		if format := (*numpy.FormatError)(nil); errors.As(err, &format) {
			err = stateError{err}
		}
		return &Error{Component: x.name, Err: err}
	}
	return nil
}

// stateError makes an ErrState of an error about what a file holds.
type stateError struct{ error }

func (e stateError) Unwrap() []error { return []error{ErrState, e.error} }

// loading is a value that a compartment is to get.
type loading struct {
	comp  *Compartment
	name  string // of the array
	value *array
	shape kernels.Shape
}

func (x *Context) load(path string) error {
	a, err := numpy.OpenArchive(path)
	if err != nil {
		return err
	}
	defer a.Close()
	of, err := readOwner(a, path)
	if err != nil {
		return err
	}
	values, err := x.match(a, path, of)
	if err != nil {
		return err
	}
	for i := range values {
		if err := values[i].read(a); err != nil {
			for _, v := range values {
				v.comp.discard(v.value)
			}
			x.trim() // the error that led here is the one to report
			return atPath(path, err)
		}
	}
	loaded := map[*Compartment]loading{}
	for _, v := range values {
		loaded[v.comp] = v
	}
	for _, c := range x.components {
		for _, comp := range c.compartments {
			if v, ok := loaded[comp]; ok {
				comp.adopt(v.value, v.shape)
			} else {
				comp.forget()
			}
		}
	}
	return x.trim()
}

// trim gives the memory back that waits.
func (x *Context) trim() error {
	var errs []error
	for _, s := range x.stores {
		errs = append(errs, s.trim())
	}
	return errors.Join(errs...)
}

// readOwner reads whose state the file has.
func readOwner(a *numpy.Archive, path string) (of owner, err error) {
	at := numpy.ShowPath(path)
	if !a.Has(ownerArray) {
		return of, because(ErrState, "%s: it is not a state that Context.Save has written, which would have an array %q", at, ownerArray)
	}
	h, err := a.Header(ownerArray)
	if err == nil {
		err = checkMemory(h, path, ownerArray)
	}
	if err != nil {
		return of, err
	}
	_, text, err := numpy.ReadAs[uint8](a, ownerArray)
	if err != nil {
		return of, err
	}
	var version struct{ Format int }
	if err := json.Unmarshal(text, &version); err != nil || version.Format < 1 {
		return of, because(ErrState, "%s: array %q does not say whose state it is: it should hold JSON with format and components", at, ownerArray)
	}
	if version.Format > stateFormat {
		return of, because(ErrState, "%s: a newer version of errorcell has written it, in format %d; this one reads format %d", at, version.Format, stateFormat)
	}
	if err := json.Unmarshal(text, &of); err != nil {
		return of, because(ErrState, "%s: array %q does not say whose state it is: %.100q", at, ownerArray, err)
	}
	return of, nil
}

// checkMemory refuses an array that would have the process killed.
func checkMemory(h numpy.Header, path, name string) error {
	if limit := memory.Limit(); uint64(h.Len()) > limit/uint64(h.ElementSize()) {
		return because(backend.ErrMemory, "%s: array %.60q of %s is larger than this machine's memory of %.3g GB", numpy.ShowPath(path), name, h, float64(limit)/1e9)
	}
	return nil
}

// match finds out which compartment gets which array, and whether all fit.
func (x *Context) match(a *numpy.Archive, path string, of owner) ([]loading, error) {
	differ := differences{batches: map[string]int{}}
	saved := map[string]ownerMember{}
	fit := map[*component]bool{}
	for _, m := range of.Components {
		c := x.find(m.Name)
		if _, twice := saved[m.Name]; twice {
			differ.add("%s is twice in the file", show(m.Name))
		} else if c == nil {
			differ.add("%s is in the file only", show(m.Name))
		} else if here := c.member(); !m.alike(here) {
			differ.add("%s is %s in the file and %s here", m.Name, m.describe(), here.describe())
		} else {
			fit[c] = true
		}
		saved[m.Name] = m
	}
	for _, c := range x.components {
		if _, ok := saved[c.name]; !ok {
			differ.add("%s is in the circuit only", c.name)
		}
	}
	var values []loading
	var large error
	for _, name := range a.Names() {
		if name == ownerArray {
			continue
		}
		of, compartment, _ := strings.Cut(name, ".")
		c := x.find(of)
		if c != nil && !fit[c] {
			continue // it has been said why
		}
		comp := (*Compartment)(nil)
		if c != nil {
			comp = c.own(compartment)
		}
		if comp == nil {
			if _, told := saved[of]; c != nil || !told {
				differ.add("array %.60q is no compartment's", name)
			}
			continue
		}
		h, err := a.Header(name)
		if err != nil {
			return nil, err
		}
		m := saved[of]
		was, ok := m.Values[compartment]
		unedited := ok && slices.Equal(h.Shape, was)
		if ok := comp.fits(h.Shape, c.batchSize) || unedited && m.BatchSize == c.batchSize; !ok || h.Element() != c.dtype.String() {
			differ.add("%s is %s in the file, and %s that broadcasts to %v is wanted", name, h, c.dtype, c.grid(c.batchSize))
			switch {
			case ok:
			case unedited:
				differ.batches[m.Name] = m.BatchSize
			case len(h.Shape) > 0 && comp.fits(h.Shape, h.Shape[0]):
				differ.batches[m.Name] = h.Shape[0]
			}
		}
		if large == nil {
			large = checkMemory(h, path, name)
		}
		values = append(values, loading{comp: comp, name: name})
	}
	return values, cmp.Or(differ.err(path), large)
}

// alike reports whether a state of the one may be a state of the other.
func (m ownerMember) alike(other ownerMember) bool {
	return m.Cell == other.Cell && m.Units == other.Units && m.DType == other.DType && slices.Equal(m.Shape, other.Shape)
}

// describe names what is alike or not.
func (m ownerMember) describe() string {
	text := fmt.Sprintf("a %s of %d %s units", show(m.Cell), m.Units, show(m.DType))
	if !slices.Equal(m.Shape, []int{m.Units}) {
		text += fmt.Sprintf(" of shape %.60v", kernels.Shape(m.Shape))
	}
	return text
}

// show quotes what a file has for a name, if it is none.
func show(name string) string {
	if validName(name) && len(name) <= 60 {
		return name
	}
	return fmt.Sprintf("%.60q", name)
}

// differences are what speaks against a state.
type differences struct {
	all     []string
	batches map[string]int // of components, with which it would fit
}

func (d *differences) add(format string, args ...any) {
	d.all = append(d.all, fmt.Sprintf(format, args...))
}

func (d *differences) err(path string) error {
	if len(d.all) == 0 {
		return nil
	}
	text := strings.Join(d.all[:min(len(d.all), maxDifferences)], "; ")
	if more := len(d.all) - maxDifferences; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	if len(d.batches) > 0 {
		text += "; to load another batch, call first " + d.remedy()
	}
	return because(ErrState, "%s: the state does not fit this circuit, and nothing was loaded: %s", numpy.ShowPath(path), text)
}

// remedy is what makes the batches fit.
func (d *differences) remedy() string {
	if sizes := slices.Compact(slices.Sorted(maps.Values(d.batches))); len(sizes) == 1 {
		return fmt.Sprintf("SetBatchSize(%d)", sizes[0])
	}
	var calls []string
	for _, name := range slices.Sorted(maps.Keys(d.batches)) {
		calls = append(calls, fmt.Sprintf("SetBatchSize(%d) of %s", d.batches[name], name))
	}
	return strings.Join(calls, ", ")
}

// fits reports whether a value of this shape can be one of the compartment's in a
// batch of this size.
func (c *Compartment) fits(shape kernels.Shape, batch int) bool {
	if c.value != nil && slices.Equal(c.shape, shape) {
		return true
	}
	grids := []kernels.Shape{c.of.grid(batch), {batch, c.of.units}}
	if !c.isBatch() {
		grids = append(grids, append(kernels.Shape{batch}, c.of.pattern.Squeeze()...), kernels.Shape{batch})
	}
	return slices.ContainsFunc(grids, func(grid kernels.Shape) bool { return broadcasts(shape, grid) })
}

// isBatch reports whether a reset makes the compartment a batch.
func (c *Compartment) isBatch() bool {
	if m := c.of.method("reset"); m != nil {
		for _, o := range m.ops {
			if f, ok := o.(*fill); ok && f.comp == c {
				return len(f.shape(nil)) > 0
			}
		}
	}
	return slices.Contains(c.of.batched, c)
}

// broadcasts reports whether NumPy broadcasts a shape to another.
func broadcasts(shape, to kernels.Shape) bool {
	both, err := kernels.Broadcast(shape, to)
	return err == nil && slices.Equal(both, to)
}

// read makes the value.
func (v *loading) read(a *numpy.Archive) (err error) {
	if v.comp.of.dtype == kernels.F32 {
		return readValue[float32](v, a)
	}
	return readValue[float64](v, a)
}

func readValue[T kernels.Float](v *loading, a *numpy.Archive) error {
	shape, data, err := numpy.ReadAs[T](a, v.name)
	if err != nil {
		return err
	}
	v.shape = shape
	s := v.comp.of.store
	if isUniform(data) {
		return v.comp.fail(s.again(func() (err error) { v.value, err = s.constant(float64(data[0])); return err }))
	}
	if err := s.again(func() (err error) { v.value, err = s.take(len(data)); return err }); err != nil {
		return v.comp.fail(err)
	}
	if v.comp.watched && allFinite(data) {
		v.value.content = finite
	}
	return v.comp.fail(write(v.value.buf, data))
}

// isUniform reports whether all elements are one number, with the same sign of zero.
func isUniform[T kernels.Float](data []T) bool {
	for _, x := range data {
		if x != data[0] || math.Signbit(float64(x)) != math.Signbit(float64(data[0])) {
			return false
		}
	}
	return len(data) > 0
}
