// The package's errors, and how names and foreign text are shown in them: on one
// line, printable and short.

package numpy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A FormatError says that a file does not hold what it should. Its text is one
// line.
type FormatError struct {
	File   string // the path as it was given
	Array  string // the array's name inside an archive, otherwise empty
	Reason string // what is wrong and what would be right
	Err    error  // the cause, such as zip.ErrChecksum, or nil
}

// Error names the file and the array, as far as there are any, and the reason.
func (e *FormatError) Error() string {
	text := e.Reason
	if e.Array != "" {
		text = "array " + showName(e.Array) + ": " + text
	}
	if e.File != "" {
		text = ShowPath(e.File) + ": " + text
	}
	return text
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// wrong makes a FormatError that names no file, or none yet.
func wrong(format string, args ...any) error {
	return &FormatError{Reason: fmt.Sprintf(format, args...)}
}

// pathError names path in an error of the operating system, once: the error's
// own mention of a path, which may be that of a temporary file, is dropped.
func pathError(path string, err error) error {
	var one *fs.PathError
	if errors.As(err, &one) {
		err = one.Err
	}
	var two *os.LinkError
	if errors.As(err, &two) {
		err = two.Err
	}
	return fmt.Errorf("%s: %w", ShowPath(path), err)
}

// longest is how many bytes of a foreign text an error shows.
const longest = 60

// ShowPath shows a path, which the user gave and so knows, in full; quoted if a
// terminal would not show it as it is.
func ShowPath(path string) string {
	if path != "" && printable(path) {
		return path
	}
	return strconv.Quote(path)
}

// showName quotes a name that a file gave.
func showName(name string) string { return strconv.Quote(shorten(name)) }

// showText shows a text that a file gave, quoted only if it needs to be.
func showText(text string) string {
	if text = shorten(text); printable(text) {
		return text
	}
	return strconv.Quote(text)
}

func shorten(text string) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

func printable(text string) bool {
	unprintable := func(r rune) bool { return !strconv.IsPrint(r) }
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unprintable)
}

// showShape writes a shape as Python does: (), (3,), (3, 4).
func showShape(shape []int) string {
	if len(shape) == 1 {
		return fmt.Sprintf("(%d,)", shape[0])
	}
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = strconv.Itoa(d)
	}
	return "(" + strings.Join(dims, ", ") + ")"
}
