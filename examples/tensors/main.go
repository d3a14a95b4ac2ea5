// Command tensors relaxes a batch of rate units towards a target: a program of
// gorgonia.org/tensor, run once with tensor's own engine and once with a device's. It
// tells how much faster that is. The two runs differ in WithEngine alone.
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"time"

	"gorgonia.org/tensor"

	_ "errorcell/backend/cpu"
	"errorcell/engine"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("tensors: ")
	device := flag.String("device", "cpu", "where the second run computes, such as cpu:threads=2")
	batch := flag.Int("batch", 256, "patterns")
	units := flag.Int("units", 1024, "units of a pattern")
	steps := flag.Int("steps", 50, "steps of each run")
	flag.Parse()
	if err := run(*device, *batch, *units, *steps); err != nil {
		log.Fatal(err)
	}
}

func run(device string, batch, units, steps int) error {
	if batch < 1 || units < 1 || steps < 1 {
		return fmt.Errorf("a batch of %d patterns of %d units for %d steps: each is 1 at least", batch, units, steps)
	}
	eng, err := engine.Open(device)
	if err != nil {
		return err
	}
	defer eng.Close()
	std, err := relax(tensor.StdEng{}, batch, units, steps)
	if err != nil {
		return err
	}
	dev, err := relax(eng, batch, units, steps)
	if err != nil {
		return err
	}
	fmt.Printf("%-14s L from %.6g to %.6g, %v a step\n", "tensor.StdEng", std.first, std.last, std.step)
	fmt.Printf("%-14s L from %.6g to %.6g, %v a step\n", eng.Device().Name(), dev.first, dev.last, dev.step)
	fmt.Printf("%-14s %.1f times as fast\n", "", std.step.Seconds()/dev.step.Seconds())
	return nil
}

// result is the loss before and after a run, and the shortest time of a step.
type result struct {
	first, last float64
	step        time.Duration
}

// relax lets the states z (batch x units) of rate units follow their Laplacian error:
// mu = tanh(z), L = -sum|target - mu|, dz = rate * sign(target - mu) * (1 - mu^2).
func relax(e tensor.Engine, batch, units, steps int) (result, error) {
	const rate = float32(0.05)
	random := rand.New(rand.NewPCG(1, 2))
	array := func(scale float32) *tensor.Dense {
		data := make([]float32, batch*units)
		for i := range data {
			data[i] = scale * (2*random.Float32() - 1)
		}
		return tensor.New(tensor.WithShape(batch, units), tensor.WithBacking(data), tensor.WithEngine(e))
	}
	z, target := array(2), array(0.9)
	mu, diff, slope := array(0), array(0), array(0)

	r := result{step: time.Hour}
	for i := range steps + 1 {
		begin := time.Now()
		var failed error
		do := func(t tensor.Tensor, err error) tensor.Tensor {
			if failed == nil {
				failed = err
			}
			return t
		}
		do(tensor.Tanh(z, tensor.WithReuse(mu)))
		do(tensor.Sub(target, mu, tensor.WithReuse(diff)))
		do(tensor.Abs(diff, tensor.WithReuse(slope)))
		loss := do(tensor.Sum(slope))
		do(tensor.Sign(diff, tensor.UseUnsafe()))
		do(tensor.Square(mu, tensor.WithReuse(slope)))
		do(tensor.Sub(float32(1), slope, tensor.UseUnsafe()))
		do(tensor.Mul(diff, slope, tensor.UseUnsafe()))
		do(tensor.Mul(diff, rate, tensor.UseUnsafe()))
		do(tensor.Add(z, diff, tensor.UseUnsafe()))
		if failed != nil {
			return r, failed
		}
		r.last = -float64(loss.Data().(float32))
		if i == 0 {
			r.first = r.last // and the step is not timed, since the engine compiles in it
			continue
		}
		r.step = min(r.step, time.Since(begin))
	}
	return r, nil
}
