// Package numpytest finds NumPy itself, for tests that ask it what it reads.
package numpytest

import (
	"os/exec"
	"testing"
)

// Run runs a script in Python, with NumPy and the arguments. Where there is no
// NumPy it skips the test.
func Run(t testing.TB, script string, args ...string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3: install it, and NumPy with python3 -m pip install numpy")
	}
	if exec.Command(python, "-c", "import numpy").Run() != nil {
		t.Skip("python3 has no NumPy: python3 -m pip install numpy")
	}
	if out, err := exec.Command(python, append([]string{"-c", script}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("NumPy: %v\n%s", err, out)
	}
}
