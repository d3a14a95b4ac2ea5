// Package verify compares what a device computes with the reference, to the
// bit, on the machine at hand.
package verify

import (
	"fmt"
	"math"
	"math/rand/v2"

	"errorcell/backend"
	"errorcell/kernels"
)

// grids are the sizes that are tried: around the edges of the blocks and groups
// of the fixed tree, and one that is worth several threads.
var grids = [][2]int{{0, 5}, {1, 1}, {3, 7}, {1, kernels.BlockSize + 1}, {kernels.GroupRows + 1, kernels.Lanes + 1},
	{300, 1}, {5, 3*kernels.BlockSize - 1}, {36, 1000}}

// mixes is how many mixed sets of operand kinds are tried for each grid, beside
// those in which one operand differs from the others.
const mixes = 12

// Kernel runs a kernel on a device in element type T, over grids and operand
// kinds. It gives the number of cases that agreed; the error is the first
// difference, or the device's own.
func Kernel[T kernels.Float](dev backend.Device, k *kernels.Kernel) (cases int, err error) {
	// A fixed seed: a failure can be had again.
	rng := rand.New(rand.NewPCG(2024, uint64(len(k.Name()))))
	for _, grid := range grids {
		for _, kinds := range kindSets(rng, k) {
			if err := compare[T](rng, dev, k, kinds, grid[0], grid[1]); err != nil {
				return cases, fmt.Errorf("kernel %s in %v, grid %d x %d, operands %v: %w",
					k.Name(), kernels.DTypeOf[T](), grid[0], grid[1], kinds, err)
			}
			cases++
		}
	}
	return cases, nil
}

var given = []kernels.Kind{kernels.Full, kernels.Row, kernels.Column, kernels.Scalar}

// kindSets are the sets of operand kinds to try: all full, each operand in turn
// of each other kind, and some at random.
func kindSets(rng *rand.Rand, k *kernels.Kernel) [][]kernels.Kind {
	inputs := k.Inputs()
	full := func() []kernels.Kind {
		kinds := make([]kernels.Kind, len(inputs))
		for i := range kinds {
			kinds[i] = kernels.Full
		}
		return kinds
	}
	choices := func(i int) []kernels.Kind {
		if inputs[i].Optional {
			return append([]kernels.Kind{kernels.Absent}, given...)
		}
		return given
	}
	sets := [][]kernels.Kind{full()}
	for i := range inputs {
		for _, kind := range choices(i) {
			if kind != kernels.Full {
				kinds := full()
				kinds[i] = kind
				sets = append(sets, kinds)
			}
		}
	}
	for range mixes {
		kinds := full()
		for i := range kinds {
			c := choices(i)
			kinds[i] = c[rng.IntN(len(c))]
		}
		sets = append(sets, kinds)
	}
	return sets
}

// compare runs one case on the device and by the reference.
func compare[T kernels.Float](rng *rand.Rand, dev backend.Device, k *kernels.Kernel, kinds []kernels.Kind, rows, cols int) error {
	arrays := make([]*kernels.Array[T], len(kinds))
	shapes := make([]kernels.Shape, len(kinds))
	for i, kind := range kinds {
		if kind == kernels.Absent {
			continue
		}
		r, c := kind.Extent(rows, cols)
		shapes[i] = kernels.Shape{r, c}
		arrays[i] = &kernels.Array[T]{Shape: shapes[i], Data: Numbers[T](rng, r*c)}
	}
	want, err := kernels.Reference(k, arrays...)
	if err != nil {
		return err
	}
	got, err := Run(dev, k, arrays...)
	if err != nil {
		return err
	}
	for i := range want {
		if at, ok := Equal(got[i].Data, want[i].Data); !ok {
			return fmt.Errorf("%s differs at element %d of %d: the device gives %v, the reference %v",
				k.OutputName(i), at, len(want[i].Data), got[i].Data[at], want[i].Data[at])
		}
	}
	return nil
}

// Run computes a kernel on a device from host arrays to host arrays; nil for an
// absent operand.
func Run[T kernels.Float](dev backend.Device, k *kernels.Kernel, inputs ...*kernels.Array[T]) ([]*kernels.Array[T], error) {
	shapes := make([]kernels.Shape, len(inputs))
	for i, in := range inputs {
		if in != nil {
			shapes[i] = in.Shape
		}
	}
	b, err := k.Bind(kernels.DTypeOf[T](), shapes...)
	if err != nil {
		return nil, err
	}
	p, err := dev.Compile(k, b.Signature)
	if err != nil {
		return nil, err
	}
	in, out := make([]backend.Buffer, len(inputs)), make([]backend.Buffer, len(b.Outputs))
	defer func() {
		for _, buf := range append(in, out...) {
			if buf != nil {
				buf.Close()
			}
		}
	}()
	for i, a := range inputs {
		if a == nil {
			continue
		}
		if in[i], err = dev.NewBuffer(kernels.DTypeOf[T](), len(a.Data)); err != nil {
			return nil, err
		}
		if err := backend.Upload(in[i], a.Data); err != nil {
			return nil, err
		}
	}
	for i, s := range b.Outputs {
		if out[i], err = dev.NewBuffer(kernels.DTypeOf[T](), s.Len()); err != nil {
			return nil, err
		}
	}
	if err := p.Run(b.Rows, b.Cols, in, out); err != nil {
		return nil, err
	}
	results := make([]*kernels.Array[T], len(out))
	for i, s := range b.Outputs {
		results[i] = &kernels.Array[T]{Shape: s, Data: make([]T, s.Len())}
		if err := backend.Download(out[i], results[i].Data); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// Equal compares to the bit, the sign of zero included, but one NaN is as good
// as another. It gives the first index that differs.
func Equal[T kernels.Float](got, want []T) (at int, ok bool) {
	if len(got) != len(want) {
		return min(len(got), len(want)), false
	}
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		same := g == w && math.Signbit(g) == math.Signbit(w) || math.IsNaN(g) && math.IsNaN(w)
		if !same {
			return i, false
		}
	}
	return 0, true
}

// special are the numbers where rounding, signs and flags can go wrong.
var special = []float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), math.NaN(),
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32,
	0x1p-126, -0x1p-126, 1 + 0x1p-23, 0x1p24 + 2}

// Numbers makes n numbers of all sizes, many of them equal to others, and in
// half of the cases some special ones, so that losses are not always NaN.
func Numbers[T kernels.Float](rng *rand.Rand, n int) []T {
	odd := rng.IntN(2) == 0
	x := make([]T, n)
	for i := range x {
		switch bits := rng.Uint64(); { // parts of it: a draw each would take longer than the kernels
		case odd && bits%64 == 0:
			x[i] = T(special[bits>>8%uint64(len(special))])
		case bits>>7&1 == 0:
			x[i] = T(int(bits>>8%5) - 2)
		default:
			x[i] = T(math.Ldexp(rng.NormFloat64(), int(bits>>8%40)-20))
		}
	}
	return x
}
