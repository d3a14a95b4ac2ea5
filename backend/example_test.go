package backend_test

import (
	"fmt"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/kernels"
)

// A step of the Laplacian cell: two patterns of three units.
func Example() {
	dev, err := backend.Open("cpu")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer dev.Close()

	k := kernels.Laplacian
	b, err := k.Bind(kernels.F32, kernels.Shape{2, 3}, kernels.Shape{3}, nil) // target, mu, no modulator
	if err != nil {
		fmt.Println(err)
		return
	}
	program, err := dev.Compile(k, b.Signature)
	if err != nil {
		fmt.Println(err)
		return
	}
	buffer := func(n int, data ...float32) backend.Buffer {
		b, err := dev.NewBuffer(kernels.F32, n)
		if err == nil && len(data) > 0 {
			err = backend.Upload(b, data)
		}
		if err != nil {
			fmt.Println(err)
		}
		return b
	}
	target, mu := buffer(6, 1, 2, 3, 4, 5, 6), buffer(3, 1, 1, 4)
	outputs := []backend.Buffer{buffer(6), buffer(6), buffer(1)}
	if err := program.Run(b.Rows, b.Cols, []backend.Buffer{target, mu, nil}, outputs); err != nil {
		fmt.Println(err)
		return
	}
	for i, out := range outputs {
		data := make([]float32, out.Len())
		if err := backend.Download(out, data); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(k.OutputName(i), data)
	}
	// Output:
	// dmu [0 1 -1 1 1 1]
	// dtarget [-0 -1 1 -1 -1 -1]
	// L [-5]
}

func ExampleOpen() {
	_, err := backend.Open("tpu")
	fmt.Println(err)
	// Output: device "tpu": unknown device; this program has: cpu; for others, import errorcell/backend/cpu or errorcell/backend/cuda
}
