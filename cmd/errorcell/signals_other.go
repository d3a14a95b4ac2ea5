//go:build !unix

package main

import (
	"os"
	"syscall"
)

// stopSignals are those that end a run, which then leaves nothing behind.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}
