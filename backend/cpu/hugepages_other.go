//go:build !linux

// Huge pages, where there is no way to ask for them.

package cpu

func hugePage() int { return 0 }

func askHuge([]byte)   {}
func unaskHuge([]byte) {}
