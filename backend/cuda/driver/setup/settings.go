package setup

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Settings are the values of the two variables that point cgo to a folder.
type Settings struct {
	CFlags, LDFlags string
}

// Settings adds the folder to the settings of the module in dir, in place of
// any folder of another version that they name. Setting CGO_CFLAGS replaces
// the -O2 -g that Go sets by default, so that is kept as well.
func (f Folder) Settings(dir string) (Settings, error) {
	var env struct {
		CFlags  string `json:"CGO_CFLAGS"`
		LDFlags string `json:"CGO_LDFLAGS"`
	}
	if err := goJSON(dir, &env, "env", "-json", "CGO_CFLAGS", "CGO_LDFLAGS"); err != nil {
		return Settings{}, err
	}
	cflags, err := f.add("-I", f.Include(), env.CFlags)
	if err != nil {
		return Settings{}, fmt.Errorf("CGO_CFLAGS: %w", err)
	}
	ldflags, err := f.add("-L", f.Lib(), env.LDFlags)
	if err != nil {
		return Settings{}, fmt.Errorf("CGO_LDFLAGS: %w", err)
	}
	return Settings{cflags, ldflags}, nil
}

// add puts a flag with a path before flags, and leaves out those that name
// another folder beside this one.
func (f Folder) add(flag, path, flags string) (string, error) {
	old, err := splitFlags(flags)
	if err != nil {
		return "", err
	}
	ours := flag + filepath.Join(filepath.Dir(f.Path), "cuda-")
	list := []string{flag + path}
	for _, o := range old {
		if !strings.HasPrefix(o, ours) {
			list = append(list, o)
		}
	}
	return joinFlags(list)
}

// splitFlags and joinFlags read and write lists of flags as the go command
// does: words between spaces, or between quotes that stand at a word's start.
func splitFlags(s string) ([]string, error) {
	var list []string
	for {
		s = strings.TrimLeft(s, " \t\n\r")
		switch {
		case s == "":
			return list, nil
		case s[0] == '\'' || s[0] == '"':
			word, rest, closed := strings.Cut(s[1:], s[:1])
			if !closed {
				return nil, fmt.Errorf("a quote %c is never closed", s[0])
			}
			list, s = append(list, word), rest
		default:
			end := strings.IndexAny(s, " \t\n\r")
			if end < 0 {
				end = len(s)
			}
			list, s = append(list, s[:end]), s[end:]
		}
	}
}

func joinFlags(list []string) (string, error) {
	quoted := make([]string, len(list))
	for i, word := range list {
		switch {
		case word != "" && !strings.ContainsAny(word, " \t\n\r'\""):
			quoted[i] = word
		case !strings.Contains(word, "'"):
			quoted[i] = "'" + word + "'"
		case !strings.Contains(word, `"`):
			quoted[i] = `"` + word + `"`
		default:
			return "", fmt.Errorf("%q has both kinds of quotes, which the go command cannot read", word)
		}
	}
	return strings.Join(quoted, " "), nil
}

// Shell is the settings as a line that a shell evaluates: an export for that
// shell, or the go env -w that keeps them for good.
func (s Settings) Shell(forGood bool) string {
	command := "export"
	if forGood {
		command = "go env -w"
	}
	return fmt.Sprintf("%s CGO_CFLAGS=%s CGO_LDFLAGS=%s", command, shellQuote(s.CFlags), shellQuote(s.LDFlags))
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
