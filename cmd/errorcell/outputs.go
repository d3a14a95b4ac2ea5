package main

import (
	"errors"
	"sync"

	"errorcell/internal/numpy"
)

// errEnded is for work that goes on after a signal has ended the run.
var errEnded = errors.New("the run was stopped")

// outputs are the files that a command is writing. They take their places
// together at the end, or not at all.
type outputs struct {
	mu    sync.Mutex
	files []*numpy.File
	ended bool
}

// create starts a file.
func (o *outputs) create(path string) (*numpy.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return nil, errEnded
	}
	f, err := numpy.Create(path)
	if err == nil {
		o.files = append(o.files, f)
	}
	return f, err
}

// commit puts every file in its place.
func (o *outputs) commit() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return errEnded
	}
	o.ended = true
	for _, f := range o.files {
		if err := f.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// discard drops what is not committed.
func (o *outputs) discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	for _, f := range o.files {
		f.Discard()
	}
}

func (a *app) discard() { a.outputs.discard() }
