// The text of an entry: how fragments of PTX become one.

package ptx

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"errorcell/kernels"
)

// entry is a launch in the making. Its instructions are written one after the
// other; the registers, parameters and shared memory that they use stand above
// them in the text, and are known at the end.
type entry struct {
	plan *kernels.Plan
	arch arch
	wide bool

	words  map[string]string // what $words in fragments stand for
	bases  map[string]bool   // names of values that are taken
	labels map[string]int    // how often a label's name was asked for
	params map[Param]bool
	types  []string            // of registers, in order of appearance
	regs   map[string][]string // of each type
	typeOf map[string]string   // of each register
	shared map[string]int      // bytes of each array
	limit  string              // of registers: a directive; anyRegisters if it is empty
	body   strings.Builder
	err    error // the first mistake: none unless the package itself is wrong
}

func newEntry(plan *kernels.Plan, a arch, wide bool) *entry {
	e := &entry{plan: plan, arch: a, wide: wide, bases: map[string]bool{}, labels: map[string]int{},
		params: map[Param]bool{}, regs: map[string][]string{}, typeOf: map[string]string{}, shared: map[string]int{}}
	e.words = typeWords(plan.Signature.DType)
	maps.Copy(e.words, indexWords[wide])
	e.words["load"] = "ld.global.nc"
	if plan.InPlace() { // the operand is not the read-only memory that .nc wants
		e.words["load"] = "ld.global"
	}
	return e
}

// indexWords are the words that depend on the width of indices: $I is their
// type, $IB its bits, $C the type of counts, $at computes base + index*size,
// and the others convert to an index.
var indexWords = map[bool]map[string]string{
	false: {"I": "u32", "IB": "b32", "C": "s32", "at": "mad.wide.u32", "indexFrom32": "mov.u32", "indexFrom64": "cvt.u32.u64", "indexTo32": "mov.u32", "CB": "b32", "countSize": "4"},
	true:  {"I": "u64", "IB": "b64", "C": "s64", "at": "mad.lo.u64", "indexFrom32": "cvt.u64.u32", "indexFrom64": "mov.u64", "indexTo32": "cvt.u32.u64", "CB": "b64", "countSize": "8"},
}

func (e *entry) dtype() kernels.DType { return e.plan.Signature.DType }

func (e *entry) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("ptx: kernel %s: "+format, append([]any{e.plan.Kernel.Name()}, args...)...)
	}
}

// put adds a fragment: instructions, labels, comments, declarations, one a
// line. $words are replaced by what pairs says, or else by the entry's own.
func (e *entry) put(fragment string, pairs ...any) {
	text := os.Expand(fragment, func(word string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == word {
				return fmt.Sprint(pairs[i+1])
			}
		}
		value, ok := e.words[word]
		if !ok {
			e.fail("a fragment has the unknown word $%s: %s", word, fragment)
		}
		return value
	})
	for line := range strings.Lines(text) {
		e.line(strings.TrimSpace(line))
	}
}

func (e *entry) line(line string) {
	switch {
	case line == "":
	case strings.HasPrefix(line, "//"):
		e.body.WriteString("\n\t" + line + "\n")
	case strings.HasSuffix(line, ":"):
		e.body.WriteString(line + "\n")
	case strings.HasPrefix(line, ".reg "):
		typ, names, _ := strings.Cut(strings.TrimPrefix(line, ".reg ."), " ")
		for name := range strings.SplitSeq(names, ", ") {
			e.reg(typ, name)
		}
	case strings.HasPrefix(line, ".shared "):
		var name string
		var bytes int
		if _, err := fmt.Sscanf(line, ".shared %s %d", &name, &bytes); err != nil {
			e.fail("a fragment has %q: %v", line, err)
		}
		e.shared[name] = max(e.shared[name], bytes)
	default:
		guard := ""
		if strings.HasPrefix(line, "@") {
			guard, line, _ = strings.Cut(line, " ")
			guard += " "
		}
		opcode, operands, _ := strings.Cut(line, " ")
		e.body.WriteString("\t" + strings.TrimRight(fmt.Sprintf("%-31s %s", guard+opcode, operands), " ") + ";\n")
	}
}

// guarded is an instruction under a predicate, "" for always.
func guarded(predicate, instruction string) string {
	if predicate == "" {
		return instruction
	}
	return "@" + predicate + " " + instruction
}

// reg declares a register, unless it is declared, and returns its name.
func (e *entry) reg(typ, name string) string {
	switch known, ok := e.typeOf[name]; {
	case ok && known != typ:
		e.fail("register %s is %s and %s", name, known, typ)
	case !ok:
		if _, ok := e.regs[typ]; !ok {
			e.types = append(e.types, typ)
		}
		e.regs[typ], e.typeOf[name] = append(e.regs[typ], name), typ
	}
	return name
}

// label makes a name for a place that is unlike those before.
func (e *entry) label(name string) string {
	e.labels[name]++
	if n := e.labels[name]; n > 1 {
		return name + strconv.Itoa(n)
	}
	return name
}

// base makes the name of a value's registers, %base_0 and so on, from a name
// that people know. The names of other registers do not end in an underscore
// and digits, so that none of them is a value's.
func (e *entry) base(name string) string {
	name = identifier(name)
	for e.bases[name] {
		name += "_"
	}
	e.bases[name] = true
	return name
}

// identifier is a name of a kernel, an operand or a result as PTX can have it,
// and not with a number at its end.
func identifier(name string) string {
	name = strings.ReplaceAll(name, "-", "_")
	if _, number := cutNumber(name); number >= 0 {
		name += "_"
	}
	return name
}

// param is the register that holds a parameter.
func (e *entry) param(role Role, index int) string {
	p := Param{role, index}
	e.params[p] = true
	typ := "u64"
	if role == Rows || role == Cols {
		typ = e.words["I"]
	}
	return e.reg(typ, "%"+e.paramName(p))
}

func (e *entry) paramName(p Param) string {
	switch p.Role {
	case Operand:
		return "in_" + e.distinct(e.plan.Kernel.InputName, p.Index)
	case Result:
		return "out_" + e.distinct(e.plan.Kernel.OutputName, p.Index)
	case Sum, Partials:
		return fmt.Sprintf("%v%d", p.Role, p.Index)
	}
	return p.Role.String()
}

// distinct is the name of an operand or result as an identifier that no
// earlier one has: '-' and '_' are the same in PTX.
func (e *entry) distinct(name func(int) string, index int) string {
	id := identifier(name(index))
	for i := range index {
		if identifier(name(i)) == id {
			id += "$" + strconv.Itoa(index)
			break
		}
	}
	return id
}

// sortedParams is the order of the parameters.
func (e *entry) sortedParams() []Param {
	return slices.SortedFunc(maps.Keys(e.params), func(a, b Param) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Index, b.Index))
	})
}

// Directives on registers. With 40, six blocks fit a multiprocessor. A kernel
// that may need more asks for one block: unasked, ptxas would rather spill a few
// registers than have one block less.
const (
	fewRegisters = ".maxnreg 40"
	anyRegisters = ".minnctapersm 1"
)

// text is the entry whole.
func (e *entry) text(name string, comments []string) string {
	params := e.sortedParams()
	body := e.body.String()
	e.body.Reset()
	for _, p := range params {
		e.loadParam(p)
	}
	loads := e.body.String()

	var s strings.Builder
	for _, c := range comments {
		s.WriteString("// " + c + "\n")
	}
	s.WriteString(".visible .entry " + name + "(\n")
	for i, p := range params {
		s.WriteString("\t.param .u64 " + e.paramName(p))
		if i < len(params)-1 {
			s.WriteByte(',')
		}
		s.WriteByte('\n')
	}
	fmt.Fprintf(&s, ")\n.reqntid %d, 1, 1\n%s\n{\n", threads, cmp.Or(e.limit, anyRegisters))
	for _, typ := range e.types {
		for names := range slices.Chunk(declarations(e.regs[typ]), 8) {
			s.WriteString("\t.reg ." + typ + " " + strings.Join(names, ", ") + ";\n")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.shared)) {
		fmt.Fprintf(&s, "\t.shared .align 8 .b8 %s[%d];\n", name, e.shared[name])
	}
	s.WriteString("\n" + loads + body + "}\n")
	return s.String()
}

func (e *entry) loadParam(p Param) {
	name := e.paramName(p)
	if p.Role == Rows || p.Role == Cols {
		e.put(`
			.reg .u64 %wide
			ld.param.u64 %wide, [$name]
			$indexFrom64 %$name, %wide`, "name", name)
		return
	}
	e.put(`
		ld.param.u64 %$name, [$name]
		cvta.to.global.u64 %$name, %$name`, "name", name)
}

// declarations lists registers, runs %x_0, %x_1, ... as %x_<n>.
func declarations(names []string) []string {
	runs := map[string]int{}
	var list []string
	for _, name := range names {
		base, number := cutNumber(name)
		if number < 0 {
			list = append(list, name)
			continue
		}
		if _, ok := runs[base]; !ok {
			list = append(list, base)
		}
		runs[base] = max(runs[base], number+1)
	}
	for i, name := range list {
		if n, ok := runs[name]; ok {
			list[i] = fmt.Sprintf("%s<%d>", name, n)
		}
	}
	return list
}

// cutNumber cuts the number from a name that ends in an underscore and digits;
// -1 for others.
func cutNumber(name string) (base string, number int) {
	i := strings.LastIndexByte(name, '_')
	if n, err := strconv.Atoi(name[i+1:]); i >= 0 && err == nil {
		return name[:i+1], n
	}
	return name, -1
}
