//go:build race && nvidia && linux && cgo && (amd64 || arm64)

// The tests that measure are not for the race detector.

package cuda

const raceEnabled = true
