//go:build !purego

package bench

import "github.com/klauspost/cpuid/v2"

// copiers lists the ways to copy that this processor has, with ordinary stores
// and with stores past the caches.
func copiers() []copier {
	switch {
	case cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512DQ, cpuid.AVX512BW, cpuid.AVX512VL, cpuid.BMI2):
		return []copier{{"AVX-512", limitAVX512}, {"AVX-512 streaming", limitStreamingAVX512}}
	case cpuid.CPU.Supports(cpuid.AVX2):
		return []copier{{"AVX2", limitAVX2}, {"AVX2 streaming", limitStreamingAVX2}}
	}
	return []copier{plainCopy}
}
