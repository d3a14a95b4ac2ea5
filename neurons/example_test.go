package neurons_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"gorgonia.org/tensor"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/neurons"
)

// A step of an error cell: a batch of two patterns of three units against one
// prediction for both.
func Example() {
	cell, err := neurons.NewLaplacianErrorCell("e0", 3, neurons.OnDevice("cpu:generic"))
	if err != nil {
		log.Fatal(err)
	}
	defer cell.Close()

	targets := []float32{
		1, 0, 1,
		0, 0, 1,
	}
	prediction := tensor.New(tensor.WithShape(1, 3), tensor.WithBacking([]float32{0.5, 0, 1}))
	if err := cell.Target().SetFloat32s(targets); err != nil {
		log.Fatal(err)
	}
	if err := cell.Mean().SetTensor(prediction); err != nil {
		log.Fatal(err)
	}
	if err := cell.AdvanceState(0, 1); err != nil {
		log.Fatal(err)
	}

	dmu, err := cell.DerivMean().Tensor()
	if err != nil {
		log.Fatal(err)
	}
	loss, err := cell.Loss().Scalar()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dmu.Shape())
	fmt.Println(dmu.Float32s())
	fmt.Println("L =", loss)
	// Output:
	// (2, 3)
	// [1 0 0 -1 0 0]
	// L = -2
}

// A modulator scales the derivatives of one step, here by another factor for
// each pattern of the batch. The loss does not feel it.
func ExampleLaplacianErrorCell_Modulator() {
	cell, err := neurons.NewLaplacianErrorCell("e0", 2)
	if err != nil {
		log.Fatal(err)
	}
	defer cell.Close()
	if err := cell.Target().SetFloat32s([]float32{1, 2, 3, 4}); err != nil {
		log.Fatal(err)
	}
	if err := cell.Modulator().SetFloat32s([]float32{0.5, 10}, 2, 1); err != nil {
		log.Fatal(err)
	}
	for step := range 2 {
		if err := cell.AdvanceState(float64(step), 1); err != nil {
			log.Fatal(err)
		}
		dmu, err := cell.DerivMean().Float32s()
		if err != nil {
			log.Fatal(err)
		}
		loss, err := cell.Loss().Scalar()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(dmu, loss)
	}
	// Output:
	// [0.5 0.5 10 10] -4
	// [1 1 1 1] -4
}

// The loss that ngc-learn documents, in place of the one that it computes.
func ExampleWithLoss() {
	cell, err := neurons.NewLaplacianErrorCell("e0", 3, neurons.WithLoss(neurons.L1))
	if err != nil {
		log.Fatal(err)
	}
	defer cell.Close()
	if err := cell.Target().SetFloat32s([]float32{1, 2, 3}); err != nil {
		log.Fatal(err)
	}
	if err := cell.Mean().SetFloat32s([]float32{1, 2.5, 1}); err != nil {
		log.Fatal(err)
	}
	if err := cell.AdvanceState(0, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cell.Loss().Scalar())
	// Output: -2.5 <nil>
}

// Two cells on one device, the second of which predicts the first one's error.
func ExampleConnect() {
	dev, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer dev.Close()
	e0, err := neurons.NewLaplacianErrorCell("e0", 3, neurons.On(dev))
	if err != nil {
		log.Fatal(err)
	}
	defer e0.Close()
	e1, err := neurons.NewLaplacianErrorCell("e1", 3, neurons.On(dev))
	if err != nil {
		log.Fatal(err)
	}
	defer e1.Close()

	if err := neurons.Connect(e0.DerivMean(), e1.Target(), neurons.Overwrite); err != nil {
		log.Fatal(err)
	}
	fmt.Println(e1.VerifyConnections())

	if err := e0.Target().SetFloat32s([]float32{1, 0, -1}); err != nil {
		log.Fatal(err)
	}
	for _, cell := range []*neurons.LaplacianErrorCell{e0, e1} {
		if err := cell.Gather(); err != nil {
			log.Fatal(err)
		}
		if err := cell.AdvanceState(0, 1); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(e1.Loss().Scalar())
	// Output:
	// e1.mu: no wire arrives, at least 1 is wanted (a value that was set is no wire)
	// -2 <nil>
}

// One step without a cell.
func ExampleRunLaplacianCell() {
	dmu, _, loss, err := neurons.RunLaplacianCell(1, []float32{1, 2, 3}, []float32{1, 0, 4})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dmu.Float32s(), loss)
	// Output: [0 1 -1] -2
}

// A Gaussian cell with a variance for each unit: the error of a unit that is
// uncertain counts less.
func ExampleGaussianErrorCell() {
	cell, err := neurons.NewGaussianErrorCell("e0", 2, neurons.WithSigma([]float32{0.5, 4}))
	if err != nil {
		log.Fatal(err)
	}
	defer cell.Close()
	if err := cell.Target().SetFloat32s([]float32{1, 2}); err != nil {
		log.Fatal(err)
	}
	if err := cell.AdvanceState(0, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cell.DerivMean().Float32s())
	fmt.Println(cell.Loss().Float32s()) // a number for each Sigma, of the squares of all units
	fmt.Println(cell.Loss().DisplayName(), "in", cell.Loss().Units())
	// Output:
	// [2 0.5] <nil>
	// [-5 -0.625] <nil>
	// Gaussian Log likelihood in nats
}

// The Laplacian cell of today has a scale, and a mask for one step.
func ExampleScaledLaplacianErrorCell() {
	cell, err := neurons.NewScaledLaplacianErrorCell("e0", 3, neurons.WithScale(0.5))
	if err != nil {
		log.Fatal(err)
	}
	defer cell.Close()
	if err := cell.Target().SetFloat32s([]float32{1, 0, 7}); err != nil {
		log.Fatal(err)
	}
	if err := cell.Mask().SetFloat32s([]float32{1, 1, 0}); err != nil {
		log.Fatal(err)
	}
	for step := range 2 {
		if err := cell.AdvanceState(float64(step), 1); err != nil {
			log.Fatal(err)
		}
		fmt.Println(cell.DerivShift().Float32s())
	}
	// Output:
	// [2 0 0] <nil>
	// [2 0 2] <nil>
}

// The derivative of the log density by the variance says whether it is too
// small or too large for the errors.
func ExampleWithScaleDerivative() {
	cell, err := neurons.NewGaussianErrorCell("e0", 2, neurons.WithSigma([]float32{1, 1}), neurons.WithScaleDerivative())
	if err != nil {
		log.Fatal(err)
	}
	defer cell.Close()
	if err := cell.Target().SetFloat32s([]float32{3, 0}); err != nil {
		log.Fatal(err)
	}
	if err := cell.AdvanceState(0, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cell.DerivSigma().Float32s())
	// Output: [4 -0.5] <nil>
}

// A cell that predicts a reward by its moving average.
func ExampleRewardErrorCell() {
	cell, err := neurons.NewRewardErrorCell("r0", 1, 0.5)
	if err != nil {
		log.Fatal(err)
	}
	defer cell.Close()
	for step, reward := range []float64{1, 1, 0} {
		if err := cell.Reward().SetScalar(reward); err != nil {
			log.Fatal(err)
		}
		if err := cell.AdvanceState(float64(step), 1); err != nil {
			log.Fatal(err)
		}
		rpe, err := cell.PredictionError().Scalar()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(rpe)
	}
	// Output:
	// 1
	// 0.5
	// -0.75
}

// A circuit goes on where it was saved, in another program or later in this one.
func ExampleContext_Save() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "circuit.npz")

	// The program makes the same circuit each time.
	circuit := func() (*neurons.Context, *neurons.RewardErrorCell) {
		x, err := neurons.NewContext("circuit")
		if err != nil {
			log.Fatal(err)
		}
		r0, err := neurons.NewRewardErrorCell("r0", 1, 0.5, neurons.In(x))
		if err != nil {
			log.Fatal(err)
		}
		return x, r0
	}

	x, r0 := circuit()
	defer x.Close()
	if err := r0.Reward().SetScalar(1); err != nil {
		log.Fatal(err)
	}
	if err := r0.AdvanceState(0, 1); err != nil {
		log.Fatal(err)
	}
	if err := x.Save(path); err != nil {
		log.Fatal(err)
	}

	y, r0 := circuit()
	defer y.Close()
	if err := y.Load(path); err != nil {
		log.Fatal(err)
	}
	if err := r0.AdvanceState(1, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r0.Mean().Scalar())
	// Output: 0.75 <nil>
}

// A circuit of two cells in one context, the second of which predicts the
// error of the first.
func ExampleContext() {
	x, err := neurons.NewContext("circuit", neurons.OnDevice("cpu"))
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()
	e0, err := neurons.NewGaussianErrorCell("e0", 2, neurons.In(x))
	if err != nil {
		log.Fatal(err)
	}
	e1, err := neurons.NewGaussianErrorCell("e1", 2, neurons.In(x), neurons.WithSigma(0.5))
	if err != nil {
		log.Fatal(err)
	}
	if err := x.Connect("e0.dmu", "e1.target"); err != nil {
		log.Fatal(err)
	}
	process, err := x.NewProcess("advance", []string{"e0.advance_state", "e1.advance_state"})
	if err != nil {
		log.Fatal(err)
	}
	if err := e0.Target().SetFloat32s([]float32{1, -2}); err != nil {
		log.Fatal(err)
	}
	if err := process.Step(0, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(e1.DerivMean().Float32s())
	fmt.Println(e1.Target().SetFloat32s([]float32{1, 2}))
	// Output:
	// [2 -4] <nil>
	// e1.target: the wire from e0.dmu would overwrite it before it is used: set that, or Disconnect e1.target first
}

// A wire can bring what several compartments come to.
func ExampleSummation() {
	x, err := neurons.NewContext("circuit")
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()
	var cells [3]*neurons.LaplacianErrorCell
	for i := range cells {
		if cells[i], err = neurons.NewLaplacianErrorCell(fmt.Sprintf("e%d", i), 2, neurons.In(x)); err != nil {
			log.Fatal(err)
		}
	}
	src := neurons.Summation(cells[0].Target(), neurons.Negation(cells[1].Target()))
	if err := neurons.Connect(src, cells[2].Mean(), neurons.Overwrite); err != nil {
		log.Fatal(err)
	}
	fmt.Println(src)
	if err := cells[0].Target().SetFloat32s([]float32{5, 6}); err != nil {
		log.Fatal(err)
	}
	if err := cells[1].Target().SetFloat32s([]float32{1, 10}); err != nil {
		log.Fatal(err)
	}
	if err := cells[2].Gather(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cells[2].Mean().Float32s())
	// Output:
	// Summation(e0.target, Negation(e1.target))
	// [4 -4] <nil>
}

// What a cell's prediction was after every second step.
func ExampleRecorder() {
	x, err := neurons.NewContext("circuit")
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()
	cell, err := neurons.NewRewardErrorCell("r", 1, 0.5, neurons.In(x))
	if err != nil {
		log.Fatal(err)
	}
	if err := cell.Reward().SetFloat32s([]float32{8}); err != nil {
		log.Fatal(err)
	}
	advance, err := x.NewProcess("advance", []string{"r.advance_state"})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := neurons.NewRecorder(2, cell.Mean())
	if err != nil {
		log.Fatal(err)
	}
	if err := advance.Run(context.Background(), 5, 1, neurons.RecordTo(rec)); err != nil {
		log.Fatal(err)
	}
	mu, err := rec.Tensor(cell.Mean())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rec.Steps())
	fmt.Println(mu.Shape(), mu.Float32s())
	// Output:
	// [0 2 4]
	// (3, 1, 1) [4 7 7.75]
}

// A rate cell settles on what explains its target best: the error of its
// prediction drives it, and the prior draws it back.
func ExampleProcess() {
	x, err := neurons.NewContext("circuit")
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()
	_, err = neurons.NewRateCell("z", 2, 10, neurons.In(x), neurons.WithPrior("gaussian", 0.25))
	if err != nil {
		log.Fatal(err)
	}
	e, err := neurons.NewGaussianErrorCell("e", 2, neurons.In(x))
	if err != nil {
		log.Fatal(err)
	}
	for _, wire := range [][2]string{{"z.zF", "e.mu"}, {"e.dmu", "z.j"}} {
		if err := x.Connect(wire[0], wire[1]); err != nil {
			log.Fatal(err)
		}
	}
	advance, err := x.NewProcess("advance", []string{"z.advance_state", "e.advance_state"})
	if err != nil {
		log.Fatal(err)
	}
	if err := e.Target().SetFloat32s([]float32{1, -2}); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		if err := advance.Run(context.Background(), 100, 1); err != nil {
			log.Fatal(err)
		}
		mu, err := e.Mean().Float32s()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%.4f\n", mu)
	}
	// Output:
	// [0.8000 -1.6000]
	// [0.8000 -1.6000]
}

// What a leak does to a state that nothing drives.
func ExampleRateCell() {
	z, err := neurons.NewRateCell("z", 2, 4, neurons.WithPrior("laplacian", 1), neurons.WithActivation("relu"))
	if err != nil {
		log.Fatal(err)
	}
	defer z.Close()
	if err := z.Rate().SetFloat32s([]float32{1, -1}); err != nil {
		log.Fatal(err)
	}
	if err := z.AdvanceState(0, 2); err != nil {
		log.Fatal(err)
	}
	fmt.Println(z.Rate().Float32s())
	fmt.Println(z.Output().Float32s())
	// Output:
	// [0.5 -0.5] <nil>
	// [0.5 0] <nil>
}

// Units that are on with a probability of 3/4 and 1/8, and are on and off.
func ExampleBernoulliErrorCell() {
	cell, err := neurons.NewBernoulliErrorCell("e0", 2, neurons.WithTrueDerivative())
	if err != nil {
		log.Fatal(err)
	}
	defer cell.Close()
	if err := cell.Probability().SetFloat32s([]float32{0.75, 0.125}); err != nil {
		log.Fatal(err)
	}
	if err := cell.Target().SetFloat32s([]float32{1, 0}); err != nil {
		log.Fatal(err)
	}
	if err := cell.AdvanceState(0, 1); err != nil {
		log.Fatal(err)
	}
	dp, err := cell.DerivProbability().Float32s()
	if err != nil {
		log.Fatal(err)
	}
	loss, err := cell.Loss().Scalar()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f\n", dp) // 1/p and -1/(1-p)
	fmt.Printf("%.4f\n", loss)
	// Output:
	// [1.3333 -1.1429]
	// -0.4212
}
