package virtual

import "time"

// Event is a place in a stream's work.
type Event struct {
	Flags uint

	ctx  *Context
	last *record
}

// record is one use of an event.
type record struct {
	stream   *Stream
	captured *capture // which it is part of, after so much work of the stream
	given    int
	done     bool
	at       time.Time
}

const eventDisableTiming = 2 // CU_EVENT_DISABLE_TIMING

// NewEvent makes an event.
func (c *Context) NewEvent(flags uint) (*Event, Status) {
	leave, s := c.enter()
	defer leave()
	return &Event{Flags: flags, ctx: c}, s
}

func (e *Event) Context() *Context { return e.ctx }

// Record puts an event behind the work that a stream has.
func (e *Event) Record(s *Stream) Status {
	leave, status := e.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	if s.ctx != e.ctx {
		return InvalidHandle
	}
	if s.capture != nil {
		e.last = &record{stream: s, captured: s.capture, given: s.capture.given[s]}
		return s.capture.status()
	}
	r := &record{stream: s}
	status = s.submit(func() Status {
		r.done, r.at = true, time.Now()
		return Success
	})
	if status == Success {
		e.last = r
	}
	return status
}

// reach does the work before a record.
func (r *record) reach() {
	for !r.done {
		r.stream.step()
	}
}

// Wait makes a stream's next work wait for an event. A stream that waits for an
// event of a capture takes part in it.
func (s *Stream) Wait(e *Event) Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	r := e.last
	switch {
	case r == nil:
		return Success
	case r.captured != nil:
		return r.captured.wait(s, r)
	case s.capture != nil:
		s.capture.invalid = true // it would depend on work outside
		return CaptureUnsupported
	}
	return s.submit(func() Status {
		if e.ctx == s.ctx && !e.ctx.dead {
			r.reach()
		}
		return Success
	})
}

// Synchronize waits for an event.
func (e *Event) Synchronize() Status {
	leave, s := e.ctx.enter()
	defer leave()
	if s != Success {
		return s
	}
	switch {
	case e.last == nil:
		return Success
	case e.last.captured != nil:
		return CapturedEvent
	}
	e.last.reach()
	return e.ctx.told()
}

// Query is for an event what Stream.Query is for a stream.
func (e *Event) Query() Status {
	leave, s := e.ctx.enter()
	defer leave()
	if s != Success {
		return s
	}
	switch {
	case e.last == nil || e.last.done:
		return e.ctx.told()
	case e.last.captured != nil:
		return CapturedEvent
	}
	e.last.stream.step()
	return NotReady
}

// Elapsed is the time from a first event to this one.
func (e *Event) Elapsed(first *Event) (time.Duration, Status) {
	leave, s := e.ctx.enter()
	defer leave()
	if s != Success {
		return 0, s
	}
	for _, v := range []*Event{e, first} {
		switch {
		case v.last == nil || v.Flags&eventDisableTiming != 0 || v.ctx != e.ctx:
			return 0, InvalidHandle
		case !v.last.done:
			return 0, NotReady
		}
	}
	return e.last.at.Sub(first.last.at), Success
}
