//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// stopSignals are those that end a run, which then leaves nothing behind.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

func init() {
	// The terminal's end stops a run too, unless it was started by nohup.
	if !signal.Ignored(syscall.SIGHUP) {
		stopSignals = append(stopSignals, syscall.SIGHUP)
	}
	// A file that grows beyond the user's limit (ulimit -f) is then an error of
	// its writing like any other, and no reason to crash.
	signal.Ignore(syscall.SIGXFSZ)
}
