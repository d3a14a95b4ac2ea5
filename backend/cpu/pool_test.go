package cpu

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The pool is tried with work that notes who computes what and when. It does so
// in plain memory, so that the race detector sees two workers with one number,
// a unit that two compute, and whatever do returns too early for.

// tracked is work that checks how it is run.
type tracked struct {
	t       *testing.T
	workers int // that may take part
	delay   func(worker int)
	times   []int  // that each unit was run
	units   [8]int // that each worker ran
	over    atomic.Bool
}

func (w *tracked) run(worker, first, end int) {
	if w.over.Load() {
		w.t.Error("a worker runs units after the end of the work")
	}
	if worker < 0 || worker >= w.workers {
		w.t.Errorf("worker %d takes part, of %d", worker, w.workers)
		return
	}
	if first >= end {
		w.t.Errorf("worker %d is to run the units from %d to %d", worker, first, end)
	}
	for i := first; i < end; i++ {
		w.times[i]++
	}
	if w.delay != nil {
		w.delay(worker)
	}
	w.units[worker] += end - first
}

// check does the work and sees that all of it was done.
func check(t *testing.T, p *pool, units, parts int, delay func(worker int)) {
	t.Helper()
	w := &tracked{t: t, workers: max(1, min(parts, p.threads)), delay: delay, times: make([]int, units)}
	p.do(w, units, parts)
	w.over.Store(true)
	sum := 0
	for _, n := range w.units {
		sum += n
	}
	if sum != units || slices.ContainsFunc(w.times, func(n int) bool { return n != 1 }) {
		t.Errorf("%d units in %d parts on %d threads: done %v times", units, parts, p.threads, w.times)
	}
	w.units, w.times = [8]int{}, nil // a race with whoever is not done
}

// naps makes a worker slow now and then, so that others take its claims.
func naps(int) {
	if rand.IntN(10) == 0 {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
	}
}

func TestPoolRunsEachUnitOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		p := newPool(threads)
		for _, units := range []int{0, 1, 2, 3, 7, 8, 9, 17, 64, 1000} {
			for _, parts := range []int{0, 1, 2, 3, 8, 20} {
				check(t, p, units, parts, nil)
				check(t, p, units, parts, naps)
			}
		}
		p.close()
	}
}

// TestPoolHasNoLateWorkers does much work for which workers come too late:
// after pauses of all lengths they look, sleep or are about to.
func TestPoolHasNoLateWorkers(t *testing.T) {
	p := newPool(4)
	defer p.close()
	for i := range 2000 {
		check(t, p, 1+rand.IntN(40), 2+rand.IntN(3), nil)
		switch i % 4 {
		case 1:
			for end := now() + time.Duration(rand.IntN(100))*time.Microsecond; now() < end; {
				runtime.Gosched()
			}
		case 3:
			time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
		}
	}
}

func TestPoolOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := newPool(4)
	defer p.close()
	for range 100 {
		check(t, p, 40, 4, naps)
		check(t, p, 40, 4, func(int) { runtime.Gosched() })
	}
}

func TestPoolOfManyUsers(t *testing.T) {
	p := newPool(3)
	defer p.close()
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 300 {
				check(t, p, rand.IntN(50), 3, naps)
			}
		})
	}
	users.Wait()
}

// TestPoolTakesNoClaimOfOtherWork: a worker that is late for one work must not
// take part in the next, which may be for fewer workers.
func TestPoolTakesNoClaimOfOtherWork(t *testing.T) {
	p := &pool{threads: 2, ranges: make([]workRange, 2)} // without the worker
	before := p.post(spin(0), 100, 2)
	after := p.post(spin(0), 100, 2)
	if _, ok := p.ranges[1].take(before, true); ok {
		t.Error("a claim of the work before is taken")
	}
	if _, ok := p.ranges[1].take(after, true); !ok {
		t.Error("no claim of this work is taken")
	}
}

// asleep waits until all workers sleep.
func asleep(p *pool) {
	for i := 1; i < p.threads; i++ {
		for !p.beds[i].asleep.Load() {
			time.Sleep(lookTime)
		}
	}
}

// TestPoolWakesSleepers: for long work, and for work that follows other work.
func TestPoolWakesSleepers(t *testing.T) {
	p := newPool(4)
	defer p.close()
	for _, c := range []struct {
		name  string
		claim time.Duration
	}{{"long work", longWork}, {"much short work", 0}} {
		asleep(p)
		woken := make([]bool, p.threads)
		woken[0] = true
		for limit := time.Now().Add(10 * time.Second); slices.Contains(woken, false); {
			check(t, p, 100, 4, func(int) { spin(c.claim).run(0, 0, 1) })
			for i := 1; i < p.threads; i++ {
				woken[i] = woken[i] || !p.beds[i].asleep.Load()
			}
			if time.Now().After(limit) {
				t.Fatalf("%s: workers sleep on", c.name)
			}
		}
	}
}

// TestPoolWorksAroundTheStuck: when a worker is held up in its first claim, all
// others are taken by the caller.
func TestPoolWorksAroundTheStuck(t *testing.T) {
	p := newPool(2)
	defer p.close()
	w := &stuck{units: 100, begun: make(chan struct{}), release: make(chan struct{})}
	watchdog := time.AfterFunc(10*time.Second, func() {
		t.Error("the caller does not do the work of the worker that is stuck")
		close(w.release)
	})
	defer watchdog.Stop()
	p.do(w, w.units, 2)
	if got := w.done.Load(); got != int64(w.units) {
		t.Errorf("%d of %d units are done", got, w.units)
	}
}

// stuck is work whose worker 1 does not return before worker 0 has run all
// units but those.
type stuck struct {
	units          int
	held           atomic.Int64 // the units of worker 1
	done           atomic.Int64
	calls          int // of worker 0
	begun, release chan struct{}
}

func (w *stuck) run(worker, first, end int) {
	if worker == 1 {
		if w.held.CompareAndSwap(0, int64(end-first)) {
			close(w.begun)
			<-w.release
		}
		w.done.Add(int64(end - first))
		return
	}
	w.calls++
	switch w.calls {
	case 1:
		time.Sleep(longWork) // so that the worker is woken
	case 2:
		<-w.begun
	}
	if w.done.Add(int64(end-first)) == int64(w.units)-w.held.Load() {
		// Not at once, so that the caller has to sleep and to be woken.
		time.AfterFunc(10*lookTime, func() { close(w.release) })
	}
}

func TestPoolCloses(t *testing.T) {
	for range 50 {
		for _, before := range []func(*pool){
			func(*pool) {},
			asleep,
			func(p *pool) { check(t, p, 100, 4, nil) },
			func(p *pool) { check(t, p, 100, 4, nil); time.Sleep(lookTime) },
		} {
			p := newPool(4)
			before(p)
			p.close()
		}
	}
	goleak.VerifyNone(t)
}

func TestPoolAllocatesNothing(t *testing.T) {
	p := newPool(3)
	defer p.close()
	w := &meeting{}
	if n := testing.AllocsPerRun(100, func() { p.do(w, 100, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// meeting is work whose caller waits a while for another worker to come.
type meeting struct{ arrived atomic.Int64 } // the time

func (w *meeting) run(worker, _, _ int) {
	if worker > 0 {
		w.arrived.CompareAndSwap(0, int64(now()))
		return
	}
	for end := now() + lookTime; w.arrived.Load() == 0 && now() < end; {
	}
}

// BenchmarkWake is how long it takes a worker that looks for work to begin with
// it (wake-ns), and then to be done: the least that work of two parts takes.
func BenchmarkWake(b *testing.B) {
	p := newPool(2)
	defer p.close()
	var wakes []float64
	w := &meeting{}
	for b.Loop() {
		w.arrived.Store(0)
		start := now()
		p.do(w, 2, 2)
		wakes = append(wakes, float64(w.arrived.Load()-int64(start)))
	}
	slices.Sort(wakes)
	b.ReportMetric(wakes[len(wakes)/2], "wake-ns")
}

// BenchmarkPauses is the median step of a loop that makes pauses, with work
// for the time given on one thread.
func BenchmarkPauses(b *testing.B) {
	for _, work := range []time.Duration{5 * time.Microsecond, 500 * time.Microsecond} {
		for _, pause := range []time.Duration{0, 10, 40, 100, 500, 1000} {
			pause *= time.Microsecond
			b.Run(fmt.Sprintf("work=%v/pause=%v", work, pause), func(b *testing.B) {
				p := newPool(2)
				defer p.close()
				const units = 64
				w := spin(work / units)
				var steps []float64
				for b.Loop() {
					spin(pause).run(0, 0, 1)
					start := now()
					p.do(w, units, 2)
					steps = append(steps, float64(now()-start))
				}
				slices.Sort(steps)
				b.ReportMetric(steps[len(steps)/2], "step-ns")
			})
		}
	}
}

// spin is work that takes a time for each unit.
type spin time.Duration

func (d spin) run(_, first, end int) {
	for until := now() + time.Duration(d)*time.Duration(end-first); now() < until; {
	}
}

// TestPoolCountsRound: work has numbers, and after the last one the first again.
func TestPoolCountsRound(t *testing.T) {
	p := newPool(3)
	defer p.close()
	p.number = 1<<(52-partsBits) - 100
	for i := range 200 {
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // so that the workers sleep
		}
		var done atomic.Int64
		p.do(counter{&done}, 100, 3)
		if done.Load() != 100 {
			t.Fatalf("work number %d: %d units of 100 are complete", p.number, done.Load())
		}
	}
}

// counter counts its units.
type counter struct{ done *atomic.Int64 }

func (c counter) run(_, first, end int) { c.done.Add(int64(end - first)) }
