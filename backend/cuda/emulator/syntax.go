package emulator

// The little language in which the instruction table is written, close to the
// one of NVIDIA's manual. A syntax is the opcode and its modifiers:
//
//	setp.CMPF.ftz?.FLOAT
//
// A word in capitals is a class, below; {a,b} is one of the words; a question
// mark makes a modifier optional. The operands follow as
//
//	d:T  register written      s:T  register or constant read
//	D:T  the same, perhaps wider than the type, as loads and conversions allow
//	S:T
//	d|:T register, or register|predicate
//	P    predicate written     P|   predicate, or predicate|predicate
//	p    predicate read, perhaps negated
//	m    memory, [a+8]         V:T  vector written    v:T  vector read
//	i    constant              l    label             *    anything
//
// with ? for those that may be left out. Types are T, the first in the opcode;
// S, the second; W, twice as wide as T; or a type's name.

import (
	"fmt"
	"strings"
	"sync"
)

// classes are the words that a class in a syntax stands for.
var classes = map[string]string{
	"INT":      "u16 u32 u64 s16 s32 s64",
	"ANYINT":   "u8 u16 u32 u64 s8 s16 s32 s64",
	"SIGNED":   "s16 s32 s64",
	"WORD":     "u32 u64 s32 s64",
	"BITS":     "b16 b32 b64",
	"FLOAT":    "f32 f64",
	"INTEGRAL": "b16 b32 b64 u16 u32 u64 s16 s32 s64",
	"MODE":     "f4e b4e rc8 ecl ecr rc16",
	"PROP":     "finite infinite number notanumber normal subnormal",
	"SCALAR":   "b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64",
	"MEMTYPE":  "b8 b16 b32 b64 u8 u16 u32 u64 s8 s16 s32 s64 f32 f64",
	"RND":      "rn rz rm rp",
	"IRND":     "rni rzi rmi rpi",
	"CMP":      "eq ne lt le gt ge lo ls hi hs",
	"CMPF":     "eq ne lt le gt ge equ neu ltu leu gtu geu num nan",
	"BOOL":     "and or xor",
	"SPACE":    "global shared shared::cta const param param::entry local",
	"RW":       "global shared shared::cta",
	"LDCACHE":  "ca cg cs lu cv",
	"STCACHE":  "wb cg cs wt",
	"EVICT":    "L1::evict_normal L1::evict_unchanged L1::evict_first L1::evict_last L1::no_allocate",
	"EVICT2":   "L2::evict_normal L2::evict_first L2::evict_last",
	"FETCH":    "L2::64B L2::128B L2::256B",
	"VEC":      "v2 v4 v8",
	"SCOPE":    "cta cluster gpu sys",
	"SEM":      "relaxed acquire release acq_rel",
}

// A need is the least .target and .version that have a feature.
type need struct{ sm, ptx int }

// wordNeeds are the needs of single modifiers.
var wordNeeds = map[string]need{
	"NaN": {80, 70}, "L2::256B": {80, 74}, "L2::128B": {75, 74}, "L2::64B": {75, 74},
	"L1::evict_normal": {70, 74}, "L1::evict_unchanged": {70, 74}, "L1::evict_first": {70, 74},
	"L1::evict_last": {70, 74}, "L1::no_allocate": {70, 74}, "cluster": {90, 78},
	"shared::cta": {30, 78}, "param::entry": {20, 83},
	"L2::evict_normal": {100, 88}, "L2::evict_first": {100, 88}, "L2::evict_last": {100, 88},
}

// A slot is one place for a modifier.
type slot struct {
	class    string
	words    []string
	optional bool
}

// An opSpec is what an operand must be.
type opSpec struct {
	role     string
	typ      string
	optional bool
}

// A form is one syntax with what executes it.
type form struct {
	row
	slots []slot
	ops   []opSpec
}

// forms are the rows of the table by opcode.
var forms = map[string][]*form{}

// modifiers is every modifier that any instruction has.
var modifiers = map[string]bool{}

func init() {
	for _, table := range [][]row{integerTable, floatTable, dataTable, memoryTable, controlTable} {
		for _, r := range table {
			f := &form{row: r}
			name, rest, _ := strings.Cut(r.syntax, ".")
			if rest != "" {
				for s := range strings.SplitSeq(rest, ".") {
					f.slots = append(f.slots, parseSlot(s))
				}
			}
			for s := range strings.FieldsSeq(r.operands) {
				s, optional := strings.CutSuffix(s, "?")
				role, typ, _ := strings.Cut(s, ":")
				f.ops = append(f.ops, opSpec{role, typ, optional})
			}
			forms[name] = append(forms[name], f)
			for _, s := range f.slots {
				for _, w := range s.words {
					modifiers[w] = true
				}
			}
		}
	}
}

func parseSlot(s string) slot {
	s, optional := strings.CutSuffix(s, "?")
	if words, ok := classes[s]; ok {
		return slot{s, strings.Fields(words), optional}
	}
	s = strings.Trim(s, "{}")
	return slot{s, strings.Split(s, ","), optional}
}

// mods are the modifiers of one instruction as its form has taken them.
type mods struct {
	form  *form
	words []string // by slot, empty where absent
	typ   typ      // the first type
	styp  typ      // the second, or the first again
	imm   uint64   // the constant of an operand i
}

// has reports whether a modifier is present.
func (m *mods) has(word string) bool {
	for _, w := range m.words {
		if w == word {
			return true
		}
	}
	return false
}

// get returns the word that stands for a class, or "".
func (m *mods) get(class string) string {
	for i, s := range m.form.slots {
		if s.class == class {
			return m.words[i]
		}
	}
	return ""
}

// matched is what match has found: kernels have many instructions of few opcodes.
var matched sync.Map // of []*mods by opcode

// match finds the forms of an opcode; more than one differ in their operands.
// What is wrong comes as a kind and words. What is found is shared.
func match(opcode string) (found []*mods, k Kind, wrong string) {
	if found, ok := matched.Load(opcode); ok {
		return found.([]*mods), 0, ""
	}
	parts := strings.Split(opcode, ".")
	name, given := parts[0], parts[1:]
	if why, ok := refused[name]; ok {
		return nil, NotEmulated, name + ": " + why
	}
	candidates := forms[name]
	if candidates == nil {
		return nil, UnknownInstruction, fmt.Sprintf("no instruction is called %s", name)
	}
	best, missing := -1, ""
	for _, f := range candidates {
		m, taken, lacks := f.match(given)
		if m != nil {
			found = append(found, m)
		}
		if taken > best {
			best, missing = taken, lacks
		}
	}
	if found != nil {
		matched.Store(strings.Clone(opcode), found)
		return found, 0, ""
	}
	for _, w := range given {
		if why, ok := refused["."+w]; ok {
			return nil, NotEmulated, "." + w + ": " + why
		}
	}
	switch {
	case best == len(given):
		return nil, UnknownInstruction, fmt.Sprintf("%s lacks %s", opcode, missing)
	case !modifiers[given[best]]:
		return nil, UnknownInstruction, fmt.Sprintf("no modifier is called .%s", given[best])
	case missing == "":
		return nil, UnknownInstruction, fmt.Sprintf("%s has no .%s, or not there", name, given[best])
	}
	return nil, UnknownInstruction, fmt.Sprintf("%s: .%s where %s is expected", opcode, given[best], missing)
}

// match takes the modifiers in order. If they do not fit it returns how many
// did, and the name of the modifier it would have needed next.
func (f *form) match(given []string) (m *mods, taken int, lacks string) {
	m = &mods{form: f, words: make([]string, len(f.slots))}
	for i, s := range f.slots {
		found := false
		if taken < len(given) {
			for _, w := range s.words {
				found = found || w == given[taken]
			}
		}
		switch {
		case found:
			m.words[i] = given[taken]
			if t, ok := typeNames[given[taken]]; ok {
				if m.typ == (typ{}) {
					m.typ = t
				}
				m.styp = t
			}
			taken++
		case !s.optional:
			lacks = "." + strings.Join(s.words[:min(len(s.words), 6)], ", .")
			if len(s.words) > 6 {
				lacks += ", ..."
			}
			return nil, taken, lacks
		}
	}
	if taken < len(given) {
		return nil, taken, ""
	}
	return m, taken, ""
}

// needs is the least target for the instruction with its modifiers.
func (m *mods) needs() need {
	n := m.form.need
	for _, w := range m.words {
		more := wordNeeds[w]
		n = need{max(n.sm, more.sm), max(n.ptx, more.ptx)}
	}
	return n
}

// targets are the architectures and the .version that has brought each.
var targets = map[int]int{
	70: 60, 72: 61, 75: 63, 80: 70, 86: 71, 87: 74, 88: 90, 89: 78, 90: 78,
	100: 86, 101: 86, 103: 88, 110: 90, 120: 87, 121: 88,
}
