// Package cpu runs kernels on the processor. Import it for its side effect:
// it registers the devices
//
//	cpu            the best path that this processor has
//	cpu:generic    plain Go, on any machine
//
// with the option threads=N (the default is GOMAXPROCS, which respects the
// process's CPU affinity and its cgroup's limit).
//
// A kernel runs block at a time: for each block of 1024 elements every
// operation of a pass runs over the whole block, whose intermediate values
// stay in the L1 cache. Blocks are split over long-lived workers, at edges
// that do not change the result by a bit.
package cpu

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"errorcell/backend"
	"errorcell/internal/memory"
)

func init() {
	backend.Register(backend.Driver{Name: "cpu", Rank: 100, Open: open, List: list})
}

// maxThreads bounds threads=N: more could only be a mistake.
const maxThreads = 1024

// variants are the ways to run a kernel, the best first.
var variants = []variant{
	{name: "generic", isa: "plain Go", note: "runs on any processor"},
}

// variant is one way to run a kernel.
type variant struct {
	name, isa, note string
}

func open(opts []backend.Option) (backend.Device, error) {
	v, threads := variants[0], runtime.GOMAXPROCS(0)
	for _, opt := range opts {
		switch {
		case opt.Key == "threads" && !opt.IsWord:
			n, err := strconv.Atoi(opt.Value)
			if err != nil || n < 1 || n > maxThreads {
				return nil, fmt.Errorf("%w %q: a number of threads from 1 to %d is wanted", backend.ErrUnknownOption, opt, maxThreads)
			}
			threads = n
		case opt.IsWord && variantIndex(opt.Key) >= 0:
			v = variants[variantIndex(opt.Key)]
		default:
			return nil, fmt.Errorf("%w %q: the cpu has %s, and threads=N", backend.ErrUnknownOption, opt, variantNames())
		}
	}
	return newDevice(v, threads), nil
}

func list() []backend.Candidate {
	var list []backend.Candidate
	for _, v := range variants {
		list = append(list, backend.Candidate{Spec: "cpu:" + v.name, Info: info(v, runtime.GOMAXPROCS(0))})
	}
	return list
}

func variantIndex(name string) int {
	for i, v := range variants {
		if v.name == name {
			return i
		}
	}
	return -1
}

func variantNames() string {
	names := make([]string, len(variants))
	for i, v := range variants {
		names[i] = v.name
	}
	return strings.Join(names, ", ")
}

func info(v variant, threads int) backend.Info {
	model := cpuid.CPU.BrandName
	if model == "" {
		model = runtime.GOARCH
	}
	return backend.Info{Model: model, ISA: v.isa, Threads: threads, Memory: memory.Limit(), Note: v.note}
}
