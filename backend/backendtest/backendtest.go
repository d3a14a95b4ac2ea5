// Package backendtest is the conformance suite of backends: what every device
// must do, asked through the interfaces of package backend alone. A backend's
// own test is one call with the specs of its variants:
//
//	func TestConformance(t *testing.T) {
//		backendtest.RunSpecs(t, "cpu:generic,threads=1", "cpu:generic,threads=7")
//	}
//
// What is right is what kernels.Reference computes. Results are compared to
// the bit, the sign of zero included; only NaN equals NaN whatever its bits.
package backendtest

import (
	"errors"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
)

// Opener makes a device. The suite calls it many times and closes what it gets.
type Opener func() (backend.Device, error)

// Exception is a topic of the suite that a device is excused from, and why:
// its tests are skipped with the reason.
type Exception struct{ Topic, Reason string }

// Quick are the topics to be excused from where the race detector has nothing to
// find, in a short run with it: those of thousands of calls, which take minutes then.
func Quick() []Exception {
	if !raceEnabled || !testing.Short() {
		return nil
	}
	var list []Exception
	for _, topic := range []string{"Kernels", "Broadcast", "Sizes", "SpecialValues"} {
		list = append(list, Exception{topic, "its many numbers take minutes under the race detector: run without -short or without -race"})
	}
	return list
}

// RunSpecs runs the suite on the device of each spec: see backend.Open.
func RunSpecs(t *testing.T, specs ...string) {
	for _, spec := range specs {
		t.Run(spec, func(t *testing.T) {
			Run(t, func() (backend.Device, error) { return backend.Open(spec) })
		})
	}
}

// Run runs the suite on devices that open makes. A device that cannot be had
// on this machine is skipped with the reason.
func Run(t *testing.T, open Opener, except ...Exception) {
	dev, err := open()
	if errors.Is(err, backend.ErrUnavailable) {
		t.Skipf("the device cannot be had here: %v", err)
	}
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if err := dev.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	reasons := map[string]string{}
	for _, e := range except {
		reasons[e.Topic] = e.Reason
	}
	for _, topic := range topics {
		reason, excused := reasons[topic.name]
		delete(reasons, topic.name)
		t.Run(topic.name, func(t *testing.T) {
			if excused {
				t.Skip(reason)
			}
			topic.run(t, open)
		})
	}
	for name := range reasons {
		t.Errorf("there is no topic %q to be excused from", name)
	}
}

// topics is the suite's table of contents.
var topics = []struct {
	name string
	run  func(*testing.T, Opener)
}{
	// The numbers: numbers.go, special.go, random.go.
	{"Operations", forTypes(testOperations[float32], testOperations[float64])},
	{"Kernels", forTypes(testKernels[float32], testKernels[float64])},
	{"TensorOperations", forTypes(testTensorOperations[float32], testTensorOperations[float64])},
	{"Broadcast", func(t *testing.T, open Opener) {
		t.Run("float32", func(t *testing.T) { testBroadcast[float32](t, open) })
		t.Run("float64", func(t *testing.T) { testBroadcast[float64](t, open) })
	}},
	{"Omitted", forTypes(testOmitted[float32], testOmitted[float64])},
	{"Sizes", forTypes(testSizes[float32], testSizes[float64])},
	{"SpecialValues", forTypes(testSpecialValues[float32], testSpecialValues[float64])},
	{"EmptyAndEqual", forTypes(testNoMismatch[float32], testNoMismatch[float64])},
	{"NaN", forTypes(testNaN[float32], testNaN[float64])},
	{"Random", func(t *testing.T, open Opener) {
		t.Run("float32", func(t *testing.T) { testRandom[float32](t, open) })
		t.Run("float64", func(t *testing.T) { testRandom[float64](t, open) })
	}},
	{"Large", forTypes(testLarge[float32], testLarge[float64])},
	{"Counts", testCounts},
	{"Repeat", forTypes(testRepeat[float32], testRepeat[float64])},

	// The interfaces: device.go, buffers.go, borrowed.go, shared.go, misuse.go.
	{"Device", testDevice},
	{"Programs", testPrograms},
	{"Buffers", forTypes(testBuffers[float32], testBuffers[float64])},
	{"Borrowed", forTypes(testBorrowed[float32], testBorrowed[float64])},
	{"InPlace", forTypes(testInPlace[float32], testInPlace[float64])},
	{"Shared", forTypes(testShared[float32], testShared[float64])},
	{"BadShared", testBadShared},
	{"Truths", forTypes(testTruths[float32], testTruths[float64])},
	{"BadBuffers", testBadBuffers},
	{"BadCompile", testBadCompile},
	{"BadRun", testBadRun},
	{"Closed", testClosed},

	// What surrounds them: concurrent.go, resources.go.
	{"Concurrent", testConcurrent},
	{"ConcurrentClose", testConcurrentClose},
	{"Goroutines", testGoroutines},
	{"Allocations", forTypes(testAllocations[float32], testAllocations[float64])},
}

// forTypes makes a topic of a test for each element type, on a device of its
// own.
func forTypes(f32, f64 func(*testing.T, backend.Device)) func(*testing.T, Opener) {
	return func(t *testing.T, open Opener) {
		t.Run(kernels.F32.String(), func(t *testing.T) { f32(t, openDevice(t, open)) })
		t.Run(kernels.F64.String(), func(t *testing.T) { f64(t, openDevice(t, open)) })
	}
}

// openDevice opens a device for the length of a test.
func openDevice(t *testing.T, open Opener) backend.Device {
	t.Helper()
	dev, err := open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return dev
}
