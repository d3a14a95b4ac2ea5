//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// #cgo CFLAGS: -I${SRCDIR}/internal/table
// #include "table.h"
import "C"

import (
	"fmt"
	"sync"

	_ "errorcell/backend/cuda/driver/internal/table" // the functions themselves
)

// library is what is known of the real driver.
type library struct {
	path    string
	version int
	has     map[string]bool
	err     error
}

var load = sync.OnceValue(func() *library {
	c := C.errorcell_load()
	lib := &library{
		path:    C.GoString(&c.path[0]),
		version: int(c.version),
		has:     map[string]bool{},
	}
	if c.loaded == 0 {
		var tried []Attempt
		for _, a := range c.attempts {
			if a.path != nil {
				tried = append(tried, Attempt{C.GoString(a.path), C.GoString(&a.reason[0])})
			}
		}
		lib.err = noDriver(tried, c.named != 0)
		return lib
	}
	var missing []string
	for _, s := range symbols() {
		lib.has[s.name] = s.found
		if s.required && !s.found {
			missing = append(missing, s.symbol)
		}
	}
	switch {
	case lib.version != 0 && lib.version < MinVersion: // such a one lacks functions too
		lib.err = tooOld(lib.path, lib.version)
	case missing != nil:
		lib.err = missingSymbols(lib.path, lib.version, missing)
	case c.initialized != C.CUDA_SUCCESS:
		lib.err = &Error{Kind: ErrInit, Path: lib.path, Version: lib.version, Detail: initDetail(int(c.initialized))}
	}
	return lib
})

// symbol is a function of the table and what stands for it in the library.
type symbol struct {
	name, symbol    string
	required, found bool
}

func symbols() []symbol {
	var list []symbol
	for i := C.int(0); ; i++ {
		s := C.errorcell_symbol(i)
		if s.name == nil {
			return list
		}
		list = append(list, symbol{C.GoString(s.name), C.GoString(s.symbol), s.required != 0, s.function != nil})
	}
}

// Load loads the driver, the first time, and says whether errorcell can use it:
// the error is an *[Error].
func Load() error { return load().err }

// Version is the driver's, as it counts: 12040 is CUDA 12.4. It is 0 where there
// is none.
func Version() int { return load().version }

// Path is the file of the driver, and empty where there is none.
func Path() string { return load().path }

// Has says whether the driver has a function, by its name without a version.
func Has(function string) bool { return load().has[function] }

// hints are what helps against failures of cuInit whose own text does not say it.
var hints = map[int]string{
	34:  "this is the toolkit's stub, not a driver",
	100: "is a GPU visible to this process (nvidia-smi, CUDA_VISIBLE_DEVICES)?",
	803: "the library and the kernel module are of different versions: reboot, or load the module anew",
	999: "is the kernel module nvidia_uvm loaded (nvidia-modprobe -u)?",
}

func initDetail(code int) string {
	text := fmt.Sprintf("cuInit returned %d", code)
	var name, description *C.char
	if C.cuGetErrorName(C.CUresult(code), &name) == C.CUDA_SUCCESS && name != nil {
		text += ", " + C.GoString(name)
	}
	if C.cuGetErrorString(C.CUresult(code), &description) == C.CUDA_SUCCESS && description != nil {
		text += ", " + C.GoString(description)
	}
	if hint := hints[code]; hint != "" {
		text += ": " + hint
	}
	return text
}
