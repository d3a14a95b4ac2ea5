// Command sass prints what NVIDIA's assembler makes of the catalogue's kernels:
// registers, shared memory, and the instructions of the main loop for each
// element. It needs no GPU.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"errorcell/kernels/ptx"
	"errorcell/kernels/ptx/internal/sass"
)

func main() {
	fetch := flag.Bool("fetch", false, "download the tools with pip if they are not there")
	archs := flag.String("arch", join(ptx.Archs()), "compute capabilities, joined by commas")
	flag.Parse()
	if err := run(*archs, *fetch); err != nil {
		fmt.Fprintln(os.Stderr, "sass:", err)
		os.Exit(1)
	}
}

func run(archs string, fetch bool) error {
	var list []int
	for s := range strings.SplitSeq(archs, ",") {
		sm, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("-arch %s: %w", s, err)
		}
		list = append(list, sm)
	}
	rows, err := sass.Measure(list, fetch)
	if err != nil {
		return err
	}
	return sass.Write(os.Stdout, rows)
}

func join(list []int) string {
	parts := make([]string, len(list))
	for i, n := range list {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, ",")
}
