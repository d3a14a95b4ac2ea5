// The PTX that ptx prints, and devices that are GPUs.

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"errorcell/backend"
	"errorcell/kernels"
	"errorcell/kernels/ptx"
)

func TestPTX(t *testing.T) {
	const full, row, column, scalar = kernels.Full, kernels.Row, kernels.Column, kernels.Scalar
	scaled, l1 := kernels.LaplacianScaled, kernels.LaplacianScaledL1
	for _, test := range []struct {
		args   string
		kernel *kernels.Kernel
		dtype  kernels.DType
		kinds  []kernels.Kind // target, mu, modulator, mask, scale
		omit   uint32
		arch   int
	}{
		{"--arch sm_90", scaled, kernels.F32, []kernels.Kind{full, full}, 1 << 3, 90},
		{"--cell laplacian --loss mismatch --arch 90 --dtype float32", scaled, kernels.F32, []kernels.Kind{full, full}, 1 << 3, 90},
		{"--arch sm_70 --with modulator", scaled, kernels.F32, []kernels.Kind{full, full, full}, 1 << 3, 70},
		{"--arch sm_87 --loss l1 --with mask=column --with modulator=row", l1, kernels.F32, []kernels.Kind{full, full, row, column}, 1 << 3, 86},
		{"--arch sm_100 --dtype float64 --with scale=scalar,shift=row,target=column", scaled, kernels.F64, []kernels.Kind{column, row, 0, 0, scalar}, 0, 100},
		{"--arch sm_90 --cell gaussian --with sigma=scalar,mask", kernels.Gaussian, kernels.F32, []kernels.Kind{full, full, 0, full, scalar}, 0, 90},
		{"--arch sm_80 --cell bernoulli --with mask=row", kernels.Bernoulli, kernels.F32, []kernels.Kind{full, full, 0, row}, 0, 80},
		{"--arch sm_80 --cell bernoulli --logits", kernels.BernoulliLogits, kernels.F32, []kernels.Kind{full, full}, 0, 80},
	} {
		t.Run(test.args, func(t *testing.T) {
			sig := kernels.Signature{DType: test.dtype, Omit: test.omit}
			copy(sig.Kinds[:], test.kinds)
			plan, err := test.kernel.Specialize(sig)
			if err != nil {
				t.Fatal(err)
			}
			want, err := ptx.Lower(plan, ptx.Options{Arch: test.arch})
			if err != nil {
				t.Fatal(err)
			}
			if got := succeed(t, ".", append([]string{"ptx"}, strings.Fields(test.args)...)...); got != want.Text {
				t.Errorf("the text is not what is lowered for the kernel:\n%.900s", got)
			}
		})
	}
	if text := succeed(t, ".", "ptx"); !strings.Contains(text, fmt.Sprintf("\n.target sm_%d\n", defaultArch())) {
		t.Errorf("by default the text is %.900s", text)
	}
}

func TestPTXFailures(t *testing.T) {
	for args, wants := range map[string][]string{
		"--cell foo":                {`unknown cell "foo"`, "laplacian"},
		"--cell gaussian --loss l1": {`unknown loss "l1"`, "squared"},
		"--logits":                  {"--logits", "laplacian"},
		"--loss foo":                {`unknown loss "foo"`, "mismatch, l1"},
		"--arch sm_60":              {"sm_60 is too old", "sm_70", "sm_121"},
		"--arch sm_90a":             {`unknown architecture "sm_90a"`, "sm_70", "sm_121"},
		"--arch -1":                 {`unknown architecture "-1"`},
		"--dtype float16":           {`unknown element type "float16"`, "float32, float64"},
		"--with foo":                {`unknown operand "foo"`, "modulator", "shift"},
		"--with=":                   {`unknown operand ""`},
		"--with mask,":              {`unknown operand ""`},
		"--with mask=bar":           {`unknown kind "bar"`, "full, row, column, scalar"},
		"--with mask --with mask":   {"mask twice"},
		"--with mu,shift=row":       {"mu twice"},
		"--device cpu":              {"unknown flag: --device"},
		"--cell laplacian sm_90":    {`"sm_90"`},
		"--with modulator --arch ü": {`unknown architecture "ü"`},
	} {
		t.Run(args, func(t *testing.T) {
			checkFailure(t, errorcell(t, ".", append([]string{"ptx"}, strings.Fields(args)...)...), exitUsage, wants...)
		})
	}
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		defer full.Close()
		c := command(t, ".", "ptx")
		c.Stdout = full
		checkFailure(t, finish(t, c), exitFailed, "no space left on device")
	}
}

// A GPU that cannot be had is listed, with the reason that using it gives.
func TestNoGPU(t *testing.T) {
	dev, err := backend.Open("cuda")
	if err == nil {
		dev.Close()
		t.Skip("there is a GPU: on a machine without one this tests what is said of it")
	}
	if !errors.Is(err, backend.ErrUnavailable) {
		t.Fatal(err)
	}
	reason := errors.Unwrap(err).Error()
	if list := succeed(t, ".", "devices"); !strings.Contains(list, oneLine(reason)) {
		t.Errorf("devices does not say %q: %s", reason, list)
	}
	folder := badFiles(t)
	before := contents(t, folder)
	checkFailure(t, errorcell(t, folder, "step", "--device", "cuda", "--in", "good.npz", "--out", "new.npz"), exitFailed, `device "cuda": `, oneLine(reason))
	checkFailure(t, errorcell(t, folder, "verify", "--device", "cuda:0"), exitFailed, `device "cuda:0": `, oneLine(reason))
	checkContents(t, folder, before)
}
