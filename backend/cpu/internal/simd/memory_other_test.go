// Regions of ordinary memory: what is written beside an array is noticed by
// the canaries, what is read there is not.

//go:build !linux

package simd

import "unsafe"

func newRegion() region {
	m := make([]byte, regionSize+2*pageSize)
	skip := -int(uintptr(unsafe.Pointer(&m[0]))) & (pageSize - 1)
	return m[skip : skip+regionSize : skip+regionSize]
}
