// Reading .npz archives: zip files whose members are .npy arrays.

package numpy

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

const (
	suffix = ".npy" // what NumPy appends to an array's name

	// Deflate packs at most 258 bytes into 2 bits. The slack is for the bits at
	// a block's begin and end.
	maxRatio = 1032
	slack    = 64 << 10

	encryptedFlag = 1 << 0

	// maxListed is how many names an error lists.
	maxListed = 10
)

// An Archive is an open .npz file. It may be used by several goroutines.
type Archive struct {
	path   string
	size   int64
	closer io.Closer
	names  []string
	member map[string]*zip.File
}

// OpenArchive opens a .npz file and reads its directory. No array is read yet,
// but it is an error if two of them have the same name.
func OpenArchive(path string) (*Archive, error) {
	// Opening a pipe waits for its writer, and reading would not help then.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, &FormatError{File: path, Reason: "an archive can only be read from a regular file, not from a pipe or device"}
	}
	f, info, err := openInput(path, ".npz archive")
	if err != nil {
		return nil, err
	}
	a, err := newArchive(path, f, info.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	a.closer = f
	return a, nil
}

// newArchive reads the directory of the archive that r holds. Places that the
// directory states outside of it are made to look like its end.
func newArchive(path string, r io.ReaderAt, size int64) (*Archive, error) {
	directory, err := zip.NewReader(io.NewSectionReader(r, 0, size), size)
	if err != nil {
		return nil, archiveError(path, r, err)
	}
	a := &Archive{path: path, size: size, member: map[string]*zip.File{}}
	for _, m := range directory.File {
		name, ok := strings.CutSuffix(m.Name, suffix)
		if !ok {
			continue
		}
		if a.Has(name) {
			return nil, &FormatError{File: path, Reason: "it holds two arrays named " + showName(name)}
		}
		a.names = append(a.names, name)
		a.member[name] = m
	}
	return a, nil
}

// archiveError explains why r could not be opened as a zip file.
func archiveError(path string, r io.ReaderAt, err error) error {
	var system *fs.PathError
	if errors.As(err, &system) {
		return pathError(path, err)
	}
	start := make([]byte, len(magic))
	n, _ := r.ReadAt(start, 0)
	return &FormatError{File: path, Reason: "not a NumPy .npz archive: " + unlikeZip(string(start[:n])), Err: err}
}

// unlikeZip says what a file is that begins with start and is no zip file.
func unlikeZip(start string) string {
	switch {
	case start == "":
		return "it is empty"
	case start == magic:
		return "it is a single .npy array"
	case strings.HasPrefix(start, "PK\x03\x04"):
		return "it begins as a zip file, but its directory is missing or damaged; it may be cut off"
	}
	return "it is no zip file"
}

// Names lists the arrays in the archive's order, without ".npy".
func (a *Archive) Names() []string { return slices.Clone(a.names) }

// Has tells whether the archive holds an array of that name.
func (a *Archive) Has(name string) bool {
	_, ok := a.member[name]
	return ok
}

// Header tells what the named array holds, without reading its data.
func (a *Archive) Header(name string) (Header, error) {
	r, done, err := a.open(name)
	if err != nil {
		return Header{}, err
	}
	defer done()
	return r.header(), nil
}

// Read reads the named array, in C or Fortran order, and has its checksum
// verified.
func (a *Archive) Read(name string) (*Array, error) {
	r, done, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer done()
	return r.all(a.member[name].Method == zip.Store)
}

// ReadAs reads the named array as it is, where Read would convert its elements:
// they must be of type T, in either byte order.
func ReadAs[T Element](a *Archive, name string) (shape []int, data []T, err error) {
	r, done, err := a.open(name)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	if want := dtypeOf[T]().name; r.head.dtype.name != want {
		return nil, nil, r.explain(wrong("it holds %s, and %s is wanted", r.head.dtype.name, want))
	}
	data, err = whole(r, a.member[name].Method == zip.Store, func(dst []T) error {
		if err := readAs(r.buf, r.head.dtype.bigEndian, dst); err != nil {
			return r.explain(err)
		}
		return nil
	})
	return r.head.Shape, data, err
}

// Close closes the file.
func (a *Archive) Close() error {
	if err := a.closer.Close(); err != nil {
		return pathError(a.path, err)
	}
	return nil
}

// open reads the header of the named array and makes sure that its size is the
// member's.
func (a *Archive) open(name string) (r *arrayReader, done func(), err error) {
	m, ok := a.member[name]
	if !ok {
		return nil, nil, &FormatError{File: a.path, Reason: fmt.Sprintf("no array %s: it holds %s", showName(name), a.list())}
	}
	if reason := a.unusable(m); reason != "" {
		return nil, nil, &FormatError{File: a.path, Array: name, Reason: reason}
	}
	in, err := m.Open()
	if err != nil {
		return nil, nil, (&arrayReader{file: a.path, array: name}).explain(misplaced(err))
	}
	r, err = newArrayReader(a.path, name, in)
	if err == nil {
		err = r.holds(int64(m.UncompressedSize64))
	}
	if err != nil {
		in.Close()
		return nil, nil, err
	}
	return r, func() { in.Close() }, nil
}

// misplaced explains why a member could not be opened.
func misplaced(err error) error {
	var system *fs.PathError
	if errors.As(err, &system) {
		return err
	}
	return &FormatError{Reason: "it is not where the archive's directory says", Err: err}
}

// unusable says why a member cannot be read, if so. What it states about its
// size is held against the archive's, so that memory may be reserved by it.
func (a *Archive) unusable(m *zip.File) string {
	packed, unpacked := m.CompressedSize64, m.UncompressedSize64
	stored := m.Method == zip.Store
	switch {
	case m.Flags&encryptedFlag != 0:
		return "it is encrypted; the archive must not be"
	case !stored && m.Method != zip.Deflate:
		return fmt.Sprintf("its compression method %d is unknown; NumPy stores or deflates", m.Method)
	case packed > uint64(a.size):
		return fmt.Sprintf("it is said to take %d bytes of an archive of %d", packed, a.size)
	case stored && packed != unpacked,
		!stored && unpacked > slack && (unpacked-slack)/maxRatio > packed:
		return fmt.Sprintf("it is said to unpack from %d bytes to %d, which cannot be", packed, unpacked)
	}
	return ""
}

// list shows the names of the arrays.
func (a *Archive) list() string {
	if len(a.names) == 0 {
		return "none"
	}
	var shown []string
	for _, name := range a.names[:min(len(a.names), maxListed)] {
		shown = append(shown, showName(name))
	}
	list := strings.Join(shown, ", ")
	if more := len(a.names) - len(shown); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
