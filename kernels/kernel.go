package kernels

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MaxInputs is the largest number of operands of a kernel. It is a constant so
// that a [Signature] is a comparable value, which can be a map's key.
const MaxInputs = 16

// MaxOutputs is the largest number of results of a kernel.
const MaxOutputs = 16

// Input is an operand of a kernel.
type Input struct {
	Name string
	// Optional operands may be absent; the kernel then computes with Default.
	Optional bool
	Default  float64
}

// Output is a result of a kernel.
type Output struct {
	Name string
	Node int // index of the node whose value it is
}

// Node is one step of a kernel: an operation on the values of earlier nodes.
type Node struct {
	Op    Op
	Type  Type
	Args  [3]int  // indices of earlier nodes; Op.Arity says how many count
	Const float64 // OpConst: its value
	Index int     // OpInput: which operand; OpReduced: which sum of the plan
	Axis  Axis    // OpSum: over what
}

// taken is the argument that an OpByType node is for an element type.
func (n Node) taken(d DType) int {
	if d == F64 {
		return n.Args[1]
	}
	return n.Args[0]
}

// Kernel is a definition, complete and checked. It is immutable: share it.
type Kernel struct {
	name    string
	inputs  []Input
	nodes   []Node
	outputs []Output
}

// Name is the kernel's name, by which the catalogue and the tools know it.
func (k *Kernel) Name() string { return k.name }

// Inputs lists the operands, in the order in which programs take them.
func (k *Kernel) Inputs() []Input { return slices.Clone(k.inputs) }

// Outputs lists the results, in the order in which programs give them.
func (k *Kernel) Outputs() []Output { return slices.Clone(k.outputs) }

// Nodes lists the steps; each refers to earlier ones only.
func (k *Kernel) Nodes() []Node { return slices.Clone(k.nodes) }

// NumInputs is the number of operands, absent ones included.
func (k *Kernel) NumInputs() int { return len(k.inputs) }

// InputName is the name of operand i.
func (k *Kernel) InputName(i int) string { return k.inputs[i].Name }

// OutputName is the name of result i.
func (k *Kernel) OutputName(i int) string { return k.outputs[i].Name }

// InputIndex finds an operand by name, -1 if there is none.
func (k *Kernel) InputIndex(name string) int {
	return slices.IndexFunc(k.inputs, func(in Input) bool { return in.Name == name })
}

// OutputIndex finds a result by name, -1 if there is none.
func (k *Kernel) OutputIndex(name string) int {
	return slices.IndexFunc(k.outputs, func(out Output) bool { return out.Name == name })
}

// String is the kernel's formula: a line for each result, and one before them
// for each value that is used more than once.
func (k *Kernel) String() string {
	uses := make([]int, len(k.nodes))
	for _, n := range k.nodes {
		for _, arg := range n.Args[:n.Op.Arity()] {
			uses[arg]++
		}
	}
	names := make([]string, len(k.nodes))
	for _, out := range slices.Backward(k.outputs) {
		names[out.Node] = out.Name
	}
	var lines []string
	shared := 0
	for i, n := range k.nodes {
		switch {
		case n.Op.Arity() == 0:
			names[i] = "" // an operand or a constant is its own name
		case names[i] == "" && uses[i] < 2:
			// it stands where it is used
		default:
			if names[i] == "" {
				names[i] = fmt.Sprintf("v%d", shared)
				shared++
			}
			name := names[i]
			names[i] = ""
			lines = append(lines, name+" = "+k.formula(i, names, math.MaxInt))
			names[i] = name
		}
	}
	for _, out := range k.outputs {
		if names[out.Node] != out.Name { // an operand, a constant or a result once more
			lines = append(lines, out.Name+" = "+k.formula(out.Node, names, math.MaxInt))
		}
	}
	return strings.Join(lines, "\n")
}

var infix = map[Op]string{OpAdd: " + ", OpSub: " - ", OpMul: " * ", OpDiv: " / ",
	OpLess: " < ", OpLessEqual: " <= ", OpEqual: " == ", OpAnd: " && ", OpOr: " || "}

// formula writes a node down to the nodes that have names, or to a depth.
func (k *Kernel) formula(node int, names []string, depth int) string {
	n := k.nodes[node]
	switch {
	case n.Op == OpInput:
		return k.inputs[n.Index].Name
	case n.Op == OpConst:
		return strconv.FormatFloat(n.Const, 'g', -1, 64)
	case names != nil && names[node] != "":
		return names[node]
	case depth == 0:
		return "..."
	}
	args := make([]string, n.Op.Arity())
	for i := range args {
		args[i] = k.formula(n.Args[i], names, depth-1)
		arg := k.nodes[n.Args[i]].Op
		if _, both := infix[arg]; both && (infix[n.Op] != "" || n.Op == OpNeg) && strings.Contains(args[i], " ") {
			args[i] = "(" + args[i] + ")"
		}
	}
	switch sign := infix[n.Op]; {
	case sign != "":
		return strings.Join(args, sign)
	case n.Op == OpNeg:
		return "-" + args[0]
	case n.Op == OpSum && n.Axis == Batch:
		return "sum(" + args[0] + ", axis=batch)"
	}
	return n.Op.String() + "(" + strings.Join(args, ", ") + ")"
}

// DefineError says why a kernel was refused.
type DefineError struct {
	Kernel string
	Reason string
}

func (e *DefineError) Error() string {
	return fmt.Sprintf("kernel %q: %s", e.Kernel, e.Reason)
}

// Builder takes the expression of a kernel while [Define] runs. Its methods
// give values that further methods take; the first mistake is kept, and Define
// returns it.
type Builder struct {
	k     Kernel
	index map[nodeKey]int
	err   error
}

// nodeKey tells nodes apart; constants by their bits, since -0 equals +0.
type nodeKey struct {
	node Node
	bits uint64
}

func keyOf(n Node) nodeKey {
	key := nodeKey{n, math.Float64bits(n.Const)}
	key.node.Const = 0
	return key
}

// Value is a value inside the kernel that is being defined.
type Value struct {
	b    *Builder
	node int
}

// Define makes a kernel: f calls the Builder's methods, once, now. What is
// wrong with the kernel is a *[DefineError].
func Define(name string, f func(*Builder)) (*Kernel, error) {
	b := &Builder{k: Kernel{name: name}, index: map[nodeKey]int{}}
	if !validName(name) {
		return nil, &DefineError{name, "a kernel's name is letters, digits, '-' and '_', a letter first"}
	}
	if f == nil {
		return nil, &DefineError{name, "it has no definition"}
	}
	f(b)
	b.checkWhole()
	if b.err != nil {
		return nil, b.err
	}
	k := b.k
	k.inputs, k.nodes, k.outputs = slices.Clip(k.inputs), slices.Clip(k.nodes), slices.Clip(k.outputs)
	return &k, nil // a copy: a builder that f has kept has no power over it
}

// Must returns the kernel, and panics if its definition was refused: for
// kernels that are variables of a package, whose mistakes no input can cause.
func Must(k *Kernel, err error) *Kernel {
	if err != nil {
		panic(err)
	}
	return k
}

func validName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		other := r >= '0' && r <= '9' || r == '_' || r == '-'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return s != ""
}

func (b *Builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = &DefineError{b.k.name, fmt.Sprintf(format, args...)}
	}
}

// add appends a node, or finds the one that computes the same.
func (b *Builder) add(n Node) Value {
	key := keyOf(n)
	i, known := b.index[key]
	if !known {
		i = len(b.k.nodes)
		b.k.nodes = append(b.k.nodes, n)
		b.index[key] = i
	}
	return Value{b, i}
}

// Input declares an operand that must be given.
func (b *Builder) Input(name string) Value {
	return b.input(Input{Name: name})
}

// Optional declares an operand that may be absent; absent, it has the value
// ifAbsent. Plans drop what that makes superfluous, such as a product with 1.
func (b *Builder) Optional(name string, ifAbsent float64) Value {
	return b.input(Input{Name: name, Optional: true, Default: ifAbsent})
}

func (b *Builder) input(in Input) Value {
	switch {
	case !validName(in.Name):
		b.fail("operand name %q: letters, digits, '-' and '_' are wanted, a letter first", in.Name)
	case b.k.InputIndex(in.Name) >= 0:
		b.fail("two operands are called %q", in.Name)
	case len(b.k.inputs) == MaxInputs:
		b.fail("more than %d operands", MaxInputs)
	case math.IsNaN(in.Default):
		b.fail("operand %q has NaN for its default", in.Name)
	}
	b.k.inputs = append(b.k.inputs, in)
	return b.add(Node{Op: OpInput, Index: len(b.k.inputs) - 1})
}

// Const is the constant x, rounded to the DType that the kernel is compiled for.
func (b *Builder) Const(x float64) Value {
	if math.IsNaN(x) {
		b.fail("NaN as a constant")
	}
	return b.add(constNode(x))
}

func constNode(x float64) Node {
	n := Node{Op: OpConst, Const: x}
	if x == 0 || x == 1 || x == -1 {
		n.Type = Ternary
	}
	return n
}

func (b *Builder) apply(op Op, args ...Value) Value {
	return b.complete(Node{Op: op}, args...)
}

// complete checks the arguments of a node, types it and adds it.
func (b *Builder) complete(n Node, args ...Value) Value {
	op := n.Op
	types := make([]Type, len(args))
	for i, v := range args {
		if v.b != b {
			b.fail("argument %d of %s is no value of this kernel", i+1, op)
			return Value{b, -1}
		}
		if v.node < 0 { // a mistake that is already reported
			return v
		}
		n.Args[i] = v.node
		types[i] = b.k.nodes[v.node].Type
		if want := ops[op].args[i]; (want == Bool) != (types[i] == Bool) {
			b.fail("argument %d of %s is %s, %s is wanted", i+1, op, types[i], want)
			return Value{b, -1}
		}
	}
	n.Type = ops[op].result(types)
	return b.add(n)
}

// The operations; see the Op constants for what each computes.

// Neg is -x.
func (b *Builder) Neg(x Value) Value { return b.apply(OpNeg, x) }

// Abs is |x|.
func (b *Builder) Abs(x Value) Value { return b.apply(OpAbs, x) }

// Sign is -1, 0 or +1; zero keeps its sign, NaN stays NaN.
func (b *Builder) Sign(x Value) Value { return b.apply(OpSign, x) }

// Sqrt is the square root.
func (b *Builder) Sqrt(x Value) Value { return b.apply(OpSqrt, x) }

// Pow2 is 2^n, n being x rounded to the nearest whole number: +0 and +Inf where
// that is no normal number.
func (b *Builder) Pow2(x Value) Value { return b.apply(OpPow2, x) }

// Exponent is the whole number e with 2^e <= |x| < 2^(e+1). Zero and subnormals
// have one less than the least of normal numbers (-127 in float32), infinities
// one more than the most (128).
func (b *Builder) Exponent(x Value) Value { return b.apply(OpExponent, x) }

// Add is x + y.
func (b *Builder) Add(x, y Value) Value { return b.apply(OpAdd, x, y) }

// Sub is x - y.
func (b *Builder) Sub(x, y Value) Value { return b.apply(OpSub, x, y) }

// Mul is x * y.
func (b *Builder) Mul(x, y Value) Value { return b.apply(OpMul, x, y) }

// Div is x / y.
func (b *Builder) Div(x, y Value) Value { return b.apply(OpDiv, x, y) }

// Min is the smaller of x and y; NaN if either is NaN; -0 is below +0.
func (b *Builder) Min(x, y Value) Value { return b.apply(OpMin, x, y) }

// Max is the larger of x and y; NaN if either is NaN; -0 is below +0.
func (b *Builder) Max(x, y Value) Value { return b.apply(OpMax, x, y) }

// Fma is x*y + z with one rounding.
func (b *Builder) Fma(x, y, z Value) Value { return b.apply(OpFma, x, y, z) }

// Less is x < y.
func (b *Builder) Less(x, y Value) Value { return b.apply(OpLess, x, y) }

// LessEqual is x <= y.
func (b *Builder) LessEqual(x, y Value) Value { return b.apply(OpLessEqual, x, y) }

// Equal is x == y.
func (b *Builder) Equal(x, y Value) Value { return b.apply(OpEqual, x, y) }

// Not is true where c is false.
func (b *Builder) Not(c Value) Value { return b.apply(OpNot, c) }

// And is true where c and d are.
func (b *Builder) And(c, d Value) Value { return b.apply(OpAnd, c, d) }

// Or is true where c or d is.
func (b *Builder) Or(c, d Value) Value { return b.apply(OpOr, c, d) }

// Select is x where c is true, else y.
func (b *Builder) Select(c, x, y Value) Value { return b.apply(OpSelect, c, x, y) }

// Sum is the sum of x over an axis, by the fixed tree: a scalar for [All],
// a row (1 x N) for [Batch]. It runs over x's own shape.
func (b *Builder) Sum(x Value, axis Axis) Value {
	if int(axis) >= len(axisNames) {
		b.fail("sum over the unknown axis %d", axis)
		return Value{b, -1}
	}
	return b.complete(Node{Op: OpSum, Axis: axis}, x)
}

// ByType is f32 in a kernel of float32 and f64 in one of float64: for constants
// and polynomials that need be only as good as the type. What is not taken is not
// computed.
func (b *Builder) ByType(f32, f64 Value) Value { return b.apply(OpByType, f32, f64) }

// Output names x as a result of the kernel: an array of the DType that the
// kernel is compiled for or, of truth values, of [B8].
func (b *Builder) Output(name string, x Value) {
	switch {
	case x.b != b:
		b.fail("result %q is no value of this kernel", name)
	case x.node < 0: // already reported
	case !validName(name):
		b.fail("result name %q: letters, digits, '-' and '_' are wanted, a letter first", name)
	case b.k.OutputIndex(name) >= 0:
		b.fail("two results are called %q", name)
	case b.k.InputIndex(name) >= 0:
		b.fail("%q is the name of an operand and of a result", name)
	case len(b.k.outputs) == MaxOutputs:
		b.fail("more than %d results", MaxOutputs)
	}
	b.k.outputs = append(b.k.outputs, Output{name, x.node})
}

// checkWhole finds what only the whole definition shows: a kernel without
// results, and values that no result needs, which are mistakes more often than
// not.
func (b *Builder) checkWhole() {
	if b.err != nil {
		return
	}
	if len(b.k.outputs) == 0 {
		b.fail("it has no result")
		return
	}
	used := make([]bool, len(b.k.nodes))
	for _, out := range b.k.outputs {
		used[out.Node] = true
	}
	for i := len(b.k.nodes) - 1; i >= 0; i-- {
		n := b.k.nodes[i]
		switch {
		case used[i]:
			for _, arg := range n.Args[:n.Op.Arity()] {
				used[arg] = true
			}
		case n.Op == OpInput:
			b.fail("operand %q is never used", b.k.inputs[n.Index].Name)
		default:
			b.fail("%s is computed and never used", b.k.formula(i, nil, 4))
		}
	}
}
