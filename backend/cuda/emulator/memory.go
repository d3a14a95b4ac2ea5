package emulator

// Device memory: an address space in which no address is ever used twice, and
// in which every byte knows whether it was written.

import (
	"fmt"
	"math/bits"
	"sync"
)

const (
	// firstAddress is where allocations begin. Each takes whole slots, so that
	// the slot number of an address finds its region.
	firstAddress = 1 << 40
	slotBytes    = 1 << 20
	lastAddress  = 1 << 47
	// Allocations start at an odd multiple of 256, the alignment that CUDA
	// promises, so that no kernel comes to rely on more.
	allocAlign = 256
	minGap     = 64 << 10

	pageBytes = 4096
)

// A region is memory with bounds: an allocation, a module's variables, or the
// shared memory of a block.
type region struct {
	base, size uint64
	data       []byte // nil once freed
	managed    bool   // data is at the region's address in the host's memory too
	pages      []page
	owner      string   // what it is, for messages
	valid      []uint64 // where not every byte belongs to a variable: a bit each
	counted    bool     // an allocation of the user's, which may leak
	serial     int
	floor      uint64 // of shared memory: see shadow
}

// A page is the unit of locking. Holding mu, its owner may touch the page's
// bytes and marks. The lock makes atomics atomic, and keeps kernels that race
// from being data races of the emulator's.
type page struct {
	mu      sync.Mutex
	written [pageBytes / 64]uint64 // a bit for each byte
	shadow  *shadow                // who touched what in a launch; nil if nobody
}

func newRegion(base uint64, data []byte, owner string) *region {
	size := uint64(len(data))
	return &region{base: base, size: size, owner: owner,
		data: data, pages: make([]page, (size+pageBytes-1)/pageBytes)}
}

// contains reports whether n bytes at addr lie inside.
func (r *region) contains(addr, n uint64) bool {
	off := addr - r.base
	return off < r.size && n <= r.size-off
}

// isWritten reports whether all n <= 32 bytes at off are written. An access
// never crosses a page, because it is aligned to its size.
func (p *page) isWritten(off, n uint64) bool {
	off &= pageBytes - 1
	m := uint64(1)<<n - 1
	return p.written[off/64]>>(off&63)&m == m
}

func (p *page) markWritten(off, n uint64) {
	off &= pageBytes - 1
	p.written[off/64] |= (uint64(1)<<n - 1) << (off & 63)
}

// spans calls f for the part of [off, off+n) in each 64-byte group, with the
// mask of its bytes.
func (r *region) spans(off, n uint64, f func(p *page, word int, mask uint64)) {
	for end := off + n; off < end; {
		step := min(64-off&63, end-off)
		mask := ^uint64(0) >> (64 - step) << (off & 63)
		f(&r.pages[off/pageBytes], int(off%pageBytes/64), mask)
		off += step
	}
}

func (r *region) markWritten(off, n uint64) {
	r.spans(off, n, func(p *page, word int, mask uint64) { p.written[word] |= mask })
}

// fill writes a pattern to the n bytes at off, again and again.
func (r *region) fill(off, n uint64, pattern []byte) {
	to := r.data[off : off+n]
	for done := copy(to, pattern); done < len(to); {
		done += copy(to[done:], to[:done])
	}
	r.markWritten(off, n)
}

// firstUnwritten returns the offset of the first byte in [off, off+n) that
// nothing has written.
func (r *region) firstUnwritten(off, n uint64) (at uint64, found bool) {
	next := off &^ 63
	r.spans(off, n, func(p *page, word int, mask uint64) {
		if gap := mask &^ p.written[word]; gap != 0 && !found {
			at, found = next+uint64(bits.TrailingZeros64(gap)), true
		}
		next += 64
	})
	return at, found
}

// copyMarks makes n bytes at off as written as those at from of another
// region.
func (r *region) copyMarks(off uint64, from *region, src, n uint64) {
	marks := make([]bool, n)
	for i := range marks {
		p := &from.pages[(src+uint64(i))/pageBytes]
		marks[i] = p.isWritten(src+uint64(i), 1)
	}
	for i, m := range marks {
		o := off + uint64(i)
		p := &r.pages[o/pageBytes]
		if m {
			p.markWritten(o, 1)
		} else {
			p.written[o%pageBytes/64] &^= 1 << (o & 63)
		}
	}
}

// forget takes all marks away, so that the region is as new.
func (r *region) forget() {
	for i := range r.pages {
		r.pages[i].written = [pageBytes / 64]uint64{}
	}
}

// space is the address space. The gap after an allocation is as large as the
// allocation itself, so that an index that is off by one, by a row or by the
// whole array hits nothing.
type space struct {
	slots     []*region // of each slot: the region in it, also when freed
	limit     uint64    // of used
	used      uint64
	serial    int
	allocated map[uint64]*region // the user's, by address
}

// add puts a new region into the space. Managed memory must have the same address
// in the host's space: what is in use there is left out.
func (s *space) add(size uint64, owner string, managed bool) (*region, error) {
	if size > s.limit-s.used {
		return nil, &OutOfMemoryError{Asked: size, Free: s.limit - s.used}
	}
	need := (allocAlign + size + max(size, minGap) + slotBytes - 1) / slotBytes
	var base uint64
	var data []byte
	for data == nil {
		base = firstAddress + uint64(len(s.slots))*slotBytes + allocAlign
		if base+size >= lastAddress {
			return nil, &OutOfMemoryError{Asked: size}
		}
		if !managed {
			data = make([]byte, size)
			break
		}
		var err error
		if data, err = mapAt(base, size); err != nil {
			return nil, err
		}
		if data == nil {
			s.slots = append(s.slots, nil)
		}
	}
	r := newRegion(base, data, owner)
	r.managed = managed
	s.serial++
	r.serial = s.serial
	for i := range need {
		if i*slotBytes < allocAlign+size {
			s.slots = append(s.slots, r)
		} else {
			s.slots = append(s.slots, nil)
		}
	}
	s.used += size
	return r, nil
}

func (s *space) remove(r *region) {
	s.used -= r.size
	if r.managed {
		unmap(r.base, r.data)
	}
	r.data, r.pages = nil, nil
}

// find returns the region in the slot of addr, or nil.
func (s *space) find(addr uint64) *region {
	if slot := (addr - firstAddress) / slotBytes; slot < uint64(len(s.slots)) {
		return s.slots[slot]
	}
	return nil
}

// lookup finds the region that holds all of n bytes at addr.
func (s *space) lookup(addr, n uint64) (*region, error) {
	r := s.find(addr)
	if r != nil && r.data != nil && r.contains(addr, n) {
		return r, nil
	}
	return nil, invalid("%s", s.describe(addr, n))
}

// describe says where an address lies that is not in memory.
func (s *space) describe(addr, n uint64) string {
	what := fmt.Sprintf("%d bytes at %#x", n, addr)
	for slot := min((addr-firstAddress)/slotBytes, uint64(len(s.slots)-1)); addr >= firstAddress && slot < uint64(len(s.slots)); slot-- {
		r := s.slots[slot]
		if r == nil {
			continue
		}
		state := ""
		if r.data == nil {
			state = ", which is freed"
		}
		switch {
		case addr < r.base:
			return fmt.Sprintf("%s, %d bytes before %s of %d bytes at %#x%s", what, r.base-addr, r.owner, r.size, r.base, state)
		case addr >= r.base+r.size:
			return fmt.Sprintf("%s, %d bytes past the end of %s of %d bytes at %#x%s", what, addr-r.base-r.size, r.owner, r.size, r.base, state)
		case state != "":
			return fmt.Sprintf("%s, in %s of %d bytes at %#x%s", what, r.owner, r.size, r.base, state)
		}
		return fmt.Sprintf("%s, across the end of %s of %d bytes at %#x", what, r.owner, r.size, r.base)
	}
	return what + ", where nothing is"
}
