// The numbers that operands are made of.

package backendtest

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"errorcell/kernels"
)

// filler puts numbers into an operand whose rows are width long.
type filler[T kernels.Float] func(operand, width int, data []T)

// limits are the numbers at which a type's arithmetic changes.
func limits[T kernels.Float]() (tiny, normal, largest, ulp T) {
	if kernels.DTypeOf[T]() == kernels.F32 {
		return T(0x1p-149), T(0x1p-126), T(math.MaxFloat32), T(0x1p-23)
	}
	// In variables: as constants they would have to fit a float32 too.
	a, b, c, d := math.SmallestNonzeroFloat64, 0x1p-1022, math.MaxFloat64, 0x1p-52
	return T(a), T(b), T(c), T(d)
}

// specials are the numbers that go wrong first: zeros, subnormals, the
// neighbours of one and of the limits, infinities, NaN.
func specials[T kernels.Float]() []T {
	tiny, normal, largest, ulp := limits[T]()
	list := []T{T(math.NaN())}
	for _, x := range []T{
		0, tiny, 3 * tiny, normal - tiny, normal, normal + tiny,
		0.5, 1 - ulp/2, 1, 1 + ulp, 1.5, 3, 1/ulp + 1,
		largest / 2, largest * (1 - ulp), largest, T(math.Inf(1)),
	} {
		list = append(list, x, -x)
	}
	return list
}

// exponents are the numbers at which powers of two begin and end to be normal
// numbers, and at which they change.
func exponents[T kernels.Float]() []T {
	least, most := T(-126), T(127)
	if kernels.DTypeOf[T]() == kernels.F64 {
		least, most = -1022, 1023
	}
	var list []T
	for _, x := range []T{least - 1, least, 2, most, most + 1} {
		half := T(0.5)
		for _, y := range []T{x - half, x, x + half} {
			list = append(list, -y, below(y), y, -below(-y))
		}
	}
	return list
}

// below is the next number below x.
func below[T kernels.Float](x T) T {
	if x, ok := any(x).(float32); ok {
		return T(math.Nextafter32(x, float32(math.Inf(-1))))
	}
	return T(math.Nextafter(float64(x), math.Inf(-1)))
}

// fewSpecials are the most telling of them, for products of three.
func fewSpecials[T kernels.Float]() []T {
	tiny, normal, largest, ulp := limits[T]()
	list := []T{T(math.NaN()), normal, 3, 1 - ulp/2}
	for _, x := range []T{0, tiny, 1, 1 + ulp, largest, T(math.Inf(1))} {
		list = append(list, x, -x)
	}
	return list
}

// seeded is a generator that gives the same numbers for the same arguments.
func seeded(seed ...int) *rand.Rand {
	var state [2]uint64
	for i, s := range seed {
		state[i%2] = state[i%2]*0x9e3779b97f4a7c15 + uint64(s) + 1
	}
	return rand.New(rand.NewPCG(state[0], state[1]))
}

// kept is a filler that draws numbers once: kernels and the variants of a backend
// are given the same, and drawing them takes longer than computing with them.
func kept[T kernels.Float](name string, seed int, draw filler[T]) filler[T] {
	return func(operand, width int, data []T) {
		key := keptKey{name, kernels.DTypeOf[T](), seed, operand, width, len(data)}
		numbers, ok := keptNumbers.Load(key)
		if !ok {
			draw(operand, width, data)
			keptNumbers.Store(key, slices.Clone(data))
			return
		}
		copy(data, numbers.([]T))
	}
}

var keptNumbers sync.Map // of []T by keptKey

type keptKey struct {
	name                         string
	dtype                        kernels.DType
	seed, operand, width, length int
}

// ordinary are finite numbers as a simulation has them, with enough quarters
// and zeros of both signs that operands are often equal.
func ordinary[T kernels.Float](seed int) filler[T] {
	return kept("ordinary", seed, drawOrdinary[T](seed))
}

func drawOrdinary[T kernels.Float](seed int) filler[T] {
	return func(operand, width int, data []T) {
		rng := seeded(seed, operand, len(data))
		for i := range data {
			switch rng.IntN(8) {
			case 0:
				data[i] = T(math.Copysign(0, float64(rng.IntN(2))-0.5))
			case 1, 2, 3:
				data[i] = T(rng.IntN(17)-8) / 4
			default:
				data[i] = T(math.Ldexp(rng.NormFloat64(), rng.IntN(13)-6))
			}
		}
	}
}

// cancelling are numbers whose sums show the order of addition even after the
// rounding to float32: large ones that cancel, in the same column or anywhere,
// and small ones, of which the sum keeps more or fewer bits, depending on what
// they met.
func cancelling[T kernels.Float](seed int) filler[T] {
	return kept("cancelling", seed, drawCancelling[T](seed))
}

func drawCancelling[T kernels.Float](seed int) filler[T] {
	return func(operand, width int, data []T) {
		rng := seeded(seed, operand, len(data))
		for i := range data {
			data[i] = T(4 * rng.NormFloat64())
		}
		paired := make([]bool, len(data))
		for range len(data) / 2 {
			i, j := rng.IntN(len(data)), rng.IntN(len(data))
			if rng.IntN(2) == 0 {
				j = j/width*width + i%width
			}
			if i != j && !paired[i] && !paired[j] {
				data[i] = T(math.Ldexp(1+rng.Float64(), 44+rng.IntN(8)))
				data[j] = -data[i]
				paired[i], paired[j] = true, true
			}
		}
	}
}

// wild has everything: ordinary numbers, special ones, all exponents.
func wild[T kernels.Float](seed int) filler[T] { return kept("wild", seed, drawWild[T](seed)) }

func drawWild[T kernels.Float](seed int) filler[T] {
	list := specials[T]()
	return func(operand, width int, data []T) {
		drawOrdinary[T](seed)(operand, width, data)
		rng := seeded(seed, operand, len(data), 1)
		for i := range data {
			switch rng.IntN(8) {
			case 0, 1:
				data[i] = list[rng.IntN(len(list))]
			case 2:
				data[i] = T(math.Ldexp(rng.NormFloat64(), rng.IntN(300)-150))
			}
		}
	}
}

// constant is the same number everywhere.
func constant[T kernels.Float](x T) filler[T] {
	return func(operand, width int, data []T) {
		for i := range data {
			data[i] = x
		}
	}
}
