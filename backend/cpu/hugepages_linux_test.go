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
	// The advice may fail where memory is short, and then does no harm: one
	// buffer of some has it.
	for try := range 5 {
		b, err := dev.NewBuffer(kernels.F32, n+1)
		if err != nil {
			t.Fatal(err)
		}
		host := b.Host() // which keeps the memory after Close
		asked := flagged(t, host, page)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if after := flagged(t, host, page); after != 0 {
			t.Fatalf("after Close %d pages have the flag", after)
		}
		clear(host)
		if want := (len(host) - 1) / page; asked == want {
			break
		} else if try == 4 {
			t.Errorf("%d of %d pages have the flag", asked, want)
		}
	}

	if _, huge := allocate[float32](n - 1); huge != nil {
		t.Errorf("for a small buffer, huge pages are asked for: %d bytes", len(huge))
	}
}

// flagged counts the whole pages from the first byte on that have the kernel's
// flag for memory that huge pages are asked for.
func flagged(t *testing.T, memory []byte, page int) int {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	first, end := uintptr(unsafe.Pointer(&memory[0])), uintptr(unsafe.Pointer(&memory[len(memory)-1]))
	n, flags := 0, false
	var from, to uintptr
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var a, b uintptr
		if got, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &a, &b); got == 2 {
			from, to = a, b
		}
		if text, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok {
			flags = true
			for at := first; strings.Contains(text, " hg") && at+uintptr(page) <= end; at += uintptr(page) {
				if from <= at && at < to {
					n++
				}
			}
		}
	}
	if !flags {
		t.Skip("/proc/self/smaps has no flags")
	}
	return n
}
