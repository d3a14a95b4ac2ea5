package kernels

// The fixed tree of float sums. These numbers are part of the definition of
// every result: to change one is to change the bits of every loss.
const (
	// BlockSize is the number of consecutive elements that one block of the
	// tree sums.
	BlockSize = 1024
	// Lanes is the number of running sums of a block: element i of a block
	// goes to lane i%Lanes.
	Lanes = 128
	// GroupRows is the number of consecutive rows that one group of a sum over
	// the batch axis adds up, in order.
	GroupRows = 32
)

// TreeSum is the sum of n numbers by the fixed tree, which depends on n alone.
//
// Read the numbers as padded with +0 to blocks of [BlockSize]. A block is
// summed in [Lanes] lanes: lane j starts at +0 and adds elements j, j+Lanes,
// j+2*Lanes, ... in that order; then lane j adds lane j+64, for j < 64, then
// j+32, and so on down to lane 0 ([FoldLanes]). The sums of the blocks are
// added in pairs, the results in pairs again, until one is left
// ([FoldPairs]).
func TreeSum(n int, at func(i int) float64) float64 {
	blocks := make([]float64, 0, (n+BlockSize-1)/BlockSize)
	for start := 0; start < n; start += BlockSize {
		var lanes [Lanes]float64
		for i := start; i < min(start+BlockSize, n); i++ {
			lanes[(i-start)%Lanes] += at(i)
		}
		blocks = append(blocks, FoldLanes(&lanes))
	}
	return FoldPairs(blocks)
}

// FoldLanes adds the lanes of a block to one number. It overwrites them.
func FoldLanes(lanes *[Lanes]float64) float64 {
	for half := Lanes / 2; half > 0; half /= 2 {
		for j := range half {
			lanes[j] += lanes[j+half]
		}
	}
	return lanes[0]
}

// FoldPairs adds neighbours, then neighbouring sums, until one is left. A last
// one without a neighbour goes up unchanged, which is what adding +0 would do.
// It overwrites the numbers; the sum of none is +0.
func FoldPairs(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	for len(x) > 1 {
		half := (len(x) + 1) / 2
		for i := range len(x) / 2 {
			x[i] = x[2*i] + x[2*i+1]
		}
		if len(x)%2 == 1 {
			x[half-1] = x[len(x)-1]
		}
		x = x[:half]
	}
	return x[0]
}

// BatchSum is the sum of n numbers down the batch axis, one from each row, by
// the tree of sums over the batch: groups of [GroupRows] rows are added in
// order, starting at +0, and the sums of the groups by [FoldPairs].
func BatchSum(n int, at func(row int) float64) float64 {
	groups := make([]float64, 0, (n+GroupRows-1)/GroupRows)
	for start := 0; start < n; start += GroupRows {
		var sum float64
		for row := start; row < min(start+GroupRows, n); row++ {
			sum += at(row)
		}
		groups = append(groups, sum)
	}
	return FoldPairs(groups)
}
