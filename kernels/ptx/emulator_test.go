// The entries, executed on the emulated GPU and compared with the reference to
// the bit.

package ptx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unsafe"

	"errorcell/backend/cuda/emulator"
	"errorcell/kernels"
)

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// call is a kernel with operands for a grid of rows x cols.
type call[T kernels.Float] struct {
	kernel     *kernels.Kernel
	rows, cols int
	kinds      []kernels.Kind // of each operand
	inputs     [][]T          // of each operand, nil where it is absent
	omit       uint32         // results that are not wanted
}

func (c call[T]) String() string {
	return fmt.Sprintf("%s(%s) in a grid of %d x %d, without results %b", c.kernel.Name(), kindNames(c.kinds), c.rows, c.cols, c.omit)
}

func kindNames(kinds []kernels.Kind) string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = kind.String()
	}
	return strings.Join(names, ", ")
}

func (c call[T]) plan(t tester) *kernels.Plan {
	t.Helper()
	sig := kernels.Signature{DType: kernels.DTypeOf[T](), Omit: c.omit}
	copy(sig.Kinds[:], c.kinds)
	plan, err := c.kernel.Specialize(sig)
	if err != nil {
		t.Fatalf("%v: %v", c, err)
	}
	return plan
}

// reference is what is right, nil for results that are not wanted.
func (c call[T]) reference(t tester) [][]T {
	t.Helper()
	operands := make([]*kernels.Array[T], len(c.inputs))
	for i, data := range c.inputs {
		if c.kinds[i] != kernels.Absent {
			r, w := c.kinds[i].Extent(c.rows, c.cols)
			operands[i] = &kernels.Array[T]{Shape: kernels.Shape{r, w}, Data: data}
		}
	}
	arrays, err := kernels.Reference(c.kernel, operands...)
	if err != nil {
		t.Fatalf("reference: %v: %v", c, err)
	}
	results := make([][]T, len(arrays))
	for i, a := range arrays {
		if c.omit>>i&1 == 0 {
			results[i] = a.Data
		}
	}
	return results
}

// way is one of the ways in which a plan may be lowered and launched.
type way struct {
	arch   int
	wide   bool
	blocks int // in the grid; 0 for as many as there is work for
	shift  int // elements by which arrays are shifted from alignment
	on     int // the result is where this operand is, counted from 1; 0: nowhere
}

// rig is a plan loaded into an emulated GPU, for a way of launching it.
type rig[T kernels.Float] struct {
	t      tester
	call   call[T]
	way    way
	plan   *kernels.Plan
	module *Module
	gpu    *emulator.GPU
	arrays map[Param]uint64 // what stands in the parameters
}

func (r *rig[T]) fatal(err error) {
	if err != nil {
		r.t.Helper()
		r.t.Fatalf("%v, %+v: %v\n%v\n%s", r.call, r.way, err, r.plan, numbered(r.module.Text))
	}
}

// numbered is a text with the numbers of its lines, which faults name.
func numbered(text string) string {
	var s strings.Builder
	i := 0
	for line := range strings.Lines(text) {
		i++
		fmt.Fprintf(&s, "%4d %s", i, line)
	}
	return s.String()
}

// alloc gives device memory, shifted by some bytes: none at all for no bytes, so
// that nothing may be touched.
func (r *rig[T]) alloc(bytes, shift int) uint64 {
	if bytes == 0 {
		return 0
	}
	address, err := r.gpu.Alloc(uint64(bytes + shift))
	r.fatal(err)
	return address + uint64(shift)
}

// emulated runs a call on the emulated GPU.
func emulated[T kernels.Float](t tester, c call[T], w way) [][]T {
	t.Helper()
	r := &rig[T]{t: t, call: c, way: w, plan: c.plan(t), arrays: map[Param]uint64{}}
	var err error
	r.module, err = Lower(r.plan, Options{Arch: w.arch, Wide: w.wide})
	r.fatal(err)
	r.gpu, err = emulator.New(emulator.Config{Arch: fmt.Sprint("sm_", w.arch), Workers: 1})
	r.fatal(err)
	module, err := r.gpu.Load(r.module.Text)
	r.fatal(err)
	results := r.allocate()
	for i := range r.module.Launches {
		l := &r.module.Launches[i]
		f, err := module.Function(l.Entry)
		r.fatal(err)
		r.launch(l, f)
	}
	for i, data := range results {
		switch {
		case len(data) == 0:
		case r.plan.OutputDType(i) == kernels.B8:
			narrow := make([]byte, len(data))
			r.fatal(r.gpu.CopyToHost(narrow, r.arrays[Param{Result, i}]))
			for j, b := range narrow {
				data[j] = T(b)
			}
		default:
			r.fatal(r.gpu.CopyToHost(bytesOf(data), r.arrays[Param{Result, i}]))
		}
	}
	return results
}

// allocate makes the arrays of a call, and places for its results on the host.
func (r *rig[T]) allocate() [][]T {
	c, size := r.call, int(unsafe.Sizeof(*new(T)))
	for i, data := range c.inputs {
		if len(data) > 0 {
			address := r.alloc(len(data)*size, r.way.shift*size)
			r.fatal(r.gpu.CopyToDevice(address, bytesOf(data)))
			r.arrays[Param{Operand, i}] = address
		}
	}
	results := make([][]T, len(r.plan.Outputs))
	for i, kind := range r.plan.Outputs {
		results[i] = make([]T, kind.Len(c.rows, c.cols))
		if r.way.on > 0 {
			r.arrays[Param{Result, i}] = r.arrays[Param{Operand, r.way.on - 1}]
			continue
		}
		size := r.plan.OutputDType(i).Size()
		r.arrays[Param{Result, i}] = r.alloc(len(results[i])*size, r.way.shift*size)
	}
	for i, sum := range r.plan.Sums {
		r.arrays[Param{Partials, i}] = r.alloc(8*r.module.PartialsLen(i, c.rows, c.cols), 0)
		r.arrays[Param{Sum, i}] = r.alloc(size*sum.Kind.Len(c.rows, c.cols), 0)
	}
	r.arrays[Param{Rows, 0}], r.arrays[Param{Cols, 0}] = uint64(c.rows), uint64(c.cols)
	return results
}

// launch runs one entry, and sees to it that its control words are zero again.
func (r *rig[T]) launch(l *Launch, f *emulator.Function) {
	control := make([]byte, l.ControlBytes(r.call.rows, r.call.cols))
	address := r.alloc(len(control), 0)
	r.arrays[Param{Control, 0}] = address
	r.fatal(r.gpu.Memset8(address, 0, uint64(len(control))))

	blocks := r.way.blocks
	if blocks == 0 {
		blocks = l.Blocks(r.call.rows, r.call.cols)
	}
	var params [][]byte
	for _, p := range l.Params {
		params = append(params, binary.LittleEndian.AppendUint64(nil, r.arrays[p]))
	}
	r.fatal(r.gpu.Launch(f, [3]uint32{uint32(blocks), 1, 1}, [3]uint32{uint32(l.Threads), 1, 1}, 0, params))
	if len(control) == 0 {
		return
	}
	r.fatal(r.gpu.CopyToHost(control, address))
	for i, b := range control {
		if b != 0 {
			r.t.Fatalf("%v, %+v: %s leaves byte %d of its control words at %d", r.call, r.way, l.Entry, i, b)
		}
	}
}

func bytesOf[T kernels.Float](data []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*int(unsafe.Sizeof(*new(T))))
}

// check compares the emulated GPU with the reference.
func check[T kernels.Float](t tester, c call[T], ways ...way) {
	t.Helper()
	want := c.reference(t)
	for _, w := range ways {
		got := emulated(t, c, w)
		for i := range want {
			for j := range want[i] {
				if !same(got[i][j], want[i][j]) {
					t.Fatalf("%v, %+v: %s: element %d is %x, want %x\n%v", c, w, c.kernel.OutputName(i), j, got[i][j], want[i][j], c.plan(t))
				}
			}
		}
	}
}

// same is equality to the bit, but NaN equals NaN.
func same[T kernels.Float](a, b T) bool {
	if a != b {
		return a != a && b != b
	}
	return a != 0 || math.Signbit(float64(a)) == math.Signbit(float64(b))
}
