// The functions of mathematics on all numbers that float32 has.

package kernels_test

import (
	"flag"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/kernels"
)

var exhaustive = flag.Bool("exhaustive", false, "try the functions on all 2^32 float32 numbers, for minutes each")

// TestExhaustive computes each function of all float32 numbers on the device
// that $ERRORCELL_DEVICE names, and compares with float64: make exhaustive.
func TestExhaustive(t *testing.T) {
	if !*exhaustive {
		t.Skip("2^32 numbers take minutes: make exhaustive tries them")
	}
	dev, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	const n = 1 << 20
	x, y := newBuffer(t, dev, n), newBuffer(t, dev, n)
	for _, f := range functions {
		t.Run(f.name, func(t *testing.T) {
			sig := kernels.Signature{DType: kernels.F32}
			sig.Kinds[0] = kernels.Full
			program, err := dev.Compile(functionKernel(f.name, f.build), sig)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			worst, falls := worse{}, 0
			in, out := make([]float32, n), make([]float32, n)
			for first := 0; first < 1<<32; first += n {
				for i := range in {
					in[i] = math.Float32frombits(uint32(first + i))
				}
				if _, err := x.WriteAt(bytesOf(in), 0); err != nil {
					t.Fatal(err)
				}
				if err := program.Run(1, n, []backend.Buffer{x}, []backend.Buffer{y}); err != nil {
					t.Fatal(err)
				}
				if _, err := y.ReadAt(bytesOf(out), 0); err != nil {
					t.Fatal(err)
				}
				w, fell := f.compare(t, in, out)
				worst.note(w.x, w.ulps)
				falls += fell
			}
			t.Logf("%s of all float32 numbers on %s: at most %.3f ulp, at %v (%x); %d steps down; %v",
				f.name, dev.Name(), worst.ulps, worst.x, worst.x, falls, time.Since(start).Round(time.Second))
			if !(worst.ulps <= mostUlp) {
				t.Errorf("an error of %v ulp", worst.ulps)
			}
		})
	}
}

// compare finds the largest error of results, and how often one is less than
// that of the number before, in parallel.
func (f function) compare(t *testing.T, in, out []float32) (worst worse, falls int) {
	var mutex sync.Mutex
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for part := range workers {
		from, to := len(in)*part/workers, len(in)*(part+1)/workers
		all.Go(func() {
			mine, fell := worse{}, 0
			for i := from; i < to; i++ {
				checkRange(t, in[i], out[i], f.low, f.high)
				mine.note(float64(in[i]), ulps32(out[i], f.exact(float64(in[i]))))
				if i > 0 && (in[i] > in[i-1] && out[i] < out[i-1] || in[i] < in[i-1] && out[i] > out[i-1]) {
					fell++
				}
			}
			mutex.Lock()
			defer mutex.Unlock()
			worst.note(mine.x, mine.ulps)
			falls += fell
		})
	}
	all.Wait()
	return worst, falls
}

func newBuffer(t *testing.T, dev backend.Device, n int) backend.Buffer {
	b, err := dev.NewBuffer(kernels.F32, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// BenchmarkFunctions is each function on one thread, of numbers that stay in the
// cache.
func BenchmarkFunctions(b *testing.B) {
	for _, spec := range []string{"cpu:avx512,threads=1", "cpu:avx2,threads=1", "cpu:generic,threads=1"} {
		dev, err := backend.Open(spec)
		if err != nil {
			b.Log(err)
			continue
		}
		defer dev.Close()
		for _, f := range functions {
			b.Run(f.name+"/"+spec, func(b *testing.B) {
				const n = 1 << 14
				sig := kernels.Signature{DType: kernels.F32}
				sig.Kinds[0] = kernels.Full
				program, err := dev.Compile(functionKernel(f.name, f.build), sig)
				if err != nil {
					b.Fatal(err)
				}
				in, err := dev.NewBuffer(kernels.F32, n)
				if err != nil {
					b.Fatal(err)
				}
				defer in.Close()
				out, err := dev.NewBuffer(kernels.F32, n)
				if err != nil {
					b.Fatal(err)
				}
				defer out.Close()
				for b.Loop() {
					if err := program.Run(1, n, []backend.Buffer{in}, []backend.Buffer{out}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/element")
			})
		}
	}
}
