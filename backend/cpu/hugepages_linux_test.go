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

	"golang.org/x/sys/unix"

	"errorcell/backend"
	"errorcell/kernels"
)

func TestLargeBuffersAskForHugePages(t *testing.T) {
	page := hugePage()
	if page == 0 || page > large {
		t.Skipf("the huge pages that the system gives to who asks are %d bytes, up to %d are wanted: /sys/kernel/mm/transparent_hugepage/enabled must be madvise", page, large)
	}
	dev, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	n := max(large, minHuge*page) / 4
	// What the system shows of memory that is surely asked for: an emulator of
	// another processor shows nothing.
	control, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(control)
	if err := unix.Madvise(control, unix.MADV_HUGEPAGE); err != nil {
		t.Skipf("the system refuses the advice: %v", err)
	}
	if flagged(t, control, page) == 0 {
		t.Skip("/proc/self/smaps does not show the advice, as under an emulator: run on Linux itself")
	}
	b, err := dev.NewBuffer(kernels.F32, n+1)
	if err != nil {
		t.Fatal(err)
	}
	host := b.Host() // which keeps the memory after Close
	if asked, want := flagged(t, host, page), (len(host)-1)/page; asked != want {
		t.Errorf("%d of %d pages have the flag", asked, want)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if after := flagged(t, host, page); after != 0 {
		t.Errorf("after Close %d pages have the flag", after)
	}
	clear(host)

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
		t.Skip("/proc/self/smaps has no VmFlags: Linux has them since 3.8")
	}
	return n
}
