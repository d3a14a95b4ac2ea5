package emulator

// Races: which thread has touched a word last, and whether something orders
// that before what another thread does now.
//
// The time of a warp is cut into segments, at every barrier and fence. A
// segment's number is unique on the GPU and grows within a warp. A word knows
// the segment and the lane of its last write and of the reads since; whether a
// mark comes before the present access is then a matter of comparing the
// segment with those that the barriers between have begun. Between blocks,
// order comes from a fence before an atomic (the release) that another block's
// later atomic on the same address sees (the acquire).

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// A shadow is the marks of a page. Those from before the launch, or for shared
// memory before the block, have segments below the floor and mean nothing.
type shadow struct {
	shift  uint8    // 2: one mark a word; 0: one a byte, once anything narrower was touched
	writes []uint64 // segment<<32 | strong | lane
	reads  []uint64 // segment<<32 | lanes; no lanes: several warps
}

// strong marks a write that does not race with other strong ones: an atomic,
// or a store that is .relaxed, .release or .volatile.
const strong = 1 << 5

func newShadow() *shadow {
	marks := make([]uint64, 2*pageBytes/4)
	return &shadow{2, marks[:pageBytes/4], marks[pageBytes/4:]}
}

// split goes over to a mark for each byte.
func (s *shadow) split() {
	marks := make([]uint64, 2*pageBytes)
	writes, reads := marks[:pageBytes], marks[pageBytes:]
	for i := range writes {
		writes[i], reads[i] = s.writes[i/4], s.reads[i/4]
	}
	*s = shadow{0, writes, reads}
}

// segmentChunk is how many segments a warp takes at once.
const segmentChunk = 16

// An owner is the block and warp of a chunk of segments.
type owner struct {
	block uint32
	warp  uint32
}

// A raceTable hands out segments and remembers whose they are.
type raceTable struct {
	launches uint64
	next     atomic.Uint64
	mu       sync.Mutex
	owners   []*[4096]owner // of the launch's chunks
}

// launchRaces is what a launch knows beside the marks.
type launchRaces struct {
	check bool
	floor uint64 // the launch's first segment, which stands for "several blocks"

	mu       sync.Mutex
	releases map[uint32][]release // by block
	turns    map[uint64]uint64    // how many atomics there were on an address
}

// A release is what an atomic after a fence makes known to whoever sees it.
type release struct {
	addr, turn uint64
	coverage
}

// A coverage is the accesses of a block that come before a fence of one of its
// threads: in program order, by a barrier of the warp, or by one of the block.
type coverage struct {
	warp     uint32
	lane     int
	own      uint32   // segments of the thread itself below this
	synced   uint32   // segments of its warp below this
	barriers []uint32 // segments of each warp below this
	clean    []uint32 // the same for a barrier before which every thread had a fence of its own
}

func (c *coverage) covers(warp, seg, lanes uint32) bool {
	switch {
	case warp == c.warp && (seg < c.synced || seg < c.own && lanes == 1<<c.lane):
		return true
	case c.barriers != nil && seg < c.barriers[warp]:
		return true
	}
	return c.clean != nil && seg < c.clean[warp]
}

// warpOrder and blockOrder are what orders the accesses of a warp and a block.
type warpOrder struct {
	segment   uint32
	synced    uint32 // the segment that the last barrier of all its lanes has begun
	barrier   uint32 // the one that the last barrier of the whole block has begun
	partial   []partialSync
	dirty     uint32 // lanes that have written global memory since their last fence
	coverages [warpSize]coverage
}

// A partialSync is a bar.warp.sync of some of the lanes.
type partialSync struct{ segment, lanes uint32 }

type blockOrder struct {
	partial  []partialBarrier
	barriers []uint32 // the segments that the last full barrier has begun, by warp
	clean    []uint32 // the same of the last full barrier with no dirty lane
	acquired map[uint64]uint64
}

// A partialBarrier is a barrier of some of the warps.
type partialBarrier struct {
	begun  []uint32 // the segment of each warp that took part, else 0
	waited uint32   // warps that waited, and did not only arrive
}

// maxPartial bounds the lists of partial barriers; the oldest are forgotten.
const maxPartial = 64

// beginRaces starts the numbering of a launch.
func (l *launch) beginRaces() {
	t := &l.gpu.races
	if t.next.Load() > 1<<31 {
		for _, r := range l.gpu.space.slots {
			if r != nil {
				for i := range r.pages {
					r.pages[i].shadow = nil
				}
			}
		}
		t.next.Store(0)
	}
	l.race.check = !l.gpu.config.AllowRaces
	l.race.releases, l.race.turns = map[uint32][]release{}, map[uint64]uint64{}
	l.race.floor = t.next.Add(segmentChunk) // 0 is nobody's segment
	t.next.Add(segmentChunk)
}

func (b *block) beginOrder() {
	floor := b.launch.gpu.races.next.Load()
	b.static.floor, b.dynamic.floor = floor, floor
	b.order = blockOrder{partial: b.order.partial[:0]}
}

func (w *warp) beginOrder() {
	w.order = warpOrder{partial: w.order.partial[:0]}
	w.newChunk()
	w.order.synced, w.order.barrier = w.order.segment, w.order.segment
}

// newChunk begins a segment in a new chunk.
func (w *warp) newChunk() {
	l := w.block.launch
	t := &l.gpu.races
	first := t.next.Add(segmentChunk) - segmentChunk
	if first >= 1<<32-segmentChunk {
		panic("more barriers in one launch than the race check can number")
	}
	chunk := (first - l.race.floor) / segmentChunk
	t.mu.Lock()
	for uint64(len(t.owners)) <= chunk/4096 {
		t.owners = append(t.owners, new([4096]owner))
	}
	t.owners[chunk/4096][chunk%4096] = owner{uint32(w.block.number), uint32(w.index)}
	t.mu.Unlock()
	w.order.segment = uint32(first)
}

// newSegment begins a segment.
func (w *warp) newSegment() uint32 {
	if w.order.segment++; w.order.segment%segmentChunk == 0 {
		w.newChunk()
	}
	return w.order.segment
}

// ownerOf tells whose a segment of this launch is.
func (l *launch) ownerOf(segment uint32) owner {
	t := &l.gpu.races
	chunk := (uint64(segment) - l.race.floor) / segmentChunk
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owners[chunk/4096][chunk%4096]
}

// track checks an access of n bytes against the marks of its page, whose lock
// is held, and marks it.
func (w *warp) track(r *region, off uint64, lane int, a *access) *Fault {
	p := &r.pages[off/pageBytes]
	s := p.shadow
	if s == nil {
		s = newShadow()
		p.shadow = s
	}
	if a.typ.bits < 32 && s.shift != 0 {
		s.split()
	}
	floor := max(w.block.launch.race.floor, r.floor)
	segment := uint64(w.order.segment)
	me := segment<<32 | uint64(lane)
	at := off % pageBytes
	for i := at >> s.shift; i <= (at+a.bytes-1)>>s.shift; i++ {
		if wr := s.writes[i]; wr>>32 >= floor && (wr&^strong != me || a.nonCoherent) {
			if f := w.checkWrite(r, off, lane, a, wr); f != nil {
				return f
			}
		}
		switch rd := s.reads[i]; {
		case a.writes:
			if rd>>32 >= floor && rd != segment<<32|1<<lane {
				if f := w.checkReads(r, off, lane, rd); f != nil {
					return f
				}
			}
			s.writes[i], s.reads[i] = me, 0
			if a.strong {
				s.writes[i] = me | strong
			}
		case a.strong: // may be polled while others write
		case rd>>32 == segment && uint32(rd) != 0:
			s.reads[i] = rd | 1<<lane
		case rd>>32 < floor:
			s.reads[i] = segment<<32 | 1<<lane
		default:
			s.reads[i] = w.mergeReads(lane, rd)
		}
	}
	return nil
}

// checkWrite compares an access with an earlier write of the same word.
func (w *warp) checkWrite(r *region, off uint64, lane int, a *access, wr uint64) *Fault {
	l := w.block.launch
	segment, other := uint32(wr>>32), int(wr&(warpSize-1))
	o := l.ownerOf(segment)
	switch {
	case a.nonCoherent:
		return w.fault(lane, Race, "reads %s through .nc, which the kernel has written: by %s", w.place(r, off), w.who(o, other))
	case a.strong && wr&strong != 0 && (!a.ofBlock || uint64(o.block) == w.block.number):
		return nil
	case w.ordered(lane, segment, 1<<other) || wr&strong != 0 && w.sawLast(r.base+off):
		return nil
	}
	does := "reads"
	if a.writes {
		does = "writes"
	}
	return w.fault(lane, Race, "%s %s, which %s has written, and nothing orders the two", does, w.place(r, off), w.who(o, other))
}

// checkReads compares a write with earlier reads of the same word.
func (w *warp) checkReads(r *region, off uint64, lane int, rd uint64) *Fault {
	segment, others := uint32(rd>>32), uint32(rd)
	if w.ordered(lane, segment, others) {
		return nil
	}
	who := "several blocks have"
	if uint64(segment) != w.block.launch.race.floor {
		o := w.block.launch.ownerOf(segment)
		who = "several warps have"
		if others &^= 1 << lane; others != 0 || int(o.warp) != w.index {
			who = w.who(o, bits.TrailingZeros32(uint32(rd))) + " has"
			if others != 0 {
				who = w.who(o, bits.TrailingZeros32(others)) + " has"
			}
		}
		if uint32(rd) == 0 {
			who = "several warps have"
		}
	}
	return w.fault(lane, Race, "writes %s, which %s read, and nothing orders the two", w.place(r, off), who)
}

// mergeReads adds a read to those of other segments.
func (w *warp) mergeReads(lane int, rd uint64) uint64 {
	segment, lanes := uint32(rd>>32), uint32(rd)
	mine := uint64(w.order.segment)<<32 | 1<<lane
	l := w.block.launch
	if uint64(segment) == l.race.floor {
		return rd
	}
	if w.ordered(lane, segment, lanes) {
		return mine
	}
	switch o := l.ownerOf(segment); {
	case uint64(o.block) != w.block.number:
		return l.race.floor << 32
	case int(o.warp) == w.index && lanes != 0:
		return mine | uint64(lanes)
	}
	return mine >> 32 << 32
}

// ordered reports whether accesses of the given lanes in a segment, or of
// several warps if there are none, come before what the lane does now.
func (w *warp) ordered(lane int, segment, lanes uint32) bool {
	b := w.block
	if uint64(segment) == b.launch.race.floor {
		return len(b.order.acquired) > 0 // the marks do not tell which blocks
	}
	o := b.launch.ownerOf(segment)
	if uint64(o.block) == b.number {
		other := b.warps[o.warp]
		switch {
		case segment < other.order.barrier:
			return true
		case lanes == 0:
		case other == w:
			if lanes == 1<<lane || segment < w.order.synced || w.order.reaches(segment, lanes, lane) {
				return true
			}
		case b.order.separated(o.warp, segment, w.index):
			return true
		}
	}
	return b.sees(o, segment, lanes)
}

// reaches follows bar.warp.sync of some lanes from each of lanes to the lane.
func (o *warpOrder) reaches(segment, lanes uint32, lane int) bool {
	for l := range lanesOf(lanes) {
		reached := uint32(1) << l
		for _, p := range o.partial {
			if segment < p.segment && reached&p.lanes != 0 {
				reached |= p.lanes
			}
		}
		if reached>>lane&1 == 0 {
			return false
		}
	}
	return true
}

// separated reports whether a barrier of some warps stands between.
func (o *blockOrder) separated(from, segment uint32, to int) bool {
	for _, p := range o.partial {
		if segment < p.begun[from] && p.waited>>to&1 != 0 {
			return true
		}
	}
	return false
}

// sees reports whether this block has seen a release by which the accesses in
// the other's segment are known.
func (b *block) sees(o owner, segment, lanes uint32) bool {
	if len(b.order.acquired) == 0 || lanes == 0 {
		return false
	}
	l := b.launch
	l.race.mu.Lock()
	defer l.race.mu.Unlock()
	for _, r := range l.race.releases[o.block] {
		if b.order.acquired[r.addr] > r.turn && r.covers(o.warp, segment, lanes) {
			return true
		}
	}
	return false
}

// sawLast reports whether this block's is the last of all atomics on an
// address, and so after the others.
func (w *warp) sawLast(addr uint64) bool {
	l := w.block.launch
	l.race.mu.Lock()
	defer l.race.mu.Unlock()
	turn, ok := w.block.order.acquired[addr]
	return ok && turn >= l.race.turns[addr]
}

// fence notes a fence of some lanes.
func (w *warp) fence(mask uint32) {
	before := w.order.synced
	segment := w.newSegment()
	for lane := range lanesOf(mask) {
		w.order.coverages[lane] = coverage{uint32(w.index), lane, segment, before, w.block.order.barriers, nil}
	}
	w.order.dirty &^= mask
}

// synchronise notes an atomic or other strong access of a kernel that has
// fences. Releases and acquires count for accesses of the whole GPU; a release
// needs a fence before it or in it, an acquire only that the value is read.
func (w *warp) synchronise(lane int, addr uint64, a *access) {
	l, b := w.block.launch, w.block
	if a.ofBlock {
		return
	}
	if a.releases {
		w.fence(1 << lane)
	}
	l.race.mu.Lock()
	defer l.race.mu.Unlock()
	if a.writes {
		l.race.turns[addr]++
	}
	turn := l.race.turns[addr]
	if a.reads {
		if b.order.acquired == nil {
			b.order.acquired = map[uint64]uint64{}
		}
		b.order.acquired[addr] = turn
		if !a.writes {
			b.order.acquired[addr] = turn + 1
		}
	}
	c := w.order.coverages[lane]
	if !a.writes || c.own == 0 {
		return
	}
	c.clean = b.order.clean
	number := uint32(b.number)
	if list := l.race.releases[number]; len(list) == 0 || !list[len(list)-1].same(addr, &c) {
		l.race.releases[number] = append(list, release{addr, turn, c})
	}
}

// same reports whether a release makes no more known than r.
func (r *release) same(addr uint64, c *coverage) bool {
	return r.addr == addr && r.warp == c.warp && r.lane == c.lane && r.own == c.own && r.synced == c.synced &&
		len(r.barriers) == len(c.barriers) && (len(c.barriers) == 0 || &r.barriers[0] == &c.barriers[0]) &&
		len(r.clean) == len(c.clean) && (len(c.clean) == 0 || &r.clean[0] == &c.clean[0])
}

// barrierPassed orders what came before a barrier of the whole block.
func (b *block) barrierPassed() {
	clean := true
	for _, w := range b.warps {
		segment := w.newSegment()
		w.order.synced, w.order.barrier = segment, segment
		w.order.partial = w.order.partial[:0]
		clean = clean && w.order.dirty == 0
	}
	b.order.partial = b.order.partial[:0]
	if !b.launch.fn.ordered {
		return
	}
	b.order.barriers = make([]uint32, len(b.warps))
	for i, w := range b.warps {
		b.order.barriers[i] = w.order.barrier
	}
	if clean {
		b.order.clean = b.order.barriers
	}
}

// partialPassed orders what came before a barrier of some warps. Those that
// wait at it go on only now; the others have gone on when they arrived.
func (b *block) partialPassed(bar *barrier) {
	p := partialBarrier{slices.Clone(bar.begun), bar.waiting}
	for i := range lanesOf(bar.waiting) {
		p.begun[i] = b.warps[i].newSegment()
		b.warps[i].order.synced = p.begun[i]
	}
	if len(b.order.partial) == maxPartial {
		b.order.partial = b.order.partial[1:]
	}
	b.order.partial = append(b.order.partial, p)
}

// warpSynced orders what came before a bar.warp.sync.
func (w *warp) warpSynced(mask uint32) {
	segment := w.newSegment()
	if mask == w.all {
		w.order.synced = segment
		w.order.partial = w.order.partial[:0]
		return
	}
	if len(w.order.partial) == maxPartial {
		w.order.partial = w.order.partial[1:]
	}
	w.order.partial = append(w.order.partial, partialSync{segment, mask})
}
