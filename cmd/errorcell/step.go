package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"errorcell/backend"
	"errorcell/internal/memory"
	"errorcell/internal/numpy"
	"errorcell/kernels"
)

// stepCall is what the user asks of step.
type stepCall struct {
	choice
	in, out string
	files   map[string]*string // of each operand, for streams
	device  string
	asJSON  bool
}

func (a *app) stepCommand() *cobra.Command {
	call := stepCall{files: map[string]*string{}}
	c := &cobra.Command{
		Use:   "step (--in IN.npz --out OUT.npz | --target T.npy --mu M.npy --out DIR)",
		Short: "Step an error cell over a batch, or over many",
		Long: `Step an error cell: one step for arrays of two dimensions (B, N), T independent
steps for three (T, B, N). Operands broadcast by NumPy's rules. They are float32, to
which float64, float16, integers and bool are converted, with a note.

` + cellHelp() + `Input that is larger than memory comes from .npy files, one for each operand:
files of three dimensions are read, computed and written one step at a time, in
constant memory; smaller ones are held for all steps. DIR gets a .npy file for
each result.

Results appear when they are complete; a run that fails leaves none and does
not touch those of an earlier one.`,
		Example: `  errorcell step --in batch.npz --out errors.npz
  errorcell step --in batch.npz --out errors.npz --loss l1 --device cpu:threads=2 --json
  errorcell step --in batch.npz --out errors.npz --cell gaussian
  errorcell step --in logits.npz --out errors.npz --cell bernoulli --logits
  errorcell step --target target.npy --mu mu.npy --out errors/`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := refuseEmpty(c.Flags()); err != nil {
				return err
			}
			return a.step(c.Context(), call)
		},
	}
	flags := c.Flags()
	flags.StringVarP(&call.in, "in", "i", "", "`FILE`.npz with the operands")
	flags.StringVarP(&call.out, "out", "o", "", "where the results go: `FILE`.npz or, from .npy files, a folder")
	call.choice.addFlags(c)
	flags.BoolVar(&call.asJSON, "json", false, "print a summary for machines on stdout")
	for _, name := range allArrayNames() {
		call.files[name] = flags.String(name, "", "`FILE`.npy with "+name+", instead of --in")
		must(c.MarkFlagFilename(name, "npy"))
	}
	deviceFlag(c, &call.device)
	must(c.MarkFlagFilename("in", "npz"))
	must(c.MarkFlagFilename("out", "npz"))
	return c
}

// refuseEmpty refuses flags with an empty value, such as --mask "$MASK" where
// there is no such variable: to go on without the mask would be wrong. An empty
// device is the default one.
func refuseEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if f.Value.String() == "" && f.Name != "device" {
			err = usagef("--%s is empty: a value is wanted, or no --%[1]s", f.Name)
		}
	})
	return err
}

func (a *app) step(ctx context.Context, call stepCall) error {
	c, kernel, err := call.find()
	if err != nil {
		return err
	}
	files := map[string]string{}
	for name, path := range call.files {
		if *path != "" {
			files[name] = *path
		}
	}
	switch {
	case call.out == "":
		return usagef("step needs --out: a file for results of --in, a folder for results of .npy files")
	case call.in == "" && len(files) == 0:
		return usagef("step needs --in FILE.npz, or a .npy file for each operand: %s", c.fileFlags(kernel))
	case call.in != "" && len(files) > 0:
		return usagef("step takes --in or a .npy file for each operand (--%s), not both", slices.Sorted(maps.Keys(files))[0])
	}
	dev, err := openDevice(call.device)
	if err != nil {
		return err
	}
	defer dev.Close()
	run := stepRun{app: a, ctx: ctx, call: call, cell: c, kernel: kernel, dev: dev,
		lossSum: math.Copysign(0, -1), // that -0, the loss of nothing, stays -0
		start:   time.Now()}
	if call.in != "" {
		return run.archive()
	}
	return run.stream(files)
}

// stepRun is one run of step.
type stepRun struct {
	*app
	ctx    context.Context
	call   stepCall
	cell   cell
	kernel *kernels.Kernel
	dev    backend.Device

	operands []operand // in the kernel's order; those without a name are absent
	steps    int
	stepped  bool // T is an axis of the results, if only of length 1
	binding  kernels.Binding
	program  backend.Program
	results  []result

	lossSum float64 // over all steps
	start   time.Time
	compute time.Duration
}

// operand is an array that the user gave.
type operand struct {
	name    string // by which the user calls it
	file    string // where it is from, for messages
	stepped bool   // its first axis counts steps
	steps   int    // if it is stepped
	shape   kernels.Shape
	array   *numpy.Array // whole, if it is in memory
}

func (o operand) given() bool { return o.name != "" }

// varies reports whether each step has its own part of the array.
func (o operand) varies() bool { return o.stepped && o.steps != 1 }

// held reports whether all steps have the same array.
func (o operand) held() bool { return o.given() && !o.varies() }

// newOperand sorts an array's axes: the first of three counts steps.
func newOperand(name, file string, shape []int) (operand, error) {
	o := operand{name: name, file: numpy.ShowPath(file), shape: append(kernels.Shape{}, shape...)}
	switch {
	case len(shape) == 3:
		o.stepped, o.steps, o.shape = true, shape[0], o.shape[1:]
	case len(shape) > 3:
		return o, fmt.Errorf("%s: %s has shape %v; (B, N) is wanted or, for T steps, (T, B, N)", o.file, name, o.shape)
	}
	return o, nil
}

// prepare checks the operands against each other and compiles the kernel.
func (r *stepRun) prepare() error {
	if err := r.countSteps(); err != nil {
		return err
	}
	shapes := make([]kernels.Shape, len(r.operands))
	for i, o := range r.operands {
		if o.given() {
			shapes[i] = o.shape
		}
	}
	var err error
	if r.binding, err = r.kernel.Bind(kernels.F32, shapes...); err != nil {
		return fmt.Errorf("%s: %w", r.files(), err)
	}
	r.binding.Signature.Omit = r.cell.omitted(r.kernel, r.binding.Signature.Kinds)
	r.results = r.listResults()
	r.program, err = r.dev.Compile(r.kernel, r.binding.Signature)
	return err
}

// countSteps finds the number of steps. As along any axis in NumPy, lengths are
// equal or 1.
func (r *stepRun) countSteps() error {
	r.steps = 1
	var first operand // that has not just one
	for _, o := range r.operands {
		r.stepped = r.stepped || o.stepped
		switch {
		case !o.varies():
		case !first.given():
			r.steps, first = o.steps, o
		case o.steps != r.steps:
			return fmt.Errorf("%s: %s has %d steps and %s of %s has %d: the same number is wanted", o.file, o.name, o.steps, first.name, first.file, r.steps)
		}
	}
	return nil
}

// files names the inputs for messages, which use the kernel's names of operands.
func (r *stepRun) files() string {
	var files, aliases []string
	for i, o := range r.operands {
		if !o.given() {
			continue
		}
		if !slices.Contains(files, o.file) {
			files = append(files, o.file)
		}
		if own := r.kernel.InputName(i); own != o.name {
			aliases = append(aliases, fmt.Sprintf(" (where %s is %s)", own, o.name))
		}
	}
	return strings.Join(files, ", ") + strings.Join(aliases, "")
}

// result is an array that the run writes.
type result struct {
	name  string
	index int           // of the kernel's results
	shape kernels.Shape // of one step
	whole kernels.Shape // with T leading, if there are several
}

func (r *stepRun) listResults() []result {
	var list []result
	for i, out := range r.kernel.Outputs() {
		if r.binding.Signature.Omits(i) {
			continue
		}
		res := result{name: out.Name, index: i, shape: r.binding.Outputs[i]}
		for _, o := range r.operands {
			if name, ok := r.cell.Aliases[o.name].Results[res.name]; ok {
				res.name = name
			}
		}
		if res.name == lossName {
			res.shape = res.shape.Squeeze() // as ngc-learn has it
		}
		res.whole = res.shape
		if r.stepped {
			res.whole = append(kernels.Shape{r.steps}, res.shape...)
		}
		list = append(list, res)
	}
	return list
}

const lossName = "L"

// buffers makes the device's arrays for one step; inputs that are already there
// in share are used from there.
func (r *stepRun) buffers(share []backend.Buffer) (inputs, outputs []backend.Buffer, err error) {
	inputs, outputs = make([]backend.Buffer, len(r.operands)), make([]backend.Buffer, len(r.binding.Outputs))
	for i, o := range r.operands {
		if !o.given() {
			continue
		}
		if share != nil && share[i] != nil {
			inputs[i] = share[i]
			continue
		}
		if inputs[i], err = r.dev.NewBuffer(kernels.F32, o.shape.Len()); err != nil {
			return nil, nil, fmt.Errorf("%s of shape %v: %w", o.name, o.shape, err)
		}
	}
	for _, res := range r.results {
		if outputs[res.index], err = r.dev.NewBuffer(kernels.F32, res.shape.Len()); err != nil {
			return nil, nil, fmt.Errorf("%s of shape %v: %w", res.name, res.shape, err)
		}
	}
	return inputs, outputs, nil
}

// once runs the program, and keeps the time.
func (r *stepRun) once(inputs, outputs []backend.Buffer) error {
	start := time.Now()
	if err := r.program.Run(r.binding.Rows, r.binding.Cols, inputs, outputs); err != nil {
		return err
	}
	if err := r.dev.Sync(); err != nil {
		return err
	}
	r.compute += time.Since(start)
	return nil
}

// archive runs from a .npz file to a .npz file.
func (r *stepRun) archive() error {
	if err := r.readArchive(); err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return err
	}
	// Start the output before the work: a folder that is not there should be
	// known at once.
	defer r.outputs.discard()
	file, err := r.outputs.create(r.call.out)
	if err != nil {
		return err
	}
	data, err := r.computeAll()
	if err != nil {
		return err
	}
	w := numpy.NewArchiveWriter(file)
	for i, res := range r.results {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if err := w.Write(res.name, res.whole, data[i]); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := r.outputs.commit(); err != nil {
		return err
	}
	return r.summarise()
}

// readArchive reads the operands from the archive.
func (r *stepRun) readArchive() error {
	in, err := numpy.OpenArchive(r.call.in)
	if err != nil {
		return err
	}
	defer in.Close()
	r.operands = make([]operand, r.kernel.NumInputs())
	var others []string
	var bytes float64
	for _, name := range in.Names() {
		at := r.kernel.InputIndex(r.cell.operandOf(name))
		if at < 0 {
			if !r.isResult(name) {
				others = append(others, name)
			}
			continue
		}
		if r.operands[at].given() {
			return fmt.Errorf("%s: it has %q and %q, which are two names of one operand", numpy.ShowPath(r.call.in), r.operands[at].name, name)
		}
		header, err := in.Header(name)
		if err != nil {
			return err
		}
		if r.operands[at], err = newOperand(name, r.call.in, header.Shape); err != nil {
			return err
		}
		if bytes += sizeOf(header.Shape); tooLarge(bytes) {
			return r.memoryError(bytes)
		}
		if r.operands[at].array, err = in.Read(name); err != nil {
			return err
		}
		if r.operands[at].array.Converted() {
			r.note("%s: array %q was converted from %s to float32", numpy.ShowPath(r.call.in), name, header.DType)
		}
		if err := r.ctx.Err(); err != nil {
			return err
		}
	}
	if others != nil {
		r.note("%s: not read, as the %s cell has no such operands (it has %s): %s",
			numpy.ShowPath(r.call.in), r.cell.Name, strings.Join(r.cell.arrayNames(), ", "), showNames(others))
	}
	for i, o := range r.operands {
		if needed := r.kernel.Inputs()[i]; !o.given() && !needed.Optional {
			// The archive says best what it has instead.
			_, err := in.Read(needed.Name)
			return err
		}
	}
	return nil
}

// isResult reports whether an array in the input could be a result of an
// earlier run, which is no cause for a note.
func (r *stepRun) isResult(name string) bool {
	if r.kernel.OutputIndex(name) >= 0 {
		return true
	}
	for _, a := range r.cell.Aliases {
		for _, res := range a.Results {
			if res == name {
				return true
			}
		}
	}
	return false
}

// computeAll runs every step on arrays in memory. It gives the data of each
// result.
func (r *stepRun) computeAll() ([][]float32, error) {
	if err := r.checkMemory(nil); err != nil {
		return nil, err
	}
	inputs, outputs, err := r.buffers(nil)
	if err != nil {
		return nil, err
	}
	if err := r.checkMemory(slices.Concat(inputs, outputs)); err != nil {
		return nil, err
	}
	data := make([][]float32, len(r.results))
	for i, res := range r.results {
		data[i] = make([]float32, res.whole.Len())
	}
	bar := r.progress("steps", int64(r.steps), false)
	defer bar.Close()
	for t := range r.steps {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		for i, o := range r.operands {
			part, n := 0, o.shape.Len()
			if o.varies() {
				part = t
			}
			if o.varies() || o.held() && t == 0 {
				if err := backend.Upload(inputs[i], o.array.Data[part*n:][:n]); err != nil {
					return nil, err
				}
			}
		}
		if err := r.once(inputs, outputs); err != nil {
			return nil, err
		}
		for i, res := range r.results {
			n := res.shape.Len()
			part := data[i][t*n:][:n]
			if err := backend.Download(outputs[res.index], part); err != nil {
				return nil, err
			}
			r.addLoss(res, part)
		}
		bar.Add(1)
	}
	return data, nil
}

func (r *stepRun) addLoss(res result, values []float32) {
	if res.name != lossName {
		return
	}
	for _, v := range values {
		r.lossSum += float64(v)
	}
}

// checkMemory refuses operands and results that cannot fit, whole, beside those
// of the device's arrays that are in the host's memory too. Small operands can
// broadcast to large results.
func (r *stepRun) checkMemory(buffers []backend.Buffer) error {
	var bytes float64
	for _, o := range r.operands {
		if o.given() {
			bytes += sizeOf(o.array.Shape)
		}
	}
	for _, res := range r.results {
		bytes += sizeOf(res.whole)
	}
	for _, b := range buffers {
		if b != nil {
			bytes += float64(len(b.Host()))
		}
	}
	if tooLarge(bytes) {
		return r.memoryError(bytes)
	}
	return nil
}

// sizeOf is the number of bytes of a float32 array; an int could overflow.
func sizeOf(shape []int) float64 {
	size := 4.0
	for _, d := range shape {
		size *= float64(d)
	}
	return size
}

func tooLarge(bytes float64) bool { return bytes > float64(memory.Limit()) }

func (r *stepRun) memoryError(bytes float64) error {
	return fmt.Errorf("%s: operands and results need %.3g GB, there are %.3g GB of memory: .npy files of shape (T, B, N) are computed step by step (see errorcell step --help)",
		r.files(), bytes/1e9, float64(memory.Limit())/1e9)
}
