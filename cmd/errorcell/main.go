// Command errorcell computes error cells, the arithmetic of predictive coding,
// from NumPy files to NumPy files, on any device. See errorcell --help.
package main

import (
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
// it is done for it. It could be waiting for a file that never comes.
const grace = 2 * time.Second

// run is main with its surroundings as arguments; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
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
		select {
		case <-done:
		case <-time.After(grace):
		}
		app.discard()
		app.printError(fmt.Sprintf("stopped by %v, no output was written", sig))
		if number, ok := sig.(syscall.Signal); ok {
			return exitSignal + int(number)
		}
		return exitFailed
	}
}

// app is one call of the command.
type app struct {
	stdout, stderr io.Writer
	quiet          bool
	outputs        outputs
	parsed         bool // the call was understood: errors are the run's
}

func (a *app) execute(ctx context.Context, args []string) error {
	root := a.rootCommand()
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
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
	fmt.Fprintln(a.stderr, "errorcell: "+strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; "))
}

// note tells the user what they might not expect, unless they asked for quiet.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.stderr, "errorcell: note: "+format+"\n", args...)
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
		Args:          cobra.NoArgs,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.parsed = true
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no notes on stderr")
	root.AddCommand(a.devicesCommand(), a.stepCommand(), a.verifyCommand())
	return root
}

// deviceFlag adds --device, which completes to what this machine has.
func deviceFlag(c *cobra.Command, spec *string) {
	c.Flags().StringVarP(spec, "device", "d", "", `where to run, such as cpu, cpu:generic or cpu:threads=2
(default: $ERRORCELL_DEVICE, else the best that works)`)
	must(c.RegisterFlagCompletionFunc("device", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return deviceSpecs(), cobra.ShellCompDirectiveNoFileComp
	}))
}

// must is for what only a mistake in this program can make fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
