package kernels

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// numpyCase is a line of testdata/numpy_broadcast.txt, see the script there.
type numpyCase struct {
	shapes []Shape
	result Shape // nil for an error
}

func numpyCases(t *testing.T) []numpyCase {
	t.Helper()
	file, err := os.ReadFile("testdata/numpy_broadcast.txt")
	if err != nil {
		t.Fatal(err)
	}
	digits := regexp.MustCompile(`\d+`)
	shape := func(text string) Shape {
		s := Shape{}
		for _, d := range digits.FindAllString(text, -1) {
			n, _ := strconv.Atoi(d)
			s = append(s, n)
		}
		return s
	}
	var cases []numpyCase
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		left, right, _ := strings.Cut(strings.TrimSpace(line), " ; -> ; ")
		var c numpyCase
		for _, s := range strings.Split(left, " ; ") {
			c.shapes = append(c.shapes, shape(s))
		}
		if right != "error" {
			c.result = shape(right)
		}
		cases = append(cases, c)
	}
	if len(cases) < 500 {
		t.Fatalf("only %d cases", len(cases))
	}
	return cases
}

// kernelOf is a kernel whose one result adds n operands.
func kernelOf(n int) *Kernel {
	return Must(Define("sum", func(k *Builder) {
		y := k.Input("a")
		for i := 1; i < n; i++ {
			y = k.Add(y, k.Input(string(rune('a'+i))))
		}
		k.Output("y", y)
	}))
}

// TestBroadcastLikeNumPy: the shape rule is NumPy's, in both orders.
func TestBroadcastLikeNumPy(t *testing.T) {
	for _, c := range numpyCases(t) {
		for range 2 {
			got, err := Broadcast(c.shapes...)
			switch {
			case c.result == nil && !errors.Is(err, ErrShape):
				t.Errorf("%v gives %v, %v; NumPy refuses", c.shapes, got, err)
			case c.result != nil && (err != nil || !slices.Equal(got, c.result)):
				t.Errorf("%v gives %v, %v; NumPy gives %v", c.shapes, got, err, c.result)
			}
			slices.Reverse(c.shapes)
		}
	}
}

// flattens says whether shapes can be seen as rows and columns: behind the
// first axis of the broadcast one, each has all axes or none.
func flattens(shapes []Shape, grid Shape) bool {
	units := func(s Shape) Shape {
		padded := append(slices.Repeat(Shape{1}, len(grid)-len(s)), s...)
		return padded[min(1, max(0, len(grid)-1)):]
	}
	if len(grid) < 2 {
		return true
	}
	for _, s := range shapes {
		if u := units(s); u.Len() != 1 && u.Len() != units(grid).Len() {
			return false
		}
	}
	return true
}

// TestBindLikeNumPy: what binds has NumPy's shapes and values in the grid; what
// NumPy refuses is refused, and so is what does not flatten.
func TestBindLikeNumPy(t *testing.T) {
	for _, c := range numpyCases(t) {
		k := kernelOf(len(c.shapes))
		b, err := k.Bind(F64, c.shapes...)
		if c.result == nil || !flattens(c.shapes, c.result) {
			if !errors.Is(err, ErrShape) {
				t.Errorf("%v: Bind gives %+v, %v; want an ErrShape", c.shapes, b, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.shapes, err)
			continue
		}
		if !slices.Equal(b.Outputs[0], c.result) || b.Rows*b.Cols != c.result.Len() {
			t.Errorf("%v: Bind gives the shape %v in a grid of %d x %d; NumPy gives %v", c.shapes, b.Outputs[0], b.Rows, b.Cols, c.result)
		}
		for i, s := range c.shapes {
			if got := b.Signature.Kinds[i].Len(b.Rows, b.Cols); got != s.Len() {
				t.Errorf("%v: operand %v is %v in a grid of %d x %d, which has %d elements", c.shapes, s, b.Signature.Kinds[i], b.Rows, b.Cols, got)
			}
		}
	}
}

func TestBind(t *testing.T) {
	k := Must(Define("k", func(k *Builder) {
		x, y, z := k.Input("x"), k.Input("y"), k.Optional("z", 1)
		k.Output("full", k.Mul(k.Add(x, y), z))
		k.Output("all", k.Sum(x, All))
		k.Output("batch", k.Sum(x, Batch))
		k.Output("own", k.Neg(y))
	}))
	for _, c := range []struct {
		x, y, z    Shape
		rows, cols int
		kinds      [3]Kind
		outputs    string
	}{
		{Shape{2, 3}, Shape{2, 3}, nil, 2, 3, [3]Kind{Full, Full, Absent}, "(2, 3) () (1, 3) (2, 3)"},
		{Shape{2, 3}, Shape{3}, Shape{}, 2, 3, [3]Kind{Full, Row, Scalar}, "(2, 3) () (1, 3) (3,)"},
		{Shape{2, 3}, Shape{1, 3}, Shape{2, 1}, 2, 3, [3]Kind{Full, Row, Column}, "(2, 3) () (1, 3) (1, 3)"},
		{Shape{1, 3}, Shape{2, 1}, Shape{1}, 2, 3, [3]Kind{Row, Column, Scalar}, "(2, 3) () (1, 3) (2, 1)"},
		{Shape{2, 1}, Shape{1, 3}, Shape{1, 1}, 2, 3, [3]Kind{Column, Row, Scalar}, "(2, 3) () (1, 1) (1, 3)"},
		// No axes, one axis: one pattern.
		{Shape{}, Shape{}, nil, 1, 1, [3]Kind{Full, Full, Absent}, "() () () ()"},
		{Shape{}, Shape{}, Shape{}, 1, 1, [3]Kind{Full, Full, Full}, "() () () ()"},
		{Shape{3}, Shape{}, Shape{1}, 1, 3, [3]Kind{Full, Scalar, Scalar}, "(3,) () (3,) ()"},
		{Shape{3}, Shape{3}, Shape{3}, 1, 3, [3]Kind{Full, Full, Full}, "(3,) () (3,) (3,)"},
		// An axis of 1 in the grid itself: equal cases have equal signatures.
		{Shape{1, 3}, Shape{3}, Shape{1, 1}, 1, 3, [3]Kind{Full, Full, Scalar}, "(1, 3) () (1, 3) (3,)"},
		{Shape{2, 1}, Shape{1, 1}, Shape{2, 1}, 2, 1, [3]Kind{Full, Scalar, Full}, "(2, 1) () (1, 1) (1, 1)"},
		{Shape{1, 1}, Shape{1}, Shape{}, 1, 1, [3]Kind{Full, Full, Full}, "(1, 1) () (1, 1) (1,)"},
		// More axes: the first is the batch, the others are flattened.
		{Shape{4, 2, 3}, Shape{1, 2, 3}, Shape{4, 1, 1}, 4, 6, [3]Kind{Full, Row, Column}, "(4, 2, 3) () (1, 2, 3) (1, 2, 3)"},
		{Shape{4, 2, 3}, Shape{2, 3}, Shape{1}, 4, 6, [3]Kind{Full, Row, Scalar}, "(4, 2, 3) () (1, 2, 3) (2, 3)"},
		{Shape{4, 1, 1}, Shape{2, 3}, nil, 4, 6, [3]Kind{Column, Row, Absent}, "(4, 2, 3) () (1, 1, 1) (2, 3)"},
		{Shape{1, 2, 3}, Shape{2, 3}, nil, 1, 6, [3]Kind{Full, Full, Absent}, "(1, 2, 3) () (1, 2, 3) (2, 3)"},
		// The batch axis is the grid's, also for an operand with fewer axes.
		{Shape{2, 3}, Shape{4, 2, 3}, nil, 4, 6, [3]Kind{Row, Full, Absent}, "(4, 2, 3) () (2, 3) (4, 2, 3)"},
		// Nothing.
		{Shape{0, 3}, Shape{1, 3}, Shape{0, 1}, 0, 3, [3]Kind{Full, Row, Column}, "(0, 3) () (1, 3) (1, 3)"},
		{Shape{1, 3}, Shape{0, 1}, nil, 0, 3, [3]Kind{Row, Column, Absent}, "(0, 3) () (1, 3) (0, 1)"},
		{Shape{2, 0}, Shape{2, 1}, Shape{0}, 2, 0, [3]Kind{Full, Column, Row}, "(2, 0) () (1, 0) (2, 1)"},
		{Shape{0}, Shape{}, nil, 1, 0, [3]Kind{Full, Scalar, Absent}, "(0,) () (0,) ()"},
		{Shape{0, 0}, Shape{1, 1}, Shape{0, 0}, 0, 0, [3]Kind{Full, Scalar, Full}, "(0, 0) () (1, 0) (1, 1)"},
		{Shape{4, 0, 3}, Shape{1, 0, 3}, Shape{4, 1, 1}, 4, 0, [3]Kind{Full, Row, Column}, "(4, 0, 3) () (1, 0, 3) (1, 0, 3)"},
	} {
		t.Run(strings.Join([]string{c.x.String(), c.y.String(), c.z.String()}, " "), func(t *testing.T) {
			b, err := k.Bind(F32, c.x, c.y, c.z)
			if err != nil {
				t.Fatal(err)
			}
			if b.Rows != c.rows || b.Cols != c.cols || b.Signature.DType != F32 {
				t.Errorf("the grid is %d x %d of %v, want %d x %d", b.Rows, b.Cols, b.Signature.DType, c.rows, c.cols)
			}
			if got := [3]Kind(b.Signature.Kinds[:3]); got != c.kinds {
				t.Errorf("the kinds are %v, want %v", got, c.kinds)
			}
			var outputs []string
			for _, s := range b.Outputs {
				outputs = append(outputs, s.String())
			}
			if got := strings.Join(outputs, " "); got != c.outputs {
				t.Errorf("the results have the shapes %s, want %s", got, c.outputs)
			}
			plan, err := k.Specialize(b.Signature)
			if err != nil {
				t.Fatal(err)
			}
			for i, kind := range plan.Outputs {
				if kind.Len(b.Rows, b.Cols) != b.Outputs[i].Len() {
					t.Errorf("result %s is %v in the plan, %d elements, and has the shape %v", k.OutputName(i), kind, kind.Len(b.Rows, b.Cols), b.Outputs[i])
				}
			}
		})
	}
}

func TestBindErrors(t *testing.T) {
	k := Laplacian
	for _, c := range []struct {
		name   string
		shapes []Shape
		want   error
		says   []string
	}{
		{"too few", []Shape{{2, 3}, {2, 3}}, ErrOperands, []string{"laplacian", "3", "2"}},
		{"too many", []Shape{{2, 3}, {2, 3}, nil, nil}, ErrOperands, []string{"laplacian", "3", "4"}},
		{"missing", []Shape{{2, 3}, nil, {2, 3}}, ErrOperands, []string{"laplacian needs mu"}},
		{"two do not broadcast", []Shape{{2, 3}, {2, 4}, nil}, ErrShape, []string{"target (2, 3)", "mu (2, 4)"}},
		{"the last does not", []Shape{{2, 3}, {3}, {4, 1}}, ErrShape, []string{"target (2, 3)", "modulator (4, 1)"}},
		{"with what two make", []Shape{{2, 1}, {1, 3}, {3, 3}}, ErrShape, []string{"target (2, 1)", "modulator (3, 3)"}},
		{"zero and two", []Shape{{0, 3}, {2, 3}, nil}, ErrShape, []string{"target (0, 3)", "mu (2, 3)"}},
		{"some axes", []Shape{{4, 2, 3}, {4, 1, 3}, nil}, ErrShape, []string{"mu (4, 1, 3)", "(4, 2, 3)", "axes after the first"}},
		{"some axes, fewer", []Shape{{4, 2, 3}, {4, 2, 3}, {3}}, ErrShape, []string{"modulator (3,)", "axes after the first"}},
		{"some axes of both", []Shape{{4, 2, 1}, {4, 1, 3}, nil}, ErrShape, []string{"axes after the first"}},
		{"negative", []Shape{{2, -3}, {2, 3}, nil}, ErrShape, []string{"target (2, -3)", "negative"}},
		{"negative second", []Shape{{2, 3}, {-1, 3}, nil}, ErrShape, []string{"mu (-1, 3)", "negative"}},
		{"huge", []Shape{{1 << 40, 1}, {1, 1 << 40}, nil}, ErrShape, []string{"(1099511627776, 1099511627776)", "larger than memory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := k.Bind(F32, c.shapes...)
			if !errors.Is(err, c.want) {
				t.Fatalf("Bind gives %+v, %v; want an error that is %q", b, err, c.want)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not say %q: %v", s, err)
				}
			}
			if errors.Is(err, ErrShape) == errors.Is(err, ErrOperands) {
				t.Errorf("the error is of both sorts or of none: %v", err)
			}
		})
	}
}

func TestShapeString(t *testing.T) {
	for want, s := range map[string]Shape{"absent": nil, "()": {}, "(3,)": {3}, "(2, 3)": {2, 3}, "(0, 1, 2)": {0, 1, 2}} {
		if s.String() != want {
			t.Errorf("the shape is %s, want %s", s, want)
		}
	}
	if (Shape{}).Len() != 1 || (Shape{2, 3}).Len() != 6 || (Shape{2, 0}).Len() != 0 {
		t.Error("Shape.Len")
	}
}

// TestReferenceErrors are those of Bind, and of arrays that contradict
// themselves.
func TestReferenceErrors(t *testing.T) {
	x := array(2, 3, make([]float32, 6)...)
	for name, c := range map[string]struct {
		inputs []*Array[float32]
		want   error
	}{
		"too few":  {[]*Array[float32]{x}, ErrOperands},
		"none":     {nil, ErrOperands},
		"missing":  {[]*Array[float32]{x, nil, x}, ErrOperands},
		"mismatch": {[]*Array[float32]{x, array(3, 2, make([]float32, 6)...), nil}, ErrShape},
		"data":     {[]*Array[float32]{x, {Shape{2, 3}, make([]float32, 5)}, nil}, ErrShape},
	} {
		if results, err := Reference(Laplacian, c.inputs...); !errors.Is(err, c.want) || results != nil {
			t.Errorf("%s: Reference gives %v, %v; want an error that is %q", name, results, err, c.want)
		}
	}
}
