// Launches over elements in a row: results element for element, and sums over
// all of them.

package ptx

import (
	"fmt"
	"math/bits"
	"slices"

	"errorcell/kernels"
)

// inFlight is the number of bytes that a thread asks for before it waits.
const inFlight = 64

// atOnce is the number of vectors that a thread loads of each array at once, at
// most 4.
func (p *pass) atOnce(vectorBytes int) int {
	bytes := inFlight
	if p.wide {
		bytes /= 2
	}
	return min(4, max(1, bytes/(vectorBytes*max(1, p.loads()))))
}

// flat is a launch over elements in a row, in the making.
type flat struct {
	*pass
	job   job
	width int // elements of a vector
	slots int // vectors that a thread loads of each array at once
	unit  int // elements that a warp takes at a time
}

// flat writes a job over the elements of its pass.
//
// A warp takes a unit of elements at a time: a block of the tree if there are
// sums by the tree, else as much as it loads at once. Whole units go the fast
// way, in vectors; what is left, and everything if an address or the number of
// columns does not fit vectors, goes element by element. Then the block's
// counts are added to those of the other blocks, and the last block to come
// there folds the sums and does what follows from them.
func (e *entry) flat(j job, l *Launch) {
	f := flat{pass: e.pass(j.pass, nil), job: j}
	bytes := e.arch.vectorBytes()
	for bytes > 16 && (f.wide || bytes*f.loads() > 2*inFlight) {
		bytes /= 2 // so many operands that wide vectors would fill the registers
	}
	f.width, f.slots = bytes/e.dtype().Size(), f.atOnce(bytes)
	f.unit = warp * f.width * f.slots
	if len(f.trees()) > 0 {
		f.width = min(f.width, perThread)
		f.slots = max(f.slots, perThread/f.width)
		f.unit = kernels.BlockSize
	}
	l.TileCols, l.vector, l.PerThread = f.unit*warps, f.width, f.width*f.slots
	l.sums, l.counts = len(f.Sums) > 0, len(f.counts())

	if f.isSmall() {
		f.limit = fewRegisters
	}
	f.begin()
	f.leave()
	f.scalars()
	f.units(f.vectors(), "vectors", "Whole units, in vectors", "%whole")
	f.units(f.elements(), "elements", "What is left, element by element", "%units")
	if l.sums {
		f.finish()
	}
	f.put("done:\nret")
}

// isSmall reports whether the pass is so small that 40 registers are enough: the
// Laplacian cell's is.
func (f *flat) isSmall() bool {
	long := func(n kernels.Node) bool { return n.Op == kernels.OpDiv || n.Op == kernels.OpSqrt }
	return len(f.trees()) == 0 && len(f.counts()) <= 1 && f.loads() <= 3 && len(f.Stores) <= 2 && len(f.Nodes) <= 8 && !slices.ContainsFunc(f.Nodes, long)
}

// begin finds the warp's first unit, how many there are, and whether vectors
// can be used.
func (f *flat) begin() {
	f.put(`
		// The warp takes units of $unit elements: its first, and every so many
		.reg .u32 %block, %blocks, %thread, %warp, %lane, %start, %warps
		.reg .$I %unit, %stride, %place, %i
		.reg .pred %first
		mov.u32 %block, %ctaid.x
		mov.u32 %blocks, %nctaid.x
		mov.u32 %thread, %tid.x
		shr.b32 %warp, %thread, 5
		and.b32 %lane, %thread, 31
		mad.lo.u32 %start, %block, $warps, %warp
		mul.lo.u32 %warps, %blocks, $warps
		$indexFrom32 %unit, %start
		$indexFrom32 %stride, %warps
		$indexFrom32 %place, %lane
		setp.eq.u32 %first, %lane, 0`, "unit", f.unit, "warps", warps)
	f.countElements()
	f.put(`
		// They make up %whole units and, with one that may be a part, %units
		.reg .$I %units, %whole, %last
		.reg .pred %over
		add.$I %units, %n, $less
		shr.$IB %units, %units, $shift
		shr.$IB %whole, %n, $shift
		sub.$I %last, %n, 1`, "less", f.unit-1, "shift", bits.TrailingZeros(uint(f.unit)))
	cols := ""
	if f.has(kernels.Row) || f.has(kernels.Column) {
		cols = f.param(Cols, 0)
	}
	f.chooseVectors(f.width, cols)
	f.put("selp.$IB %whole, %whole, 0, %vectors")
	for _, sum := range f.counts() {
		f.put(`
			// The count of s$k
			.reg .$C %count$k, %nans$k
			.reg .$T %tally$k
			mov.$CB %count$k, 0
			mov.$CB %nans$k, 0`, "k", sum)
	}
}

// countElements sets %n.
func (f *flat) countElements() {
	f.put("// The elements\n.reg .$I %n")
	switch f.Kind {
	case kernels.Full:
		f.put("mul.lo.$I %n, $rows, $cols", "rows", f.param(Rows, 0), "cols", f.param(Cols, 0))
	case kernels.Row:
		f.put("mov.$I %n, $cols", "cols", f.param(Cols, 0))
	case kernels.Column:
		f.put("mov.$I %n, $rows", "rows", f.param(Rows, 0))
	default:
		f.put("mov.$I %n, 1")
	}
}

// leave lets threads go that have no element: they would load what is for all
// elements maybe after the only one has been computed in its place.
func (f *flat) leave() {
	if !f.plan.InPlace() || !f.has(kernels.Scalar) {
		return
	}
	f.put(`
		// No element of a thread comes before its lane or its warp's first unit
		max.$I %i, %unit, %place
		setp.ge.$I %over, %i, %n
		@%over bra done`)
}

// chooseVectors sets %vectors: every array that is accessed in vectors of a
// width must be aligned to them and, if the number of columns is given, so must
// every row.
func (p *pass) chooseVectors(width int, cols string) {
	bytes := width * p.dtype().Size()
	p.put(`
		// Vectors of $bytes bytes fit if every address is a multiple of that
		.reg .u64 %bits
		.reg .pred %vectors
		mov.u64 %bits, 0`, "bytes", bytes)
	for i, n := range p.Nodes {
		if source := p.source(n); source != "" && (p.kind[i] == kernels.Full || p.kind[i] == kernels.Row) {
			p.put("or.b64 %bits, %bits, $array", "array", source)
		}
	}
	for _, st := range p.Stores {
		p.put("or.b64 %bits, %bits, $array", "array", p.param(Result, st.Output))
	}
	p.put("and.b64 %bits, %bits, $less\nsetp.eq.u64 %vectors, %bits, 0", "less", bytes-1)
	if cols != "" {
		p.put(`
			// and every row is a multiple of $width elements
			.reg .$I %rest
			.reg .pred %fit
			and.$IB %rest, $cols, $less
			setp.eq.$I %fit, %rest, 0
			and.pred %vectors, %vectors, %fit`, "width", width, "cols", cols, "less", width-1)
	}
}

// vectors is a trip of the fast way.
func (f *flat) vectors() *trip {
	t := &trip{pass: f.pass, width: f.width}
	for s := range f.slots {
		t.slots = append(t.slots, slot{index: "%i", offset: s * warp * f.width})
	}
	return t
}

// elements is a trip for what does not fit vectors. Threads beyond the last
// element have left it, if there are no sums. Else they load that one, and neither
// store nor add it.
func (f *flat) elements() *trip {
	t := &trip{pass: f.pass, width: 1}
	if len(f.Sums) == 0 {
		t.slots = []slot{{index: "%i"}}
		return t
	}
	slots := 1
	if len(f.trees()) > 0 {
		slots = perThread
	}
	for s := range slots {
		t.slots = append(t.slots, slot{guard: lettered("%here", s), index: lettered("%i", s), offset: 0})
	}
	return t
}

// lettered tells registers apart that no user has named.
func lettered(name string, i int) string { return fmt.Sprintf("%s_%c", name, 'a'+i) }

// units goes through units, up to the one that a register says, in trips.
func (f *flat) units(t *trip, name, says, bound string) {
	stride := warp * t.width * len(t.slots)
	trips := f.unit / stride
	mine := "%place"
	f.put("// $says", "says", says)
	if t.width > 1 {
		mine = "%mine"
		f.put(".reg .$I %mine\nmul.lo.$I %mine, %place, $width", "width", t.width)
	}
	f.put(`
		$name:
		.pragma "nounroll"
		setp.ge.$I %over, %unit, $bound
		@%over bra after_$name
		mad.lo.$I %i, %unit, $unit, $mine`, "name", name, "bound", bound, "unit", f.unit, "mine", mine)
	for _, sum := range f.counts() {
		f.put("mov.$T %tally$k, $zero", "k", sum)
	}
	f.clearLanes(f.trees(), perThread)
	if trips > 1 {
		f.put(`
			.reg .u32 %trip
			mov.u32 %trip, $trips
			trip_$name:
			.pragma "nounroll"`, "trips", trips, "name", name)
	}
	if t.width == 1 && len(f.Sums) == 0 {
		f.put("// Up to the last element\nsetp.ge.$I %over, %i, %n\n@%over bra after_$name", "name", name)
	}
	f.positions(t)
	t.compute()
	t.addToTallies()
	t.addToLanes(f.trees(), perThread)
	if trips > 1 {
		f.put(`
			// The next elements of the unit
			.reg .pred %more
			add.$I %i, %i, $stride
			sub.u32 %trip, %trip, 1
			setp.ne.u32 %more, %trip, 0
			@%more bra trip_$name`, "stride", stride, "name", name)
	}
	f.endUnit(t)
	f.put(`
		// The next unit
		add.$I %unit, %unit, %stride
		bra $name
		after_$name:`, "name", name)
}

// positions finds the elements of each slot, and their rows and columns if an
// operand needs them.
func (f *flat) positions(t *trip) {
	for s := range t.slots {
		at := &t.slots[s]
		if at.guard != "" {
			f.put(`
				.reg .pred $here
				.reg .$I $index
				setp.lt.$I $here, $from, %n
				min.$I $index, $from, %last`, "here", at.guard, "index", at.index, "from", f.plus("%i", s*warp))
		}
		if !f.has(kernels.Row) && !f.has(kernels.Column) {
			continue
		}
		at.row, at.col = lettered("%row", s), lettered("%col", s)
		f.put(`
			.reg .$I $row, $col
			div.$I $row, $index, $cols
			mul.lo.$I $col, $row, $cols
			sub.$I $col, $index, $col`, "row", at.row, "col", at.col, "index", f.plus(at.index, at.offset), "cols", f.param(Cols, 0))
	}
}

// plus is a register with an index and something added, good until the next.
func (e *entry) plus(index string, offset int) string {
	if offset == 0 {
		return index
	}
	e.put(".reg .$I %there\nadd.$I %there, $index, $offset", "index", index, "offset", offset)
	return "%there"
}

// endUnit adds the unit's tallies to the counts, and stores the sums of a
// block of the tree.
func (f *flat) endUnit(t *trip) {
	for _, sum := range f.counts() {
		f.put(`
			// The unit's tally of s$k is a small whole number, or NaN
			.reg .$C %whole_tally
			.reg .pred %q
			setp.nan.$T %q, %tally$k, %tally$k
			cvt.rni.$C.$T %whole_tally, %tally$k
			add.$C %count$k, %count$k, %whole_tally
			@%q add.$C %nans$k, %nans$k, 1`, "k", sum)
	}
	if len(f.trees()) > 0 {
		t.foldLanes(f.trees())
	}
	for _, sum := range f.trees() {
		f.put(`
			.reg .u64 %address
			$at %address, %unit, 8, $partials
			@%first st.global.f64 [%address], $sum`, "partials", f.param(Partials, sum), "sum", f.lane(sum, 0))
	}
}
