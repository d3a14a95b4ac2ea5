// Output files: whole or not at all, and never at the cost of what was there.

package numpy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkFolder makes sure that folder holds the named files, and no other.
func checkFolder(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder holds %q, not %q", got, want)
	}
}

func checkContents(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, not %q, error %v", path, got, want, err)
	}
}

func createWith(t *testing.T, path, text string) *File {
	t.Helper()
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return f
}

func commit(t *testing.T, f *File) {
	t.Helper()
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestCommitNewFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, strings.Repeat("x", 200)+".npz")
	f := createWith(t, path, "new")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there before Commit: %v", err)
	}
	commit(t, f)
	f.Discard()
	checkContents(t, path, "new")
	checkFolder(t, folder, filepath.Base(path))

	checkError(t, f.Commit(), path+": file already closed")
	_, err := f.Write([]byte("more"))
	checkError(t, err, path+": file already closed")
	checkContents(t, path, "new")
}

func TestCommitReplaces(t *testing.T) {
	path := writeTemp(t, "x.npz", []byte("old"))
	f := createWith(t, path, "new")
	checkContents(t, path, "old")
	commit(t, f)
	checkContents(t, path, "new")
	checkFolder(t, filepath.Dir(path), "x.npz")
}

func TestDiscard(t *testing.T) {
	path := writeTemp(t, "x.npz", []byte("old"))
	for _, target := range []string{path, filepath.Join(filepath.Dir(path), "new.npz")} {
		f := createWith(t, target, "new")
		f.Discard()
		f.Discard()
		checkError(t, f.Commit(), target+": file already closed")
	}
	checkContents(t, path, "old")
	checkFolder(t, filepath.Dir(path), "x.npz")
}

func TestCreateErrors(t *testing.T) {
	folder := t.TempDir()
	_, err := Create(folder)
	checkError(t, err, folder+": it is a directory, and a file is to be written")

	missing := filepath.Join(folder, "missing", "x.npz")
	_, err = Create(missing)
	checkError(t, err, missing+": ")
	if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("a missing folder gives %q", err)
	}

	_, err = Create("")
	checkError(t, err, `"": `)
	_, err = Create("x\x00y")
	checkError(t, err, `"x\x00y": `)
	checkFolder(t, folder)
}

// If the rename fails, nothing is left behind.
func TestCommitFails(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "x.npz")
	f := createWith(t, path, "new")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o777); err != nil {
		t.Fatal(err)
	}
	err := f.Commit()
	checkError(t, err, path+": ")
	if strings.Contains(err.Error(), ".tmp") {
		t.Errorf("%q names the temporary file", err)
	}
	checkFolder(t, folder, "x.npz")
}

func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	commit(t, createWith(t, "x.npz", "new"))
	checkContents(t, "x.npz", "new")
	checkFolder(t, ".", "x.npz")
}
