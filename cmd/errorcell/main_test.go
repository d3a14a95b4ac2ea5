// What all tests share: errorcell as a process, and arrays in files.
//
// The test binary runs itself as errorcell, so that the tests see what a user
// sees: exit statuses, both outputs, files, signals.

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"errorcell/backend"
	"errorcell/internal/numpy"
	"errorcell/kernels"
)

const (
	envMain = "ERRORCELL_TEST_MAIN" // set: be errorcell, not its tests
	envPeak = "ERRORCELL_TEST_PEAK" // a file to write the peak of memory to
	envFew  = "ERRORCELL_TEST_FEW"  // set: verify has but one kernel
)

func TestMain(m *testing.M) {
	registerFar()
	if os.Getenv(envMain) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(envFew) != "" {
		catalogue = []*kernels.Kernel{kernels.Laplacian}
	}
	status := run(os.Args[1:], os.Stdout, os.Stderr)
	if path := os.Getenv(envPeak); path != "" {
		must(os.WriteFile(path, peakMemory(), 0o666))
	}
	os.Exit(status)
}

// peakMemory is the process's line of VmHWM on Linux, nothing elsewhere. The
// peak in an exec.Cmd's ProcessState is no use: it counts the parent's memory,
// from before the child became another program.
func peakMemory() []byte {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range bytes.Lines(status) {
		if bytes.HasPrefix(line, []byte("VmHWM:")) {
			return line
		}
	}
	return nil
}

// deadline is when a process counts as hanging.
const deadline = 60 * time.Second

// command is errorcell, ready to be started in a folder.
func command(t *testing.T, folder string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, self, args...)
	c.Dir = folder
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, backend.EnvDevice+"=") })
	// Under the race detector, a process would take a second to exit.
	c.Env = append(c.Env, envMain+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	c.WaitDelay = time.Second
	return c
}

// verifyFew makes a command's verify quick, where its numbers are not what is
// tested: that all kernels take part, TestExamples sees.
func verifyFew(c *exec.Cmd) *exec.Cmd {
	c.Env = append(c.Env, envFew+"=1")
	return c
}

// outcome is what became of a process.
type outcome struct {
	status         int
	stdout, stderr string
}

// finish runs a command to its end.
func finish(t *testing.T, c *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = &stdout
	}
	if c.Stderr == nil {
		c.Stderr = &stderr
	}
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", c.Args, err)
	}
	return outcome{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// errorcell runs errorcell in a folder.
func errorcell(t *testing.T, folder string, args ...string) outcome {
	t.Helper()
	return finish(t, command(t, folder, args...))
}

// succeed runs errorcell in a folder, which must work without a word on stderr.
func succeed(t *testing.T, folder string, args ...string) string {
	t.Helper()
	got := errorcell(t, folder, args...)
	checkSuccess(t, got, args)
	return got.stdout
}

func checkSuccess(t *testing.T, got outcome, args []string) {
	t.Helper()
	if got.status != 0 || got.stderr != "" {
		t.Fatalf("errorcell %q: status %d, stderr %q", args, got.status, got.stderr)
	}
}

// checkFailure makes sure of the exit status and of one line on stderr that
// says what is wanted.
func checkFailure(t *testing.T, got outcome, status int, wants ...string) {
	t.Helper()
	if got.status != status {
		t.Errorf("the status is %d, not %d", got.status, status)
	}
	line, ended := strings.CutSuffix(got.stderr, "\n")
	if !ended || !strings.HasPrefix(line, "errorcell: ") || strings.HasPrefix(line, "errorcell: note:") || line != oneLine(line) {
		t.Errorf("stderr is not one line that begins with \"errorcell: \": %q", got.stderr)
	}
	for _, want := range wants {
		if !strings.Contains(line, want) {
			t.Errorf("stderr does not say %q: %s", want, line)
		}
	}
}

// contents lists what a folder holds, at any depth, with what is in the files.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		all[path] = d.Type().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			all[path] += fmt.Sprintf(" %d bytes, sha256 %x", len(data), sha256.Sum256(data))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkContents makes sure that a folder holds just what it held before.
func checkContents(t *testing.T, folder string, before map[string]string) {
	t.Helper()
	after := contents(t, folder)
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if before[path] != after[path] {
			t.Errorf("%s is now %q; it was %q", path, after[path], before[path])
		}
	}
	for path := range before {
		if after[path] == "" {
			t.Errorf("%s is gone", path)
		}
	}
}

// array is a float32 array; operands and results go by name.
type (
	array  = kernels.Array[float32]
	arrays = map[string]*array
)

// arrayOf repeats the values until the shape is full.
func arrayOf(shape kernels.Shape, values ...float32) *array {
	x := &array{Shape: shape, Data: make([]float32, shape.Len())}
	for i := range x.Data {
		x.Data[i] = values[i%len(values)]
	}
	return x
}

// counting has the values 0, 1, 2 to below period, again and again.
func counting(period int, shape ...int) *array {
	x := arrayOf(shape, 0)
	for i := range x.Data {
		x.Data[i] = float32(i % period)
	}
	return x
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// writeNPZ writes an archive.
func writeNPZ(t *testing.T, path string, of arrays) {
	t.Helper()
	var data bytes.Buffer
	w := numpy.NewArchiveWriter(&data)
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if err := w.Write(name, of[name].Shape, of[name].Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, data.Bytes())
}

// bytesOf is the .npy file of an array.
func bytesOf(t *testing.T, x *array) []byte {
	t.Helper()
	var data bytes.Buffer
	if err := errors.Join(numpy.WriteHeader(&data, x.Shape), numpy.WriteData(&data, x.Data)); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// writeNPY writes each array to its own file in a folder.
func writeNPY(t *testing.T, folder string, of arrays) {
	t.Helper()
	for name, x := range of {
		write(t, filepath.Join(folder, name+".npy"), bytesOf(t, x))
	}
}

// readNPZ reads an archive.
func readNPZ(t *testing.T, path string) arrays {
	t.Helper()
	a, err := numpy.OpenArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	all := arrays{}
	for _, name := range a.Names() {
		x, err := a.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = &array{Shape: x.Shape, Data: x.Data}
	}
	return all
}

// readNPY reads a folder of .npy files.
func readNPY(t *testing.T, folder string) arrays {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := arrays{}
	for _, e := range entries {
		x, err := numpy.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(e.Name(), ".npy")] = &array{Shape: x.Shape, Data: x.Data}
	}
	return all
}

// checkArrays compares results by name, shape and bits.
func checkArrays(t *testing.T, got, want arrays) {
	t.Helper()
	names := func(of arrays) []string { return slices.Sorted(maps.Keys(of)) }
	if !slices.Equal(names(got), names(want)) {
		t.Fatalf("the results are %q, not %q", names(got), names(want))
	}
	for _, name := range names(want) {
		if !slices.Equal(got[name].Shape, want[name].Shape) {
			t.Errorf("%s has shape %v, not %v", name, got[name].Shape, want[name].Shape)
			continue
		}
		if i := firstDifference(got[name].Data, want[name].Data); i >= 0 {
			t.Errorf("%s[%d] is %v (%#08x), not %v (%#08x)", name, i, got[name].Data[i], math.Float32bits(got[name].Data[i]),
				want[name].Data[i], math.Float32bits(want[name].Data[i]))
		}
	}
}

// firstDifference is where two slices differ in a bit, one NaN being as good as
// another, or -1.
func firstDifference(a, b []float32) int {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			return i
		}
	}
	return -1
}
