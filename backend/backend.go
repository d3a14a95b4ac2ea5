// Package backend says where a kernel runs.
//
//   - A [Device] holds memory and runs programs: one CPU variant, one GPU.
//   - A [Buffer] is an array in a device's memory.
//   - A [Program] is a kernel compiled for one device and one signature.
//   - A [Driver] makes devices; packages such as errorcell/backend/cpu register
//     theirs when they are imported, and [Open] picks by name.
//
// No package but the program's main (or its test) imports a driver's package,
// and then for its side effect alone:
//
//	import _ "errorcell/backend/cpu"
//
// A backend that passes package backendtest can take the place of any other.
package backend

import (
	"io"
	"time"
	"unsafe"

	"errorcell/kernels"
)

// Device is somewhere that kernels run. Its methods may be called from any
// goroutine at the same time.
type Device interface {
	// Name is a spec that opens an equal device: see [Open].
	Name() string
	// Info describes the hardware.
	Info() Info
	// NewBuffer makes an array of n zeros. The error is an ErrMemory that
	// names what was asked and what there is, an ErrShape for n < 0, or an
	// ErrDType.
	NewBuffer(dtype kernels.DType, n int) (Buffer, error)
	// Compile makes the program of a kernel for a signature, or finds the one
	// it has made before. Programs live as long as their device.
	Compile(k *kernels.Kernel, sig kernels.Signature) (Program, error)
	// Sync waits until all work given to the device so far is complete, and
	// returns the error of work that failed after its call had returned.
	Sync() error
	// Close waits for the work under way, then releases the device with all
	// its memory, programs and goroutines. Later use of anything of the device
	// is an ErrClosed; closing again does nothing.
	Close() error
}

// Buffer is an array of numbers in a device's memory, one after the other in
// the machine's byte order, or of truth values, a byte each, 0 or 1. Reading and
// writing wait for the programs that were started before. While a program runs,
// nobody else may touch its outputs or write its inputs.
type Buffer interface {
	// ReaderAt and WriterAt copy between the host and the device; offsets are
	// in bytes. Past the end they return io.EOF and io.ErrShortWrite.
	io.ReaderAt
	io.WriterAt

	Device() Device
	DType() kernels.DType
	// Len is the number of elements.
	Len() int
	// Host is the buffer's memory itself where the host can reach it, so that
	// nothing need be copied, and nil elsewhere and after Close. Before it is
	// touched, [Device.Sync] waits for the programs that may still use it. See
	// [View].
	Host() []byte
	// Close releases the memory, once the programs that were started with it
	// are complete; closing again does nothing.
	Close() error
}

// Program is a kernel compiled for a device.
type Program interface {
	// Plan is what the program computes.
	Plan() *kernels.Plan
	// Run computes for a grid of rows x cols (the batch B and the units N).
	// Inputs are in the order of the kernel's operands, nil for the absent
	// ones; each has just the elements that its kind spans in the grid, and so
	// have the outputs, in the order of the kernel's results, nil for those
	// that the signature omits. Operands are of the signature's element type,
	// results of the plan's OutputDType. No output shares memory with another
	// operand or result. What is wrong is an ErrClosed, ErrForeign, ErrDType,
	// ErrShape, ErrOperands or ErrAliased that names the operand, and nothing is
	// computed then.
	//
	// Run may return before the results are there; reading them waits.
	// Once warm, it allocates nothing.
	Run(rows, cols int, inputs, outputs []Buffer) error
}

// Borrower is a Device whose programs can work in the host's memory: nothing need
// be copied to the device. Which memory that is, is any, unless the device is a
// [Sharer].
type Borrower interface {
	// NewBorrowed makes a buffer without elements, for [Borrowed.Borrow].
	NewBorrowed(dtype kernels.DType) (Borrowed, error)
}

// Sharer is a Device with memory of its own, of which the host can reach a part:
// what NewShared gives. That is all that its Borrowed buffers can borrow.
//
// The host may read and write shared memory at any address and at any time without
// a crash, but programs that were started before may still use it: what they wrote
// is there, and what they read may be changed, once [Device.Sync] has returned. The
// memory is none of Go's: it does not move, the garbage collector neither looks at
// it nor frees it, and no Go pointers may be kept in it.
type Sharer interface {
	Borrower
	// NewShared allocates that many bytes of shared memory, all zero, which the
	// host may touch at once. It begins at a multiple of 256, and counts as memory
	// of buffers does. Of 0 bytes there is none, and nothing to free.
	//
	// The error is an ErrMemory that names what was asked and what there is, an
	// ErrShape for bytes < 0, or an errors.ErrUnsupported that says what this
	// device lacks to share any memory.
	NewShared(bytes int) ([]byte, error)
	// FreeShared gives back what NewShared gave, all of it: a part is an ErrShape,
	// and memory that is not this device's, or was given back before, an
	// ErrForeign. Programs that were started with it may be under way. The memory
	// must not be touched any more, which may end the program; runs with a buffer
	// that borrows it still are an ErrClosed.
	//
	// Close of the device frees what was not given back, with the same end for
	// pointers that lead there: copy before what is wanted after.
	FreeShared(memory []byte) error
}

// Borrowed is a Buffer in memory that the host lends it.
type Borrowed interface {
	Buffer
	// Borrow makes the array that begins at first the buffer's elements, in place
	// of those that it had; of nil and 0 the buffer has none. The memory must stay
	// where it is, and be of nobody else's use, as with any buffer, until the runs
	// with it are complete. Nobody may use the buffer meanwhile.
	//
	// The array may begin wherever an element can: at any multiple of its size. Of
	// a [Sharer] it must lie within one piece of its shared memory, or the error is
	// an ErrForeign, and an ErrShape if only its end lies outside. A recording keeps
	// to the memory that its buffers had when it was made.
	//
	// Two buffers may have borrowed the same memory. If one of them is the result
	// of an elementwise kernel with one output and no sums and the other an operand
	// of as many elements of the same type, the kernel computes in place; else, a
	// result that overlaps anything is not defined.
	Borrow(first unsafe.Pointer, n int) error
}

// Recorder is a Device that can repeat a sequence of runs with one call, at less
// cost than each of them has.
type Recorder interface {
	// Record makes a recording of runs of this device's programs, which it does not
	// compute. Others may use the device meanwhile.
	Record(runs []Run) (Recording, error)
}

// Run is a run of a program, with what [Program.Run] is given.
type Run struct {
	Program         Program
	Rows, Cols      int
	Inputs, Outputs []Buffer
}

// Recording is a sequence of runs on the buffers that it was recorded with.
type Recording interface {
	// Run computes all runs, in their order. Like [Program.Run] it may return
	// before.
	Run() error
	// Close releases the recording; closing again does nothing.
	Close() error
}

// Timer is a Device with a clock of its own.
type Timer interface {
	// Elapsed calls work, and tells how long the device was at what it was
	// given by it.
	Elapsed(work func() error) (time.Duration, error)
}

// Info describes a device for people.
type Info struct {
	Model   string `json:"model"`            // the processor's or the card's name
	ISA     string `json:"isa,omitempty"`    // the instruction set that kernels use
	Threads int    `json:"threads"`          // that work is split over; 0 where that means nothing
	Memory  uint64 `json:"memory_bytes"`     // that buffers can take
	Driver  string `json:"driver,omitempty"` // version of a driver
	Note    string `json:"note,omitempty"`   // why this device and not another of its driver
}
