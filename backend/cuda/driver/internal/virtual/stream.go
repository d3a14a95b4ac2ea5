package virtual

import "slices"

// Stream is work for a context, done in its order.
type Stream struct {
	Flags    uint
	Priority int

	ctx     *Context
	isNull  bool // the default stream, which waits for the others, and they for it
	queue   []work
	capture *capture
}

// work is a step of a stream, not done yet.
type work struct {
	issued uint64
	do     func() Status
}

// NewStream makes a stream.
func (c *Context) NewStream(flags uint, priority int) (*Stream, Status) {
	leave, s := c.enter()
	defer leave()
	if s != Success {
		return nil, s
	}
	if flags&^uint(streamNonBlocking) != 0 {
		return nil, InvalidValue
	}
	stream := &Stream{Flags: flags, Priority: priority, ctx: c}
	c.streams = append(c.streams, stream)
	return stream, Success
}

const streamNonBlocking = 1 // CU_STREAM_NON_BLOCKING

// Null is the default stream.
func (c *Context) Null() *Stream { return c.null }

func (s *Stream) Context() *Context { return s.ctx }

// Destroy does what is left and ends the stream.
func (s *Stream) Destroy() Status {
	leave, status := s.ctx.enter()
	defer leave()
	if s.isNull {
		return InvalidHandle
	}
	if s.capture != nil {
		s.capture.invalid = true
	}
	if status == Success {
		s.drain()
	}
	s.ctx.streams = slices.DeleteFunc(s.ctx.streams, func(o *Stream) bool { return o == s })
	return status
}

// waits says whether a stream and the default stream wait for each other.
func (s *Stream) waits() bool { return !s.isNull && s.Flags&streamNonBlocking == 0 }

// submit gives a stream work, or records it.
func (s *Stream) submit(do func() Status) Status {
	if s.capture != nil {
		return s.capture.add(s, do)
	}
	if s.isNull && s.ctx.prohibit(func(k *capture) bool { return slices.ContainsFunc(k.streams, (*Stream).waits) }) {
		return CaptureImplicit
	}
	s.ctx.dev.issued++
	s.queue = append(s.queue, work{s.ctx.dev.issued, do})
	return Success
}

// step does the next work, after what it has to wait for.
func (s *Stream) step() {
	w := s.queue[0]
	s.queue = s.queue[1:]
	switch {
	case s.isNull:
		for _, o := range s.ctx.streams {
			if o.waits() {
				o.drainBefore(w.issued)
			}
		}
	case s.waits():
		s.ctx.null.drainBefore(w.issued)
	}
	if status := w.do(); status != Success && s.ctx.failed == Success {
		s.ctx.failed = status
	}
}

func (s *Stream) drainBefore(issued uint64) {
	for len(s.queue) > 0 && s.queue[0].issued < issued {
		s.step()
	}
}

func (s *Stream) drain() { s.drainBefore(^uint64(0)) }

// Synchronize waits for all that was given to the stream.
func (s *Stream) Synchronize() Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	return s.synchronize()
}

func (s *Stream) synchronize() Status {
	if s.prohibit() {
		return CaptureUnsupported
	}
	if s.isNull {
		for _, o := range s.ctx.streams {
			if o.waits() {
				o.drain()
			}
		}
	}
	s.drain()
	return s.ctx.told()
}

// Query says NotReady while there is work, of which it does one step: who only
// asks gets to the end too.
func (s *Stream) Query() Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	if s.prohibit() {
		return CaptureUnsupported
	}
	if len(s.queue) > 0 {
		s.step()
		return NotReady
	}
	return s.ctx.told()
}

// Launch gives a stream a kernel. What can be wrong with it before it runs is
// told at once.
func (s *Stream) Launch(f *LoadedFunction, l Launch) Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	if f.Context() != s.ctx {
		return InvalidContext
	}
	if f.refused(l) {
		return InvalidValue
	}
	return s.submit(func() Status { return s.ctx.dev.code(f.f.Launch(l.Grid, l.Block, l.Shared, l.Params)) })
}

// Memset8 gives a stream the filling of n bytes.
func (s *Stream) Memset8(dst uint64, value byte, n uint64) Status {
	return s.enqueue(func(gpu GPU) error { return gpu.Memset8(dst, value, n) })
}

// Memset32 gives a stream the filling of n words.
func (s *Stream) Memset32(dst uint64, value uint32, n uint64) Status {
	return s.enqueue(func(gpu GPU) error { return gpu.Memset32(dst, value, n) })
}

// CopyDeviceToDevice gives a stream a copy within the device.
func (s *Stream) CopyDeviceToDevice(dst, src, n uint64) Status {
	return s.enqueue(func(gpu GPU) error { return gpu.CopyDeviceToDevice(dst, src, n) })
}

func (s *Stream) enqueue(do func(GPU) error) Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	return s.submit(func() Status { return s.ctx.dev.code(do(s.ctx.dev.gpu)) })
}

// CopyToDevice gives a stream a copy from the host. Pinned memory is read when
// the work is done, other memory now.
func (s *Stream) CopyToDevice(dst uint64, src []byte, pinned bool) Status {
	if !pinned {
		src = slices.Clone(src)
	}
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	if !pinned && s.prohibit() {
		return CaptureUnsupported
	}
	return s.submit(func() Status { return s.ctx.dev.code(s.ctx.dev.gpu.CopyToDevice(dst, src)) })
}

// CopyToHost gives a stream a copy to the host. Pinned memory is written when
// the work is done; other memory now, after the work before it.
func (s *Stream) CopyToHost(dst []byte, src uint64, pinned bool) Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	if !pinned && s.prohibit() {
		return CaptureUnsupported
	}
	status = s.submit(func() Status { return s.ctx.dev.code(s.ctx.dev.gpu.CopyToHost(dst, src)) })
	if status != Success || pinned {
		return status
	}
	return s.synchronize()
}

// AllocAsync allocates memory that other streams must not use before they have
// waited for this one; that is not checked.
func (s *Stream) AllocAsync(bytes uint64) (uint64, Status) {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return 0, status
	}
	if s.prohibit() {
		return 0, CaptureUnsupported
	}
	return s.ctx.alloc(bytes, s.ctx.dev.gpu.Alloc)
}

// FreeAsync frees memory when the work before it is done.
func (s *Stream) FreeAsync(ptr uint64) Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	return s.submit(func() Status { return s.ctx.free(ptr) })
}
