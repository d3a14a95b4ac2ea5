package main

import (
	"cmp"
	"maps"
	"slices"
	"sort"

	"github.com/mmcloughlin/avo/pass"

	"errorcell/backend/cpu/internal/form"
	"errorcell/kernels"
)

// layout is what a fused function does because there are not enough registers
// for all: nothing, if it is the zero value.
type layout struct {
	// vectors is how many are computed side by side, each operation of all before
	// the next. If it is 0, they are computed one after the other, of which the
	// processor makes side by side as well where they are short.
	vectors int
	// inMemory are the constants without registers, by their names.
	inMemory map[string]bool
}

// layoutOf is the layout for a form: what fits is best, else as many vectors side
// by side as there can be, with as many constants in registers as fit then, those
// first that most operations use.
func (f *file) layoutOf(fm form.Form) layout {
	if f.fits(fm, layout{}) {
		return layout{}
	}
	names := f.leastUsed(fm)
	without := func(vectors, constants int) layout {
		in := layout{vectors: vectors, inMemory: map[string]bool{}}
		for _, name := range names[:constants] {
			in.inMemory[name] = true
		}
		return in
	}
	vectors := most
	for vectors > 1 && !f.fits(fm, without(vectors, len(names))) {
		vectors /= 2
	}
	return without(vectors, sort.Search(len(names), func(n int) bool { return f.fits(fm, without(vectors, n)) }))
}

// most is how many vectors are computed side by side at most, a power of two. A
// processor looks some hundred operations ahead, which is little more than a
// vector of these forms has, and most of them wait for one before.
const most = 2

// fits reports whether the registers suffice, by trying.
func (f *file) fits(fm form.Form, in layout) bool {
	try := newFile(f.isa, f.dtype)
	try.fused("try", fm, false, in)
	compiled, err := try.Result()
	if err != nil {
		panic(err)
	}
	return pass.Compile.Execute(compiled) == nil && try.checkRegisters(compiled) == nil
}

// leastUsed are the constants of a form by how many operations use each, without
// those that are results, which are stored from registers.
func (f *file) leastUsed(fm form.Form) []string {
	uses := map[string]int{}
	for _, n := range fm.Nodes {
		for _, c := range f.isa.constants(n.Op) {
			uses[c.name]++
		}
		for _, arg := range n.Args[:n.Op.Arity()] {
			if c := fm.Nodes[arg]; c.Op == kernels.OpConst {
				uses[number(c.Const).name]++
			}
		}
	}
	for i, last := range lastUses(fm) {
		if c := fm.Nodes[i]; c.Op == kernels.OpConst && last == len(fm.Nodes) {
			delete(uses, number(c.Const).name)
		}
	}
	return slices.SortedFunc(maps.Keys(uses), func(a, b string) int {
		return cmp.Or(uses[a]-uses[b], cmp.Compare(a, b))
	})
}
