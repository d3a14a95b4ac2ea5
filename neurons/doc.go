// Package neurons has the cells of predictive coding, as a user of ngc-learn
// knows them: named parts of a circuit whose state lies in compartments, and
// which a call of AdvanceState moves one step forward in time.
//
//   - A [Compartment] is one named array of a cell's state. It takes and gives
//     tensors of gorgonia.org/tensor, Go slices and numbers.
//   - A cell has compartments that it reads and compartments that it computes:
//     [GaussianErrorCell], [BernoulliErrorCell], [RewardErrorCell] and
//     [ScaledLaplacianErrorCell] are those of today's ngc-learn,
//     [LaplacianErrorCell] is the one of April 2024.
//     A [RateCell] is what error cells drive: a state that integrates a current.
//   - A wire ([Connect]) carries the value of one compartment, or what an
//     operation such as [Summation] makes of several, to another when the
//     receiving cell gathers.
//   - A [Context] is a circuit: cells by their names, on one device.
//   - A [Process] is a list of the cells' methods that is run as one step, or as
//     many: [Process.Run].
//
// A step of an error cell, from numbers to numbers:
//
//	cell, err := neurons.NewLaplacianErrorCell("e0", 784)
//	if err != nil { ... }
//	defer cell.Close()
//	err = cell.Target().SetFloat32s(targets)  // B*784 numbers: shape (B, 784)
//	err = cell.Mean().SetTensor(predictions)  // a *tensor.Dense
//	err = cell.AdvanceState(t, dt)
//	dmu, err := cell.DerivMean().Float32s()   // B*784 numbers
//	loss, err := cell.Loss().Scalar()
//
// # Shapes
//
// A pattern is one row of N numbers, one for each unit of the cell; a batch is
// B patterns, the array of shape (B, N) whose rows follow one another. Where no
// shape is given, a slice is such a batch. A value that is assigned to a
// compartment replaces the old one whole, so the shape may change from step to
// step, and a row (1, N), a column (B, 1) or a single number stands for the
// batch that NumPy's broadcasting makes of it.
//
// # Circuits
//
// Cells that are wired are made in a context. A process runs them: before each
// method, the wires of its cell deliver.
//
//	x, err := neurons.NewContext("circuit")
//	defer x.Close() // and all that is in it
//	e0, err := neurons.NewGaussianErrorCell("e0", 784, neurons.In(x))
//	e1, err := neurons.NewGaussianErrorCell("e1", 784, neurons.In(x))
//	err = x.Connect("e0.dmu", "e1.target")
//	advance, err := x.NewProcess("advance", []string{"e0.advance_state", "e1.advance_state"})
//	err = advance.Run(ctx, 50, 1) // 50 steps of 1 ms
//
// Between the steps of a run, values stay on the device; a [Recorder] keeps those
// that are asked for, without making the device wait. A process runs whether or not
// all is connected: [Context.VerifyConnections] finds a wire that was forgotten.
//
// # Weights
//
// There are no synapses in this package. A matrix of weights between two layers is
// the program's own, which multiplies by it between the steps and sets compartments
// at which no wire arrives:
//
//	err = advance.Run(ctx, 50, 1, neurons.EachStep(func(step int) error {
//		rates, err := z1.Output().Tensor() // (B, units of z1)
//		if err != nil {
//			return err
//		}
//		prediction, err := rates.MatMul(weights) // (units of z1, units of e0)
//		if err != nil {
//			return err
//		}
//		return e0.Mean().SetTensor(prediction) // the next step reads it
//	}))
//
// The way back, from e0's dmu by the transposed weights to z1's j, is the same.
// These values go through the host at each step.
//
// # Devices
//
// A cell computes where its constructor says: [OnDevice]("cpu:generic"),
// "cuda:0", or by default what backend.Open("") picks. Its compartments live in
// that device's memory: to set one is to copy the numbers there, to read one is
// to copy them back, and nothing else leaves the device. This package knows no
// backend; the program imports those that it wants:
//
//	import _ "errorcell/backend/cpu"
//
// Every device gives the same bits; see docs/numerics.md. How each line of
// ngc-learn's cell is met here, and what differs on purpose, is in
// docs/parity.md.
//
// # State
//
// What a circuit holds is saved by [Context.Save] and comes back by [Context.Load], in
// this or another program, on this or another device: the steps that follow have the
// same bits. The file is a .npz, with an array for each compartment by its path, such
// as "z0.mu", which NumPy reads, and may edit. The circuit itself is not in it: cells,
// wires and processes are the program's to make, and so are weights.
//
// # Use
//
// A cell with its compartments is used by one goroutine at a time, and so are
// cells that are wired together, since to gather is to read the others; other
// cells that share a device may run side by side. A step whose shapes are those
// of the step before allocates nothing, nor does setting a compartment to a
// slice of the size it had.
//
// What is wrong is an [*Error], which names the component and the compartment;
// errors.Is finds the kinds listed with [ErrAbsent].
package neurons
