package cpu_test

import (
	"testing"

	"errorcell/backend/backendtest"
	_ "errorcell/backend/cpu"
)

func TestConformance(t *testing.T) {
	backendtest.RunSpecs(t, "cpu:generic,threads=1", "cpu:generic,threads=2", "cpu:generic,threads=7")
}
