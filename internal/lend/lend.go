// Package lend runs programs on memory of the host's: in place where their device can
// borrow it, else on copies in the device's own.
package lend

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"errorcell/backend"
	"errorcell/kernels"
)

// Memory is an array of the host's. The zero Memory is none: that of an operand that is
// absent, or of a result that is omitted.
type Memory struct {
	DType kernels.DType
	First unsafe.Pointer // the first element
	Len   int
}

// Of is the memory of a slice.
func Of[T kernels.Float](s []T) Memory {
	return Memory{kernels.DTypeOf[T](), unsafe.Pointer(unsafe.SliceData(s)), len(s)}
}

func (m Memory) size() int { return m.Len * m.DType.Size() }

// Bytes is the memory.
func (m Memory) Bytes() []byte { return unsafe.Slice((*byte)(m.First), m.size()) }

func (m Memory) overlaps(x Memory) bool {
	from, other := uintptr(m.First), uintptr(x.First)
	return from < other+uintptr(x.size()) && other < from+uintptr(m.size())
}

// Lender lends memory to a device. It may be used by any number of goroutines.
type Lender struct {
	dev   backend.Device
	host  backend.Borrower // the device, if it can borrow
	loans sync.Pool        // of *loan, so that a run in place allocates nothing
}

// New makes a lender for an open device.
func New(dev backend.Device) *Lender {
	host, _ := dev.(backend.Borrower)
	return &Lender{dev: dev, host: host}
}

// Run is program.Run with memory in place of buffers, and waits for the results. A
// result may be the memory of operands, or overlap it, but no other result. What is
// wrong is as with program.Run, or an error of the device's that names the operand or
// the result; results that are copied are as they were then, but for those that the
// device had given back before.
func (l *Lender) Run(program backend.Program, rows, cols int, inputs, outputs []Memory) error {
	plan := program.Plan()
	if nin, nout := plan.Kernel.NumInputs(), len(plan.Outputs); len(inputs) != nin || len(outputs) != nout {
		return fmt.Errorf("kernel %s: %w: %d operands and %d results are wanted, %d and %d are given",
			plan.Kernel.Name(), backend.ErrOperands, nin, nout, len(inputs), len(outputs))
	}
	n, ok := l.loans.Get().(*loan)
	if !ok {
		n = new(loan)
	}
	defer l.loans.Put(n)
	defer n.end()
	for i, m := range inputs {
		b, copied, err := n.buffer(l, m, true)
		if copied && err == nil {
			_, err = b.WriteAt(m.Bytes(), 0)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", plan.Kernel.InputName(i), err)
		}
		n.inputs = append(n.inputs, b)
	}
	for i, m := range outputs {
		b, copied, err := n.buffer(l, m, mayBorrow(plan, m, inputs))
		if err != nil {
			return fmt.Errorf("%s: %w", plan.Kernel.OutputName(i), err)
		}
		n.outputs = append(n.outputs, b)
		if copied {
			n.back = append(n.back, i)
		}
	}
	if err := program.Run(rows, cols, n.inputs, n.outputs); err != nil {
		return err
	}
	if err := l.dev.Sync(); err != nil {
		return err
	}
	for _, i := range n.back {
		if _, err := n.outputs[i].ReadAt(outputs[i].Bytes(), 0); err != nil {
			return fmt.Errorf("%s: %w", plan.Kernel.OutputName(i), err)
		}
	}
	return nil
}

// mayBorrow reports whether a result may be written where it is while the operands are
// read: see [backend.Borrowed].
func mayBorrow(plan *kernels.Plan, result Memory, inputs []Memory) bool {
	for _, m := range inputs {
		if result.overlaps(m) && !(result == m && plan.InPlace()) {
			return false
		}
	}
	return true
}

// loan is the buffers of a run.
type loan struct {
	inputs, outputs []backend.Buffer
	back            []int              // which outputs are to be read back
	borrowed        []backend.Borrowed // kept; the first lent of them have memory
	lent            int
	copies          []backend.Buffer // to close
}

// end lets go of all memory.
func (n *loan) end() {
	for _, b := range n.borrowed[:n.lent] {
		b.Borrow(nil, 0)
	}
	for _, b := range n.copies {
		b.Close()
	}
	for _, list := range []*[]backend.Buffer{&n.inputs, &n.outputs, &n.copies} {
		clear(*list)
		*list = (*list)[:0]
	}
	n.back, n.lent = n.back[:0], 0
}

// buffer is one in the memory, or, copied, of as many elements in the device's own.
func (n *loan) buffer(l *Lender, m Memory, mayBorrow bool) (b backend.Buffer, copied bool, err error) {
	if m == (Memory{}) {
		return nil, false, nil
	}
	if m.Len < 0 || m.Len > 0 && m.First == nil {
		return nil, false, fmt.Errorf("%w: %d elements at %p", backend.ErrShape, m.Len, m.First)
	}
	if mayBorrow && l.host != nil {
		b, err := n.borrow(l, m)
		if !errors.Is(err, backend.ErrForeign) {
			return b, false, err
		}
	}
	b, err = l.dev.NewBuffer(m.DType, m.Len)
	if err == nil {
		n.copies = append(n.copies, b)
	}
	return b, true, err
}

// borrow is a buffer in the memory. The error is an ErrForeign if the device does not
// reach it.
func (n *loan) borrow(l *Lender, m Memory) (backend.Buffer, error) {
	i := n.lent
	for i < len(n.borrowed) && n.borrowed[i].DType() != m.DType {
		i++
	}
	if i == len(n.borrowed) {
		b, err := l.host.NewBorrowed(m.DType)
		if err != nil {
			return nil, err
		}
		n.borrowed = append(n.borrowed, b)
	}
	b := n.borrowed[i]
	if err := b.Borrow(m.First, m.Len); err != nil {
		return nil, err
	}
	n.borrowed[i], n.borrowed[n.lent] = n.borrowed[n.lent], b
	n.lent++
	return b, nil
}
