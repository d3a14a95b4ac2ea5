package ptx

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"errorcell/kernels"
)

func TestDump(t *testing.T) {
	name := os.Getenv("K")
	if name == "" {
		t.Skip()
	}
	k, _ := kernels.Lookup(name)
	sig := kernels.Signature{DType: kernels.F32}
	if os.Getenv("D") == "f64" {
		sig.DType = kernels.F64
	}
	for i, c := range os.Getenv("S") {
		sig.Kinds[i] = map[rune]kernels.Kind{'f': kernels.Full, 'r': kernels.Row, 'c': kernels.Column, 's': kernels.Scalar, '-': kernels.Absent}[c]
	}
	plan, err := k.Specialize(sig)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := strconv.Atoi(os.Getenv("A"))
	m, err := Lower(plan, Options{Arch: a, Wide: os.Getenv("W") != ""})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, m.Launches)
	os.WriteFile("/tmp/k.ptx", []byte(m.Text), 0o644)
}
