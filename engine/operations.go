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
	div = on("div", 1024)

	less         = on("lt", 1024)
	lessEqual    = on("lte", 1024)
	greater      = on("gt", 1024)
	greaterEqual = on("gte", 1024)
	equal        = on("eq", 1024)
	notEqual     = on("ne", 1024)

	neg    = on("neg", 1024)
	abs    = on("abs", 1024)
	sign   = on("sign", 1024)
	sqrt   = on("sqrt", 256)
	square = on("square", 1024)
	exp    = on("exp", 64)
	log    = on("log", 64)
	tanh   = on("tanh", 64)
	clamp  = on("clamp", 512)

	sum     = kernels.SumOfAll     // over all elements
	columns = kernels.SumOfColumns // down each column
)
