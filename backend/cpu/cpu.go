// Package cpu runs kernels on the processor. Import it for its side effect:
// it registers the devices
//
//	cpu            the best path that this processor has
//	cpu:avx512     AVX-512 (F, DQ, BW, VL)
//	cpu:avx2       AVX2 with FMA
//	cpu:generic    plain Go, on any machine
//
// of which the tag purego leaves out all but the last, with the options threads=N
// (the default is GOMAXPROCS, which respects the process's CPU affinity and its
// cgroup's limit) and fused=off, which runs all kernels block at a time, for
// checks and measurements.
//
// A pass of a kernel whose form has a fused function runs in that: one loop
// that loads, computes, stores and sums. Any other runs block at a time: for
// each block of 1024 elements every operation runs over the whole block, whose
// intermediate values stay in the L1 cache. Blocks are split over long-lived
// workers, at edges that do not change the result by a bit.
package cpu

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"errorcell/backend"
	"errorcell/backend/cpu/internal/simd"
	"errorcell/internal/memory"
)

func init() {
	backend.Register(backend.Driver{Name: "cpu", Rank: 100, Open: open, List: list})
}

// maxThreads bounds threads=N: more could only be a mistake.
const maxThreads = 1024

// variants are the ways to run a kernel, the best first.
var variants = []variant{
	{name: "avx512", isa: "AVX-512", simd: &simd.AVX512, note: "vectors of 64 bytes", minPart: 16 * 1024},
	{name: "avx2", isa: "AVX2", simd: &simd.AVX2, note: "vectors of 32 bytes", minPart: 16 * 1024},
	{name: "generic", isa: "plain Go", note: "runs on any processor", minPart: 4 * 1024},
}

// variant is one way to run a kernel.
type variant struct {
	name, isa, note string
	simd            *simd.ISA // nil for plain Go
	// minPart is the number of elements below which a part is not worth
	// bringing another thread in: see docs/performance.md.
	minPart int
}

// missing says why a variant cannot be had; it is empty if it can.
func (v *variant) missing() string {
	if v.simd == nil {
		return ""
	}
	if v.simd.Empty() {
		if runtime.GOARCH != "amd64" {
			return v.isa + " is of amd64 processors, this program is built for " + runtime.GOARCH
		}
		return "this program is built with the tag purego, which leaves " + v.isa + " out"
	}
	var names []string
	for _, f := range v.simd.Missing() {
		names = append(names, f.String())
	}
	if len(names) == 0 {
		return ""
	}
	return "this processor lacks " + strings.Join(names, ", ")
}

// best is the first variant that can be had.
func best() *variant {
	for i := range variants {
		if variants[i].missing() == "" {
			return &variants[i]
		}
	}
	panic("cpu: plain Go is missing") // which needs nothing
}

func open(opts []backend.Option) (backend.Device, error) {
	v, threads, fused := best(), runtime.GOMAXPROCS(0), true
	seen := map[string]backend.Option{}
	for _, opt := range opts {
		what := opt.Key
		if opt.IsWord {
			what = "the path"
		}
		if before, ok := seen[what]; ok {
			return nil, fmt.Errorf("%w %q: there is %q already", backend.ErrUnknownOption, opt, before)
		}
		seen[what] = opt
		switch {
		case opt.Key == "threads" && !opt.IsWord:
			n, err := strconv.Atoi(opt.Value)
			if err != nil || n < 1 || n > maxThreads {
				return nil, fmt.Errorf("%w %q: a number of threads from 1 to %d is wanted", backend.ErrUnknownOption, opt, maxThreads)
			}
			threads = n
		case opt.Key == "fused" && (opt.Value == "on" || opt.Value == "off"):
			fused = opt.Value == "on"
		case opt.IsWord && find(opt.Key) != nil:
			v = find(opt.Key)
			if why := v.missing(); why != "" {
				return nil, fmt.Errorf("%w: %s", backend.ErrUnavailable, why)
			}
		default:
			return nil, fmt.Errorf("%w %q: the cpu has %s, threads=N, fused=on and fused=off", backend.ErrUnknownOption, opt, variantNames())
		}
	}
	return newDevice(v, threads, fused), nil
}

func list() []backend.Candidate {
	var list []backend.Candidate
	for i := range variants {
		c := backend.Candidate{Spec: "cpu:" + variants[i].name}
		if why := variants[i].missing(); why != "" {
			c.Err = fmt.Errorf("%w: %s", backend.ErrUnavailable, why)
		} else {
			c.Info = info(&variants[i], runtime.GOMAXPROCS(0))
			if &variants[i] == best() {
				c.Info.Note += ", the best of this processor"
			}
		}
		list = append(list, c)
	}
	return list
}

func find(name string) *variant {
	for i := range variants {
		if variants[i].name == name {
			return &variants[i]
		}
	}
	return nil
}

func variantNames() string {
	names := make([]string, len(variants))
	for i, v := range variants {
		names[i] = v.name
	}
	return strings.Join(names, ", ")
}

func info(v *variant, threads int) backend.Info {
	model := cpuid.CPU.BrandName
	if model == "" {
		model = runtime.GOARCH
	}
	return backend.Info{Model: model, ISA: v.isa, Threads: threads, Memory: memory.Limit(), Note: v.note}
}
