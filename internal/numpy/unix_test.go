//go:build unix

// What only Unix has: permission bits, symbolic links, devices and pipes.

package numpy

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func checkPermission(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != want {
		t.Errorf("%s has mode %v, not %v, error %v", path, info.Mode(), want, err)
	}
}

func TestPermissions(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	folder := t.TempDir()
	path := filepath.Join(folder, "x.npz")
	commit(t, createWith(t, path, "new"))
	checkPermission(t, path, 0o640)
	for _, mode := range []fs.FileMode{0o600, 0o666, 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		commit(t, createWith(t, path, "newer"))
		checkPermission(t, path, mode)
	}
	checkContents(t, path, "newer")
}

func TestWriteProtectedFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write any file: run the tests as another user for this one")
	}
	path := writeTemp(t, "x.npz", []byte("old"))
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	_, err := Create(path)
	checkError(t, err, path+": permission denied")
	checkFolder(t, filepath.Dir(path), "x.npz")
}

func TestSymbolicLink(t *testing.T) {
	target := writeTemp(t, "x.npz", []byte("old"))
	folder := t.TempDir()
	link := filepath.Join(folder, "link.npz")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	commit(t, createWith(t, link, "new"))
	checkContents(t, target, "new")
	if to, err := os.Readlink(link); err != nil || to != target {
		t.Errorf("the link now leads to %q, error %v", to, err)
	}
	checkFolder(t, folder, "link.npz")
	checkFolder(t, filepath.Dir(target), "x.npz")
}

func TestDevice(t *testing.T) {
	f := createWith(t, os.DevNull, "new")
	commit(t, f)
	createWith(t, os.DevNull, "new").Discard()
	info, err := os.Stat(os.DevNull)
	if err != nil || info.Mode().IsRegular() {
		t.Fatalf("%s is a %v now, error %v", os.DevNull, info.Mode(), err)
	}
	_, err = OpenArchive(os.DevNull)
	checkFormatError(t, err, "/dev/null: an archive can only be read from a regular file")
	_, err = OpenStream(os.DevNull)
	checkFormatError(t, err, "/dev/null: not a NumPy .npy array: it is empty")
	_, err = OpenStream("/dev/zero")
	checkFormatError(t, err, "/dev/zero: not a NumPy .npy array: it does not begin with")
}

// pipe makes a named pipe and has write write to it.
func pipe(t *testing.T, write func(path string) error) (path string, wait func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skipf("no named pipe: %v", err)
	}
	result := make(chan error, 1)
	go func() { result <- write(path) }()
	return path, func() {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
}

func TestPipe(t *testing.T) {
	write := func(path string) error {
		f, err := Create(path)
		if err != nil {
			return err
		}
		defer f.Discard()
		if err := WriteHeader(f, []int{2, 3}); err != nil {
			return err
		}
		for i := range 6 {
			if err := WriteData(f, []float32{float32(i)}); err != nil {
				return err
			}
		}
		return f.Commit()
	}
	path, wait := pipe(t, write)
	s, err := OpenStream(path)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 6)
	if err := s.Read(got); err != nil || !slices.Equal(got, counting(6)) {
		t.Errorf("read %v, error %v", got, err)
	}
	s.Close()
	wait()

	path, wait = pipe(t, write)
	x, err := ReadFile(path)
	if err != nil || !slices.Equal(x.Data, counting(6)) {
		t.Errorf("read %v, error %v", x, err)
	}
	wait()
}
