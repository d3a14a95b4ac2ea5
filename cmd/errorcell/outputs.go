package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"errorcell/internal/numpy"
)

// errEnded is for work that goes on after a signal has ended the run.
var errEnded = errors.New("the run was stopped")

// outputs are the files that a command is writing. They take their places
// together at the end, or not at all.
type outputs struct {
	mu        sync.Mutex
	files     []*numpy.File
	folder    string // that was made for the files; empty if it was there
	ended     bool   // by commit or discard: there is nothing more to write
	committed bool
}

// makeFolder makes the folder that files go to if it is not there; its parent
// must be.
func (o *outputs) makeFolder(path string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return errEnded
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s: it is a file; the results of .npy files go to a folder", numpy.ShowPath(path))
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return fmt.Errorf("%s: the folder cannot be made: %w", numpy.ShowPath(path), err)
	}
	o.folder = path
	return nil
}

// create starts a file. To open a pipe waits for its reader, and may not keep
// discard waiting with it.
func (o *outputs) create(path string) (*numpy.File, error) {
	f, err := numpy.Create(path)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		f.Discard()
		return nil, errEnded
	}
	o.files = append(o.files, f)
	return f, nil
}

// commit puts every file in its place, once all are complete.
func (o *outputs) commit() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return errEnded
	}
	for _, f := range o.files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	for _, f := range o.files {
		if err := f.Commit(); err != nil {
			return err
		}
	}
	o.ended, o.committed = true, true
	return nil
}

// discard drops the files, and the folder that was made for them, unless they
// are committed, which it reports.
func (o *outputs) discard() (committed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.committed {
		return true
	}
	o.ended = true
	for _, f := range o.files {
		f.Discard()
	}
	if o.folder != "" {
		os.Remove(o.folder) // fails where another run has put something there
	}
	return false
}
