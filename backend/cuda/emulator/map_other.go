//go:build !linux

package emulator

import "fmt"

func mapAt(base, size uint64) ([]byte, error) {
	return nil, fmt.Errorf("%w: managed memory is emulated on Linux alone", ErrInvalid)
}

func unmap(base uint64, data []byte) {}
