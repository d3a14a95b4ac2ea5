package kernels

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestNumericsDocument computes what the blocks marked "numbers" of
// docs/numerics.md say.
func TestNumericsDocument(t *testing.T) {
	file, err := os.ReadFile("../docs/numerics.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```numbers\n(.*?)```").FindAllStringSubmatch(string(file), -1)
	if len(blocks) < 4 {
		t.Errorf("the document has only %d blocks of numbers", len(blocks))
	}
	number := func(s string) float64 {
		x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, block := range blocks {
		var x []float64
		var count float64
		for line := range strings.Lines(block[1]) {
			// A line is a name, two spaces or more, and what it is.
			name, text, _ := strings.Cut(line, "  ")
			var got float64
			switch name {
			case "x":
				x = documentNumbers(text, number)
				continue
			case "count":
				count = number(text)
				continue
			case "one by one":
				for _, v := range x {
					got += v
				}
			case "TreeSum":
				got = TreeSum(len(x), at(x))
			case "BatchSum":
				got = BatchSum(len(x), at(x))
			case "float32":
				got = float64(float32(count))
			default:
				t.Errorf("a line says %q", line)
			}
			if want := number(text); got != want {
				t.Errorf("in\n%s%s is %v", block[1], name, got)
			}
		}
	}
	for name, n := range map[string]int{"blocks of %d consecutive": BlockSize, "has %d lanes": Lanes, "groups of %d rows": GroupRows} {
		if text := strings.ReplaceAll(name, "%d", strconv.Itoa(n)); !strings.Contains(string(file), text) {
			t.Errorf("the document does not say %q", text)
		}
	}
}

// documentNumbers reads "1, 2, 3" or "130 numbers: x0 = 1e16, x64 = 1", the
// others being 0.
func documentNumbers(text string, number func(string) float64) []float64 {
	length, places, isSparse := strings.Cut(text, " numbers: ")
	if !isSparse {
		var x []float64
		for part := range strings.SplitSeq(text, ",") {
			x = append(x, number(part))
		}
		return x
	}
	x := make([]float64, int(number(length)))
	for part := range strings.SplitSeq(places, ",") {
		place, value, _ := strings.Cut(part, "=")
		x[int(number(strings.TrimPrefix(strings.TrimSpace(place), "x")))] = number(value)
	}
	return x
}
