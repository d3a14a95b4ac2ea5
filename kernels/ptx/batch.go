// Launches with sums over the batch axis.

package ptx

import (
	"math/bits"

	"errorcell/kernels"
)

// batchRows is the number of rows of a block's tile: each warp takes a group
// of rows.
const batchRows = warps * kernels.GroupRows

// batch writes a job whose sums are over the batch axis.
//
// A block takes a tile at a time: a strip of columns, as wide as a warp's
// vectors, of one group of rows for each warp. The groups' sums are folded in
// shared memory and stored. The last block to come to the end of a strip folds
// those of the strip and does what follows for its columns.
func (e *entry) batch(j job, l *Launch) {
	width := 16 / e.dtype().Size()
	l.TileRows, l.TileCols, l.vector, l.sums = batchRows, warp*width, width, true

	p := e.pass(j.pass, nil)
	e.put(`
		// The block takes tiles: its first, and every so many
		.reg .u32 %block, %blocks, %thread, %warp, %lane
		.reg .$I %tile, %tiles, %stride, %warp_index, %place, %high, %broad
		mov.u32 %block, %ctaid.x
		mov.u32 %blocks, %nctaid.x
		mov.u32 %thread, %tid.x
		shr.b32 %warp, %thread, 5
		and.b32 %lane, %thread, 31
		$indexFrom32 %tile, %block
		$indexFrom32 %stride, %blocks
		$indexFrom32 %warp_index, %warp
		$indexFrom32 %place, %lane`)
	e.put(`
		// The rows and columns that it covers
		mov.$I %high, $rows
		mov.$I %broad, $cols

		// They are cut into tiles of $tile rows, one at least
		.reg .$I %chunks
		add.$I %chunks, %high, $less
		shr.$IB %chunks, %chunks, $shift
		max.$I %chunks, %chunks, 1`, "rows", e.extent(p.Kind|kernels.Row == kernels.Full, Rows), "cols", e.extent(p.Kind|kernels.Column == kernels.Full, Cols),
		"tile", batchRows, "less", batchRows-1, "shift", bits.TrailingZeros(batchRows))
	p.chooseVectors(width, "%broad")
	p.scalars()
	e.put("@!%vectors bra elements")
	(&batch{p, j, width}).tiles("vectors")
	e.put("elements:")
	(&batch{p, j, 1}).tiles("singles")
	e.put("done:\nret")
}

// extent is the length of an axis, which is 1 where the pass has no such axis.
func (e *entry) extent(has bool, axis Role) string {
	if has {
		return e.param(axis, 0)
	}
	return "1"
}

// batch is such a launch in the making, for vectors of some width.
type batch struct {
	*pass
	job   job
	width int
}

// strip is the number of columns of a tile.
func (b *batch) strip() int { return warp * b.width }

// tiles goes through the block's tiles.
func (b *batch) tiles(name string) {
	b.put(`
		// Tiles of $strip columns
		.reg .$I %strips, %strip, %chunk, %col, %row, %end, %first_col
		.reg .pred %over
		add.$I %strips, %broad, $less
		shr.$IB %strips, %strips, $shift
		mul.lo.$I %tiles, %strips, %chunks
		$name:
		setp.ge.$I %over, %tile, %tiles
		@%over bra done
		div.$I %chunk, %tile, %strips
		mul.lo.$I %strip, %chunk, %strips
		sub.$I %strip, %tile, %strip
		mul.lo.$I %first_col, %strip, $strip
		mad.lo.$I %col, %place, $width, %first_col
		mad.lo.$I %row, %chunk, $warps, %warp_index
		mul.lo.$I %row, %row, $rows
		add.$I %end, %row, $rows
		min.$I %end, %end, %high`, "name", name, "strip", b.strip(), "less", b.strip()-1, "shift", bits.TrailingZeros(uint(b.strip())),
		"width", b.width, "warps", warps, "rows", kernels.GroupRows)
	b.group(name)
	b.foldGroups()
	b.lastOfStrip(name)
	b.foldTiles(name)
	b.columns(name)
	b.put(`
		next_$name:
		add.$I %tile, %tile, %stride
		bra $name`, "name", name)
}

// group adds up the rows of the warp's group, in order.
func (b *batch) group(name string) {
	b.clearLanes(b.Sums, b.width)
	b.put(`
		// Threads beyond the last column have nothing to add
		.reg .pred %inside, %more
		setp.ge.$I %over, %col, %broad
		@%over bra end_rows_$name
		rows_$name:
		setp.ge.$I %over, %row, %end
		@%over bra end_rows_$name
		.reg .$I %last
		sub.$I %last, %end, 1`, "name", name)
	t := &trip{pass: b.pass, width: b.width, asRows: true}
	rows := b.atOnce(b.width * b.dtype().Size())
	for s := range rows {
		at := slot{guard: lettered("%here", s), index: lettered("%i", s), row: lettered("%row", s), col: "%col"}
		b.put(`
			.reg .pred $here
			.reg .$I $row, $index
			setp.lt.$I $here, $from, %end
			min.$I $row, $from, %last
			mad.lo.$I $index, $row, %broad, %col`, "here", at.guard, "row", at.row, "index", at.index, "from", b.plus("%row", s))
		t.slots = append(t.slots, at)
	}
	t.compute()
	t.addToLanes(b.Sums, b.width)
	b.put(`
		// The next rows
		add.$I %row, %row, $rows
		bra rows_$name
		end_rows_$name:`, "rows", rows, "name", name)
}

// foldGroups adds up the sums of the tile's groups in pairs, and stores them.
func (b *batch) foldGroups() {
	b.put(`
		// The groups in pairs, through shared memory
		.shared groups $bytes
		.reg .u32 %mine, %group
		.reg .u64 %address
		.reg .$I %thread_index, %where
		.reg .pred %folds
		mul.lo.u32 %group, %warp, $strip
		mad.lo.u32 %group, %lane, $width, %group
		mov.u32 %mine, groups
		mad.lo.u32 %group, %group, 8, %mine
		mad.lo.u32 %mine, %thread, 8, %mine
		$indexFrom32 %thread_index, %thread
		add.$I %where, %first_col, %thread_index
		setp.lt.u32 %folds, %thread, $strip
		setp.lt.$I %inside, %where, %broad
		and.pred %folds, %folds, %inside
		mad.lo.$I %where, %chunk, %broad, %where`, "strip", b.strip(), "width", b.width, "bytes", b.strip()*warps*8)
	for _, sum := range b.Sums {
		for i := range b.width {
			b.put("st.shared.f64 [%group+$offset], $x", "offset", 8*i, "x", b.lane(sum, i))
		}
		b.put("bar.sync 0")
		end := b.label("end_groups")
		b.put("@!%folds bra $end", "end", end)
		for i := range warps {
			b.put(".reg .f64 $x\nld.shared.f64 $x, [%mine+$offset]", "x", lettered("%x", i), "offset", i*b.strip()*8)
		}
		for distance := 1; distance < warps; distance *= 2 {
			for i := 0; i < warps; i += 2 * distance {
				b.put("add.rn.f64 $x, $x, $y", "x", lettered("%x", i), "y", lettered("%x", i+distance))
			}
		}
		b.put(`
			$at %address, %where, 8, $partials
			st.global.f64 [%address], %x_a
			$end:
			bar.sync 0`, "end", end, "partials", b.param(Partials, sum))
	}
}

// lastOfStrip lets the last block to come to the end of a strip go on with it,
// and the others with the next tile.
func (b *batch) lastOfStrip(name string) {
	b.put(`
		.shared last_block 4
		.reg .u64 %ticket_at
		.reg .u32 %last_ticket
		.reg .pred %last_one
		setp.ne.u32 %over, %thread, 0
		@%over bra wait_$name
		$at %ticket_at, %strip, 4, $control
		$indexTo32 %last_ticket, %chunks
		sub.u32 %last_ticket, %last_ticket, 1`, "name", name, "control", b.param(Control, 0))
	b.takeTicket("%ticket_at")
	b.put(`
		setp.eq.u32 %last_one, %ticket, %last_ticket
		selp.u32 %ticket, 1, 0, %last_one
		st.shared.u32 [last_block], %ticket
		wait_$name:
		bar.sync 0
		ld.shared.u32 %ticket, [last_block]
		setp.eq.u32 %over, %ticket, 0
		@%over bra next_$name`, "name", name)
}

// foldTiles adds up the tiles of a strip in pairs, as kernels.FoldPairs does: a
// tile takes the sums of its neighbour, then those of the next but one, and so
// on. They are with the first tile then.
func (b *batch) foldTiles(name string) {
	b.put(`
		// The tiles of the strip in pairs: the thread's column, and its first pair
		.reg .u32 %column, %worker
		.reg .$I %worker_index, %distance, %pair, %low, %high_tile, %step, %low_index, %high_index
		.reg .u64 %high_address
		.reg .f64 %x_a, %x_b
		and.b32 %column, %thread, $less
		shr.b32 %worker, %thread, $shift
		$indexFrom32 %worker_index, %worker
		$indexFrom32 %where, %column
		add.$I %where, %where, %first_col
		setp.lt.$I %inside, %where, %broad
		mov.$I %distance, 1
		level_$name:
		setp.ge.$I %over, %distance, %chunks
		@%over bra folded_$name
		shl.$IB %pair, %distance, 1
		mul.lo.$I %low, %worker_index, %pair
		mul.lo.$I %step, %pair, $workers
		pairs_$name:
		add.$I %high_tile, %low, %distance
		setp.ge.$I %over, %high_tile, %chunks
		@%over bra end_pairs_$name
		mad.lo.$I %low_index, %low, %broad, %where
		mad.lo.$I %high_index, %high_tile, %broad, %where`,
		"name", name, "less", b.strip()-1, "shift", bits.TrailingZeros(uint(b.strip())), "workers", threads/b.strip())
	for _, sum := range b.Sums {
		b.put(`
			$at %address, %low_index, 8, $partials
			$at %high_address, %high_index, 8, $partials
			@%inside ld.global.cg.f64 %x_a, [%address]
			@%inside ld.global.cg.f64 %x_b, [%high_address]
			@%inside add.rn.f64 %x_a, %x_a, %x_b
			@%inside st.global.f64 [%address], %x_a`, "partials", b.param(Partials, sum))
	}
	b.put(`
		add.$I %low, %low, %step
		bra pairs_$name
		end_pairs_$name:
		bar.sync 0
		mov.$I %distance, %pair
		bra level_$name
		folded_$name:`, "name", name)
}

// columns does what follows from the sums, a thread for each column.
func (b *batch) columns(name string) {
	b.put(`
		setp.ne.u32 %over, %worker, 0
		@%over bra next_$name
		@!%inside bra next_$name`, "name", name)
	known := map[int]string{}
	for _, sum := range b.Sums {
		b.put(`
			// s$k, rounded
			$at %address, %where, 8, $partials
			ld.global.cg.f64 %x_a, [%address]`, "k", sum, "partials", b.param(Partials, sum))
		known[sum] = b.convert(sum, "%x_a")
	}
	b.keep(b.job, known, "%where")
	b.follow(b.job, known, slot{index: "%where"})
}
