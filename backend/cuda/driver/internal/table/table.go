//go:build nvidia && linux && cgo && (amd64 || arm64)

// Package table is the C side of package driver: a function for each of the
// driver's, which gorgonia.org/cu and package driver call, and the table behind
// them.
//
// It imports nothing, so that where cuda.h is missing its error, which says what
// to do, is shown beside that of cu.
package table

// #cgo LDFLAGS: -ldl -lpthread
// #include "table.h"
import "C"
