// Memory for the functions to work on, in which what they touch beside their
// operands and results is noticed.

package simd

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"sync"
	"unsafe"

	"errorcell/kernels"
)

// A region is memory that begins and ends with a page; where the system can do
// that, the pages before and behind it cannot be touched.
type region []byte

const (
	pageSize   = 4096
	regionSize = MaxElements*8 + 2*pageSize
	// apron is how many bytes on either side of an array must stay as they
	// were; a wrong address is seldom further off.
	apron = 512
)

// A place says where in a region an array goes, by its first byte. Of a
// function the operands come first, then the results, then the sums.
type place func(array, bytes int) int

func atStart(_, _ int) int   { return 0 }
func atEnd(_, bytes int) int { return regionSize - bytes }

// places are those without memory in front and without memory behind.
var places = []place{atStart, atEnd}

// memory has a region for each array that a function may have.
var memory = sync.OnceValue(func() (list [MaxOperands + MaxResults + MaxSums]region) {
	for i := range list {
		list[i] = newRegion()
	}
	return list
})

// canary is what an array's surroundings hold.
var canary = bytes.Repeat([]byte{0xa5, 0x5a, 0xc3, 0x3c, 0x96, 0x69, 0x0f}, (MaxElements*8+2*apron)/7+1)

// array is a part of a region.
type array[T kernels.Float | int32 | byte] struct {
	data   []T
	around []byte // the part with the canaries about it
	before int    // their number in front
}

// put puts n elements into a region, and canaries there and about them.
func put[T kernels.Float | int32 | byte](r region, start, n int) array[T] {
	size := n * int(unsafe.Sizeof(*new(T)))
	from, to := max(start-apron, 0), min(start+size+apron, len(r))
	a := array[T]{around: r[from:to], before: start - from}
	copy(a.around, canary)
	// Not by an index, since an array of no elements may stand at the very end.
	a.data = unsafe.Slice((*T)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(r)), start)), n)
	return a
}

// at is where the array begins.
func (a array[T]) at() *T { return unsafe.SliceData(a.data) }

// check compares the array with what it should hold, and the canaries.
func (a array[T]) check(want []T) error {
	got := a.around[a.before:][:len(bytesOf(want))]
	if !bytes.Equal(got, bytesOf(want)) { // NaN may have other bits
		for i, w := range want {
			if x := a.data[i]; !same(x, w) {
				return fmt.Errorf("element %d is %v, wanted %v", i, x, w)
			}
		}
	}
	behind := a.before + len(got)
	if !bytes.Equal(a.around[:a.before], canary[:a.before]) || !bytes.Equal(a.around[behind:], canary[behind:len(a.around)]) {
		return fmt.Errorf("memory beside its %d elements was written", len(want))
	}
	return nil
}

// same is equality to the bit, but that all NaN are one.
func same[T kernels.Float | int32 | byte](a, b T) bool {
	return a == b && bytes.Equal(bytesOf([]T{a}), bytesOf([]T{b})) || a != a && b != b
}

func bytesOf[T any](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(*new(T))))
}

// protected calls f, and makes an error of a touch of what cannot be touched.
func protected(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it touched memory beside its arrays: %v", r)
		}
	}()
	return f()
}
