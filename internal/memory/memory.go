// Package memory says how much memory there is, so that what cannot fit is
// refused with an error: asking for it would not fail, it would have the
// process killed.
package memory

import (
	"math"
	"runtime"
	"sync"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Limit is the number of bytes that this process can have: its cgroup's limit
// where there is one, else the machine's memory; math.MaxInt64 where neither
// is known. WebAssembly has addresses of 32 bits.
var Limit = sync.OnceValue(func() uint64 {
	if runtime.GOARCH == "wasm" {
		return 1 << 32
	}
	limit, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil || limit == 0 || limit > math.MaxInt64 {
		return math.MaxInt64
	}
	return limit
})
