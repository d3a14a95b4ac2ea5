package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"errorcell/engine"
)

// BenchmarkEngine is how much faster tensor's operations are with the engine of a
// device than with its own, in turns: std/engine.
func BenchmarkEngine(b *testing.B) {
	eng, err := engine.Open("cpu")
	if err != nil {
		b.Fatal(err)
	}
	defer eng.Close()
	type tensors struct{ x, y, to *tensor.Dense }
	for _, op := range []struct {
		name string
		run  func(t tensors) (tensor.Tensor, error)
	}{
		{"Add", func(t tensors) (tensor.Tensor, error) { return tensor.Add(t.x, t.y, tensor.WithReuse(t.to)) }},
		{"Add,new", func(t tensors) (tensor.Tensor, error) { return tensor.Add(t.x, t.y) }},
		{"Sub,unsafe", func(t tensors) (tensor.Tensor, error) { return tensor.Sub(t.x, t.y, tensor.UseUnsafe()) }},
		{"Mul,incr", func(t tensors) (tensor.Tensor, error) { return tensor.Mul(t.x, t.y, tensor.WithIncr(t.to)) }},
		{"Div", func(t tensors) (tensor.Tensor, error) { return tensor.Div(t.x, t.y, tensor.WithReuse(t.to)) }},
		{"Mul,number", func(t tensors) (tensor.Tensor, error) { return tensor.Mul(t.x, float32(0.5), tensor.WithReuse(t.to)) }},
		{"Lt,same", func(t tensors) (tensor.Tensor, error) {
			return tensor.Lt(t.x, t.y, tensor.WithReuse(t.to), tensor.AsSameType())
		}},
		{"Lt", func(t tensors) (tensor.Tensor, error) { return tensor.Lt(t.x, t.y) }},
		{"Neg", func(t tensors) (tensor.Tensor, error) { return tensor.Neg(t.x, tensor.WithReuse(t.to)) }},
		{"Abs", func(t tensors) (tensor.Tensor, error) { return tensor.Abs(t.x, tensor.WithReuse(t.to)) }},
		{"Sign", func(t tensors) (tensor.Tensor, error) { return tensor.Sign(t.x, tensor.WithReuse(t.to)) }},
		{"Sqrt", func(t tensors) (tensor.Tensor, error) { return tensor.Sqrt(t.x, tensor.WithReuse(t.to)) }},
		{"Exp", func(t tensors) (tensor.Tensor, error) { return tensor.Exp(t.x, tensor.WithReuse(t.to)) }},
		{"Log", func(t tensors) (tensor.Tensor, error) { return tensor.Log(t.x, tensor.WithReuse(t.to)) }},
		{"Tanh", func(t tensors) (tensor.Tensor, error) { return tensor.Tanh(t.x, tensor.WithReuse(t.to)) }},
		{"Clamp", func(t tensors) (tensor.Tensor, error) {
			return tensor.Clamp(t.x, float32(0.25), float32(0.75), tensor.WithReuse(t.to))
		}},
		{"Sum", func(t tensors) (tensor.Tensor, error) { return tensor.Sum(t.x) }},
		{"Sum,columns", func(t tensors) (tensor.Tensor, error) { return tensor.Sum(t.x, 0) }},
		{"Sum,rows", func(t tensors) (tensor.Tensor, error) { return tensor.Sum(t.x, 1) }},
	} {
		for _, n := range []int{16, 256, 4096, 65536, 1 << 22} {
			b.Run(fmt.Sprintf("%s/n=%d", op.name, n), func(b *testing.B) {
				of := func(e tensor.Engine) func() error {
					r := rand.New(rand.NewPCG(1, 2))
					array := func() *tensor.Dense {
						data := make([]float32, n)
						for i := range data {
							data[i] = r.Float32()
						}
						return tensor.New(tensor.WithShape(4, n/4), tensor.WithBacking(data), tensor.WithEngine(e))
					}
					t := tensors{array(), array(), array()}
					return func() error { _, err := op.run(t); return err }
				}
				takeTurns(b, "std/engine", of(eng), of(tensor.StdEng{}), max(1, 1<<16/n))
			})
		}
	}
}
