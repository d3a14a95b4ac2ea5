package cpu_test

import (
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/backend/backendtest"
	_ "errorcell/backend/cpu"
)

// TestConformance runs the suite on each path that this machine has, fused and
// block at a time, and on several threads. In short it is left to
// TestConformanceOfEveryWay, where more of the suite runs on several threads.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("TestConformanceOfEveryWay runs the suite: run without -short for this one, too")
	}
	for _, c := range backend.Devices() {
		if !strings.HasPrefix(c.Spec, "cpu:") {
			continue
		}
		if c.Err != nil {
			t.Run(c.Spec, func(t *testing.T) { t.Skip(c.Err) })
			continue
		}
		backendtest.RunSpecs(t, c.Spec+",threads=1", c.Spec+",threads=7")
		if c.Spec != "cpu:generic" {
			backendtest.RunSpecs(t, c.Spec+",threads=2,fused=off")
		}
	}
}
