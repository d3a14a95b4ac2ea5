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

// layout is what a fused function does because it has many operations: nothing,
// if it is the zero value.
type layout struct {
	// vectors is how many are computed side by side, each operation of all before
	// the next. If it is 0, they are computed one after the other, of which the
	// processor makes side by side as well where they are short.
	vectors int
	// inMemory are the constants without registers, by their names.
	inMemory map[string]bool
}

// layoutOf is the layout for a form: of a short one nothing, if its registers
// suffice, else as many vectors side by side as there can be, with as many
// constants in registers as fit then, those first that most operations use.
func (f *file) layoutOf(fm form.Form) layout {
	if len(fm.Nodes) < long && f.fits(fm, layout{}) {
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
	vectors := f.isa.sideBySide
	for vectors > 1 && !f.fits(fm, without(vectors, len(names))) {
		vectors--
	}
	return without(vectors, sort.Search(len(names), func(n int) bool { return f.fits(fm, without(vectors, n)) }))
}

// long is the number of nodes from which on a processor, which looks some hundred
// instructions ahead, sees little of the next vector, while most of the
// operations of a vector wait for one before.
const long = 50

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
			switch c := fm.Nodes[arg]; {
			case c.Op == kernels.OpConst:
				uses[number(c.Const).name]++
			case c.Op == kernels.OpInput && fm.Operands[c.Index] == form.Uniform:
				uses[uniformName(c)]++
			}
		}
	}
	for i, last := range lastUses(fm, order(fm)) {
		if c := fm.Nodes[i]; last == len(fm.Nodes) {
			switch c.Op {
			case kernels.OpConst:
				delete(uses, number(c.Const).name)
			case kernels.OpInput:
				delete(uses, uniformName(c))
			}
		}
	}
	return slices.SortedFunc(maps.Keys(uses), func(a, b string) int {
		return cmp.Or(uses[a]-uses[b], cmp.Compare(a, b))
	})
}
