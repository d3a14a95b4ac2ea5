package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/kernels/ptx"
)

// ptxCall is what the user asks of ptx.
type ptxCall struct {
	choice
	arch, dtype string
	with        []string
}

func (a *app) ptxCommand() *cobra.Command {
	var call ptxCall
	c := &cobra.Command{
		Use:   "ptx",
		Short: "Print the PTX that a GPU would be given for a cell",
		Long: `Print the PTX that a GPU would be given for a step of a cell: one text for each set
of operands, element type and architecture. No GPU is needed.

An operand has a number for each unit of the grid (full), each unit of a pattern
(row), each pattern of the batch (column), or one for all (scalar). Those that must be
given are full, and those that may be absent are absent, unless --with says other.`,
		Example: `  errorcell ptx --cell laplacian --arch sm_90
  errorcell ptx --with modulator,scale=row --dtype float64`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.ptx(call) },
	}
	flags := c.Flags()
	call.choice.addFlags(c)
	flags.StringVar(&call.arch, "arch", "", "the GPU's `ARCHITECTURE`, such as sm_90\n(default: this machine's GPU's, else "+archName(oldestArch())+", which every newer one takes)")
	flags.StringVar(&call.dtype, "dtype", dtypes[0].String(), "the element type: "+join(dtypes))
	flags.StringArrayVar(&call.with, "with", nil, "`OPERAND` or OPERAND=KIND that is given; kinds: "+join(operandKinds))
	completeTo(c, "arch", archNames())
	completeTo(c, "dtype", names(dtypes))
	completeTo(c, "with", allArrayNames())
	return c
}

// What a signature is made of; the first of each is the default.
var (
	dtypes       = []kernels.DType{kernels.F32, kernels.F64}
	operandKinds = []kernels.Kind{kernels.Full, kernels.Row, kernels.Column, kernels.Scalar}
)

func (a *app) ptx(call ptxCall) error {
	c, k, err := call.find()
	if err != nil {
		return err
	}
	sig := kernels.Signature{}
	if sig.DType, err = find("element type", call.dtype, dtypes); err != nil {
		return err
	}
	if sig.Kinds, err = c.operandKinds(k, call.with); err != nil {
		return err
	}
	sig.Omit = c.omitted(k, sig.Kinds)
	arch, err := parseArch(call.arch)
	if err != nil {
		return err
	}
	plan, err := k.Specialize(sig)
	if err != nil {
		return err
	}
	module, err := ptx.Lower(plan, ptx.Options{Arch: arch})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, module.Text)
	return err
}

// operandKinds is the kind of each operand that --with and the kernel ask for.
func (c cell) operandKinds(k *kernels.Kernel, with []string) (kinds [kernels.MaxInputs]kernels.Kind, err error) {
	for i, in := range k.Inputs() {
		if !in.Optional {
			kinds[i] = kernels.Full
		}
	}
	if with == nil {
		return kinds, nil
	}
	given := map[string]bool{}
	for part := range strings.SplitSeq(strings.Join(with, ","), ",") {
		name, kind, named := strings.Cut(part, "=")
		operand := c.operandOf(name)
		i := k.InputIndex(operand)
		switch {
		case i < 0:
			return kinds, usagef("unknown operand %q; the %s cell has: %s", name, c.Name, strings.Join(c.arrayNames(), ", "))
		case given[operand]:
			return kinds, usagef("--with has %s twice", operand)
		}
		given[operand] = true
		if kinds[i] = kernels.Full; named {
			if kinds[i], err = find("kind", kind, operandKinds); err != nil {
				return kinds, err
			}
		}
	}
	return kinds, nil
}

// parseArch gives the compute capability that --arch names.
func parseArch(name string) (int, error) {
	if name == "" {
		return defaultArch(), nil
	}
	digits := strings.TrimPrefix(name, "sm_")
	arch, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return 0, usagef("unknown architecture %q; there are: %s", name, strings.Join(archNames(), ", "))
	}
	if int(arch) < oldestArch() {
		return 0, usagef("architecture %s is too old; there are: %s", archName(int(arch)), strings.Join(archNames(), ", "))
	}
	return int(arch), nil
}

// defaultArch is that of the GPU that --device cuda is or, without one, the
// oldest.
func defaultArch() int {
	for _, c := range backend.Devices() {
		if c.Spec == "cuda:0" && c.Info.ISA != "" {
			if arch, err := parseArch(c.Info.ISA); err == nil {
				return arch
			}
		}
	}
	return oldestArch()
}

func oldestArch() int { return slices.Min(ptx.Archs()) }

func archName(capability int) string { return fmt.Sprintf("sm_%d", capability) }

func archNames() []string {
	var list []string
	for _, arch := range ptx.Archs() {
		list = append(list, archName(arch))
	}
	return list
}

// find finds the value that has a name.
func find[T fmt.Stringer](what, name string, values []T) (T, error) {
	for _, v := range values {
		if v.String() == name {
			return v, nil
		}
	}
	var none T
	return none, usagef("unknown %s %q; there are: %s", what, name, join(values))
}

func names[T fmt.Stringer](values []T) []string {
	var list []string
	for _, v := range values {
		list = append(list, v.String())
	}
	return list
}

func join[T fmt.Stringer](values []T) string { return strings.Join(names(values), ", ") }
