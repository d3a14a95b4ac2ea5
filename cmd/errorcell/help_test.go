// Help, completion and version: what they show must work.

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"errorcell/kernels"
)

// commands are the program's, cobra's own included, with the root first.
func commands() []*cobra.Command {
	var all []*cobra.Command
	var add func(*cobra.Command)
	add = func(c *cobra.Command) {
		all = append(all, c)
		for _, sub := range c.Commands() {
			add(sub)
		}
	}
	add((&app{}).rootCommand())
	return all
}

// Every example runs as it is written, in a folder with the files it names.
func TestExamples(t *testing.T) {
	folder := t.TempDir()
	in := arrays{"target": counting(3, 2, 3, 4), "mu": counting(2, 2, 3, 4)}
	writeNPZ(t, filepath.Join(folder, "batch.npz"), in)
	writeNPZ(t, filepath.Join(folder, "logits.npz"), arrays{"target": in["target"], "p": in["mu"]})
	writeNPY(t, folder, in)
	count := 0
	for _, c := range commands() {
		for line := range strings.Lines(c.Example) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "errorcell" {
				t.Errorf("%s: the example %q is no call", c.CommandPath(), line)
				continue
			}
			count++
			t.Run(strings.Join(words, " "), func(t *testing.T) {
				t.Parallel()
				c := command(t, folder, words[1:]...)
				whole := strings.Join(words, " ") == "errorcell verify" && !testing.Short()
				if !whole {
					verifyFew(c)
				}
				got := finish(t, c)
				checkSuccess(t, got, words)
				if got.stdout == "" {
					t.Error("there is nothing on stdout")
				}
				for _, k := range kernels.Catalogue() {
					if whole && strings.Count(got.stdout, k.Name()+" ") != len(checks) {
						t.Errorf("%s is not verified in each type:\n%s", k.Name(), got.stdout)
					}
				}
			})
		}
	}
	if count < 8 {
		t.Errorf("there are only %d examples", count)
	}
}

func TestHelp(t *testing.T) {
	for _, c := range commands() {
		args := strings.Fields(c.CommandPath())[1:]
		help := succeed(t, ".", append(args, "--help")...)
		if !strings.Contains(help, "Usage:") || !strings.Contains(help, c.CommandPath()) {
			t.Errorf("%s --help says %q", c.CommandPath(), help)
		}
		if len(args) == 0 || args[0] == "help" {
			continue
		}
		if succeed(t, ".", append([]string{"help"}, args...)...) != help {
			t.Errorf("help %q differs from --help", args)
		}
	}
	if succeed(t, ".") != succeed(t, ".", "--help") || succeed(t, ".", "completion") != succeed(t, ".", "help", "completion") {
		t.Error("a command of commands does not show its help")
	}
	if v := succeed(t, ".", "--version"); !strings.HasPrefix(v, "errorcell version ") {
		t.Errorf("the version is %q", v)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if script := succeed(t, ".", "completion", shell); !strings.Contains(script, "__complete") {
			t.Errorf("the completion for %s is %.100q", shell, script)
		}
	}
	for _, test := range []struct {
		words []string
		want  []string
	}{
		{[]string{""}, []string{"devices", "step", "verify", "ptx"}},
		{[]string{"step", "--device", ""}, deviceSpecs()},
		{[]string{"verify", "-d", ""}, deviceSpecs()},
		{[]string{"step", "--cell", ""}, cellNames()},
		{[]string{"step", "--loss", ""}, lossNames()},
		{[]string{"ptx", "--arch", ""}, archNames()},
		{[]string{"ptx", "--with", ""}, allArrayNames()},
		{[]string{"step", "--lo"}, []string{"--loss"}},
	} {
		c := command(t, ".", append([]string{"__complete"}, test.words...)...)
		got := finish(t, c)
		var offers []string
		for line := range strings.Lines(got.stdout) {
			offer, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			offers = append(offers, offer)
		}
		for _, want := range test.want {
			if got.status != 0 || !slices.Contains(offers, want) {
				t.Errorf("%q is completed to %q, status %d", test.words, offers, got.status)
			}
		}
	}
}

// An output that is closed is no reason to hang, or to crash.
func TestClosedOutputs(t *testing.T) {
	folder := badFiles(t)
	for _, args := range [][]string{{"devices"}, {"--help"}, {"step", "--in", "good.npz", "--out", "new.npz"}, {"stepp"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		c := command(t, folder, args...)
		c.Stdout, c.Stderr = w, w
		got := finish(t, c)
		w.Close()
		// On Unix it is a signal that ends who writes to a pipe without a reader.
		if got.status > exitUsage {
			t.Errorf("%q: status %d", args, got.status)
		}
	}
	if x := readNPZ(t, filepath.Join(folder, "new.npz")); len(x) != 3 {
		t.Errorf("the results are %v", x)
	}
}
