package cpu

import (
	"fmt"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
)

// BenchmarkRun is a run of the laplacian kernel on one thread, from so few
// elements that it is what a run costs beside its elements.
func BenchmarkRun(b *testing.B) {
	for _, spec := range []string{"cpu:threads=1", "cpu:threads=1,fused=off", "cpu:generic,threads=1"} {
		for _, n := range []int{16, 1024, 4096, 65536} {
			b.Run(fmt.Sprintf("%s/n=%d", spec, n), func(b *testing.B) {
				dev, err := backend.Open(spec)
				if err != nil {
					b.Fatal(err)
				}
				defer dev.Close()
				sig := kernels.Signature{DType: kernels.F32}
				sig.Kinds[0], sig.Kinds[1] = kernels.Full, kernels.Full
				program, err := dev.Compile(kernels.Laplacian, sig)
				if err != nil {
					b.Fatal(err)
				}
				buffer := func(n int) backend.Buffer {
					x, err := dev.NewBuffer(kernels.F32, n)
					if err != nil {
						b.Fatal(err)
					}
					return x
				}
				inputs := []backend.Buffer{buffer(n), buffer(n), nil}
				outputs := []backend.Buffer{buffer(n), buffer(n), buffer(1)}
				b.SetBytes(int64(16 * n))
				b.ReportAllocs()
				for b.Loop() {
					if err := program.Run(1, n, inputs, outputs); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
