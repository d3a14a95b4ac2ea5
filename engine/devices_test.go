package engine_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"unsafe"

	"errorcell/backend"
	"errorcell/engine"
	"errorcell/kernels"
)

// onEach runs a test with an engine of each kind of device: those that compute in Go's
// memory, those that share memory of theirs, and those that can do neither.
func onEach(t *testing.T, test func(t *testing.T, eng *engine.Engine)) {
	onEachOf(t, map[string]func(backend.Device) backend.Device{
		"":         func(dev backend.Device) backend.Device { return dev },
		"sharing ": func(dev backend.Device) backend.Device { return newSharing(dev) },
		"copying ": func(dev backend.Device) backend.Device { return copying{dev} },
	}, test)
}

// onSharing is onEach for devices that share memory.
func onSharing(t *testing.T, test func(t *testing.T, eng *engine.Engine)) {
	onEachOf(t, map[string]func(backend.Device) backend.Device{
		"sharing ": func(dev backend.Device) backend.Device { return newSharing(dev) },
	}, test)
}

func onEachOf(t *testing.T, kinds map[string]func(backend.Device) backend.Device, test func(t *testing.T, eng *engine.Engine)) {
	run := func(name, spec string, kind func(backend.Device) backend.Device) {
		t.Run(name, func(t *testing.T) {
			dev, err := backend.Open(spec)
			skipWithoutCUDA(t, err)
			if err != nil {
				t.Fatal(err)
			}
			defer dev.Close()
			eng, err := engine.New(kind(dev))
			if err != nil {
				t.Fatal(err)
			}
			test(t, eng)
		})
	}
	specs := []string{"cpu", "cpu:generic"}
	if testing.Short() {
		specs = specs[:1]
	}
	for name, kind := range kinds {
		for _, spec := range specs {
			run(name+spec, spec, kind)
		}
	}
	run("cuda:emulated", "cuda:emulated", func(dev backend.Device) backend.Device { return dev })
}

// skipWithoutCUDA leaves out what needs a device that is not in the test binary.
func skipWithoutCUDA(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, backend.ErrUnknownDevice) || errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("this test binary has no CUDA: make test has a pass that does, on Linux with a C compiler: %v", err)
	}
}

// copying is a device that neither borrows nor shares.
type copying struct{ backend.Device }

// sharing is a device that borrows only memory that it shares. Memory that was given
// back is overwritten, so that who still reads it notices.
type sharing struct {
	backend.Device
	mu     sync.Mutex
	pieces map[uintptr][]byte
	limit  int // bytes
	taken  int
	runs   int

	badFrees int // of what is not there
	buffers  int // made for copies
}

func newSharing(dev backend.Device) *sharing {
	return &sharing{Device: dev, pieces: map[uintptr][]byte{}, limit: 1 << 30}
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func (s *sharing) NewShared(bytes int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken+bytes > s.limit {
		return nil, fmt.Errorf("%w: %d bytes were asked for", backend.ErrMemory, bytes)
	}
	s.taken += bytes
	b := make([]byte, bytes)
	s.pieces[address(b)] = b
	return b, nil
}

func (s *sharing) FreeShared(memory []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.pieces[address(memory)]
	if !ok || len(b) != len(memory) {
		s.badFrees++
		return fmt.Errorf("%w: no such memory", backend.ErrForeign)
	}
	for i := range b {
		b[i] = 0xff
	}
	delete(s.pieces, address(memory))
	s.taken -= len(b)
	return nil
}

func (s *sharing) NewBorrowed(dtype kernels.DType) (backend.Borrowed, error) {
	b, err := s.Device.(backend.Borrower).NewBorrowed(dtype)
	return &sharedBuffer{b, s}, err
}

func (s *sharing) NewBuffer(dtype kernels.DType, n int) (backend.Buffer, error) {
	s.mu.Lock()
	s.buffers++
	s.mu.Unlock()
	return s.Device.NewBuffer(dtype, n)
}

func (s *sharing) holds(first unsafe.Pointer, bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, piece := range s.pieces {
		if uintptr(first) >= at && uintptr(first)+uintptr(bytes) <= at+uintptr(len(piece)) {
			return true
		}
	}
	return false
}

func (s *sharing) Compile(k *kernels.Kernel, sig kernels.Signature) (backend.Program, error) {
	p, err := s.Device.Compile(k, sig)
	return sharedProgram{p, s}, err
}

type sharedBuffer struct {
	backend.Borrowed
	dev *sharing
}

func (b *sharedBuffer) Borrow(first unsafe.Pointer, n int) error {
	if n > 0 && !b.dev.holds(first, n*b.DType().Size()) {
		return fmt.Errorf("%w: memory that is not shared", backend.ErrForeign)
	}
	return b.Borrowed.Borrow(first, n)
}

type sharedProgram struct {
	backend.Program
	dev *sharing
}

func (p sharedProgram) Run(rows, cols int, inputs, outputs []backend.Buffer) error {
	p.dev.mu.Lock()
	p.dev.runs++
	p.dev.mu.Unlock()
	return p.Program.Run(rows, cols, inside(inputs), inside(outputs))
}

// inside are the buffers that the device's own programs know.
func inside(bufs []backend.Buffer) []backend.Buffer {
	out := make([]backend.Buffer, len(bufs))
	for i, b := range bufs {
		if s, ok := b.(*sharedBuffer); ok {
			b = s.Borrowed
		}
		out[i] = b
	}
	return out
}
