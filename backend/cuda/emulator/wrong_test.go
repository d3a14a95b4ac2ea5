package emulator

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A sample is a file in testdata. Its first lines say how to launch it and, if
// it is a wrong one, what must be found:
//
//	// want: race line 18 block 0 thread 3
//	// launch: grid 2 block 64 shared 128
//	// param: buffer 256 written
//	// param: u32 33
//
// A buffer is written (with 0, 1, 2, ...), zero, empty or freed. A wrong kernel
// holds its own cure: where a line has a comment "// right: text", the text
// stands in the line's place in the corrected twin; in the lines above, what
// stands behind "->".
type sample struct {
	name, text  string
	kind        Kind
	line        string
	block, lane string
	grid, dim   uint32
	shared      uint32
	params      []string
}

var (
	wantLine = regexp.MustCompile(`^// want: (.*?) line (\S+)(?: block (\S+) thread (\S+))?$`)
	rightOf  = regexp.MustCompile(`^.*// right: ?`)
	arrow    = regexp.MustCompile(`\S+ -> `)
	before   = regexp.MustCompile(` -> \S+`)
)

func readSamples(t *testing.T, pattern string) []sample {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples %s: %v", pattern, err)
	}
	var all []sample
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parseSample(t, strings.TrimSuffix(filepath.Base(file), ".ptx"), string(text)))
	}
	return all
}

func parseSample(t *testing.T, name, text string) sample {
	t.Helper()
	s := sample{name: name, text: text, grid: 1, dim: 1}
	for line := range strings.SplitSeq(text, "\n") {
		if m := wantLine.FindStringSubmatch(line); m != nil {
			for k, n := range kindNames {
				if n == m[1] {
					s.kind = k
				}
			}
			if s.kind == 0 {
				t.Fatalf("%s: no kind is called %q", name, m[1])
			}
			s.line, s.block, s.lane = m[2], m[3], m[4]
		}
		if rest, ok := strings.CutPrefix(line, "// launch: "); ok {
			w := strings.Fields(before.ReplaceAllString(rest, ""))
			for i := 0; i < len(w); i += 2 {
				n, err := strconv.Atoi(w[i+1])
				if err != nil {
					t.Fatalf("%s: %s", name, line)
				}
				*map[string]*uint32{"grid": &s.grid, "block": &s.dim, "shared": &s.shared}[w[i]] = uint32(n)
			}
		}
		if rest, ok := strings.CutPrefix(line, "// param: "); ok {
			s.params = append(s.params, before.ReplaceAllString(rest, ""))
		}
	}
	return s
}

// right is the corrected twin of a wrong sample.
func (s sample) right(t *testing.T) sample {
	lines := strings.Split(s.text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "//") {
			lines[i] = arrow.ReplaceAllString(line, "")
		} else {
			lines[i] = rightOf.ReplaceAllString(line, "")
		}
	}
	text := strings.Join(lines, "\n")
	if text == s.text {
		t.Fatalf("%s: has no corrected twin", s.name)
	}
	return parseSample(t, s.name, text)
}

// run loads and launches a sample.
func (s sample) run(t *testing.T, c Config) error {
	t.Helper()
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := g.Load(s.text)
	if err != nil {
		return err
	}
	f, err := m.Function(s.name)
	if err != nil {
		t.Fatal(err)
	}
	var params [][]byte
	for _, p := range s.params {
		w := strings.Fields(p)
		n, err := strconv.Atoi(w[1])
		if err != nil {
			t.Fatalf("%s: %s", s.name, p)
		}
		if w[0] == "u32" {
			params = append(params, binary.LittleEndian.AppendUint32(nil, uint32(n)))
			continue
		}
		ptr, err := g.Alloc(uint64(n))
		if err != nil {
			t.Fatal(err)
		}
		switch w[2] {
		case "written":
			var data []byte
			for i := range n / 4 {
				data = binary.LittleEndian.AppendUint32(data, uint32(i))
			}
			err = g.CopyToDevice(ptr, data)
		case "zero":
			err = g.Memset8(ptr, 0, uint64(n))
		case "freed":
			err = g.Free(ptr)
		}
		if err != nil {
			t.Fatal(err)
		}
		params = append(params, binary.LittleEndian.AppendUint64(nil, ptr))
	}
	err = g.Launch(f, [3]uint32{s.grid, 1, 1}, [3]uint32{s.dim, 1, 1}, s.shared, params)
	if lost := g.Err(); (err == nil) != (lost == nil) {
		t.Errorf("%s: launch gives %v, and then the device %v", s.name, err, lost)
	}
	return err
}

// TestWrong shows that each of the wrong kernels is caught, with the right
// place, and that its corrected twin passes.
func TestWrong(t *testing.T) {
	config := Config{Arch: "sm_90", Seed: 1, Workers: 1, StepLimit: 1 << 16}
	for _, s := range readSamples(t, "testdata/wrong/*.ptx") {
		t.Run(s.name, func(t *testing.T) {
			if err := s.right(t).run(t, config); err != nil {
				t.Errorf("the corrected twin fails: %v", err)
			}
			err := s.run(t, config)
			var f *Fault
			if !errors.As(err, &f) {
				t.Fatalf("not caught: %v", err)
			}
			t.Log(err)
			got := fmt.Sprintf("%v line %d block %d thread %d", f.Kind, f.Line, f.Block[0], f.Thread[0])
			want := fmt.Sprintf("%v line %s block %s thread %s", s.kind, s.line, cmp.Or(s.block, "0"), cmp.Or(s.lane, "0"))
			pattern := strings.ReplaceAll(regexp.QuoteMeta(want), `\?`, `\d+`)
			if !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
				t.Errorf("found %s, want %s", got, want)
			}
			if name := cmp.Or(f.Kernel, s.name); name != s.name || f.Source != strings.Split(s.text, "\n")[f.Line-1] {
				t.Errorf("kernel %q, source %q", f.Kernel, f.Source)
			}
			if f.Kind.AtLoad() != strings.HasPrefix(f.Error(), "ptx:") || Code(err) == 0 || Code(err) == 999 {
				t.Errorf("code %d for: %v", Code(err), err)
			}
		})
	}
}
