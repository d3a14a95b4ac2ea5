// What the results are called, their shapes and their bits, against the
// contract and the reference interpreter.

package main

import (
	"archive/zip"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"errorcell/kernels"
)

// reference computes one step as the kernel's definition reads.
func reference(t *testing.T, k *kernels.Kernel, in arrays) arrays {
	t.Helper()
	var inputs []*array
	for _, input := range k.Inputs() {
		inputs = append(inputs, in[input.Name])
	}
	results, err := kernels.Reference(k, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	all := arrays{}
	for i, out := range k.Outputs() {
		all[out.Name] = results[i]
	}
	if in["scale"] == nil {
		delete(all, "dScale")
	}
	return all
}

// named finds a cell of the command line.
func named(t *testing.T, name string) cell {
	t.Helper()
	c, _, err := (&choice{cell: name}).find()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// step runs a call both ways, from an archive and from streams, and makes sure
// that they agree.
func step(t *testing.T, in arrays, args ...string) arrays {
	t.Helper()
	folder := t.TempDir()
	writeNPZ(t, filepath.Join(folder, "in.npz"), in)
	writeNPY(t, folder, in)
	args = append([]string{"step", "--quiet"}, args...)
	succeed(t, folder, append(args, "--in", "in.npz", "--out", "out.npz")...)
	got := readNPZ(t, filepath.Join(folder, "out.npz"))
	args = append(args, "--out", "out")
	for name := range in {
		args = append(args, "--"+name, name+".npy")
	}
	succeed(t, folder, args...)
	checkArrays(t, readNPY(t, filepath.Join(folder, "out")), got)
	return got
}

// Shapes as NumPy and ngc-learn have them. The values are compared with the
// reference wherever there is a single step.
func TestShapes(t *testing.T) {
	type shape = kernels.Shape
	for name, test := range map[string]struct {
		in, want map[string]shape
	}{
		"one step":          {map[string]shape{"target": {4, 5}, "mu": {4, 5}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "L": {}}},
		"no axis":           {map[string]shape{"target": {}, "mu": {}}, map[string]shape{"dmu": {}, "dtarget": {}, "L": {}}},
		"one axis":          {map[string]shape{"target": {5}, "mu": {5}}, map[string]shape{"dmu": {5}, "dtarget": {5}, "L": {}}},
		"one axis and two":  {map[string]shape{"target": {5}, "mu": {4, 1}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "L": {}}},
		"a single number":   {map[string]shape{"target": {4, 5}, "mu": {}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "L": {}}},
		"a large modulator": {map[string]shape{"target": {5}, "mu": {5}, "modulator": {4, 1}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "L": {}}},
		"a mask":            {map[string]shape{"target": {4, 5}, "mu": {4, 5}, "mask": {4, 5}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "L": {}}},
		"a scale":           {map[string]shape{"target": {4, 5}, "mu": {4, 5}, "scale": {}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "dScale": {}, "L": {}}},
		"a scale of one":    {map[string]shape{"target": {4, 5}, "mu": {4, 5}, "scale": {1, 1}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "dScale": {1, 1}, "L": {}}},
		"a scale by row":    {map[string]shape{"target": {4, 5}, "mu": {4, 5}, "scale": {4, 1}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "dScale": {4, 1}, "L": {4}}},
		"a scale by column": {map[string]shape{"target": {4, 5}, "mu": {4, 5}, "scale": {1, 5}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "dScale": {1, 5}, "L": {5}}},
		"a whole scale":     {map[string]shape{"target": {4, 5}, "mu": {4, 5}, "scale": {4, 5}}, map[string]shape{"dmu": {4, 5}, "dtarget": {4, 5}, "dScale": {4, 5}, "L": {4, 5}}},
		"empty batch":       {map[string]shape{"target": {0, 5}, "mu": {0, 5}}, map[string]shape{"dmu": {0, 5}, "dtarget": {0, 5}, "L": {}}},
		"no units":          {map[string]shape{"target": {4, 0}, "mu": {1, 1}}, map[string]shape{"dmu": {4, 0}, "dtarget": {4, 0}, "L": {}}},
		"a shift":           {map[string]shape{"target": {4, 5}, "shift": {4, 5}}, map[string]shape{"dshift": {4, 5}, "dtarget": {4, 5}, "L": {}}},
		"a shift, a scale":  {map[string]shape{"target": {4, 5}, "shift": {4, 5}, "scale": {5}}, map[string]shape{"dshift": {4, 5}, "dtarget": {4, 5}, "dScale": {5}, "L": {5}}},
		"three steps":       {map[string]shape{"target": {3, 4, 5}, "mu": {3, 4, 5}}, map[string]shape{"dmu": {3, 4, 5}, "dtarget": {3, 4, 5}, "L": {3}}},
		"steps, one held":   {map[string]shape{"target": {3, 4, 5}, "mu": {5}}, map[string]shape{"dmu": {3, 4, 5}, "dtarget": {3, 4, 5}, "L": {3}}},
		"steps of modulation": {map[string]shape{"target": {4, 5}, "mu": {4, 5}, "modulator": {3, 4, 1}},
			map[string]shape{"dmu": {3, 4, 5}, "dtarget": {3, 4, 5}, "L": {3}}},
		"steps, a scale": {map[string]shape{"target": {3, 4, 5}, "mu": {3, 4, 5}, "scale": {4, 1}},
			map[string]shape{"dmu": {3, 4, 5}, "dtarget": {3, 4, 5}, "dScale": {3, 4, 1}, "L": {3, 4}}},
		"steps, one repeated": {map[string]shape{"target": {3, 4, 5}, "mu": {1, 4, 5}}, map[string]shape{"dmu": {3, 4, 5}, "dtarget": {3, 4, 5}, "L": {3}}},
		"one counted step":    {map[string]shape{"target": {1, 4, 5}, "mu": {4, 5}}, map[string]shape{"dmu": {1, 4, 5}, "dtarget": {1, 4, 5}, "L": {1}}},
		"no step":             {map[string]shape{"target": {0, 4, 5}, "mu": {0, 4, 5}}, map[string]shape{"dmu": {0, 4, 5}, "dtarget": {0, 4, 5}, "L": {0}}},
		"no step, one held":   {map[string]shape{"target": {0, 4, 5}, "mu": {4, 5}}, map[string]shape{"dmu": {0, 4, 5}, "dtarget": {0, 4, 5}, "L": {0}}},
		"no step of one":      {map[string]shape{"target": {0, 4, 5}, "mu": {1, 4, 5}}, map[string]shape{"dmu": {0, 4, 5}, "dtarget": {0, 4, 5}, "L": {0}}},
		"steps, empty batch":  {map[string]shape{"target": {3, 0, 5}, "mu": {3, 0, 5}}, map[string]shape{"dmu": {3, 0, 5}, "dtarget": {3, 0, 5}, "L": {3}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := arrays{}
			period := 2
			for _, name := range []string{"target", "mu", "shift", "modulator", "mask", "scale"} {
				if shape, ok := test.in[name]; ok {
					in[name] = counting(period, shape...)
					period++
				}
			}
			got := step(t, in)
			shapes := map[string]shape{}
			for name, x := range got {
				shapes[name] = x.Shape
			}
			for name, want := range test.want {
				if x, ok := got[name]; !ok || !slices.Equal(x.Shape, want) {
					t.Errorf("%s has shape %v, not %v", name, shapes[name], want)
				}
			}
			if len(got) != len(test.want) {
				t.Errorf("the results are %v", shapes)
			}
			if len(got["dtarget"].Shape) == 3 {
				return
			}
			renamed := arrays{}
			for name, x := range in {
				renamed[named(t, defaultCell).operandOf(name)] = x
			}
			want := reference(t, kernels.LaplacianScaled, renamed)
			if want["L"].Shape = want["L"].Shape.Squeeze(); in["shift"] != nil {
				want["dshift"] = want["dmu"]
				delete(want, "dmu")
			}
			checkArrays(t, got, want)
		})
	}
}

func TestLosses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, in := range map[string]arrays{
		"numbers": {"target": arrayOf([]int{2, 3}, 1, 2.5, -3, 0, 1e-40, 7), "mu": arrayOf([]int{2, 3}, 1, 2, 4, 0, 0, 1e30)},
		"NaN":     {"target": arrayOf([]int{2, 3}, 1, nan, 0), "mu": arrayOf([]int{3}, 2)},
		"inf":     {"target": arrayOf([]int{2, 3}, inf, 1, -inf), "mu": arrayOf([]int{3}, inf, 1, 1)},
		"nothing": {"target": arrayOf([]int{0, 3}), "mu": arrayOf([]int{0, 3})},
		"scaled":  {"target": counting(7, 9, 130), "mu": counting(5, 9, 130), "scale": arrayOf(nil, 0.1), "mask": counting(2, 130)},
	} {
		t.Run(name, func(t *testing.T) {
			checkArrays(t, step(t, in), reference(t, kernels.LaplacianScaled, in))
			checkArrays(t, step(t, in, "--loss", "mismatch"), reference(t, kernels.LaplacianScaled, in))
			checkArrays(t, step(t, in, "--loss", "l1", "--cell", "laplacian"), reference(t, kernels.LaplacianScaledL1, in))
		})
	}
	empty := step(t, arrays{"target": arrayOf([]int{0, 3}), "mu": arrayOf([]int{0, 3})})
	checkArrays(t, only(empty, "L"), arrays{"L": arrayOf(nil, float32(math.Copysign(0, -1)))})
}

func TestJSON(t *testing.T) {
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	in := arrays{"target": counting(3, 2, 4, 5), "mu": counting(2, 2, 4, 5)}
	writeNPZ(t, file("in.npz"), in)
	writeNPY(t, folder, in)
	writeNPZ(t, file("nan.npz"), arrays{"target": arrayOf([]int{2, 3}, float32(math.NaN())), "mu": arrayOf(nil, 0)})
	writeNPZ(t, file("inf.npz"), arrays{"target": arrayOf([]int{2, 3}, float32(math.Inf(1))), "mu": arrayOf(nil, 0)})
	writeNPZ(t, file("nothing.npz"), arrays{"target": arrayOf([]int{0, 3}), "mu": arrayOf(nil, 0)})
	for call, want := range map[string]map[string]any{
		"--in in.npz --out out.npz":                              {"steps": 2.0, "rows": 4.0, "cols": 5.0, "L": -26.0, "out": "out.npz", "loss": "mismatch", "cell": "laplacian", "compute_bytes": 2 * 4 * (4*20.0 + 1)},
		"--target target.npy --mu mu.npy --out out/":             {"steps": 2.0, "rows": 4.0, "cols": 5.0, "L": -26.0, "out": "out/"},
		"--in in.npz --out out.npz --quiet --device=cpu:generic": {"steps": 2.0},
		"--in nan.npz --out out.npz":                             {"L": "NaN", "steps": 1.0},
		"--in inf.npz --out out.npz --loss l1":                   {"L": "-Inf", "loss": "l1"},
		"--in nothing.npz --out out.npz":                         {"L": math.Copysign(0, -1)},
	} {
		text := succeed(t, folder, append(strings.Split(call, " "), "step", "--json")...)
		var got map[string]any
		if err := json.Unmarshal([]byte(text), &got); err != nil || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: %v in %q", call, err, text)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %v, not %v", call, key, got[key], value)
			}
		}
		if seconds, ok := got["seconds"].(map[string]any); !ok || seconds["total"].(float64) <= 0 || !strings.HasPrefix(got["device"].(string), "cpu:") {
			t.Errorf("%s: %s", call, text)
		}
	}

	var verdicts []verdict
	for name, into := range map[string]any{"devices": &[]deviceEntry{}, "verify": &verdicts} {
		got := finish(t, verifyFew(command(t, folder, name, "--json")))
		checkSuccess(t, got, []string{name, "--json"})
		if err := json.Unmarshal([]byte(got.stdout), into); err != nil {
			t.Errorf("%s --json: %v", name, err)
		}
	}
	if len(verdicts) != len(checks) {
		t.Errorf("verify --json has %d verdicts of one kernel", len(verdicts))
	}
	for _, v := range verdicts {
		if !v.OK || v.Cases == 0 {
			t.Errorf("verify: %+v", v)
		}
	}
}

// NumPy's archives of other element types and orders give the results of
// float32, with a note for each array that is not, from archives and streams.
func TestConversions(t *testing.T) {
	want := reference(t, kernels.LaplacianScaled, arrays{
		"target": arrayOf([]int{2, 3}, 0, 1, 1, 1, 0, 1),
		"mu":     arrayOf([]int{2, 3}, 1, 1, 0, 0, 0, 0),
	})
	paths, err := filepath.Glob(filepath.Join("testdata", "converted_*.npz"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			folder := t.TempDir()
			unzip(t, path, folder)
			notes := 2
			if strings.Contains(path, "float32_fortran") {
				notes = 0 // no number is converted
			}
			in, err := filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			calls := [][]string{{"step", "--in", in, "--out", "out.npz"}}
			if !strings.Contains(path, "fortran") { // which streams refuse
				calls = append(calls, []string{"step", "--target", "target.npy", "--mu", "mu.npy", "--out", "out"})
			}
			for _, args := range calls {
				got := errorcell(t, folder, args...)
				if got.status != 0 || strings.Count(got.stderr, "\n") != notes || strings.Count(got.stderr, "errorcell: note: ") != notes {
					t.Errorf("%q: status %d, stderr %q", args, got.status, got.stderr)
				}
				succeed(t, folder, append(args, "--quiet")...)
			}
			checkArrays(t, readNPZ(t, filepath.Join(folder, "out.npz")), want)
			if len(calls) > 1 {
				checkArrays(t, readNPY(t, filepath.Join(folder, "out")), want)
			}
		})
	}
	t.Run("streams in Fortran order", func(t *testing.T) {
		folder := t.TempDir()
		unzip(t, filepath.Join("testdata", "converted_float32_fortran.npz"), folder)
		before := contents(t, folder)
		got := errorcell(t, folder, "step", "--target", "target.npy", "--mu", "mu.npy", "--out", "out")
		checkFailure(t, got, exitFailed, "Fortran order", "np.ascontiguousarray")
		checkContents(t, folder, before)
	})
}

// unzip puts an archive's members into a folder.
func unzip(t *testing.T, path, folder string) {
	t.Helper()
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, m := range r.File {
		in, err := m.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, m.Name), data)
	}
}

// Results of an earlier run are replaced, whichever way they are reached, and
// other files stay.
func TestReplaces(t *testing.T) {
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	in := arrays{"target": counting(3, 2, 3), "mu": counting(2, 2, 3)}
	want := reference(t, kernels.LaplacianScaled, in)
	writeNPZ(t, file("in.npz"), in)
	writeNPY(t, folder, in)
	writeNPZ(t, file("out.npz"), arrays{"x": counting(1)})

	succeed(t, folder, "step", "--in", "in.npz", "--out", "out.npz")
	checkArrays(t, readNPZ(t, file("out.npz")), want)
	succeed(t, folder, "step", "--in", "in.npz", "--out", "in.npz") // onto its own input
	checkArrays(t, readNPZ(t, file("in.npz")), want)
	if err := os.Remove(file("in.npz")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file("out.npz")); err != nil {
		t.Fatal(err)
	}
	succeed(t, folder, "step", "--target", "target.npy", "--mu", "mu.npy", "--out", ".") // beside its inputs
	all := readNPY(t, folder)
	checkArrays(t, only(all, "dmu", "dtarget", "L"), want)
	checkArrays(t, only(all, "target", "mu"), in)
	succeed(t, folder, "step", "--target", "target.npy", "--mu", "dmu.npy", "--out", ".") // onto its own input
	in["mu"] = want["dmu"]
	checkArrays(t, only(readNPY(t, folder), "dmu", "dtarget", "L"), reference(t, kernels.LaplacianScaled, in))
}

// Runs at the same time do not disturb each other's files; one of them is the
// last.
func TestConcurrentRuns(t *testing.T) {
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	var wants []arrays
	names := []string{"a.npz", "b.npz", "c.npz", "d.npz"}
	for i, name := range names {
		in := arrays{"target": counting(3+i, 20, 30), "mu": counting(2, 20, 30)}
		writeNPZ(t, file(name), in)
		wants = append(wants, reference(t, kernels.LaplacianScaled, in))
	}
	t.Run("all", func(t *testing.T) {
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for range 4 {
					succeed(t, folder, "step", "--in", name, "--out", "out.npz")
				}
			})
		}
	})
	got := readNPZ(t, file("out.npz"))
	i := slices.IndexFunc(wants, func(want arrays) bool { return firstDifference(got["dmu"].Data, want["dmu"].Data) < 0 })
	checkArrays(t, got, wants[max(i, 0)])
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != len(names)+1 {
		t.Errorf("the folder holds %v, error %v", entries, err)
	}
}
