//go:build !race && nvidia && linux && cgo && (amd64 || arm64)

package cuda

// raceEnabled: tests that measure are not for the race detector.
const raceEnabled = false
