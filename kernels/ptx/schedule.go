// Which passes of a plan go into which launch.

package ptx

import (
	"fmt"
	"math"
	"slices"

	"errorcell/kernels"
)

// job is what one launch computes: a pass of the plan, or several over the same
// elements, and, once its sums are known, the passes that need nothing else,
// over a single element or, for sums over the batch, over the columns.
type job struct {
	pass  kernels.Pass
	after []kernels.Pass
	batch bool  // its sums are over the batch axis
	kept  []int // its sums that later launches read
}

// schedule makes the jobs of a plan. The loss of most cells is a number that
// follows from a sum, so that their whole plan is one job.
func schedule(plan *kernels.Plan) []job {
	var jobs []job
	for _, p := range plan.Passes {
		if n := len(jobs); n > 0 && jobs[n-1].leadsTo(plan, p) {
			jobs[n-1].after = append(jobs[n-1].after, p)
			continue
		} else if n > 0 && jobs[n-1].joins(p) {
			jobs[n-1].pass = join(jobs[n-1].pass, p)
			continue
		}
		jobs = append(jobs, job{pass: p, batch: len(p.Sums) > 0 && plan.Sums[p.Sums[0]].Axis == kernels.Batch})
	}
	for i := range jobs {
		for _, later := range jobs[i+1:] {
			for _, sum := range jobs[i].pass.Sums {
				if later.reads(sum) && !slices.Contains(jobs[i].kept, sum) {
					jobs[i].kept = append(jobs[i].kept, sum)
				}
			}
		}
	}
	return jobs
}

// leadsTo reports whether a pass can be done where the job's sums are complete.
func (j *job) leadsTo(plan *kernels.Plan, p kernels.Pass) bool {
	return len(j.pass.Sums) > 0 && len(p.Sums) == 0 && p.Kind == plan.Sums[j.pass.Sums[0]].Kind
}

// joins reports whether a pass can be done in the same loop.
func (j *job) joins(p kernels.Pass) bool {
	return len(j.pass.Sums) == 0 && len(p.Sums) == 0 && p.Kind == j.pass.Kind
}

// join makes one pass of two without sums.
func join(a, b kernels.Pass) kernels.Pass {
	type key struct {
		node kernels.Node
		bits uint64 // of the constant: -0 equals +0
	}
	keyOf := func(n kernels.Node) key { return key{n, math.Float64bits(n.Const)} }
	known := map[key]int{}
	for i, n := range a.Nodes {
		known[keyOf(n)] = i
	}
	joined := kernels.Pass{Kind: a.Kind, Nodes: slices.Clone(a.Nodes), Stores: slices.Clone(a.Stores)}
	to := make([]int, len(b.Nodes))
	for i, n := range b.Nodes {
		for arg := range n.Op.Arity() {
			n.Args[arg] = to[n.Args[arg]]
		}
		at, ok := known[keyOf(n)]
		if !ok {
			at = len(joined.Nodes)
			joined.Nodes = append(joined.Nodes, n)
			known[keyOf(n)] = at
		}
		to[i] = at
	}
	for _, st := range b.Stores {
		joined.Stores = append(joined.Stores, kernels.Store{Output: st.Output, Node: to[st.Node]})
	}
	return joined
}

func (j *job) reads(sum int) bool {
	for _, p := range append([]kernels.Pass{j.pass}, j.after...) {
		if slices.ContainsFunc(p.Nodes, func(n kernels.Node) bool { return n.Op == kernels.OpReduced && n.Index == sum }) {
			return true
		}
	}
	return false
}

// comments say above the entry what it computes.
func (j *job) comments(plan *kernels.Plan, i, of int) []string {
	what := fmt.Sprintf("Launch %d of %d, over the %v", i+1, of, extents[j.pass.Kind])
	if j.batch {
		what += ", with sums over the batch"
	}
	return []string{what + "."}
}

var extents = map[kernels.Kind]string{kernels.Full: "grid", kernels.Row: "columns of the grid", kernels.Column: "rows of the grid", kernels.Scalar: "single element"}
