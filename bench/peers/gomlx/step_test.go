// Package gomlx measures the step of the Laplacian error cell in GoMLX's backend
// in plain Go, for make bench-peers. It is a module of its own, so that nobody who
// uses errorcell gets GoMLX with it.
package gomlx

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
)

// rows is the batch of every size; the units are n/rows.
const rows = 256

// must is for the many calls that can fail only if this file is wrong.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// newOperands makes operands of which a quarter of the units agree.
func newOperands(n int) (target, mu []float32) {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	target, mu = make([]float32, n), make([]float32, n)
	for i := range n {
		target[i], mu[i] = rng.Float32(), rng.Float32()
		if rng.IntN(4) == 0 {
			mu[i] = target[i]
		}
	}
	return target, mu
}

// newStep compiles the step, with its operands in the backend's memory. The step
// returns dmu, dtarget and L, which the next step overwrites: only the memory of a
// donated input is used again, so that each step is given the results of the last
// one as inputs that it does not read. That is faster here than to leave them to
// the garbage collector.
func newStep(target, mu []float32) func() ([]compute.Buffer, error) {
	backend := must(gobackend.New(""))
	shape := shapes.Make(dtypes.Float32, rows, len(target)/rows)
	builder := backend.Builder("step")
	f := builder.Main()
	t, m := must(f.Parameter("target", shape, nil)), must(f.Parameter("mu", shape, nil))
	must(f.Parameter("old dmu", shape, nil))
	must(f.Parameter("old dtarget", shape, nil))

	e := must(f.Sign(must(f.Sub(t, m))))
	// A sum of the rows first: the backend adds one by one, and more than 2^24 ones
	// cannot be added so in float32.
	sums := must(f.ReduceSum(must(f.Abs(e)), 1))
	loss := must(f.Neg(must(f.ReduceSum(sums, 0))))
	if err := f.Return([]compute.Value{e, must(f.Neg(e)), loss}, nil); err != nil {
		panic(err)
	}
	program := must(builder.Compile())

	inputs := make([]compute.Buffer, 4)
	for i, data := range [][]float32{target, mu, target, mu} {
		inputs[i] = must(backend.BufferFromFlatData(0, data, shape))
	}
	return func() ([]compute.Buffer, error) {
		results, err := program.Execute(inputs, []bool{false, false, true, true}, 0)
		if err == nil {
			inputs[2], inputs[3] = results[0], results[1]
		}
		return results, err
	}
}

// checkedStep is a step on n elements whose results agree with the formula.
func checkedStep(tb testing.TB, n int) func() ([]compute.Buffer, error) {
	target, mu := newOperands(n)
	step := newStep(target, mu)
	for range 3 { // the third step is the first that allocates nothing large
		results, err := step()
		if err != nil {
			tb.Fatal(err)
		}
		check(tb, target, mu, results)
	}
	return step
}

func check(tb testing.TB, target, mu []float32, results []compute.Buffer) {
	tb.Helper()
	dmu, dtarget, loss := floats(results[0]), floats(results[1]), floats(results[2])
	mismatches := 0
	for i := range target {
		e := float32(0)
		if target[i] != mu[i] {
			mismatches++
			e = float32(math.Copysign(1, float64(target[i]-mu[i])))
		}
		if dmu[i] != e || dtarget[i] != -e {
			tb.Fatalf("unit %d of %d, %v and %v: dmu is %v, dtarget %v", i, len(target), target[i], mu[i], dmu[i], dtarget[i])
		}
	}
	if want := -float64(mismatches); math.Abs(float64(loss[0])-want) > 1e-6*float64(mismatches) {
		tb.Fatalf("L of %d units is %v, want %v", len(target), loss[0], want)
	}
}

func floats(b compute.Buffer) []float32 { return must(b.Data()).([]float32) }

func TestStep(t *testing.T) { checkedStep(t, 4096) }

func BenchmarkLaplacianStep(b *testing.B) {
	for _, n := range []int{4096, 65536, 1048576, 4194304, 33554432} {
		b.Run(fmt.Sprintf("impl=gomlx/n=%d", n), func(b *testing.B) {
			step := checkedStep(b, n)
			b.SetBytes(16 * int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
