// Command errorcell computes error cells, the arithmetic of predictive coding,
// from NumPy files to NumPy files, on any device. See errorcell --help.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	_ "errorcell/backend/cpu"
	_ "errorcell/backend/cuda"
)

// The exit statuses; a signal's is 128 and its number.
const (
	exitFailed = 1 // the run failed
	exitUsage  = 2 // the call was wrong
	exitSignal = 128
)

// usageError is a call that can never work, whatever the files hold.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// grace is how long a command that is told to stop may take to clean up before
// it is done for it. It could be waiting for a pipe's other end.
const grace = 2 * time.Second

// run is main with its surroundings as arguments; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, stopSignals...)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	app := &app{stdout: stdout, stderr: stderr}
	done := make(chan error, 1)
	go func() { done <- app.execute(ctx, args) }()
	select {
	case err := <-done:
		return app.report(err)
	case sig := <-signals:
		cancel()
		return app.stop(sig, signals, done)
	}
}

// app is one call of the command.
type app struct {
	stdout, stderr io.Writer
	quiet          bool
	notes          []string
	outputs        outputs
	parsed         bool // the call was understood: errors are the run's
}

func (a *app) execute(ctx context.Context, args []string) error {
	root := a.rootCommand()
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// stop ends a run that a signal has told to stop, and returns the exit status.
func (a *app) stop(sig os.Signal, signals chan os.Signal, done <-chan error) int {
	select {
	case err := <-done:
		if err == nil {
			return 0 // the signal came too late to stop anything
		}
	case <-signals: // told twice
	case <-time.After(grace):
	}
	signal.Stop(signals) // from now on a signal ends the process at once
	outcome := "no output was written"
	if a.outputs.discard() {
		outcome = "the output was already written"
	}
	a.printError(fmt.Sprintf("stopped by %v, %s", sig, outcome))
	if number, ok := sig.(syscall.Signal); ok {
		return exitSignal + int(number)
	}
	return exitFailed
}

// report prints the error, if there is one, and returns the exit status.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	a.printError(err.Error())
	var usage usageError
	if !a.parsed || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// printError prints one line, whatever the text holds.
func (a *app) printError(text string) {
	fmt.Fprintln(a.stderr, "errorcell: "+oneLine(text))
}

// note keeps what the user might not expect until the run has succeeded: one
// that fails has just its error to tell.
func (a *app) note(format string, args ...any) {
	a.notes = append(a.notes, oneLine(fmt.Sprintf(format, args...)))
}

// printNotes prints the notes, unless the user asked for quiet.
func (a *app) printNotes() {
	for _, note := range a.notes {
		if !a.quiet {
			fmt.Fprintln(a.stderr, "errorcell: note: "+note)
		}
	}
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "errorcell",
		Short: "Error cells of predictive coding, from NumPy files to NumPy files",
		Long: `Error cells of predictive coding, from NumPy files to NumPy files.

An error cell compares a prediction (mu) with a target, sends the error both
ways (dmu, dtarget) and reports a loss (L), for a batch of B patterns of N units.
The same bits come out on every device and with any number of threads.`,
		Example: `  errorcell devices
  errorcell step --in batch.npz --out errors.npz
  errorcell verify --device cpu:generic`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.parsed = true
		},
		RunE: showHelp,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, c.CommandPath())
	})
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no notes on stderr")
	root.AddCommand(a.devicesCommand(), a.stepCommand(), a.verifyCommand(), a.ptxCommand())
	addCobraCommands(root)
	return root
}

// addCobraCommands adds what cobra would add by itself, help and completion,
// and makes them refuse what does not exist.
func addCobraCommands(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, topic []string) error {
				of, rest, err := root.Find(topic)
				return cmp.Or(err, noArgs(of, rest))
			}
		case "completion":
			c.Args, c.RunE = noArgs, showHelp
			for _, shell := range c.Commands() {
				shell.Args = noArgs
			}
		}
	}
}

func showHelp(c *cobra.Command, _ []string) error { return c.Help() }

// noArgs refuses arguments that are neither commands nor flags: this program
// has none.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var commands []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			commands = append(commands, sub.Name())
		}
	}
	if commands == nil {
		return usagef("%s takes only flags, not the argument %q (see %s --help)", c.Name(), args[0], c.CommandPath())
	}
	return usagef("unknown command %q; %s has: %s", args[0], c.Name(), strings.Join(commands, ", "))
}

// deviceFlag adds --device, which completes to what this machine has.
func deviceFlag(c *cobra.Command, spec *string) {
	c.Flags().StringVarP(spec, "device", "d", "", `where to run, such as cpu, cuda:0 or cpu:threads=2
(default: $ERRORCELL_DEVICE, else the best that works)`)
	must(c.RegisterFlagCompletionFunc("device", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return deviceSpecs(), cobra.ShellCompDirectiveNoFileComp
	}))
}

// completeTo makes a flag complete to the values.
func completeTo(c *cobra.Command, flag string, values []string) {
	must(c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

// must is for what only a mistake in this program can make fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
