package neurons_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`((?:Test|Example)[A-Za-z0-9_]*)`")
	goName   = regexp.MustCompile("`([A-Z][A-Za-z0-9]*)(?:\\([^`]*\\))?`")
)

// TestParityTable checks docs/parity.md against this package: each line of its
// tables names a test that there is, and the names in the middle column are
// those of exported things. So the tables cannot rot.
func TestParityTable(t *testing.T) {
	tests, exported := declared(t)
	text, err := os.ReadFile("../docs/parity.md")
	must(t, err)
	lines := 0
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| ngc-learn") {
			continue
		}
		lines++
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 3 {
			t.Errorf("%d columns in place of 3: %s", len(cells), line)
			continue
		}
		named := testName.FindAllStringSubmatch(cells[2], -1)
		if len(named) == 0 {
			t.Errorf("no test shows this line: %s", line)
		}
		for _, name := range named {
			if !tests[name[1]] {
				t.Errorf("there is no %s: %s", name[1], line)
			}
		}
		for _, name := range goName.FindAllStringSubmatch(cells[1], -1) {
			if !exported[name[1]] {
				t.Errorf("there is no %s: %s", name[1], line)
			}
		}
	}
	if lines < 60 {
		t.Errorf("only %d lines were found: has the table's form changed?", lines)
	}
}

// declared gives the names of the package's tests and examples, and of its
// exported functions, methods, types, constants and variables.
func declared(t *testing.T) (tests, exported map[string]bool) {
	tests, exported = map[string]bool{}, map[string]bool{}
	paths, err := filepath.Glob("*.go")
	must(t, err)
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		must(t, err)
		isTest := strings.HasSuffix(path, "_test.go")
		add := func(name *ast.Ident) {
			if isTest {
				tests[name.Name] = true
			} else if name.IsExported() {
				exported[name.Name] = true
			}
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				add(d.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						add(s.Name)
					case *ast.ValueSpec:
						for _, name := range s.Names {
							add(name)
						}
					}
				}
			}
		}
	}
	return tests, exported
}
