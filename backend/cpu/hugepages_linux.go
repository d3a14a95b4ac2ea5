// Huge pages, as Linux has them.

package cpu

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// hugePage is the size in bytes of the huge pages that the system gives who asks
// for them. It is 0 where it gives none, and where all memory gets them unasked.
var hugePage = sync.OnceValue(func() int {
	const settings = "/sys/kernel/mm/transparent_hugepage/"
	enabled, err := os.ReadFile(settings + "enabled")
	if err != nil || !strings.Contains(string(enabled), "[madvise]") {
		return 0
	}
	text, err := os.ReadFile(settings + "hpage_pmd_size")
	if err != nil {
		return 0
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || size < align || size&(size-1) != 0 {
		return 0
	}
	return size
})

// askHuge asks for huge pages, unaskHuge for none from now on: those that are
// there stay. What the memory holds is the same either way, so errors do not
// matter.
func askHuge(memory []byte)   { _ = unix.Madvise(memory, unix.MADV_HUGEPAGE) }
func unaskHuge(memory []byte) { _ = unix.Madvise(memory, unix.MADV_NOHUGEPAGE) }
