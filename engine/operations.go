package engine

import (
	"slices"

	"errorcell/kernels"
)

// operation is an elementwise operation of package tensor.
type operation struct {
	name string
	// kernel computes it, and incr adds it to a third operand, z. The truth of a
	// comparison has bools for results.
	kernel, incr, truth *kernels.Kernel
	least               int // elements for which the device is quicker
}

// on is the operation of a kernel's name.
func on(name string, least int) *operation {
	i := slices.IndexFunc(kernels.Operations, func(o kernels.Operation) bool { return o.Kernel.Name() == name })
	o := kernels.Operations[i]
	return &operation{name: name, kernel: o.Kernel, incr: o.Incr, truth: o.Truth, least: least}
}

var (
	add = on("add", least)
	sub = on("sub", least)
	mul = on("mul", least)
	div = on("div", least)

	less         = on("lt", least)
	lessEqual    = on("lte", least)
	greater      = on("gt", least)
	greaterEqual = on("gte", least)
	equal        = on("eq", least)
	notEqual     = on("ne", least)

	neg    = on("neg", least)
	abs    = on("abs", least)
	sign   = on("sign", least)
	sqrt   = on("sqrt", leastOf)
	square = on("square", least)
	exp    = on("exp", leastOf)
	log    = on("log", leastOf)
	tanh   = on("tanh", leastOf)
	clamp  = on("clamp", least)

	sum     = kernels.SumOfAll     // over all elements
	columns = kernels.SumOfColumns // down each column
)
