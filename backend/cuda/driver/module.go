//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// #include "calls.h"
import "C"

import (
	"fmt"
	"strings"
	"unsafe"

	"gorgonia.org/cu"
)

// CompileError is PTX, or machine code, that the driver did not take.
type CompileError struct {
	Err error  // cu's
	Log string // the compiler's words
}

func (e *CompileError) Error() string {
	if e.Log == "" {
		return fmt.Sprintf("the driver's compiler: %v", e.Err)
	}
	return fmt.Sprintf("the driver's compiler: %v: %s", e.Err, e.Log)
}

func (e *CompileError) Unwrap() error { return e.Err }

// LoadModule compiles PTX text, or loads machine code, into the current context.
// The log tells of each function's registers, shared and local memory. The error
// is a *[CompileError].
func LoadModule(image string) (m cu.Module, log string, err error) {
	const logSize = 64 << 10
	text := C.CString(image)
	defer C.free(unsafe.Pointer(text))
	logs := (*C.char)(C.calloc(2, logSize))
	defer C.free(unsafe.Pointer(logs))
	errors := (*C.char)(unsafe.Add(unsafe.Pointer(logs), logSize))
	v := C.errorcell_load_module(text, logs, logSize, errors, logSize)
	if err := result(v.status); err != nil {
		return cu.Module{}, "", &CompileError{err, strings.TrimSpace(C.GoString(errors))}
	}
	return recast[cu.Module](v.value), strings.TrimSpace(C.GoString(logs)), nil
}

// Attributes of a function that can be set.
const (
	MaxDynamicShared = C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES    // bytes; more than 48 KiB must be asked for
	SharedCarveout   = C.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT // percent of the L1 cache
)

// SetAttribute sets an attribute of a function; cu.Function.Attribute reads them.
func SetAttribute(fn cu.Function, attribute, value int) error {
	return result(C.cuFuncSetAttribute(recast[C.CUfunction](fn), C.CUfunction_attribute(attribute), C.int(value)))
}
