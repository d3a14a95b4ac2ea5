// Random kernels on random operands: what no table thinks of.

package backendtest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"errorcell/kernels"
)

// testRandom draws kernels, and for each some calls. rapid shrinks what fails
// to a small kernel.
func testRandom[T kernels.Float](t *testing.T, open Opener) {
	const (
		rounds         = 5 // of as many kernels as -rapid.checks says: 100, in a short run 20
		callsPerKernel = 3
	)
	for round := range rounds {
		// Programs live as long as their device: a new one now and then.
		passed := t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			dev := openDevice(t, open)
			rapid.Check(t, func(t *rapid.T) {
				k := drawKernel(t)
				for range callsPerKernel {
					c := drawCall[T](t, k)
					checkAgainst(t, dev, c, c.reference(t))
				}
			})
		})
		if !passed {
			return
		}
	}
}

// drawCall draws kinds and numbers for a kernel's operands, a grid, and
// sometimes results to leave out.
func drawCall[T kernels.Float](t *rapid.T, k *kernels.Kernel) call[T] {
	rows, cols := drawGrid(t)
	combination := make([]kernels.Kind, k.NumInputs())
	for i, in := range k.Inputs() {
		choices := kinds
		if in.Optional {
			choices = append([]kernels.Kind{kernels.Absent}, kinds...)
		}
		combination[i] = rapid.SampledFrom(choices).Draw(t, "kind of "+in.Name)
	}
	fillers := map[string]func(seed int) filler[T]{"ordinary": drawOrdinary[T], "cancelling": drawCancelling[T], "wild": drawWild[T]}
	fill := fillers[rapid.SampledFrom([]string{"ordinary", "cancelling", "wild"}).Draw(t, "numbers")]
	c := newCall(k, rows, cols, combination, fill(rapid.IntRange(0, 1<<20).Draw(t, "seed")))
	if rapid.IntRange(0, 2).Draw(t, "omit some") == 2 {
		all := uint32(1)<<len(k.Outputs()) - 1
		c.omit = rapid.Uint32Range(0, all-1).Draw(t, "omitted")
	}
	return c
}

// drawGrid draws a grid: mostly small, often at an edge, at most a few
// thousand elements.
func drawGrid(t *rapid.T) (rows, cols int) {
	const most = 3 * kernels.BlockSize
	axis := func(label string, edges ...int) int {
		switch rapid.IntRange(0, 4).Draw(t, label+" like") {
		case 0, 1:
			return rapid.SampledFrom([]int{1, 2, 3, 5, 8, 0, 4, 7}).Draw(t, label)
		case 2, 3:
			return rapid.SampledFrom(edges).Draw(t, label)
		}
		return rapid.IntRange(0, 300).Draw(t, label)
	}
	rows = axis("rows", 1, 2, kernels.GroupRows-1, kernels.GroupRows, kernels.GroupRows+1, 2*kernels.GroupRows+1)
	cols = axis("cols", 1, 2, 15, 16, 17, kernels.Lanes-1, kernels.Lanes, kernels.Lanes+1, kernels.BlockSize-1, kernels.BlockSize+1)
	if rows > 0 {
		cols = min(cols, max(1, most/rows))
	}
	return rows, cols
}

// drawing is a kernel while it is drawn.
type drawing struct {
	*rapid.T
	k            *builder
	reals, bools []value
	used         map[value]bool
}

// drawKernel draws a well-typed kernel: operands, constants and operations on
// any of the values before them, sums among them. What nothing uses in the end
// becomes a result.
func drawKernel(t *rapid.T) *kernels.Kernel {
	k, err := kernels.Define("random", func(k *builder) {
		d := &drawing{t, k, nil, nil, map[value]bool{}}
		for i := range rapid.IntRange(0, 4).Draw(t, "operands") {
			name := fmt.Sprintf("x%d", i)
			if rapid.IntRange(0, 3).Draw(t, name+" optional") == 0 {
				d.reals = append(d.reals, k.Optional(name, drawConstant(t)))
			} else {
				d.reals = append(d.reals, k.Input(name))
			}
		}
		for i := range rapid.IntRange(1, 16).Draw(t, "operations") {
			d.step(i)
		}
		d.results()
	})
	if err != nil {
		t.Fatalf("the suite drew a kernel that is none: %v", err)
	}
	return k
}

func drawConstant(t *rapid.T) float64 {
	return rapid.SampledFrom(append(operationConstants, -0.75, 3, 1e10)).Draw(t, "constant")
}

// pick takes an earlier value, the later ones more often, so that chains grow;
// it marks the value as used.
func (d *drawing) pick(from []value) value {
	i := max(rapid.IntRange(0, len(from)-1).Draw(d.T, "argument"), rapid.IntRange(0, len(from)-1).Draw(d.T, "or argument"))
	d.used[from[i]] = true
	return from[i]
}

// step adds an operation, a sum or a constant.
func (d *drawing) step(i int) {
	const sums, constants = 5, 1 // chances, beside one for each operation
	chances := len(operations) + sums + constants
	// rapid likes small numbers: to each step its own order of operations.
	choice := (rapid.IntRange(0, chances-1).Draw(d.T, "operation") + 7*i) % chances
	switch {
	case len(d.reals) == 0 || choice >= len(operations)+sums:
		d.reals = append(d.reals, d.k.Const(drawConstant(d.T)))
		return
	case choice >= len(operations):
		axis := rapid.SampledFrom([]kernels.Axis{kernels.All, kernels.Batch}).Draw(d.T, "axis")
		d.reals = append(d.reals, d.k.Sum(d.pick(d.reals), axis))
		return
	}
	o := operations[choice]
	args := make([]value, o.op.Arity())
	for i := range args {
		from := d.reals
		if takesBool(o.op, i) {
			if len(d.bools) == 0 {
				d.bools = append(d.bools, d.k.LessEqual(d.pick(d.reals), d.pick(d.reals)))
			}
			from = d.bools
		}
		args[i] = d.pick(from)
	}
	if y := o.build(d.k, args); givesBool(o.op) {
		d.bools = append(d.bools, y)
	} else {
		d.reals = append(d.reals, y)
	}
}

// results makes results of what nothing uses, some truth values as they are and
// others through a Select with constants, and of one more value at least.
func (d *drawing) results() {
	if len(d.reals) == 0 {
		d.reals = append(d.reals, d.k.Const(drawConstant(d.T)))
	}
	truths := 0
	for _, c := range d.bools {
		if !d.used[c] || truths < 3 && rapid.IntRange(0, 3).Draw(d.T, "stored") == 0 {
			d.used[c] = true
			if truths < 3 && rapid.Bool().Draw(d.T, "as it is") {
				d.k.Output(fmt.Sprintf("truth%d", truths), c)
				truths++
				continue
			}
			d.reals = append(d.reals, d.k.Select(c, d.k.Const(drawConstant(d.T)), d.k.Const(drawConstant(d.T))))
		}
	}
	list := []value{d.pick(d.reals)}
	listed := map[value]bool{}
	for _, x := range d.reals {
		if !d.used[x] && !listed[x] {
			listed[x] = true
			list = append(list, x)
		}
	}
	for last := len(list) - 1; len(list)+truths > kernels.MaxOutputs; last-- {
		list = append(list[:last-1], d.k.Add(list[last-1], list[last]))
	}
	for i, x := range list {
		d.k.Output(fmt.Sprintf("y%d", i), x)
	}
}
