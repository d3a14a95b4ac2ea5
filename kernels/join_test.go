package kernels

import (
	"strings"
	"testing"
)

// doubling computes x*scale, and twice that.
var doubling = Must(Define("doubling", func(k *Builder) {
	y := k.Mul(k.Input("x"), k.Optional("scale", 3))
	k.Output("y", y)
	k.Output("twice", k.Add(y, y))
}))

// TestJoin: what one part computes, another reads; operands that no result needs
// are not the whole's.
func TestJoin(t *testing.T) {
	inputs := []Input{{Name: "unused"}, {Name: "a"}, {Name: "b", Optional: true, Default: 1}}
	joined, err := Join("joined", inputs, []Part{
		{Kernel: doubling, Operands: []Operand{{Part: Outside, Index: 0}, {Part: Nowhere}}},
		{Kernel: doubling, Operands: []Operand{{Part: Outside, Index: 1}, {Part: Outside, Index: 2}}},
		{Kernel: doubling, Operands: []Operand{{Part: 1, Index: 1}, {Part: Nowhere}}},
	}, []Result{{Part: 2, Index: 0}, {Part: 1, Index: 0}})
	if err != nil {
		t.Fatal(err)
	}
	const want = "y1 = a * b\ny0 = (y1 + y1) * 3"
	if got := joined.String(); got != want {
		t.Errorf("joined:\n%s\nnot\n%s", got, want)
	}
}

func TestJoinErrors(t *testing.T) {
	part := func(operands ...Operand) Part {
		return Part{Kernel: doubling, Operands: operands}
	}
	x, absent := Operand{Part: Outside}, Operand{Part: Nowhere}
	first := []Result{{}}
	for text, test := range map[string]struct {
		parts   []Part
		results []Result
	}{
		"part 0 has no kernel":                            {[]Part{{}}, first},
		"or not just the operands of its kernel":          {[]Part{part(x)}, first},
		"kernel doubling: there is nothing for operand x": {[]Part{part(absent, absent)}, first},
		"for operand scale at {Part:-1 Index:1}":          {[]Part{part(x, Operand{Part: Outside, Index: 1})}, first},
		"for operand x at {Part:0 Index:0}":               {[]Part{part(Operand{}, absent)}, first},
		"part 1, kernel doubling: there is nothing for":   {[]Part{part(x, absent), part(Operand{Index: 2}, absent)}, first},
		"for operand x at {Part:-3 Index:0}":              {[]Part{part(Operand{Part: -3}, absent)}, first},
		"there is no result 2 of part 0":                  {[]Part{part(x, absent)}, []Result{{Index: 2}}},
		"there is no result 0 of part 1":                  {[]Part{part(x, absent)}, []Result{{Part: 1}}},
		"it has no result":                                {[]Part{part(x, absent)}, nil},
		"operand x is a number, and result 1 of part 0":   {[]Part{{Kernel: truths, Operands: []Operand{x, x}}, part(Operand{Index: 1}, absent)}, []Result{{Part: 1}}},
	} {
		_, err := Join("joined", []Input{{Name: "a"}}, test.parts, test.results)
		if err == nil || !strings.HasPrefix(err.Error(), `kernel "joined": `) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, not: %s", err, text)
		}
	}
}
