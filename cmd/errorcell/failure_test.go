// Calls and files that are wrong: each gives one line that says so, the right
// exit status, and leaves every file as it was.

package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/internal/numpy"
)

// member is a file in a zip archive.
type member struct {
	name string
	data []byte
}

// zipOf packs members as they are.
func zipOf(t *testing.T, members ...member) []byte {
	t.Helper()
	var data bytes.Buffer
	w := zip.NewWriter(&data)
	for _, m := range members {
		f, err := w.Create(m.name)
		if err == nil {
			_, err = f.Write(m.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// promise is a .npy file whose header promises an array of a shape, with other
// data behind it.
func promise(descr, shape string, data []byte) []byte {
	dict := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	dict += strings.Repeat(" ", 117-len(dict)) + "\n"
	out := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(dict)))
	return append(append(out, dict...), data...)
}

// bomb is an archive whose mu goes on for 128 MiB behind what the archive and the
// array's header state.
func bomb(t *testing.T) []byte {
	t.Helper()
	mu := bytesOf(t, arrayOf([]int{2, 3}, 1))
	var packed, data bytes.Buffer
	deflate, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := deflate.Write(mu); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 128 {
		if _, err := deflate.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := deflate.Close(); err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(&data)
	raw, err := w.CreateRaw(&zip.FileHeader{Name: "mu.npy", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(mu),
		CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(mu))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Write(packed.Bytes()); err != nil {
		t.Fatal(err)
	}
	f, err := w.Create("target.npy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(mu); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// badFiles makes a folder of inputs that are wrong, of good ones beside them,
// and of outputs that were there before.
func badFiles(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	good := arrays{"target": counting(3, 2, 3), "mu": counting(2, 2, 3)}
	steps := func(n int) *array { return counting(5, n, 2, 3) }

	writeNPZ(t, file("good.npz"), good)
	writeNPZ(t, file("old.npz"), good)
	writeNPY(t, folder, good)
	for _, n := range []int{3, 4} {
		write(t, file(fmt.Sprintf("steps%d.npy", n)), bytesOf(t, steps(n)))
	}
	for _, name := range []string{"dmu.npy", "L.npy"} {
		if err := os.MkdirAll(file("old"), 0o777); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(file("old"), name), []byte("from an earlier run"))
	}

	writeNPZ(t, file("no_mu.npz"), arrays{"target": good["target"], "M": good["mu"]})
	writeNPZ(t, file("mu_and_shift.npz"), arrays{"target": good["target"], "mu": good["mu"], "shift": good["mu"]})
	writeNPZ(t, file("shapes.npz"), arrays{"target": good["target"], "mu": counting(2, 2, 4)})
	writeNPZ(t, file("shapes_shift.npz"), arrays{"target": good["target"], "shift": counting(2, 2, 4)})
	writeNPZ(t, file("empty_batch.npz"), arrays{"target": good["target"], "mu": counting(2, 0, 3)})
	writeNPZ(t, file("four_axes.npz"), arrays{"target": good["target"], "mu": counting(2, 1, 1, 2, 3)})
	writeNPZ(t, file("steps.npz"), arrays{"target": steps(3), "mu": steps(4)})
	writeNPZ(t, file("large_results.npz"), arrays{"target": counting(2, 1<<20, 1), "mu": counting(2, 1, 1<<20)})
	writeNPZ(t, file("more_than_memory_can_be.npz"), arrays{"target": counting(2, 1<<20, 1, 1), "mu": counting(2, 1<<20, 1), "scale": counting(2, 1<<20)})
	write(t, file("text.npz"), []byte("no archive at all\n"))
	write(t, file("empty.npz"), nil)
	data := zipOf(t, member{"target.npy", bytesOf(t, good["target"])}, member{"mu.npy", bytesOf(t, good["mu"])})
	write(t, file("truncated.npz"), data[:len(data)/2])
	write(t, file("promise.npz"), zipOf(t, member{"target.npy", bytesOf(t, good["target"])}, member{"mu.npy", promise("<f4", "(1000, 1000)", make([]byte, 24))}))
	write(t, file("huge.npz"), zipOf(t, member{"target.npy", bytesOf(t, good["target"])}, member{"mu.npy", promise("<f4", "(9223372036854775807, 9223372036854775807)", nil)}))
	write(t, file("twice.npz"), zipOf(t, member{"target.npy", bytesOf(t, good["target"])}, member{"mu.npy", nil}, member{"mu.npy", nil}))
	write(t, file("bomb.npz"), bomb(t))

	write(t, file("text.npy"), []byte("no array at all\n"))
	write(t, file("promise.npy"), promise("<f4", "(1000, 2, 3)", make([]byte, 24)))
	write(t, file("complex.npy"), promise("<c8", "(2, 3)", make([]byte, 48)))
	write(t, file("four_axes.npy"), bytesOf(t, counting(2, 1, 1, 2, 3)))
	write(t, file("five_axes.npy"), promise("<f4", "(1, 1, 1, 2, 3)", make([]byte, 24)))
	write(t, file("overflow.npy"), bytesOf(t, counting(2, 1<<10, 1, 1)))
	fixtures, err := filepath.Glob(filepath.Join("testdata", "refused_*.npz"))
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, path := range fixtures {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file(filepath.Base(path)), data)
	}
	return folder
}

// failure is a call that must fail, in the folder of badFiles.
type failure struct {
	call   string // split at blanks
	status int
	wants  []string // that the error must say
}

var failures = []failure{
	// What the files hold.
	{"step --in missing.npz --out old.npz", exitFailed, []string{"missing.npz: no such file"}},
	{"step --in no_mu.npz --out old.npz", exitFailed, []string{`no_mu.npz: no array "mu"`, `"target"`, `"M"`}},
	{"step --in mu_and_shift.npz --out old.npz", exitFailed, []string{"mu_and_shift.npz", `"mu"`, `"shift"`}},
	{"step --in shapes.npz --out old.npz", exitFailed, []string{"shapes.npz: ", "target (2, 3)", "mu (2, 4)"}},
	{"step --in shapes_shift.npz --out old.npz", exitFailed, []string{"shapes_shift.npz ", "mu is shift"}},
	{"step --in empty_batch.npz --out old.npz", exitFailed, []string{"target (2, 3)", "mu (0, 3)"}},
	{"step --in four_axes.npz --out old.npz", exitFailed, []string{"four_axes.npz: mu has shape (1, 1, 2, 3)", "(T, B, N)"}},
	{"step --in steps.npz --out old.npz", exitFailed, []string{"steps.npz", "mu has 4 steps", "target", "has 3"}},
	{"step --in large_results.npz --out old.npz", exitFailed, []string{"large_results.npz: operands and results need 8.8e+03 GB"}},
	{"step --in more_than_memory_can_be.npz --out old.npz", exitFailed, []string{"more_than_memory_can_be.npz"}},
	{"step --in text.npz --out old.npz", exitFailed, []string{"text.npz: not a NumPy .npz archive"}},
	{"step --in empty.npz --out old.npz", exitFailed, []string{"empty.npz: not a NumPy .npz archive: it is empty"}},
	{"step --in mu.npy --out old.npz", exitFailed, []string{"mu.npy: not a NumPy .npz archive: it is a single .npy array"}},
	{"step --in truncated.npz --out old.npz", exitFailed, []string{"truncated.npz: ", "cut off"}},
	{"step --in promise.npz --out old.npz", exitFailed, []string{`promise.npz: array "mu"`, "(1000, 1000)"}},
	{"step --in huge.npz --out old.npz", exitFailed, []string{`huge.npz: array "mu"`}},
	{"step --in twice.npz --out old.npz", exitFailed, []string{`twice.npz: it holds two arrays named "mu"`}},
	{"step --in bomb.npz --out old.npz", exitFailed, []string{`bomb.npz: array "mu"`}},
	{"step --in refused_complex64.npz --out old.npz", exitFailed, []string{`array "mu": dtype complex64`}},
	{"step --in refused_string.npz --out old.npz", exitFailed, []string{`array "mu": dtype string`}},
	{"step --in refused_object.npz --out old.npz", exitFailed, []string{`array "mu": dtype object`}},
	{"step --in refused_structured.npz --out old.npz", exitFailed, []string{`array "mu": dtype structured`}},
	{"step --in refused_datetime64.npz --out old.npz", exitFailed, []string{`array "mu": dtype datetime64`}},
	{"step --in refused_5_axes.npz --out old.npz", exitFailed, []string{"refused_5_axes.npz: mu has shape (1, 1, 1, 2, 3)", "(T, B, N)"}},
	{"step --in old --out old.npz", exitFailed, []string{"old: it is a directory"}},
	{"step --in good.npz/x --out old.npz", exitFailed, []string{"good.npz/x: "}},
	{"step --target missing.npy --mu mu.npy --out old", exitFailed, []string{"missing.npy: no such file"}},
	{"step --target text.npy --mu mu.npy --out old", exitFailed, []string{"text.npy: not a NumPy .npy array"}},
	{"step --target good.npz --mu mu.npy --out old", exitFailed, []string{"good.npz: not a NumPy .npy array: it is a zip archive"}},
	{"step --target promise.npy --mu mu.npy --out old", exitFailed, []string{"promise.npy: ", "needs 24000 bytes"}},
	{"step --target complex.npy --mu mu.npy --out old", exitFailed, []string{"complex.npy: dtype complex64"}},
	{"step --target four_axes.npy --mu mu.npy --out old", exitFailed, []string{"four_axes.npy: target has shape (1, 1, 2, 3)"}},
	{"step --target five_axes.npy --mu mu.npy --out old", exitFailed, []string{"five_axes.npy: target has shape (1, 1, 1, 2, 3)", "(T, B, N)"}},
	{"step --target steps3.npy --mu steps4.npy --out old", exitFailed, []string{"mu has 4 steps", "steps3.npy has 3"}},
	{"step --target overflow.npy --mu steps3.npy --out old", exitFailed, []string{"steps3.npy: mu has 3 steps", "overflow.npy has 1024"}},

	// Where the results would go.
	{"step --in good.npz --out missing/x.npz", exitFailed, []string{"missing/x.npz: no such file or directory"}},
	{"step --in good.npz --out old", exitFailed, []string{"old: it is a directory"}},
	{"step --in good.npz --out good.npz/x", exitFailed, []string{"good.npz/x: "}},
	{"step --target target.npy --mu mu.npy --out missing/x", exitFailed, []string{"missing/x: the folder cannot be made: no such file"}},
	{"step --target target.npy --mu mu.npy --out old.npz", exitFailed, []string{"old.npz: it is a file", "folder"}},

	// What was asked.
	{"stepp", exitUsage, []string{`unknown command "stepp"`, "step, verify"}},
	{"help stepp", exitUsage, []string{`unknown command "stepp"`}},
	{"completion tcsh", exitUsage, []string{`unknown command "tcsh"`, "bash, fish, powershell, zsh"}},
	{"step good.npz", exitUsage, []string{`"good.npz"`, "errorcell step --help"}},
	{"devices cpu", exitUsage, []string{`"cpu"`}},
	{"verify cpu", exitUsage, []string{`"cpu"`}},
	{"--frobnicate", exitUsage, []string{"--frobnicate", "errorcell --help"}},
	{"step --frobnicate", exitUsage, []string{"--frobnicate", "errorcell step --help"}},
	{"step -x", exitUsage, []string{"-x"}},
	{"step --in", exitUsage, []string{"--in"}},
	{"step --json=perhaps", exitUsage, []string{"perhaps"}},
	{"step", exitUsage, []string{"--out"}},
	{"step --in good.npz", exitUsage, []string{"--out"}},
	{"step --out old.npz", exitUsage, []string{"--in"}},
	{"step --in good.npz --out=", exitUsage, []string{"--out is empty"}},
	{"step --in= --out old.npz", exitUsage, []string{"--in is empty"}},
	{"step --target target.npy --mu mu.npy --mask= --out old", exitUsage, []string{"--mask is empty"}},
	{"step --in good.npz --target target.npy --out old.npz", exitUsage, []string{"--in", "--target"}},
	{"step --target target.npy --out old", exitUsage, []string{"--mu"}},
	{"step --mu mu.npy --out old", exitUsage, []string{"--target"}},
	{"step --target target.npy --mu mu.npy --shift mu.npy --out old", exitUsage, []string{"--mu", "--shift"}},
	{"step --in good.npz --out old.npz --cell elliptic", exitUsage, []string{`"elliptic"`, "laplacian"}},
	{"step --in good.npz --out old.npz --loss l2", exitUsage, []string{`"l2"`, "mismatch, l1"}},
	{"step --in good.npz --out old.npz --cell gaussian --loss l1", exitUsage, []string{`"l1"`, "gaussian", "squared"}},
	{"step --in good.npz --out old.npz --cell reward", exitUsage, []string{`"reward"`, strings.Join(cellNames(), ", ")}},
	{"step --out old", exitUsage, []string{"--in", "--target, --mu or --shift, [--modulator], [--mask], [--scale]"}},
	{"step --out old --cell bernoulli", exitUsage, []string{"--in", "--target, --p, [--modulator], [--mask]"}},
	{"step --in good.npz --out old.npz --logits", exitUsage, []string{"--logits", "laplacian", "of the bernoulli cell"}},
	{"step --target target.npy --mu mu.npy --sigma mu.npy --out old", exitUsage, []string{"--sigma", "laplacian"}},
	{"step --target target.npy --shift mu.npy --out old --cell gaussian", exitUsage, []string{"--shift", "gaussian"}},
	{"step --target target.npy --out old --cell gaussian", exitUsage, []string{"--mu"}},
	{"step --target target.npy --out old --cell bernoulli", exitUsage, []string{"--p"}},
	{"step --target target.npy --mu mu.npy --out old --cell bernoulli", exitUsage, []string{"--mu", "bernoulli", "--target, --p, [--modulator], [--mask]"}},
	{"step --in good.npz --out old.npz --cell bernoulli", exitFailed, []string{"good.npz", `"p"`}},
	{"step --in good.npz --out old.npz --cell bernoulli --loss mismatch", exitUsage, []string{`"mismatch"`, "bernoulli", "likelihood"}},
	{"step --in good.npz --out old.npz --cell laplacian --logits", exitUsage, []string{"--logits", "laplacian"}},
	{"step --in good.npz --out old.npz --cell gaussian --logits", exitUsage, []string{"--logits", "gaussian"}},
	{"step --in good.npz --out old.npz --cell bernoulli --logits=perhaps", exitUsage, []string{"perhaps"}},
	{"step --in good.npz --out old.npz --device abacus", exitUsage, []string{`"abacus"`, "cpu"}},
	{"step --in good.npz --out old.npz --device cpu:beads", exitUsage, []string{`"beads"`}},
	{"step --in good.npz --out old.npz --device cpu:threads=0", exitUsage, []string{`"threads=0"`}},
	{"step --in good.npz --out old.npz --device cpu:threads=1025", exitUsage, []string{`"threads=1025"`}},
	{"step --in good.npz --out old.npz --device :", exitUsage, []string{`":"`}},
	{"verify --device abacus", exitUsage, []string{`"abacus"`}},
}

func TestFailures(t *testing.T) {
	folder := badFiles(t)
	before := contents(t, folder)
	for _, f := range failures {
		t.Run(f.call, func(t *testing.T) {
			got := errorcell(t, folder, strings.Split(f.call, " ")...)
			checkFailure(t, got, f.status, f.wants...)
			if got.stdout != "" {
				t.Errorf("stdout is %q", got.stdout)
			}
		})
	}
	checkContents(t, folder, before)
}

// The same with outputs that were not there before.
func TestFailuresLeaveNothing(t *testing.T) {
	folder := badFiles(t)
	before := contents(t, folder)
	for _, f := range failures {
		args := strings.Split(f.call, " ")
		i := slices.Index(args, "--out")
		if i < 0 || strings.Contains(args[i+1], "/") || !strings.HasPrefix(args[i+1], "old") || strings.Contains(strings.Join(f.wants, ""), args[i+1]) {
			continue
		}
		args[i+1] = strings.Replace(args[i+1], "old", "new", 1)
		if testing.Short() && f.status == exitUsage {
			continue // which does not get as far as files
		}
		checkFailure(t, errorcell(t, folder, args...), f.status, f.wants...)
	}
	checkContents(t, folder, before)
}

func TestDeviceVariable(t *testing.T) {
	folder := badFiles(t)
	for value, wants := range map[string][]string{
		"abacus":    {backend.EnvDevice, `"abacus"`},
		"cpu:beads": {backend.EnvDevice, `"beads"`},
		"cpu beads": {backend.EnvDevice, `"cpu beads"`},
	} {
		for _, args := range [][]string{{"step", "--in", "good.npz", "--out", "new.npz"}, {"devices"}, {"devices", "--json"}, {"verify"}} {
			c := command(t, folder, args...)
			c.Env = append(c.Env, backend.EnvDevice+"="+value)
			checkFailure(t, finish(t, c), exitUsage, wants...)
		}
	}
	c := command(t, folder, "step", "--in", "good.npz", "--out", "new.npz", "--device", "cpu")
	c.Env = append(c.Env, backend.EnvDevice+"=abacus")
	checkSuccess(t, finish(t, c), c.Args) // what the call says counts
	c = command(t, folder, "step", "--in", "good.npz", "--out", "new.npz")
	c.Env = append(c.Env, backend.EnvDevice+"=cpu:threads=3")
	if got := finish(t, c); !strings.Contains(got.stdout, "threads=3") {
		t.Errorf("the variable's device was not taken: %q", got.stdout)
	}
}

// Names that do their worst to messages, which stay one line and printable.
func TestHostileNames(t *testing.T) {
	folder := t.TempDir()
	in := arrays{"target": counting(3, 2, 3), "mu": counting(2, 2, 3), "a\x1b[2J\nb": counting(1), "\xff\xfe": counting(1), strings.Repeat("ü", 5000): counting(1)}
	for i := range 2000 {
		in[fmt.Sprintf("extra%d", i)] = counting(1)
	}
	names := []string{"blank in it.npz", "ünïcödé.npz", "-leading.npz", "new\nline.npz", "escape\x1b[31m.npz", "quote'\".npz"}
	switch runtime.GOOS {
	case "windows":
		names = names[:3] // it allows no others
	case "linux":
		names = append(names, "no UTF-8 \xff.npz")
	}
	for _, name := range names {
		writeNPZ(t, filepath.Join(folder, name), in)
		got := errorcell(t, folder, "step", "--in", name, "--out", "out "+name)
		if got.status != 0 {
			t.Errorf("%q: status %d, stderr %q", name, got.status, got.stderr)
		}
		checkArrays(t, only(readNPZ(t, filepath.Join(folder, "out "+name)), "L"), arrays{"L": arrayOf(nil, -4)})
		line, _ := strings.CutSuffix(got.stderr, "\n")
		if line != oneLine(line) || !strings.HasPrefix(line, "errorcell: note: "+numpy.ShowPath(name)) || !strings.HasSuffix(line, "and 1993 more") || len(line) > 1000 {
			t.Errorf("the note on arrays that are no operands is %q", got.stderr)
		}
		if line, _ = strings.CutSuffix(got.stdout, "\n"); line != oneLine(line) || !strings.HasSuffix(line, numpy.ShowPath("out "+name)) {
			t.Errorf("the summary is %q", got.stdout)
		}
		checkSuccess(t, errorcell(t, folder, "step", "--quiet", "--in", name, "--out", "out "+name), []string{name})
		checkFailure(t, errorcell(t, folder, "step", "--in", name, "--out", name+"/x"), exitFailed)
		checkFailure(t, errorcell(t, folder, "step", "--in", "missing "+name, "--out", "x"), exitFailed)
		checkFailure(t, errorcell(t, folder, "step", "--target", name, "--mu", name, "--out", "x"), exitFailed)
		checkFailure(t, errorcell(t, folder, "step", "--in", name, "--out", "x", "--cell", name), exitUsage)
		checkFailure(t, errorcell(t, folder, "step", "--in", name, "--out", "x", "--device", name), exitUsage)
		checkFailure(t, errorcell(t, folder, "step", name+"x"), exitUsage)
	}
}
