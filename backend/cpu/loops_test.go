package cpu

import (
	"math"
	"math/rand/v2"
	"slices"
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

// TestNarrows: each variant writes the truth values of the same operations as
// bytes, 0 and 1 as the kernel language has them.
func TestNarrows(t *testing.T) {
	t.Run("float32", testNarrows[float32])
	t.Run("float64", testNarrows[float64])
}

func testNarrows[T kernels.Float](t *testing.T) {
	numbers := []T{0, T(math.Copysign(0, -1)), 1, -1, 2, T(math.Inf(1)), T(math.Inf(-1)), T(math.NaN())}
	const n = 100
	a, b, truths := make([]T, n), make([]T, n), make([]T, n)
	for i := range n {
		a[i], b[i], truths[i] = numbers[i%len(numbers)], numbers[i/len(numbers)%len(numbers)], T(i%2)
	}
	plain := plainKit[T]()
	for _, v := range variants {
		if v.missing() != "" {
			continue
		}
		kit := newKit[T](&v)
		if len(kit.narrows) != len(plain.narrows) {
			t.Errorf("%s narrows %d operations, plain Go %d", v.name, len(kit.narrows), len(plain.narrows))
		}
		for ops := range plain.narrows {
			narrow, ok := kit.narrows[ops]
			if !ok {
				t.Errorf("%s does not narrow %v", v.name, ops)
				continue
			}
			x, want := a, func(i int) T { return truths[i] }
			switch {
			case ops[1] != 0:
				want = func(i int) T { return kernels.Apply(ops[0], [3]T{kernels.Apply(ops[1], [3]T{a[i], b[i]})}) }
			case ops[0] != opCopy:
				want = func(i int) T { return kernels.Apply(ops[0], [3]T{a[i], b[i]}) }
			default:
				x = truths
			}
			got := slices.Repeat([]byte{7}, n)
			narrow(got[:n-1], x, b)
			for i, g := range got {
				w := byte(7) // behind the block
				if i < n-1 {
					w = byte(want(i))
				}
				if g != w {
					t.Fatalf("%s: %v of %v and %v is %d, want %d", v.name, ops, x[i], b[i], g, w)
				}
			}
		}
	}
}
