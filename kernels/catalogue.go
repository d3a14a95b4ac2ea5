package kernels

import "slices"

// The catalogue is the kernels of all cells, in the order of Cells.

// Catalogue lists the kernels that come with errorcell.
func Catalogue() []*Kernel {
	var list []*Kernel
	for _, c := range Cells() {
		for _, k := range c.Kernels {
			list = append(list, k.Kernel)
		}
	}
	return list
}

// Lookup finds a kernel of the catalogue by name.
func Lookup(name string) (*Kernel, bool) {
	list := Catalogue()
	i := slices.IndexFunc(list, func(k *Kernel) bool { return k.name == name })
	if i < 0 {
		return nil, false
	}
	return list[i], true
}

// FusedKernel is a kernel with a set of operands for which the CPU has a fused function.
type FusedKernel struct {
	*Kernel
	Operands Operands
}

// FusedKernels lists those of cells, then those of operations.
func FusedKernels() []FusedKernel {
	var list []FusedKernel
	add := func(k *Kernel, sets []Operands) {
		for _, set := range sets {
			list = append(list, FusedKernel{k, set})
		}
	}
	for _, c := range Cells() {
		for _, k := range c.Kernels {
			add(k.Kernel, k.Fused)
		}
	}
	for _, o := range Operations {
		add(o.Kernel, o.Fused)
		if o.Incr != nil {
			add(o.Incr, o.Fused)
		}
	}
	add(SumOfAll, []Operands{{}})
	return list
}
