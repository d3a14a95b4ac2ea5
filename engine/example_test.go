package engine_test

import (
	"fmt"
	"log"

	"gorgonia.org/tensor"

	_ "errorcell/backend/cpu"
	"errorcell/engine"
)

// A program of tensors, with another engine.
func Example() {
	eng, err := engine.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer eng.Close()

	x := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 4, 9, 16, 25, 36}), tensor.WithEngine(eng))
	root, err := tensor.Sqrt(x)
	if err != nil {
		log.Fatal(err)
	}
	columns, err := tensor.Sum(root, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(columns)
	// Output:
	// [5  7  9]
}
