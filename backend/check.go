package backend

import (
	"fmt"
	"unsafe"

	"errorcell/kernels"
)

// CheckRun finds what is wrong with the arguments of [Program.Run], so that
// every backend refuses the same things in the same words. That a buffer is
// open is for the backend to see.
func CheckRun(dev Device, plan *kernels.Plan, rows, cols int, inputs, outputs []Buffer) error {
	if err := checkRun(dev, plan, rows, cols, inputs, outputs); err != nil {
		return &Error{dev.Name(), fmt.Errorf("kernel %s: %w", plan.Kernel.Name(), err)}
	}
	return nil
}

func checkRun(dev Device, plan *kernels.Plan, rows, cols int, inputs, outputs []Buffer) error {
	if rows < 0 || cols < 0 {
		return fmt.Errorf("%w: a grid of %d x %d", ErrShape, rows, cols)
	}
	if rows > 0 && cols > maxElements/rows {
		return fmt.Errorf("%w: a grid of %d x %d is larger than memory can be", ErrShape, rows, cols)
	}
	nin, nout := plan.Kernel.NumInputs(), len(plan.Outputs)
	if len(inputs) != nin || len(outputs) != nout {
		return fmt.Errorf("%w: %d operands and %d results are wanted, %d and %d are given", ErrOperands, nin, nout, len(inputs), len(outputs))
	}
	for i, b := range inputs {
		kind := plan.Signature.Kinds[i]
		if (b == nil) != (kind == kernels.Absent) {
			return fmt.Errorf("%w: %s is %v in the program's signature", ErrOperands, plan.Kernel.InputName(i), kind)
		}
		if b == nil {
			continue
		}
		if err := checkBuffer(dev, b, plan.Signature.DType, kind, rows, cols); err != nil {
			return fmt.Errorf("%s: %w", plan.Kernel.InputName(i), err)
		}
	}
	for i, b := range outputs {
		kind := plan.Outputs[i]
		if (b == nil) != (kind == kernels.Absent) {
			return fmt.Errorf("%w: %s is %v in the program's signature", ErrOperands, plan.Kernel.OutputName(i), kind)
		}
		if b == nil {
			continue
		}
		if err := checkBuffer(dev, b, plan.OutputDType(i), kind, rows, cols); err != nil {
			return fmt.Errorf("%s: %w", plan.Kernel.OutputName(i), err)
		}
		for j, in := range inputs {
			if in == b {
				return fmt.Errorf("%w: %s and %s are one buffer", ErrAliased, plan.Kernel.InputName(j), plan.Kernel.OutputName(i))
			}
		}
		for j, out := range outputs[:i] {
			if out == b {
				return fmt.Errorf("%w: %s and %s are one buffer", ErrAliased, plan.Kernel.OutputName(j), plan.Kernel.OutputName(i))
			}
		}
	}
	return nil
}

// maxElements keeps every size in bytes within an int.
const maxElements = int(^uint(0)>>1) / 8

func checkBuffer(dev Device, b Buffer, dtype kernels.DType, kind kernels.Kind, rows, cols int) error {
	if b.Device() != dev {
		return fmt.Errorf("%w: it belongs to device %q", ErrForeign, b.Device().Name())
	}
	if b.DType() != dtype {
		return fmt.Errorf("%w: it holds %v, %v is wanted", ErrDType, b.DType(), dtype)
	}
	if want := kind.Len(rows, cols); b.Len() != want {
		return fmt.Errorf("%w: it has %d elements, a %v operand of a grid of %d x %d has %d", ErrShape, b.Len(), kind, rows, cols, want)
	}
	return nil
}

// CheckBorrow finds what is wrong with the arguments of [Borrowed.Borrow]. Whose the
// memory is, is for the backend to see.
func CheckBorrow(dev Device, first unsafe.Pointer, n int) error {
	if n < 0 || n > 0 && first == nil {
		return &Error{dev.Name(), fmt.Errorf("%w: %d elements at %p cannot be borrowed", ErrShape, n, first)}
	}
	return nil
}

// CheckBuffer finds what is wrong with the arguments of [Device.NewBuffer].
func CheckBuffer(dev Device, dtype kernels.DType, n int) error {
	switch {
	case dtype.Size() == 0:
		return &Error{dev.Name(), fmt.Errorf("%w: %v", ErrDType, dtype)}
	case n < 0:
		return &Error{dev.Name(), fmt.Errorf("%w: a buffer of %d elements", ErrShape, n)}
	case n > maxElements:
		return &Error{dev.Name(), fmt.Errorf("%w: %d elements were asked for, an address space has fewer", ErrMemory, n)}
	}
	return nil
}
