//go:build !(nvidia && linux && cgo && (amd64 || arm64))

package cuda

import (
	"fmt"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
)

func open([]backend.Option) (backend.Device, error) {
	return nil, fmt.Errorf("%w: %w", backend.ErrUnavailable, driver.Load())
}

func list() []backend.Candidate {
	_, err := open(nil)
	return []backend.Candidate{{Spec: "cuda", Err: err}}
}
