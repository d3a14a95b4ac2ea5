package cpu

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		spec, name string // the device's name, or a part of the error
		err        error
	}{
		{"cpu:generic", "cpu:generic,threads=", nil},
		{"cpu:threads=3", "cpu:" + best().name + ",threads=3", nil},
		{"cpu:threads=3,generic", "cpu:generic,threads=3", nil},
		{"cpu:threads=0", "1 to 1024", backend.ErrUnknownOption},
		{"cpu:threads=1025", "1 to 1024", backend.ErrUnknownOption},
		{"cpu:threads=two", "1 to 1024", backend.ErrUnknownOption},
		{"cpu:threads", "threads=N", backend.ErrUnknownOption},
		{"cpu:neon", "generic", backend.ErrUnknownOption},
		{"cpu:generic=1", "generic", backend.ErrUnknownOption},
		{"cpu:generic,fused=off", "cpu:generic,threads=", nil},
		{"cpu:fused=maybe", "fused=on and fused=off", backend.ErrUnknownOption},
		{"cpu:fused", "fused=on and fused=off", backend.ErrUnknownOption},
		{"cpu:generic,avx2", "\"generic\" already", backend.ErrUnknownOption},
		{"cpu:generic,generic", "\"generic\" already", backend.ErrUnknownOption},
		{"cpu:threads=2,threads=3", "\"threads=2\" already", backend.ErrUnknownOption},
	} {
		dev, err := backend.Open(c.spec)
		if c.err != nil {
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("%s: error %v, wanted one that says %q", c.spec, err, c.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		if !strings.HasPrefix(dev.Name(), c.name) {
			t.Errorf("%s opens %s, wanted %s", c.spec, dev.Name(), c.name)
		}
		dev.Close()
	}
}

// values are numbers of every class, in every lane that loops treat alike.
func values[T kernels.Float](n int) []T {
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	special := []float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat32, -0x1p-126, math.MaxFloat32, math.SmallestNonzeroFloat64}
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
		if rng.IntN(2) == 0 {
			x[i] = T(special[rng.IntN(len(special))])
		}
	}
	return x
}

func same[T kernels.Float](a, b T) bool {
	x, y := float64(a), float64(b)
	return x == y && math.Signbit(x) == math.Signbit(y) || x != x && y != y
}

// TestLoopsAtEveryOffset tries the loops that work on bits, or on words of two
// elements, at each offset and length against the operation on one element.
func TestLoopsAtEveryOffset(t *testing.T) {
	t.Run("float32", loopsAtEveryOffset[float32])
	t.Run("float64", loopsAtEveryOffset[float64])
}

func loopsAtEveryOffset[T kernels.Float](t *testing.T) {
	table := loops[T]()
	signOfSub := pairs[T]()[[2]kernels.Op{kernels.OpSign, kernels.OpSub}]
	plain, ofAbs := counts[T]()
	sign := func(x T) T {
		if x > 0 {
			return 1
		} else if x < 0 {
			return -1
		}
		return x
	}
	a, b := values[T](64), values[T](64)
	const canary = 12345
	dst := make([]T, 64)
	check := func(name string, l loop[T], from, fromDst, n int, want func(x, y T) T) {
		for i := range dst {
			dst[i] = canary
		}
		x, y := a[from:from+n], b[from:from+n]
		l(dst[fromDst:fromDst+n], x, y, y)
		for i := range dst {
			w := T(canary)
			if i >= fromDst && i < fromDst+n {
				w = want(x[i-fromDst], y[i-fromDst])
			}
			if !same(dst[i], w) {
				t.Fatalf("%s of %d elements from %d to %d: element %d is %v, wanted %v", name, n, from, fromDst, i-fromDst, dst[i], w)
			}
		}
	}
	for n := range 40 {
		for from := range 3 {
			for fromDst := range 3 {
				check("neg", table[kernels.OpNeg], from, fromDst, n, func(x, _ T) T { return -x })
				check("abs", table[kernels.OpAbs], from, fromDst, n, func(x, _ T) T { return T(math.Abs(float64(x))) })
				check("sign", table[kernels.OpSign], from, fromDst, n, func(x, _ T) T { return sign(x) })
				check("sign of sub", signOfSub, from, fromDst, n, func(x, y T) T { return sign(x - y) })
			}
			signs := make([]T, n)
			var sum, magnitude int64
			nan := false
			for i := range signs {
				signs[i] = sign(a[from+i])
				if signs[i] != signs[i] {
					nan = true
					continue
				}
				sum += int64(signs[i])
				magnitude += int64(math.Abs(float64(signs[i])))
			}
			// At an odd offset of a larger array, so that words do not line up.
			shifted := append(make([]T, from), signs...)[from:]
			if got, want := plain(shifted), counted(sum, nan); !same(got, want) {
				t.Fatalf("count of %v is %v, wanted %v", signs, got, want)
			}
			if got, want := ofAbs(shifted), counted(magnitude, nan); !same(got, want) {
				t.Fatalf("count of magnitudes of %v is %v, wanted %v", signs, got, want)
			}
		}
	}
}

// TestEveryOperationHasALoop: a kernel that can be defined can be compiled.
func TestEveryOperationHasALoop(t *testing.T) {
	f32, f64 := loops[float32](), loops[float64]()
	for op := kernels.OpNeg; op < kernels.OpSum; op++ {
		if f32[op] == nil || f64[op] == nil {
			t.Errorf("%v has no loop", op)
		}
	}
}

func TestRepeatRow(t *testing.T) {
	for _, cols := range []int{1, 2, 3, 10, 33, 1024, 1500} {
		row := values[float32](cols)
		for start := range 70 {
			for _, n := range []int{1, 2, 31, 32, 100, 1024} {
				dst := repeatRow(make([]float32, n), row, start)
				for i, got := range dst {
					if want := row[(start+i)%cols]; !same(got, want) {
						t.Fatalf("row of %d from %d: element %d is %v, wanted %v", cols, start, i, got, want)
					}
				}
			}
		}
	}
}

// TestRepeatColumn: every path repeats the elements of a column as it is
// written, wherever it begins.
func TestRepeatColumn(t *testing.T) {
	for i := range variants {
		v := &variants[i]
		t.Run(v.name, func(t *testing.T) {
			if why := v.missing(); why != "" {
				t.Skip(why)
			}
			t.Run("float32", func(t *testing.T) { repeatColumn[float32](t, newKit[float32](v)) })
			t.Run("float64", func(t *testing.T) { repeatColumn[float64](t, newKit[float64](v)) })
		})
	}
}

func repeatColumn[T kernels.Float](t *testing.T, k *kit[T]) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 3000 {
		cols := 1 + rng.IntN(40)
		if rng.IntN(4) == 0 {
			cols = 1 + rng.IntN(1500)
		}
		rows := 1 + rng.IntN(40)
		column := values[T](rows) // of its very length, as a read behind it would be of another's
		start := rng.IntN(rows * cols)
		n := 1 + rng.IntN(min(rows*cols-start, kernels.BlockSize))
		dst := make([]T, n)
		k.repeat(dst, column, start/cols, start%cols, cols, k.table(nil, cols))
		for i, got := range dst {
			if want := column[(start+i)/cols]; !same(got, want) {
				t.Fatalf("%d rows of %d, %d elements from %d: element %d is %v, wanted %v", rows, cols, n, start, i, got, want)
			}
		}
	}
}
