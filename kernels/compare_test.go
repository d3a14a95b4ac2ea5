package kernels

import (
	"fmt"
	"math"
	"testing"
)

// same is equality to the bit, but NaN equals NaN.
func same[T Float](a, b T) bool {
	if a != b {
		return a != a && b != b
	}
	return a != 0 || math.Signbit(float64(a)) == math.Signbit(float64(b))
}

func sameAll[T Float](a, b []T) bool {
	for i := range a {
		if len(a) != len(b) || !same(a[i], b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// specials are numbers that go wrong first, of both types.
func specials[T Float]() []T {
	tiny, normal, largest := 0x1p-149, 0x1p-126, math.MaxFloat32
	if DTypeOf[T]() == F64 {
		tiny, normal, largest = math.SmallestNonzeroFloat64, 0x1p-1022, math.MaxFloat64
	}
	list := []T{T(math.NaN())}
	for _, x := range []float64{0, tiny, normal - tiny, normal, 0.5, 1, 1 + 0x1p-23, 3, largest / 2, largest, math.Inf(1)} {
		list = append(list, T(x), T(-x))
	}
	return list
}

// both runs a test for each element type.
func both(t *testing.T, f32, f64 func(*testing.T)) {
	t.Run("float32", f32)
	t.Run("float64", f64)
}

// mustReference is Reference of operands that are right.
func mustReference[T Float](t interface {
	Helper()
	Fatal(...any)
}, k *Kernel, inputs ...*Array[T]) [][]T {
	t.Helper()
	arrays, err := Reference(k, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	results := make([][]T, len(arrays))
	for i, a := range arrays {
		results[i] = a.Data
	}
	return results
}

// array is an array of two axes.
func array[T Float](rows, cols int, data ...T) *Array[T] {
	if len(data) != rows*cols {
		panic(fmt.Sprintf("%d numbers for %d x %d", len(data), rows, cols))
	}
	return &Array[T]{Shape{rows, cols}, data}
}
