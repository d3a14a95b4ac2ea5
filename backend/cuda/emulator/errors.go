package emulator

// What can go wrong: in PTX text, in a running kernel, and in a call. All are
// values that errors.Is and errors.As find, and Code gives each its CUresult.

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of mistake a Fault is.
type Kind uint8

// Kinds of mistakes that Load finds in a PTX text.
const (
	InvalidPTX         Kind = iota + 1 // syntax, undeclared or redefined names
	UnknownInstruction                 // an instruction, modifier or combination that PTX lacks
	NotEmulated                        // PTX has it, the emulator has not
	WrongTarget                        // needs a newer .target or .version
	TypeMismatch                       // an operand that does not fit the instruction
	LooseNumerics                      // .ftz, or float arithmetic without a rounding mode
	ReadOnly                           // a store to .const or .param
)

// Kinds of mistakes that a running kernel makes.
const (
	IllegalAddress Kind = iota + 64 // outside every allocation, or freed
	Misaligned                      // address no multiple of the access's size
	Uninitialised                   // memory that nothing has written
	UnsetRegister                   // a register that this thread has not written
	Race                            // two threads, one word, no order between them
	BarrierMisuse                   // a barrier not reached by all, or reached apart
	BadMask                         // a membermask that leaves out the thread or names a missing one
	Deadlock                        // every thread waits
	StepLimit                       // more instructions than Config.StepLimit
	Trap                            // the trap instruction
	Unspecified                     // a result that PTX leaves open: a division by zero, a shuffle from nowhere
)

var kindNames = map[Kind]string{
	InvalidPTX: "invalid PTX", UnknownInstruction: "unknown instruction", NotEmulated: "not emulated",
	WrongTarget: "wrong target", TypeMismatch: "type mismatch", LooseNumerics: "loose numerics",
	ReadOnly: "read-only memory", IllegalAddress: "illegal address", Misaligned: "misaligned address",
	Uninitialised: "uninitialised memory", UnsetRegister: "unset register", Race: "race",
	BarrierMisuse: "barrier misuse", BadMask: "bad mask", Deadlock: "deadlock", StepLimit: "step limit",
	Trap: "trap", Unspecified: "unspecified result",
}

func (k Kind) String() string { return kindNames[k] }

// Error makes a Kind a target for errors.Is: errors.Is(err, emulator.Race).
func (k Kind) Error() string { return k.String() }

// AtLoad reports whether Load finds mistakes of this kind, before anything
// runs.
func (k Kind) AtLoad() bool { return k < IllegalAddress }

// A Fault is a mistake in a kernel: what, and where in text and grid.
type Fault struct {
	Kind   Kind
	Kernel string // the entry's name; empty outside of one
	Line   int    // of the PTX text, from 1; 0 for a copy by the host
	Source string // that line
	Block  [3]uint32
	Thread [3]uint32
	Seed   uint64 // of the order in which the blocks ran
	Detail string
}

func (f *Fault) Error() string {
	var s strings.Builder
	if f.Kind.AtLoad() {
		fmt.Fprintf(&s, "ptx:%d: ", f.Line)
		if f.Kernel != "" {
			fmt.Fprintf(&s, "kernel %s: ", f.Kernel)
		}
		fmt.Fprintf(&s, "%v: %s", f.Kind, f.Detail)
	} else {
		fmt.Fprintf(&s, "%v: %s", f.Kind, f.Detail)
		if f.Kernel != "" {
			fmt.Fprintf(&s, "; kernel %s, ptx:%d, block (%d,%d,%d), thread (%d,%d,%d), seed %d", f.Kernel, f.Line,
				f.Block[0], f.Block[1], f.Block[2], f.Thread[0], f.Thread[1], f.Thread[2], f.Seed)
		}
	}
	if f.Source != "" {
		fmt.Fprintf(&s, "\n\t%s", strings.TrimSpace(f.Source))
	}
	return s.String()
}

// Is finds a Fault by its kind.
func (f *Fault) Is(target error) bool { return target == error(f.Kind) }

// What calls return, for errors.Is.
var (
	ErrOutOfMemory = errors.New("out of memory")
	ErrInvalid     = errors.New("invalid value")
	ErrNotFound    = errors.New("not found")
	ErrLost        = errors.New("device lost")
	ErrInjected    = errors.New("failure asked for")
	ErrTimeout     = errors.New("launch stopped")
)

// OutOfMemoryError is an allocation that does not fit.
type OutOfMemoryError struct{ Asked, Free uint64 }

func (e *OutOfMemoryError) Error() string {
	return fmt.Sprintf("out of memory: %d bytes asked, %d free", e.Asked, e.Free)
}

// Is makes it an ErrOutOfMemory.
func (e *OutOfMemoryError) Is(target error) bool { return target == ErrOutOfMemory }

// LostError is any call after the device was lost. It unwraps to ErrLost and
// to what lost the device.
type LostError struct{ Cause error }

func (e *LostError) Error() string   { return "device lost: " + e.Cause.Error() }
func (e *LostError) Unwrap() []error { return []error{ErrLost, e.Cause} }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// codes are the CUresult values of a real driver.
var codes = []struct {
	err  error
	code int
}{
	{ErrOutOfMemory, 2}, // CUDA_ERROR_OUT_OF_MEMORY
	{ErrInvalid, 1},     // CUDA_ERROR_INVALID_VALUE
	{ErrNotFound, 500},  // CUDA_ERROR_NOT_FOUND
	{WrongTarget, 222},  // CUDA_ERROR_UNSUPPORTED_PTX_VERSION
	{InvalidPTX, 218},   // CUDA_ERROR_INVALID_PTX
	{UnknownInstruction, 218},
	{NotEmulated, 218},
	{TypeMismatch, 218},
	{LooseNumerics, 218},
	{ReadOnly, 218},
	{IllegalAddress, 700}, // CUDA_ERROR_ILLEGAL_ADDRESS
	{Misaligned, 716},     // CUDA_ERROR_MISALIGNED_ADDRESS
	{StepLimit, 702},      // CUDA_ERROR_LAUNCH_TIMEOUT
	{ErrTimeout, 702},
	{Deadlock, 702},
	{Trap, 719},          // CUDA_ERROR_LAUNCH_FAILED
	{Uninitialised, 719}, // hardware would say nothing to these
	{UnsetRegister, 719},
	{Race, 719},
	{BarrierMisuse, 719},
	{BadMask, 719},
	{Unspecified, 719},
	{ErrInjected, 719},
	{ErrLost, 719},
}

// Code is the CUresult that a driver returns for an error of this package: 0
// for nil, CUDA_ERROR_UNKNOWN (999) for a foreign one.
func Code(err error) int {
	if err == nil {
		return 0
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return 999
}
