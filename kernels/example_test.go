package kernels_test

import (
	"fmt"

	"errorcell/kernels"
)

func ExampleDefine() {
	// The derivative of the squared error, and its loss.
	gaussian, err := kernels.Define("gaussian", func(k *kernels.Builder) {
		target, mu := k.Input("target"), k.Input("mu")
		e := k.Sub(target, mu)
		k.Output("dmu", e)
		k.Output("L", k.Mul(k.Sum(k.Mul(e, e), kernels.All), k.Const(-0.5)))
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(gaussian)
	// Output:
	// dmu = target - mu
	// L = sum(dmu * dmu) * -0.5
}

func ExampleDefine_mistake() {
	_, err := kernels.Define("clip", func(k *kernels.Builder) {
		x, limit := k.Input("x"), k.Input("limit")
		k.Output("y", k.Select(k.Sub(limit, x), limit, x))
	})
	fmt.Println(err)
	// Output: kernel "clip": argument 1 of select is real, bool is wanted
}

func ExampleReference() {
	target := &kernels.Array[float32]{Shape: kernels.Shape{2, 3}, Data: []float32{1, 2, 3, 4, 5, 6}}
	mu := &kernels.Array[float32]{Shape: kernels.Shape{3}, Data: []float32{1, 1, 4}} // the same for each pattern
	results, err := kernels.Reference(kernels.Laplacian, target, mu, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, r := range results {
		fmt.Println(kernels.Laplacian.OutputName(i), r.Shape, r.Data)
	}
	// Output:
	// dmu (2, 3) [0 1 -1 1 1 1]
	// dtarget (2, 3) [-0 -1 1 -1 -1 -1]
	// L () [-5]
}

func ExampleKernel_Bind() {
	// A batch of 64 patterns of 28 x 28 units, one prediction for all of them.
	b, err := kernels.Laplacian.Bind(kernels.F32, kernels.Shape{64, 28, 28}, kernels.Shape{28, 28}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.Rows, "x", b.Cols)
	fmt.Println(b.Signature.Kinds[:3])
	fmt.Println(b.Outputs)

	_, err = kernels.Laplacian.Bind(kernels.F32, kernels.Shape{64, 784}, kernels.Shape{64, 10}, nil)
	fmt.Println(err)
	// Output:
	// 64 x 784
	// [full row absent]
	// [(64, 28, 28) (64, 28, 28) ()]
	// target (64, 784) and mu (64, 10) do not broadcast: along each axis, counted from the last, the lengths must be equal or 1
}

func ExampleKernel_Specialize() {
	sig := kernels.Signature{DType: kernels.F32}
	sig.Kinds[0], sig.Kinds[1] = kernels.Full, kernels.Row // and no modulator
	plan, err := kernels.Laplacian.Specialize(sig)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan)
	// Output:
	// laplacian float32(target full, mu row, modulator absent)
	// pass 0 over full
	//   v0 real = target
	//   v1 real = mu
	//   v2 real = sub(v0, v1)
	//   v3 ternary = sign(v2)
	//   v4 ternary = abs(v3)
	//   v5 ternary = neg(v3)
	//   dmu = v3
	//   dtarget = v5
	//   s0 scalar = count(v4) over all
	// pass 1 over scalar
	//   v0 real = s0
	//   v1 real = neg(v0)
	//   L = v1
}

func ExampleTreeSum() {
	x := []float64{1, 1e16, 1, -1e16, 1}
	oneByOne := 0.0
	for _, v := range x {
		oneByOne += v
	}
	fmt.Println(oneByOne, kernels.TreeSum(len(x), func(i int) float64 { return x[i] }))
	// Output: 1 3
}

func ExampleLookup() {
	if k, ok := kernels.Lookup("laplacian-l1"); ok {
		fmt.Println(k)
	}
	// Output:
	// v0 = target - mu
	// L = -sum(abs(v0))
	// dmu = sign(v0) * modulator
	// dtarget = -dmu
}
