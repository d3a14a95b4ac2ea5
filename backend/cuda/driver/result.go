//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// #include "calls.h"
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

// result makes of a CUresult the error that cu makes of it, so that
// errors.Is(err, cu.OutOfMemory) holds whichever package made the call. cu keeps
// the type to itself, but its constants have it.
func result(r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return withTypeOf(cu.Success, int(r)).(error)
}

func withTypeOf[T ~int](_ T, code int) any { return T(code) }

// cu's types hold one C handle each, in a field of their own.
const handleSize = unsafe.Sizeof(uintptr(0))

var (
	_ [handleSize]byte = [unsafe.Sizeof(cu.Stream{})]byte{}
	_ [handleSize]byte = [unsafe.Sizeof(cu.Module{})]byte{}
	_ [handleSize]byte = [unsafe.Sizeof(cu.Function{})]byte{}
	_ [handleSize]byte = [unsafe.Sizeof(cu.Graph{})]byte{}
	_ [handleSize]byte = [unsafe.Sizeof(cu.ExecGraph{})]byte{}
)

// recast gives one of cu's values the C type that this package knows it by, and
// back.
func recast[To, From any](v From) To { return *(*To)(unsafe.Pointer(&v)) }
