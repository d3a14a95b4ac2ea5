// Output files that appear whole or not at all.
//
// This is written on the standard library alone: the usual package for it,
// google/renameio, does not build on Windows, and os.CreateTemp makes files that
// only their owner may read, which is not what a program's output should be.

package numpy

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// A File is an output that takes its place only with Commit. Until then it is
// written to a temporary file in the same folder, and what was there stays.
type File struct {
	path   string // as given, for errors
	target string // the file to replace; empty if it is written directly
	file   *os.File
	synced bool // complete and closed
	done   bool
}

// Create starts the output to path, which must not be a directory.
//
// A file that is there is replaced on Commit, with its permission bits kept; if
// it may not be written, Create fails. A symbolic link to a file stays, and the file
// it points to is replaced. A device or a pipe cannot be replaced and is written directly.
func Create(path string) (*File, error) {
	f, err := create(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	return f, nil
}

func create(path string) (*File, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && path != "":
		return createNew(path)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a directory, and a file is to be written")
	case !info.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &File{path: path, file: f}, err
	}
	return createReplacement(path, info.Mode().Perm())
}

// createNew starts the output to a file that is not there yet, or to which a
// symbolic link points.
func createNew(path string) (*File, error) {
	link, err := os.Readlink(path)
	if err != nil {
		return createTemporary(path, path) // the usual case: no link
	}
	if !filepath.IsAbs(link) {
		link = filepath.Join(filepath.Dir(path), link)
	}
	return createTemporary(path, link)
}

// createReplacement starts the output to a file that is there.
func createReplacement(path string, permission fs.FileMode) (*File, error) {
	// Renaming asks only for the folder's permission; the file's counts too.
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	old.Close()
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	f, err := createTemporary(path, target)
	if err != nil {
		return nil, err
	}
	if err := f.file.Chmod(permission); err != nil {
		f.Discard()
		return nil, err
	}
	return f, nil
}

// createTemporary makes a new file beside target, with the permissions of any new
// file. Its name does not build on target's, which may be as long as names can be.
func createTemporary(path, target string) (*File, error) {
	const attempts = 100
	for i := 1; ; i++ {
		name := filepath.Join(filepath.Dir(target), fmt.Sprintf(".errorcell-%016x.tmp", rand.Uint64()))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			return &File{path: path, target: target, file: f}, nil
		}
		if !errors.Is(err, fs.ErrExist) || i == attempts {
			return nil, err
		}
	}
}

// Write writes to the file that will take the place.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	if err != nil {
		return n, pathError(f.path, err)
	}
	return n, nil
}

// Sync completes the output: nothing more can be written, and all that was is
// on the disk. What is left to Commit is the renaming. If it fails, the new data
// is discarded.
//
// Several outputs that belong together are synced first, all of them, and then
// committed, so that a full disk is known before the first one takes its
// place.
func (f *File) Sync() error {
	if f.done {
		return pathError(f.path, fs.ErrClosed)
	}
	if f.synced {
		return nil
	}
	if err := f.sync(); err != nil {
		f.Discard()
		return pathError(f.path, err)
	}
	f.synced = true
	return nil
}

func (f *File) sync() error {
	if f.target != "" {
		if err := f.file.Sync(); err != nil {
			return err
		}
	}
	// Windows renames closed files only.
	return f.file.Close()
}

// Commit makes sure that the data is on the disk and puts the file in its place.
// If it fails, what was there stays and the new data is discarded.
func (f *File) Commit() error {
	if err := f.Sync(); err != nil {
		return err
	}
	if f.target != "" {
		if err := os.Rename(f.file.Name(), f.target); err != nil {
			f.Discard()
			return pathError(f.path, err)
		}
	}
	f.done = true
	return nil
}

// Discard drops what was written. After Commit it does nothing, so it can be
// deferred.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	f.file.Close()
	if f.target != "" {
		os.Remove(f.file.Name())
	}
}
