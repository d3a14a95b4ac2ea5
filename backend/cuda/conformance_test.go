//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda_test

import (
	"testing"

	"errorcell/backend/backendtest"
	_ "errorcell/backend/cuda"
)

func TestConformance(t *testing.T) {
	backendtest.RunSpecs(t, "cuda:emulated")
}
