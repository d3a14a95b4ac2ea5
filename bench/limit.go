// What the limit of the benchmarks is made of.

package bench

import (
	"slices"
	"unsafe"

	"errorcell/backend"
)

// copier copies n elements from a to x and from b to y, and computes nothing:
// what a step that reads two arrays and writes two can at best reach.
type copier func(x, y, a, b *float32, n int)

// plainCopy is the runtime's copy, a block at a time.
func plainCopy(x, y, a, b *float32, n int) {
	const block = 1024
	to1, to2, from1, from2 := unsafe.Slice(x, n), unsafe.Slice(y, n), unsafe.Slice(a, n), unsafe.Slice(b, n)
	for i := 0; i < n; i += block {
		end := min(i+block, n)
		copy(to1[i:end], from1[i:end])
		copy(to2[i:end], from2[i:end])
	}
}

// available reports whether a device can be had.
func available(spec string) bool {
	return slices.ContainsFunc(backend.Devices(), func(c backend.Candidate) bool { return c.Spec == spec && c.Err == nil })
}
