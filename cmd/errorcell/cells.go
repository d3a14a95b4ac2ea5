// What --cell and --loss name. The cells themselves say it, in package kernels.

package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"errorcell/kernels"
)

// cell is a cell that the command line steps, as its kernels' file declares it.
type cell struct{ kernels.Cell }

const defaultCell = "laplacian"

var cells = stepCells(kernels.Cells())

// stepCells are those of the cells that have a kernel for a step.
func stepCells(declared []kernels.Cell) []cell {
	var list []cell
	for _, c := range declared {
		if len(cell{c}.losses()) > 0 {
			list = append(list, cell{c})
		}
	}
	return list
}

func cellNames() []string {
	names := make([]string, len(cells))
	for i, c := range cells {
		names[i] = c.Name
	}
	return names
}

// losses lists the cell's losses; the first is the default.
func (c cell) losses() []string {
	var list []string
	for _, k := range c.Kernels {
		if k.Loss != "" && !slices.Contains(list, k.Loss) {
			list = append(list, k.Loss)
		}
	}
	return list
}

// lossNames lists the losses of all cells, and lossHelp says whose they are.
func lossNames() []string {
	var list []string
	for _, c := range cells {
		list = append(list, c.losses()...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func lossHelp() string {
	var of []string
	for _, c := range cells {
		of = append(of, c.Name+": "+strings.Join(c.losses(), ", "))
	}
	return "the loss L, by default the cell's first (" + strings.Join(of, "; ") + ")"
}

// cellHelp is what the cells say of themselves, a paragraph each.
func cellHelp() string {
	var help strings.Builder
	for _, c := range cells {
		help.WriteString(c.Help + "\n\n")
	}
	return help.String()
}

// choice is which kernel the user asks for.
type choice struct {
	cell, loss string
	flags      map[string]*bool // of all cells, by name
}

// addFlags adds --cell, --loss and the cells' own flags to a command.
func (ask *choice) addFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&ask.cell, "cell", defaultCell, "the cell: "+strings.Join(cellNames(), ", "))
	flags.StringVar(&ask.loss, "loss", "", lossHelp())
	completeTo(c, "cell", cellNames())
	completeTo(c, "loss", lossNames())
	ask.flags = map[string]*bool{}
	for name, help := range cellFlags() {
		ask.flags[name] = flags.Bool(name, false, help)
	}
}

// find finds the cell and its kernel for the loss, which without --loss is the
// cell's first.
func (ask *choice) find() (cell, *kernels.Kernel, error) {
	i := slices.IndexFunc(cells, func(c cell) bool { return c.Name == ask.cell })
	if i < 0 {
		return cell{}, nil, usagef("unknown cell %q; there are: %s", ask.cell, strings.Join(cellNames(), ", "))
	}
	c := cells[i]
	if ask.loss == "" {
		ask.loss = c.losses()[0]
	}
	if !slices.Contains(c.losses(), ask.loss) {
		return cell{}, nil, usagef("unknown loss %q; the %s cell has: %s", ask.loss, ask.cell, strings.Join(c.losses(), ", "))
	}
	given := ask.given()
	for _, flag := range given {
		if _, ok := c.Flags[flag]; !ok {
			return cell{}, nil, usagef("--%s is no flag of the %s cell: %s", flag, ask.cell, cellFlags()[flag])
		}
	}
	if len(given) < 2 {
		for _, k := range c.Kernels {
			if k.Loss == ask.loss && k.Flag == strings.Join(given, "") {
				return c, k.Kernel, nil
			}
		}
	}
	return cell{}, nil, usagef("the %s cell has no loss %s with --%s", ask.cell, ask.loss, strings.Join(given, " --"))
}

// given lists the cells' flags that are set.
func (ask *choice) given() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(ask.flags)) {
		if *ask.flags[name] {
			list = append(list, name)
		}
	}
	return list
}

// cellFlags are the flags of all cells, with their help.
func cellFlags() map[string]string {
	all := map[string]string{}
	for _, c := range cells {
		maps.Copy(all, c.Flags)
	}
	return all
}

// arrayNames lists the names that the cell's operands can have in files.
func (c cell) arrayNames() []string {
	var names []string
	for _, k := range c.Kernels {
		for _, in := range k.Inputs() {
			if k.Loss != "" && !slices.Contains(names, in.Name) {
				names = append(names, in.Name)
			}
		}
	}
	return append(names, slices.Sorted(maps.Keys(c.Aliases))...)
}

// fileFlags lists the flags for the operands of a kernel, in brackets those that
// may be absent.
func (c cell) fileFlags(k *kernels.Kernel) string {
	var flags []string
	for _, in := range k.Inputs() {
		flag := "--" + in.Name
		for _, alias := range slices.Sorted(maps.Keys(c.Aliases)) {
			if c.Aliases[alias].Operand == in.Name {
				flag += " or --" + alias
			}
		}
		if in.Optional {
			flag = "[" + flag + "]"
		}
		flags = append(flags, flag)
	}
	return strings.Join(flags, ", ")
}

// allArrayNames lists the operands of all cells, by all their names.
func allArrayNames() []string {
	var names []string
	for _, c := range cells {
		names = append(names, c.arrayNames()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// operandOf is the operand that an array of this name is.
func (c cell) operandOf(array string) string {
	if a, ok := c.Aliases[array]; ok {
		return a.Operand
	}
	return array
}

// omitted are the results that a step without an operand leaves out, as in a
// Signature.
func (c cell) omitted(k *kernels.Kernel, kinds [kernels.MaxInputs]kernels.Kind) (bits uint32) {
	for i, out := range k.Outputs() {
		if needed, ok := c.Needs[out.Name]; ok && kinds[k.InputIndex(needed)] == kernels.Absent {
			bits |= 1 << i
		}
	}
	return bits
}
