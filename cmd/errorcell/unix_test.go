//go:build unix

// What only Unix has: signals, pipes with names, devices, permissions, limits.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"errorcell/kernels"
)

// mkfifo makes a pipe with a name.
func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skipf("%s: no pipe can be made there: %v", path, err)
	}
}

// feed writes parts to a pipe, from a reader's arrival on, with a pause behind
// each, and keeps it open until the test's end where it is to hang.
func feed(t *testing.T, path string, pause time.Duration, hang bool, parts ...[]byte) {
	t.Helper()
	ended := t.Context()
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			if ended.Err() == nil { // else nobody has read, nor will
				t.Error(err)
			}
			return
		}
		defer f.Close()
		for _, part := range parts {
			if _, err := f.Write(part); err != nil {
				return // the reader has gone; the test knows whether it may
			}
			time.Sleep(pause)
		}
		if hang {
			<-ended.Done()
		}
	}()
}

// streamFolder is a folder with operands of three steps, of which the target
// comes from a pipe, and with old results.
func streamFolder(t *testing.T) (folder string, in arrays) {
	t.Helper()
	folder = t.TempDir()
	in = arrays{"target": counting(7, 3, 100, 200), "mu": counting(5, 3, 100, 200), "modulator": counting(3, 200)}
	writeNPY(t, folder, in)
	mkfifo(t, filepath.Join(folder, "pipe"))
	if err := os.Mkdir(filepath.Join(folder, "old"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dmu.npy", "dtarget.npy", "L.npy"} {
		write(t, filepath.Join(folder, "old", name), []byte("from an earlier run"))
	}
	return folder, in
}

var fromPipe = []string{"step", "--target", "pipe", "--mu", "mu.npy", "--modulator", "modulator.npy"}

// waitFor waits until a run has begun to write into a folder.
func waitFor(t *testing.T, folder string) {
	t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if paths, _ := filepath.Glob(filepath.Join(folder, ".errorcell-*")); len(paths) > 0 {
			return
		}
	}
	t.Fatalf("nothing is written in %s", folder)
}

// checkStopped sends a signal to a command once it is ready, and makes sure that it
// ends soon, as it should, with everything as it was. It returns how long that
// took.
func checkStopped(t *testing.T, c *exec.Cmd, sig syscall.Signal, ready func()) time.Duration {
	t.Helper()
	before := contents(t, c.Dir)
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ready()
	start := time.Now()
	if err := c.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	took := time.Since(start)
	if took > grace+10*time.Second { // a busy machine takes long to end anything
		t.Errorf("it took %v to stop", took)
	}
	checkFailure(t, outcome{c.ProcessState.ExitCode(), "", stderr.String()}, exitSignal+int(sig), "stopped by "+sig.String(), "no output was written")
	checkContents(t, c.Dir, before)
	return took
}

func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		for _, out := range []string{"old", "new"} {
			t.Run(fmt.Sprintf("%v while a pipe is slow, into %s", sig, out), func(t *testing.T) {
				if sig == syscall.SIGHUP && signal.Ignored(sig) {
					t.Skip("hangups are ignored here: run the tests without nohup for this one")
				}
				t.Parallel()
				folder, in := streamFolder(t)
				feed(t, filepath.Join(folder, "pipe"), 0, true, bytesOf(t, in["target"])[:100_000])
				checkStopped(t, command(t, folder, append(fromPipe, "--out", out)...), sig, func() { waitFor(t, filepath.Join(folder, out)) })
			})
		}
	}
	t.Run("while a pipe has no writer", func(t *testing.T) {
		t.Parallel()
		folder, _ := streamFolder(t)
		checkStopped(t, command(t, folder, append(fromPipe, "--out", "new")...), syscall.SIGTERM, settle)
	})
	t.Run("while a held operand is slow", func(t *testing.T) {
		t.Parallel()
		folder, in := streamFolder(t)
		feed(t, filepath.Join(folder, "pipe"), 0, true, bytesOf(t, in["modulator"])[:200])
		c := command(t, folder, "step", "--target", "target.npy", "--mu", "mu.npy", "--modulator", "pipe", "--out", "new")
		checkStopped(t, c, syscall.SIGTERM, func() { waitFor(t, filepath.Join(folder, "new")) })
	})
	t.Run("while the output's pipe has no reader", func(t *testing.T) {
		t.Parallel()
		folder, in := streamFolder(t)
		writeNPZ(t, filepath.Join(folder, "in.npz"), in)
		checkStopped(t, command(t, folder, "step", "--in", "in.npz", "--out", "pipe"), syscall.SIGTERM, settle)
	})
	t.Run("while a long stream is computed", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		sparse(t, filepath.Join(folder, "long.npy"), 1<<40, 1, 1)
		c := command(t, folder, "step", "--target", "long.npy", "--mu", "long.npy", "--out", "new")
		before := c.Dir
		c.Dir = t.TempDir() // whose contents can be listed
		for i, arg := range c.Args {
			if arg == "long.npy" {
				c.Args[i] = filepath.Join(before, arg)
			}
		}
		checkStopped(t, c, syscall.SIGINT, func() { waitFor(t, filepath.Join(c.Dir, "new")); settle() })
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		folder, in := streamFolder(t)
		writeNPZ(t, filepath.Join(folder, "in.npz"), in)
		c := command(t, folder, "step", "--in", "in.npz", "--out", "pipe")
		took := checkStopped(t, c, syscall.SIGTERM, func() {
			settle()
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		})
		if took >= grace {
			t.Errorf("the second signal did not end the wait: it took %v", took)
		}
	})
}

// settle gives a process the time to get to where it waits, which cannot be
// seen from outside. A test that comes too early tests less, and still passes.
func settle() { time.Sleep(300 * time.Millisecond) }

// sparse makes a .npy file of zeros that takes no room.
func sparse(t *testing.T, path string, shape ...int) {
	t.Helper()
	head := promise("<f4", kernels.Shape(shape).String(), nil)
	write(t, path, head)
	if err := os.Truncate(path, int64(len(head))+4*int64(kernels.Shape(shape).Len())); err != nil {
		t.Skipf("%s: no such large file can be made there: %v", path, err)
	}
}

// A slow pipe only makes the run slower; pipes may be opened in any order.
func TestPipes(t *testing.T) {
	folder, in := streamFolder(t)
	mkfifo(t, filepath.Join(folder, "pipe1"))
	mkfifo(t, filepath.Join(folder, "pipe2"))
	succeed(t, folder, "step", "--target", "target.npy", "--mu", "mu.npy", "--modulator", "modulator.npy", "--out", "want")
	want := readNPY(t, filepath.Join(folder, "want"))

	data := bytesOf(t, in["target"])
	feed(t, filepath.Join(folder, "pipe"), 20*time.Millisecond, false, slices.Collect(slices.Chunk(data, len(data)/9+1))...)
	succeed(t, folder, append(fromPipe, "--out", "new")...)
	checkArrays(t, readNPY(t, filepath.Join(folder, "new")), want)

	go func() {
		mu, err1 := os.OpenFile(filepath.Join(folder, "pipe2"), os.O_WRONLY, 0)
		target, err2 := os.OpenFile(filepath.Join(folder, "pipe1"), os.O_WRONLY, 0)
		if err1 != nil || err2 != nil {
			t.Error(err1, err2)
			return
		}
		defer mu.Close()
		defer target.Close()
		mu.Write(bytesOf(t, arrayOf([]int{200}, 1)))
		target.Write(data)
	}()
	succeed(t, folder, "step", "--target", "pipe1", "--mu", "pipe2", "--out", "new")

	// To a pipe and to stdout.
	writeNPZ(t, filepath.Join(folder, "in.npz"), arrays{"target": at(in["target"], 0), "mu": at(in["mu"], 0), "modulator": in["modulator"]})
	first := arrays{"dmu": at(want["dmu"], 0), "dtarget": at(want["dtarget"], 0), "L": at(want["L"], 0)}
	if got := errorcell(t, folder, "step", "--in", "in.npz", "--out", "/dev/stdout"); runtime.GOOS == "linux" {
		write(t, filepath.Join(folder, "stdout.npz"), []byte(got.stdout))
		checkArrays(t, readNPZ(t, filepath.Join(folder, "stdout.npz")), first)
		if !strings.HasPrefix(got.stderr, "laplacian: 1 step") {
			t.Errorf("the summary on stderr is %q", got.stderr)
		}
	}
	mkfifo(t, filepath.Join(folder, "out"))
	read := make(chan []byte)
	go func() {
		data, err := os.ReadFile(filepath.Join(folder, "out"))
		if err != nil {
			t.Error(err)
		}
		read <- data
	}()
	succeed(t, folder, "step", "--in", "in.npz", "--out", "out")
	write(t, filepath.Join(folder, "out.npz"), <-read)
	checkArrays(t, readNPZ(t, filepath.Join(folder, "out.npz")), first)

	// From stdin, which is a pipe here.
	c := command(t, folder, "step", "--target", "/dev/stdin", "--mu", "mu.npy", "--modulator", "modulator.npy", "--out", "new")
	c.Stdin = strings.NewReader(string(data))
	checkSuccess(t, finish(t, c), c.Args)
	checkArrays(t, readNPY(t, filepath.Join(folder, "new")), want)
	c = command(t, folder, "step", "--in", "/dev/stdin", "--out", "new.npz")
	c.Stdin = strings.NewReader("PK")
	checkFailure(t, finish(t, c), exitFailed, "/dev/stdin: ", "regular file")
}

// A pipe that ends too early, or whose writer hangs while another file fails.
func TestBadPipes(t *testing.T) {
	for _, size := range []int{0, 5, 100, 128, 80_128, 100_000, 240_127} {
		t.Run(fmt.Sprintf("ends after %d bytes", size), func(t *testing.T) {
			t.Parallel()
			folder, in := streamFolder(t)
			before := contents(t, folder)
			feed(t, filepath.Join(folder, "pipe"), 0, false, bytesOf(t, in["target"])[:size])
			checkFailure(t, errorcell(t, folder, append(fromPipe, "--out", "old")...), exitFailed, "pipe: ")
			checkContents(t, folder, before)
			feed(t, filepath.Join(folder, "pipe"), 0, false, bytesOf(t, in["target"])[:size])
			checkFailure(t, errorcell(t, folder, append(fromPipe, "--out", "new")...), exitFailed, "pipe: ")
			checkContents(t, folder, before)
		})
	}
	for name, args := range map[string][]string{
		"another file is missing": {"step", "--target", "pipe", "--mu", "missing.npy", "--out", "old"},
		"another pipe has failed": {"step", "--target", "pipe", "--mu", "pipe2", "--out", "old"},
		"the folder is missing":   append(fromPipe[:len(fromPipe):len(fromPipe)], "--out", "missing/new"),
	} {
		t.Run("hangs while "+name, func(t *testing.T) {
			t.Parallel()
			folder, in := streamFolder(t)
			mkfifo(t, filepath.Join(folder, "pipe2"))
			before := contents(t, folder)
			feed(t, filepath.Join(folder, "pipe"), 0, true, bytesOf(t, in["target"])[:100_000])
			if strings.Contains(name, "pipe") {
				feed(t, filepath.Join(folder, "pipe2"), 0, false, []byte("not an array"))
			}
			checkFailure(t, errorcell(t, folder, args...), exitFailed)
			checkContents(t, folder, before)
		})
	}
}

// Devices that are full, permissions, and limits of the process.
func TestFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full, which Linux has")
	}
	folder, in := streamFolder(t)
	file := func(name string) string { return filepath.Join(folder, name) }
	writeNPZ(t, file("in.npz"), in)
	if err := os.Mkdir(file("full"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", file("full/dmu.npy")); err != nil {
		t.Fatal(err)
	}
	before := contents(t, folder)
	checkFailure(t, errorcell(t, folder, "step", "--in", "in.npz", "--out", "/dev/full"), exitFailed, "/dev/full: no space left on device")
	checkFailure(t, errorcell(t, folder, "step", "--target", "target.npy", "--mu", "mu.npy", "--out", "full"), exitFailed, "full/dmu.npy: no space left on device")
	checkContents(t, folder, before)
	// The reader would wait for ever.
	long := promise("<f4", "(1000, 100, 200)", nil)
	feed(t, file("pipe"), 0, true, append(long, bytesOf(t, in["target"])[128:]...))
	checkFailure(t, errorcell(t, folder, "step", "--target", "pipe", "--mu", "modulator.npy", "--out", "full"), exitFailed, "full/dmu.npy: no space left on device")
	checkContents(t, folder, before)

	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	calls := [][]string{{"devices"}, {"devices", "--json"}, {"step", "--in", "in.npz", "--out", "new.npz"}, {"step", "--json", "--in", "in.npz", "--out", "new.npz"}, {"verify"}}
	for _, args := range calls {
		c := verifyFew(command(t, folder, args...))
		c.Stdout = full
		checkFailure(t, finish(t, c), exitFailed, "no space left on device")
	}
}

// limited is a command under a shell's ulimit.
func limited(t *testing.T, limit, folder string, args ...string) *exec.Cmd {
	t.Helper()
	c := command(t, folder)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh, which sets limits")
	}
	if out, err := exec.Command(shell, "-c", "ulimit "+limit).CombinedOutput(); err != nil {
		t.Skipf("ulimit %s: %v, %s", limit, err, out)
	}
	c.Args = append([]string{shell, "-c", "ulimit " + limit + ` && exec "$0" "$@"`, c.Path}, args...)
	c.Path = shell
	return c
}

func TestLimits(t *testing.T) {
	folder, in := streamFolder(t)
	writeNPZ(t, filepath.Join(folder, "in.npz"), in)
	before := contents(t, folder)
	archive := []string{"step", "--in", "in.npz", "--out", "new.npz"}
	stream := []string{"step", "--target", "target.npy", "--mu", "mu.npy", "--out", "new"}
	for _, args := range [][]string{archive, stream} {
		checkFailure(t, finish(t, limited(t, "-f 100", folder, args...)), exitFailed, "file too large")
		checkContents(t, folder, before)
	}
	// Downwards, as the runtime itself crashes where there are but a few files.
	for files := 24; ; files-- {
		got := finish(t, limited(t, fmt.Sprint("-n ", files), folder, stream...))
		if got.status != 0 || files == 0 {
			checkFailure(t, got, exitFailed, "too many open files")
			break
		}
		before = contents(t, folder)
	}
	checkContents(t, folder, before)
	c := command(t, folder, stream...)
	c.Env = append(c.Env, "GOMAXPROCS=1")
	checkSuccess(t, finish(t, c), stream)
	succeed(t, folder, append(archive, "--device", "cpu:threads=1024")...)
}

func TestPermissions(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may do everything: run the tests as another user for this one")
	}
	folder := badFiles(t)
	file := func(name string) string { return filepath.Join(folder, name) }
	for name, mode := range map[string]os.FileMode{"good.npz": 0, "old.npz": 0o444, "target.npy": 0, "locked": 0o555} {
		if name == "locked" {
			if err := os.Mkdir(file(name), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(file(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for call, want := range map[string]string{
		"step --in good.npz --out new.npz":                     "good.npz: permission denied",
		"step --in shapes.npz --out locked/new.npz":            "shapes.npz: ",
		"step --target target.npy --mu mu.npy --out new":       "target.npy: permission denied",
		"step --target mu.npy --mu mu.npy --out locked":        "permission denied",
		"step --target mu.npy --mu mu.npy --out locked/new":    "locked/new: the folder cannot be made: permission denied",
		"step --in refused_string.npz --out old.npz":           `array "mu"`,
		"step --target mu.npy --mu mu.npy --out locked --json": "locked/dmu.npy: permission denied",
	} {
		checkFailure(t, errorcell(t, folder, strings.Split(call, " ")...), exitFailed, want)
	}
	entries, err := os.ReadDir(file("locked"))
	if err != nil || len(entries) > 0 {
		t.Errorf("the locked folder holds %v, error %v", entries, err)
	}
}

// Symbolic links are followed, and stay.
func TestLinks(t *testing.T) {
	folder, in := streamFolder(t)
	file := func(name string) string { return filepath.Join(folder, name) }
	writeNPZ(t, file("in.npz"), in)
	writeNPZ(t, file("out.npz"), in)
	for link, target := range map[string]string{"in_link.npz": "in.npz", "out_link.npz": "out.npz", "folder": "old", "loop": "loop"} {
		if err := os.Symlink(target, file(link)); err != nil {
			t.Fatal(err)
		}
	}
	succeed(t, folder, "step", "--in", "in_link.npz", "--out", "out_link.npz")
	want := readNPZ(t, file("out.npz"))
	if _, ok := want["dmu"]; !ok {
		t.Errorf("the link's target holds %v", want)
	}
	succeed(t, folder, "step", "--target", "target.npy", "--mu", "mu.npy", "--modulator", "modulator.npy", "--out", "folder")
	checkArrays(t, readNPY(t, file("old")), want)
	for _, link := range []string{"in_link.npz", "out_link.npz", "folder"} {
		if info, err := os.Lstat(file(link)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v, %v", link, info, err)
		}
	}
	before := contents(t, folder)
	checkFailure(t, errorcell(t, folder, "step", "--in", "loop", "--out", "out.npz"), exitFailed, "loop: ")
	checkFailure(t, errorcell(t, folder, "step", "--in", "in.npz", "--out", "loop"), exitFailed, "loop: ")
	checkFailure(t, errorcell(t, folder, "step", "--target", "target.npy", "--mu", "mu.npy", "--out", "loop"), exitFailed, "loop: ")
	checkContents(t, folder, before)
}
