//go:build !amd64 || purego

package bench

func copiers() []copier { return []copier{plainCopy} }
