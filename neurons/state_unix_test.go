//go:build unix

// States on disks that are full, and of more than fits into memory: files with
// holes, and limits of the process.

package neurons_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"errorcell/backend"
	"errorcell/internal/memory"
	"errorcell/internal/numpy"
	"errorcell/kernels"
	"errorcell/neurons"
)

// envSave is the file that TestFullDisk saves to in the process with a limit.
const envSave = "ERRORCELL_TEST_SAVE"

// TestFullDisk: a disk that fills up leaves the old file and no other.
func TestFullDisk(t *testing.T) {
	x := newContext(t, neurons.OnDevice("cpu:generic,threads=1"))
	cell, err := neurons.NewGaussianErrorCell("z", 1<<16, neurons.In(x))
	must(t, err)
	noise := make([]float32, 1<<16)
	for i := range noise {
		noise[i] = rand.Float32()
	}
	must(t, cell.Mean().SetFloat32s(noise))
	if path := os.Getenv(envSave); path != "" {
		wantError(t, x.Save(path), nil, "circuit: "+path+": file too large")
		return
	}
	if _, err := os.Stat("/dev/full"); err == nil {
		wantError(t, x.Save("/dev/full"), nil, "circuit: /dev/full: no space left on device")
	}
	path := filepath.Join(t.TempDir(), "state.npz")
	must(t, os.WriteFile(path, []byte("old"), 0o666))
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh in the PATH, which sets the limit that this test needs")
	}
	const limit = "ulimit -f 100"
	if out, err := exec.Command(shell, "-c", limit).CombinedOutput(); err != nil {
		t.Skipf("the shell cannot set the limit that this test needs, with %s: %v, %s", limit, err, out)
	}
	program, err := os.Executable()
	must(t, err)
	c := exec.Command(shell, "-c", limit+` && exec "$0" "$@"`, program, "-test.run=^TestFullDisk$")
	c.Env = append(os.Environ(), envSave+"="+path)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	checkFolder(t, path, []byte("old"))
}

// TestLargerThanMemory: an array that memory cannot hold is refused before it is
// read, though its file is as large as it says.
func TestLargerThanMemory(t *testing.T) {
	if memory.Limit() > 1<<42 {
		t.Skip("it is not known how much memory there is, or it is more than files can be")
	}
	x := newContext(t, neurons.OnDevice("cpu:generic,threads=1"))
	cell, err := neurons.NewGaussianErrorCell("z", 1, neurons.In(x), neurons.WithDType(kernels.F64))
	must(t, err)
	path := filepath.Join(t.TempDir(), "state.npz")
	must(t, x.Save(path))
	a, err := numpy.OpenArchive(path)
	must(t, err)
	_, owner, err := numpy.ReadAs[uint8](a, "errorcell")
	must(t, errors.Join(err, a.Close()))
	patterns := int(memory.Limit()/8) + 1
	owner = bytes.Replace(owner, []byte(`"Sigma":[1,1]`), fmt.Appendf(nil, `"Sigma":[%d,1]`, patterns), 1)

	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	z := zip.NewWriter(holes{f})
	head, data := npy("|u1", len(owner), 1), npy("<f8", patterns, 1)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "errorcell.npy", Method: zip.Store})
	must(t, err)
	_, err = w.Write(append(head, owner...))
	must(t, err)
	size := uint64(len(data)) + 8*uint64(patterns)
	w, err = z.CreateRaw(&zip.FileHeader{Name: "z.Sigma.npy", Method: zip.Store, CompressedSize64: size, UncompressedSize64: size})
	must(t, err)
	_, err = w.Write(data)
	zeros := make([]byte, 64<<20)
	for left := 8 * patterns; left > 0 && err == nil; left -= len(zeros) {
		_, err = w.Write(zeros[:min(left, len(zeros))])
	}
	if err := errors.Join(err, z.Close(), f.Close()); err != nil {
		t.Skipf("the folder for temporary files takes no sparse file of %d bytes (TMPDIR names another): %v", size, err)
	}
	must(t, cell.Sigma().SetScalar(3))
	wantError(t, x.Load(path), backend.ErrMemory, fmt.Sprintf("circuit: %s: array \"z.Sigma\" of (%d, 1) float64 is larger than this machine's memory", path, patterns))
	wantValue(t, cell.Sigma(), []int{}, 3)
}

// holes makes holes in a file of what is written in large pieces, all of zeros.
type holes struct{ *os.File }

func (h holes) Write(p []byte) (int, error) {
	if len(p) < 1<<20 {
		return h.File.Write(p)
	}
	_, err := h.Seek(int64(len(p)), io.SeekCurrent)
	return len(p), err
}

// npy is the beginning of an array of two axes.
func npy(descr string, rows, cols int) []byte {
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }\n", descr, rows, cols)
	return append(binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(text))), text...)
}
