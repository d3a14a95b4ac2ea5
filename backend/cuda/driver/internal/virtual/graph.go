package virtual

import "slices"

// capture is the recording of streams into a graph.
type capture struct {
	origin  *Stream
	thread  int // that may make no call that waits meanwhile; 0: none is watched
	streams []*Stream
	work    []func() Status
	given   map[*Stream]int     // how much of the work each stream was given
	joined  map[*Stream]*Stream // who has waited for all of a stream's work
	invalid bool
	ended   bool
}

// Modes of a capture, as in cuda.h: which threads are watched.
const (
	captureGlobal      = 0
	captureThreadLocal = 1
	captureRelaxed     = 2
)

const anyThread = -1

func ofThread(thread int) func(*capture) bool {
	return func(k *capture) bool { return k.thread == anyThread || k.thread == thread }
}

func (k *capture) status() Status {
	if k.invalid {
		return CaptureInvalidated
	}
	return Success
}

func (k *capture) add(s *Stream, do func() Status) Status {
	if s := k.status(); s != Success {
		return s
	}
	k.work = append(k.work, do)
	k.given[s]++
	delete(k.joined, s)
	return Success
}

// wait makes a stream wait for a record of the capture, and with that take part
// in it.
func (k *capture) wait(s *Stream, r *record) Status {
	if k.ended {
		return CapturedEvent
	}
	if status := k.admit(s); status != Success {
		return status
	}
	if s != r.stream {
		if k.given[r.stream] == r.given {
			k.joined[r.stream] = s
		}
		delete(k.joined, s)
	}
	return k.status()
}

// admit makes a stream take part.
func (k *capture) admit(s *Stream) Status {
	switch {
	case s.capture == k:
		return Success
	case s.capture != nil:
		k.invalid, s.capture.invalid = true, true
		return CaptureInvalidated
	case s.isNull || !slices.Contains(s.ctx.streams, k.origin):
		k.invalid = true
		return CaptureUnsupported
	}
	s.capture = k
	k.streams = append(k.streams, s)
	return Success
}

// whole says whether the origin has waited, in the end, for all streams.
func (k *capture) whole() bool {
	return !slices.ContainsFunc(k.streams, func(s *Stream) bool {
		for range k.streams {
			if s != k.origin {
				s = k.joined[s]
			}
		}
		return s != k.origin
	})
}

// prohibit spoils the captures that a call may not be made during, and says
// whether there are any.
func (c *Context) prohibit(during func(*capture) bool) (found bool) {
	for _, s := range c.streams {
		if s.capture != nil && during(s.capture) {
			s.capture.invalid = true
			found = true
		}
	}
	return found
}

// prohibit is for calls on a stream that records.
func (s *Stream) prohibit() bool {
	if s.capture == nil {
		return false
	}
	s.capture.invalid = true
	return true
}

// BeginCapture makes a stream record its work, for a thread.
func (s *Stream) BeginCapture(mode, thread int) Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	if s.isNull {
		return CaptureUnsupported
	}
	if s.capture != nil {
		return IllegalState
	}
	switch mode {
	case captureGlobal:
		thread = anyThread
	case captureThreadLocal:
	case captureRelaxed:
		thread = 0
	default:
		return InvalidValue
	}
	s.capture = &capture{
		origin: s, thread: thread, streams: []*Stream{s},
		given: map[*Stream]int{}, joined: map[*Stream]*Stream{},
	}
	return Success
}

// EndCapture ends it and gives the graph.
func (s *Stream) EndCapture(thread int) (*Graph, Status) {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return nil, status
	}
	k := s.capture
	switch {
	case k == nil:
		return nil, IllegalState
	case k.origin != s:
		k.invalid = true
		return nil, CaptureUnmatched
	case k.thread > 0 && k.thread != thread:
		return nil, CaptureWrongThread
	}
	k.ended = true
	for _, o := range k.streams {
		o.capture = nil
	}
	if k.invalid {
		return nil, CaptureInvalidated
	}
	if !k.whole() {
		return nil, CaptureUnjoined
	}
	return &Graph{ctx: s.ctx, work: k.work}, Success
}

// Capturing is the CUstreamCaptureStatus: 0 none, 1 active, 2 invalidated.
func (s *Stream) Capturing() int {
	leave, _ := s.ctx.enter()
	defer leave()
	switch {
	case s.capture == nil:
		return 0
	case s.capture.invalid:
		return 2
	}
	return 1
}

// Graph is work that can be done again and again: in one order, that in which it
// was recorded.
type Graph struct {
	ctx  *Context
	work []func() Status
}

func (g *Graph) Context() *Context { return g.ctx }

// Instantiate makes a graph ready.
func (g *Graph) Instantiate() *ReadyGraph { return &ReadyGraph{g.ctx, g.work} }

// ReadyGraph is a graph ready to be launched.
type ReadyGraph struct {
	ctx  *Context
	work []func() Status
}

func (g *ReadyGraph) Context() *Context { return g.ctx }

// LaunchGraph gives a stream all work of a graph.
func (s *Stream) LaunchGraph(g *ReadyGraph) Status {
	leave, status := s.ctx.enter()
	defer leave()
	if status != Success {
		return status
	}
	if g.ctx != s.ctx {
		return InvalidContext
	}
	return s.submit(func() Status {
		for _, do := range g.work {
			if status := do(); status != Success {
				return status
			}
		}
		return Success
	})
}
