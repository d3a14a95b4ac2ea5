//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"errorcell/backend/cuda/driver"
)

// staging is pinned host memory through which all copies go: the GPU copies
// from and to it at the full speed of the bus, and while it copies one half the
// host copies the other.
type staging struct {
	mu     sync.Mutex
	halves [2]half
	next   int
}

// half is a part of it; copied is when the GPU is done with it.
type half struct {
	bytes  []byte
	copied cu.Event
}

// halfBytes is large enough to hide what starting a copy costs.
const halfBytes = 2 << 20

func (s *staging) start() error {
	for i := range s.halves {
		h := &s.halves[i]
		var err error
		if h.bytes, err = driver.HostAlloc(halfBytes); err != nil {
			return err
		}
		if h.copied, err = cu.MakeEvent(cu.DisableTiming); err != nil {
			return err
		}
	}
	return nil
}

func (s *staging) close() error {
	var errs []error
	for i := range s.halves {
		h := &s.halves[i]
		if h.bytes != nil {
			errs = append(errs, driver.HostFree(h.bytes))
			h.bytes = nil
		}
		if h.copied != (cu.Event{}) {
			errs = append(errs, cu.DestroyEvent(&h.copied))
		}
	}
	return errors.Join(errs...)
}

// take gives a half that the GPU is done with.
func (s *staging) take() (*half, error) {
	h := &s.halves[s.next]
	s.next = 1 - s.next
	return h, h.copied.Synchronize()
}

// upload copies to the device. When it returns, p is free again; the GPU may
// still be copying.
func (d *device) upload(to cu.DevicePtr, p []byte) error {
	s := &d.staging
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		h, err := s.take()
		if err != nil {
			return d.check(err)
		}
		n := copy(h.bytes, p)
		if err := cu.MemcpyHtoDAsync(to, unsafe.Pointer(unsafe.SliceData(h.bytes)), int64(n), d.stream); err != nil {
			return d.check(err)
		}
		if err := h.copied.Record(d.stream); err != nil {
			return d.check(err)
		}
		p, to = p[n:], to+cu.DevicePtr(n)
	}
	return nil
}

// download copies from the device, after the work that was given to it before.
func (d *device) download(from cu.DevicePtr, p []byte) error {
	s := &d.staging
	s.mu.Lock()
	defer s.mu.Unlock()
	// arrived is what one half brings; the other is filled meanwhile.
	var arrived func() error
	for len(p) > 0 {
		h, err := s.take()
		if err != nil {
			return d.check(err)
		}
		n := min(len(p), len(h.bytes))
		if err := cu.MemcpyDtoHAsync(unsafe.Pointer(unsafe.SliceData(h.bytes)), from, int64(n), d.stream); err != nil {
			return d.check(err)
		}
		if err := h.copied.Record(d.stream); err != nil {
			return d.check(err)
		}
		if arrived != nil {
			if err := arrived(); err != nil {
				return err
			}
		}
		part := p[:n]
		arrived = func() error {
			if err := h.copied.Synchronize(); err != nil {
				return d.check(err)
			}
			copy(part, h.bytes)
			return nil
		}
		p, from = p[n:], from+cu.DevicePtr(n)
	}
	if arrived == nil {
		return nil
	}
	return arrived()
}
