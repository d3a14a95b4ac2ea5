// Package ptx lowers kernels to PTX, the assembly language of NVIDIA's virtual
// machine, as text.
//
// [Lower] takes a plan and gives a [Module]: the text, and what a launcher must
// know, as data. It touches no GPU and needs no CUDA.
//
// Each pass of a plan becomes an entry, and passes over a single element, such
// as a loss that follows from a sum, go to the end of the entry whose sums they
// need. The Laplacian cell is one launch: it loads each operand once, stores
// each result once, and has the loss at the end.
//
// # How an entry goes through its elements
//
// A block has 256 threads, which is 8 warps. A warp takes a unit of consecutive
// elements at a time, then the unit that lies as many units further on as the
// grid has warps, so that any number of blocks covers everything. Threads of a
// warp load neighbouring vectors of 128 bits (of 256 from sm_100 on), several
// before they wait; truth values are stored as bytes, four at once. What vectors do
// not fit goes element by element: the end of the arrays, arrays at odd addresses,
// and operands that are broadcast in rows whose length is no multiple of the
// vector.
//
// A plan with one result and no sums may have that result where an operand of as
// many elements is: a thread reads an element before it writes it, none reads
// what another writes, and loads are not .nc.
//
// # How sums are added
//
// The unit of a sum by the fixed tree is a block of the tree, 1024 elements. Each
// thread adds up four of its 128 lanes, the warp folds the lanes by shuffles and
// stores the sum of the block. Which warp did it makes no difference. When a
// thread block is done it takes a ticket; the one with the last ticket folds the
// stored sums by the tree. Sums that are counted are integers, added by
// shuffles, through shared memory and by atomic additions, in any order.
//
// Sums over the batch go down columns, a group of 32 rows for each warp; the
// groups of a block are folded in shared memory, and the tiles of a strip of
// columns by the block that has the strip's last ticket.
//
// # Where to read
//
// ops.go is the table of operations; pass.go writes loads, operations and
// stores for the elements that a thread has at once; flat.go and batch.go are
// the loops around them; sums.go and grid.go put sums together; entry.go makes
// text of fragments. A fragment is PTX with $words in it, one instruction a
// line. The files in testdata are what comes out.
package ptx
