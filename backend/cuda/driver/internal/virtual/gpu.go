// Package virtual is what a CUDA driver adds to a GPU that computes: contexts,
// streams, events, stream capture and graphs, in plain Go, for emulated devices.
//
// A stream does its work late: not when it is given, but when something waits
// for it, as if the device were as slow as it may be. So a program that reads a
// result without waiting for it, or that reuses a buffer which a copy still
// needs, computes something wrong each time, and not once in a thousand runs.
// Errors of such work come late too, with the call that waits.
package virtual

import "fmt"

// GPU is a device that computes. Its calls are complete when they return.
type GPU interface {
	Name() string
	// Attribute is the value of a CUdevice_attribute, 0 for one that it lacks.
	Attribute(attribute int) int
	MemInfo() (free, total uint64)
	Alloc(bytes uint64) (ptr uint64, err error)
	// AllocManaged allocates memory that the host has at the same address.
	AllocManaged(bytes uint64) (ptr uint64, err error)
	Free(ptr uint64) error
	CopyToDevice(dst uint64, src []byte) error
	CopyToHost(dst []byte, src uint64) error
	CopyDeviceToDevice(dst, src, n uint64) error
	Memset8(dst uint64, value byte, n uint64) error
	Memset32(dst uint64, value uint32, n uint64) error
	// Load compiles PTX. The text of the error is the compiler's log.
	Load(ptx string) (Module, error)
	// Err is what has lost the device for good, or nil.
	Err() error
	// Code is the CUresult for an error of this GPU.
	Code(err error) int
}

// Module is compiled PTX.
type Module interface {
	Function(name string) (Function, error)
	Unload() error
}

// Function is a kernel.
type Function interface {
	// Params has the sizes of the parameters in bytes.
	Params() []int
	// Attribute is the value of a CUfunction_attribute, 0 for one that it lacks.
	Attribute(attribute int) int
	SetAttribute(attribute, value int) error
	// MaxActiveBlocks is the number of blocks of so many threads and bytes of
	// dynamic shared memory that a multiprocessor can hold.
	MaxActiveBlocks(threads, shared int) int
	Launch(grid, block [3]uint32, shared uint32, params [][]byte) error
}

// Status is a CUresult.
type Status int32

// The names are those of cuda.h.
const (
	Success            Status = 0
	InvalidValue       Status = 1
	OutOfMemory        Status = 2
	InvalidDevice      Status = 101
	InvalidContext     Status = 201
	InvalidPTX         Status = 218
	InvalidHandle      Status = 400
	IllegalState       Status = 401
	NotFound           Status = 500
	NotReady           Status = 600
	ContextIsDestroyed Status = 709
	NotSupported       Status = 801
	CaptureUnsupported Status = 900
	CaptureInvalidated Status = 901
	CaptureUnmatched   Status = 903
	CaptureUnjoined    Status = 904
	CaptureImplicit    Status = 906
	CapturedEvent      Status = 907
	CaptureWrongThread Status = 908
	Unknown            Status = 999
)

func (s Status) String() string { return fmt.Sprintf("CUresult %d", int32(s)) }

// Numbers of attributes in cuda.h.
const (
	maxThreadsPerBlock = 1
	maxBlockDim        = 2 // and 3, 4: of x, y, z
	maxGridDim         = 5 // and 6, 7

	functionMaxThreads = 0
	functionShared     = 1
	functionMaxDynamic = 8
)
