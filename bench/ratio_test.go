package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"errorcell/kernels"
)

// Of two implementations in one benchmark: they take turns, some milliseconds
// each, so that whatever else the machine does hits both alike, and what is
// reported is the ratio of the medians of their turns.

// BenchmarkOfLimit is the speed of a step as a part of the limit's.
func BenchmarkOfLimit(b *testing.B) {
	for _, im := range impls {
		if im.name == "limit" || im.name == "naive" || im.name == "gorgonia" {
			continue
		}
		for _, n := range sizes {
			b.Run(fmt.Sprintf("impl=%s/n=%d", im.name, n), func(b *testing.B) {
				a := newArrays(n)
				step, limit := im.make(b, a), limit(b, a)
				defer step.close()
				defer limit.close()
				takeTurns(b, "limit/step", step.step, limit.step, max(1, 1<<24/n))
			})
		}
	}
}

// BenchmarkKernels is the speed of kernels, element types and sets of operands
// as a part of the limit's, at which as many bytes are read and written.
func BenchmarkKernels(b *testing.B) {
	full, column, scalar := kernels.Shape{1, 1}, kernels.Shape{1}, kernels.Shape{}
	type operands = map[string]kernels.Shape
	scale := operands{"scale": scalar}
	scaleGates := operands{"scale": scalar, "modulator": full, "mask": full}
	sigma := operands{"sigma": scalar}
	sigmaGates := operands{"sigma": scalar, "modulator": full, "mask": full}
	gates := operands{"modulator": full, "mask": full}
	rewards := operands{"reward": full, "mu": full, "accum_reward": full, "n_ep_steps": column, "keep": scalar, "alpha": scalar}
	pressed := operands{"j_td": full, "dt": scalar, "rate": scalar, "gamma": scalar}
	rate := func(activation string) *kernels.Kernel {
		return kernels.MustRate(kernels.RateSpec{Activation: activation, Prior: "gaussian", Threshold: "none"})
	}
	for _, c := range []struct {
		name   string
		kernel *kernels.Kernel
		dtype  kernels.DType
		// given are the operands that are optional, or not of the grid's shape: full
		// is of that shape, column has one element a row.
		given  operands
		arrays int // that are read or written
		specs  []string
	}{
		{"laplacian/float32", kernels.Laplacian, kernels.F32, nil, 4, bestAndAVX2},
		{"laplacian/float64", kernels.Laplacian, kernels.F64, nil, 4, bestAndAVX2},
		{"laplacian+modulator/float32", kernels.Laplacian, kernels.F32, operands{"modulator": full}, 5, best},
		{"laplacian-l1/float32", kernels.LaplacianL1, kernels.F32, nil, 4, bestAndAVX2},
		{"laplacian-l1/float64", kernels.LaplacianL1, kernels.F64, nil, 4, bestAndAVX2},
		{"laplacian-scaled+scale/float32", kernels.LaplacianScaled, kernels.F32, scale, 4, bestAndAVX2},
		{"laplacian-scaled+scale+gates/float32", kernels.LaplacianScaled, kernels.F32, scaleGates, 6, bestAndAVX2},
		{"laplacian-scaled-l1+scale/float32", kernels.LaplacianScaledL1, kernels.F32, scale, 4, bestAndAVX2},
		{"laplacian-scaled-l1+scale+gates/float32", kernels.LaplacianScaledL1, kernels.F32, scaleGates, 6, bestAndAVX2},
		{"gaussian/float32", kernels.Gaussian, kernels.F32, nil, 4, bestAndAVX2},
		{"gaussian+sigma/float32", kernels.Gaussian, kernels.F32, sigma, 4, bestAndAVX2},
		{"gaussian+sigma+gates/float32", kernels.Gaussian, kernels.F32, sigmaGates, 6, bestAndAVX2},
		{"bernoulli/float32", kernels.Bernoulli, kernels.F32, nil, 4, bestAndAVX2},
		{"bernoulli+gates/float32", kernels.Bernoulli, kernels.F32, gates, 6, best},
		{"bernoulli-logits/float32", kernels.BernoulliLogits, kernels.F32, nil, 4, bestAndAVX2},
		{"reward/float32", kernels.Reward, kernels.F32, rewards, 6, bestAndAVX2},
		{"rate-identity/float32", rate("identity"), kernels.F32, pressed, 5, bestAndAVX2},
		{"rate-relu/float32", rate("relu"), kernels.F32, pressed, 6, bestAndAVX2},
		{"rate-tanh/float32", rate("tanh"), kernels.F32, pressed, 6, bestAndAVX2},
		{"rate-sigmoid/float32", rate("sigmoid"), kernels.F32, pressed, 6, bestAndAVX2},
		{"laplacian/float32", kernels.Laplacian, kernels.F32, nil, 4, blocks},
		{"laplacian-l1/float32", kernels.LaplacianL1, kernels.F32, nil, 4, blocks},
		{"gaussian+sigma+gates/float32", kernels.Gaussian, kernels.F32, sigmaGates, 6, blocks},
	} {
		for _, spec := range c.specs {
			for _, n := range []int{65536, 4194304, 33554432} {
				b.Run(fmt.Sprintf("%s/%s/n=%d", c.name, spec, n), func(b *testing.B) {
					grid := kernels.Shape{rows, n / rows}
					shapes := operands{}
					for _, in := range c.kernel.Inputs() {
						if !in.Optional {
							shapes[in.Name] = grid
						}
					}
					for name, shape := range c.given {
						switch len(shape) {
						case 2:
							shape = grid
						case 1:
							shape = kernels.Shape{rows, 1}
						}
						shapes[name] = shape
					}
					step := anyStep(b, spec, c.kernel, c.dtype, shapes)
					defer step.close()
					limit := limit(b, newArrays(n*c.arrays/4*c.dtype.Size()/4))
					defer limit.close()
					takeTurns(b, "limit/step", step.step, limit.step, max(1, 1<<24/n))
				})
			}
		}
	}
}

// The devices that BenchmarkKernels measures a kernel on.
var (
	best        = []string{"cpu"}
	bestAndAVX2 = []string{"cpu", "cpu:avx2"}
	blocks      = []string{"cpu:fused=off"}
)

// BenchmarkBroadcast is the speed with a modulator that is broadcast, as a part
// of that with a full one.
func BenchmarkBroadcast(b *testing.B) {
	for _, spec := range []string{"cpu:avx512", "cpu:avx2"} {
		for _, n := range []int{65536, 4194304} {
			for _, units := range []int{1, 3, 10, 100, 1000, 4096} {
				batch := n / units
				for _, kind := range []struct {
					name  string
					shape kernels.Shape
				}{{"row", kernels.Shape{1, units}}, {"column", kernels.Shape{batch, 1}}, {"scalar", kernels.Shape{}}} {
					b.Run(fmt.Sprintf("%s/n=%d/units=%d/%s", spec, n, units, kind.name), func(b *testing.B) {
						grid := kernels.Shape{batch, units}
						step := func(modulator kernels.Shape) runner {
							return anyStep(b, spec, kernels.Laplacian, kernels.F32, map[string]kernels.Shape{"target": grid, "mu": grid, "modulator": modulator})
						}
						full, broadcast := step(grid), step(kind.shape)
						defer full.close()
						defer broadcast.close()
						takeTurns(b, "full/broadcast", broadcast.step, full.step, max(1, 1<<24/n))
					})
				}
			}
		}
	}
}

// anyStep is a run of a kernel on a device of its own, with numbers of no
// account.
func anyStep(tb testing.TB, spec string, k *kernels.Kernel, dtype kernels.DType, shapes map[string]kernels.Shape) runner {
	dev := openDevice(tb, spec)
	var step func() error
	if dtype == kernels.F32 {
		step, _ = kernelStep(tb, dev, k, dtype, shapes, numbers[float32](shapes))
	} else {
		step, _ = kernelStep(tb, dev, k, dtype, shapes, numbers[float64](shapes))
	}
	return runner{step: step, close: func() { dev.Close() }}
}

func numbers[T kernels.Float](shapes map[string]kernels.Shape) func(name string) []T {
	return func(name string) []T {
		x := make([]T, shapes[name].Len())
		for i := range x {
			x[i] = T(1 + i*len(name)%7)
		}
		return x
	}
}

// takeTurns reports the time of a step and, as the metric, how many steps the
// other implementation takes in the same time, turned round: above 1 is faster
// than the other one.
func takeTurns(b *testing.B, metric string, step, other func() error, steps int) {
	var failed error
	turn := func(f func() error) float64 {
		start := time.Now()
		for range steps {
			if err := f(); err != nil {
				failed = err
			}
		}
		return float64(time.Since(start)) / float64(steps)
	}
	turn(step)
	turn(other)
	var ours, others []float64
	for b.Loop() {
		ours = append(ours, turn(step))
		others = append(others, turn(other))
	}
	if failed != nil {
		b.Fatal(failed)
	}
	b.ReportMetric(0, "ns/op") // of two turns, which says nothing
	b.ReportMetric(median(ours), "ns/step")
	b.ReportMetric(median(others)/median(ours), metric)
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
