//go:build linux

// What is measured, or made, in Linux's own way: memory and terminals.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A stream takes memory for a few steps, however many there are.
func TestConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads and writes 400 MB: run without -short")
	}
	const limit = 80 << 10 // KiB
	folder := t.TempDir()
	sparse(t, filepath.Join(folder, "target.npy"), 96, 512, 512)
	sparse(t, filepath.Join(folder, "mu.npy"), 96, 512, 512)
	checkPeak(t, limit, folder, "step", "--target", "target.npy", "--mu", "mu.npy", "--out", "out")
}

// A small step takes little memory: nothing is made ready that it does not need.
func TestSmallMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it is about memory, of which the race detector takes its own: run without -short")
	}
	const limit = 40 << 10 // KiB
	folder := t.TempDir()
	writeNPZ(t, filepath.Join(folder, "in.npz"), arrays{"target": counting(5, 256, 512), "mu": counting(3, 256, 512)})
	checkPeak(t, limit, folder, "step", "--in", "in.npz", "--out", "out.npz")
}

// checkPeak runs errorcell, and holds its peak of memory against a limit in KiB.
func checkPeak(t *testing.T, limit int, folder string, args ...string) {
	t.Helper()
	c := command(t, folder, args...)
	file := filepath.Join(t.TempDir(), "peak")
	c.Env = append(c.Env, envPeak+"="+file)
	got := finish(t, c)
	checkSuccess(t, got, c.Args)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var peak int
	if _, err := fmt.Sscanf(string(data), "VmHWM: %d kB", &peak); err != nil {
		t.Skipf("/proc/self/status has no VmHWM but %q: %v", data, err)
	}
	if peak > limit {
		t.Errorf("errorcell took %d KiB at its peak, more than %d", peak, limit)
	}
	t.Logf("peak %d KiB: %s", peak, got.stdout)
}

// terminal makes a pseudo-terminal.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { ours.Close() })
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	return ours, theirs
}

// Progress is for people: on a terminal, and not with --quiet.
func TestProgress(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		folder, in := streamFolder(t)
		data := bytesOf(t, in["target"])
		feed(t, filepath.Join(folder, "pipe"), 250*time.Millisecond, false, data[:len(data)/2], data[len(data)/2:])
		ours, theirs := terminal(t)
		shown := make(chan string)
		go func() {
			var all strings.Builder
			buf := make([]byte, 1<<10)
			for {
				n, err := ours.Read(buf) // fails once the other side is closed
				all.Write(buf[:n])
				if err != nil {
					shown <- all.String()
					return
				}
			}
		}()
		c := command(t, folder, append(fromPipe, "--out", "out", fmt.Sprintf("--quiet=%v", quiet))...)
		c.Stderr = theirs
		got := finish(t, c)
		theirs.Close()
		bar := <-shown
		if got.status != 0 {
			t.Errorf("status %d, stderr %q", got.status, bar)
		}
		switch {
		case quiet && bar != "":
			t.Errorf("--quiet shows %q", bar)
		case !quiet && (!strings.Contains(bar, "read") || !strings.Contains(bar, "%") || !strings.Contains(bar, "kB")):
			t.Errorf("there is no progress on a terminal: %q", bar)
		}
	}
	// Every other test makes sure that there is nothing of it in a pipe.
}
