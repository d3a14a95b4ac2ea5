package neurons_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// block is a block of Go in a document, after the file that it is cut from.
var block = regexp.MustCompile("(?s)\n`([^`\n]+\\.go)`\n\n```go\n(.*?)\n```\n")

// TestWritingACell: the blocks of Go in docs/writing-a-cell.md are in the files
// that they are said to be cut from, so that they compile and are tested.
func TestWritingACell(t *testing.T) {
	text, err := os.ReadFile("../docs/writing-a-cell.md")
	must(t, err)
	blocks := block.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "```go"); len(blocks) != n || n < 5 {
		t.Errorf("of %d blocks of Go %d name their file", n, len(blocks))
	}
	for _, b := range blocks {
		source, err := os.ReadFile("../" + b[1])
		must(t, err)
		if !strings.Contains(string(source), b[2]) {
			t.Errorf("%s does not have this:\n%s", b[1], b[2])
		}
	}
}
