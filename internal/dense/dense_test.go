package dense

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"gorgonia.org/tensor"
	"pgregory.net/rapid"

	"errorcell/kernels"
)

// A matrix of any order that is transposed and cut shows what its memory has there.
func TestViews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(2, 5).Draw(t, "rows"), rapid.IntRange(2, 5).Draw(t, "columns")
		element := func(i, j int) float32 { return float32(i*cols + j) }
		columnOrder := rapid.Bool().Draw(t, "in column order")
		memory := make([]float32, rows*cols)
		for i := range rows {
			for j := range cols {
				at := i*cols + j
				if columnOrder {
					at = j*rows + i
				}
				memory[at] = element(i, j)
			}
		}
		x := tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(memory))
		if columnOrder {
			x = tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(memory), tensor.AsFortran(nil))
		}
		// From first to end of each axis, in the order in which they are shown.
		part := func(n int, name string) (first, end int) {
			first = rapid.IntRange(0, n-1).Draw(t, name)
			return first, rapid.IntRange(first+1, n).Draw(t, name+", end")
		}
		firstRow, endRow := part(rows, "row")
		firstCol, endCol := part(cols, "column")
		v, err := x.Slice(tensor.S(firstRow, endRow), tensor.S(firstCol, endCol))
		if err != nil {
			t.Fatal(err)
		}
		x = v.(*tensor.Dense)
		var want []float32
		if transposed := x.Dims() == 2 && rapid.Bool().Draw(t, "transposed"); transposed {
			if err := x.T(); err != nil {
				t.Fatal(err)
			}
			for j := firstCol; j < endCol; j++ {
				for i := firstRow; i < endRow; i++ {
					want = append(want, element(i, j))
				}
			}
		} else {
			for i := firstRow; i < endRow; i++ {
				for j := firstCol; j < endCol; j++ {
					want = append(want, element(i, j))
				}
			}
		}
		got, err := InOrder[float32](x)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, error %v, not %v", got, err, want)
		}
		if there := slices.Equal(x.Float32s()[:len(want)], want); there != IsInOrder(x) || there != (unsafe.Pointer(&got[0]) == First(x)) {
			t.Fatalf("in order: %v, in its memory: %v, copied: %v", IsInOrder(x), there, unsafe.Pointer(&got[0]) != First(x))
		}
	})
}

func TestOtherTensors(t *testing.T) {
	vector := func(opts ...tensor.ConsOpt) *tensor.Dense {
		return tensor.New(append(opts, tensor.WithShape(4))...)
	}
	numbers := []float64{0, 1, 2, 3}
	half := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(slices.Clone(numbers), []bool{false, true, false, false}))
	column, err := half.Slice(nil, tensor.S(0))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		x       *tensor.Dense
		want    []float64
		inOrder bool
	}{
		"vector":           {vector(tensor.WithBacking(numbers)), numbers, true},
		"scalar":           {tensor.New(tensor.FromScalar(7.0)), []float64{7}, true},
		"no elements":      {tensor.New(tensor.WithShape(0, 2), tensor.WithBacking([]float64{})), nil, true},
		"masked nowhere":   {vector(tensor.WithBacking(numbers, make([]bool, 4))), numbers, true},
		"masked elsewhere": {column.(*tensor.Dense), []float64{0, 2}, false},
		"four axes":        {tensor.New(tensor.WithShape(1, 2, 1, 2), tensor.WithBacking(numbers)), numbers, true},
		"column":           {tensor.New(tensor.WithShape(4, 1), tensor.WithBacking(numbers), tensor.AsFortran(nil)), numbers, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := InOrder[float64](c.x); err != nil || !slices.Equal(got, c.want) || IsInOrder(c.x) != c.inOrder {
				t.Errorf("%v, in order: %v, error %v", got, IsInOrder(c.x), err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	masked := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{1, 2, 3, 4}, []bool{false, false, true, false}))
	if _, err := InOrder[float32](masked); !errors.Is(err, ErrMasked) || !strings.HasPrefix(err.Error(), "element [1 0] of the tensor is masked") || IsInOrder(masked) {
		t.Errorf("masked: %v", err)
	}
	for _, c := range []struct{ shape, strides []int }{
		{[]int{3, 4}, []int{4, 2}},
		{[]int{3, 4}, []int{-4, 1}},
		{[]int{3, 4}, []int{math.MaxInt, 1}},
		{[]int{3, 4}, []int{4}},
		{[]int{3, 4}, nil},
		{[]int{3, 4}, []int{4, 1, 1}},
		{[]int{3, 5}, []int{5, 1}},
		{[]int{12}, []int{1, 1}},
		{[]int{-20, -20}, []int{0, 0}},
		{[]int{math.MaxInt / 4, 3}, []int{0, 0}},
		{[]int{13}, []int{1}},
	} {
		x := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking(make([]float32, 12)))
		x.Info().Init(c.shape, c.strides)
		if _, err := InOrder[float32](x); !errors.Is(err, kernels.ErrShape) || !strings.HasSuffix(err.Error(), "which do not fit each other") || IsInOrder(x) {
			t.Errorf("shape %v, strides %v: error %v", c.shape, c.strides, err)
		}
	}
	empty := tensor.New(tensor.WithShape(0, 2), tensor.WithBacking([]float32{}))
	empty.Info().Init([]int{1}, []int{1})
	if _, err := InOrder[float32](empty); err == nil {
		t.Error("an element of no memory")
	}
}
