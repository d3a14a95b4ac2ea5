// What NVIDIA's assembler makes of the text, for each architecture.

package ptx

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"errorcell/kernels"
	"errorcell/kernels/ptx/internal/nvidia"
)

// maxRegisters is what a thread of the Laplacian cell may have: with 40, six
// blocks of 256 threads fit a multiprocessor's 65536 registers.
const maxRegisters = 40

// find is the path of a tool. It is downloaded, unless the run is to be short.
func find(t *testing.T, tool nvidia.Tool) string {
	t.Helper()
	path, err := nvidia.Find(tool, !testing.Short())
	if err != nil {
		t.Skip(err)
	}
	return path
}

// specialisation is a plan to assemble.
type specialisation struct {
	plan  *kernels.Plan
	name  string
	first bool // of its kernel
}

// specialisations are those that the cells use: target and prediction span the
// grid, or the prediction is a row for all patterns; the optional operands are
// absent, a number, a row, a column or span the grid, all alike or one alone.
func specialisations(t *testing.T, kernelList []*kernels.Kernel) []specialisation {
	t.Helper()
	var list []specialisation
	for _, k := range kernelList {
		for i, combination := range cellKinds(k) {
			for _, dtype := range []kernels.DType{kernels.F32, kernels.F64} {
				sig := kernels.Signature{DType: dtype}
				copy(sig.Kinds[:], combination)
				plan, err := k.Specialize(sig)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, specialisation{plan, fmt.Sprintf("%s %v (%s)", k.Name(), dtype, kindNames(combination)), i == 0 && dtype == kernels.F32})
			}
		}
	}
	return list
}

func cellKinds(k *kernels.Kernel) [][]kernels.Kind {
	list := [][]kernels.Kind{fewest(k)}
	row := fewest(k)
	if k.NumInputs() > 1 {
		row[1] = kernels.Row
		list = append(list, row)
	}
	optional := 0
	for _, in := range k.Inputs() {
		if in.Optional {
			optional++
		}
	}
	for _, kind := range kinds {
		all := fewest(k)
		for i, in := range k.Inputs() {
			if in.Optional {
				all[i] = kind
				if optional > 1 {
					one := fewest(k)
					one[i] = kind
					list = append(list, one)
				}
			}
		}
		if optional > 0 {
			list = append(list, all)
		}
	}
	return list
}

// allOps has every operation.
var allOps = kernels.Must(kernels.Define("all-ops", func(k *kernels.Builder) {
	x, y := k.Input("x"), k.Input("y")
	one, zero := k.Const(1), k.Const(math.Copysign(0, -1))
	number := func(c kernels.Value) kernels.Value { return k.Select(c, one, zero) }
	for i, v := range []kernels.Value{
		k.Pow2(k.Neg(x)), k.Exponent(k.Abs(x)), k.Sign(x), k.Sqrt(x), k.Add(x, y), k.Sub(x, y), k.Mul(x, y), k.Div(x, y), k.Min(x, y), k.Max(x, y), k.Fma(x, y, k.Neg(x)),
		number(k.Less(x, y)), number(k.LessEqual(x, y)), number(k.Not(k.Equal(x, y))), number(k.Or(k.Less(x, y), k.Equal(x, zero))),
		number(k.And(k.Less(x, y), k.Less(zero, x))),
	} {
		k.Output(fmt.Sprintf("y%d", i), v)
	}
}))

// spread is for how many architectures in turn a specialisation is assembled
// for one: the catalogue has hundreds. The plainest of each kernel is for every
// architecture.
const spread = 9

// functions are those that are made of many operations, two to a kernel: all
// at once need more registers than there are.
var functions = []*kernels.Kernel{
	functionKernel("exp-log", (*kernels.Builder).Exp, (*kernels.Builder).Log),
	functionKernel("tanh-sigmoid", (*kernels.Builder).Tanh, (*kernels.Builder).Sigmoid),
	functionKernel("softplus-erf", (*kernels.Builder).Softplus, (*kernels.Builder).Erf),
}

func functionKernel(name string, f, g func(*kernels.Builder, kernels.Value) kernels.Value) *kernels.Kernel {
	return kernels.Must(kernels.Define(name, func(k *kernels.Builder) {
		x := k.Input("x")
		k.Output("f", f(k, x))
		k.Output("g", g(k, x))
	}))
}

// TestAssemble assembles every kernel of the catalogue, and some that have all
// else, for every architecture. Nothing may need local memory.
func TestAssemble(t *testing.T) {
	list := specialisations(t, slices.Concat(kernels.Catalogue(), []*kernels.Kernel{everything, less, truths, allOps, names, inPlaceOf}, functions))
	for i, a := range archs {
		t.Run(a.target(), func(t *testing.T) {
			ptxas := find(t, nvidia.Assembler(a.sm))
			t.Parallel()
			for j, s := range list {
				every := spread
				if testing.Short() {
					every = 8 * len(archs)
				}
				if (i+j)%every == 0 || s.first && !testing.Short() {
					assemble(t, ptxas, a, s, j%5 == i%5)
				}
			}
		})
	}
}

// assemble lowers a plan with indices of 32 bits, or of 64, and assembles it.
func assemble(t *testing.T, ptxas string, a arch, s specialisation, wide bool) {
	m, err := Lower(s.plan, Options{Arch: a.sm, Wide: wide})
	if err != nil {
		t.Fatal(err)
	}
	usages, err := nvidia.Assemble(ptxas, a.sm, m.Text, "")
	if err != nil {
		t.Errorf("%s: %v", s.name, err)
		return
	}
	if len(usages) != len(m.Launches) {
		t.Errorf("%s: %d entries for %d launches", s.name, len(usages), len(m.Launches))
	}
	for _, u := range usages {
		if u.Stack+u.SpillLoads+u.SpillStores > 0 {
			t.Errorf("%s for %s: %+v: local memory", s.name, a.target(), u)
		}
		if s.plan.Kernel == kernels.Laplacian && u.Registers > maxRegisters {
			t.Errorf("%s for %s, wide %t: %d registers", s.name, a.target(), wide, u.Registers)
		}
	}
}

// TestMachineCode reads the machine code back: the main loop of each cell loads
// and stores 128 bits or more at a time, and nothing in it flushes subnormals
// or fuses what is not to be fused.
func TestMachineCode(t *testing.T) {
	nvdisasm := find(t, nvidia.NVDisasm)
	for _, a := range archs {
		if a.sm < nvidia.OldestDisassembled || testing.Short() && a.sm%100 != 0 {
			continue
		}
		ptxas := find(t, nvidia.Assembler(a.sm))
		for i, s := range specialisations(t, []*kernels.Kernel{kernels.Laplacian, kernels.LaplacianL1}) {
			if i%8 != a.sm%8 {
				continue
			}
			m, err := Lower(s.plan, Options{Arch: a.sm})
			if err != nil {
				t.Fatal(err)
			}
			cubin := filepath.Join(t.TempDir(), "kernel.cubin")
			if _, err := nvidia.Assemble(ptxas, a.sm, m.Text, cubin); err != nil {
				t.Fatal(err)
			}
			code, err := nvidia.Disassemble(nvdisasm, cubin)
			if err != nil {
				t.Fatal(err)
			}
			if bad := loose.FindString(code); bad != "" {
				t.Errorf("%s for %s has %s", s.name, a.target(), bad)
			}
			checkLoops(t, s, a, nvidia.Loops(code)[m.Launches[0].Entry])
		}
	}
}

// loose finds arithmetic that flushes subnormals or is fused. (Divisions of
// integers have conversions with .FTZ.)
var loose = regexp.MustCompile(`\b((FADD|FMUL|FSETP|FMNMX)\S*\.FTZ|FFMA|DFMA)\S*`)

func checkLoops(t *testing.T, s specialisation, a arch, loops []nvidia.Loop) {
	t.Helper()
	full := 0
	for _, kind := range s.plan.Signature.Kinds {
		if kind == kernels.Full {
			full++
		}
	}
	for _, l := range loops {
		if nvidia.Wide(l.Loads) >= full && nvidia.Wide(l.Stores) >= 2 {
			return
		}
	}
	t.Errorf("%s for %s: no loop with %d wide loads and 2 wide stores: %+v", s.name, a.target(), full, loops)
}
