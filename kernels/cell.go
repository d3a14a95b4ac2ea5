package kernels

import (
	"cmp"
	"slices"
)

// Cell declares an error cell, in the file of its kernels: the command line,
// the generator of the CPU's fused functions, the conformance suite and
// verification learn from this value what there is. Nothing else lists cells.
type Cell struct {
	// Name is what the command line's --cell calls it.
	Name string
	// Help says, in whole sentences and lines of at most 82 letters, what a
	// step of the cell reads and writes.
	Help string
	// Kernels are the cell's, in the order in which the tools show them.
	Kernels []CellKernel
	// Aliases are other names of operands.
	Aliases map[string]Alias
	// Needs ties a result to the optional operand without which a step has no
	// use for it and leaves it out.
	Needs map[string]string
	// Flags are the switches of a step, without the dashes, each with its help.
	// What one does is to ask for other kernels: see CellKernel.Flag.
	Flags map[string]string
}

// CellKernel is a kernel of a cell.
type CellKernel struct {
	*Kernel
	// Loss is what --loss calls this kernel's loss. The first of a cell is its
	// default. A kernel without one is no step for the command line.
	Loss string
	// Flag is the switch of the cell that must be given for this kernel; if it
	// is empty, none may be given.
	Flag string
	// Fused says which sets of operands get fused functions on the CPU. All
	// other sets run in primitives, to the same bits, but one operation after
	// the other; so those worth a function are the ones that people step large
	// batches with. A set costs some hundred lines of assembly for each sum.
	Fused []Operands
}

// Operands is a set of operands: those named, each with a kind. Of the others,
// optional ones are absent and required ones full. A row or a column counts as
// full, and a set that makes the form of another needs no mention: a mask alone
// is as good as a modulator alone.
type Operands map[string]Kind

// Signature is that of the kernel with the set of operands.
func (o Operands) Signature(k *Kernel, d DType) Signature {
	sig := Signature{DType: d}
	for i, in := range k.inputs {
		kind, ok := o[in.Name]
		if !ok && !in.Optional {
			kind = Full
		}
		sig.Kinds[i] = kind
	}
	return sig
}

// Alias is another name of an operand.
type Alias struct {
	Operand string
	// Results have other names too when the operand is given by this one.
	Results map[string]string
}

var cells []Cell

// declare adds a cell to those that come with errorcell. It returns the cell
// so that a package's variable can hold the call.
func declare(c Cell) Cell {
	cells = append(cells, c)
	return c
}

// Cells lists the error cells that come with errorcell, by name.
func Cells() []Cell {
	// The files' order, in which they were declared, should not matter.
	return slices.SortedFunc(slices.Values(cells), func(a, b Cell) int { return cmp.Compare(a.Name, b.Name) })
}

// outputShared names the derivative x by a parameter, element by element, as
// results of the kernel: as it is, for a parameter of which each element has
// its own, and summed, for one that a column or that all elements share. A
// caller asks for the one that fits and omits the others.
func outputShared(k *Builder, name string, x Value) {
	k.Output(name+"-each", x)
	k.Output(name+"-batch", k.Sum(x, Batch))
	k.Output(name+"-all", k.Sum(x, All))
}
