package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"errorcell/backend"
)

func (a *app) devicesCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "devices",
		Short: "List the devices that can be had, and why the others cannot",
		Example: `  errorcell devices
  errorcell devices --json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.devices(asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON for machines")
	return c
}

// deviceEntry is a line of the list.
type deviceEntry struct {
	Device    string `json:"device"`
	Available bool   `json:"available"`
	Default   bool   `json:"default"` // what is taken when no device is named
	Reason    string `json:"reason,omitempty"`
	*backend.Info
}

func (a *app) devices(asJSON bool) error {
	entries, err := deviceEntries()
	if asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return errors.Join(enc.Encode(entries), err)
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DEVICE\tMODEL\tISA\tTHREADS\tMEMORY\tDRIVER\t")
	for _, e := range entries {
		switch {
		case !e.Available:
			fmt.Fprintf(table, "%s\t%s\n", e.Device, oneLine(e.Reason))
		default:
			mark := ""
			if e.Default {
				mark = "(default)"
			}
			note := strings.TrimSpace(e.Note + " " + mark)
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", e.Device, e.Model, e.ISA, e.Threads, humanize.IBytes(e.Memory), orDash(e.Driver), note)
		}
	}
	return errors.Join(table.Flush(), err)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// deviceEntries lists all devices. The one that Open("") opens is marked; where
// ERRORCELL_DEVICE names one that cannot be had, the error says so.
func deviceEntries() ([]deviceEntry, error) {
	var name string
	dev, err := backend.Open("")
	if err == nil {
		name = dev.Name()
		dev.Close()
	}
	var entries []deviceEntry
	seen := false
	for _, c := range backend.Devices() {
		e := deviceEntry{Device: c.Spec, Available: c.Err == nil}
		if c.Err != nil {
			e.Reason = c.Err.Error()
		} else {
			e.Info = &c.Info
			// A device's own name may add options to the listed spec.
			e.Default = !seen && (name == c.Spec || strings.HasPrefix(name, c.Spec+",") || strings.HasPrefix(name, c.Spec+":"))
			seen = seen || e.Default
		}
		entries = append(entries, e)
	}
	if os.Getenv(backend.EnvDevice) == "" {
		return entries, nil // the list has each reason already
	}
	return entries, deviceError(err)
}

func deviceSpecs() []string {
	var specs []string
	for _, c := range backend.Devices() {
		if c.Err == nil {
			specs = append(specs, c.Spec)
		}
	}
	return specs
}

// openDevice opens what --device names.
func openDevice(spec string) (backend.Device, error) {
	dev, err := backend.Open(spec)
	return dev, deviceError(err)
}

// deviceError tells why a device could not be opened: a name that is no
// device's is a mistake in the call; one that cannot be had here is a failure.
func deviceError(err error) error {
	if errors.Is(err, backend.ErrUnknownDevice) || errors.Is(err, backend.ErrUnknownOption) {
		return usageError{err}
	}
	return err
}
