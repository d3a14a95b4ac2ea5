package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"errorcell/kernels"
)

// TestFma32 goes through sums that float64 rounds to the middle of two float32,
// normal or not, though they are beside it, and through any numbers at all.
func TestFma32(t *testing.T) {
	const n = 1 << 16
	rng := rand.New(rand.NewPCG(1, 2))
	x, y, z, got := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	anything := func(i int) {
		for _, to := range [][]float32{x, y, z} {
			to[i] = math.Float32frombits(rng.Uint32())
		}
	}
	// The product is a little less than 2^e, the half of what z is a multiple of.
	beside := func(e func() int, digits int) func(i int) {
		return func(i int) {
			e := e()
			a, sign := float64(1+rng.IntN(100))*0x1p-23, 1-2*float64(rng.IntN(2))
			x[i] = float32(math.Ldexp(sign*(1+a), e/2))
			y[i] = float32(math.Ldexp(1-a, e-e/2))
			z[i] = float32(math.Ldexp(float64(1<<(digits-1)+rng.IntN(1<<(digits-1))), e+1))
		}
	}
	want := kernels.Function[float32](kernels.OpFma)
	for name, numbers := range map[string]func(i int){
		"any":       anything,
		"normal":    beside(func() int { return rng.IntN(200) - 100 }, 24),
		"subnormal": beside(func() int { return -150 }, 23),
	} {
		twice := 0
		for i := range n {
			numbers(i)
			if float32(float64(x[i])*float64(y[i])+float64(z[i])) != want([3]float32{x[i], y[i], z[i]}) {
				twice++
			}
		}
		if name != "any" && twice < n/8 {
			t.Errorf("%s: rounding twice is right but for %d of %d", name, twice, n)
		}
		fma32(got, x, y, z)
		for i, g := range got {
			w := want([3]float32{x[i], y[i], z[i]})
			if math.Float32bits(g) != math.Float32bits(w) && (g == g || w == w) {
				t.Fatalf("%s: fma(%x, %x, %x) = %x, want %x", name, x[i], y[i], z[i], g, w)
			}
		}
	}
}
