package neurons

import (
	"errors"
	"math"
	"slices"

	"errorcell/backend"
	"errorcell/kernels"
)

// array is numbers on a device. Compartments may hold one array together, as
// those do that a wire joins: nobody writes into an array that has more than one
// holder.
type array struct {
	buf     backend.Buffer
	holders int
	content content
}

// content is what is known of an array's numbers without a look at them.
type content uint8

const (
	numbers content = iota // nothing
	finite                 // there is no infinity and no NaN
	// From here on, the buffer holds a single number, which all elements are.
	uniform // some number
	zeros   // +0
	ones    // 1
)

func (c content) isUniform() bool { return c >= uniform }
func (c content) isFinite() bool  { return c == finite || c == zeros || c == ones }

// contentOf is the content of an array all of whose elements are x.
func contentOf(x float64) content {
	switch {
	case x == 0 && !math.Signbit(x):
		return zeros
	case x == 1:
		return ones
	}
	return uniform
}

// store is where the arrays of a component come from, or of all components of a
// context: memory that is free again waits there for the next of its size, so
// that nothing is allocated while shapes stay.
type store struct {
	dev   backend.Device
	dtype kernels.DType

	free      map[int][]backend.Buffer // what waits, by its length
	constants [ones + 1]*array         // zeros and ones
	unused    []*array
}

func newStore(dev backend.Device, dtype kernels.DType) *store {
	return &store{dev: dev, dtype: dtype, free: map[int][]backend.Buffer{}}
}

// take gives an array of n numbers, with no holder, and no promise of what they
// are.
func (s *store) take(n int) (*array, error) {
	var buf backend.Buffer
	if waiting := s.free[n]; len(waiting) > 0 {
		buf = waiting[len(waiting)-1]
		s.free[n] = waiting[:len(waiting)-1]
	} else {
		var err error
		if buf, err = s.dev.NewBuffer(s.dtype, n); err != nil {
			return nil, err
		}
	}
	if k := len(s.unused); k > 0 {
		a := s.unused[k-1]
		s.unused = s.unused[:k-1]
		*a = array{buf: buf}
		return a, nil
	}
	return &array{buf: buf}, nil
}

// constant gives an array all of whose elements are x. Those of zeros and of
// ones stay for later.
func (s *store) constant(x float64) (*array, error) {
	content := contentOf(x)
	if a := s.constants[content]; a != nil {
		return a, nil
	}
	a, err := s.take(1)
	if err != nil {
		return nil, err
	}
	if err := write(a.buf, []float64{x}); err != nil {
		s.put(a)
		return nil, err
	}
	a.content = content
	if content != uniform {
		a.holders++ // the store itself
		s.constants[content] = a
	}
	return a, nil
}

// put takes back an array that nobody holds.
func (s *store) put(a *array) {
	n := a.buf.Len()
	s.free[n] = append(s.free[n], a.buf)
	a.buf = nil
	s.unused = append(s.unused, a)
}

// withdraw takes a buffer out of those that wait, if it is one.
func (s *store) withdraw(buf backend.Buffer) {
	n := buf.Len()
	s.free[n] = slices.DeleteFunc(s.free[n], func(other backend.Buffer) bool { return other == buf })
}

// drop ends one hold of an array.
func (s *store) drop(a *array) {
	if a.holders--; a.holders == 0 {
		s.put(a)
	}
}

// again calls f once more, with the memory that waits, if it was memory that f
// lacked. No run that is yet to be started may use what waits.
func (s *store) again(f func() error) error {
	err := f()
	if errors.Is(err, backend.ErrMemory) && s.waits() && s.trim() == nil {
		err = f()
	}
	return err
}

func (s *store) waits() bool {
	for _, waiting := range s.free {
		if len(waiting) > 0 {
			return true
		}
	}
	return false
}

// trim gives the memory back that waits.
func (s *store) trim() error {
	var errs []error
	for _, waiting := range s.free {
		for _, buf := range waiting {
			errs = append(errs, buf.Close())
		}
	}
	clear(s.free) // also of sizes that do not come again
	return errors.Join(errs...)
}

// close gives back all memory that is in nobody's hands.
func (s *store) close() error {
	for i, a := range s.constants {
		if a != nil {
			s.constants[i] = nil
			s.drop(a)
		}
	}
	return s.trim()
}

// full gives an array of n numbers x, with memory for each.
func (s *store) full(n int, x float64) (*array, error) {
	a, err := s.take(n)
	if err != nil {
		return nil, err
	}
	if err := fillBuffer(a.buf, x); err != nil {
		s.put(a)
		return nil, err
	}
	return a, nil
}

// clone copies an array.
func (s *store) clone(a *array) (*array, error) {
	copied, err := s.take(a.buf.Len())
	if err != nil {
		return nil, err
	}
	err = s.dev.Sync()
	if from, to := a.buf.Host(), copied.buf.Host(); err == nil && from != nil {
		copy(to, from)
	} else if err == nil {
		numbers := make([]byte, a.buf.Len()*s.dtype.Size())
		if _, err = a.buf.ReadAt(numbers, 0); err == nil {
			_, err = copied.buf.WriteAt(numbers, 0)
		}
	}
	if err != nil {
		s.put(copied)
		return nil, err
	}
	return copied, nil
}

func allFinite[T kernels.Float](data []T) bool {
	return !slices.ContainsFunc(data, func(x T) bool { return x-x != 0 })
}
