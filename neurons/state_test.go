// States on disk: Context.Save and Context.Load.

package neurons_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/internal/numpy"
	"errorcell/internal/numpy/numpytest"
	"errorcell/kernels"
	"errorcell/neurons"
)

// TestStateGoesOn: a circuit that was loaded, on another device, has the bits of the
// one that was saved, and so have the steps after.
func TestStateGoesOn(t *testing.T) {
	var devices []backend.Device
	for _, d := range backend.Devices() {
		if d.Err == nil && strings.HasPrefix(d.Spec, "cpu:") {
			devices = append(devices, open(t, d.Spec+",threads=2"))
		}
	}
	devices = append(devices, &remote{Device: open(t, "cpu:generic,threads=1")})
	if dev, err := backend.Open("cuda:emulated"); err == nil {
		t.Cleanup(func() { dev.Close() })
		devices = append(devices, dev)
	}
	for i, from := range devices {
		to := devices[(i+1)%len(devices)]
		t.Run(fmt.Sprintf("%s to %s", from.Name(), to.Name()), func(t *testing.T) { stateGoesOn(t, from, to) })
	}
}

func stateGoesOn(t *testing.T, from, to backend.Device) {
	circuits := uint64(120)
	if testing.Short() || strings.HasPrefix(from.Name()+to.Name(), "cuda") {
		circuits = 12
	}
	types := [][]kernels.DType{{kernels.F32}, {kernels.F64}, {kernels.F32, kernels.F64}}
	path := filepath.Join(t.TempDir(), "state.npz")
	steps := 0
	for seed := range circuits {
		dtypes := types[seed%3]
		saved, loaded := randomCircuitIn(t, seed, from, dtypes), randomCircuitIn(t, seed, to, dtypes)
		saved.run(t, 3)
		loaded.source = rand.New(rand.NewPCG(seed, 3))
		loaded.run(t, 2)
		must(t, saved.context.Save(path))
		must(t, loaded.context.Load(path))
		if got, want := loaded.state(t), saved.state(t); got != want {
			t.Fatalf("seed %d: what was loaded differs from what was saved: %s", seed, difference(got, want))
		}
		saved.source, loaded.source = rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 2))
		for step := range 6 {
			done, err := saved.run(t, 1)
			again, errAgain := loaded.run(t, 1)
			if done != again || fmt.Sprint(err) != fmt.Sprint(errAgain) {
				t.Fatalf("seed %d, step %d after: errors differ: %v, and %v of what was loaded", seed, step, err, errAgain)
			}
			if got, want := loaded.state(t), saved.state(t); got != want {
				t.Fatalf("seed %d, step %d after: %s", seed, step, difference(got, want))
			}
			steps += done
		}
		must(t, saved.context.Load(path)) // what it has saved fits it, whatever has happened since
		must(t, errors.Join(saved.context.Close(), loaded.context.Close()))
	}
	t.Logf("%d steps", steps)
	if steps < 2*int(circuits) {
		t.Errorf("only %d steps of %d circuits worked", steps, circuits)
	}
}

// run does some steps, with compartments set by hand before the first, until one
// fails.
func (c *circuit) run(t testing.TB, steps int) (done int, err error) {
	c.disturb(t)
	for ; done < steps; done++ {
		if err := c.process.Step(0, 1); err != nil {
			return done, err
		}
	}
	return done, nil
}

// newState makes a small circuit with something in it, and saves it.
func newState(t testing.TB) (p *pair, path string) {
	t.Helper()
	p = newPair(t, 3, neurons.OnDevice("cpu:generic,threads=1"))
	must(t, p.a.Target().SetFloat32s([]float32{9, nan, negZero}))
	must(t, p.process.Run(t.Context(), 5, 1))
	path = filepath.Join(t.TempDir(), "state.npz")
	must(t, p.context.Save(path))
	return p, path
}

func (p *pair) state(t testing.TB) string {
	return fmt.Sprint(state(t, p.a), state(t, p.b))
}

// TestStateFile: what is in the file, and that equal states make equal files.
func TestStateFile(t *testing.T) {
	p, path := newState(t)
	must(t, p.b.Modulator().Clear())
	must(t, p.context.Save(path))
	first, err := os.ReadFile(path)
	must(t, err)
	must(t, p.context.Save(path))
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, first) {
		t.Errorf("two files of one state differ, error %v", err)
	}
	info, err := os.Stat(path)
	must(t, err)
	plain, err := os.Create(path + ".plain")
	must(t, err)
	must(t, plain.Close())
	if want, err := os.Stat(path + ".plain"); err != nil || info.Mode() != want.Mode() {
		t.Errorf("the file's mode is %v, not that of any file, %v, %v", info.Mode(), want.Mode(), err)
	}

	a, err := numpy.OpenArchive(path)
	must(t, err)
	defer a.Close()
	var want []string
	for _, cell := range []member{p.a, p.b} {
		for _, comp := range cell.Compartments() {
			if comp != p.b.Modulator() {
				want = append(want, comp.String())
			}
		}
	}
	if got := a.Names(); !slices.Equal(got, append([]string{"errorcell"}, want...)) {
		t.Errorf("the file holds %v, not errorcell and %v", got, want)
	}
	shape, mask, err := numpy.ReadAs[float32](a, "a.mask")
	if err != nil || !slices.Equal(shape, []int{1, 3}) || !slices.Equal(mask, []float32{1, 1, 1}) {
		t.Errorf("a.mask, which is ones, is %v %v in the file, error %v", shape, mask, err)
	}
	_, text, err := numpy.ReadAs[uint8](a, "errorcell")
	must(t, err)
	if got, want := string(text), `{"format":1,"components":[{"name":"a","cell":"GaussianErrorCell","n_units":3,"shape":[3],"dtype":"float32","batch_size":1,"values":{"L":[],`; !strings.HasPrefix(got, want) {
		t.Errorf("it is of %s, not %s", got, want)
	}

	// A value that takes no memory in the circuit takes little in the file.
	x := newContext(t)
	_, err = neurons.NewGaussianErrorCell("z", 1<<20, neurons.In(x))
	must(t, err)
	constants := filepath.Join(t.TempDir(), "constants.npz")
	must(t, x.Save(constants))
	info, err = os.Stat(constants)
	must(t, err)
	if info.Size() > 100<<10 {
		t.Errorf("a circuit of constants takes %d bytes", info.Size())
	}
}

// TestNumPyReadsStates asks NumPy itself, where there is one, also to write a state.
func TestNumPyReadsStates(t *testing.T) {
	x := newContext(t)
	cell, err := neurons.NewGaussianErrorCell("z0", 6, neurons.In(x), neurons.WithDType(kernels.F64), neurons.WithShape(2, 3), neurons.WithBatchSize(2))
	must(t, err)
	must(t, cell.Mean().SetFloat64s([]float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0.1}, 2, 2, 3))
	folder := t.TempDir()
	path := filepath.Join(folder, "state.npz")
	must(t, x.Save(path))
	const script = `
import json, sys
import numpy as np
z = np.load(sys.argv[1])
mu = z["z0.mu"]
assert mu.dtype == "<f8" and mu.shape == (2, 2, 3), mu
assert mu.ravel().tolist() == [*range(11), 0.1]
assert (z["z0.mask"] == np.ones((2, 2, 3))).all() and z["z0.L"].shape == ()
of = json.loads(bytes(z["errorcell"]))
assert of["format"] == 1 and of["components"][0]["cell"] == "GaussianErrorCell"
state = dict(z)
state["z0.mu"] = np.asfortranarray(mu + 1).astype(">f8")
np.savez(sys.argv[2], **state)
`
	edited := filepath.Join(folder, "edited.npz")
	numpytest.Run(t, script, path, edited)
	must(t, x.Load(edited))
	wantValue(t, cell.Mean(), []int{2, 2, 3}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1.1)
}

// rewrite makes another file of a state, from its arrays.
func rewrite(t testing.TB, path string, edit func(arrays map[string]numpyArray)) {
	t.Helper()
	a, err := numpy.OpenArchive(path)
	must(t, err)
	arrays := map[string]numpyArray{}
	for _, name := range a.Names() {
		if name == "errorcell" {
			_, text, err := numpy.ReadAs[uint8](a, name)
			must(t, err)
			arrays[name] = numpyArray{[]int{len(text)}, text}
			continue
		}
		shape, data, err := numpy.ReadAs[float32](a, name)
		must(t, err)
		arrays[name] = numpyArray{shape, data}
	}
	must(t, a.Close())
	edit(arrays)
	var out bytes.Buffer
	w := numpy.NewArchiveWriter(&out)
	for name, x := range arrays {
		switch data := x.data.(type) {
		case []uint8:
			must(t, begun(w, name, x.shape, data))
		case []float32:
			must(t, begun(w, name, x.shape, data))
		case []float64:
			must(t, begun(w, name, x.shape, data))
		}
	}
	must(t, w.Close())
	must(t, os.WriteFile(path, out.Bytes(), 0o666))
}

type numpyArray struct {
	shape []int
	data  any
}

func begun[T numpy.Element](a *numpy.ArchiveWriter, name string, shape []int, data []T) error {
	w, err := numpy.Begin[T](a, name, shape)
	if err != nil {
		return err
	}
	return numpy.WriteData(w, data)
}

// TestLoadSetsAll: wired compartments, too, and those without a value.
func TestLoadSetsAll(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev backend.Device) {
		p := newPair(t, 3, neurons.On(dev))
		must(t, p.a.Target().SetFloat32s([]float32{9, 10, 11}))
		must(t, p.a.Mask().Clear())
		must(t, p.process.Run(t.Context(), 5, 1))
		must(t, p.b.Modulator().Clear())
		want := p.state(t)
		path := filepath.Join(t.TempDir(), "state.npz")
		must(t, p.context.Save(path))
		must(t, p.process.Run(t.Context(), 5, 1))
		must(t, p.b.Modulator().SetScalar(3))
		if p.state(t) == want {
			t.Fatal("the steps change nothing")
		}
		must(t, p.context.Load(path))
		if got := p.state(t); got != want {
			t.Errorf("loaded %s, not %s", got, want)
		}
		if p.b.Modulator().IsSet() {
			t.Error("a compartment that is not in the file keeps its value")
		}
		must(t, p.context.Load(path))
		wantError(t, p.b.Target().SetScalar(1), neurons.ErrWired, "b.target: the wire from a.dmu")
	})
}

// TestLoadEdited: arrays of other shapes, where they fit and where not.
func TestLoadEdited(t *testing.T) {
	p, path := newState(t)
	before := p.state(t)
	original, err := os.ReadFile(path)
	must(t, err)
	row := numpyArray{[]int{3}, []float32{1, 2, 3}}
	for name, test := range map[string]struct {
		edit func(arrays map[string]numpyArray)
		want string // of the error; empty for none
	}{
		"a row":          {func(a map[string]numpyArray) { a["a.mu"] = row }, ""},
		"a number":       {func(a map[string]numpyArray) { a["a.mu"] = numpyArray{[]int{}, []float32{1}} }, ""},
		"a scale":        {func(a map[string]numpyArray) { a["a.Sigma"] = row }, ""},
		"no value":       {func(a map[string]numpyArray) { delete(a, "a.mask") }, ""},
		"too many units": {func(a map[string]numpyArray) { a["a.mu"] = numpyArray{[]int{4}, []float32{1, 2, 3, 4}} }, "a.mu is (4,) float32 in the file, and float32 that broadcasts to (1, 3) is wanted"},
		"a batch":        {func(a map[string]numpyArray) { a["a.mu"] = numpyArray{[]int{2, 3}, make([]float32, 6)} }, "a.mu is (2, 3) float32 in the file, and float32 that broadcasts to (1, 3) is wanted; to load another batch, call first SetBatchSize(2)"},
		"two batches": {func(a map[string]numpyArray) {
			a["a.mu"], a["b.mu"] = numpyArray{[]int{2, 3}, make([]float32, 6)}, numpyArray{[]int{0, 3}, []float32{}}
		}, "call first SetBatchSize(2) of a, SetBatchSize(0) of b"},
		"float64": {func(a map[string]numpyArray) { a["b.mu"] = numpyArray{[]int{1, 3}, make([]float64, 3)} }, "b.mu is (1, 3) float64 in the file, and float32 that"},
		"others": {func(a map[string]numpyArray) { a["a.nu"], a["c.mu"], a["epoch"] = row, row, row },
			`array "`},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(path, original, 0o666))
			must(t, p.context.Load(path))
			rewrite(t, path, test.edit)
			err := p.context.Load(path)
			if test.want == "" {
				must(t, err)
				must(t, p.process.Step(0, 1))
				return
			}
			wantError(t, err, neurons.ErrState, "circuit: "+path+": the state does not fit this circuit, and nothing was loaded: ")
			wantError(t, err, neurons.ErrState, test.want)
			if name == "others" {
				for _, array := range []string{"a.nu", "c.mu", "epoch"} {
					wantError(t, err, neurons.ErrState, fmt.Sprintf("array %q is no compartment's", array))
				}
			}
			if got := p.state(t); got != before {
				t.Errorf("a failed Load has changed something: %s", got)
			}
		})
	}
	must(t, os.WriteFile(path, original, 0o666))
	rewrite(t, path, func(a map[string]numpyArray) { a["a.mu"] = row })
	must(t, p.context.Load(path))
	wantValue(t, p.a.Mean(), []int{3}, 1, 2, 3)
	rewrite(t, path, func(a map[string]numpyArray) { a["a.mu"] = numpyArray{[]int{2, 3, 1}, make([]float32, 6)} })
	must(t, p.a.Mean().SetFloat32s(count(6), 2, 3, 1)) // which now fits, since it is there
	must(t, p.context.Load(path))
}

// TestLoadElsewhere: circuits that were made otherwise, and all that differs in one
// error.
func TestLoadElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.npz")
	make := func(t *testing.T, build func(in neurons.Option) []error) *neurons.Context {
		x := newContext(t, neurons.OnDevice("cpu:generic,threads=1"))
		must(t, errors.Join(build(neurons.In(x))...))
		return x
	}
	gaussian := func(name string, units int, opts ...neurons.Option) error {
		_, err := neurons.NewGaussianErrorCell(name, units, opts...)
		return err
	}
	scaled := func(name string, units int, opts ...neurons.Option) error {
		_, err := neurons.NewScaledLaplacianErrorCell(name, units, opts...)
		return err
	}
	x := make(t, func(in neurons.Option) []error {
		return []error{gaussian("a", 3, in, neurons.WithBatchSize(7)), scaled("b", 4, in), gaussian("c", 4, in, neurons.WithShape(2, 2)),
			gaussian("d", 4, in), gaussian("e", 4, in)}
	})
	must(t, x.Save(path))
	y := make(t, func(in neurons.Option) []error {
		_, seed := neurons.NewLaplacianErrorCell("b", 4, in)
		return []error{gaussian("a", 3, in), seed, gaussian("c", 4, in), gaussian("d", 4, in, neurons.WithDType(kernels.F64)), gaussian("f", 4, in)}
	})
	err := y.Load(path)
	for _, text := range []string{
		"circuit: " + path + ": the state does not fit this circuit, and nothing was loaded: ",
		"b is a ScaledLaplacianErrorCell of 4 float32 units in the file and a LaplacianErrorCell of 4 float32 units here; ",
		"c is a GaussianErrorCell of 4 float32 units of shape (2, 2) in the file and a GaussianErrorCell of 4 float32 units here; ",
		"d is a GaussianErrorCell of 4 float32 units in the file and a GaussianErrorCell of 4 float64 units here; ",
		"e is in the file only; f is in the circuit only; ",
		"a.mu is (7, 3) float32 in the file, and float32 that broadcasts to (1, 3) is wanted; ",
		"a.mask is (7, 3) float32",
		"; to load another batch, call first SetBatchSize(7)",
	} {
		wantError(t, err, neurons.ErrState, text)
	}
	if strings.Contains(err.Error(), "b.") || strings.Contains(err.Error(), "a.Sigma") || strings.Contains(err.Error(), "\n") {
		t.Errorf("it says too much: %v", err)
	}

	// Doing what the error says helps.
	one := func(in neurons.Option) []error { return []error{gaussian("a", 3, in, neurons.WithBatchSize(7))} }
	must(t, make(t, one).Save(path))
	z := make(t, func(in neurons.Option) []error { return []error{gaussian("a", 3, in)} })
	wantError(t, z.Load(path), neurons.ErrState, "SetBatchSize(7)")
	must(t, z.SetBatchSize(7))
	must(t, z.Load(path))

	// Many differences are cut short.
	many := func(in neurons.Option) (errs []error) {
		for i := range 30 {
			errs = append(errs, gaussian(fmt.Sprint("n", i), 1, in))
		}
		return errs
	}
	must(t, make(t, many).Save(path))
	wantError(t, z.Load(path), neurons.ErrState, "; and 11 more")

	// No components at all.
	none := make(t, func(neurons.Option) []error { return nil })
	must(t, none.Save(path))
	must(t, none.Load(path))
}

// TestEveryCellIsNamed in files of state, each by its own name.
func TestEveryCellIsNamed(t *testing.T) {
	x := newContext(t)
	for i, create := range makers {
		_, err := create(fmt.Sprint("c", i), 2, 0, neurons.In(x))
		must(t, err)
	}
	path := filepath.Join(t.TempDir(), "state.npz")
	must(t, x.Save(path))
	a, err := numpy.OpenArchive(path)
	must(t, err)
	defer a.Close()
	_, text, err := numpy.ReadAs[uint8](a, "errorcell")
	must(t, err)
	var of struct{ Components []struct{ Cell string } }
	must(t, json.Unmarshal(text, &of))
	seen := map[string]bool{"": true}
	for i, c := range of.Components {
		cell, err := makers[i]("x", 2, 0)
		must(t, err)
		if want := strings.TrimPrefix(fmt.Sprintf("%T", cell), "*neurons."); c.Cell != want || seen[c.Cell] {
			t.Errorf("a %s is called %q", want, c.Cell)
		}
		seen[c.Cell] = true
		must(t, cell.Close())
	}
	if len(of.Components) != len(makers) {
		t.Errorf("%d components, not %d", len(of.Components), len(makers))
	}
}

// TestBadFiles: whatever is at the path, Load says what is wrong, and the circuit
// stays as it was.
func TestBadFiles(t *testing.T) {
	p, path := newState(t)
	before := p.state(t)
	good, err := os.ReadFile(path)
	must(t, err)
	folder := filepath.Dir(path)
	write := func(data []byte) { must(t, os.WriteFile(path, data, 0o666)) }
	wantFailure := func(is error, text string) {
		t.Helper()
		err := p.context.Load(path)
		wantError(t, err, is, "circuit: "+path+": ")
		wantError(t, err, is, text)
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("an error of several lines: %v", err)
		}
		if got := p.state(t); got != before {
			t.Fatalf("a failed Load has changed something: %s", got)
		}
	}
	wantError(t, p.context.Load(folder), neurons.ErrState, folder+": it is a directory")
	wantError(t, p.context.Load(filepath.Join(folder, "none.npz")), fs.ErrNotExist, "none.npz: ")
	write(nil)
	wantFailure(neurons.ErrState, "it is empty")
	write([]byte("no archive"))
	wantFailure(neurons.ErrState, "it is no zip file")
	write(good[:len(good)/2])
	wantFailure(neurons.ErrState, "it may be cut off")
	for i := 0; i < len(good); i += 7 { // whatever is damaged, nothing changes
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		write(bad)
		if err := p.context.Load(path); err == nil {
			write(good) // a date, or the like
			must(t, p.context.Load(path))
		} else if got := p.state(t); got != before {
			t.Fatalf("byte %d: a failed Load, %v, has changed something: %s", i, err, got)
		}
	}
	owner := func(text string) {
		write(good)
		rewrite(t, path, func(a map[string]numpyArray) { a["errorcell"] = numpyArray{[]int{len(text)}, []uint8(text)} })
	}
	owner(`{"format": 2, "components": "of another kind"}`)
	wantFailure(neurons.ErrState, "a newer version of errorcell has written it, in format 2; this one reads format 1")
	for _, text := range []string{"", "no JSON", `{"format": "one"}`, "{}", "[]"} {
		owner(text)
		wantFailure(neurons.ErrState, `array "errorcell" does not say whose state it is`)
	}
	owner(`{"format": 1, "components": {"a": 1}}`)
	wantFailure(neurons.ErrState, `array "errorcell" does not say whose state it is: "json: `)
	owner(`{"format": 1}`)
	wantFailure(neurons.ErrState, "a is in the circuit only; b is in the circuit only")
	owner(`{"format": 1, "components": [{"name": "a\nb"}, {"name": "a", "cell": "X\u001b", "n_units": -1, "shape": null}, {"name": "a"}]}`)
	wantFailure(neurons.ErrState, `"a\nb" is in the file only; a is a "X\x1b" of -1 "" units of shape`)
	wantFailure(neurons.ErrState, "; a is twice in the file; ")
	write(good)
	rewrite(t, path, func(a map[string]numpyArray) { delete(a, "errorcell") })
	wantFailure(neurons.ErrState, `it is not a state that Context.Save has written, which would have an array "errorcell"`)
	write(good)
	rewrite(t, path, func(a map[string]numpyArray) { a["errorcell"] = numpyArray{[]int{1}, []float32{1}} })
	wantFailure(neurons.ErrState, `array "errorcell": it holds float32, and uint8 is wanted`)
	write(good)
	must(t, p.context.Load(path))
}

// TestSaveErrors: what cannot be written, and contexts that are closed.
func TestSaveErrors(t *testing.T) {
	p, path := newState(t)
	folder := filepath.Dir(path)
	good, err := os.ReadFile(path)
	must(t, err)
	wantError(t, p.context.Save(folder), nil, "circuit: "+folder+": it is a directory, and a file is to be written")
	wantError(t, p.context.Save(filepath.Join(folder, "none", "state.npz")), fs.ErrNotExist, "circuit: "+filepath.Join(folder, "none", "state.npz")+": ")
	wantError(t, p.context.Save(""), fs.ErrNotExist, `circuit: "": `)
	must(t, p.a.Mean().SetFloat32s(count(48), 2, 2, 2, 2, 3))
	must(t, p.context.Save(path))
	must(t, p.context.Load(path))
	wantValue(t, p.a.Mean(), []int{2, 2, 2, 2, 3}, count(48)...)
	must(t, os.WriteFile(path, good, 0o666))
	must(t, p.a.Mean().SetFloat32s([]float32{1}, slices.Repeat([]int{1}, 40)...))
	wantError(t, p.context.Save(path), nil, "circuit: "+path+": a.mu: an array of 40 axes cannot be used: at most 32 are")
	must(t, p.context.Close())
	wantError(t, p.context.Save(path), neurons.ErrClosed, "the context is closed")
	wantError(t, p.context.Load(path), neurons.ErrClosed, "the context is closed")
	wantError(t, (*neurons.Context)(nil).Save(path), neurons.ErrClosed, "the context is closed")
	wantError(t, (*neurons.Context)(nil).Load(path), neurons.ErrClosed, "the context is closed")
	checkFolder(t, path, good)
}

// checkFolder makes sure that a file is the only one in its folder, and what it holds.
func checkFolder(t *testing.T, path string, want []byte) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	if got, err := os.ReadFile(path); len(entries) != 1 || err != nil || !bytes.Equal(got, want) {
		t.Errorf("the folder holds %v, and the file has changed: %v, error %v", entries, !bytes.Equal(got, want), err)
	}
}

// TestStateOfFailingDevices: a device that fails while a state is saved or loaded
// leaves file and circuit as they were, and no memory behind.
func TestStateOfFailingDevices(t *testing.T) {
	dev := &remote{Device: open(t, "cpu:generic,threads=1")}
	p := newPair(t, 3, neurons.On(dev))
	must(t, p.a.Target().SetFloat32s([]float32{9, 10, 11}))
	must(t, p.process.Run(t.Context(), 5, 1))
	path := filepath.Join(t.TempDir(), "state.npz")
	must(t, p.context.Save(path))
	good, err := os.ReadFile(path)
	must(t, err)
	must(t, p.process.Run(t.Context(), 5, 1))
	before := p.state(t)

	dev.mute = true
	err = p.context.Save(path)
	dev.mute = false
	wantError(t, err, errRemote, "circuit: "+path+": a.")
	checkFolder(t, path, good)

	failures, buffers := 0, 0
	for ; ; failures++ {
		dev.failAt = failures + 1
		err := p.context.Load(path)
		dev.failAt = 0
		if err == nil {
			break
		}
		wantError(t, err, errRemote, "circuit: "+path+": ")
		if got := p.state(t); got != before {
			t.Fatalf("a failed Load has changed something: %s", got)
		}
		if failures == 0 {
			buffers = dev.buffers // the first has given back what waited
		} else if dev.buffers != buffers {
			t.Errorf("%d buffers are open after failure %d, not %d", dev.buffers, failures, buffers)
		}
	}
	if failures < 10 {
		t.Errorf("only %d calls of the device could fail", failures)
	}
	if p.state(t) == before {
		t.Error("at last, nothing was loaded")
	}
	must(t, p.context.Close())
	if dev.buffers != 0 {
		t.Errorf("%d buffers are left", dev.buffers)
	}
}
