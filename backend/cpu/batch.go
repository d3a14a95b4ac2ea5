package cpu

import (
	"math/bits"

	"errorcell/kernels"
)

// Sums over the batch. Each column has a tree of its own: the sums of groups of
// rows, and those in pairs ([kernels.BatchSum]). The grid is cut into tiles, of so
// few columns that their sums stay in the L1 cache, and of so many groups that a tile
// is a part of the tree by itself.

const (
	// tileColumns is how many columns a tile has at most.
	tileColumns = 512
	// A tile has 2^(tileLevels-1) groups of rows at most. As many sums of a column
	// wait for others at once, one of each level of the tree.
	tileLevels = 4
	// tilesPerThread is how many tiles a thread should have, that work is even.
	tilesPerThread = 8
)

// cut says how a grid is cut into tiles.
type cut struct {
	rows, cols   int
	groups       int // of a tile
	down, across int // tiles
}

// newCut makes tiles large, but enough of them for so many threads.
func newCut(rows, cols, threads int) cut {
	c := cut{rows: rows, cols: cols, groups: 1 << (tileLevels - 1), across: (cols + tileColumns - 1) / tileColumns}
	for ; ; c.groups /= 2 {
		tileRows := c.groups * kernels.GroupRows
		c.down = (rows + tileRows - 1) / tileRows
		if c.groups == 1 || threads <= 1 || c.tiles() >= threads*tilesPerThread {
			return c
		}
	}
}

func (c *cut) tiles() int { return c.down * c.across }

// tile is the one that a thread is at.
type tile struct {
	col, cols int
	open      int       // levels of sums that wait for others
	sums      []float64 // of each sum of the pass and level: of each column
}

// level is the sums of a sum of the pass that are being made.
func (t *tile) level(sum int) []float64 { return t.at(sum, t.open) }

func (t *tile) at(sum, level int) []float64 {
	return t.sums[(sum*tileLevels+level)*tileColumns:][:t.cols]
}

// addTile adds up a tile.
func (f *frame[T]) addTile(w *workspace[T], number int) {
	c, t, kit := &f.cut, &w.tile, f.program.kit
	t.col, t.open = number%c.across*tileColumns, 0
	t.cols = min(tileColumns, c.cols-t.col)
	merge := func() { // the last two levels
		t.open--
		for i := range f.pass.sums {
			kit.addSums(t.at(i, t.open-1), t.at(i, t.open))
		}
	}
	row := number / c.across * c.groups * kernels.GroupRows
	end := min(row+c.groups*kernels.GroupRows, c.rows)
	for n := 0; row < end; n++ {
		for i := range f.pass.sums {
			clear(t.level(i))
		}
		rows := min(kernels.GroupRows, end-row)
		f.addGroup(w, row, rows)
		row += rows
		t.open++
		for range bits.TrailingZeros(^uint(n)) { // the pairs that are whole now
			merge()
		}
	}
	for t.open > 1 { // as the last one without a neighbour goes up
		merge()
	}
	for i, s := range f.pass.sums {
		if sums := t.at(i, 0); c.down > 1 {
			copy(f.partials[s.index][number/c.across*c.cols+t.col:], sums)
		} else {
			kit.round(f.operands[f.program.plan.Kernel.NumInputs()+s.index][t.col:][:t.cols], sums)
		}
	}
}

// addGroup adds rows of a tile to its sums.
func (f *frame[T]) addGroup(w *workspace[T], row, rows int) {
	t, start := &w.tile, row*f.width+w.tile.col
	switch {
	case f.pass.inPlace:
		for i, s := range f.pass.sums {
			x := f.operands[f.pass.places[s.place].index]
			f.program.kit.addRows(t.level(i), x[start:], f.width, rows)
		}
	case t.cols == f.width: // one after the other
		for end := start + rows*f.width; start < end; start += f.pass.span {
			f.block(w, start, min(f.pass.span, end-start))
		}
	default:
		for i := range rows {
			f.block(w, start+i*f.width, t.cols)
		}
	}
}

// addBatch adds a block, which starts at a column of the tile and may span rows, to
// the sums of the columns.
func (f *frame[T]) addBatch(sums []float64, x []T, col int) {
	add := f.program.kit.addRows
	if col > 0 {
		n := min(len(sums)-col, len(x))
		add(sums[col:][:n], x, n, 1)
		x = x[n:]
	}
	if rows := len(x) / len(sums); rows > 0 {
		add(sums, x, len(sums), rows)
		x = x[rows*len(sums):]
	}
	add(sums[:len(x)], x, len(x), 1)
}

// foldRows is kernels.FoldPairs for each column of the rows of x.
func (k *kit[T]) foldRows(x []float64, cols int) {
	for n := len(x) / cols; n > 1; n = (n + 1) / 2 {
		for i := range n / 2 {
			to := x[i*cols:][:cols]
			copy(to, x[2*i*cols:])
			k.addSums(to, x[(2*i+1)*cols:][:cols])
		}
		if n%2 == 1 {
			copy(x[n/2*cols:][:cols], x[(n-1)*cols:])
		}
	}
}
