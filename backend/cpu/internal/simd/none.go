//go:build !amd64 || purego

package simd

// The instruction sets that this build leaves out.
var AVX2, AVX512 ISA
