package emulator

// Modules and the functions in them.

import (
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// A Module is a PTX text that was loaded.
type Module struct {
	Target    string // of the text, such as sm_70
	gpu       *GPU
	text      string
	lines     []string
	version   int // 78 for 7.8
	sm        int
	functions []*Function
	shared    layout
	constants []byte
	globals   map[string]*region
	regions   []*region
}

// A Function is a kernel of a module.
type Function struct {
	Name       string
	Params     []Param
	Required   [3]uint32 // of .reqntid; zeros without
	MaxThreads int       // in a block
	Registers  int       // declared and used; ptxas would need fewer

	module     *Module
	paramBytes uint64
	shared     layout
	maxDynamic uint32
	code       []inst
	order      []int32 // of each instruction: see flow.go
	leader     []bool  // whether an instruction begins a basic block
	rows       []rowInit
	predicates []string  // their names; the first is always true
	ordered    bool      // has fences or other instructions that order memory between threads
	spare      sync.Pool // of *registers, of warps that have ended
}

// A Param is one parameter of a kernel.
type Param struct {
	Name         string
	Type         string // u64; b8 for an array
	Offset, Size uint64
}

// A layout places variables in shared memory, with gaps between them, so that
// an index past the end of one does not hit the next.
type layout struct {
	variables []extent
	bytes     uint64 // that the variables need
	dynamic   bool   // there is a variable of the size that the launch says
}

type extent struct {
	name         string
	offset, size uint64
}

const (
	sharedGap = 32
	// dynamicBase is where dynamic shared memory begins, past everything that
	// is static.
	dynamicBase = 1 << 18
)

func (l *layout) add(name string, align, size uint64, unsized bool) {
	if unsized {
		l.dynamic = true
		l.variables = append(l.variables, extent{name, dynamicBase, 0})
		return
	}
	l.bytes = roundUp(l.bytes, align) + size
	l.variables = append(l.variables, extent{name, roundUp(l.end(), align), size})
}

// end is where the next variable may begin.
func (l *layout) end() uint64 {
	var end uint64
	for _, v := range l.variables {
		if v.offset < dynamicBase {
			end = v.offset + v.size + sharedGap
		}
	}
	return end
}

func (l *layout) last() extent { return l.variables[len(l.variables)-1] }

func (l *layout) clone() layout {
	c := *l
	c.variables = slices.Clone(l.variables)
	return c
}

// Load reads a PTX text and checks it as strictly as ptxas, or more so. The
// error is a Fault with the line. The device is none the worse for it.
func (g *GPU) Load(ptx string) (m *Module, err error) {
	if err := g.enter(callAny); err != nil {
		return nil, err
	}
	defer g.mu.Unlock()
	m = &Module{gpu: g, text: ptx, lines: strings.Split(ptx, "\n"), globals: map[string]*region{}}
	defer func() {
		if r := recover(); r != nil {
			m.unload()
			m, err = nil, asError(r)
		}
	}()
	p := &parser{lex: lexer{text: ptx, line: 1}, module: m, deviceSM: g.sm}
	p.parse()
	return m, nil
}

// asError makes what was recovered from a panic an error: a Fault that the
// parser has thrown, or a mistake of the emulator's own.
func asError(r any) error {
	if f, ok := r.(*Fault); ok {
		return f
	}
	return fmt.Errorf("emulator: internal error: %v\n%s", r, debug.Stack())
}

func (m *Module) source(line int) string {
	if line < 1 || line > len(m.lines) {
		return ""
	}
	return m.lines[line-1]
}

// Function returns a kernel by its name.
func (m *Module) Function(name string) (*Function, error) {
	for _, f := range m.functions {
		if f.Name == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%w: kernel %q among %v", ErrNotFound, name, m.Functions())
}

// Functions lists the names of the module's kernels in the order of the text.
func (m *Module) Functions() []string {
	var names []string
	for _, f := range m.functions {
		names = append(names, f.Name)
	}
	return names
}

// Global returns the address and the size of a .global variable.
func (m *Module) Global(name string) (ptr, bytes uint64, err error) {
	r := m.globals[name]
	if r == nil {
		return 0, 0, fmt.Errorf("%w: variable %q among %v", ErrNotFound, name, slices.Sorted(maps.Keys(m.globals)))
	}
	return r.base, r.size, nil
}

// Unload releases the module's variables. Its functions can no longer be
// launched.
func (m *Module) Unload() error {
	if err := m.gpu.enter(callAny); err != nil {
		return err
	}
	defer m.gpu.mu.Unlock()
	if m.functions == nil && m.text == "" {
		return invalid("module unloaded twice")
	}
	m.unload()
	return nil
}

func (m *Module) unload() {
	for _, r := range m.regions {
		m.gpu.space.remove(r)
	}
	m.regions, m.functions, m.text = nil, nil, ""
}

// SharedBytes is the static shared memory of a block.
func (f *Function) SharedBytes() uint32 { return uint32(f.shared.bytes) }

// ConstBytes is the constant memory of the module.
func (f *Function) ConstBytes() uint32 { return uint32(len(f.module.constants)) }

// Version is the .version of the text, 78 for 7.8.
func (f *Function) Version() int { return f.module.version }

// Target is the .target of the text, 70 for sm_70.
func (f *Function) Target() int { return f.module.sm }

// sharedDefault is what a block may have without SetMaxDynamicShared.
const sharedDefault = 48 << 10

// sharedLimits are the most shared memory that a block may have, static and
// dynamic, in KiB by architecture.
var sharedLimits = map[int]uint32{70: 96, 72: 96, 75: 64, 80: 163, 86: 99, 87: 163, 88: 99, 89: 99, 90: 227,
	100: 227, 101: 227, 103: 227, 110: 227, 120: 99, 121: 99}

// SharedLimit is the most shared memory that a block may have, and what it may
// have unasked.
func (g *GPU) SharedLimit() (optIn, unasked uint32) { return sharedLimits[g.sm] << 10, sharedDefault }

// SetMaxDynamicShared lets launches of f ask for this much dynamic shared
// memory, as they must for more than 48 KiB in all.
func (f *Function) SetMaxDynamicShared(bytes uint32) error {
	g := f.module.gpu
	if err := g.enter(callAny); err != nil {
		return err
	}
	defer g.mu.Unlock()
	if limit, _ := g.SharedLimit(); uint64(bytes)+f.shared.bytes > uint64(limit) {
		return invalid("%d bytes of shared memory, %d of them static: sm_%d has %d", uint64(bytes)+f.shared.bytes, f.shared.bytes, g.sm, limit)
	}
	f.maxDynamic = bytes
	return nil
}
