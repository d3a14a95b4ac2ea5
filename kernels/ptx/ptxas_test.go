package ptx

import (
	"fmt"
	"os"
	"testing"

	"errorcell/kernels"
	"errorcell/kernels/ptx/internal/nvidia"
)

func TestSweep(t *testing.T) {
	if os.Getenv("SWEEP") == "" {
		t.Skip()
	}
	for _, k := range kernels.Catalogue() {
		for _, d := range []kernels.DType{kernels.F32, kernels.F64} {
			for _, mod := range []kernels.Kind{kernels.Absent, kernels.Scalar, kernels.Row, kernels.Column, kernels.Full} {
				sig := kernels.Signature{DType: d}
				sig.Kinds[0], sig.Kinds[1] = kernels.Full, kernels.Full
				for i := 2; i < k.NumInputs(); i++ {
					sig.Kinds[i] = mod
				}
				plan, err := k.Specialize(sig)
				if err != nil {
					t.Fatal(err)
				}
				line := fmt.Sprintf("%-20s %v %-8v", k.Name(), d, mod)
				for _, a := range archs {
					for _, wide := range []bool{false, true} {
						if wide && a.sm != 80 {
							continue
						}
						tool, err := nvidia.Find(nvidia.Assemblers(a.sm)[0], false)
						if err != nil {
							t.Skip(err)
						}
						m, err := Lower(plan, Options{Arch: a.sm, Wide: wide})
						if err != nil {
							t.Fatal(err)
						}
						u, err := nvidia.Assemble(tool, a.sm, m.Text, "")
						if err != nil {
							os.WriteFile("/tmp/bad.ptx", []byte(m.Text), 0o644)
							t.Fatal(err)
						}
						line += fmt.Sprintf(" %d:", a.sm)
						for i, x := range u {
							if i > 0 {
								line += ","
							}
							line += fmt.Sprint(x.Registers)
							if x.Stack+x.SpillLoads+x.SpillStores > 0 {
								line += "!!"
							}
						}
					}
				}
				fmt.Println(line)
			}
		}
	}
}
