package verify

import (
	"os"
	"testing"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/kernels"
)

func TestZZ(t *testing.T) {
	spec := os.Getenv("ZZ")
	if spec == "" {
		spec = "cpu"
	}
	dev, err := backend.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kernels.Catalogue() {
		t.Run(k.Name(), func(t *testing.T) {
			if _, err := Kernel[float32](dev, k); err != nil {
				t.Fatal(err)
			}
			n, err := Kernel[float64](dev, k)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(n, len(k.Inputs()))
		})
	}
}
