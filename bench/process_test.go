package bench

import (
	"fmt"
	"testing"
	"time"

	"errorcell/kernels"
	"errorcell/neurons"
)

// BenchmarkProcess is what a step of a circuit costs: a rate cell that predicts a
// target, with two error cells. In turns with it, the kernels are run
// alone, on arrays of their own; overhead-ns/op is what the step takes beside them.
func BenchmarkProcess(b *testing.B) {
	for _, n := range []int{1024, 65536, 4194304} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			step := newCircuit(b, n, false)
			defer step.close()
			alone := newKernelsAlone(b, n)
			defer alone.close()
			takeTurns(b, "kernels/process", step.step, alone.step, max(1, 1<<22/n))
			if n == 1024 { // of more, the kernels' time varies by more than that
				reportOverhead(b, step.step, alone.step, 1000)
			}
		})
	}
}

// BenchmarkFusing is why processes do not fuse on a CPU by default: the same
// circuit with its kernels joined, as a part of its speed without.
func BenchmarkFusing(b *testing.B) {
	for _, n := range []int{1024, 65536, 4194304} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			fused, apart := newCircuit(b, n, true), newCircuit(b, n, false)
			defer fused.close()
			defer apart.close()
			takeTurns(b, "apart/fused", fused.step, apart.step, max(1, 1<<22/n))
		})
	}
}

// reportOverhead reports by how much a step takes longer than another.
func reportOverhead(b *testing.B, step, other func() error, times int) {
	least := func(f func() error) time.Duration {
		best := time.Duration(1<<63 - 1)
		for range 5 {
			start := time.Now()
			for range times {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			best = min(best, time.Since(start)/time.Duration(times))
		}
		return best
	}
	b.ReportMetric(float64(least(step)-least(other)), "overhead-ns/op")
}

// newCircuit is a process of three cells: z predicts e0's target, and e1's
// target is z.
func newCircuit(b *testing.B, n int, fusing bool) runner {
	units := n / rows
	x, err := neurons.NewContext("circuit", neurons.OnDevice("cpu"))
	if err != nil {
		b.Fatal(err)
	}
	opts := []neurons.Option{neurons.In(x), neurons.WithBatchSize(rows)}
	_, err = neurons.NewRateCell("z", units, 10, opts...)
	if err != nil {
		b.Fatal(err)
	}
	e0, err := neurons.NewGaussianErrorCell("e0", units, opts...)
	if err != nil {
		b.Fatal(err)
	}
	e1, err := neurons.NewScaledLaplacianErrorCell("e1", units, opts...)
	if err != nil {
		b.Fatal(err)
	}
	for _, wire := range [][2]string{{"z.zF", "e0.mu"}, {"e0.dmu", "z.j"}, {"z.zF", "e1.target"}, {"e1.dtarget", "z.j_td"}} {
		if err := x.Connect(wire[0], wire[1]); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []*neurons.Compartment{e0.Target(), e1.Shift()} {
		if err := c.SetFloat32s(make([]float32, n)); err != nil {
			b.Fatal(err)
		}
	}
	p, err := x.NewProcess("advance", []string{"z.advance_state", "e0.advance_state", "e1.advance_state"}, neurons.Fusing(fusing))
	if err != nil {
		b.Fatal(err)
	}
	for range 3 {
		if err := p.Step(0, 1); err != nil {
			b.Fatal(err)
		}
	}
	return runner{step: func() error { return p.Step(0, 1) }, close: func() { x.Close() }}
}

// newKernelsAlone are the kernels of that circuit, without cells.
func newKernelsAlone(b *testing.B, n int) runner {
	grid, scalar := kernels.Shape{rows, n / rows}, kernels.Shape{}
	rate := kernels.MustRate(kernels.RateSpec{Activation: "identity", Prior: "gaussian", Threshold: "none"})
	var steps []runner
	for _, k := range []struct {
		kernel *kernels.Kernel
		shapes map[string]kernels.Shape
	}{
		{rate, map[string]kernels.Shape{"j": grid, "j_td": grid, "z": grid, "dt": scalar, "rate": scalar, "gamma": scalar}},
		{kernels.Gaussian, map[string]kernels.Shape{"target": grid, "mu": grid}},
		{kernels.LaplacianScaled, map[string]kernels.Shape{"target": grid, "mu": grid}},
	} {
		steps = append(steps, anyStep(b, "cpu", k.kernel, kernels.F32, k.shapes))
	}
	return runner{
		step: func() error {
			for _, s := range steps {
				if err := s.step(); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() {
			for _, s := range steps {
				s.close()
			}
		},
	}
}
