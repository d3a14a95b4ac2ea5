//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"errorcell/backend"
	"errorcell/backend/cuda/emulator"
	"errorcell/kernels"
)

func newFloats(t testing.TB, d *device, n int) *buffer {
	t.Helper()
	b, err := d.NewBuffer(kernels.F32, n)
	must(t, err)
	return b.(*buffer)
}

func TestReuse(t *testing.T) {
	d, gpu := openOn(t, emulator.Config{}, 0)
	a := newFloats(t, d, 1000)
	must(t, backend.Upload(a, make([]float32, 1000)))
	at, taken := a.at, d.memory.taken
	must(t, a.Close())
	b := newFloats(t, d, 1001) // rounded up the same
	if b.at != at || d.memory.taken != taken {
		t.Errorf("the memory of a closed buffer was not given to the next: %#x and %#x", at, b.at)
	}
	c := newFloats(t, d, 1000)
	if c.at == at {
		t.Error("one piece of memory was given to two buffers")
	}
	must(t, b.Close())
	must(t, b.Close())
	e, f := newFloats(t, d, 1000), newFloats(t, d, 1000)
	if e.at == f.at {
		t.Error("a buffer that was closed twice gave its memory to two others")
	}
	got := make([]float32, 1000)
	got[0] = 1
	must(t, backend.Download(e, got))
	for i, x := range got {
		if x != 0 {
			t.Fatalf("element %d of a new buffer is %g", i, x)
		}
	}
	if n := len(gpu.Leaks()); n != len(d.memory.pieces) {
		t.Errorf("the GPU has %d allocations, of which the allocator knows %d", n, len(d.memory.pieces))
	}
}

// TestTrim: when there is no memory left, what is kept is given back and the
// allocation tried again; the error says what was asked for and what there is.
func TestTrim(t *testing.T) {
	d, gpu := openOn(t, emulator.Config{Memory: 64 << 10}, 0)
	var held []*buffer
	for range 3 {
		held = append(held, newFloats(t, d, 4<<10)) // 16 KiB
	}
	for _, b := range held {
		must(t, b.Close())
	}
	if d.memory.taken != 48<<10 {
		t.Errorf("%d bytes are kept, want 48 KiB", d.memory.taken)
	}
	large := newFloats(t, d, 10<<10) // 40 KiB, for which there is no room beside
	if d.memory.taken != 40<<10 || len(gpu.Leaks()) != 1 {
		t.Errorf("%d bytes are taken in %d pieces, want 40 KiB in one", d.memory.taken, len(gpu.Leaks()))
	}
	_, err := d.NewBuffer(kernels.F32, 8<<10)
	if !errors.Is(err, backend.ErrMemory) {
		t.Fatalf("more than there is gives %v", err)
	}
	for _, s := range []string{"32768 bytes were asked for", "40960 of 65536 are taken", "the GPU has 24576 of 65536 free"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("the error does not say %q: %v", s, err)
		}
	}
	must(t, backend.Upload(large, make([]float32, 10<<10))) // it works still
	must(t, large.Close())
	must(t, newFloats(t, d, 8<<10).Close())

	t.Run("the GPU is full of others' memory", func(t *testing.T) {
		d, gpu := openOn(t, emulator.Config{Memory: 64 << 10}, 0)
		other, err := gpu.Alloc(60 << 10)
		must(t, err)
		if _, err := d.NewBuffer(kernels.F32, 4<<10); !errors.Is(err, backend.ErrMemory) || !strings.Contains(err.Error(), "the GPU has 4096 of 65536 free") {
			t.Errorf("the error is %v", err)
		}
		must(t, gpu.Free(other))
		must(t, newFloats(t, d, 4<<10).Close())
	})
	t.Run("one allocation fails", func(t *testing.T) {
		d, gpu := openOn(t, emulator.Config{}, 0)
		must(t, newFloats(t, d, 10).Close())
		gpu.FailAlloc(1)
		newFloats(t, d, 1000)
		if len(gpu.Leaks()) != 1 {
			t.Error("what was kept has not been given back")
		}
	})
	t.Run("under work", func(t *testing.T) { // that was given and is not done
		d, _ := openOn(t, emulator.Config{Memory: 64 << 10}, 0)
		j := load(t, d, randomCall(t, kernels.Laplacian, kernels.Shape{1, 1000}))
		must(t, j.run())
		j.close()
		newFloats(t, d, 12<<10) // for which the buffers' memory is given back
		must(t, d.Sync())
	})
}

func TestLimit(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 1<<20)
	if d.Info().Memory != 1<<20 {
		t.Errorf("Info has %d bytes of memory, want the limit", d.Info().Memory)
	}
	a := newFloats(t, d, 200<<10)
	if _, err := d.NewBuffer(kernels.F32, 100<<10); !errors.Is(err, backend.ErrMemory) || !strings.Contains(err.Error(), "409600 bytes were asked for, 819200 of 1048576 are taken") {
		t.Errorf("more than the limit gives %v", err)
	}
	must(t, a.Close())
	must(t, newFloats(t, d, 256<<10).Close()) // all of it
}

// TestAccounting allocates and frees at random.
func TestAccounting(t *testing.T) {
	d, gpu := openOn(t, emulator.Config{Memory: 1 << 20}, 0)
	random := rand.New(rand.NewPCG(2, 3))
	var held []*buffer
	for range 2000 {
		if len(held) > 0 && random.IntN(2) == 0 {
			i := random.IntN(len(held))
			must(t, held[i].Close())
			held = append(held[:i], held[i+1:]...)
		} else if b, err := d.NewBuffer(kernels.F32, random.IntN(40<<10)); err == nil {
			held = append(held, b.(*buffer))
		} else if !errors.Is(err, backend.ErrMemory) {
			t.Fatal(err)
		}
		var taken uint64
		for _, a := range gpu.Leaks() {
			taken += a.Bytes
		}
		if d.memory.taken != taken || taken > 1<<20 {
			t.Fatalf("%d bytes are accounted for, %d are taken", d.memory.taken, taken)
		}
	}
	// Close, at the end, frees what is held: openOn looks.
}

// TestClosedInRun closes a result between the check of a run and its launch: its
// memory is not given to others before.
func TestClosedInRun(t *testing.T) {
	d, _ := openOn(t, emulator.Config{}, 0)
	j := load(t, d, randomCall(t, kernels.Laplacian, kernels.Shape{1, 300}))
	out := j.out[0].(*buffer)
	j.program.mu.Lock()
	var group sync.WaitGroup
	group.Go(func() {
		if err := j.run(); err != nil {
			t.Error(err)
		}
	})
	for range 1000 {
		if out.piece.users.Load() > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	must(t, out.Close())
	next := newFloats(t, d, 300)
	j.program.mu.Unlock()
	group.Wait()
	if next.at == out.at {
		t.Error("the memory was given to another buffer")
	}
	must(t, next.Close())
	if last := newFloats(t, d, 300); last.at != next.at && last.at != out.at {
		t.Error("the memory was not given back after the run")
	}
}

// TestCloseWhileUsed closes buffers while goroutines use them: each use works
// or says that the buffer is closed, and what gets the memory next is not
// written to.
func TestCloseWhileUsed(t *testing.T) {
	const n = 300
	d, _ := openOn(t, emulator.Config{}, 0)
	c := randomCall(t, kernels.Laplacian, kernels.Shape{1, n})
	in := load(t, d, c)
	pattern := make([]float32, n)
	for i := range pattern {
		pattern[i] = 77
	}
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	within(t, func() {
		for range rounds {
			var group sync.WaitGroup
			out := []backend.Buffer{newFloats(t, d, n), newFloats(t, d, n), newFloats(t, d, 1)}
			allowed := func(err error) {
				if err != nil && !errors.Is(err, backend.ErrClosed) {
					t.Error(err)
				}
			}
			group.Go(func() { allowed(in.program.Run(c.Rows, c.Cols, in.in, out)) })
			group.Go(func() { allowed(backend.Upload(out[1], make([]float32, n))) })
			group.Go(func() {
				out[0].Close()
				out[1].Close()
				next := []*buffer{newFloats(t, d, n), newFloats(t, d, n)}
				for _, b := range next {
					must(t, backend.Upload(b, pattern))
				}
				for _, b := range next {
					got := make([]float32, n)
					must(t, backend.Download(b, got))
					for _, x := range got {
						if x != 77 {
							t.Errorf("a buffer has %g in it, which was not written there", x)
							break
						}
					}
					b.Close()
				}
			})
			group.Wait()
			out[2].Close()
		}
	})
}
