package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
	"errorcell/engine"
)

// TestPlace: a placed tensor is a copy, in its order, that is used as others are.
func TestPlace(t *testing.T) {
	onEach(t, func(t *testing.T, eng *engine.Engine) {
		r := rand.New(rand.NewPCG(5, 5))
		for _, order := range []tensor.ConsOpt{nil, tensor.AsFortran(nil)} {
			d := floats[float32](r, tensor.StdEng{}, order, 30, 40)
			placed, err := eng.Place(d)
			if err != nil {
				t.Fatal(err)
			}
			same(t, placed, d)
			twice, err := tensor.Add(placed, placed)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := tensor.Add(d, d)
			same(t, twice.(*tensor.Dense), want.(*tensor.Dense))
			if x, _ := d.At(0, 0); fmt.Sprint(x) == "12345" {
				t.Fatal("the test wants another number")
			}
			placed.SetAt(float32(12345), 0, 0)
			if x, _ := d.At(0, 0); x.(float32) == 12345 {
				t.Error("it is no copy")
			}
			// A part of a placed tensor, and a tensor of rows that lie apart.
			for _, by := range [][]tensor.Slice{{tensor.S(3, 7)}, {nil, tensor.S(3, 7)}} {
				v, err := placed.Slice(by...)
				if err != nil {
					t.Fatal(err)
				}
				got, err := tensor.Neg(v)
				if err != nil {
					t.Fatal(err)
				}
				w, _ := d.Slice(by...)
				want, _ := tensor.Neg(w)
				if x, y := at(t, got, 1, 2), at(t, want, 1, 2); x != y {
					t.Errorf("-%v of %v, not %v", x, by, y)
				}
			}
		}
		bools, err := eng.Place(tensor.New(tensor.WithBacking([]bool{true, false, true})))
		if err != nil || !bools.Bools()[2] {
			t.Errorf("of bools: %v, %v", bools, err)
		}
		if empty, err := eng.Place(tensor.New(tensor.WithShape(0, 3), tensor.Of(tensor.Float32))); err != nil || !empty.Shape().Eq(tensor.Shape{0, 3}) {
			t.Errorf("of nothing: %v, %v", empty, err)
		} else if err := eng.Free(empty, 0); err != nil {
			t.Errorf("nothing is freed: %v", err)
		}
		// Elements that are not where they seem to be.
		d := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float64{1, 2, 3, 4}))
		d.T()
		v, err := d.Slice(nil)
		if err != nil {
			t.Fatal(err)
		}
		for what, d := range map[string]tensor.Tensor{"transposed": d, "a slice of it": v} {
			if p, err := eng.Place(d); err != nil || at(t, p, 0, 1) != at(t, d, 0, 1) || at(t, p, 1, 0) != at(t, d, 1, 0) {
				t.Errorf("%s: %v, %v", what, p, err)
			}
		}
		for what, d := range map[string]*tensor.Dense{
			"ints":    tensor.New(tensor.WithBacking([]int{1, 2, 3})),
			"strings": tensor.New(tensor.WithBacking([]string{"a", "b"})), // the collector would not see them there
		} {
			if _, err := eng.Place(d); !errors.Is(err, backend.ErrDType) {
				t.Errorf("of %s: %v", what, err)
			}
		}
		masked := tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2}, []bool{false, true}))
		if _, err := eng.Place(masked); err == nil {
			t.Error("of masked elements")
		}
		if one, err := eng.Place(tensor.New(tensor.FromScalar(2.5))); err != nil || one.Data().(float64) != 2.5 {
			t.Errorf("of a scalar: %v, %v", one, err)
		}
		if _, err := eng.Place(nil); !errors.Is(err, backend.ErrOperands) {
			t.Errorf("of nil: %v", err)
		}
		if _, err := eng.Place(tensor.CSRFromCoord(tensor.Shape{2, 2}, []int{0}, []int{1}, []float32{1})); !errors.Is(err, backend.ErrOperands) {
			t.Errorf("of a sparse one: %v", err)
		}
	})
}

func at(t *testing.T, x tensor.Tensor, index ...int) any {
	t.Helper()
	v, err := x.At(index...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func same(t *testing.T, got, want *tensor.Dense) {
	t.Helper()
	if !got.Shape().Eq(want.Shape()) || got.DataOrder() != want.DataOrder() {
		t.Fatalf("%v %v, not %v %v", got.Shape(), got.DataOrder(), want.Shape(), want.DataOrder())
	}
	if d := difference[float32](got.Data(), want.Data(), operation{}, false); d != "" {
		t.Fatal(d)
	}
}

// TestPlacedIsUsed: what StdEng and package tensor themselves do works on tensors in
// shared memory, which they reach.
func TestPlacedIsUsed(t *testing.T) {
	onSharing(t, func(t *testing.T, eng *engine.Engine) {
		a, err := eng.Place(tensor.New(tensor.WithShape(3, 3), tensor.WithBacking(tensor.Range(tensor.Float32, 0, 9))))
		if err != nil {
			t.Fatal(err)
		}
		d, err := eng.Place(a)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := tensor.Mul(a, float32(2), tensor.WithReuse(d)); err != nil || r != tensor.Tensor(d) {
			t.Fatalf("%v, %v", r, err)
		}
		if s := fmt.Sprintf("%v %+v %#v", d, d, d); !strings.Contains(s, "16") {
			t.Errorf("it prints as %q", s)
		}
		if x := d.Data().([]float32)[4]; x != 8 {
			t.Errorf("Data()[4] is %v", x)
		}
		if p, err := tensor.MatMul(d, d); err != nil || at(t, p, 0, 0).(float32) != 60 {
			t.Errorf("a matrix product: %v, %v", p, err)
		}
		if c := d.Clone().(*tensor.Dense); at(t, c, 1, 1).(float32) != 8 {
			t.Errorf("a clone: %v", c)
		}
		if err := d.T(); err != nil {
			t.Fatal(err)
		}
		if m := d.Materialize(); at(t, m, 0, 1).(float32) != 6 {
			t.Errorf("transposed: %v", m)
		}
		if sum, err := tensor.Add(tensor.New(tensor.WithShape(3, 3), tensor.WithBacking(make([]float32, 9))), a); err != nil || at(t, sum, 2, 2).(float32) != 8 {
			t.Errorf("added to a tensor of StdEng: %v, %v", sum, err)
		}
	})
}

// TestPlacedMemory: operations copy nothing of placed tensors, whose memory stays until
// Free, and what there is no room for is an error.
func TestPlacedMemory(t *testing.T) {
	dev, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	device := newSharing(dev)
	const n = 5000
	device.limit = 3 * n * 4
	eng, err := engine.New(device)
	if err != nil {
		t.Fatal(err)
	}
	data := tensor.New(tensor.WithBacking(tensor.Range(tensor.Float32, 0, n)))
	var placed []*tensor.Dense
	for range 3 {
		d, err := eng.Place(data)
		if err != nil {
			t.Fatal(err)
		}
		placed = append(placed, d)
	}
	if _, err := eng.Place(data); !errors.Is(err, backend.ErrMemory) || !strings.HasPrefix(err.Error(), "engine: place: ") {
		t.Errorf("placed where there is no room: %v", err)
	}
	if _, err := tensor.Add(placed[0], placed[1], tensor.WithReuse(placed[2])); err != nil {
		t.Fatal(err)
	}
	if device.buffers > 0 {
		t.Errorf("%d operands or results were copied", device.buffers)
	}
	r, err := tensor.Add(placed[0], placed[2])
	if err != nil {
		t.Fatal(err)
	}
	if device.buffers != 1 {
		t.Errorf("%d copies for a result in Go's memory", device.buffers)
	}
	tensor.WithEngine(tensor.StdEng{})(placed[2]) // as machines of Gorgonia's do
	memory := placed[2].Float32s()
	placed[2] = nil
	for range 3 {
		runtime.GC()
	}
	if memory[7] != 14 || at(t, r, 7).(float32) != 21 {
		t.Errorf("%v and %v, not 14 and 21", memory[7], at(t, r, 7))
	}
	for range 2 {
		if err := eng.Free(placed[0], int64(placed[0].MemSize())); err != nil {
			t.Error(err)
		}
	}
	if device.badFrees > 0 || len(device.pieces) != 2 {
		t.Errorf("%d pieces, %d that were not there are freed", len(device.pieces), device.badFrees)
	}
	if _, err := eng.Place(data); err != nil {
		t.Errorf("where there is room again: %v", err)
	}
	if err := eng.Free(data, 0); err != nil || data.Float32s()[2] != 2 {
		t.Errorf("Go's memory is freed: %v, %v", data, err)
	}
}

// TestClosedWithTensors: a closed engine leaves tensors in the device's memory to be
// read, and closes the device when there are none.
func TestClosedWithTensors(t *testing.T) {
	eng, err := engine.Open("cuda:emulated")
	skipWithoutCUDA(t, err)
	if err != nil {
		t.Fatal(err)
	}
	x, err := eng.Place(tensor.New(tensor.WithBacking([]float32{1, 2, 3})))
	if err != nil {
		t.Fatal(err)
	}
	if err := eng.Close(); err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(x); s != "[1  2  3]" {
		t.Errorf("it prints as %q", s)
	}
	for name, run := range map[string]func() error{
		"add":   func() error { _, err := tensor.Add(x, x); return err },
		"sum":   func() error { _, err := tensor.Sum(x); return err },
		"place": func() error { _, err := eng.Place(x); return err },
	} {
		if err := run(); !errors.Is(err, backend.ErrClosed) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := eng.Device().Sync(); err != nil {
		t.Errorf("the device is closed, and a tensor's memory with it: %v", err)
	}
	if err := eng.Free(x, int64(x.MemSize())); err != nil {
		t.Error(err)
	}
	if err := eng.Device().Sync(); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("the device is open: %v", err)
	}
}

// TestNothingToShare: tensors are in Go's memory where a device has none to share.
func TestNothingToShare(t *testing.T) {
	dev, err := backend.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	device := unable{newSharing(dev)}
	eng, err := engine.New(device)
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(tensor.WithBacking([]float32{1, 2, 3}), tensor.WithEngine(eng))
	r, err := tensor.Add(x, x)
	if err != nil || r.Data().([]float32)[2] != 6 {
		t.Fatalf("%v, %v", r, err)
	}
	if p, err := eng.Place(r); err != nil || p.Float32s()[2] != 6 {
		t.Errorf("%v, %v", p, err)
	}
	if device.runs != 1 {
		t.Errorf("%d runs of the device", device.runs)
	}
}

type unable struct{ *sharing }

func (unable) NewShared(int) ([]byte, error) { return nil, errors.ErrUnsupported }
