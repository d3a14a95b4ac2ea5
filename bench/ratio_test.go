package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkOfLimit is the speed of a step as a part of the limit's. The two
// take turns, a millisecond or so each, so that whatever else the machine does
// hits both alike; limit/step is the ratio of the medians of their turns.
func BenchmarkOfLimit(b *testing.B) {
	for _, im := range impls {
		if im.name == "limit" || im.name == "naive" || im.name == "gorgonia" {
			continue
		}
		for _, n := range sizes {
			b.Run(fmt.Sprintf("impl=%s/n=%d", im.name, n), func(b *testing.B) {
				a := newArrays(n)
				step, limit := im.make(b, a), limit(b, a)
				defer step.close()
				defer limit.close()
				steps := max(1, 1<<24/n)
				turn := func(r runner) float64 {
					start := time.Now()
					for range steps {
						if err := r.step(); err != nil {
							b.Fatal(err)
						}
					}
					return float64(time.Since(start)) / float64(steps)
				}
				turn(step)
				turn(limit)
				var ours, limits []float64
				for b.Loop() {
					ours = append(ours, turn(step))
					limits = append(limits, turn(limit))
				}
				b.ReportMetric(0, "ns/op") // of two turns: says nothing
				b.ReportMetric(median(ours), "ns/step")
				b.ReportMetric(median(limits)/median(ours), "limit/step")
			})
		}
	}
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
