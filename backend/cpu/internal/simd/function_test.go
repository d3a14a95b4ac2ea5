// The functions of the tables, all in one shape, and what they should compute:
// what the kernel language's reference makes of their forms.

package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"errorcell/backend/cpu/internal/form"
	"errorcell/kernels"
)

// isas lists the tables.
var isas = []struct {
	name string
	isa  *ISA
}{
	{"AVX2", &AVX2},
	{"AVX512", &AVX512},
}

// eachSet runs a test, given for both element types, with each set of
// functions that can run here.
func eachSet(t *testing.T, f32 func(*testing.T, Set[float32]), f64 func(*testing.T, Set[float64])) {
	for _, i := range isas {
		t.Run(i.name, func(t *testing.T) {
			if i.isa.Empty() {
				t.Skipf("%s is left out: it is built for amd64 without the tag purego", i.name)
			}
			if missing := i.isa.Missing(); len(missing) > 0 {
				t.Skipf("this processor lacks %v", missing)
			}
			t.Run("float32", func(t *testing.T) { f32(t, i.isa.F32) })
			t.Run("float64", func(t *testing.T) { f64(t, i.isa.F64) })
		})
	}
}

// forms are those of all passes over the whole grid that a kernel has with a set of
// operands for which there are fused functions, for an element type, by String.
func forms(t *testing.T, d kernels.DType) map[string]form.Form {
	t.Helper()
	list := map[string]form.Form{}
	for _, k := range kernels.FusedKernels() {
		plan, err := k.Specialize(k.Operands.Signature(k.Kernel, d))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plan.Passes {
			if f, _, ok := form.Of(plan, p); ok && p.Kind == kernels.Full {
				list[f.String()] = f
			}
		}
	}
	return list
}

// domain is the numbers that an operand may have.
type domain uint8

const (
	real    domain = iota
	ternary        // -1, -0, +0, +1 or NaN
	truth          // 0 or 1
)

// function is a function of a table. All kinds of them become one here: those
// that return a sum put it where a fused function does.
type function[T kernels.Float] struct {
	name    string
	form    form.Form
	domains []domain // of each operand
	// aligned says that the results must start at Alignment.
	aligned bool
	// least and most bound the number of elements.
	least, most int
	call        func(n int, operands []*T, results []unsafe.Pointer, sums []*float64) error
}

// functions lists the functions of a set that have a form.
func functions[T kernels.Float](t *testing.T, s Set[T]) []function[T] {
	t.Helper()
	list := fused(t, s)
	for _, p := range s.Primitives {
		name, ops := p.Op.String(), []kernels.Op{p.Op}
		if p.Inner != 0 {
			name, ops = name+" of "+p.Inner.String(), []kernels.Op{p.Inner, p.Op}
		}
		f := ofOperations[T](name, ops...)
		f.form.Results = []int{len(f.form.Nodes) - 1}
		f.most = MaxElements
		f.call = func(n int, x []*T, results []unsafe.Pointer, _ []*float64) error {
			var args [3]*T // nil where the operation has no argument
			copy(args[:], x)
			p.Run((*T)(results[0]), args[0], args[1], args[2], n)
			return nil
		}
		list = append(list, f)
	}
	for _, narrowing := range s.Narrowings {
		var ops []kernels.Op
		for _, op := range []kernels.Op{narrowing.Inner, narrowing.Op} {
			if op != kernels.OpInput {
				ops = append(ops, op)
			}
		}
		f := ofOperations[T](fmt.Sprint("narrow ", ops), ops...)
		last := len(f.form.Nodes) - 1
		f.form.Nodes[last].Type, f.form.Results = kernels.Bool, []int{last}
		if len(ops) == 0 {
			f.domains[0] = truth
		}
		f.most = MaxElements
		f.call = func(n int, x []*T, results []unsafe.Pointer, _ []*float64) error {
			var args [2]*T
			copy(args[:], x)
			narrowing.Run((*byte)(results[0]), args[0], args[1], n)
			return nil
		}
		list = append(list, f)
	}
	for _, sum := range []struct {
		name  string
		run   func(x *T, n int) float64
		count bool
		ops   []kernels.Op
	}{
		{"Count", s.Count, true, nil},
		{"CountAbs", s.CountAbs, true, []kernels.Op{kernels.OpAbs}},
		{"Tree", s.Tree, false, nil},
	} {
		f := ofOperations[T](sum.name, sum.ops...)
		f.form.Sums = []form.Sum{{Node: len(f.form.Nodes) - 1, Count: sum.count}}
		f.least, f.most = 1, kernels.BlockSize
		if sum.count {
			f.domains[0] = ternary
		}
		f.call = func(n int, x []*T, _ []unsafe.Pointer, sums []*float64) error {
			if !sum.count {
				*sums[0] = 0
			}
			*sums[0] += sum.run(x[0], n)
			return nil
		}
		list = append(list, f)
	}
	return list
}

// fused lists the fused functions of a set.
func fused[T kernels.Float](t *testing.T, s Set[T]) []function[T] {
	t.Helper()
	var list []function[T]
	forms := forms(t, kernels.DTypeOf[T]())
	for _, entry := range s.Fused {
		fm, ok := forms[entry.Form]
		if !ok {
			t.Fatalf("no kernel has the form %s", entry.Form)
		}
		wide := 0
		for i := range fm.Results {
			if !fm.Narrow(i) {
				wide++
			}
		}
		if (entry.Streaming != nil) != (wide > 0) {
			t.Errorf("%s has %d results of elements; streaming function: %v", entry.Form, wide, entry.Streaming != nil)
		}
		f := function[T]{name: entry.Form, form: fm, domains: make([]domain, len(fm.Operands)), most: MaxElements, call: caller[T](entry.Run)}
		list = append(list, f)
		if entry.Streaming != nil {
			f.name, f.aligned, f.call = "streaming "+f.name, true, caller[T](entry.Streaming)
			list = append(list, f)
		}
	}
	return list
}

// caller puts together the Call, which must come back as it was: a pointer
// moved to behind its array is one that the garbage collector may not meet.
func caller[T kernels.Float](run func(*Call)) func(int, []*T, []unsafe.Pointer, []*float64) error {
	return func(n int, operands []*T, results []unsafe.Pointer, sums []*float64) error {
		c := Call{N: n, Block: 7} // as a call before may have left it
		for i, x := range operands {
			c.Operands[i] = unsafe.Pointer(x)
		}
		copy(c.Results[:], results)
		copy(c.Sums[:], sums)
		before := c
		run(&c)
		c.Block = before.Block
		if c != before {
			return fmt.Errorf("it changed the call %v to %v", before, c)
		}
		return nil
	}
}

// ofOperations has the form of operations on streams, each but the first on
// the result of the one before, without results and sums.
func ofOperations[T kernels.Float](name string, ops ...kernels.Op) function[T] {
	f := function[T]{name: name}
	operand := func(d domain) {
		f.form.Nodes = append(f.form.Nodes, kernels.Node{Op: kernels.OpInput, Index: len(f.domains)})
		f.form.Operands = append(f.form.Operands, form.Stream)
		f.domains = append(f.domains, d)
	}
	if len(ops) == 0 {
		operand(real)
	}
	for i, op := range ops {
		n := kernels.Node{Op: op}
		switch {
		case i > 0:
			n.Args[0] = len(f.form.Nodes) - 1
		default:
			for j := range op.Arity() {
				d := real
				if op == kernels.OpNot || op == kernels.OpAnd || op == kernels.OpOr || op == kernels.OpSelect && j == 0 {
					d = truth
				}
				operand(d)
				n.Args[j] = j
			}
		}
		f.form.Nodes = append(f.form.Nodes, n)
	}
	return f
}

// sample is operands and what comes of them. A uniform operand has one element.
type sample[T kernels.Float] struct {
	operands, results [][]T
	summands          [][]T // of each sum
}

// newSample computes the form as the kernel language's reference does: node by
// node, each over all n elements.
func (f function[T]) newSample(n int, operands [][]T) *sample[T] {
	values := make([][]T, len(f.form.Nodes))
	for i, node := range f.form.Nodes {
		values[i] = make([]T, n)
		for j := range n {
			switch node.Op {
			case kernels.OpConst:
				values[i][j] = T(node.Const)
			case kernels.OpInput:
				x := operands[node.Index]
				values[i][j] = x[min(j, len(x)-1)] // or the one that there is
			default:
				var args [3]T
				for k, arg := range node.Args[:node.Op.Arity()] {
					args[k] = values[arg][j]
				}
				values[i][j] = kernels.Apply(node.Op, args)
			}
		}
	}
	s := &sample[T]{operands: operands}
	for _, node := range f.form.Results {
		s.results = append(s.results, slices.Clone(values[node])) // no two of them one
	}
	for _, sum := range f.form.Sums {
		s.summands = append(s.summands, slices.Clone(values[sum.Node]))
	}
	return s
}

// check runs the function on n elements of the sample and compares.
func (f function[T]) check(s *sample[T], from, n int, at place) error {
	err := f.compare(s, from, n, at)
	if err != nil {
		return fmt.Errorf("%s: %d elements: %w", f.name, n, err)
	}
	return nil
}

func (f function[T]) compare(s *sample[T], from, n int, at place) error {
	size := int(unsafe.Sizeof(*new(T)))
	regions := memory()
	next := 0 // region
	var operands []array[T]
	var results []func() error // what is wrong with each
	var sums []array[float64]
	var operandsAt []*T
	var resultsAt []unsafe.Pointer
	var sumsAt []*float64
	part := func(operand int) []T {
		if f.form.Operands[operand] == form.Uniform {
			return s.operands[operand]
		}
		return s.operands[operand][from:][:n]
	}
	for i := range s.operands {
		x := part(i)
		a := put[T](regions[next], at(next, len(x)*size), len(x))
		copy(a.data, x)
		operands, operandsAt = append(operands, a), append(operandsAt, a.at())
		next++
	}
	for i, want := range s.results {
		want = want[from:][:n]
		if f.form.Narrow(i) {
			a := put[byte](regions[next], at(next, n), n)
			results = append(results, func() error { return a.check(narrowed(want)) })
			resultsAt = append(resultsAt, unsafe.Pointer(a.at()))
		} else {
			start := at(next, n*size)
			if f.aligned {
				start &^= Alignment - 1
			}
			a := put[T](regions[next], start, n)
			results = append(results, func() error { return a.check(want) })
			resultsAt = append(resultsAt, unsafe.Pointer(a.at()))
		}
		next++
	}
	for i, sum := range f.form.Sums {
		// A count is added to what is there; a sum by the tree takes its place.
		blocks := 1
		if !sum.Count {
			blocks = (n + kernels.BlockSize - 1) / kernels.BlockSize
		}
		a := put[float64](regions[next], at(next, 8*blocks), blocks)
		if sum.Count {
			a.data[0] = float64(5 + i)
		}
		sums, sumsAt = append(sums, a), append(sumsAt, a.at())
		next++
	}

	if err := protected(func() error { return f.call(n, operandsAt, resultsAt, sumsAt) }); err != nil {
		return err
	}
	for i, a := range operands {
		if err := a.check(part(i)); err != nil {
			return fmt.Errorf("operand %d was changed: %w", i, err)
		}
	}
	for i, check := range results {
		if err := check(); err != nil {
			return fmt.Errorf("result %d: %w", i, err)
		}
	}
	for i, a := range sums {
		if err := a.check(f.sums(s, i, from, n)); err != nil {
			return fmt.Errorf("sum %d: %w", i, err)
		}
	}
	return nil
}

// narrowed is truth values as bytes.
func narrowed[T kernels.Float](x []T) []byte {
	list := make([]byte, len(x))
	for i := range x {
		list[i] = byte(x[i])
	}
	return list
}

// sums is what should be where the sum goes.
func (f function[T]) sums(s *sample[T], sum, from, n int) []float64 {
	x := s.summands[sum][from:][:n]
	if f.form.Sums[sum].Count {
		total := float64(5 + sum)
		for _, v := range x {
			total += float64(v) // whole numbers, so that the order is of no account
		}
		return []float64{total}
	}
	var blocks []float64
	for len(x) > 0 {
		block := x[:min(len(x), kernels.BlockSize)]
		blocks = append(blocks, kernels.TreeSum(len(block), func(i int) float64 { return float64(block[i]) }))
		x = x[len(block):]
	}
	return blocks
}

// specials are the numbers at which arithmetic changes.
func specials[T kernels.Float]() []T {
	var list []T
	switch list := any(&list).(type) {
	case *[]float32:
		for _, bits := range []uint32{
			0x00000000, 0x3f800000, 0x7f800000, // 0, 1, infinity
			0x00000001, 0x00000002, 0x007fffff, 0x00800000, 0x00800001, // about the smallest normal number
			0x7f7fffff, 0x3f7fffff, 0x4b000001, 0x34000000, // the largest; next below 1; 2^23+1; 2^-23
			0x7fc00000, 0x7fc12345, 0x7f800001, // NaN, with a payload, signalling
		} {
			*list = append(*list, math.Float32frombits(bits), math.Float32frombits(bits|1<<31))
		}
	case *[]float64:
		for _, bits := range []uint64{
			0, 0x3ff0000000000000, 0x7ff0000000000000,
			1, 2, 0x000fffffffffffff, 0x0010000000000000, 0x0010000000000001,
			0x7fefffffffffffff, 0x3fefffffffffffff, 0x4330000000000001, 0x3cb0000000000000,
			0x7ff8000000000000, 0x7ff8123456789abc, 0x7ff0000000000001,
		} {
			*list = append(*list, math.Float64frombits(bits), math.Float64frombits(bits|1<<63))
		}
	}
	return list
}

// number draws one of a domain. Tame ones are finite, of sizes so different
// that each order of a sum has its own result, and often equal; of the wild
// ones half are special.
func number[T kernels.Float](rng *rand.Rand, d domain, wild bool) T {
	few := []T{1, -1, 0, T(math.Copysign(0, -1))}
	switch {
	case d == truth:
		return T(rng.IntN(2))
	case d == ternary && wild && rng.IntN(500) == 0:
		return T(math.NaN())
	case d == real && wild && rng.IntN(2) == 0:
		all := specials[T]()
		return all[rng.IntN(len(all))]
	case d == ternary || rng.IntN(3) == 0:
		return few[rng.IntN(len(few))]
	}
	return T(math.Ldexp(rng.NormFloat64(), rng.IntN(60)-30))
}

// sampleLength is three blocks and some more.
const sampleLength = 3*kernels.BlockSize + 100

// A sample is made once for all functions of a form.
var samples = map[string]any{}

// sampleOf is the sample of n elements that is made of the numbers, or the one
// made before by that name.
func (f function[T]) sampleOf(name string, n int, at func(operand, i int) T) *sample[T] {
	key := fmt.Sprintf("%T %s %v %v", *new(T), name, f.domains, f.form)
	s, ok := samples[key].(*sample[T])
	if !ok {
		s = f.newSample(n, f.operands(n, at))
		samples[key] = s
	}
	return s
}

// sample is of tame or of wild numbers.
func (f function[T]) sample(wild bool) *sample[T] {
	rng := rand.New(rand.NewPCG(1, 0))
	return f.sampleOf(fmt.Sprint("wild ", wild), sampleLength, func(operand, _ int) T { return number[T](rng, f.domains[operand], wild) })
}

// operands makes arrays of n elements, and of one for a uniform operand.
func (f function[T]) operands(n int, at func(operand, i int) T) [][]T {
	list := make([][]T, len(f.form.Operands))
	for i, access := range f.form.Operands {
		list[i] = make([]T, n)
		if access == form.Uniform {
			list[i] = make([]T, 1)
		}
		for j := range list[i] {
			list[i][j] = at(i, j)
		}
	}
	return list
}
