package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"errorcell/internal/numpy"
)

// summary is what --json prints.
type summary struct {
	Device  string `json:"device"`
	Cell    string `json:"cell"`
	Loss    string `json:"loss"`
	Steps   int    `json:"steps"`
	Rows    int    `json:"rows"` // B
	Cols    int    `json:"cols"` // N
	L       number `json:"L"`    // the sum over all steps
	Out     string `json:"out"`
	Seconds struct {
		Total   float64 `json:"total"`
		Compute float64 `json:"compute"`
	} `json:"seconds"`
	Bytes int64 `json:"compute_bytes"` // that the computation reads and writes
}

// number is a float64 whose NaN and infinities JSON can hold, as strings.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(fmt.Sprint(f))
	}
	return json.Marshal(float64(n))
}

// summarise tells what was done: one line for people, or JSON for machines.
func (r *stepRun) summarise() error {
	r.printNotes()
	s := r.summary()
	var err error
	switch to := r.summaryWriter(); {
	case r.call.asJSON:
		err = json.NewEncoder(to).Encode(s)
	case !r.quiet:
		_, err = fmt.Fprintln(to, s)
	}
	if err != nil {
		return fmt.Errorf("the results were written to %s, the summary was not: %w", numpy.ShowPath(s.Out), err)
	}
	return nil
}

func (r *stepRun) summary() summary {
	s := summary{Device: r.dev.Name(), Cell: r.cell.Name, Loss: r.call.loss, Steps: r.steps,
		Rows: r.binding.Rows, Cols: r.binding.Cols, L: number(r.lossSum), Out: r.call.out}
	s.Seconds.Total, s.Seconds.Compute = time.Since(r.start).Seconds(), r.compute.Seconds()
	for _, o := range r.operands {
		if o.given() {
			s.Bytes += 4 * int64(o.shape.Len())
		}
	}
	for _, res := range r.results {
		s.Bytes += 4 * int64(res.shape.Len())
	}
	s.Bytes *= int64(s.Steps)
	return s
}

func (s summary) String() string {
	steps := "1 step"
	if s.Steps != 1 {
		steps = fmt.Sprintf("%d steps", s.Steps)
	}
	speed := ""
	if s.Seconds.Compute > 0 {
		speed = fmt.Sprintf(" (%.3g GB/s)", float64(s.Bytes)/s.Seconds.Compute/1e9)
	}
	compute := time.Duration(s.Seconds.Compute * float64(time.Second)).Round(time.Microsecond)
	return fmt.Sprintf("%s: %s of %d x %d on %s in %v%s, L = %v, written to %s",
		s.Cell, steps, s.Rows, s.Cols, s.Device, compute, speed, float64(s.L), numpy.ShowPath(s.Out))
}

// summaryWriter is stdout, unless the results themselves go there.
func (r *stepRun) summaryWriter() io.Writer {
	stdout, ok := r.stdout.(*os.File)
	if !ok {
		return r.stdout
	}
	summaries, err := stdout.Stat()
	if err != nil {
		return r.stdout
	}
	results, err := os.Stat(r.call.out)
	if err != nil || !os.SameFile(summaries, results) || summaries.Mode()&os.ModeCharDevice != 0 {
		return r.stdout
	}
	return r.stderr
}

// progress is a bar on stderr with rate and time left, if that is a terminal
// and nobody asked for quiet.
func (a *app) progress(what string, total int64, bytes bool) *progressbar.ProgressBar {
	out := io.Discard
	if file, ok := a.stderr.(*os.File); ok && !a.quiet && term.IsTerminal(int(file.Fd())) {
		out = file
	}
	return progressbar.NewOptions64(max(total, 1),
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionShowElapsedTimeOnFinish(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(out != io.Discard),
	)
}
