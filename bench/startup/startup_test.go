// A process, its time and its memory.

//go:build unix

package startup

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"errorcell/internal/numpy"
)

// BenchmarkStartup is a step over 256 x 512 numbers, beside the same program
// with nothing to do: what is between them is the step, the rest is the system's
// and Go's. MB-peak is the most memory (10^6 bytes) that any of the processes
// had at once.
//
// The package is one of its own because Linux counts to a process's peak what
// its parent had when it started it, here a few MB.
func BenchmarkStartup(b *testing.B) {
	folder := b.TempDir()
	program := filepath.Join(folder, "errorcell")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "errorcell/cmd/errorcell")
	if text, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", build, err, text)
	}
	if err := writeBatch(filepath.Join(folder, "in.npz")); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		impl string
		args []string
	}{
		{"limit", []string{"--version"}},
		{"errorcell", []string{"step", "--in", "in.npz", "--out", "out.npz"}},
	} {
		b.Run("impl="+c.impl, func(b *testing.B) {
			var peak int64
			for b.Loop() {
				cmd := exec.Command(program, c.args...)
				cmd.Dir = folder
				cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", runtime.GOMAXPROCS(0)))
				if text, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %v\n%s", cmd, err, text)
				}
				if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
					peak = max(peak, maxRSS(usage))
				}
			}
			b.ReportMetric(float64(peak)/1e6, "MB-peak")
		})
	}
}

// maxRSS is the peak of memory in bytes.
func maxRSS(usage *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss)
	}
	return 1024 * int64(usage.Maxrss)
}

// writeBatch writes operands to a new archive.
func writeBatch(path string) error {
	const rows, cols = 256, 512
	file, err := numpy.Create(path)
	if err != nil {
		return err
	}
	defer file.Discard()
	rng := rand.New(rand.NewPCG(1, 1))
	archive := numpy.NewArchiveWriter(file)
	for _, name := range []string{"target", "mu"} {
		data := make([]float32, rows*cols)
		for i := range data {
			data[i] = rng.Float32()
		}
		if err := archive.Write(name, []int{rows, cols}, data); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return file.Commit()
}
