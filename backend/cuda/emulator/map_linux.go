package emulator

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapAt gives memory of the host at an address, or nil if the host has something
// else there.
func mapAt(base, size uint64) ([]byte, error) {
	at, length := pages(base, size)
	p, err := unix.MmapPtr(-1, 0, at, length, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE|unix.MAP_FIXED_NOREPLACE)
	switch {
	case err == unix.EEXIST:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %d bytes of managed memory at %#x: %w", ErrOutOfMemory, size, base, err)
	case p != at: // by a kernel before 4.17, which knows no NOREPLACE
		return nil, unix.MunmapPtr(p, length)
	}
	return unsafe.Slice((*byte)(unsafe.Add(at, base%slotBytes)), size), nil
}

// unmap ends what mapAt gave.
func unmap(base uint64, data []byte) {
	at, length := pages(base, uint64(len(data)))
	unix.MunmapPtr(at, length) // which fails for what is not mapped alone
}

// pages are those of the host that hold memory: where they begin, which is where
// its slot does, and their length.
func pages(base, size uint64) (at unsafe.Pointer, length uintptr) {
	begin := uintptr(base - base%slotBytes)
	return *(*unsafe.Pointer)(unsafe.Pointer(&begin)), uintptr(base%slotBytes + size)
}
