package main

import (
	"math"
	"testing"

	"gorgonia.org/tensor"

	"errorcell/engine"
)

// Both engines relax to the same loss, as near as float32's sums are.
func TestRelax(t *testing.T) {
	eng, err := engine.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	for _, shape := range [][2]int{{1, 1}, {3, 5}, {40, 50}} {
		std, err := relax(tensor.StdEng{}, shape[0], shape[1], 50)
		if err != nil {
			t.Fatal(err)
		}
		dev, err := relax(eng, shape[0], shape[1], 50)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(std.first-dev.first) > 1e-4*-std.first || math.Abs(std.last-dev.last) > 2e-2*-std.last {
			t.Errorf("%v: L from %v to %v, StdEng has %v to %v", shape, dev.first, dev.last, std.first, std.last)
		}
		if !(dev.last > 0.95*dev.first) { // L is at most 0
			t.Errorf("%v: L from %v to %v", shape, dev.first, dev.last)
		}
	}
}

func TestRefused(t *testing.T) {
	if err := run("cpu", 0, 5, 5); err == nil {
		t.Error("a batch of no patterns")
	}
	if err := run("gpu", 5, 5, 5); err == nil {
		t.Error("a device that there is not")
	}
}
