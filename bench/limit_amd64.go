//go:build !purego

package bench

// copiers lists the ways to copy that this processor has, with ordinary stores
// and with stores past the caches.
func copiers() []copier {
	switch {
	case available("cpu:avx512"):
		return []copier{limitAVX512, limitStreamingAVX512}
	case available("cpu:avx2"):
		return []copier{limitAVX2, limitStreamingAVX2}
	}
	return []copier{plainCopy}
}
