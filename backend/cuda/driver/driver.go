// Package driver loads NVIDIA's driver at run time and gives gorgonia.org/cu its
// functions.
//
// A program built with the tag nvidia has all of cu's C functions in itself, as
// forwarders to a table (package table). The table is filled from libcuda.so.1
// when the first function is called: so one program runs with and without a
// driver, needs no CUDA toolkit to be built, and pays nothing for a driver that
// it does not use. [Load] says whether the driver can be used, and why not.
//
// The package also has what cu lacks: pinned and stream-ordered memory, launches
// that allocate nothing, stream capture and graphs, function attributes,
// occupancy, and compiler logs. And it has emulated devices beside the real
// ones, see [Emulate]: cu sees no difference.
//
// How to build: see errorcell/cmd/cudaenv. Without the tag, without cgo and on
// other systems than Linux on x86-64 and arm64, the package has its errors and
// Load alone.
package driver

import (
	"errors"
	"fmt"
)

// MinVersion is the oldest driver that is used, as cuDriverGetVersion counts:
// CUDA 11.0, the first to know PTX 7.0.
const MinVersion = 11000

// EnvLibrary is the environment variable that names the file to load as the
// driver; where it is set, no other is tried.
const EnvLibrary = "ERRORCELL_LIBCUDA"

// Why a driver cannot be used, for errors.Is.
var (
	ErrNotBuilt       = errors.New("built without CUDA")
	ErrNoDriver       = errors.New("no NVIDIA driver found")
	ErrTooOld         = errors.New("NVIDIA driver too old")
	ErrMissingSymbols = errors.New("functions missing in the NVIDIA driver")
	ErrInit           = errors.New("NVIDIA driver does not start")
)

// Error says why the driver cannot be used.
type Error struct {
	Kind    error     // one of the errors above
	Path    string    // the library that was loaded, if one was
	Version int       // its version, if it told: 12040 is CUDA 12.4
	Tried   []Attempt // if none was
	Missing []string  // the functions that an ErrMissingSymbols is about
	Detail  string    // the end of the message
}

// Attempt is a library that could not be loaded.
type Attempt struct {
	Path   string
	Reason string // as the system's loader says it
}

func (e *Error) Unwrap() error { return e.Kind }

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%v: %s", e.Kind, e.Detail)
	}
	return fmt.Sprintf("%v: %s: %s", e.Kind, e.Path, e.Detail)
}
