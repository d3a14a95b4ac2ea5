package nvidia

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Usage is what ptxas says of one entry.
type Usage struct {
	Entry                   string
	Registers               int // of a thread
	Stack                   int // bytes of local memory
	SpillStores, SpillLoads int // bytes
	Shared                  int // bytes
}

// Assemble turns PTX into machine code for an architecture, and says what each
// entry uses. The code is left in a file, if a path is given.
func Assemble(ptxas string, sm int, text, cubin string) ([]Usage, error) {
	folder, err := os.MkdirTemp("", "ptxas")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	source := filepath.Join(folder, "kernel.ptx")
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if cubin == "" {
		cubin = filepath.Join(folder, "kernel.cubin")
	}
	out, err := exec.Command(ptxas, "-v", "--warn-on-spills", "--warn-on-local-memory-usage", "-arch", fmt.Sprint("sm_", sm), source, "-o", cubin).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ptxas for sm_%d: %w: %s", sm, err, out)
	}
	usages := parseUsage(string(out))
	if len(usages) == 0 || strings.Contains(string(out), "warning") {
		return nil, fmt.Errorf("ptxas for sm_%d says: %s", sm, out)
	}
	return usages, nil
}

var (
	properties = regexp.MustCompile(`Function properties for (\S+)`)
	frame      = regexp.MustCompile(`(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
	used       = regexp.MustCompile(`Used (\d+) registers`)
	shared     = regexp.MustCompile(`(\d+) bytes smem`)
)

func parseUsage(report string) []Usage {
	var list []Usage
	for line := range strings.Lines(report) {
		if m := properties.FindStringSubmatch(line); m != nil {
			list = append(list, Usage{Entry: m[1]})
		}
		if len(list) == 0 {
			continue
		}
		u := &list[len(list)-1]
		take(frame, line, &u.Stack, &u.SpillStores, &u.SpillLoads)
		take(used, line, &u.Registers)
		take(shared, line, &u.Shared)
	}
	return list
}

// take sets numbers to what a pattern finds in a line, if it is there.
func take(pattern *regexp.Regexp, line string, to ...*int) {
	m := pattern.FindStringSubmatch(line)
	for i := range to {
		if m != nil {
			*to[i], _ = strconv.Atoi(m[i+1])
		}
	}
}

// Disassemble reads machine code back.
func Disassemble(nvdisasm, cubin string) (string, error) {
	out, err := exec.Command(nvdisasm, "-c", cubin).Output()
	if err != nil {
		return "", fmt.Errorf("nvdisasm: %w", err)
	}
	return string(out), nil
}
