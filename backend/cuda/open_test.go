//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"strings"
	"testing"

	"errorcell/backend"
	_ "errorcell/backend/cpu"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		spec string
		want error
		says string
	}{
		{"cuda:banana", backend.ErrUnknownOption, "banana"},
		{"cuda:-1", backend.ErrUnknownOption, "-1"},
		{"cuda:99999999", backend.ErrUnknownOption, "a GPU's number is wanted"},
		{"cuda:0,1", backend.ErrUnknownOption, "two devices"},
		{"cuda:emulated,0", backend.ErrUnknownOption, "two devices"},
		{"cuda:memory=lots", backend.ErrUnknownOption, "memory=8GiB"},
		{"cuda:memory=0", backend.ErrUnknownOption, "memory=8GiB"},
		{"cuda:threads=3", backend.ErrUnknownOption, "threads=3"},
		{"cuda:0,arch=sm_80", backend.ErrUnknownOption, "it is for cuda:emulated"},
		{"cuda:arch=sm_80", backend.ErrUnknownOption, "it is for cuda:emulated"},
		{"cuda:emulated,arch=avx2", backend.ErrUnknownOption, "arch=avx2"},
		{"cuda:emulated,arch=sm_1", backend.ErrUnknownOption, "arch=sm_1"},
		{"cuda:", backend.ErrUnknownDevice, ""},
	} {
		dev, err := backend.Open(c.spec)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.spec) {
			t.Errorf("%s gives the error %v, want one that is %q and says %q", c.spec, err, c.want, c.says)
		}
		if dev != nil {
			t.Errorf("%s gives a device beside the error", c.spec)
		}
	}
}

// TestNames: a device's name opens an equal one.
func TestNames(t *testing.T) {
	for _, c := range []struct{ spec, name, isa string }{
		{"cuda:emulated", "cuda:emulated", "sm_90"},
		{"cuda:emulated,arch=sm_70", "cuda:emulated,arch=sm_70", "sm_70"},
		{"cuda:arch=sm_80,emulated", "cuda:emulated,arch=sm_80", "sm_80"},
		{"cuda:emulated,arch=sm_100,memory=1MiB", "cuda:emulated,arch=sm_100,memory=1048576", "sm_100"},
	} {
		dev, err := backend.Open(c.spec)
		must(t, err)
		again, err := backend.Open(dev.Name())
		must(t, err)
		if dev.Name() != c.name || again.Name() != c.name || dev.Info() != again.Info() || dev.Info().ISA != c.isa {
			t.Errorf("%s opens %s %+v, which opens %s %+v", c.spec, dev.Name(), dev.Info(), again.Name(), again.Info())
		}
		must(t, dev.Close())
		must(t, again.Close())
	}
	if name := (settings{ordinal: 1, limit: 1 << 30}).name(); name != "cuda:1,memory=1073741824" {
		t.Errorf("a GPU with a limit is called %s", name)
	}
}

// envChild makes this binary report what it sees of a machine, and end, because
// a process loads its driver once.
const envChild = "ERRORCELL_TEST_CHILD"

type report struct {
	Best   string            // the device that Open("") opens
	Errors map[string]string // by spec
	List   map[string]string // the reasons of the listed ones, empty where they can be had
}

func newReport() report {
	r := report{Errors: map[string]string{}, List: map[string]string{}}
	for _, spec := range []string{"cuda", "cuda:0", "cuda:1", "cuda:memory=1GiB", "cuda:emulated"} {
		if dev, err := backend.Open(spec); err == nil {
			dev.Close()
		} else if errors.Is(err, backend.ErrUnavailable) {
			r.Errors[spec] = err.Error()
		} else {
			r.Errors[spec] = "wrong kind: " + err.Error()
		}
	}
	if dev, err := backend.Open(""); err == nil {
		r.Best = dev.Name()
		dev.Close()
	}
	for _, c := range backend.Devices() {
		r.List[c.Spec] = ""
		if c.Err != nil {
			r.List[c.Spec] = c.Err.Error()
		}
	}
	return r
}

// TestNoDriver is a machine without a driver.
func TestNoDriver(t *testing.T) {
	const absent = "/nonexistent/libcuda.so.1"
	var r report
	runChild(t, "report", absent, &r)
	for _, spec := range []string{"cuda", "cuda:0", "cuda:1", "cuda:memory=1GiB"} {
		text := r.Errors[spec]
		if !strings.HasPrefix(text, "device \""+spec+"\": device not available: no NVIDIA driver found: ") ||
			!strings.Contains(text, absent) || strings.Contains(text, "\n") {
			t.Errorf("%s gives the error %q, want the reason in one line", spec, text)
		}
	}
	if err := r.Errors["cuda:emulated"]; err != "" {
		t.Errorf("the emulated GPU needs a driver: %s", err)
	}
	if !strings.HasPrefix(r.Best, "cpu") {
		t.Errorf("without a driver the best device is %q, want a cpu", r.Best)
	}
	if !strings.Contains(r.List["cuda"], absent) {
		t.Errorf("the list says of cuda %q, want the reason", r.List["cuda"])
	}
	if reason, ok := r.List["cuda:emulated"]; !ok || reason != "" {
		t.Errorf("the list says of the emulated GPU %q, %v", reason, ok)
	}
}
