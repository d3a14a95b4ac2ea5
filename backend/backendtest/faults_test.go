// No test that cannot fail: the reference device with a fault built in, run in
// a process of its own, and the subtest that must find it.

package backendtest

import (
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"errorcell/backend"
	"errorcell/kernels"
)

type fault string

const (
	noFault            fault = ""
	faultSignOfZero    fault = "-0 becomes +0"
	faultFlush         fault = "subnormals become 0"
	faultBlockEdge     fault = "a count is one off where a block ends"
	faultTail          fault = "the last element is not written"
	faultRowGroup      fault = "batch sums lose the row after a group"
	faultOrder         fault = "sums are added in another order"
	faultLostNaN       fault = "a count drops NaN"
	faultFloatCount    fault = "counts are added in float32"
	faultChangesInput  fault = "an operand is overwritten"
	faultForgetful     fault = "each run is a little different"
	faultSharedScratch fault = "concurrent runs share scratch memory"
	faultGoroutine     fault = "a goroutine is left"
	faultClosedBuffer  fault = "closed buffers are accepted"
	faultUseAfterClose fault = "a closed device goes on"
	faultCloseTwice    fault = "the second Close is an error"
	faultDeadlock      fault = "Close never lets go"
	faultDirtyBuffer   fault = "fresh buffers are not zero"
	faultNoEOF         fault = "a short read is no error"
	faultWriteFirst    fault = "outputs are written before the check"
	faultAliased       fault = "a result may lie on an operand"
	faultNamelessError fault = "errors do not name the device"
	faultCachedByName  fault = "programs are found by the kernel's name"
	faultNoCache       fault = "every Compile makes a program"
	faultTruth         fault = "true is another number than 1"
	faultTruthNaN      fault = "what has NaN in it is true"
	faultDirtyShared   fault = "shared memory is not zero"
	faultBorrowsAll    fault = "any memory can be borrowed"
	faultBorrowCopies  fault = "borrowed memory is copied"
	faultFreesParts    fault = "a part of shared memory can be given back"
	faultUsesFreed     fault = "memory that was given back is used"
	faultAllocates     fault = "a run allocates" // as the reference interpreter does
)

// found says which subtest must fail for which fault.
var found = []struct {
	fault fault
	test  string
}{
	{faultSignOfZero, "Operations/float32/neg"},
	{faultSignOfZero, "EmptyAndEqual/float64"},
	{faultSignOfZero, "SpecialValues/float32/laplacian/pairs"},
	{faultFlush, "Operations/float32/min"},
	{faultFlush, "SpecialValues/float64/laplacian-l1/edges"},
	{faultBlockEdge, "Sizes/float32/long"},
	{faultBlockEdge, "Kernels/float64/laplacian"},
	{faultTail, "Sizes/float32/short"},
	{faultTail, "Broadcast/float64"},
	{faultTail, "Random/float32"},
	{faultRowGroup, "Sizes/float64/rows"},
	{faultOrder, "Sizes/float32/long"},
	{faultOrder, "Sizes/float64/short"},
	{faultOrder, "Kernels/float32/trees"},
	{faultOrder, "Random/float32"},
	{faultOrder, "Random/float64"},
	{faultOrder, "Large/float32"},
	{faultLostNaN, "NaN/float32"},
	{faultFloatCount, "Counts"},
	{faultChangesInput, "Kernels/float32/copy"},
	{faultForgetful, "Repeat/float64"},
	{faultSharedScratch, "Concurrent"},
	{faultGoroutine, "Goroutines/unused"},
	{faultClosedBuffer, "BadRun/closed_operand"},
	{faultClosedBuffer, "BadRun/closed_result"},
	{faultClosedBuffer, "Closed/buffer"},
	{faultUseAfterClose, "Closed/device"},
	{faultCloseTwice, "Device/close_twice"},
	{faultDeadlock, "ConcurrentClose"},
	{faultDirtyBuffer, "Buffers/float32/fresh"},
	{faultNoEOF, "Buffers/float64/bytes"},
	{faultWriteFirst, "BadRun/operand_missing"},
	{faultAliased, "BadRun/result_on_an_operand"},
	{faultNamelessError, "BadCompile/operand_missing"},
	{faultCachedByName, "Programs/namesakes"},
	{faultNoCache, "Programs/made_once"},
	{faultTruth, "Kernels/float32/truths"},
	{faultTruth, "Operations/float64/not"},
	{faultTruth, "Random/float32"},
	{faultTruthNaN, "SpecialValues/float32/wild"},
	{faultTruthNaN, "Operations/float64/less"},
	{faultDirtyBuffer, "Truths/float32/fresh"},
	{faultNoEOF, "Truths/float64/bytes"},
	{faultTail, "Sizes/float64/columns"},
	{faultWriteFirst, "BadRun/truth_values/numbers_for_truth_values"},
	{faultDirtyShared, "Shared/float32/fresh"},
	{faultBorrowsAll, "BadShared/borrow/Go's"},
	{faultBorrowsAll, "BadShared/borrow/freed"},
	{faultBorrowCopies, "Borrowed/float64"},
	{faultBorrowCopies, "Shared/float64/both_sides"},
	{faultFreesParts, "BadShared/give_back/the_last_part"},
	{faultUsesFreed, "Shared/float32/freed_under_work"},
	{faultUseAfterClose, "BadShared/closed_device"},
	{faultAllocates, "Allocations/float32"},
}

// spoiler is the state of faults.
type spoiler struct {
	runs    atomic.Int64
	scratch [1 << 16]float32
}

// spoil puts the device's fault into the results of a run.
func spoil[T kernels.Float](d *referenceDevice, r run[T], results [][]T) {
	_, normal, _, _ := limits[T]()
	n := r.rows * r.cols
	switch d.fault {
	case faultSignOfZero:
		each(results, func(x T) T { return x + 0 })
	case faultFlush:
		each(results, func(x T) T {
			if T(math.Abs(float64(x))) < normal {
				return T(math.Copysign(0, float64(x)))
			}
			return x
		})
	case faultBlockEdge:
		for _, count := range ofKernel(r, results, "L", "count") {
			if n%kernels.BlockSize == 1 {
				count[0]--
			}
		}
	case faultTail:
		if n > 16 && n%4 == 1 {
			results[0][len(results[0])-1] = poison
		}
	case faultRowGroup:
		if r.rows > 1 && r.rows%kernels.GroupRows == 1 {
			fewer, _ := r.rearranged(r.rows-1, func(row, col int) (int, int) { return row, col }).reference()
			replace(r, results, fewer, kernels.Row)
		}
	case faultOrder:
		backwards, _ := r.rearranged(r.rows, func(row, col int) (int, int) { return r.rows - 1 - row, r.cols - 1 - col }).reference()
		replace(r, results, backwards, kernels.Scalar)
		upwards, _ := r.rearranged(r.rows, func(row, col int) (int, int) { return r.rows - 1 - row, col }).reference()
		replace(r, results, upwards, kernels.Row)
	case faultLostNaN:
		for _, count := range ofKernel(r, results, "L", "count") {
			if count[0] != count[0] {
				count[0] = T(-n)
			}
		}
	case faultFloatCount:
		each(results, func(x T) T { return min(x, 1<<24) })
	case faultChangesInput:
		if n > 1 {
			r.inputs[0][0] = 1.25
		}
	case faultTruth:
		each(truthsOf(r, results), func(x T) T { return 255 * x })
	case faultTruthNaN:
		for _, truths := range truthsOf(r, results) {
			for i := range truths {
				for _, in := range r.inputs {
					if len(in) == len(truths) && in[i] != in[i] {
						truths[i] = 1
					}
				}
			}
		}
	case faultForgetful:
		if d.runs.Add(1) > 4 {
			results[0][0]++
		}
	case faultSharedScratch:
		first := d.scratch[:min(len(d.scratch), len(results[0]))]
		for i := range first {
			first[i] = float32(results[0][i])
		}
		time.Sleep(100 * time.Microsecond)
		for i := range first {
			results[0][i] = T(first[i])
		}
	}
}

func each[T kernels.Float](results [][]T, f func(T) T) {
	for _, result := range results {
		for i, x := range result {
			result[i] = f(x)
		}
	}
}

// ofKernel picks results by name.
func ofKernel[T kernels.Float](r run[T], results [][]T, names ...string) [][]T {
	var list [][]T
	for i, result := range results {
		if slices.Contains(names, r.plan.Kernel.OutputName(i)) {
			list = append(list, result)
		}
	}
	return list
}

// truthsOf picks the results that are truth values.
func truthsOf[T kernels.Float](r run[T], results [][]T) [][]T {
	var list [][]T
	for i, result := range results {
		if r.plan.OutputDType(i) == kernels.B8 {
			list = append(list, result)
		}
	}
	return list
}

// replace takes the results of a kind from others.
func replace[T kernels.Float](r run[T], results, others [][]T, kind kernels.Kind) {
	for i := range results {
		if r.plan.Outputs[i] == kind {
			copy(results[i], others[i])
		}
	}
}

// rearranged is a run whose operands have the element that from says at each
// place, in a grid of the given number of rows.
func (r run[T]) rearranged(rows int, from func(row, col int) (int, int)) run[T] {
	out := run[T]{plan: r.plan, rows: rows, cols: r.cols, inputs: make([][]T, len(r.inputs))}
	for i, data := range r.inputs {
		kind := r.plan.Signature.Kinds[i]
		_, width := kind.Extent(r.rows, r.cols)
		height, _ := kind.Extent(rows, r.cols)
		for row := range height {
			for col := range width {
				fromRow, fromCol := from(row, col)
				if height == 1 {
					fromRow = 0
				}
				if width == 1 {
					fromCol = 0
				}
				out.inputs[i] = append(out.inputs[i], data[fromRow*width+fromCol])
			}
		}
	}
	return out
}

const faultVariable = "BACKENDTEST_FAULT"

// TestFaultyDevice is the suite on the device with the fault that the
// environment names: TestFaultsAreFound runs it and wants it to fail.
func TestFaultyDevice(t *testing.T) {
	f := fault(os.Getenv(faultVariable))
	if f == noFault {
		t.Skipf("%s names no fault: TestFaultsAreFound runs this test with one", faultVariable)
	}
	if f == faultDeadlock {
		patience = time.Second
	}
	Run(t, func() (backend.Device, error) { return newReferenceDevice(f), nil })
}

func TestFaultsAreFound(t *testing.T) {
	if raceEnabled && testing.Short() {
		t.Skip("what the suite finds is the same without -race: run without -short or without -race")
	}
	if _, err := exec.LookPath(os.Args[0]); err != nil {
		t.Skipf("the test cannot start itself: %v", err)
	}
	for _, f := range found {
		t.Run(string(f.fault)+"/"+f.test, func(t *testing.T) {
			pattern := "^TestFaultyDevice$/^" + strings.Join(strings.Split(f.test, "/"), "$/^") + "$"
			command := exec.Command(os.Args[0], "-test.run="+pattern, "-rapid.nofailfile", "-rapid.shrinktime=10ms")
			switch {
			case f.fault != faultFloatCount:
				command.Args = append(command.Args, "-test.short")
			case testing.Short():
				t.Skip("a count above 2^24 takes half a gigabyte: run without -short")
			}
			if f.fault == faultAllocates && raceEnabled {
				t.Skip("the race detector allocates: run without -race")
			}
			command.Env = append(os.Environ(), faultVariable+"="+string(f.fault))
			output, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(output), "--- FAIL: TestFaultyDevice/"+f.test) {
				t.Errorf("the suite has not found it: %v\n%.2000s", err, output)
			}
		})
	}
}
