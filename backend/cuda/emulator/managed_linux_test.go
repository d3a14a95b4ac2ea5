package emulator

import (
	"errors"
	"slices"
	"testing"
	"unsafe"
)

// host is managed memory as the host sees it.
func host[T any](ptr uint64, n int) []T {
	at := uintptr(ptr)
	return unsafe.Slice(*(**T)(unsafe.Pointer(&at)), n)
}

// managed allocates memory that the host has too.
func (r *rig) managed(bytes int) uint64 {
	r.t.Helper()
	ptr, err := r.gpu.AllocManaged(uint64(bytes))
	must(r.t, err)
	return ptr
}

// TestManaged: the host and kernels see the same memory, which is within bounds
// and freed for a kernel as any other is.
func TestManaged(t *testing.T) {
	const n = 1000
	block, grid := [3]uint32{128, 1, 1}, [3]uint32{8, 1, 1}
	r := newRig(t, "add", Config{Memory: 1 << 20})
	x, y, z := r.managed(4*n), r.managed(4*n), r.managed(4*n)
	a, b, sum := host[float32](x, n), host[float32](y, n), host[float32](z, n)
	if x%256 != 0 || x%512 == 0 || y < x+4*n+minGap {
		t.Errorf("allocations at %#x and %#x", x, y)
	}
	if slices.Contains(host[byte](x, 4*n), 0) {
		t.Error("new memory is zero, which no driver promises")
	}
	for i := range a {
		a[i], b[i] = float32(i), float32(3*i)
	}
	r.launch(grid, block, 0, x, y, z, uint32(n))
	for i, v := range sum {
		if v != float32(4*i) {
			t.Fatalf("the host reads %g at %d, want %d", v, i, 4*i)
		}
	}
	must(t, r.gpu.Memset8(z+4, 0, 4))
	if sum[0] != 0 || sum[1] != 0 || sum[2] != 8 {
		t.Errorf("after a memset the host reads %v", sum[:3])
	}
	if got := read[float32](r, x, 3); !slices.Equal(got, a[:3]) {
		t.Errorf("a copy of what the host has written gives %v", got)
	}
	if free, _ := r.gpu.MemInfo(); free != 1<<20-3*4*n {
		t.Errorf("%d bytes are free", free)
	}
	if len(r.gpu.Leaks()) != 3 {
		t.Errorf("leaks %v", r.gpu.Leaks())
	}

	t.Run("beside another GPU's", func(t *testing.T) {
		other := newRig(t, "add", Config{})
		p := other.managed(4 * n)
		if p == x || p == y || p == z {
			t.Fatalf("two GPUs have managed memory at %#x", p)
		}
		host[float32](p, 1)[0] = 77
		if a[0] != 0 {
			t.Error("they share it")
		}
		must(t, other.gpu.Free(p))
	})
	t.Run("failures", func(t *testing.T) {
		if _, err := r.gpu.AllocManaged(1 << 20); !errors.Is(err, ErrOutOfMemory) {
			t.Errorf("more than there is: %v", err)
		}
		if _, err := r.gpu.AllocManaged(0); !errors.Is(err, ErrInvalid) {
			t.Errorf("no bytes: %v", err)
		}
		r.gpu.FailAlloc(1)
		if _, err := r.gpu.AllocManaged(4); !errors.Is(err, ErrOutOfMemory) || !errors.Is(err, ErrInjected) {
			t.Errorf("an allocation that shall fail: %v", err)
		}
		if err := r.gpu.Free(x + 256); !errors.Is(err, ErrInvalid) {
			t.Errorf("free of a part: %v", err)
		}
	})
	for what, spoil := range map[string]func(r *rig, x, y uint64) (uint64, uint32){
		"past the end": func(r *rig, x, y uint64) (uint64, uint32) { return x, n + 1 },
		"before it":    func(r *rig, x, y uint64) (uint64, uint32) { return x - 4, n },
		"freed":        func(r *rig, x, y uint64) (uint64, uint32) { must(t, r.gpu.Free(x)); return x, n },
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, "add", Config{})
			x, y, z := r.managed(4*n), r.out(8*n), r.out(8*n)
			must(t, r.gpu.Memset8(y, 0, 8*n))
			x, count := spoil(r, x, y)
			err := r.gpu.Launch(r.fn, grid, block, 0, [][]byte{on(x), on(y), on(z), on(count)})
			if !errors.Is(err, IllegalAddress) {
				t.Errorf("a kernel reads: %v", err)
			}
		})
	}
	must(t, errors.Join(r.gpu.Free(x), r.gpu.Free(y), r.gpu.Free(z)))
	if data, err := mapAt(x, 4*n); data == nil {
		t.Errorf("the host has the memory still: %v", err)
	} else {
		unmap(x, data)
	}
	if again := r.managed(4 * n); again == x || again == y || again == z {
		t.Error("an address is used twice")
	}
	if err := r.gpu.Free(x); !errors.Is(err, ErrInvalid) {
		t.Errorf("double free: %v", err)
	}
}
