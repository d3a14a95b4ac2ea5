package graph_test

import (
	"fmt"
	"log"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/graph"
)

// stackLoss is Brownlee's data (1965) of a plant that oxidises ammonia: air flow, water
// temperature, acid concentration, stack loss. Four days are outliers: 1, 3, 4 and 21.
var stackLoss = [21][4]float64{
	{80, 27, 89, 42}, {80, 27, 88, 37}, {75, 25, 90, 37}, {62, 24, 87, 28}, {62, 22, 87, 18},
	{62, 23, 87, 18}, {62, 24, 93, 19}, {62, 24, 93, 20}, {58, 23, 87, 15}, {58, 18, 80, 14},
	{58, 18, 89, 14}, {58, 17, 88, 13}, {58, 18, 82, 11}, {58, 19, 93, 12}, {50, 18, 89, 8},
	{50, 18, 86, 7}, {50, 19, 72, 8}, {50, 19, 79, 8}, {50, 20, 80, 9}, {56, 20, 82, 15}, {70, 20, 91, 15},
}

// A regression with the squared loss is drawn to the outliers, of which it hides one;
// one with the L1 loss, of least absolute deviations, shows all four. The coefficients
// are those of the literature: 0.7156, 1.2953 and -0.1521 with squares, 0.8319, 0.5739
// and -0.0609 with L1.
func Example() {
	dev, err := backend.Open("cpu")
	if err != nil {
		log.Fatal(err)
	}
	defer dev.Close()
	for _, l1 := range []bool{false, true} {
		fit(dev, l1)
	}
	// Output:
	// squared: air 0.72, water 1.30, acid -0.15
	//   observations more than 4 off: 3, 4, 21
	// L1: air 0.83, water 0.57, acid -0.06
	//   observations more than 4 off: 1, 3, 4, 21
}

func fit(dev backend.Device, l1 bool) {
	x, y, scale := standardized()
	g := gorgonia.NewGraph()
	in := gorgonia.NodeFromAny(g, x, gorgonia.WithName("x"))
	target := gorgonia.NodeFromAny(g, y, gorgonia.WithName("y"))
	w := gorgonia.NewVector(g, tensor.Float64, gorgonia.WithShape(4), gorgonia.WithName("w"), gorgonia.WithInit(gorgonia.Zeroes()))
	mu := gorgonia.Must(gorgonia.Mul(in, w))

	name := "squared"
	likelihood, errs, err := graph.GaussianError(dev, target, mu)
	if l1 {
		name = "L1"
		likelihood, _, err = graph.LaplacianError(dev, target, mu, graph.L1)
	}
	if err != nil {
		log.Fatal(err)
	}
	if _, err := gorgonia.Grad(gorgonia.Must(gorgonia.Neg(likelihood)), w); err != nil {
		log.Fatal(err)
	}
	vm := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(w))
	defer vm.Close()
	for rate := 1.0; rate > 1e-4; rate /= 2 { // the slope of L1 does not shrink near the best
		solver := gorgonia.NewAdamSolver(gorgonia.WithLearnRate(rate))
		for range 200 {
			if err := vm.RunAll(); err != nil {
				log.Fatal(err)
			}
			if err := solver.Step(gorgonia.NodesToValueGrads(gorgonia.Nodes{w})); err != nil {
				log.Fatal(err)
			}
			vm.Reset()
		}
	}
	b := w.Value().Data().([]float64)
	fmt.Printf("%s: air %.2f, water %.2f, acid %.2f\n", name, b[0]/scale[0], b[1]/scale[1], b[2]/scale[2])
	fmt.Print("  observations more than 4 off:")
	sep := " "
	for i, e := range errs.Value().Data().([]float64) { // of the Gaussian cell: target - mu
		if math.Abs(e) > 4 {
			fmt.Print(sep, i+1)
			sep = ", "
		}
	}
	fmt.Println()
}

// standardized is the data as x (21 x 4), columns of mean 0 and deviation 1 and one
// of ones, y (21), and what the columns were divided by.
func standardized() (x, y *tensor.Dense, scale [3]float64) {
	const n = float64(len(stackLoss))
	var mean [3]float64
	for j := range mean {
		for _, row := range stackLoss {
			mean[j] += row[j] / n
		}
		for _, row := range stackLoss {
			scale[j] += (row[j] - mean[j]) * (row[j] - mean[j]) / n
		}
		scale[j] = math.Sqrt(scale[j])
	}
	var xs, ys []float64
	for _, row := range stackLoss {
		for j := range mean {
			xs = append(xs, (row[j]-mean[j])/scale[j])
		}
		xs, ys = append(xs, 1), append(ys, row[3])
	}
	return tensor.New(tensor.WithShape(21, 4), tensor.WithBacking(xs)), tensor.New(tensor.WithBacking(ys)), scale
}
