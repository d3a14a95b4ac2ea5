package cpu

import (
	"testing"

	"errorcell/backend"
	"errorcell/backend/backendtest"
)

// TestConformanceOfEveryWay runs the suite on devices that bring in their other
// threads for any work, and store past the caches whatever the size: the suite's
// arrays are too small for either otherwise. Of the paths in assembly the race
// detector does not see what they read and write.
func TestConformanceOfEveryWay(t *testing.T) {
	for i := range variants {
		v := &variants[i]
		t.Run(v.name, func(t *testing.T) {
			if why := v.missing(); why != "" {
				t.Skip(why)
			}
			var except []backendtest.Exception
			if v.simd != nil {
				except = backendtest.Quick()
			}
			backendtest.Run(t, func() (backend.Device, error) {
				d := newDevice(v, 7, true)
				d.minPart, d.cache = 1, 0
				return d, nil
			}, except...)
		})
	}
}
