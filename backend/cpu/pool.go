package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// pool is a set of goroutines that wait for work. The goroutine that brings
// work takes part in it, so a pool of one thread has no others.
//
// To wake a thread that sleeps takes the system 50 to 150 microseconds, which
// is as long as a step of 100 000 elements. So whoever waits, for work or for
// its end, looks for it a while before it goes to sleep.
type pool struct {
	threads int
	workers []worker
	running sync.WaitGroup // the workers

	// busy is held while the workers are at somebody's work.
	busy    sync.Mutex
	done    sync.WaitGroup // the parts of that work
	pending atomic.Int32   // the same number, to be looked at
}

// worker is one of the goroutines.
type worker struct {
	state atomic.Int32 // idle, posted or asleep
	wake  chan struct{}
	job   job // valid while posted
}

const (
	idle   = iota // the worker looks for a job
	posted        // there is one
	asleep        // it waits on the channel
)

// job is part of some work for one worker; without work, the end of it.
type job struct {
	work  work
	part  int
	parts int
}

// work is split into parts that can run at the same time.
type work interface {
	run(part, parts int)
}

func newPool(threads int) *pool {
	p := &pool{threads: threads, workers: make([]worker, threads-1)}
	p.running.Add(len(p.workers))
	for i := range p.workers {
		p.workers[i].wake = make(chan struct{}, 1)
		go p.serve(&p.workers[i])
	}
	return p
}

func (p *pool) serve(w *worker) {
	defer p.running.Done()
	for {
		j := w.next()
		if j.work == nil {
			return
		}
		j.work.run(j.part, j.parts)
		// The caller that sees nothing pending must not have to wait. So pending
		// may count this one into the next work: that ends a look early, no more,
		// since it is done that counts.
		p.done.Done()
		p.pending.Add(-1)
	}
}

// next waits for a job.
func (w *worker) next() job {
	if !watch(func() bool { return w.state.Load() == posted }) && w.state.CompareAndSwap(idle, asleep) {
		<-w.wake
	}
	j := w.job
	w.job = job{} // an idle worker must not keep the memory of a run
	w.state.Store(idle)
	return j
}

func (w *worker) post(j job) {
	w.job = j
	if w.state.Swap(posted) == asleep {
		w.wake <- struct{}{}
	}
}

// watch looks for about 50 microseconds whether something has happened, and
// lets other goroutines run meanwhile.
func watch(happened func() bool) bool {
	const looks, perYield = 4096, 32
	for i := range looks {
		if happened() {
			return true
		}
		if i%perYield == perYield-1 {
			runtime.Gosched()
		}
	}
	return false
}

// do runs the work in at most parts parts, and returns when all are complete,
// with the number of parts it made. When the workers are at other work the
// caller does all of its own: where several goroutines run programs at once,
// they are parallel already.
func (p *pool) do(w work, parts int) int {
	parts = min(parts, p.threads)
	if parts <= 1 || !p.busy.TryLock() {
		w.run(0, 1)
		return 1
	}
	p.done.Add(parts - 1)
	p.pending.Store(int32(parts - 1))
	for i := range parts - 1 {
		p.workers[i].post(job{w, i + 1, parts})
	}
	w.run(0, parts)
	watch(func() bool { return p.pending.Load() == 0 })
	p.done.Wait()
	p.busy.Unlock()
	return parts
}

// close ends the workers; no work may be under way.
func (p *pool) close() {
	for i := range p.workers {
		p.workers[i].post(job{})
	}
	p.running.Wait()
}
