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
