package graph

import (
	"errors"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// DiffWRT is true for target and mu even where there is no gradient, so that asking
// for it comes to SymDiff, which says why.
func (o *op) DiffWRT(operands int) []bool {
	wrt := make([]bool, operands)
	for i := range min(operands, 2) {
		wrt[i] = true
	}
	return wrt
}

// SymDiff adds the derivatives by target and mu to the graph, for TapeMachine.
func (o *op) SymDiff(operands gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.noGradient != "" {
		return nil, o.fail(errors.New(o.noGradient))
	}
	derivatives := make(gorgonia.Nodes, len(operands))
	for i, by := range o.by {
		d, err := gorgonia.ApplyOp(by, operands[0], operands[1], grad)
		if err != nil {
			return nil, o.fail(err)
		}
		derivatives[i] = d
	}
	return derivatives, nil
}

// DoDiff adds the derivatives to the gradients of target and mu, for LispMachine.
func (o *op) DoDiff(_ gorgonia.ExecutionContext, operands gorgonia.Nodes, output *gorgonia.Node) error {
	grad, err := output.Grad()
	if err != nil {
		return o.fail(err)
	}
	if o.noGradient != "" {
		if isZero(grad) {
			return nil // nobody has asked
		}
		return o.fail(errors.New(o.noGradient))
	}
	for i, by := range o.by {
		d, err := by.Do(operands[0].Value(), operands[1].Value(), grad)
		if err != nil {
			return err
		}
		sum, err := operands[i].Grad()
		if err == nil {
			_, err = tensor.Add(sum, d, tensor.UseUnsafe())
		}
		if err != nil {
			return o.fail(err)
		}
	}
	return nil
}

func isZero(v gorgonia.Value) bool {
	switch v := v.(type) {
	case *gorgonia.F32:
		return *v == 0
	case *gorgonia.F64:
		return *v == 0
	case *tensor.Dense:
		return v.Eq(tensor.New(tensor.Of(v.Dtype()), tensor.WithShape(v.Shape().Clone()...)))
	}
	return false
}
