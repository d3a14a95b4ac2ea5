package main

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const importer = `package main

import (
	"errors"
	"fmt"
	"os"

	"errorcell/backend/cuda/driver"
	"gorgonia.org/cu"
)

func main() {
	n, _ := cu.NumDevices()
	fmt.Println(n, "devices")
	if err := driver.Load(); err != nil && !errors.Is(err, driver.ErrNoDriver) {
		fmt.Println(err)
		os.Exit(1)
	}
}
`

// TestImporter builds a module that imports errorcell with what the command
// prints and nothing else, and looks at what has been linked.
func TestImporter(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles gorgonia.org/cu: run the test without -short")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("CUDA is for linux/amd64 and linux/arm64")
	}
	dir := t.TempDir()
	shell := func(script string) (string, error) {
		cmd := exec.Command("sh", "-ec", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS=-mod=mod", "CGO_CFLAGS=", "CGO_LDFLAGS=",
			"GOWORK=off", "XDG_CACHE_HOME="+filepath.Join(dir, "a cache"), "GOCACHE="+goEnv(t, "GOCACHE"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := shell("go build runtime/cgo"); err != nil {
		t.Skipf("a CUDA build needs a C compiler (Debian: apt-get install gcc libc6-dev): %s", out)
	}

	tree, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// What go test sees this process look at is what makes it run it again.
	err = filepath.WalkDir(filepath.Join(tree, "backend/cuda/driver"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(tree, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"main.go": importer,
		"go.sum":  string(sums),
		"go.mod":  "module example.com/importer\n\ngo 1.26.0\n\nrequire errorcell v0.0.0\n\nreplace errorcell => " + tree + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	out, err := shell("go build -tags nvidia -o importer .")
	if want := `run: eval "$(go run errorcell/cmd/cudaenv)"`; err == nil || !strings.Contains(out, want) {
		t.Errorf("built without settings, the error should say %s: %v\n%s", want, err, out)
	}
	out, err = shell(`eval "$(go run errorcell/cmd/cudaenv)"
		go build -tags nvidia -o importer . && ERRORCELL_LIBCUDA=/nowhere ./importer`)
	if err != nil || !strings.HasSuffix(out, "0 devices\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	checkLinked(t, filepath.Join(dir, "importer"))
}

// checkLinked: the forwarders are in the program and nobody outside sees them;
// the program needs no libcuda.
func checkLinked(t *testing.T, program string) {
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	function := regexp.MustCompile(`^cu[A-Z][A-Za-z0-9]*(_v\d)?$`)
	// cu has a few functions of its own, with names like the driver's.
	ofCu := []string{"cuDeviceGetAttributes", "cuLaunchAndSync", "cuAllocAndCopy"}

	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	forwarders := 0
	for _, s := range symbols {
		if function.MatchString(s.Name) && s.Section != elf.SHN_UNDEF && !slices.Contains(ofCu, s.Name) {
			forwarders++
		}
	}
	if forwarders != 292 {
		t.Errorf("%d forwarders, want 292", forwarders)
	}
	dynamic, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range dynamic {
		if function.MatchString(s.Name) && !slices.Contains(ofCu, s.Name) || strings.HasPrefix(s.Name, "errorcell_") {
			t.Errorf("%s is visible from outside", s.Name)
		}
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range libraries {
		if strings.Contains(lib, "cuda") {
			t.Errorf("the program needs %s", lib)
		}
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
