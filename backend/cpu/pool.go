package cpu

import "sync"

// pool is a set of goroutines that wait for work. The goroutine that brings
// work takes part in it, so a pool of one thread has no others.
type pool struct {
	threads int
	workers []chan job
	running sync.WaitGroup // the workers

	// busy is held while the workers are at somebody's work.
	busy sync.Mutex
	done sync.WaitGroup // the parts of that work
}

// job is part of some work for one worker.
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
	p := &pool{threads: threads, workers: make([]chan job, threads-1)}
	p.running.Add(len(p.workers))
	for i := range p.workers {
		p.workers[i] = make(chan job, 1)
		go p.serve(p.workers[i])
	}
	return p
}

func (p *pool) serve(jobs <-chan job) {
	defer p.running.Done()
	for j := range jobs {
		j.work.run(j.part, j.parts)
		p.done.Done()
	}
}

// do runs the work in at most parts parts, and returns when all are complete,
// with the number of parts it made.
// When the workers are at other work the caller does all of its own: where
// several goroutines run programs at once, they are parallel already.
func (p *pool) do(w work, parts int) int {
	parts = min(parts, p.threads)
	if parts <= 1 || !p.busy.TryLock() {
		w.run(0, 1)
		return 1
	}
	p.done.Add(parts - 1)
	for i := range parts - 1 {
		p.workers[i] <- job{w, i + 1, parts}
	}
	w.run(0, parts)
	p.done.Wait()
	p.busy.Unlock()
	return parts
}

// close ends the workers; no work may be under way.
func (p *pool) close() {
	for _, jobs := range p.workers {
		close(jobs)
	}
	p.running.Wait()
}
