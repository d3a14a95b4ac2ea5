package setup

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

func header(t *testing.T) []byte {
	t.Helper()
	text, _, err := cuHeader(".")
	if err != nil {
		t.Fatalf("the header of %s is in the module cache or the Go module proxy has it: %v", cuPath, err)
	}
	return text
}

// TestFormat holds the generated text to its hash: who changes it sees here
// that folders made before must be found out.
func TestFormat(t *testing.T) {
	files, err := generate(header(t))
	if err != nil {
		t.Fatal(err)
	}
	const want = "1 79d916c006ab199d"
	if got := fmt.Sprintf("%d %x", Format, digest(files)[:8]); got != want {
		t.Errorf("what is generated from cu v0.9.6 has changed: %s, not %s; count up Format here and in table.h, and write the new one down here", got, want)
	}
	table, err := os.ReadFile("../internal/table/table.h")
	if err != nil {
		t.Fatal(err)
	}
	if line := fmt.Sprintf("#if ERRORCELL_FORMAT != %d\n", Format); !bytes.Contains(table, []byte(line)) {
		t.Errorf("table.h has no line %q", line)
	}
}

// TestForwarders: every function has one forwarder and one symbol.
func TestForwarders(t *testing.T) {
	files, err := generate(header(t))
	if err != nil {
		t.Fatal(err)
	}
	list, err := prototypes(slices.Concat(files["include/cuda.h"], []byte(later)))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 286+6 {
		t.Errorf("%d functions, want the header's 286 and ours of later versions", len(list))
	}
	byHand, err := os.ReadFile("../internal/table/table.c")
	if err != nil {
		t.Fatal(err)
	}
	generated := files["include/errorcell_forwarders.h"]
	known := map[string]bool{}
	for _, p := range list {
		known[p.name] = true
		text := generated
		if slices.Contains(own, p.name) {
			text = byHand
		}
		for what, n := range map[string]int{
			"forwarders": bytes.Count(text, []byte("FORWARDER CUresult "+p.name+"(")),
			"symbols":    bytes.Count(generated, []byte("SYMBOL("+p.name+", ")),
			"entries":    bytes.Count(files["include/errorcell_table.h"], []byte("(*"+p.name+")(")),
		} {
			if n != 1 {
				t.Errorf("%s has %d %s", p.name, n, what)
			}
		}
	}
	for _, name := range slices.Concat(own, Required, machine) {
		if !known[name] {
			t.Errorf("%s is listed, and no function of the headers", name)
		}
	}
	for name, symbol := range versions {
		if !known[name] || !regexp.MustCompile("^"+name+"_v[23]$").MatchString(symbol) || strings.HasPrefix(symbol, "cuCtxCreate_v3") {
			t.Errorf("%s -> %s is no version of a function of the header", name, symbol)
		}
	}
}

// TestOwner: whose function is called depends on the arguments.
func TestOwner(t *testing.T) {
	list, err := prototypes([]byte(`
		CUresult cuMemAlloc(CUdeviceptr* dptr, size_t bytesize);
		CUresult cuDeviceGetCount(int* count);
		CUresult cuDeviceTotalMem(size_t* bytes, CUdevice dev);
		CUresult cuStreamQuery(CUstream hStream);
		CUresult
		cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int Flags);
		CUresult cuCtxSynchronize(void);`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"errorcell_of_thread()",
		"errorcell_real()",
		"errorcell_of_device(dev)",
		"errorcell_of_handle(hStream)",
		"errorcell_of_handle(hEvent)",
		"errorcell_of_thread()",
	}
	for i, p := range list {
		if got := p.owner(); got != want[i] {
			t.Errorf("%s goes to %s, want %s", p.name, got, want[i])
		}
	}
	if len(list) != len(want) || list[5].arguments() != "" || list[4].declaration() != "CUstream hStream, CUevent hEvent, unsigned int Flags" {
		t.Errorf("read as %+v", list)
	}
}

// TestOtherHeader: a cu with another header is an error that says so.
func TestOtherHeader(t *testing.T) {
	for text, want := range map[string]string{
		"int x;\n": "no line",
		"\n" + firstLine + "CUresult cuA(int);\n":                   "has no name",
		"\n" + firstLine + "CUresult cuA(void (*f)(int), int n);\n": "could be read",
	} {
		if _, err := generate([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

// TestMake: made once, repaired, and made by many at once.
func TestMake(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a b")
	var wg sync.WaitGroup
	folders := make([]Folder, 8)
	for i := range folders {
		wg.Go(func() {
			var err error
			if folders[i], err = Make(".", root); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f := folders[0]
	for _, other := range folders {
		if other != f {
			t.Fatalf("folders %v", folders)
		}
	}
	for _, dir := range []string{f.Include(), f.Lib()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%s was left in %s", e.Name(), dir)
			}
		}
	}
	cuda := filepath.Join(f.Include(), "cuda.h")
	want, err := os.ReadFile(cuda)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(cuda)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Make(".", root); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(cuda); err != nil || after.ModTime() != before.ModTime() {
		t.Errorf("a complete folder was written again: %v", err)
	}
	if err := os.WriteFile(cuda, want[:100], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(".", root); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(cuda); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a broken file was not repaired: %v", err)
	}
}

func TestSettings(t *testing.T) {
	f := Folder{"/home/x y/errorcell/cuda-v0.9.6-01234567"}
	t.Setenv("CGO_CFLAGS", `-O2 '-I/home/x y/errorcell/cuda-v0.9.6-old/include' -g`)
	t.Setenv("CGO_LDFLAGS", "")
	s, err := f.Settings(".")
	if err != nil {
		t.Fatal(err)
	}
	if want := `'-I/home/x y/errorcell/cuda-v0.9.6-01234567/include' -O2 -g`; s.CFlags != want {
		t.Errorf("CGO_CFLAGS is %s, want %s", s.CFlags, want)
	}
	if want := `go env -w CGO_CFLAGS=''\''-I/a b'\'' -g' CGO_LDFLAGS='-L/x'`; (Settings{`'-I/a b' -g`, "-L/x"}).Shell(true) != want {
		t.Errorf("a line with quotes is %s, want %s", Settings{`'-I/a b' -g`, "-L/x"}.Shell(true), want)
	}
}

func TestFlags(t *testing.T) {
	for _, list := range [][]string{{"-O2"}, {"-Ia b", "-g"}, {"-Da='x'", `-Db="y"`}, {""}, nil} {
		s, err := joinFlags(list)
		if err != nil {
			t.Error(err)
		}
		if got, err := splitFlags(s); err != nil || !slices.Equal(got, list) {
			t.Errorf("%q becomes %q: %v", list, got, err)
		}
	}
	if _, err := joinFlags([]string{`'"`}); err == nil {
		t.Error("both quotes in a flag are no error")
	}
	if _, err := splitFlags(`-O2 "-I/a`); err == nil {
		t.Error("an open quote is no error")
	}
}
