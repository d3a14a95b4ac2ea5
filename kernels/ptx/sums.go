// Sums: what a thread adds up, and how the threads of a warp put it together.

package ptx

import (
	"fmt"
	"maps"

	"errorcell/kernels"
)

// A sum that is counted has these registers in each thread:
//
//	%tally<k>   the sum over a unit, a float that holds a small whole number, or NaN
//	%count<k>   the sum over the units before
//	%nans<k>    how many of them had a NaN
//
// and one that follows the tree has, in float64, up to perThread running sums:
// %sum<k>a, b, ... In a trip through a block of the tree, thread t of the warp
// takes width elements from t*width on, then those 32*width further on, until
// the block's 128 lanes are through; so these are always the same lanes.

// perThread is the number of lanes of a block of the tree that a thread has.
const perThread = kernels.Lanes / warp

// lane is the register of a running sum.
func (e *entry) lane(sum, i int) string {
	return e.reg("f64", fmt.Sprintf("%%sum%d%c", sum, 'a'+i))
}

// counts and trees are the sums of a pass of either sort.
func (p *pass) counts() []int { return p.sumsWhere(true) }
func (p *pass) trees() []int  { return p.sumsWhere(false) }

func (p *pass) sumsWhere(count bool) (list []int) {
	for _, sum := range p.Sums {
		if p.plan.Sums[sum].Count == count {
			list = append(list, sum)
		}
	}
	return list
}

// clearLanes sets running sums to +0.
func (p *pass) clearLanes(sums []int, lanes int) {
	for _, sum := range sums {
		for i := range lanes {
			p.put("mov.f64 $sum, 0d0000000000000000", "sum", p.lane(sum, i))
		}
	}
}

// addToLanes adds the elements of a trip to the running sums of some sums.
func (t *trip) addToLanes(sums []int, lanes int) {
	for _, sum := range sums {
		node := t.plan.Sums[sum].Node
		t.put("// s$k, a sum of $says", "k", sum, "says", t.says[node])
		for s, slot := range t.slots {
			for e := range t.width {
				x := t.reg(node, s, e)
				if t.dtype() == kernels.F32 {
					t.put(".reg .f64 %double\ncvt.f64.f32 %double, $x", "x", x)
					x = "%double"
				}
				lane := t.lane(sum, (s*t.width+e)%lanes)
				t.put(guarded(slot.guard, "add.rn.f64 $lane, $lane, $x"), "lane", lane, "x", x)
			}
		}
	}
}

// addToTallies adds the elements of a trip to the tallies.
func (t *trip) addToTallies() {
	for _, sum := range t.counts() {
		node := t.plan.Sums[sum].Node
		t.put("// s$k, a count of $says", "k", sum, "says", t.says[node])
		for s, slot := range t.slots {
			for e := range t.width {
				t.put(guarded(slot.guard, "add.rn.$T %tally$k, %tally$k, $x"), "k", sum, "x", t.reg(node, s, e))
			}
		}
	}
}

// foldLanes adds up the lanes of a block of the tree, those of each thread and
// those of the warp, as kernels.FoldLanes does. The sums are in lane a of
// thread 0 then.
func (t *trip) foldLanes(sums []int) {
	t.put("// The $lanes lanes in pairs: lane j and lane j+64, then j+32, and so on down to j+1", "lanes", kernels.Lanes)
	half := kernels.Lanes / 2
	fold := func(lanes, distance int) {
		for _, sum := range sums {
			for i := range lanes {
				t.put("add.rn.f64 $a, $a, $b", "a", t.lane(sum, i), "b", t.lane(sum, i+distance))
			}
		}
	}
	for ; half >= warp*t.width; half /= 2 {
		fold(half/warp, half/warp)
	}
	var across []string
	for _, sum := range sums {
		for i := range t.width {
			across = append(across, t.lane(sum, i))
		}
	}
	t.addAcross("f64", across, false)
	for half = t.width / 2; half > 0; half /= 2 {
		fold(half, half)
	}
}

// addAcross adds registers across the warp; thread 0 has the sums then. Each
// thread adds that of the thread 16 further on, then 8 and so on down to 1; or
// the other way round, so that neighbours are added first.
func (e *entry) addAcross(typ string, regs []string, neighboursFirst bool) {
	first, step, last := 16, "shr.b32", 0
	if neighboursFirst {
		first, step, last = 1, "shl.b32", 32
	} else if typ == "s32" && e.arch.redux() {
		for _, r := range regs {
			e.put("redux.sync.add.s32 $r, $r, 0xffffffff", "r", r)
		}
		return
	}
	label := e.label("across")
	e.put(`
		.reg .u32 %distance
		.reg .pred %more
		mov.u32 %distance, $first
		$label:`, "first", first, "label", label)
	add := "add." + typ
	if typ == "f64" {
		add = "add.rn.f64"
	}
	for _, r := range regs {
		if typ == "s32" {
			e.put(`
				.reg .s32 %other
				shfl.sync.down.b32 %other, $r, %distance, 31, 0xffffffff
				$add $r, $r, %other`, "r", r, "add", add)
			continue
		}
		e.put(`
			.reg .b32 %low, %high
			.reg .$typ %other_$typ
			mov.b64 {%low, %high}, $r
			shfl.sync.down.b32 %low, %low, %distance, 31, 0xffffffff
			shfl.sync.down.b32 %high, %high, %distance, 31, 0xffffffff
			mov.b64 %other_$typ, {%low, %high}
			$add $r, $r, %other_$typ`, "r", r, "add", add, "typ", typ)
	}
	e.put(`
		$step %distance, %distance, 1
		setp.ne.u32 %more, %distance, $last
		@%more bra $label`, "step", step, "last", last, "label", label)
}

// convert makes the result of a tree from its float64, in %s<k>.
func (e *entry) convert(sum int, from string) string {
	to := e.reg(e.words["T"], fmt.Sprintf("%%s%d", sum))
	if e.dtype() == kernels.F32 {
		e.put("cvt.rn.f32.f64 $to, $from", "to", to, "from", from)
	} else {
		e.put("mov.f64 $to, $from", "to", to, "from", from)
	}
	return to
}

// keep stores the results of the sums that later launches read, at an element
// of their arrays, "" for the only one.
func (e *entry) keep(j job, known map[int]string, index string) {
	for _, sum := range j.kept {
		e.put("// s$k, for the next launches", "k", sum)
		address := e.param(Sum, sum)
		if index != "" {
			e.put(".reg .u64 %to_sum\n$at %to_sum, $index, $size, $array", "index", index, "array", address)
			address = "%to_sum"
		}
		e.put("st.global.$T [$address], $x", "address", address, "x", known[sum])
	}
}

// follow computes the passes that need only the job's sums, for one element.
// Where that is written twice, for two ways to get there, it is the same text.
func (e *entry) follow(j job, known map[int]string, at slot) {
	before := maps.Clone(e.bases)
	defer func() { e.bases = before }()
	for _, p := range j.after {
		ps := e.pass(p, known)
		ps.scalars()
		(&trip{pass: ps, width: 1, slots: []slot{at}}).compute()
	}
}
