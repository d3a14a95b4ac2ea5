package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"gorgonia.org/tensor"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/kernels"
	"errorcell/neurons"
)

// rows is the batch of every size; the units are n/rows.
const rows = 256

var sizes = []int{4096, 65536, 1048576, 4194304, 33554432}

// arrays are the operands and results of a step, (B x N) each.
type arrays struct {
	target, mu, dmu, dtarget []float32
}

// newArrays makes operands of which a quarter of the units agree.
func newArrays(n int) arrays {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	a := arrays{make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)}
	for i := range n {
		a.target[i], a.mu[i] = rng.Float32(), rng.Float32()
		if rng.IntN(4) == 0 {
			a.mu[i] = a.target[i]
		}
	}
	return a
}

// runner is an implementation made ready.
type runner struct {
	step func() error
	// loss is L after a step; dmu and dtarget are in the arrays then, or fetch
	// brings them there.
	loss  func() float32
	fetch func(arrays) error
	close func()
}

// impl makes ready an implementation of the step on the arrays.
type impl struct {
	name string
	make func(tb testing.TB, a arrays) runner
}

var impls = []impl{
	{"limit", limit},
	{"errorcell", errorcell},
	{"generic", generic},
	{"naive", naive},
	{"gorgonia", gorgonia},
}

// BenchmarkLaplacianStep is one step of the Laplacian error cell on operands
// that are in the device's memory. An element is 16 bytes: two numbers read,
// two written.
func BenchmarkLaplacianStep(b *testing.B) {
	for _, im := range impls {
		b.Run("impl="+im.name, func(b *testing.B) {
			for _, n := range sizes {
				b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
					r := im.make(b, newArrays(n))
					defer r.close()
					if err := r.step(); err != nil { // warm
						b.Fatal(err)
					}
					b.SetBytes(16 * int64(n))
					b.ReportAllocs()
					for b.Loop() {
						if err := r.step(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// errorcell is a cell on the default device, as a user has it.
func errorcell(tb testing.TB, a arrays) runner {
	cell, err := neurons.NewLaplacianErrorCell("e", len(a.target)/rows)
	if err != nil {
		tb.Fatal(err)
	}
	if err := cell.Target().SetFloat32s(a.target); err != nil {
		tb.Fatal(err)
	}
	if err := cell.Mean().SetFloat32s(a.mu); err != nil {
		tb.Fatal(err)
	}
	return runner{
		step: func() error { return cell.AdvanceState(0, 1) },
		loss: func() float32 {
			loss, err := cell.Loss().Scalar()
			if err != nil {
				tb.Error(err)
			}
			return float32(loss)
		},
		fetch: func(a arrays) error {
			return errors.Join(cell.DerivMean().ReadFloat32s(a.dmu), cell.DerivTarget().ReadFloat32s(a.dtarget))
		},
		close: func() { cell.Close() },
	}
}

// generic is the kernel on the plain Go path, with GOMAXPROCS threads.
func generic(tb testing.TB, a arrays) runner {
	dev, err := backend.Open("cpu:generic")
	if err != nil {
		tb.Fatal(err)
	}
	shape := kernels.Shape{rows, len(a.target) / rows}
	shapes := make([]kernels.Shape, kernels.Laplacian.NumInputs())
	shapes[0], shapes[1] = shape, shape
	binding, err := kernels.Laplacian.Bind(kernels.F32, shapes...)
	if err != nil {
		tb.Fatal(err)
	}
	program, err := dev.Compile(kernels.Laplacian, binding.Signature)
	if err != nil {
		tb.Fatal(err)
	}
	inputs := make([]backend.Buffer, len(shapes))
	for i, data := range [][]float32{a.target, a.mu} {
		if inputs[i], err = dev.NewBuffer(kernels.F32, len(data)); err != nil {
			tb.Fatal(err)
		}
		if err := backend.Upload(inputs[i], data); err != nil {
			tb.Fatal(err)
		}
	}
	outputs := make([]backend.Buffer, len(binding.Outputs))
	for i, s := range binding.Outputs {
		if outputs[i], err = dev.NewBuffer(kernels.F32, s.Len()); err != nil {
			tb.Fatal(err)
		}
	}
	return runner{
		step: func() error { return program.Run(binding.Rows, binding.Cols, inputs, outputs) },
		loss: func() float32 {
			var loss [1]float32
			if err := backend.Download(outputs[2], loss[:]); err != nil {
				tb.Error(err)
			}
			return loss[0]
		},
		fetch: func(a arrays) error {
			return errors.Join(backend.Download(outputs[0], a.dmu), backend.Download(outputs[1], a.dtarget))
		},
		close: func() { dev.Close() },
	}
}

// host is the runner of a step that leaves its results in the arrays.
func host(step func() error, loss *float32) runner {
	return runner{step: step, loss: func() float32 { return *loss }, fetch: func(arrays) error { return nil }, close: func() {}}
}

// naive is the loop that one would write first.
func naive(_ testing.TB, a arrays) runner {
	var loss float32
	step := func() error {
		mismatches := 0
		for i := range a.target {
			d := a.target[i] - a.mu[i]
			e := d
			if d > 0 {
				e = 1
			} else if d < 0 {
				e = -1
			}
			a.dmu[i] = e
			a.dtarget[i] = -e
			if e != 0 {
				mismatches++
			}
		}
		loss = -float32(mismatches)
		return nil
	}
	return host(step, &loss)
}

// gorgonia is the step in operations of gorgonia.org/tensor, which write to
// tensors that are there already where the library can.
func gorgonia(tb testing.TB, a arrays) runner {
	dense := func(data []float32) *tensor.Dense {
		return tensor.New(tensor.WithShape(rows, len(data)/rows), tensor.WithBacking(data))
	}
	target, mu, dmu, dtarget := dense(a.target), dense(a.mu), dense(a.dmu), dense(a.dtarget)
	magnitude := dense(make([]float32, len(a.target)))
	var loss float32
	step := func() error {
		if _, err := tensor.Sub(target, mu, tensor.WithReuse(dmu)); err != nil {
			return err
		}
		if _, err := tensor.Sign(dmu, tensor.UseUnsafe()); err != nil {
			return err
		}
		if _, err := tensor.Neg(dmu, tensor.WithReuse(dtarget)); err != nil {
			return err
		}
		if _, err := tensor.Abs(dmu, tensor.WithReuse(magnitude)); err != nil {
			return err
		}
		sum, err := tensor.Sum(magnitude)
		if err != nil {
			return err
		}
		total, ok := sum.ScalarValue().(float32)
		if !ok {
			return fmt.Errorf("the sum is a %T", sum.ScalarValue())
		}
		loss = -total
		return nil
	}
	return host(step, &loss)
}

// limit reads two arrays and writes two, with the runtime's copy, on
// GOMAXPROCS threads. They sleep between the steps, which costs them more than
// the step where that is short: on several threads it is a limit for large arrays
// alone.
func limit(_ testing.TB, a arrays) runner {
	threads := min(runtime.GOMAXPROCS(0), max(1, len(a.target)/(1<<14)))
	var done sync.WaitGroup
	part := func(i int) {
		first, end := len(a.target)*i/threads, len(a.target)*(i+1)/threads
		for ; first < end; first += kernels.BlockSize {
			last := min(first+kernels.BlockSize, end)
			copy(a.dmu[first:last], a.target[first:last])
			copy(a.dtarget[first:last], a.mu[first:last])
		}
	}
	work := make([]chan bool, threads-1)
	for i := range work {
		work[i] = make(chan bool, 1)
		go func() {
			for range work[i] {
				part(i + 1)
				done.Done()
			}
		}()
	}
	r := host(func() error {
		done.Add(len(work))
		for _, w := range work {
			w <- true
		}
		part(0)
		done.Wait()
		return nil
	}, new(float32))
	r.close = func() {
		for _, w := range work {
			close(w)
		}
	}
	return r
}
