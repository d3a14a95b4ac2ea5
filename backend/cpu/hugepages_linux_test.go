// That large buffers ask for huge pages while they are open, as the kernel tells
// it.

package cpu

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

func TestLargeBuffersAskForHugePages(t *testing.T) {
	page := hugePage()
	if page == 0 || page > large {
		t.Skipf("the system gives no huge pages to who asks, or too large ones: %d bytes", page)
	}
	dev, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	n := max(large, minHuge*page) / 4
	b, err := dev.NewBuffer(kernels.F32, n+1)
	if err != nil {
		t.Fatal(err)
	}
	host := b.Host() // which keeps the memory after Close
	asked := func(want bool) {
		t.Helper()
		for at := 0; at < len(host)-page; at += page {
			checkFlag(t, uintptr(unsafe.Pointer(&host[at])), "hg", want)
		}
	}
	asked(true)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	asked(false)
	clear(host)

	if _, huge := allocate[float32](n - 1); huge != nil {
		t.Errorf("for a small buffer, huge pages are asked for: %d bytes", len(huge))
	}
}

// checkFlag finds out whether the kernel has a flag for the memory at an address.
func checkFlag(t *testing.T, at uintptr, flag string, want bool) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	inside := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			inside = from <= at && at < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && inside {
			if got := strings.Contains(flags, " "+flag); got != want {
				t.Errorf("at %#x the kernel's flags are%s; %s among them: %v, wanted %v", at, flags, flag, got, want)
			}
			return
		}
	}
	t.Skip("/proc/self/smaps has no flags")
}
