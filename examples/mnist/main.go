// Command mnist steps a Laplacian error cell over handwritten digits: the
// target is a digit of MNIST, the prediction the mean image of its class. It
// prints what the cell found and how fast, and writes the arrays and a picture.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"time"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/internal/numpy"
	"errorcell/neurons"
)

// repeats is how many steps are timed; the median is told.
const repeats = 21

func main() {
	log.SetFlags(0)
	log.SetPrefix("mnist: ")
	device := flag.String("device", "", "where to run, such as cpu:threads=2 (default: the best that works)")
	batch := flag.Int("batch", 4096, "how many digits, 1 to 10000")
	data := flag.String("data", "", "folder of the MNIST files (default: the GoMNIST module's)")
	out := flag.String("out", "out", "folder for out.npz and mnist.png")
	flag.Parse()
	if err := run(*device, *batch, *data, *out); err != nil {
		log.Fatal(err)
	}
}

func run(device string, batch int, data, out string) error {
	set, err := loadDigits(data, batch)
	if err != nil {
		return err
	}
	dev, err := backend.Open(device)
	if err != nil {
		return err
	}
	defer dev.Close()
	cell, err := neurons.NewLaplacianErrorCell("e0", units, neurons.On(dev))
	if err != nil {
		return err
	}
	defer cell.Close()
	if err := cell.Target().SetFloat32s(set.target); err != nil {
		return err
	}
	if err := cell.Mean().SetFloat32s(set.mean); err != nil {
		return err
	}
	first, median, err := timeSteps(cell)
	if err != nil {
		return err
	}
	loss, err := cell.Loss().Scalar()
	if err != nil {
		return err
	}
	info, n := dev.Info(), batch*units
	// A step reads target and mu and writes dmu and dtarget.
	speed := float64(4*4*n) / median.Seconds() / 1e9
	fmt.Printf("device          %s (%s, %s)\n", dev.Name(), info.Model, info.ISA)
	fmt.Printf("batch           %d digits x %d units\n", batch, units)
	fmt.Printf("L               %.0f\n", loss)
	fmt.Printf("units in error  %.0f of %d (%.1f%%)\n", -loss, n, -100*loss/float64(n))
	fmt.Printf("time of a step  %v (median of %d; the first %v)\n", median.Round(time.Microsecond), repeats, first.Round(time.Microsecond))
	fmt.Printf("speed           %.1f GB/s\n", speed)

	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	arrays, picture := filepath.Join(out, "out.npz"), filepath.Join(out, "mnist.png")
	dmu, err := cell.DerivMean().Float32s()
	if err != nil {
		return err
	}
	if err := writeArrays(arrays, cell); err != nil {
		return err
	}
	if err := writePicture(picture, set, dmu); err != nil {
		return err
	}
	fmt.Printf("arrays          %s\npicture         %s\n", arrays, picture)
	return nil
}

// timeSteps steps the cell, and tells how long the first and the median step took.
func timeSteps(cell *neurons.LaplacianErrorCell) (first, median time.Duration, err error) {
	var times []time.Duration
	for t := range repeats {
		start := time.Now()
		if err := cell.AdvanceState(float64(t), 1); err != nil {
			return 0, 0, err
		}
		if err := cell.Device().Sync(); err != nil {
			return 0, 0, err
		}
		times = append(times, time.Since(start))
	}
	first = times[0]
	slices.Sort(times)
	return first, times[repeats/2], nil
}

// writeArrays writes every compartment that has a value, by its name.
func writeArrays(path string, cell *neurons.LaplacianErrorCell) error {
	file, err := numpy.Create(path)
	if err != nil {
		return err
	}
	defer file.Discard()
	w := numpy.NewArchiveWriter(file)
	for _, c := range cell.Compartments() {
		if !c.IsSet() {
			continue
		}
		values, err := c.Float32s()
		if err != nil {
			return err
		}
		if err := w.Write(c.Name(), c.Shape(), values); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return file.Commit()
}
