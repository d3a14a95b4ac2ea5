//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

import (
	"fmt"
	"strings"
)

// What is said when the driver cannot be used.

func noDriver(tried []Attempt, named bool) *Error {
	e := &Error{Kind: ErrNoDriver, Tried: tried}
	if named {
		e.Detail = fmt.Sprintf("%s is %s: %s", EnvLibrary, tried[0].Path, tried[0].Reason)
		return e
	}
	// Most are just not there; of the others the reason is what matters.
	var absent, broken []string
	for _, a := range tried {
		if strings.Contains(a.Reason, "No such file") {
			absent = append(absent, a.Path)
		} else {
			broken = append(broken, a.Reason)
		}
	}
	parts := broken
	if len(absent) > 0 {
		parts = append(parts, "there is no "+strings.Join(absent, ", no "))
	}
	parts = append(parts, EnvLibrary+" can name the file")
	e.Detail = strings.Join(parts, "; ")
	return e
}

func tooOld(path string, version int) *Error {
	return &Error{Kind: ErrTooOld, Path: path, Version: version, Detail: fmt.Sprintf(
		"it is of CUDA %s, and errorcell needs CUDA %s or newer (driver 450 or newer)",
		versionString(version), versionString(MinVersion))}
}

func missingSymbols(path string, version int, names []string) *Error {
	const shown = 6
	list := strings.Join(names[:min(shown, len(names))], ", ")
	if more := len(names) - shown; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return &Error{Kind: ErrMissingSymbols, Path: path, Version: version, Missing: names, Detail: fmt.Sprintf(
		"it lacks %s, which every driver of CUDA %s or newer has", list, versionString(MinVersion))}
}

// versionString writes 12040 as 12.4.
func versionString(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }
