package cpu

import (
	"math"
	"sync"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryLimit is what buffers can take in bytes: the cgroup's limit where
// there is one, else the machine's memory. Asking for more would not fail, it
// would have the process killed.
var memoryLimit = sync.OnceValue(func() uint64 {
	limit, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil || limit == 0 {
		return math.MaxInt64 // unknown: every request is let through
	}
	return limit
})
