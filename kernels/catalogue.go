package kernels

import "slices"

// catalogue lists the kernels of this package, in the order in which the tools
// show them.
var catalogue = []*Kernel{Laplacian, LaplacianL1, LaplacianScaled, LaplacianScaledL1}

// Catalogue lists the kernels that come with errorcell.
func Catalogue() []*Kernel { return slices.Clone(catalogue) }

// Lookup finds a kernel of the catalogue by name.
func Lookup(name string) (*Kernel, bool) {
	i := slices.IndexFunc(catalogue, func(k *Kernel) bool { return k.name == name })
	if i < 0 {
		return nil, false
	}
	return catalogue[i], true
}
