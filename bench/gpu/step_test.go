// The step of the Laplacian error cell: its speed by size, and what starting it
// costs.

//go:build nvidia && linux && cgo && (amd64 || arm64)

package gpu

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/kernels"
)

// graphSteps is the number of steps that one graph repeats.
const graphSteps = 64

// rows is the batch, where the size has that many parts.
const rows = 256

// BenchmarkStep is a step on operands that are in the GPU's memory, one after the
// other, with no wait but at the end. An element is 16 bytes: two numbers read,
// two written. That is what a copy of 8 bytes an element moves too, and copy is
// the driver's.
func BenchmarkStep(b *testing.B) {
	for _, impl := range []struct {
		name string
		run  func(b *testing.B, n int)
	}{{"copy", copyStep}, {"errorcell", oneByOne}, {"graph", inGraph}} {
		b.Run("impl="+impl.name, func(b *testing.B) { eachSize(b, impl.run) })
	}
}

func copyStep(b *testing.B, n int) {
	stream := openDriver(b)
	bytes := 8 * int64(n)
	from, to := deviceMemory(b, bytes, stream), deviceMemory(b, bytes, stream)
	step := func() error { return cu.MemcpyDtoDAsync(to, from, bytes, stream) }
	must(b, step())
	must(b, stream.Synchronize())
	b.ResetTimer()
	for range b.N {
		if err := step(); err != nil {
			b.Fatal(err)
		}
	}
	must(b, stream.Synchronize())
	b.StopTimer()
	perStep(b, b.N, 16*int64(n))
}

func oneByOne(b *testing.B, n int) {
	dev := open(b)
	step := start(newStep(b, dev, n))
	b.ResetTimer()
	for range b.N {
		if err := step(); err != nil {
			b.Fatal(err)
		}
	}
	must(b, dev.Sync())
	b.StopTimer()
	perStep(b, b.N, 16*int64(n))
}

// inGraph has graphSteps steps in each of b.N.
func inGraph(b *testing.B, n int) {
	dev := open(b)
	graph := record(b, dev, newStep(b, dev, n), graphSteps)
	must(b, dev.Sync())
	b.ResetTimer()
	for range b.N {
		if err := graph.Run(); err != nil {
			b.Fatal(err)
		}
	}
	must(b, dev.Sync())
	b.StopTimer()
	perStep(b, b.N*graphSteps, 16*int64(n))
}

// newStep makes a step of n elements ready, and runs it once.
func newStep(b *testing.B, dev backend.Device, n int) backend.Run {
	batch := rows
	if n%rows != 0 {
		batch = 1
	}
	shapes := make([]kernels.Shape, kernels.Laplacian.NumInputs())
	shapes[0] = kernels.Shape{batch, n / batch}
	shapes[1] = shapes[0]
	binding, err := kernels.Laplacian.Bind(kernels.F32, shapes...)
	must(b, err)
	program, err := dev.Compile(kernels.Laplacian, binding.Signature)
	must(b, err)
	buffer := func(n int) backend.Buffer {
		buf, err := dev.NewBuffer(kernels.F32, n)
		if errors.Is(err, backend.ErrMemory) {
			b.Skip(err)
		}
		must(b, err)
		b.Cleanup(func() { buf.Close() })
		return buf
	}
	inputs, outputs := make([]backend.Buffer, len(shapes)), make([]backend.Buffer, len(binding.Outputs))
	for i := range 2 {
		inputs[i] = buffer(n)
		fill(b, inputs[i], uint64(i))
	}
	for i, shape := range binding.Outputs {
		outputs[i] = buffer(shape.Len())
	}
	step := backend.Run{Program: program, Rows: binding.Rows, Cols: binding.Cols, Inputs: inputs, Outputs: outputs}
	must(b, start(step)())
	must(b, dev.Sync())
	return step
}

func start(r backend.Run) func() error {
	return func() error { return r.Program.Run(r.Rows, r.Cols, r.Inputs, r.Outputs) }
}

// fill writes numbers to a buffer, of which a quarter are the same for all seeds;
// they repeat in large buffers.
func fill(b *testing.B, buf backend.Buffer, seed uint64) {
	same, own := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(2, seed))
	piece := make([]float32, min(buf.Len(), 1<<20))
	for i := range piece {
		piece[i] = same.Float32()
		if same.IntN(4) > 0 {
			piece[i] = own.Float32()
		}
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(piece))), 4*len(piece))
	for at := int64(0); at < 4*int64(buf.Len()); at += int64(len(bytes)) {
		if _, err := buf.WriteAt(bytes[:min(int64(len(bytes)), 4*int64(buf.Len())-at)], at); err != nil {
			b.Fatal(err)
		}
	}
}

func record(b *testing.B, dev backend.Device, step backend.Run, times int) backend.Recording {
	recorder, ok := dev.(backend.Recorder)
	if !ok {
		b.Fatalf("device %q makes no graphs", dev.Name())
	}
	graph, err := recorder.Record(slices.Repeat([]backend.Run{step}, times))
	must(b, err)
	b.Cleanup(func() { graph.Close() })
	must(b, graph.Run())
	return graph
}

// BenchmarkLaunch is what a step of 1024 elements costs the host: run gives it to
// the GPU, graph gives a recording of one, and wait waits until it is done.
func BenchmarkLaunch(b *testing.B) {
	const n = 1024
	b.Run("impl=run", func(b *testing.B) {
		dev := open(b)
		inBursts(b, dev, start(newStep(b, dev, n)))
	})
	b.Run("impl=graph", func(b *testing.B) {
		dev := open(b)
		inBursts(b, dev, record(b, dev, newStep(b, dev, n), 1).Run)
	})
	b.Run("impl=wait", func(b *testing.B) {
		dev := open(b)
		step := start(newStep(b, dev, n))
		b.ResetTimer()
		for range b.N {
			if err := step(); err != nil {
				b.Fatal(err)
			}
			if err := dev.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		perStep(b, b.N, 0)
	})
}

// inBursts measures starts alone: a GPU takes about a thousand launches before
// the next one must wait for it.
func inBursts(b *testing.B, dev backend.Device, start func() error) {
	const burst = 256
	must(b, dev.Sync())
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if err := start(); err != nil {
			b.Fatal(err)
		}
		if i%burst == burst-1 {
			b.StopTimer()
			must(b, dev.Sync())
			b.StartTimer()
		}
	}
	b.StopTimer()
	must(b, dev.Sync())
	perStep(b, b.N, 0)
}
