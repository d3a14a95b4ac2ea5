package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"errorcell/backend"
	"errorcell/internal/verify"
	"errorcell/kernels"
)

func (a *app) verifyCommand() *cobra.Command {
	var device string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Compare every kernel on a device with the reference, to the bit",
		Long: `Compare every kernel on a device with the reference, to the bit, on this machine.
It prints a line for each kernel and fails if one differs.`,
		Example: `  errorcell verify
  errorcell verify --device cpu:generic,threads=1`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.verify(c.Context(), device, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON for machines")
	deviceFlag(c, &device)
	return c
}

// verdict is what verify found of one kernel in one element type.
type verdict struct {
	Device  string  `json:"device"`
	Kernel  string  `json:"kernel"`
	DType   string  `json:"dtype"`
	Cases   int     `json:"cases"` // that agree with the reference
	OK      bool    `json:"ok"`
	Reason  string  `json:"reason,omitempty"`
	Seconds float64 `json:"seconds"`
}

// catalogue are the kernels that are verified: all, but where a test is not about
// their numbers.
var catalogue = kernels.Catalogue()

// checks are the element types that are verified.
var checks = []struct {
	dtype kernels.DType
	run   func(backend.Device, *kernels.Kernel) (int, error)
}{
	{kernels.F32, verify.Kernel[float32]},
	{kernels.F64, verify.Kernel[float64]},
}

var errDiffers = errors.New("a kernel differs from the reference")

func (a *app) verify(ctx context.Context, device string, asJSON bool) error {
	dev, err := openDevice(device)
	if err != nil {
		return err
	}
	defer dev.Close()
	verdicts := []verdict{}
	for _, k := range catalogue {
		for _, check := range checks {
			if err := ctx.Err(); err != nil {
				return err
			}
			start := time.Now()
			cases, failure := check.run(dev, k)
			v := verdict{Device: dev.Name(), Kernel: k.Name(), DType: check.dtype.String(), Cases: cases, OK: failure == nil, Seconds: time.Since(start).Seconds()}
			if failure != nil {
				v.Reason = failure.Error()
				err = fmt.Errorf("device %q: %w", dev.Name(), errDiffers)
			}
			verdicts = append(verdicts, v)
			if asJSON {
				continue
			}
			if err := a.printVerdict(v); err != nil {
				return err
			}
		}
	}
	if asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return errors.Join(enc.Encode(verdicts), err)
	}
	return err
}

func (a *app) printVerdict(v verdict) error {
	result := fmt.Sprintf("%d cases equal the reference to the bit", v.Cases)
	if !v.OK {
		result = "DIFFERS: " + v.Reason
	}
	width := 0
	for _, k := range catalogue {
		width = max(width, len(k.Name()))
	}
	_, err := fmt.Fprintf(a.stdout, "%-*s  %s  %s on %s\n", width, v.Kernel, v.DType, result, v.Device)
	return err
}
