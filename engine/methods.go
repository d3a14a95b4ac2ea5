package engine

import "gorgonia.org/tensor"

// The operations that the device computes, by the interfaces in which package
// tensor looks for them.

// Add is tensor.Add of two tensors.
func (e *Engine) Add(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(add, tensor.StdEng.Add, a, b, opts)
}

// AddScalar is tensor.Add of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) AddScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(add, tensor.StdEng.AddScalar, t, s, leftTensor, opts)
}

// Sub is tensor.Sub of two tensors.
func (e *Engine) Sub(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(sub, tensor.StdEng.Sub, a, b, opts)
}

// SubScalar is tensor.Sub of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) SubScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(sub, tensor.StdEng.SubScalar, t, s, leftTensor, opts)
}

// Mul is tensor.Mul of two tensors.
func (e *Engine) Mul(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(mul, tensor.StdEng.Mul, a, b, opts)
}

// MulScalar is tensor.Mul of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) MulScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(mul, tensor.StdEng.MulScalar, t, s, leftTensor, opts)
}

// Div is tensor.Div of two tensors.
func (e *Engine) Div(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(div, tensor.StdEng.Div, a, b, opts)
}

// DivScalar is tensor.Div of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) DivScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(div, tensor.StdEng.DivScalar, t, s, leftTensor, opts)
}

// Lt is tensor.Lt of two tensors.
func (e *Engine) Lt(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(less, tensor.StdEng.Lt, a, b, opts)
}

// LtScalar is tensor.Lt of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) LtScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(less, tensor.StdEng.LtScalar, t, s, leftTensor, opts)
}

// Lte is tensor.Lte of two tensors.
func (e *Engine) Lte(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(lessEqual, tensor.StdEng.Lte, a, b, opts)
}

// LteScalar is tensor.Lte of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) LteScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(lessEqual, tensor.StdEng.LteScalar, t, s, leftTensor, opts)
}

// Gt is tensor.Gt of two tensors.
func (e *Engine) Gt(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(greater, tensor.StdEng.Gt, a, b, opts)
}

// GtScalar is tensor.Gt of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) GtScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(greater, tensor.StdEng.GtScalar, t, s, leftTensor, opts)
}

// Gte is tensor.Gte of two tensors.
func (e *Engine) Gte(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(greaterEqual, tensor.StdEng.Gte, a, b, opts)
}

// GteScalar is tensor.Gte of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) GteScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(greaterEqual, tensor.StdEng.GteScalar, t, s, leftTensor, opts)
}

// ElEq is tensor.ElEq of two tensors.
func (e *Engine) ElEq(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(equal, tensor.StdEng.ElEq, a, b, opts)
}

// EqScalar is tensor.ElEq of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) EqScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(equal, tensor.StdEng.EqScalar, t, s, leftTensor, opts)
}

// ElNe is tensor.ElNe of two tensors.
func (e *Engine) ElNe(a, b tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofTwo(notEqual, tensor.StdEng.ElNe, a, b, opts)
}

// NeScalar is tensor.ElNe of a tensor and a number, which is on the right if
// leftTensor is true.
func (e *Engine) NeScalar(t tensor.Tensor, s any, leftTensor bool, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.withScalar(notEqual, tensor.StdEng.NeScalar, t, s, leftTensor, opts)
}

// Neg is tensor.Neg.
func (e *Engine) Neg(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofOne(neg, tensor.StdEng.Neg, a, opts)
}

// Abs is tensor.Abs.
func (e *Engine) Abs(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofOne(abs, tensor.StdEng.Abs, a, opts)
}

// Sign is tensor.Sign.
func (e *Engine) Sign(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofOne(sign, tensor.StdEng.Sign, a, opts)
}

// Sqrt is tensor.Sqrt.
func (e *Engine) Sqrt(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofOne(sqrt, tensor.StdEng.Sqrt, a, opts)
}

// Square is tensor.Square.
func (e *Engine) Square(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofOne(square, tensor.StdEng.Square, a, opts)
}

// Exp is tensor.Exp.
func (e *Engine) Exp(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofOne(exp, tensor.StdEng.Exp, a, opts)
}

// Log is tensor.Log.
func (e *Engine) Log(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofOne(log, tensor.StdEng.Log, a, opts)
}

// Tanh is tensor.Tanh.
func (e *Engine) Tanh(a tensor.Tensor, opts ...tensor.FuncOpt) (tensor.Tensor, error) {
	return e.ofOne(tanh, tensor.StdEng.Tanh, a, opts)
}
