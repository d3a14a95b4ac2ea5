package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"
)

// The threads of a device: goroutines that live as long as it does, and share
// each piece of work with the goroutine that brings it.
//
// A step of 65 536 elements takes a few microseconds, but the system takes 50
// or more to wake a thread that sleeps, and milliseconds to give back a core
// that it gave to somebody else. So a worker looks for work a while before it
// sleeps, and nobody waits for one that is late: who is done with its own range
// of the work goes on with the others', claim by claim. Once all is claimed,
// there is nothing left that a late worker could touch.
//
// To have a cache line from another core takes 0.1 to 0.25 microseconds. So all
// that a worker needs to begin is on one line, where it also says when it is done.

const (
	// A range is cut into claims of claimUnits or more, but at most maxClaims,
	// which must be below 16. The end of the work waits for the last claim. But
	// one costs up to 50 ns, and what a worker takes from another's range has to
	// come from another core's cache, and go back for the next work.
	maxClaims  = 8
	claimUnits = 8

	// lookTime is how long a worker looks for work before it sleeps, about as
	// long as it takes to wake it.
	lookTime = 50 * time.Microsecond

	// yieldTime is how often a worker that looks lets other goroutines run.
	yieldTime = 20 * time.Microsecond

	// Sleepers are woken for work that keeps one thread longWork, to judge by the
	// first claim. They are woken for shorter work if it comes within lookTime of
	// the last: they will be awake for the next. But if they were not, since they
	// are late each time where others use the cores, not before restTime.
	longWork = 100 * time.Microsecond
	restTime = 10 * time.Millisecond
)

// work is a number of units that can be computed at the same time.
type work interface {
	// run computes the units [first, end). It is called several times, and for
	// each worker by one goroutine at a time.
	run(worker, first, end int)
}

// pool is a set of workers. Worker 0 is whoever brings work, so a pool of one
// thread has no goroutines.
type pool struct {
	threads int
	ranges  []workRange // of each worker
	beds    []bed       // of each worker
	running sync.WaitGroup
	_       cpu.CacheLinePad

	// busy is held while the workers are at somebody's work.
	busy   sync.Mutex
	number uint64        // of that work
	ended  time.Duration // when the last one did that had sleepers
}

// workRange is consecutive units, which one worker takes from the front, and
// those that have nothing else to do from the back. A worker gets the same range
// of the same work each time: its memory then is in the cache of its core.
type workRange struct {
	// state is the work's id, the number of claims that are not complete, and
	// those that nobody has taken: id<<12 | left<<8 | front<<4 | back. To take
	// one is to change the state. Each work has another id, so that fails once
	// the work is over; where it succeeds, the work lasts until the claim is
	// complete.
	state atomic.Uint64
	// Only who has a claim may read these.
	work       work
	first, end int
	_          [88]byte // two cache lines in all, which processors like to load together
}

// An id is the number of the work and, in the lowest bits, that of its parts.
const (
	partsBits = 11
	partsMask = 1<<partsBits - 1
)

// closing is the state that ends the range's worker.
const closing = 1<<64 - 1

// bed is where a worker sleeps. It is apart from the range, so that to look
// whether somebody sleeps costs nothing.
type bed struct {
	asleep atomic.Bool
	wake   chan struct{}
	vain   atomic.Int64 // when the worker last slept again right after it was woken
	_      cpu.CacheLinePad
}

func newPool(threads int) *pool {
	p := &pool{threads: threads, ranges: make([]workRange, threads), beds: make([]bed, threads)}
	for i := range p.beds {
		p.beds[i].wake = make(chan struct{}, 1)
	}
	p.running.Add(threads - 1)
	for i := 1; i < threads; i++ {
		go p.serve(i)
	}
	return p
}

// do runs all units of the work on at most parts workers, those with the lowest
// numbers, and returns when they are complete. When the workers are at other
// work the caller does all of its own: where several goroutines run programs at
// once, they are parallel already.
func (p *pool) do(w work, units, parts int) {
	parts = min(parts, p.threads, units)
	if parts <= 1 || !p.busy.TryLock() {
		if units > 0 {
			w.run(0, 0, units)
		}
		return
	}
	id := p.post(w, units, parts)
	own := &p.ranges[0]
	sleepers, began := p.sleepers(parts), time.Duration(0)
	if sleepers {
		began = now()
	}
	own.run(0, 0)
	// Only now, since to wake a sleeper costs the caller microseconds too.
	if sleepers {
		p.rouse(parts, began, now()-began)
	}
	p.help(0, id)
	for i := range parts {
		r := &p.ranges[i]
		if done := func() bool { return r.state.Load()>>8&15 == 0 }; !watch(nil, done) {
			p.sleep(0, done)
		}
	}
	if sleepers {
		p.ended = now()
	}
	p.busy.Unlock()
}

// sleepers tells whether there are any among the first n workers.
func (p *pool) sleepers(n int) bool {
	for i := 1; i < n; i++ {
		if p.beds[i].asleep.Load() {
			return true
		}
	}
	return false
}

// rouse wakes those of the first n workers that are worth waking for the work
// that began then and whose first claim took that time.
func (p *pool) rouse(n int, began, claim time.Duration) {
	long := claim*time.Duration(n*p.ranges[0].claims()) > longWork
	soon := began-p.ended < lookTime
	for i := 1; i < n; i++ {
		if long || soon && began-time.Duration(p.beds[i].vain.Load()) > restTime {
			p.wake(i)
		}
	}
}

// post gives work to the workers, all but its first claim, which is the
// caller's, and returns its id. The pool keeps the work in memory until the next.
func (p *pool) post(w work, units, parts int) uint64 {
	p.number++
	id := p.number<<partsBits | uint64(parts)
	id = id << 12 >> 12 // as much of it as there is room for in a state
	for i := parts - 1; i >= 0; i-- {
		r := &p.ranges[i]
		r.work, r.first, r.end = w, units*i/parts, units*(i+1)/parts
		n, taken := r.claims(), 0
		if i == 0 {
			taken = 1
		}
		r.state.Swap(id<<12 | uint64((n-taken)<<8|taken<<4|n))
	}
	return id
}

// serve is what a worker does.
func (p *pool) serve(worker int) {
	defer p.running.Done()
	var id uint64 // of the last work
	var yielded time.Duration
	own := &p.ranges[worker]
	posted := func() bool { return own.state.Load()>>12 != id }
	helped := 2 // how often it has since it woke
	for {
		if !watch(&yielded, posted) {
			if helped < 2 {
				p.beds[worker].vain.Store(int64(now()))
			}
			p.sleep(worker, posted)
			helped = 0
		}
		id = own.state.Load() >> 12
		if id == closing>>12 {
			return
		}
		if p.help(worker, id) {
			helped++
		}
	}
}

// help takes claims of the work and completes them until there are none, those
// of the worker's own range first. It tells whether there were any.
func (p *pool) help(worker int, id uint64) bool {
	parts, helped := int(id&partsMask), false
	for i := range parts {
		from := (worker + i) % parts
		r, n := &p.ranges[from], 0
		for {
			claim, ok := r.take(id, from == worker)
			if !ok {
				break
			}
			r.run(worker, claim)
			n++
		}
		if n > 0 {
			p.complete(r, n)
			helped = true
		}
	}
	return helped
}

// complete is called for n claims that have been run. The work may be over then.
func (p *pool) complete(r *workRange, n int) {
	r.state.Add(-uint64(n << 8))
	p.wake(0)
}

// claims is how many claims the whole range is.
func (r *workRange) claims() int { return max(1, min((r.end-r.first)/claimUnits, maxClaims)) }

// take takes the first or the last claim of the range.
func (r *workRange) take(id uint64, first bool) (claim int, ok bool) {
	for {
		s := r.state.Load()
		front, back := s>>4&15, s&15
		if s>>12 != id || front == back {
			return 0, false
		}
		claim, next := front, s+1<<4
		if !first {
			claim, next = back-1, s-1
		}
		if r.state.CompareAndSwap(s, next) {
			return int(claim), true
		}
	}
}

// run runs the units of a claim.
func (r *workRange) run(worker, claim int) {
	n, units := r.claims(), r.end-r.first
	r.work.run(worker, r.first+units*claim/n, r.first+units*(claim+1)/n)
}

// sleep returns when something has happened. Who makes it happen calls wake
// then; or else the worker may sleep on.
//
// Each of the two writes, then reads what the other has written, and one at least
// must see it. Both write by Swap: a Store is enough for Go, but qemu, which runs
// arm64 on amd64, lets a later load overtake it.
func (p *pool) sleep(worker int, happened func() bool) {
	b := &p.beds[worker]
	for !happened() {
		b.asleep.Swap(true)
		// It may have happened before anybody could see the worker asleep. But
		// who has seen it asleep sends.
		if !happened() || !b.asleep.CompareAndSwap(true, false) {
			<-b.wake
		}
	}
}

// wake wakes the worker if it sleeps.
func (p *pool) wake(worker int) {
	b := &p.beds[worker]
	if b.asleep.Load() && b.asleep.CompareAndSwap(true, false) {
		b.wake <- struct{}{}
	}
}

// watch looks for a while whether something has happened. It lets other
// goroutines run now and then; yielded is when it last did, if that is known.
func watch(yielded *time.Duration, happened func() bool) bool {
	if happened() {
		return true
	}
	start := now()
	if yielded == nil {
		yielded = new(start)
	}
	for {
		for range 64 { // the clock takes as long as twenty looks
			if happened() {
				return true
			}
		}
		t := now()
		if t-start > lookTime {
			return false
		}
		if t-*yielded > yieldTime {
			runtime.Gosched()
			*yielded = now()
		}
	}
}

// now is a time to measure by, which is faster than time.Now.
func now() time.Duration { return time.Since(epoch) }

var epoch = time.Now()

// close ends the workers; no work may be under way.
func (p *pool) close() {
	for i := 1; i < p.threads; i++ {
		p.ranges[i].state.Swap(closing)
		p.wake(i)
	}
	p.running.Wait()
}
