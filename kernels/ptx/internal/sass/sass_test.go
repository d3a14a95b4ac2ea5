package sass

import (
	"strings"
	"testing"

	"errorcell/kernels"
	"errorcell/kernels/ptx/internal/nvidia"
)

// TestMeasure makes the table for one architecture.
func TestMeasure(t *testing.T) {
	if testing.Short() {
		t.Skip("NVIDIA's tools take half a minute: run without -short")
	}
	for _, tool := range []nvidia.Tool{nvidia.Assembler(90), nvidia.NVDisasm} {
		if _, err := nvidia.Find(tool, true); err != nil {
			t.Skip(err)
		}
	}
	rows, err := Measure([]int{90}, false)
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]int{}
	for _, k := range kernels.Catalogue() {
		nodes[k.Name()] = len(k.Nodes())
	}
	for _, r := range rows {
		if r.Load < 128 || r.Store < 128 {
			t.Errorf("the main loop accesses less than 128 bits: %+v", r)
		}
		// A division is some ten instructions; most operations are one.
		if most := float64(10 * nodes[r.Kernel]); r.PerElement < 1 || r.PerElement > most {
			t.Errorf("the main loop was not found: %+v", r)
		}
	}
	var s strings.Builder
	if err := Write(&s, rows); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(s.String(), "\n"); lines != len(rows)+1 {
		t.Errorf("%d rows make %d lines", len(rows), lines)
	}
}
