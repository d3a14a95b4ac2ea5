// Results that the real ngc-learn gave, on every device.

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// goldens are the archives of operands and results from ngc-learn.
func goldens(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "testdata", "laplacian2024", "*.npz"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for i, path := range paths {
		if paths[i], err = filepath.Abs(path); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// only picks arrays by name.
func only(of arrays, names ...string) arrays {
	some := arrays{}
	for _, name := range names {
		if x, ok := of[name]; ok {
			some[name] = x
		}
	}
	return some
}

// deviceSpecsToTest are all devices that can be had, those with threads with
// one, two and three of them.
func deviceSpecsToTest(t *testing.T) []string {
	t.Helper()
	var entries []struct {
		Device    string
		Available bool
		Threads   int
	}
	if err := json.Unmarshal([]byte(succeed(t, ".", "devices", "--json")), &entries); err != nil {
		t.Fatal(err)
	}
	var specs []string
	for _, e := range entries {
		if !e.Available {
			continue
		}
		if e.Threads == 0 {
			specs = append(specs, e.Device)
			continue
		}
		option := ","
		if !strings.Contains(e.Device, ":") {
			option = ":"
		}
		for threads := 1; threads <= 3; threads++ {
			specs = append(specs, fmt.Sprintf("%s%sthreads=%d", e.Device, option, threads))
		}
	}
	return specs
}

func TestGoldens(t *testing.T) {
	specs := deviceSpecsToTest(t)
	if testing.Short() && len(specs) > 2 {
		t.Logf("-short: only on the last of %q", specs)
		specs = specs[len(specs)-1:]
	}
	for _, path := range goldens(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			want := only(readNPZ(t, path), "dmu", "dtarget", "L")
			out := filepath.Join(t.TempDir(), "out.npz")
			for _, spec := range specs {
				succeed(t, ".", "step", "--in", path, "--out", out, "--device", spec)
				checkArrays(t, readNPZ(t, out), want)
			}
		})
	}
}

// stack puts copies of an array behind each other, with T leading; each is
// scaled by another power of -2, so that signs differ.
func stack(x *array, steps int) *array {
	s := arrayOf(append([]int{steps}, x.Shape...), 0)
	factor := float32(1)
	for t := range steps {
		for i, v := range x.Data {
			s.Data[t*len(x.Data)+i] = v * factor
		}
		factor *= -2
	}
	return s
}

// at is the part of one step.
func at(x *array, t int) *array {
	n := x.Shape[1:].Len()
	return &array{Shape: x.Shape[1:], Data: x.Data[t*n:][:n]}
}

// A stream, an archive of several steps and an archive for each step agree.
func TestGoldensInSteps(t *testing.T) {
	const steps = 4
	for _, path := range goldens(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			in := only(readNPZ(t, path), "target", "mu", "modulator")
			if x := in["target"]; x.Shape.Len() > 1<<14 && testing.Short() {
				t.Skip("it is large: run without -short")
			}
			single := in["target"]
			in["target"] = stack(single, steps) // the others are held
			writeNPZ(t, filepath.Join(folder, "in.npz"), in)
			writeNPY(t, folder, in)

			succeed(t, folder, "step", "--in", "in.npz", "--out", "out.npz")
			whole := readNPZ(t, filepath.Join(folder, "out.npz"))
			args := []string{"step", "--out", "out", "--device", "cpu:threads=2"}
			for name := range in {
				args = append(args, "--"+name, name+".npy")
			}
			succeed(t, folder, args...)
			checkArrays(t, readNPY(t, filepath.Join(folder, "out")), whole)

			for step := range steps {
				if step > 0 && testing.Short() {
					break
				}
				one := only(in, "mu", "modulator")
				one["target"] = at(in["target"], step)
				writeNPZ(t, filepath.Join(folder, "one.npz"), one)
				succeed(t, folder, "step", "--in", "one.npz", "--out", "one_out.npz")
				want := readNPZ(t, filepath.Join(folder, "one_out.npz"))
				got := arrays{}
				for name, x := range whole {
					got[name] = at(x, step)
				}
				checkArrays(t, got, want)
			}
		})
	}
}
