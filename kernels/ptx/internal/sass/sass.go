// Package sass looks at the machine code of lowered kernels: what ptxas makes
// of the PTX, and how many instructions the main loop takes.
package sass

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"errorcell/kernels"
	"errorcell/kernels/ptx"
	"errorcell/kernels/ptx/internal/nvidia"
)

// Row is what one kernel became on one architecture.
type Row struct {
	Kernel, Operands, DType string
	SM                      int
	Registers               int     // of a thread
	Shared                  int     // bytes of a block
	PerElement              float64 // instructions of the main loop; 0 where it cannot be disassembled
	Load, Store             int     // bits of the widest access in it
}

// tools are the paths of NVIDIA's programs for an architecture.
type tools struct{ ptxas, nvdisasm string }

// Measure assembles the catalogue's kernels, with operands that span the grid
// and with the optional ones and without them, for some architectures.
func Measure(archs []int, fetch bool) ([]Row, error) {
	var rows []Row
	for _, sm := range archs {
		t, err := find(sm, fetch)
		if err != nil {
			return nil, err
		}
		for _, k := range kernels.Catalogue() {
			for _, dtype := range []kernels.DType{kernels.F32, kernels.F64} {
				for _, optional := range []kernels.Kind{kernels.Absent, kernels.Full} {
					row, err := t.measure(k, dtype, optional, sm)
					if err != nil {
						return nil, fmt.Errorf("%s, %v, for sm_%d: %w", k.Name(), dtype, sm, err)
					}
					rows = append(rows, row)
				}
			}
		}
	}
	return rows, nil
}

func find(sm int, fetch bool) (tools, error) {
	var t tools
	var err error
	if t.ptxas, err = nvidia.Find(nvidia.Assembler(sm), fetch); err != nil {
		return t, err
	}
	if sm >= nvidia.OldestDisassembled {
		t.nvdisasm, err = nvidia.Find(nvidia.NVDisasm, fetch)
	}
	return t, err
}

func (t tools) measure(k *kernels.Kernel, dtype kernels.DType, optional kernels.Kind, sm int) (Row, error) {
	row := Row{Kernel: k.Name(), Operands: "all", DType: dtype.String(), SM: sm}
	if optional == kernels.Absent {
		row.Operands = "fewest"
	}
	sig := kernels.Signature{DType: dtype}
	for i, in := range k.Inputs() {
		sig.Kinds[i] = kernels.Full
		if in.Optional {
			sig.Kinds[i] = optional
		}
	}
	plan, err := k.Specialize(sig)
	if err != nil {
		return row, err
	}
	m, err := ptx.Lower(plan, ptx.Options{Arch: sm})
	if err != nil {
		return row, err
	}
	folder, err := os.MkdirTemp("", "sass")
	if err != nil {
		return row, err
	}
	defer os.RemoveAll(folder)
	cubin := filepath.Join(folder, "kernel.cubin")
	usages, err := nvidia.Assemble(t.ptxas, sm, m.Text, cubin)
	if err != nil {
		return row, err
	}
	first := m.Launches[0] // the one over the grid that does the work
	for _, u := range usages {
		if u.Entry == first.Entry {
			row.Registers, row.Shared = u.Registers, u.Shared
		}
	}
	if t.nvdisasm == "" {
		return row, nil
	}
	code, err := nvidia.Disassemble(t.nvdisasm, cubin)
	if err != nil {
		return row, err
	}
	main, ok := mainLoop(nvidia.Loops(code)[first.Entry])
	if !ok {
		return row, fmt.Errorf("the machine code of %s has no loop that loads vectors", first.Entry)
	}
	row.PerElement = float64(main.Instructions) / float64(first.PerThread)
	row.Load, row.Store = widest(main.Loads), widest(main.Stores)
	return row, nil
}

// mainLoop is the one that loads vectors.
func mainLoop(loops []nvidia.Loop) (nvidia.Loop, bool) {
	i := slices.IndexFunc(loops, func(l nvidia.Loop) bool { return nvidia.Wide(l.Loads) > 0 })
	if i < 0 {
		return nvidia.Loop{}, false
	}
	return loops[i], true
}

func widest(accesses map[int]int) int {
	bits := 0
	for b := range accesses {
		bits = max(bits, b)
	}
	return bits
}

// Write prints rows as a table.
func Write(w io.Writer, rows []Row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join([]string{"kernel", "type", "operands", "arch", "registers", "shared", "instructions/element", "load", "store"}, "\t"))
	for _, r := range rows {
		per, load, store := "-", "-", "-"
		if r.PerElement > 0 {
			per, load, store = fmt.Sprintf("%.1f", r.PerElement), fmt.Sprint(r.Load), fmt.Sprint(r.Store)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\tsm_%d\t%d\t%d B\t%s\t%s\t%s\n", r.Kernel, r.DType, r.Operands, r.SM, r.Registers, r.Shared, per, load, store)
	}
	return table.Flush()
}
