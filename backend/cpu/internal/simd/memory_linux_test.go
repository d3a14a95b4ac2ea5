// Regions between pages that cannot be touched.

package simd

import (
	"os"

	"golang.org/x/sys/unix"
)

func newRegion() region {
	page := os.Getpagesize()
	m, err := unix.Mmap(-1, 0, regionSize+2*page, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	r := m[page : page+regionSize : page+regionSize]
	if err := unix.Mprotect(r, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		panic(err)
	}
	return r
}
