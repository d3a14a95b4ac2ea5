//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// LoadStandIn is for the tests in package driver_test.
var LoadStandIn = loadStandIn
