// Package kernels says what errorcell computes.
//
// A kernel is a small typed expression over arrays of shape (B x N), a batch
// of B patterns by N units. It is defined once, with a [Builder], and is plain
// data afterwards: a list of [Node] values that any lowering can walk. Three
// things are made from it:
//
//   - [Reference], the interpreter that says what is right: one node after the
//     other over whole arrays, with no thought of speed;
//   - a [Plan] ([Kernel.Specialize]), the same expression cut into passes for
//     one set of operands, which is what backends compile;
//   - the text of its formula ([Kernel.String]).
//
// # Numbers
//
// Every operation is IEEE 754 with round to nearest even in the kernel's
// [DType]; subnormals are kept and nothing is fused unless the kernel says
// Fma. Sums go through one fixed tree in float64 ([TreeSum]), which depends on
// the number of elements alone. So every device, instruction set and thread
// count gives the same bits, except that one NaN is as good as another. See
// docs/numerics.md.
//
// Operands and results are arrays of the DType, but for results that are truth
// values, such as a comparison: they are arrays of bytes, 0 or 1 ([B8]).
//
// # Shapes
//
// Operands broadcast by NumPy's rules. Each value of a kernel has its own
// shape, the broadcast of the operands it depends on, so a sum counts each of
// its own elements once, however large the other operands are.
package kernels
