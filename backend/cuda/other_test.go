//go:build !(nvidia && linux && cgo && (amd64 || arm64))

package cuda

import (
	"errors"
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
)

// TestNotBuilt: without CUDA in the program, every GPU's error says so.
func TestNotBuilt(t *testing.T) {
	for _, spec := range []string{"cuda", "cuda:1", "cuda:emulated"} {
		_, err := backend.Open(spec)
		if !errors.Is(err, backend.ErrUnavailable) || !errors.Is(err, driver.ErrNotBuilt) {
			t.Errorf("%s gives the error %v", spec, err)
		} else if text := err.Error(); !strings.Contains(text, spec) || strings.Contains(text, "\n") {
			t.Errorf("%s gives the error %q, want one line", spec, text)
		}
	}
	if c := list(); len(c) != 1 || !errors.Is(c[0].Err, driver.ErrNotBuilt) {
		t.Errorf("the list is %+v", c)
	}
}
