// What the architectures differ in.

package ptx

import "fmt"

// arch is an NVIDIA architecture that PTX can be written for. The driver
// compiles it for newer ones too.
type arch struct {
	sm      int
	version string // of the PTX ISA: 7.0, or the first that has all that is used
}

// archs are those that differ in what a lowering may use, or whose own machine
// code the tests look at.
var archs = []arch{
	{70, "7.0"}, {75, "7.0"}, {80, "7.0"}, {86, "7.1"}, {89, "7.8"}, {90, "7.8"},
	{100, "8.8"}, {103, "8.8"}, {120, "8.8"}, {121, "8.8"},
}

// Archs lists the architectures of the table, as compute capabilities.
func Archs() []int {
	list := make([]int, len(archs))
	for i, a := range archs {
		list[i] = a.sm
	}
	return list
}

// archOf is the newest architecture whose PTX runs on the given one.
func archOf(sm int) (arch, error) {
	if sm < archs[0].sm {
		return arch{}, fmt.Errorf("ptx: sm_%d: the oldest architecture is sm_%d (Volta)", sm, archs[0].sm)
	}
	found := archs[0]
	for _, a := range archs {
		if a.sm <= sm {
			found = a
		}
	}
	return found, nil
}

// target is the architecture's name.
func (a arch) target() string { return fmt.Sprint("sm_", a.sm) }

// redux says whether a warp adds integers in one instruction.
func (a arch) redux() bool { return a.sm >= 80 }

// minNaN says whether min and max of float32 can give NaN for NaN.
func (a arch) minNaN() bool { return a.sm >= 80 }

// vectorBytes is the width of the widest access to global memory.
func (a arch) vectorBytes() int {
	if a.sm >= 100 {
		return 32
	}
	return 16
}

// readOnce is the cache hint of loads of what is read once: it passes by the
// L1 cache, which broadcast operands have to themselves then. PTX 7.4 brings it.
func (a arch) readOnce() string {
	if a.sm >= 89 {
		return ".L1::no_allocate"
	}
	return ""
}
