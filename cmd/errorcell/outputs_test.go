// The order of things when a signal meets a run: whatever comes first counts.

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestDiscardFirst(t *testing.T) {
	folder := t.TempDir()
	old := filepath.Join(folder, "old.npy")
	write(t, old, []byte("old"))
	before := contents(t, folder)
	var o outputs
	if err := o.makeFolder(filepath.Join(folder, "new")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{old, filepath.Join(folder, "new", "new.npy")} {
		if _, err := o.create(path); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if o.discard() {
			t.Error("discard reports that the files are committed")
		}
	}
	checkContents(t, folder, before)
	_, err := o.create(old)
	for _, err := range []error{err, o.makeFolder(filepath.Join(folder, "late")), o.commit()} {
		if !errors.Is(err, errEnded) {
			t.Errorf("after discard the error is %v", err)
		}
	}
	checkContents(t, folder, before)
}

func TestCommitFirst(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	var o outputs
	if err := o.makeFolder(folder); err != nil {
		t.Fatal(err)
	}
	f, err := o.create(filepath.Join(folder, "new.npy"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := o.commit(); err != nil {
		t.Fatal(err)
	}
	if !o.discard() {
		t.Error("discard does not report that the files are committed")
	}
	if err := o.commit(); !errors.Is(err, errEnded) {
		t.Errorf("committing again, the error is %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(folder, "new.npy")); err != nil || string(data) != "new" {
		t.Errorf("the file holds %q, error %v", data, err)
	}
}

// A folder that was made stays if somebody else has put something there.
func TestDiscardKeepsOthers(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	var o outputs
	if err := o.makeFolder(folder); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "theirs"), nil)
	before := contents(t, folder)
	if _, err := o.create(filepath.Join(folder, "ours")); err != nil {
		t.Fatal(err)
	}
	o.discard()
	checkContents(t, folder, before)
}
