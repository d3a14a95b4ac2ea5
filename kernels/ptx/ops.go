// The operations, in PTX.

package ptx

import (
	"fmt"
	"math"

	"errorcell/kernels"
)

// operation is a row of the table below.
type operation struct {
	says string // what comments call it
	ptx  string // instructions, one a line
}

// operations is the language. $d is the result, $a, $b and $c are the
// arguments, $T is the element type and $B the bits of its size. $t and $q are
// a number and a predicate for in between, %u is bits.
//
// Every rounding is .rn, which also keeps ptxas from fusing a product with a
// sum, and nothing is .ftz, so that subnormals stay. PTX's own minimum takes -0
// to be less than +0, as ours does, but prefers a number to NaN.
var operations = map[kernels.Op]operation{
	kernels.OpNeg:  {"-$a", "neg.$T $d, $a"},
	kernels.OpAbs:  {"abs($a)", "abs.$T $d, $a"},
	kernels.OpSqrt: {"sqrt($a)", "sqrt.rn.$T $d, $a"},
	kernels.OpSign: {"sign($a)", `
		and.$B $t, $a, $signbit
		or.$B $t, $t, $onebits
		setp.ne.$T $q, $a, $zero
		selp.$T $d, $t, $a, $q`}, // 1 with the sign of a, or a itself if that is zero or NaN

	kernels.OpPow2: {"pow2($a)", `
		.reg .$B %u
		max.$T $t, $a, $lowest
		min.$T $t, $t, $highest
		add.rn.$T $t, $t, $whole
		shl.$B %u, $t, $mantissa
		add.$U %u, %u, $onebits
		setp.nan.$T $q, $a, $a
		mov.$B $t, %u
		selp.$T $d, $a, $t, $q`}, // the whole number in the last bits becomes the exponent
	kernels.OpExponent: {"exponent($a)", `
		.reg .$B %u
		and.$B %u, $a, $infbits
		shr.$B %u, %u, $mantissa
		or.$B $t, %u, $powerbits
		sub.rn.$T $t, $t, $biased
		setp.nan.$T $q, $a, $a
		selp.$T $d, $a, $t, $q`}, // the exponent becomes the last bits of a number

	kernels.OpAdd: {"$a + $b", "add.rn.$T $d, $a, $b"},
	kernels.OpSub: {"$a - $b", "sub.rn.$T $d, $a, $b"},
	kernels.OpMul: {"$a * $b", "mul.rn.$T $d, $a, $b"},
	kernels.OpDiv: {"$a / $b", "div.rn.$T $d, $a, $b"},
	kernels.OpMin: {"min($a, $b)", "min.$T $t, $a, $b\n" + nanIfEither},
	kernels.OpMax: {"max($a, $b)", "max.$T $t, $a, $b\n" + nanIfEither},
	kernels.OpFma: {"fma($a, $b, $c)", "fma.rn.$T $d, $a, $b, $c"},

	kernels.OpLess:      {"$a < $b", "setp.lt.$T $d, $a, $b"},
	kernels.OpLessEqual: {"$a <= $b", "setp.le.$T $d, $a, $b"},
	kernels.OpEqual:     {"$a == $b", "setp.eq.$T $d, $a, $b"},
	kernels.OpNot:       {"!$a", "not.pred $d, $a"},
	kernels.OpAnd:       {"$a && $b", "and.pred $d, $a, $b"},
	kernels.OpOr:        {"$a || $b", "or.pred $d, $a, $b"},
	kernels.OpSelect:    {"$a ? $b : $c", "selp.$T $d, $b, $c, $a"},
}

const nanIfEither = `
	setp.nan.$T $q, $a, $b
	selp.$T $d, $nan, $t, $q`

// shorter has what newer architectures do in one instruction, for float32.
var shorter = map[kernels.Op]string{
	kernels.OpMin: "min.NaN.f32 $d, $a, $b",
	kernels.OpMax: "max.NaN.f32 $d, $a, $b",
}

// operation finds the row for an operation.
func (e *entry) operation(op kernels.Op) (operation, bool) {
	row, ok := operations[op]
	if short, has := shorter[op]; has && e.dtype() == kernels.F32 && e.arch.minNaN() {
		row.ptx = short
	}
	return row, ok
}

// typeWords are the words of fragments that depend on the element type.
func typeWords(d kernels.DType) map[string]string {
	words := map[string]string{"T": "f32", "B": "b32", "U": "u32", "size": "4",
		"signbit": "0x80000000", "onebits": "0x3F800000", "infbits": "0x7F800000", "powerbits": "0x4B000000", "mantissa": "23"}
	// The exponents of zero and infinity, and of the last bit of 1.
	lowest, highest, last := -127.0, 128.0, 23
	if d == kernels.F64 {
		words = map[string]string{"T": "f64", "B": "b64", "U": "u64", "size": "8",
			"signbit": "0x8000000000000000", "onebits": "0x3FF0000000000000", "infbits": "0x7FF0000000000000", "powerbits": "0x4330000000000000", "mantissa": "52"}
		lowest, highest, last = -1023, 1024, 52
	}
	power := math.Ldexp(1, last) // its last bits are a whole number
	for word, x := range map[string]float64{
		"zero": 0, "nan": math.NaN(), "lowest": lowest, "highest": highest,
		"whole": 1.5 * power, "biased": power - lowest,
	} {
		words[word] = literal(d, x)
	}
	return words
}

// literal is a number, rounded to the type, to the bit.
func literal(d kernels.DType, x float64) string {
	switch {
	case d == kernels.F32 && math.IsNaN(x):
		return "0f7FC00000" // Go's NaN has other bits
	case d == kernels.F32:
		return fmt.Sprintf("0f%08X", math.Float32bits(float32(x)))
	case math.IsNaN(x):
		return "0d7FF8000000000000"
	}
	return fmt.Sprintf("0d%016X", math.Float64bits(x))
}
