package emulator

// Loads, stores and atomics, and all that is checked of them: bounds,
// alignment, whether what is read was written, races.

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

type spaceKind uint8

const (
	spaceGeneric spaceKind = iota
	spaceGlobal
	spaceShared
	spaceConst
	spaceParam
	spaceLocal
)

// symbolSpaces is where variables live, by their kind.
var symbolSpaces = map[symbolKind]spaceKind{
	symParam: spaceParam, symShared: spaceShared, symConst: spaceConst, symGlobal: spaceGlobal, symLabel: spaceLocal,
}

// sharedWindow is where a generic address means shared memory.
const (
	sharedWindow      = 1 << 32
	sharedWindowBytes = 1 << 24
)

// space is the state space that an instruction names.
func (m *mods) space() spaceKind {
	for word, space := range map[string]spaceKind{"global": spaceGlobal, "shared": spaceShared, "shared::cta": spaceShared,
		"const": spaceConst, "param": spaceParam, "param::entry": spaceParam, "local": spaceLocal} {
		if m.has(word) {
			return space
		}
	}
	return spaceGeneric
}

// An access is what a load, a store or an atomic does.
type access struct {
	address
	space       spaceKind
	typ         typ
	bytes       uint64 // of the whole vector
	values      []operand
	reads       bool
	writes      bool
	strong      bool // does not race with other strong accesses
	ofBlock     bool // strong within the block alone: .cta
	nonCoherent bool
	releases    bool // has a fence before it
	update      func(old, b, c uint64) uint64
}

// buildAccess prepares a load, store or atomic.
func buildAccess(in *inst, m *mods) (Kind, string) {
	a := access{space: m.space(), typ: m.typ, bytes: m.typ.bytes()}
	for i, spec := range m.form.ops {
		switch o := in.x.ops[i]; spec.role {
		case "m":
			a.address = o.addr
		case "V", "v":
			a.values = o.vec
			a.bytes *= uint64(len(o.vec))
		}
	}
	name, _, _ := strings.Cut(m.form.syntax, ".")
	a.reads, a.writes = name != "st", name != "ld"
	atomic := name == "atom" || name == "red"
	if name == "red" {
		a.reads = false
	}
	if a.space == spaceLocal {
		return NotEmulated, "local memory is not emulated"
	}
	if v := m.get("VEC"); v == "v8" && m.typ.bits != 32 || a.bytes > 32 ||
		a.bytes == 32 && a.space != spaceGlobal || v == "v4" && a.bytes == 32 && m.typ.bits != 64 {
		return UnknownInstruction, fmt.Sprintf("no .%s of .%v in this state space", v, m.typ)
	}
	if m.get("EVICT2") != "" && a.bytes != 32 {
		return UnknownInstruction, "an L2 eviction priority goes with .v8.b32 or .v4.b64"
	}
	a.strong = atomic || m.has("volatile") || m.has("relaxed") || m.has("acquire") || m.has("release")
	if m.has("volatile") && a.space == spaceShared {
		// It does not race by the letter, but threads that count on each
		// other's progress without a barrier are what the check is for.
		a.strong = false
	}
	a.ofBlock = m.has("cta")
	a.nonCoherent = m.has("nc")
	a.releases = m.has("release") || m.has("acq_rel")
	if atomic {
		for op, make := range atomics {
			if m.has(op) {
				a.update = make(m.typ, a.space)
			}
		}
	}
	in.x.access = a
	return 0, ""
}

// atomics are what atom and red do to a word.
var atomics = map[string]func(t typ, space spaceKind) func(old, b, c uint64) uint64{
	"add": func(t typ, space spaceKind) func(old, b, c uint64) uint64 {
		switch {
		case t == f64:
			return func(old, b, _ uint64) uint64 { return put64(get64(old) + get64(b)) }
		case t == f32 && space == spaceShared:
			return func(old, b, _ uint64) uint64 { return put32(get32(old) + get32(b)) }
		case t == f32: // in global memory, hardware flushes subnormals
			return func(old, b, _ uint64) uint64 { return flush(put32(get32(flush(old)) + get32(flush(b)))) }
		}
		return func(old, b, _ uint64) uint64 { return (old + b) & t.mask() }
	},
	"inc": func(typ, spaceKind) func(old, b, c uint64) uint64 {
		return func(old, b, _ uint64) uint64 { return choose(old >= b, 0, old+1) }
	},
	"dec": func(typ, spaceKind) func(old, b, c uint64) uint64 {
		return func(old, b, _ uint64) uint64 { return choose(old == 0 || old > b, b, old-1) }
	},
	"min": func(t typ, _ spaceKind) func(old, b, c uint64) uint64 {
		return func(old, b, _ uint64) uint64 { return choose(t.less(b, old), b, old) }
	},
	"max": func(t typ, _ spaceKind) func(old, b, c uint64) uint64 {
		return func(old, b, _ uint64) uint64 { return choose(t.less(old, b), b, old) }
	},
	"and": func(typ, spaceKind) func(old, b, c uint64) uint64 {
		return func(old, b, _ uint64) uint64 { return old & b }
	},
	"or": func(typ, spaceKind) func(old, b, c uint64) uint64 {
		return func(old, b, _ uint64) uint64 { return old | b }
	},
	"xor": func(typ, spaceKind) func(old, b, c uint64) uint64 {
		return func(old, b, _ uint64) uint64 { return old ^ b }
	},
	"exch": func(typ, spaceKind) func(old, b, c uint64) uint64 {
		return func(_, b, _ uint64) uint64 { return b }
	},
	"cas": func(typ, spaceKind) func(old, b, c uint64) uint64 {
		return func(old, b, c uint64) uint64 { return choose(old == b, c, old) }
	},
}

func (t typ) less(a, b uint64) bool {
	if t.class == signed {
		return int64(t.extend(a)) < int64(t.extend(b))
	}
	return a < b
}

// locate finds the memory of an access, and checks bounds and alignment.
func (w *warp) locate(lane int, addr uint64, a *access) (*region, uint64, *Fault) {
	if r := w.cache; r != nil && a.space != spaceShared && r.contains(addr, a.bytes) && addr&(a.bytes-1) == 0 {
		return r, addr - r.base, nil
	}
	var r *region
	space := a.space
	if space == spaceGeneric && addr-sharedWindow < sharedWindowBytes {
		space = spaceShared
		addr -= sharedWindow
	}
	switch {
	case space == spaceShared && addr < dynamicBase:
		r = w.block.static
	case space == spaceShared:
		r = w.block.dynamic
	default:
		r = w.block.launch.gpu.space.find(addr)
	}
	inside := r != nil && r.data != nil && r.contains(addr, a.bytes)
	if inside && r.valid != nil {
		off := addr - r.base
		for i := off; i < off+a.bytes; i++ {
			inside = inside && r.valid[i/64]>>(i&63)&1 != 0
		}
	}
	switch {
	case !inside && space == spaceShared:
		return nil, 0, w.fault(lane, IllegalAddress, "%s", w.block.describeShared(addr, a.bytes))
	case !inside:
		return nil, 0, w.fault(lane, IllegalAddress, "%s", w.block.launch.gpu.space.describe(addr, a.bytes))
	case addr&(a.bytes-1) != 0:
		return nil, 0, w.fault(lane, Misaligned, "%d bytes at %#x, which is no multiple of %d", a.bytes, addr, a.bytes)
	}
	if space != spaceShared {
		w.cache = r
	}
	return r, addr - r.base, nil
}

// describeShared says where an address lies that is in no shared variable.
func (b *block) describeShared(addr, n uint64) string {
	what := fmt.Sprintf("%d bytes at shared %#x", n, addr)
	for _, v := range slices.Backward(b.launch.fn.shared.variables) {
		size := v.size
		if v.offset == dynamicBase {
			size = uint64(b.launch.dynShared)
		}
		switch {
		case addr < v.offset:
		case addr < v.offset+size:
			return fmt.Sprintf("%s, across the end of %s of %d bytes", what, v.name, size)
		default:
			return fmt.Sprintf("%s, %d bytes past the end of %s of %d bytes", what, addr-v.offset-size, v.name, size)
		}
	}
	return what + ", where no variable is"
}

// place names a word for messages.
func (w *warp) place(r *region, off uint64) string {
	if r == w.block.static || r == w.block.dynamic {
		for _, v := range slices.Backward(w.block.launch.fn.shared.variables) {
			if addr := r.base + off; addr >= v.offset {
				return fmt.Sprintf("byte %d of shared %s", addr-v.offset, v.name)
			}
		}
	}
	return fmt.Sprintf("%#x, byte %d of %s of %d bytes", r.base+off, off, r.owner, r.size)
}

// who names another thread for messages.
func (w *warp) who(o owner, lane int) string {
	l := w.block.launch
	other := warp{block: &block{launch: l}, index: int(o.warp)}
	t := other.thread(lane)
	s := fmt.Sprintf("thread (%d,%d,%d)", t[0], t[1], t[2])
	if uint64(o.block) != w.block.number {
		n, x, y := o.block, l.grid[0], l.grid[1]
		s += fmt.Sprintf(" of block (%d,%d,%d)", n%x, n/x%y, n/x/y)
	}
	return s
}

// each calls do for the memory of each lane of an access, with the page
// locked. Every check is made before.
func (w *warp) each(mask uint32, a *access, do func(lane int, data []byte)) *Fault {
	if f := w.need(mask, a.row); f != nil {
		return f
	}
	base, fn := &w.regs[a.row], w.block.launch.fn
	check := w.block.launch.race.check
	var (
		held  *page
		fault *Fault
	)
	for m := mask; m != 0; m &= m - 1 {
		lane := bits.TrailingZeros32(m)
		addr := (base[lane] + a.offset) & a.mask
		r, off, f := w.locate(lane, addr, a)
		if f != nil {
			fault = f
			break
		}
		p := &r.pages[off/pageBytes]
		if p != held {
			if held != nil {
				held.mu.Unlock()
			}
			p.mu.Lock()
			held = p
		}
		if (a.reads || a.update != nil) && !p.isWritten(off, a.bytes) {
			fault = w.fault(lane, Uninitialised, "reads %s, which nothing has written", w.place(r, off))
			break
		}
		if check {
			if a.strong && fn.ordered {
				w.synchronise(lane, r.base+off, a)
			}
			if fault = w.track(r, off, lane, a); fault != nil {
				break
			}
		}
		if a.writes {
			p.markWritten(off, a.bytes)
			if r.floor == 0 { // global
				w.order.dirty |= 1 << lane
			}
		}
		do(lane, r.data[off:off+a.bytes])
	}
	if held != nil {
		held.mu.Unlock()
	}
	return fault
}

// get and put are values of 1, 2, 4 or 8 bytes in memory.
func get(data []byte, n uint64) uint64 {
	switch n {
	case 8:
		return binary.LittleEndian.Uint64(data)
	case 4:
		return uint64(binary.LittleEndian.Uint32(data))
	case 2:
		return uint64(binary.LittleEndian.Uint16(data))
	}
	return uint64(data[0])
}

func put(data []byte, n, v uint64) {
	switch n {
	case 8:
		binary.LittleEndian.PutUint64(data, v)
	case 4:
		binary.LittleEndian.PutUint32(data, uint32(v))
	case 2:
		binary.LittleEndian.PutUint16(data, uint16(v))
	default:
		data[0] = byte(v)
	}
}

func execLoad(w *warp, in *inst, mask uint32) *Fault {
	a := &in.x.access
	n := a.typ.bytes()
	load := func(lane int, data []byte) {
		for i, o := range a.values {
			v := get(data[uint64(i)*n:], n)
			if a.typ.class == signed {
				v = a.typ.extend(v) & o.typ.mask()
			}
			w.regs[o.row][lane] = v
		}
	}
	switch a.space {
	case spaceParam:
		at := w.regs[a.row][0] + a.offset
		for lane := range lanesOf(mask) {
			load(lane, w.block.launch.params[at:])
		}
	case spaceConst:
		if f := w.loadConst(mask, a, load); f != nil {
			return f
		}
	default:
		if f := w.each(mask, a, load); f != nil {
			return f
		}
	}
	for _, o := range a.values {
		w.set[o.row] |= mask
	}
	return nil
}

// loadConst is each for constant memory, which nobody writes.
func (w *warp) loadConst(mask uint32, a *access, do func(lane int, data []byte)) *Fault {
	if f := w.need(mask, a.row); f != nil {
		return f
	}
	data := w.block.launch.fn.module.constants
	for lane := range lanesOf(mask) {
		addr := (w.regs[a.row][lane] + a.offset) & a.mask
		if size := uint64(len(data)); addr >= size || a.bytes > size-addr {
			return w.fault(lane, IllegalAddress, "%d bytes at %#x of %d bytes of constants", a.bytes, addr, size)
		}
		if addr%a.bytes != 0 {
			return w.fault(lane, Misaligned, "%d bytes at %#x, which is no multiple of %d", a.bytes, addr, a.bytes)
		}
		do(lane, data[addr:])
	}
	return nil
}

func execStore(w *warp, in *inst, mask uint32) *Fault {
	a := &in.x.access
	n := a.typ.bytes()
	for _, o := range a.values {
		if f := w.need(mask, o.row); f != nil {
			return f
		}
	}
	return w.each(mask, a, func(lane int, data []byte) {
		for i, o := range a.values {
			put(data[uint64(i)*n:], n, w.regs[o.row][lane])
		}
	})
}

func execAtomic(w *warp, in *inst, mask uint32) *Fault {
	a := &in.x.access
	if f := w.checkSources(in, mask); f != nil {
		return f
	}
	n := a.typ.bytes()
	if f := w.each(mask, a, func(lane int, data []byte) {
		old := get(data, n)
		put(data, n, a.update(old, w.regs[in.a][lane], w.regs[in.b][lane]))
		if a.reads {
			w.regs[in.d][lane] = old
		}
	}); f != nil {
		return f
	}
	if a.reads {
		w.set[in.d] |= mask
	}
	return nil
}

func execFence(w *warp, in *inst, mask uint32) *Fault {
	if m := in.x.m; m.has("cta") {
		return nil // orders nothing between blocks, and barriers order the rest
	}
	w.fence(mask)
	return nil
}

func toGeneric(m *mods) laneFunc {
	if m.has("global") {
		return func(a, _, _ uint64) uint64 { return a }
	}
	return func(a, _, _ uint64) uint64 { return a + sharedWindow }
}

func fromGeneric(m *mods) laneFunc {
	if m.has("global") {
		return func(a, _, _ uint64) uint64 { return a }
	}
	return func(a, _, _ uint64) uint64 { return a - sharedWindow }
}

// isSpace builds isspacep.
func isSpace(in *inst, m *mods) (Kind, string) {
	global := m.has("global")
	in.x.compare = func(a, _ uint64) bool {
		return (a-sharedWindow < sharedWindowBytes) != global && (!global || a >= firstAddress && a < lastAddress)
	}
	return 0, ""
}
