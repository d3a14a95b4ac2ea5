package emulator

// Control flow: where basic blocks begin, and in which order the threads of a
// warp that have parted are served.
//
// A warp whose threads are at different places runs those first whose
// instruction stands first in an order of the basic blocks in which a block
// comes after those that lead to it, and the blocks of a loop stand together.
// So threads that leave a loop early wait behind it, both sides of a branch
// come before the place where they join, and threads that stand at the same
// place go on as one. It is the earliest reconvergence that the graph allows,
// wherever the text puts the blocks.

import "slices"

// arrange finds the basic blocks of a kernel and their order.
func (f *Function) arrange() {
	code := f.code
	f.leader = make([]bool, len(code)+1)
	f.leader[0] = true
	for pc, in := range code {
		if in.flow == flowBranch {
			f.leader[in.target] = true
		}
		if in.flow != flowNone {
			f.leader[pc+1] = true
		}
		if in.flow == flowBarrier || in.flow == flowCollective {
			f.leader[pc] = true
		}
	}
	var starts []int32 // of each block
	blockOf := make([]int32, len(code))
	for pc := range code {
		if f.leader[pc] {
			starts = append(starts, int32(pc))
		}
		blockOf[pc] = int32(len(starts) - 1)
	}
	g := graph{next: make([][]int32, len(starts)), entered: make([]bool, len(starts))}
	for b := range starts {
		end := len(code)
		if b+1 < len(starts) {
			end = int(starts[b+1])
		}
		last := code[end-1]
		conditional := last.guard != 0
		if last.flow == flowBranch {
			g.next[b] = append(g.next[b], blockOf[last.target])
		}
		if end < len(code) && (conditional || last.flow != flowBranch && last.flow != flowExit) {
			g.next[b] = append(g.next[b], int32(b+1))
		}
	}
	all := make([]int32, len(starts))
	for i := range all {
		all[i] = int32(i)
	}
	g.rank = make([]int32, len(starts))
	g.entered[0] = true
	g.order(all)
	f.order = make([]int32, len(code))
	for pc := range code {
		f.order[pc] = g.rank[blockOf[pc]]
	}
}

// A graph is the basic blocks and where each leads.
type graph struct {
	next    [][]int32
	rank    []int32 // the result: the place of each block
	done    int32
	entered []bool // blocks to which a block leads that has its place
}

// order ranks the given blocks: strongly connected components in topological
// order, and inside of one, which is a loop, the block at which it is entered,
// then the rest without the edges back to that.
func (g *graph) order(blocks []int32) {
	for _, c := range g.components(blocks) {
		head := c[0]
		if i := slices.IndexFunc(c, func(b int32) bool { return g.entered[b] }); i >= 0 {
			head = c[i]
		}
		g.rank[head] = g.done
		g.done++
		for _, n := range g.next[head] {
			g.entered[n] = true
		}
		if len(c) > 1 {
			g.order(slices.DeleteFunc(c, func(b int32) bool { return b == head }))
		}
	}
}

// components are the strongly connected components of the given blocks, in
// topological order, by Tarjan's algorithm.
func (g *graph) components(blocks []int32) [][]int32 {
	inside := make(map[int32]bool, len(blocks))
	for _, b := range blocks {
		inside[b] = true
	}
	var (
		found   [][]int32
		stack   []int32
		number  = make(map[int32]int, len(blocks)) // from 1, in the order of the search
		low     = make(map[int32]int, len(blocks))
		onStack = make(map[int32]bool, len(blocks))
		visit   func(b int32)
	)
	visit = func(b int32) {
		number[b] = len(number) + 1
		low[b] = number[b]
		stack = append(stack, b)
		onStack[b] = true
		for _, n := range g.next[b] {
			switch {
			case !inside[n]:
			case number[n] == 0:
				visit(n)
				low[b] = min(low[b], low[n])
			case onStack[n]:
				low[b] = min(low[b], number[n])
			}
		}
		if low[b] < number[b] {
			return
		}
		at := slices.Index(stack, b)
		found = append(found, slices.Clone(stack[at:]))
		for _, m := range stack[at:] {
			onStack[m] = false
		}
		stack = stack[:at]
	}
	for _, b := range blocks {
		if number[b] == 0 {
			visit(b)
		}
	}
	slices.Reverse(found)
	return found
}
