// One use of a kernel: its operands, what the reference makes of them, and
// what a device does.

package backendtest

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// call is a kernel with operands for a grid of rows x cols.
type call[T kernels.Float] struct {
	kernel     *kernels.Kernel
	rows, cols int
	kinds      []kernels.Kind // of each operand
	inputs     [][]T          // of each operand, nil where it is absent
	omit       uint32         // results that are not wanted: Signature.Omit
}

// newCall makes a call whose operands hold what fill puts in.
func newCall[T kernels.Float](k *kernels.Kernel, rows, cols int, kinds []kernels.Kind, fill filler[T]) call[T] {
	c := call[T]{kernel: k, rows: rows, cols: cols, kinds: kinds, inputs: make([][]T, len(kinds))}
	for i, kind := range kinds {
		if kind != kernels.Absent {
			c.inputs[i] = make([]T, kind.Len(rows, cols))
			_, width := kind.Extent(rows, cols)
			fill(i, width, c.inputs[i])
		}
	}
	return c
}

func (c call[T]) signature() kernels.Signature {
	sig := kernels.Signature{DType: kernels.DTypeOf[T](), Omit: c.omit}
	copy(sig.Kinds[:], c.kinds)
	return sig
}

func (c call[T]) String() string {
	kinds := make([]string, len(c.kinds))
	for i, kind := range c.kinds {
		kinds[i] = kind.String()
	}
	text := fmt.Sprintf("%s(%s) in a grid of %d x %d", c.kernel.Name(), strings.Join(kinds, ", "), c.rows, c.cols)
	if c.omit != 0 {
		text += fmt.Sprintf(" without results %b", c.omit)
	}
	return text
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
		if !c.signature().Omits(i) {
			results[i] = a.Data
		}
	}
	return results
}

// known is what the reference has computed, by call: the variants of a backend
// are asked the same, and the reference takes longer than they do.
var known sync.Map // of [][]T by callKey

type callKey struct {
	kernel     *kernels.Kernel
	signature  kernels.Signature
	rows, cols int
	inputs     uint64 // hash
}

var hashSeed = maphash.MakeSeed()

// knownReference is reference, kept for the next variant. The results are shared.
func (c call[T]) knownReference(t tester) [][]T {
	t.Helper()
	var hash maphash.Hash
	hash.SetSeed(hashSeed)
	for _, data := range c.inputs {
		maphash.WriteComparable(&hash, len(data))
		hash.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*int(unsafe.Sizeof(*new(T)))))
	}
	key := callKey{c.kernel, c.signature(), c.rows, c.cols, hash.Sum64()}
	if results, ok := known.Load(key); ok {
		return results.([][]T)
	}
	results := c.reference(t)
	known.Store(key, results)
	return results
}

// job is a call in a device's memory.
type job[T kernels.Float] struct {
	call[T]
	program         backend.Program
	inputs, outputs []backend.Buffer // of the call
}

// poison is what outputs hold before a run, so that what a run leaves out is
// seen.
const (
	poison     = -12345.5
	bytePoison = 0xa5
)

// load compiles a call and copies it to the device.
func load[T kernels.Float](t tester, dev backend.Device, c call[T]) *job[T] {
	t.Helper()
	j, err := tryLoad(dev, c)
	if err != nil {
		j.close(t)
		t.Fatalf("%v: %v", c, err)
	}
	return j
}

// tryLoad is load for devices that may be closed. What it has made so far, it
// returns beside the error.
func tryLoad[T kernels.Float](dev backend.Device, c call[T]) (*job[T], error) {
	j := &job[T]{call: c}
	var err error
	if j.program, err = dev.Compile(c.kernel, c.signature()); err != nil {
		return j, fmt.Errorf("compile: %w", err)
	}
	for i, data := range c.inputs {
		if c.kinds[i] == kernels.Absent {
			j.inputs = append(j.inputs, nil)
			continue
		}
		b, err := newBuffer(dev, data)
		if err != nil {
			return j, err
		}
		j.inputs = append(j.inputs, b)
	}
	for i, kind := range j.program.Plan().Outputs {
		if kind == kernels.Absent {
			j.outputs = append(j.outputs, nil)
			continue
		}
		n := kind.Len(c.rows, c.cols)
		var b backend.Buffer
		if j.program.Plan().OutputDType(i) == kernels.B8 {
			b, err = newBytes(dev, bytes.Repeat([]byte{bytePoison}, n))
		} else {
			b, err = newBuffer(dev, slices.Repeat([]T{poison}, n))
		}
		if err != nil {
			return j, err
		}
		j.outputs = append(j.outputs, b)
	}
	return j, nil
}

// newBytes makes a buffer of truth values that holds any bytes.
func newBytes(dev backend.Device, data []byte) (backend.Buffer, error) {
	b, err := dev.NewBuffer(kernels.B8, len(data))
	if err != nil {
		return nil, fmt.Errorf("new buffer: %w", err)
	}
	if _, err := b.WriteAt(data, 0); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	return b, nil
}

// newBuffer makes a buffer that holds data.
func newBuffer[T kernels.Float](dev backend.Device, data []T) (backend.Buffer, error) {
	b, err := dev.NewBuffer(kernels.DTypeOf[T](), len(data))
	if err != nil {
		return nil, fmt.Errorf("new buffer: %w", err)
	}
	if err := backend.Upload(b, data); err != nil {
		return nil, fmt.Errorf("upload: %w", err)
	}
	return b, nil
}

// start runs the program once.
func (j *job[T]) start() error { return j.program.Run(j.rows, j.cols, j.inputs, j.outputs) }

// results reads the outputs.
func (j *job[T]) results() ([][]T, error) { return downloadAll[T](j.outputs) }

func downloadAll[T kernels.Float](buffers []backend.Buffer) ([][]T, error) {
	all := make([][]T, len(buffers))
	for i, b := range buffers {
		if b == nil {
			continue
		}
		all[i] = make([]T, b.Len())
		if b.DType() == kernels.B8 {
			if err := downloadBytes(b, all[i]); err != nil {
				return nil, err
			}
			continue
		}
		if err := backend.Download(b, all[i]); err != nil {
			return nil, fmt.Errorf("download: %w", err)
		}
	}
	return all, nil
}

// downloadBytes reads truth values as the numbers that their bytes are.
func downloadBytes[T kernels.Float](b backend.Buffer, to []T) error {
	data := make([]byte, b.Len())
	if _, err := b.ReadAt(data, 0); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	for i, x := range data {
		to[i] = T(x)
	}
	return nil
}

// run runs the program and reads the outputs.
func (j *job[T]) run(t tester) [][]T {
	t.Helper()
	if err := j.start(); err != nil {
		t.Fatalf("%v: run: %v", j, err)
	}
	results, err := j.results()
	if err != nil {
		t.Fatalf("%v: %v", j, err)
	}
	return results
}

func (j *job[T]) close(t tester) {
	t.Helper()
	for _, b := range append(slices.Clone(j.inputs), j.outputs...) {
		if b != nil {
			if err := b.Close(); err != nil {
				t.Errorf("%v: close a buffer: %v", j, err)
			}
		}
	}
}

// check runs a call on a device and compares with the reference. It returns
// what was right.
func check[T kernels.Float](t tester, dev backend.Device, c call[T]) [][]T {
	t.Helper()
	want := c.knownReference(t)
	checkAgainst(t, dev, c, want)
	return want
}

// checkAgainst runs a call on a device, compares with what is wanted and sees
// to it that the operands stay as they were.
func checkAgainst[T kernels.Float](t tester, dev backend.Device, c call[T], want [][]T) {
	t.Helper()
	j := load(t, dev, c)
	defer j.close(t)
	compareAll(t, j, j.run(t), want)
	operands, err := downloadAll[T](j.inputs)
	if err != nil {
		t.Fatalf("%v: %v", c, err)
	}
	for i, data := range operands {
		if d := difference(data, c.inputs[i]); d != "" {
			t.Errorf("%v: the run changed its operand %s: %s", c, c.kernel.InputName(i), d)
		}
	}
}

// compareAll reports each output that differs.
func compareAll[T kernels.Float](t tester, j *job[T], got, want [][]T) {
	t.Helper()
	for i := range want {
		if d := difference(got[i], want[i]); d != "" {
			t.Errorf("%v: %s: %s\n%v", j, j.kernel.OutputName(i), d, j.program.Plan())
		}
	}
}

// difference says where two arrays differ, "" if nowhere.
func difference[T kernels.Float](got, want []T) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d elements, want %d", len(got), len(want))
	}
	first, count := -1, 0
	for i := range want {
		if !same(got[i], want[i]) {
			if first < 0 {
				first = i
			}
			count++
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("element %d is %s, want %s (%d of %d differ)", first, show(got[first]), show(want[first]), count, len(want))
}

// same is equality to the bit, but NaN equals NaN. Equal numbers have equal
// bits unless they are zeros.
func same[T kernels.Float](a, b T) bool {
	if a != b {
		return a != a && b != b
	}
	return a != 0 || math.Signbit(float64(a)) == math.Signbit(float64(b))
}

// show writes a number exactly.
func show[T kernels.Float](x T) string { return fmt.Sprintf("%g (%x)", x, x) }
