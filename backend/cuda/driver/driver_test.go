//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"gorgonia.org/cu"
)

// A process loads its driver once, so each case runs in a process of its own:
// this test binary, started again with what to do in envChild.
const envChild = "ERRORCELL_TEST_CHILD"

// report is what a child has seen.
type report struct {
	Devices   int
	CountErr  string
	Names     []string
	CuVersion int

	Err     string
	Kind    string
	Tried   []string
	Missing []string
	Path    string
	Version int
}

var kinds = map[string]error{
	"no driver": ErrNoDriver, "too old": ErrTooOld, "missing": ErrMissingSymbols, "init": ErrInit,
}

func TestMain(m *testing.M) {
	switch os.Getenv(envChild) {
	case "report":
		json.NewEncoder(os.Stdout).Encode(newReport())
	case "calls":
		makeCalls()
	case "emulated":
		emulatedAlone()
	default:
		os.Exit(m.Run())
	}
}

func newReport() (r report) {
	// Before Load, as a program that knows cu alone.
	n, err := cu.NumDevices()
	r.Devices = n
	if err != nil {
		r.CountErr = err.Error()
	}
	for i := range n {
		dev, err := cu.GetDevice(i)
		if err != nil {
			r.CountErr = err.Error()
		}
		name, _ := dev.Name()
		r.Names = append(r.Names, name)
	}
	r.CuVersion = cu.Version()
	if err := Load(); err != nil {
		r.Err = err.Error()
		for name, kind := range kinds {
			if errors.Is(err, kind) {
				r.Kind += name
			}
		}
		var e *Error
		if errors.As(err, &e) {
			for _, a := range e.Tried {
				r.Tried = append(r.Tried, a.Path)
			}
			r.Missing = e.Missing
		}
	}
	r.Path, r.Version = Path(), Version()
	return r
}

// child runs this binary again; its environment is this one's without a driver.
func child(t *testing.T, what string, env ...string) (stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, EnvLibrary+"=") && !strings.HasPrefix(v, "LD_LIBRARY_PATH=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, append(env, envChild+"="+what)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func childReport(t *testing.T, env ...string) (r report) {
	t.Helper()
	out, _ := child(t, "report", env...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return r
}

// standIn compiles testdata/libcuda.c to dir/libcuda.so.1, without some symbols.
func standIn(t testing.TB, without []string, flags ...string) (path string) {
	t.Helper()
	source, err := os.ReadFile("testdata/libcuda.c")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range symbols() {
		names[s.name], names[s.symbol] = true, true
	}
	// Later versions, which must not be taken.
	for _, name := range []string{"cuCtxCreate_v3", "cuCtxCreate_v4", "cuMemAdvise_v2", "cuMemPrefetchAsync_v2", "cuStreamGetCaptureInfo_v2", "cuGraphExecUpdate_v2"} {
		names[name] = true
	}
	var stubs strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !slices.Contains(without, name) && !bytes.Contains(source, []byte("int "+name+"(")) {
			fmt.Fprintf(&stubs, "STUB(%s)\n", name)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stubs.h"), []byte(stubs.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cc, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "libcuda.so.1")
	args := append([]string{"-shared", "-fPIC", "-O1", "-w", "-I" + dir, "-o", path, "testdata/libcuda.c"}, flags...)
	if out, err := exec.Command(strings.TrimSpace(string(cc)), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestNoDriver: no driver is no crash, 0 devices, and an error that names what
// was tried.
func TestNoDriver(t *testing.T) {
	r := childReport(t, EnvLibrary+"=/nowhere/libcuda.so.1")
	if r.Devices != 0 || r.CountErr != "NotInitialized" || r.CuVersion != -1 || r.Kind != "no driver" || r.Path != "" || r.Version != 0 {
		t.Errorf("%+v", r)
	}
	if want := "no NVIDIA driver found: ERRORCELL_LIBCUDA is /nowhere/libcuda.so.1: /nowhere/libcuda.so.1: cannot open shared object file: No such file or directory"; r.Err != want {
		t.Errorf("the error is\n%s\nwant\n%s", r.Err, want)
	}

	r = childReport(t)
	if r.Err == "" {
		t.Skipf("this machine has a driver, %s: the message without one is tested where there is none", r.Path)
	}
	if r.Kind != "no driver" || !slices.Contains(r.Tried, "libcuda.so.1") || !slices.Contains(r.Tried, "/usr/lib/wsl/lib/libcuda.so.1") {
		t.Errorf("%+v", r)
	}
	for _, want := range append(r.Tried, EnvLibrary) {
		if !strings.Contains(r.Err, want) {
			t.Errorf("the error does not name %s:\n%s", want, r.Err)
		}
	}
}

// TestNotALibrary: the loader's own words are in the error.
func TestNotALibrary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "libcuda.so.1")
	if err := os.WriteFile(path, []byte("no ELF file, but long enough that a header could be read from it, if it were one"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{EnvLibrary + "=" + path, "LD_LIBRARY_PATH=" + filepath.Dir(path)} {
		if r := childReport(t, env); r.Path == "" && (r.Kind != "no driver" || !strings.Contains(r.Err, "invalid ELF header")) {
			t.Errorf("%s: %+v", env, r)
		}
	}
}

func TestStandIn(t *testing.T) {
	path := standIn(t, nil)
	for _, env := range []string{EnvLibrary + "=" + path, "LD_LIBRARY_PATH=" + filepath.Dir(path)} {
		r := childReport(t, env)
		want := report{Devices: 2, Names: []string{"Stand-in 0", "Stand-in 1"}, CuVersion: 12040, Path: path, Version: 12040}
		if fmt.Sprint(r) != fmt.Sprint(want) {
			t.Errorf("%s: %+v, want %+v", env, r, want)
		}
	}
}

func TestTooOld(t *testing.T) {
	path := standIn(t, []string{"cuMemAllocAsync", "cuFuncSetAttribute"}, "-DLIBCUDA_VERSION=10020")
	r := childReport(t, EnvLibrary+"="+path)
	want := fmt.Sprintf("NVIDIA driver too old: %s: it is of CUDA 10.2, and errorcell needs CUDA 11.0 or newer (driver 450 or newer)", path)
	if r.Kind != "too old" || r.Err != want || r.Version != 10020 {
		t.Errorf("%+v, want the error\n%s", r, want)
	}
}

func TestMissingSymbols(t *testing.T) {
	path := standIn(t, []string{"cuMemAlloc_v2", "cuLaunchKernel", "cuMemAllocAsync"})
	r := childReport(t, EnvLibrary+"="+path)
	want := fmt.Sprintf("functions missing in the NVIDIA driver: %s: it lacks cuMemAlloc_v2, which every driver of CUDA 11.0 or newer has", path)
	if r.Kind != "missing" || r.Err != want || r.Devices != 2 {
		t.Errorf("%+v, want the error\n%s", r, want)
	}
}

// TestNotTheDriver: a library of another kind lacks everything.
func TestNotTheDriver(t *testing.T) {
	r := childReport(t, EnvLibrary+"=libm.so.6")
	if r.Kind != "missing" || !strings.HasPrefix(r.Err, "functions missing in the NVIDIA driver: libm.so.6: it lacks ") || !strings.Contains(r.Err, " more, which every") {
		t.Errorf("%+v", r)
	}
	if len(r.Missing) < 50 || r.CountErr != "NotSupported" {
		t.Errorf("%d functions missing, devices %q", len(r.Missing), r.CountErr)
	}
}

// TestInitFails: cu's own init must not end the process.
func TestInitFails(t *testing.T) {
	path := standIn(t, nil, "-DLIBCUDA_INIT=100")
	r := childReport(t, EnvLibrary+"="+path)
	want := fmt.Sprintf("NVIDIA driver does not start: %s: cuInit returned 100, CUDA_ERROR_NO_DEVICE, no CUDA-capable device is detected: "+
		"is a GPU visible to this process (nvidia-smi, CUDA_VISIBLE_DEVICES)?", path)
	if r.Kind != "init" || r.Err != want || r.Devices != 0 || r.CountErr != "NotInitialized" {
		t.Errorf("%+v, want the error\n%s", r, want)
	}
}

// makeCalls makes calls of cu and of this package, of functions of which there
// are several versions.
func makeCalls() {
	ctx, _ := cu.Device(0).MakeContext(cu.SchedAuto)
	cu.PushCurrentCtx(ctx)
	cu.PopCurrentCtx()
	cu.Device(0).TotalMem()
	cu.Device(0).ReleasePrimaryCtx()
	cu.MemInfo()
	p, _ := cu.MemAlloc(16)
	b := make([]byte, 16)
	cu.MemcpyHtoD(p, unsafe.Pointer(&b[0]), 16)
	cu.MemcpyDtoH(unsafe.Pointer(&b[0]), p, 16)
	s, _ := cu.MakeStream(cu.NonBlocking)
	cu.MemcpyHtoDAsync(p, unsafe.Pointer(&b[0]), 16, s)
	cu.MemsetD32(p, 0, 4)
	p.MemPrefetchAsync(16, 0, s)
	BeginCapture(s)
	g, _ := EndCapture(s)
	Instantiate(g)
	e, _ := cu.MakeEvent(cu.DefaultEvent)
	cu.DestroyEvent(&e)
	s.Destroy()
	cu.MemFree(p)
	HostAlloc(16)
	AllocAsync(16, s)
	SetAttribute(cu.Function{}, MaxDynamicShared, 1)
	ctx.Destroy()
}

func TestVersions(t *testing.T) {
	path := standIn(t, nil)
	_, log := child(t, "calls", EnvLibrary+"="+path, "LIBCUDA_LOG=1")
	want := strings.Fields(`
		cuCtxCreate_v2 cuCtxPushCurrent_v2 cuCtxPopCurrent_v2 cuDeviceTotalMem_v2
		cuDevicePrimaryCtxRelease_v2 cuMemGetInfo_v2 cuMemAlloc_v2 cuMemcpyHtoD_v2
		cuMemcpyDtoH_v2 cuStreamCreate cuMemcpyHtoDAsync_v2 cuMemsetD32_v2
		cuMemPrefetchAsync cuStreamBeginCapture_v2 cuStreamEndCapture
		cuGraphInstantiate_v2 cuEventCreate cuEventDestroy_v2 cuStreamDestroy_v2
		cuMemFree_v2 cuMemHostAlloc cuMemAllocAsync cuFuncSetAttribute
		cuCtxDestroy_v2`)
	if got := strings.Fields(strings.ReplaceAll(log, "called ", "")); !slices.Equal(got, want) {
		t.Errorf("called\n%v\nwant\n%v", got, want)
	}
}

// emulatedAlone has emulated devices and no driver.
func emulatedAlone() {
	_, err := Emulate(nil) // a GPU that nobody asks
	fmt.Println("Emulate", err)
	_, err = cu.NumDevices()
	fmt.Println("NumDevices", err)
	fmt.Println("SetCurrentContext", cu.SetCurrentContext(cu.CUContext{}))
	ctx, err := cu.CurrentContext()
	fmt.Println("CurrentContext", ctx, err)
	_, err = cu.MemAlloc(1)
	fmt.Println("MemAlloc", err)
}

func TestEmulatedAlone(t *testing.T) {
	out, _ := child(t, "emulated", EnvLibrary+"=/nowhere")
	want := "Emulate <nil>\nNumDevices NotInitialized\nSetCurrentContext <nil>\nCurrentContext 0x0 <nil>\nMemAlloc InvalidContext\n"
	if out != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
}

// withStandIn makes this process use a stand-in: for tests of the calls that are
// made through a driver that does not matter.
var withStandIn = sync.OnceValue(func() error {
	os.Setenv(EnvLibrary, standInPath)
	return Load()
})

var standInPath string

func loadStandIn(t testing.TB) {
	t.Helper()
	if standInPath == "" {
		standInPath = standIn(t, nil)
	}
	if err := withStandIn(); err != nil {
		t.Fatal(err)
	}
	if Path() != standInPath {
		t.Fatalf("%s is loaded already", Path())
	}
}

func TestLoadModule(t *testing.T) {
	loadStandIn(t)
	if _, log, err := LoadModule("good"); err != nil || log != "ptxas info: 8 registers" {
		t.Errorf("log %q, error %v", log, err)
	}
	_, _, err := LoadModule("bad")
	var e *CompileError
	if !errors.Is(err, cu.InvalidPtx) || !errors.As(err, &e) || e.Log != "ptxas error: line 1" {
		t.Errorf("error %v", err)
	}
}

func TestLaunch(t *testing.T) {
	loadStandIn(t)
	l, err := NewLaunch(cu.Function{}, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetPointer(0, 7)
	l.SetUint32(1, 1)
	l.SetFloat32(2, 1)
	l.Configure([3]int{5, 1, 1}, [3]int{32, 1, 1}, 0)
	if n := testing.AllocsPerRun(100, func() {
		if err := l.Run(cu.NoStream); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a launch makes %v allocations", n)
	}
	l.Close()
}

// BenchmarkLaunch compares what a launch costs on the host, without a driver.
func BenchmarkLaunch(b *testing.B) {
	loadStandIn(b)
	b.Run("cu", func(b *testing.B) {
		x := uint64(7)
		params := []unsafe.Pointer{unsafe.Pointer(&x), unsafe.Pointer(&x), unsafe.Pointer(&x), unsafe.Pointer(&x)}
		b.ReportAllocs()
		for b.Loop() {
			if err := (cu.Function{}).Launch(1, 1, 1, 32, 1, 1, 0, cu.NoStream, params); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("driver", func(b *testing.B) {
		l, err := NewLaunch(cu.Function{}, 4)
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		b.ReportAllocs()
		for b.Loop() {
			for i := range 4 {
				l.SetPointer(i, 7)
			}
			if err := l.Run(cu.NoStream); err != nil {
				b.Fatal(err)
			}
		}
	})
}
