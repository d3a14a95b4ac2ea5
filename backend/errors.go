package backend

import (
	"errors"
	"fmt"

	"errorcell/kernels"
)

// What errors of this package and of every backend are, for errors.Is. Their
// text names the device, the operand and what would be right.
var (
	ErrUnknownDevice = errors.New("unknown device")
	ErrUnknownOption = errors.New("unknown device option")
	ErrUnavailable   = errors.New("device not available") // known, but not to be had on this machine
	ErrClosed        = errors.New("closed")
	ErrForeign       = errors.New("buffer of another device")
	ErrDType         = errors.New("wrong element type")
	ErrAliased       = errors.New("shared memory")
	ErrMemory        = errors.New("out of memory")
	ErrLost          = errors.New("device lost") // a fault in a kernel: open it anew
	ErrShape         = kernels.ErrShape
	ErrOperands      = kernels.ErrOperands
)

// Error is a failure of a device: Device says which, Err says why.
type Error struct {
	Device string // the spec or name of the device
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("device %q: %v", e.Device, e.Err) }

func (e *Error) Unwrap() error { return e.Err }
