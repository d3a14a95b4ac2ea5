// Package setup prepares what a CUDA build of errorcell needs beside a C
// compiler: a cuda.h, which gorgonia.org/cu includes, and the C functions that
// stand for the driver's until the driver is loaded, at run time.
//
// Both are made from the header that the module gorgonia.org/cu carries. It is
// NVIDIA's text, so errorcell does not: it is taken from the module cache and
// kept, with what is generated from it, in a folder of the user's cache. The
// command errorcell/cmd/cudaenv makes that folder and prints the settings that
// point cgo to it.
package setup

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const cuPath = "gorgonia.org/cu"

// A Folder is what cgo is pointed to.
type Folder struct {
	Path string
}

// Include has cuda.h, errorcell_table.h and errorcell_forwarders.h.
func (f Folder) Include() string { return filepath.Join(f.Path, "include") }

// Lib has a libcuda.a with nothing in it, for the -lcuda of cu.
func (f Folder) Lib() string { return filepath.Join(f.Path, "lib") }

// DefaultRoot is where folders are kept when nothing else is asked for.
func DefaultRoot() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for the CUDA headers: %w; name one with -dir", err)
	}
	return filepath.Join(cache, "errorcell"), nil
}

// Make makes the folder for the cu of the module in dir, below root. Where it
// is there already, it is only checked. Any number of processes may make it at
// the same time: each file is complete from its first moment on.
func Make(dir, root string) (Folder, error) {
	text, version, err := cuHeader(dir)
	if err != nil {
		return Folder{}, err
	}
	files, err := generate(text)
	if err != nil {
		return Folder{}, fmt.Errorf("%s %s, cmd/genlib/cuda.h: %w", cuPath, version, err)
	}
	// Go's build cache does not look into headers, only at the -I that names
	// their folder: so the name changes with what is in it.
	root, err = filepath.Abs(root)
	if err != nil {
		return Folder{}, err
	}
	f := Folder{filepath.Join(root, fmt.Sprintf("cuda-%s-%x", version, digest(files)[:4]))}
	for name, data := range files {
		if err := write(filepath.Join(f.Path, name), data); err != nil {
			return Folder{}, fmt.Errorf("CUDA headers: %w; -dir names another place", err)
		}
	}
	return f, nil
}

// generate makes the folder's files from cu's header.
func generate(text []byte) (map[string][]byte, error) {
	cuda, err := cudaHeader(text)
	if err != nil {
		return nil, err
	}
	list, err := prototypes(slices.Concat(cuda, []byte(later)))
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"include/cuda.h":                 cuda,
		"include/errorcell_table.h":      tableHeader(list),
		"include/errorcell_forwarders.h": forwarders(list),
		"lib/libcuda.a":                  []byte("!<arch>\n"),
	}, nil
}

func digest(files map[string][]byte) []byte {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	sum := sha256.New()
	for _, name := range names {
		fmt.Fprintf(sum, "%s %d\n%s", name, len(files[name]), files[name])
	}
	return sum.Sum(nil)
}

// write gives a file its content in one step, unless it has it.
func write(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails where the rename has succeeded
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// cuHeader is the text of the header in the cu that the module in dir builds
// with, and cu's version.
func cuHeader(dir string) (text []byte, version string, err error) {
	var m struct {
		Version, Dir string
		Replace      *struct{ Version, Dir string }
	}
	if err := goJSON(dir, &m, "list", "-m", "-json", cuPath); err != nil {
		return nil, "", fmt.Errorf("%w\nThe CUDA build needs a module that requires errorcell, and with it %s: run this inside one", err, cuPath)
	}
	version = m.Version
	if m.Replace != nil {
		m.Dir, version = m.Replace.Dir, m.Replace.Version
	}
	if version == "" {
		version = "local"
	}
	read := func() bool {
		text, err = os.ReadFile(filepath.Join(m.Dir, "cmd", "genlib", "cuda.h"))
		return err == nil
	}
	if m.Dir != "" && read() {
		return text, version, nil
	}
	// Not in the module cache yet, or a vendored copy, which has no cmd/genlib.
	if err := goJSON(dir, &m, "mod", "download", "-json", cuPath+"@"+m.Version); err != nil {
		return nil, "", err
	}
	if !read() {
		return nil, "", fmt.Errorf("%s %s has no header: %w", cuPath, version, err)
	}
	return text, version, nil
}

// goJSON runs the go command in dir and reads what it prints.
func goJSON(dir string, v any, args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		// go mod download -json says what is wrong in its JSON.
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(append(stderr.Bytes(), out...)))
	}
	return json.Unmarshal(out, v)
}
