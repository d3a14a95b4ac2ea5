package main

import (
	"maps"
	"slices"
	"strings"

	"errorcell/kernels"
)

// cell is what --cell names: how arrays are called in files, and which kernel
// computes them.
type cell struct {
	name string
	// kernels by --loss; the first loss is the default.
	losses  []string
	kernels map[string]*kernels.Kernel
	// aliases are other names of operands, with the names that the results
	// have when the alias is used.
	aliases map[string]alias
	// needs ties a result to the operand without which it is left out.
	needs map[string]string
}

type alias struct {
	operand string
	results map[string]string
}

var cells = []cell{{
	name:    "laplacian",
	losses:  []string{"mismatch", "l1"},
	kernels: map[string]*kernels.Kernel{"mismatch": kernels.LaplacianScaled, "l1": kernels.LaplacianScaledL1},
	aliases: map[string]alias{"shift": {operand: "mu", results: map[string]string{"dmu": "dshift"}}},
	needs:   map[string]string{"dScale": "scale"},
}}

func cellNames() []string {
	names := make([]string, len(cells))
	for i, c := range cells {
		names[i] = c.name
	}
	return names
}

// findCell finds the cell and the kernel of its loss.
func findCell(name, loss string) (cell, *kernels.Kernel, error) {
	i := slices.IndexFunc(cells, func(c cell) bool { return c.name == name })
	if i < 0 {
		return cell{}, nil, usagef("unknown cell %q; there are: %s", name, strings.Join(cellNames(), ", "))
	}
	c := cells[i]
	k, ok := c.kernels[loss]
	if !ok {
		return cell{}, nil, usagef("unknown loss %q; the %s cell has: %s", loss, name, strings.Join(c.losses, ", "))
	}
	return c, k, nil
}

// arrayNames lists the names that the cell's operands can have in files.
func (c cell) arrayNames() []string {
	var names []string
	for _, in := range c.kernels[c.losses[0]].Inputs() {
		names = append(names, in.Name)
	}
	return append(names, slices.Sorted(maps.Keys(c.aliases))...)
}

// operandOf is the operand that an array of this name is.
func (c cell) operandOf(array string) string {
	if a, ok := c.aliases[array]; ok {
		return a.operand
	}
	return array
}

// omitted are the results that a step without an operand leaves out, as in a
// Signature.
func (c cell) omitted(k *kernels.Kernel, kinds [kernels.MaxInputs]kernels.Kind) (bits uint32) {
	for i, out := range k.Outputs() {
		if needed, ok := c.needs[out.Name]; ok && kinds[k.InputIndex(needed)] == kernels.Absent {
			bits |= 1 << i
		}
	}
	return bits
}
