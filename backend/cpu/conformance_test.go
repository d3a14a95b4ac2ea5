package cpu_test

import (
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/backend/backendtest"
	_ "errorcell/backend/cpu"
)

// TestConformance runs the suite on each path that this machine has, fused and
// block at a time, and on several threads. In short it is the threads alone.
func TestConformance(t *testing.T) {
	for _, c := range backend.Devices() {
		if !strings.HasPrefix(c.Spec, "cpu:") {
			continue
		}
		if c.Err != nil {
			t.Run(c.Spec, func(t *testing.T) { t.Skip(c.Err) })
			continue
		}
		backendtest.RunSpecs(t, c.Spec+",threads=7")
		if testing.Short() {
			continue
		}
		backendtest.RunSpecs(t, c.Spec+",threads=1")
		if c.Spec != "cpu:generic" {
			backendtest.RunSpecs(t, c.Spec+",threads=2,fused=off")
		}
	}
}
