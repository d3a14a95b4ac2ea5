package nvidia

import (
	"regexp"
	"strings"
)

// Loop is an innermost loop of machine code.
type Loop struct {
	Instructions int // from the label to the branch back
	// Accesses to global memory, by their width in bits.
	Loads, Stores map[int]int
}

// Wide is the number of accesses of 128 bits or more.
func Wide(accesses map[int]int) int {
	n := 0
	for bits, count := range accesses {
		if bits >= 128 {
			n += count
		}
	}
	return n
}

var (
	instruction = regexp.MustCompile(`^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+\s+)?([A-Z0-9_.]+)`)
	branch      = regexp.MustCompile("BRA(?:\\.\\w+)*.*`\\((\\.L_\\w+)\\)")
	label       = regexp.MustCompile(`^(\.L_\w+):`)
	section     = regexp.MustCompile(`^\s*\.section\s+\.text\.([^,\s]+)`)
)

// Loops finds the innermost loops of each entry in what Disassemble returns.
func Loops(code string) map[string][]Loop {
	loops := map[string][]Loop{}
	entry := ""
	labels := map[string]int{}
	var opcodes []string
	for line := range strings.Lines(code) {
		if m := section.FindStringSubmatch(line); m != nil {
			entry, opcodes = m[1], nil
			clear(labels)
		}
		if m := label.FindStringSubmatch(line); m != nil {
			labels[m[1]] = len(opcodes)
		}
		m := instruction.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		opcodes = append(opcodes, m[1])
		to := branch.FindStringSubmatch(line)
		if to == nil {
			continue
		}
		start, back := labels[to[1]]
		if !back || start == len(opcodes)-1 { // a branch to itself pads the code
			continue
		}
		loops[entry] = append(loops[entry], loopOf(opcodes[start:]))
		// What encloses this loop is none of the innermost ones.
		for name, at := range labels {
			if at < start {
				delete(labels, name)
			}
		}
	}
	return loops
}

func loopOf(opcodes []string) Loop {
	l := Loop{Instructions: len(opcodes), Loads: map[int]int{}, Stores: map[int]int{}}
	for _, op := range opcodes {
		switch parts := strings.Split(op, "."); parts[0] {
		case "LDG":
			l.Loads[width(parts)]++
		case "STG":
			l.Stores[width(parts)]++
		}
	}
	return l
}

// width is that of an access in bits: 32 unless its opcode says otherwise.
func width(parts []string) int {
	for _, part := range parts {
		switch part {
		case "64":
			return 64
		case "128":
			return 128
		case "256":
			return 256
		}
	}
	return 32
}
