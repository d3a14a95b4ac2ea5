//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

// A machine with a driver, as far as one can be had without a GPU: a stand-in
// for libcuda.so.1 whose device memory is the host's and whose kernels do
// nothing. It shows that GPUs are found by number, that copies arrive, that all
// that was taken is given back, and what a run costs on the host.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
	"errorcell/kernels"
)

// standIn has two GPUs. What is taken and not given back when a context ends is
// told on standard error.
const standIn = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long open_objects, users[2];

static int make(void **p) { *p = malloc(1); open_objects++; return 0; }
static int end(void *p) { free(p); open_objects--; return 0; }

int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *v) { *v = 12040; return 0; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *dev, int i) { *dev = i; return i < 2 ? 0 : 101; }
int cuDeviceGetName(char *name, int n, int dev) { snprintf(name, n, "Stand-in %d", dev); return 0; }
int cuDeviceTotalMem_v2(size_t *n, int dev) { *n = 1ull << 33; return 0; }
int cuDeviceGetAttribute(int *v, int a, int dev) { *v = a == 75 ? 9 : a == 76 ? 0 : 4; return 0; }
int cuDevicePrimaryCtxRetain(void **ctx, int dev) { *ctx = &users[dev]; users[dev]++; return 0; }
int cuDevicePrimaryCtxRelease_v2(int dev) {
	if (--users[dev] == 0 && !users[1 - dev] && open_objects)
		fprintf(stderr, "%ld things are left\n", open_objects);
	return 0;
}
int cuModuleLoadDataEx(void **m, const char *text, unsigned n, void *o, void *v) { return make(m); }
int cuModuleUnload(void *m) { return end(m); }
int cuModuleGetFunction(void **f, void *m, const char *name) { *f = m; return 0; }
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, void *f, int threads, size_t shared) { *n = 8; return 0; }
int cuMemGetInfo_v2(size_t *f, size_t *n) { *f = *n = 1ull << 33; return 0; }
int cuMemAlloc_v2(void **p, size_t n) { *p = malloc(n); open_objects++; return 0; }
int cuMemAllocManaged(void **p, size_t n, unsigned flags) { *p = malloc(n); open_objects++; return flags == 1 ? 0 : 1; }
int cuMemFree_v2(void *p) { return end(p); }
int cuMemHostAlloc(void **p, size_t n, unsigned flags) { *p = malloc(n); open_objects++; return 0; }
int cuMemFreeHost(void *p) { return end(p); }
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t n, void *s) { memcpy(to, from, n); return 0; }
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t n, void *s) { memcpy(to, from, n); return 0; }
int cuMemsetD8Async(void *p, unsigned char v, size_t n, void *s) { memset(p, v, n); return 0; }
int cuStreamCreate(void **s, unsigned flags) { return make(s); }
int cuStreamDestroy_v2(void *s) { return end(s); }
int cuEventCreate(void **e, unsigned flags) { return make(e); }
int cuEventDestroy_v2(void *e) { return end(e); }
int cuEventElapsedTime(float *ms, void *from, void *to) { *ms = 1.5; return 0; }
int cuStreamEndCapture(void *s, void **g) { return make(g); }
int cuGraphDestroy(void *g) { return end(g); }
int cuGraphInstantiate_v2(void **x, void *g, void *node, char *log, size_t n) { return make(x); }
int cuGraphExecDestroy(void *x) { return end(x); }
`

// buildStandIn compiles a library that has the functions of a source and, doing
// nothing, the others that are asked for.
func buildStandIn(t *testing.T, source string, others []string) string {
	t.Helper()
	for _, name := range others {
		if !strings.Contains(source, "int "+name+"(") {
			source += fmt.Sprintf("int %s() { return 0; }\n", name)
		}
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "libcuda.c"), []byte(source), 0o644))
	cc, err := exec.Command("go", "env", "CC").Output()
	must(t, err)
	library := filepath.Join(dir, "libcuda.so.1")
	compile := exec.Command(strings.TrimSpace(string(cc)), "-O2", "-shared", "-fPIC", "-o", library, filepath.Join(dir, "libcuda.c"))
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return library
}

// runChild runs this binary again with a driver.
func runChild(t *testing.T, what, library string, report any) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envChild+"="+what, driver.EnvLibrary+"="+library, backend.EnvDevice+"=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	must(t, json.Unmarshal(out, report))
}

type standInReport struct {
	Missing   []string // functions that the driver lacks
	Err       string
	Allocs    float64
	Run       time.Duration
	Recording time.Duration
	Lent      time.Duration // a run in memory that is borrowed first
	Elapsed   time.Duration
	Infos     map[string]backend.Info
	Beyond    string // the error of a GPU that is not there
	Best      string
}

func newStandInReport() (r standInReport) {
	var failed *driver.Error
	if errors.As(driver.Load(), &failed) {
		r.Missing = failed.Missing
		r.Err = failed.Error()
	} else if err := r.use(); err != nil {
		r.Err = err.Error()
	}
	return r
}

func (r *standInReport) use() error {
	r.Infos = map[string]backend.Info{}
	for _, c := range backend.Devices() {
		if c.Err != nil && strings.HasPrefix(c.Spec, "cuda") {
			return c.Err
		}
		r.Infos[c.Spec] = c.Info
	}
	if _, err := backend.Open("cuda:5"); err != nil {
		r.Beyond = err.Error()
	}
	best, err := backend.Open("")
	if err != nil {
		return err
	}
	r.Best = best.Name()
	dev, err := backend.Open("cuda:1,memory=1GiB")
	if err != nil {
		return err
	}
	d := dev.(*device)
	r.Infos[d.Name()] = d.Info()
	if err := r.measure(d); err != nil {
		return err
	}
	return errors.Join(best.Close(), d.Close())
}

func (r *standInReport) measure(d *device) error {
	const n = 1 << 20
	b, err := d.NewBuffer(kernels.F32, n)
	if err != nil {
		return err
	}
	data, got := make([]float32, n), make([]float32, n)
	for i := range data {
		data[i] = float32(i)
	}
	if err := errors.Join(backend.Upload(b, data), backend.Download(b, got)); err != nil {
		return err
	}
	if !slices.Equal(data, got) {
		return errors.New("what was written is not what is read")
	}
	// What is right is not known here: the kernels do nothing.
	array := &kernels.Array[float32]{Shape: kernels.Shape{32, 32}, Data: make([]float32, 1024)}
	binding, err := kernels.Laplacian.Bind(kernels.F32, array.Shape, array.Shape, nil)
	if err != nil {
		return err
	}
	j, err := tryLoad(d, &call{Binding: binding, kernel: kernels.Laplacian, inputs: []*kernels.Array[float32]{array, array, nil},
		want: [][]float32{array.Data, array.Data, {0}}})
	if err != nil {
		return err
	}
	if err := j.run(); err != nil {
		return err
	}
	g, err := d.Record(runs(j)) // which Close shall find open
	if err != nil {
		return err
	}
	if r.Elapsed, err = d.Elapsed(j.run); err != nil {
		return err
	}
	lent, err := newLent(d, 1024) // whose memory Close shall free
	if err != nil {
		return err
	}
	if slices.ContainsFunc(lent.memory, func(b byte) bool { return b != 0 }) {
		return errors.New("new shared memory is not zero")
	}
	r.Allocs = testing.AllocsPerRun(1000, func() { err = errors.Join(j.run(), g.Run(), lent.run()) })
	r.Run, r.Recording, r.Lent = fastest(j.run), fastest(g.Run), fastest(lent.run)
	return err
}

// fastest is the time of a call in the best of many rounds.
func fastest(f func() error) time.Duration {
	const times = 2000
	shortest := time.Hour
	for range 20 {
		start := time.Now()
		for range times {
			f()
		}
		shortest = min(shortest, time.Since(start)/times)
	}
	return shortest
}

func TestStandIn(t *testing.T) {
	// A driver that lacks everything tells what it should have.
	var r standInReport
	runChild(t, "stand-in", buildStandIn(t, "int cuInit(unsigned f) { return 0; }\nint cuDriverGetVersion(int *v) { *v = 12040; return 0; }\n", nil), &r)
	if len(r.Missing) < 20 {
		t.Fatalf("an empty driver lacks %q: %s", r.Missing, r.Err)
	}
	library := buildStandIn(t, standIn, r.Missing)
	r = standInReport{}
	runChild(t, "stand-in", library, &r)
	if r.Err != "" {
		t.Fatal(r.Err)
	}
	if want := `device "cuda:5": device not available: there is no GPU 5, the driver has GPUs 0 to 1`; r.Beyond != want {
		t.Errorf("a GPU that is not there gives %q, want %q", r.Beyond, want)
	}
	if r.Best != "cuda:0" {
		t.Errorf("the best device is %s, want the first GPU", r.Best)
	}
	for spec, memory := range map[string]uint64{"cuda:0": 1 << 33, "cuda:1": 1 << 33, "cuda:1,memory=1073741824": 1 << 30} {
		want := backend.Info{Model: "Stand-in " + spec[5:6], ISA: "sm_90", Memory: memory, Driver: "CUDA 12.4"}
		if r.Infos[spec] != want {
			t.Errorf("%s is %+v, want %+v", spec, r.Infos[spec], want)
		}
	}
	if r.Elapsed != 1500*time.Microsecond {
		t.Errorf("the driver says 1.5 ms, Elapsed %v", r.Elapsed)
	}
	t.Logf("Run takes %v, in memory that is borrowed first %v, a recording's %v", r.Run, r.Lent, r.Recording)
	if raceEnabled {
		return
	}
	if r.Allocs != 0 {
		t.Errorf("a run allocates %g times", r.Allocs)
	}
	t.Logf("Run takes %v, in memory that is borrowed first %v, a recording's %v", r.Run, r.Lent, r.Recording)
}
