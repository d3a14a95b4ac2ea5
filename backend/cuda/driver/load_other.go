//go:build !(nvidia && linux && cgo && (amd64 || arm64))

package driver

import (
	"fmt"
	"runtime"
)

// Load says that this program has no CUDA, and what would give it CUDA.
func Load() error {
	detail := "build with -tags nvidia, cgo and a C compiler (see errorcell/cmd/cudaenv)"
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		detail = fmt.Sprintf("it is for linux/amd64 and linux/arm64, and this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	return &Error{Kind: ErrNotBuilt, Detail: detail}
}
