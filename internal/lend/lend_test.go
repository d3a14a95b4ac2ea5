package lend

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

// compile makes a program for a target and mu that are full, a modulator of a kind, and
// the results that are named.
func compile(tb testing.TB, dev backend.Device, k *kernels.Kernel, dtype kernels.DType, modulator kernels.Kind, results ...string) backend.Program {
	tb.Helper()
	sig := kernels.Signature{DType: dtype, Omit: 1<<len(k.Outputs()) - 1}
	sig.Kinds[0], sig.Kinds[1], sig.Kinds[2] = kernels.Full, kernels.Full, modulator
	for _, name := range results {
		sig.Omit &^= 1 << k.OutputIndex(name)
	}
	program, err := dev.Compile(k, sig)
	if err != nil {
		tb.Fatal(err)
	}
	return program
}

// numbers are n, other ones for each seed, some of them the same.
func numbers[T kernels.Float](n, seed int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = T((i*(seed+5)+seed)%11) / 4
	}
	return s
}

// reference is what a kernel of target, mu and modulator computes.
func reference[T kernels.Float](tb testing.TB, k *kernels.Kernel, target, mu, modulator []T) map[string][]T {
	tb.Helper()
	in := make([]*kernels.Array[T], k.NumInputs())
	for i, s := range [][]T{target, mu, modulator} {
		if s != nil {
			in[i] = &kernels.Array[T]{Shape: kernels.Shape{len(s)}, Data: s}
		}
	}
	out, err := kernels.Reference(k, in...)
	if err != nil {
		tb.Fatal(err)
	}
	results := map[string][]T{}
	for i, o := range k.Outputs() {
		results[o.Name] = out[i].Data
	}
	return results
}

func equal[T kernels.Float](a, b []T) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// Operands may be absent and results omitted, of each type, one lender having all.
func TestRun(t *testing.T) {
	for _, w := range ways(t) {
		t.Run(w.name, func(t *testing.T) {
			l := New(w.dev)
			for range 3 { // with new buffers, and with kept ones
				for _, n := range []int{0, 1, 3, 100, 5000} {
					testRun[float32](t, w, l, n)
					testRun[float64](t, w, l, n)
				}
			}
			if w.remote != nil && w.remote.copied.Load() == 0 {
				t.Error("nothing was copied")
			}
		})
	}
}

func testRun[T kernels.Float](t *testing.T, w way, l *Lender, n int) {
	t.Helper()
	target, mu, modulator := numbers[T](n, 1), numbers[T](n, 2), []T{3}
	dtype := kernels.DTypeOf[T]()
	for _, c := range []struct {
		modulator []T
		kind      kernels.Kind
		results   []string
	}{
		{nil, kernels.Absent, []string{"dmu"}},
		{nil, kernels.Absent, []string{"L"}},
		{modulator, kernels.Scalar, []string{"dmu", "dtarget", "L"}},
	} {
		k := kernels.Laplacian
		want := reference(t, k, target, mu, c.modulator)
		inputs, outputs := make([]Memory, k.NumInputs()), make([]Memory, len(k.Outputs()))
		inputs[0], inputs[1] = Of(target), Of(mu)
		if c.modulator != nil {
			inputs[2] = Of(c.modulator)
		}
		got := map[string][]T{}
		for _, name := range c.results {
			got[name] = make([]T, len(want[name]))
			outputs[k.OutputIndex(name)] = Of(got[name])
		}
		if err := l.Run(compile(t, w.dev, k, dtype, c.kind, c.results...), 1, n, inputs, outputs); err != nil {
			t.Fatal(err)
		}
		for name, got := range got {
			if !equal(got, want[name]) {
				t.Errorf("%v of %d: %s is %v, not %v", dtype, n, name, got, want[name])
			}
		}
		w.check(t)
	}
}

// A result may be an operand, also of a kernel that a device cannot compute in place,
// or lie across it.
func TestOverlap(t *testing.T) {
	const n = 1000
	for _, w := range ways(t) {
		l := New(w.dev)
		for _, c := range []struct {
			name    string
			results []string
			at      func(target, mu, free []float64) [][]float64 // of each result
		}{
			{"first", []string{"dmu"}, func(target, mu, _ []float64) [][]float64 { return [][]float64{target[:n]} }},
			{"second", []string{"dmu"}, func(target, mu, _ []float64) [][]float64 { return [][]float64{mu[:n]} }},
			{"behind", []string{"dmu"}, func(target, mu, _ []float64) [][]float64 { return [][]float64{mu[1:]} }},
			{"sum", []string{"L"}, func(target, mu, _ []float64) [][]float64 { return [][]float64{target[n-1 : n]} }},
			{"sum beside", []string{"dmu", "L"}, func(target, mu, free []float64) [][]float64 { return [][]float64{mu[:n], free[:1]} }},
			{"two", []string{"dmu", "dtarget"}, func(target, mu, _ []float64) [][]float64 { return [][]float64{mu[:n], target[:n]} }},
		} {
			t.Run(w.name+"/"+c.name, func(t *testing.T) {
				k := kernels.Gaussian
				target, mu, free := numbers[float64](n+1, 1), numbers[float64](n+1, 2), make([]float64, n)
				want := reference(t, k, target[:n], mu[:n], nil)
				at := c.at(target, mu, free)
				inputs, outputs := make([]Memory, k.NumInputs()), make([]Memory, len(k.Outputs()))
				inputs[0], inputs[1] = Of(target[:n]), Of(mu[:n])
				for i, name := range c.results {
					outputs[k.OutputIndex(name)] = Of(at[i])
				}
				if err := l.Run(compile(t, w.dev, k, kernels.F64, kernels.Absent, c.results...), 1, n, inputs, outputs); err != nil {
					t.Fatal(err)
				}
				for i, name := range c.results {
					if !equal(at[i], want[name]) {
						t.Errorf("%s is %v, not %v", name, at[i], want[name])
					}
				}
				w.check(t)
			})
		}
	}
}

// What can be computed where it is, is; what a device need not be able to, is not.
func TestInPlace(t *testing.T) {
	r := &borrower{remote: &remote{Device: open(t)}, reaches: func(unsafe.Pointer) bool { return true }}
	l := New(r)
	k := kernels.Gaussian
	x, y, free := numbers[float32](100, 1), numbers[float32](100, 2), make([]float32, 100)
	for _, c := range []struct {
		dmu, dtarget []float32
		copies       int64
	}{
		{free, nil, 0},
		{x, nil, 0},
		{y, nil, 0},
		{free, x, 1},
	} {
		outputs := make([]Memory, len(k.Outputs()))
		results := []string{"dmu"}
		outputs[k.OutputIndex("dmu")] = Of(c.dmu)
		if c.dtarget != nil {
			results = append(results, "dtarget")
			outputs[k.OutputIndex("dtarget")] = Of(c.dtarget)
		}
		inputs := make([]Memory, k.NumInputs())
		inputs[0], inputs[1] = Of(x), Of(y)
		r.copied.Store(0)
		if err := l.Run(compile(t, r, k, kernels.F32, kernels.Absent, results...), 1, len(x), inputs, outputs); err != nil {
			t.Fatal(err)
		}
		if got := r.copied.Load(); got != c.copies {
			t.Errorf("%v: %d copies, not %d", results, got, c.copies)
		}
	}
}

func TestConcurrent(t *testing.T) {
	for _, w := range ways(t) {
		t.Run(w.name, func(t *testing.T) {
			l := New(w.dev)
			var group sync.WaitGroup
			for i := range 8 {
				group.Go(func() {
					for range 10 {
						if i%2 == 0 {
							oneRun[float32](t, w, l, i)
						} else {
							oneRun[float64](t, w, l, i)
						}
					}
				})
			}
			group.Wait()
			w.check(t)
		})
	}
}

func oneRun[T kernels.Float](t *testing.T, w way, l *Lender, seed int) {
	const n = 300
	k := kernels.Laplacian
	target, mu, got := numbers[T](n, seed), numbers[T](n, seed+1), make([]T, n)
	outputs := make([]Memory, len(k.Outputs()))
	outputs[k.OutputIndex("dmu")] = Of(got)
	err := l.Run(compile(t, w.dev, k, kernels.DTypeOf[T](), kernels.Absent, "dmu"), 1, n, []Memory{Of(target), Of(mu), {}}, outputs)
	if want := reference(t, k, target, mu, nil)["dmu"]; err != nil || !equal(got, want) {
		t.Errorf("%v, error %v, not %v", got, err, want)
	}
}

// A failure names what it is of, leaves the results and lets go of all memory; the
// next run is none the worse for it.
func TestFailures(t *testing.T) {
	const n = 10
	dev := open(t)
	for _, c := range []struct {
		fails string
		after int
		want  string // the error begins with it
	}{
		{"NewBorrowed", 0, "target: told"},
		{"NewBorrowed", 2, "dmu: told"},
		{"Borrow", 1, "mu: told"},
		{"Borrow", 3, "dtarget: told"},
		{"NewBuffer", 0, "target: told"},
		{"NewBuffer", 1, "mu: told"},
		{"NewBuffer", 3, "dtarget: told"},
		{"WriteAt", 0, "target: told"},
		{"WriteAt", 1, "mu: told"},
		{"Run", 0, "told"},
		{"Sync", 0, "told"},
		{"ReadAt", 0, "dmu: told"},
	} {
		t.Run(fmt.Sprintf("%s/%d", c.fails, c.after), func(t *testing.T) {
			borrows := c.fails == "NewBorrowed" || c.fails == "Borrow"
			b := &borrower{remote: &remote{Device: dev, fails: c.fails, after: c.after}, reaches: func(unsafe.Pointer) bool { return borrows }}
			w := way{dev: b, remote: b.remote, borrower: b}
			l := New(b)
			program := compile(t, b, kernels.Laplacian, kernels.F32, kernels.Absent, "dmu", "dtarget")
			target, mu := numbers[float32](n, 1), numbers[float32](n, 2)
			dmu, dtarget := numbers[float32](n, 3), numbers[float32](n, 4)
			run := func() error {
				return l.Run(program, 1, n, []Memory{Of(target), Of(mu), {}}, []Memory{Of(dmu), Of(dtarget), {}})
			}
			err := run()
			if !errors.Is(err, errTold) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %q, not %q", err, c.want)
			}
			if !equal(dmu, numbers[float32](n, 3)) || !equal(dtarget, numbers[float32](n, 4)) {
				t.Errorf("the results are changed: %v, %v", dmu, dtarget)
			}
			w.check(t)
			b.fails = ""
			want := reference(t, kernels.Laplacian, target, mu, nil)
			if err := run(); err != nil || !equal(dmu, want["dmu"]) || !equal(dtarget, want["dtarget"]) {
				t.Errorf("after that: %v, %v, error %v", dmu, dtarget, err)
			}
			w.check(t)
		})
	}
}

// What is asked for must fit the program.
func TestRefusals(t *testing.T) {
	for _, w := range ways(t) {
		l := New(w.dev)
		program := compile(t, w.dev, kernels.Laplacian, kernels.F32, kernels.Absent, "dmu")
		x, y, wide := Of(make([]float32, 4)), Of(make([]float32, 4)), Of(make([]float64, 4))
		nowhere, negative, typeless := x, x, x
		nowhere.First, negative.Len, typeless.DType = nil, -1, 200
		for name, c := range map[string]struct {
			inputs, outputs []Memory
			is              error
			want            string
		}{
			"operands":  {[]Memory{x, x}, []Memory{y, {}, {}}, backend.ErrOperands, "3 operands and 3 results are wanted, 2 and 3 are given"},
			"results":   {[]Memory{x, x, {}}, []Memory{y}, backend.ErrOperands, "3 and 1 are given"},
			"no mu":     {[]Memory{x, {}, {}}, []Memory{y, {}, {}}, backend.ErrOperands, "mu"},
			"modulator": {[]Memory{x, x, x}, []Memory{y, {}, {}}, backend.ErrOperands, "modulator"},
			"no result": {[]Memory{x, x, {}}, []Memory{{}, y, {}}, backend.ErrOperands, "dmu"},
			"type":      {[]Memory{x, wide, {}}, []Memory{y, {}, {}}, backend.ErrDType, "mu"},
			"short":     {[]Memory{x, Of(make([]float32, 3)), {}}, []Memory{y, {}, {}}, backend.ErrShape, "mu"},
			"nowhere":   {[]Memory{nowhere, x, {}}, []Memory{y, {}, {}}, backend.ErrShape, "target: "},
			"negative":  {[]Memory{x, negative, {}}, []Memory{y, {}, {}}, backend.ErrShape, "mu: "},
			"typeless":  {[]Memory{typeless, x, {}}, []Memory{y, {}, {}}, backend.ErrDType, "target: "},
			"to nil":    {[]Memory{x, x, {}}, []Memory{nowhere, {}, {}}, backend.ErrShape, "dmu: "},
		} {
			t.Run(w.name+"/"+name, func(t *testing.T) {
				if err := l.Run(program, 1, 4, c.inputs, c.outputs); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, not %q", err, c.want)
				}
				w.check(t)
			})
		}
	}
	dev := open(t)
	program := compile(t, dev, kernels.Laplacian, kernels.F32, kernels.Absent, "dmu")
	l := New(dev)
	x := Of(make([]float32, 4))
	dev.Close()
	if err := l.Run(program, 1, 4, []Memory{x, x, {}}, []Memory{x, {}, {}}); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("a closed device: %v", err)
	}
}
