// Package emulator is a GPU in plain Go: it loads PTX text, checks it, and runs
// it.
package emulator
