package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	{"avx512", onDevice("cpu:avx512")},
	{"avx2", onDevice("cpu:avx2")},
	{"generic", onDevice("cpu:generic")},
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

// onDevice is the kernel on a path of the CPU, with GOMAXPROCS threads.
func onDevice(spec string) func(testing.TB, arrays) runner {
	return func(tb testing.TB, a arrays) runner { return kernelRunner(tb, spec, a) }
}

func kernelRunner(tb testing.TB, spec string, a arrays) runner {
	dev := openDevice(tb, spec)
	shape := kernels.Shape{rows, len(a.target) / rows}
	step, outputs := kernelStep(tb, dev, kernels.Laplacian, kernels.F32, map[string]kernels.Shape{"target": shape, "mu": shape},
		func(name string) []float32 { return map[string][]float32{"target": a.target, "mu": a.mu}[name] })
	return runner{
		step: step,
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

// openDevice opens a device; where it cannot be had the benchmark is skipped.
func openDevice(tb testing.TB, spec string) backend.Device {
	dev, err := backend.Open(spec)
	if errors.Is(err, backend.ErrUnavailable) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return dev
}

// kernelStep is a run of a kernel on operands of shapes, by their names, with
// the results' buffers.
func kernelStep[T kernels.Float](tb testing.TB, dev backend.Device, k *kernels.Kernel, dtype kernels.DType,
	shapes map[string]kernels.Shape, data func(name string) []T) (step func() error, outputs []backend.Buffer) {
	all := make([]kernels.Shape, k.NumInputs())
	for i := range all {
		all[i] = shapes[k.InputName(i)]
	}
	binding, err := k.Bind(dtype, all...)
	if err != nil {
		tb.Fatal(err)
	}
	program, err := dev.Compile(k, binding.Signature)
	if err != nil {
		tb.Fatal(err)
	}
	buffer := func(n int) backend.Buffer {
		b, err := dev.NewBuffer(dtype, n)
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	inputs := make([]backend.Buffer, len(all))
	for i, shape := range all {
		if shape == nil {
			continue
		}
		inputs[i] = buffer(shape.Len())
		if err := backend.Upload(inputs[i], data(k.InputName(i))); err != nil {
			tb.Fatal(err)
		}
	}
	for _, shape := range binding.Outputs {
		outputs = append(outputs, buffer(shape.Len()))
	}
	return func() error { return program.Run(binding.Rows, binding.Cols, inputs, outputs) }, outputs
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

// limit copies two arrays to two others, by the fastest of the ways that there
// are, on GOMAXPROCS threads that wait for work as the device's do. The arrays
// are in the device's memory, which may have larger pages than other memory.
func limit(tb testing.TB, a arrays) runner {
	dev, err := backend.Open("cpu")
	if err != nil {
		tb.Fatal(err)
	}
	n := len(a.target)
	var arrays [4][]float32
	for i, data := range [][]float32{a.target, a.mu, a.dmu, a.dtarget} {
		b, err := dev.NewBuffer(kernels.F32, n)
		if err != nil {
			tb.Fatal(err)
		}
		if err := backend.Upload(b, data); err != nil {
			tb.Fatal(err)
		}
		arrays[i], _ = backend.View[float32](b)
	}
	threads := max(1, min(runtime.GOMAXPROCS(0), n/(1<<14)))
	var fastest runner
	var least time.Duration
	for _, c := range copiers() {
		r := copyRunner(c, arrays, threads)
		start := time.Now()
		for done := 0; done < 1<<24 || done < 3*n; done += n {
			r.step()
		}
		if took := time.Since(start); fastest.step == nil || took < least {
			r, fastest, least = fastest, r, took
		}
		if r.close != nil {
			r.close()
		}
	}
	stop := fastest.close
	fastest.close = func() { stop(); dev.Close() }
	return fastest
}

// copyRunner splits a copy over threads.
func copyRunner(c copier, a [4][]float32, threads int) runner {
	n := len(a[0])
	// edge is where a part begins: at a multiple of a block.
	edge := func(i int) int { return n / kernels.BlockSize * i / threads * kernels.BlockSize }
	part := func(i int) {
		first, end := edge(i), edge(i+1)
		c(&a[2][first], &a[3][first], &a[0][first], &a[1][first], end-first)
	}
	var round, done atomic.Int64
	// look looks for a while whether something has happened.
	look := func(happened func() bool) bool {
		if happened() {
			return true
		}
		for start := time.Now(); time.Since(start) < 100*time.Microsecond; {
			for range 1024 {
				if happened() {
					return true
				}
			}
			runtime.Gosched()
		}
		return happened()
	}
	sleepers := make([]struct {
		asleep atomic.Bool
		wake   chan bool
	}, threads)
	var stopped sync.WaitGroup
	for i := 1; i < threads; i++ {
		s := &sleepers[i]
		s.wake = make(chan bool, 1)
		stopped.Go(func() {
			for next := int64(1); ; next++ {
				posted := func() bool { return round.Load() >= next || round.Load() < 0 }
				for !look(posted) {
					s.asleep.Store(true)
					if !posted() || !s.asleep.CompareAndSwap(true, false) {
						<-s.wake
					}
				}
				if round.Load() < 0 {
					return
				}
				part(i)
				done.Add(1)
			}
		})
	}
	post := func(n int64) {
		round.Store(n)
		for i := 1; i < threads; i++ {
			if s := &sleepers[i]; s.asleep.CompareAndSwap(true, false) {
				s.wake <- true
			}
		}
	}
	r := host(func() error {
		n := round.Load() + 1
		post(n)
		part(0)
		for !look(func() bool { return done.Load() == n*int64(threads-1) }) {
		}
		return nil
	}, new(float32))
	r.close = func() {
		post(-1)
		stopped.Wait()
	}
	return r
}
