package emulator

// PTX modules: directives, declarations and statements. Instructions are
// handed to compile.go one by one, as they come.

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

type argKind uint8

const (
	argName  argKind = iota // name, or name|second, perhaps after a !
	argInt                  // value
	argFloat                // double, or bits of the given width
	argAddress
	argVector
)

// An arg is an operand as it is written.
type arg struct {
	kind   argKind
	name   string // argName, and the base of an address
	second string // of a pair
	not    bool
	value  uint64 // an integer's two's complement, or the bits of a 0f or 0d float
	double float64
	exact  int // 32 for 0f..., 64 for 0d..., else 0
	offset uint64
	parts  []arg
}

// A parser reads one module. Errors travel as a *Fault, by panic inside this
// file and compile.go alone: see Load.
type parser struct {
	lex      lexer
	tok      token
	ahead    []token
	module   *Module
	fn       *Function // being read, or nil
	scopes   []map[string]symbol
	code     *compiler
	depth    int // of brackets and signs in each other
	deviceSM int
}

// maxDepth bounds the parser's recursion.
const maxDepth = 100

func (p *parser) deeper() {
	if p.depth++; p.depth > maxDepth {
		p.syntax("nested too deeply")
	}
}

// fail ends the parse.
func (p *parser) fail(line int, k Kind, format string, args ...any) {
	f := &Fault{Kind: k, Line: line, Source: p.module.source(line), Detail: fmt.Sprintf(format, args...)}
	if p.fn != nil {
		f.Kernel = p.fn.Name
	}
	panic(f)
}

func (p *parser) syntax(format string, args ...any) { p.fail(p.tok.line, InvalidPTX, format, args...) }

// next moves on to the next token.
func (p *parser) next() {
	if len(p.ahead) > 0 {
		p.tok, p.ahead = p.ahead[0], p.ahead[1:]
		return
	}
	t, wrong := p.lex.next()
	if wrong != "" {
		p.fail(p.lex.line, InvalidPTX, "%s", wrong)
	}
	p.tok = t
}

// peekPunct reports whether the token after this one is the given punctuation.
func (p *parser) peekPunct(text string) bool {
	if len(p.ahead) == 0 {
		now := p.tok
		p.next()
		p.ahead = append(p.ahead, p.tok)
		p.tok = now
	}
	return p.ahead[0].kind == tokPunct && p.ahead[0].text == text
}

func (p *parser) isPunct(text string) bool { return p.tok.kind == tokPunct && p.tok.text == text }

// accept passes over the given punctuation or directive if it is next.
func (p *parser) accept(text string) bool {
	ok := (p.tok.kind == tokPunct || p.tok.kind == tokWord) && p.tok.text == text
	if ok {
		p.next()
	}
	return ok
}

func (p *parser) expect(text string) {
	if !p.accept(text) {
		p.syntax("%s expected, not %s", text, p.tok.text)
	}
}

// name takes an identifier.
func (p *parser) name() string {
	t := p.tok
	if t.kind != tokWord || strings.Contains(t.text, ".") {
		p.syntax("name expected, not %s", t.text)
	}
	p.next()
	return t.text
}

// word takes a word of any form.
func (p *parser) word() string {
	t := p.tok
	if t.kind != tokWord {
		p.syntax("word expected, not %s", t.text)
	}
	p.next()
	return t.text
}

// integer takes a constant that must lie in [0, limit].
func (p *parser) integer(limit uint64) uint64 {
	a := p.number()
	if a.kind != argInt || a.value > limit {
		p.syntax("integer up to %d expected", limit)
	}
	return a.value
}

// number takes a constant with its sign.
func (p *parser) number() arg {
	if p.accept("-") {
		p.deeper()
		a := p.number()
		p.depth--
		a.value = -a.value
		a.double = -a.double
		if a.exact != 0 {
			p.syntax("sign before a float written in hexadecimal")
		}
		return a
	}
	t := p.tok
	if t.kind != tokNumber {
		p.syntax("number expected, not %s", t.text)
	}
	p.next()
	s := strings.ToLower(t.text)
	for prefix, bits := range map[string]int{"0f": 32, "0d": 64} {
		if strings.HasPrefix(s, prefix) {
			v, err := strconv.ParseUint(s[2:], 16, bits)
			if err != nil || len(s) != 2+bits/4 {
				p.fail(t.line, InvalidPTX, "%s is no float: %d hexadecimal digits expected", t.text, bits/4)
			}
			return arg{kind: argFloat, value: v, exact: bits}
		}
	}
	if strings.HasPrefix(s, "0x") || !strings.ContainsAny(s, ".e") {
		v, err := strconv.ParseUint(strings.TrimSuffix(s, "u"), 0, 64)
		if err != nil || strings.Contains(s, "_") {
			p.fail(t.line, InvalidPTX, "%s is no integer of 64 bits", t.text)
		}
		return arg{kind: argInt, value: v}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.ContainsAny(s, "_px") {
		p.fail(t.line, InvalidPTX, "%s is no float", t.text)
	}
	return arg{kind: argFloat, double: f}
}

// typed takes a type directive, such as .u32.
func (p *parser) typed() typ {
	t, ok := typeNames[strings.TrimPrefix(p.tok.text, ".")]
	if p.tok.kind != tokWord || !ok || p.tok.text[0] != '.' {
		p.syntax("type expected, not %s", p.tok.text)
	}
	p.next()
	return t
}

// A symbolKind is what a name stands for.
type symbolKind uint8

const (
	symRegister symbolKind = iota
	symParam
	symShared
	symConst
	symGlobal
	symLabel
)

var symbolNames = [...]string{"register", "parameter", "shared variable", "constant", "global variable", "label"}

type symbol struct {
	kind   symbolKind
	typ    typ
	offset uint64 // of a variable in its space
	size   uint64
	line   int
	reg    *register
}

// A register is declared; it takes a row when it is first used.
type register struct {
	typ typ
	row int32
}

func (p *parser) declare(name string, line int, s symbol) {
	s.line = line
	scope := p.scopes[len(p.scopes)-1]
	if old, ok := scope[name]; ok {
		p.fail(line, InvalidPTX, "%s is declared twice, first in line %d", name, old.line)
	}
	_, ok := specials[name]
	if _, vector := specials[name+".x"]; ok || vector || name == "_" {
		p.fail(line, InvalidPTX, "%s is not free as a name", name)
	}
	scope[name] = s
}

func (p *parser) lookup(name string) (symbol, bool) {
	for i := len(p.scopes) - 1; i >= 0; i-- {
		if s, ok := p.scopes[i][name]; ok {
			return s, true
		}
	}
	return symbol{}, false
}

// parse reads the whole text.
func (p *parser) parse() {
	p.next()
	p.header()
	p.scopes = []map[string]symbol{{}}
	for p.tok.kind != tokEnd {
		switch p.tok.text {
		case ".visible", ".extern", ".weak", ".common":
			linkage := p.word()
			if p.tok.text != ".entry" && (linkage != ".extern" || p.tok.text != ".shared") &&
				(linkage != ".visible" || p.tok.text != ".global" && p.tok.text != ".const") {
				p.syntax("%s %s is not emulated", linkage, p.tok.text)
			}
		case ".entry":
			p.entry()
		case ".shared", ".const", ".global":
			p.variable()
		case ".func":
			p.fail(p.tok.line, NotEmulated, "functions other than entries are not emulated")
		case ".file", ".loc", ".pragma":
			p.skipLine()
		case ".section":
			for !p.isPunct("}") && p.tok.kind != tokEnd {
				p.next()
			}
			p.expect("}")
		default:
			p.syntax("%s does not begin a declaration", p.tok.text)
		}
	}
}

// header reads .version, .target and .address_size.
func (p *parser) header() {
	m, line := p.module, p.tok.line
	p.expect(".version")
	major, minor, ok := strings.Cut(p.tok.text, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if !ok || err1 != nil || err2 != nil || a > 99 || b > 9 {
		p.syntax("version such as 7.8 expected, not %s", p.tok.text)
	}
	m.version = 10*a + b
	p.next()
	if m.version < 60 || m.version > 99 {
		p.fail(line, WrongTarget, ".version %d.%d: 6.0 to 9.9 are known", a, b)
	}
	line = p.tok.line
	p.expect(".target")
	m.Target = p.word()
	sm, ok := parseArch(m.Target)
	since, known := targets[sm]
	switch {
	case !ok || !known:
		p.fail(line, WrongTarget, "no .target %s is known", m.Target)
	case m.version < since:
		p.fail(line, WrongTarget, ".target %s needs .version %d.%d", m.Target, since/10, since%10)
	case sm > p.deviceSM:
		p.fail(line, WrongTarget, ".target %s is newer than this sm_%d", m.Target, p.deviceSM)
	case strings.HasSuffix(m.Target, "a") && sm != p.deviceSM:
		p.fail(line, WrongTarget, ".target %s does not run on sm_%d", m.Target, p.deviceSM)
	}
	m.sm = sm
	for p.accept(",") {
		p.word() // texmode, debug
	}
	p.expect(".address_size")
	if p.integer(64) != 64 {
		p.fail(p.tok.line, NotEmulated, "only .address_size 64 is emulated")
	}
}

// skipLine passes over a directive that says nothing about what is computed.
func (p *parser) skipLine() {
	line := p.tok.line
	for p.tok.kind != tokEnd && p.tok.line == line && !p.isPunct("}") {
		if p.accept(";") {
			return
		}
		p.next()
	}
}

// alignment takes .align n if it is next.
func (p *parser) alignment(least uint64) uint64 {
	if !p.accept(".align") {
		return least
	}
	n := p.integer(1 << 16)
	if n == 0 || n&(n-1) != 0 {
		p.syntax("alignment %d is no power of two", n)
	}
	return max(n, least)
}

// variable reads the declaration of a variable in shared, const or global
// memory.
func (p *parser) variable() {
	space := p.word()
	given := p.alignment(1)
	count := uint64(1)
	switch p.tok.text {
	case ".v2", ".v4":
		count = uint64(p.tok.text[2] - '0')
		p.next()
	}
	t := p.typed()
	if t == pred {
		p.syntax("a variable cannot be .pred")
	}
	align := max(given, t.bytes()*count)
	for {
		name, line := p.name(), p.tok.line
		elements, unsized := count, false
		for p.accept("[") {
			if p.accept("]") {
				unsized = true
				continue
			}
			n := p.integer(1 << 31)
			elements *= n
			if elements > 1<<31 {
				p.syntax("array too large")
			}
			p.expect("]")
		}
		var init []byte
		if p.accept("=") {
			init = p.initializer(t, elements)
		}
		p.place(name, line, space, t, elements*t.bytes(), align, unsized, init)
		if !p.accept(",") {
			break
		}
	}
	p.expect(";")
}

// initializer takes the value of a variable: a number, or numbers in braces,
// which may be fewer than the elements.
func (p *parser) initializer(t typ, elements uint64) []byte {
	data := []byte{} // which is not nil even if there are none
	one := func() {
		a := p.number()
		v := p.constant(p.tok.line, a, t)
		if uint64(len(data)) >= elements*t.bytes() {
			p.syntax("more values than the array has")
		}
		for i := range t.bytes() {
			data = append(data, byte(v>>(8*i)))
		}
	}
	var nested func()
	nested = func() {
		p.deeper()
		defer func() { p.depth-- }()
		if !p.accept("{") {
			one()
			return
		}
		for !p.accept("}") {
			nested()
			if !p.isPunct("}") {
				p.expect(",")
			}
		}
	}
	nested()
	return data
}

// place gives a variable its address.
func (p *parser) place(name string, line int, space string, t typ, size, align uint64, unsized bool, init []byte) {
	s := symbol{typ: t, size: size}
	m := p.module
	switch space {
	case ".shared":
		s.kind = symShared
		if init != nil {
			p.fail(line, InvalidPTX, "shared memory cannot be initialised")
		}
		list := &m.shared
		if p.fn != nil {
			list = &p.fn.shared
		}
		list.add(name, align, size, unsized)
		s.offset = list.last().offset
	case ".const":
		s.kind = symConst
		m.constants = append(m.constants, make([]byte, roundUp(uint64(len(m.constants)), align)-uint64(len(m.constants)))...)
		s.offset = uint64(len(m.constants))
		if s.offset+size > 64<<10 {
			p.fail(line, InvalidPTX, "more than 64 KiB of constants")
		}
		m.constants = append(m.constants, make([]byte, size)...)
		copy(m.constants[s.offset:], init)
	case ".global":
		s.kind = symGlobal
		r, err := m.gpu.space.add(max(size, 1), "variable "+name, false)
		if err != nil {
			p.fail(line, InvalidPTX, "%v", err)
		}
		m.regions = append(m.regions, r)
		r.markWritten(0, size) // PTX variables start as zeros
		copy(r.data, init)
		s.offset = r.base
		m.globals[name] = r
	}
	if unsized && space != ".shared" {
		p.fail(line, InvalidPTX, "%s has no size", name)
	}
	p.declare(name, line, s)
}

func roundUp(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }

// entry reads a kernel.
func (p *parser) entry() {
	p.expect(".entry")
	line := p.tok.line
	name := p.name()
	fn := &Function{Name: name, module: p.module, MaxThreads: 1024}
	for _, other := range p.module.functions {
		if other.Name == name {
			p.fail(line, InvalidPTX, "kernel %s is defined twice", name)
		}
	}
	p.fn = fn
	p.code = newCompiler(p)
	fn.shared = p.module.shared.clone()
	p.scopes = append(p.scopes, map[string]symbol{})
	if p.accept("(") && !p.accept(")") {
		for p.parameter(); p.accept(","); {
			p.parameter()
		}
		p.expect(")")
	}
	for p.tok.kind == tokWord && !p.isPunct("{") {
		p.tuning(p.word())
	}
	p.body()
	p.code.finish()
	p.scopes = p.scopes[:1]
	p.module.functions = append(p.module.functions, fn)
	p.fn = nil
}

// tuning reads a performance directive.
func (p *parser) tuning(directive string) {
	switch directive {
	case ".reqntid", ".maxntid":
		n := [3]uint32{1, 1, 1}
		for i := range n {
			n[i] = uint32(p.integer(1024))
			if !p.accept(",") {
				break
			}
		}
		total := uint64(n[0]) * uint64(n[1]) * uint64(n[2])
		if total == 0 || total > 1024 {
			p.syntax("%s of %d threads", directive, total)
		}
		p.fn.MaxThreads = int(total)
		if directive == ".reqntid" {
			p.fn.Required = n
		}
	case ".minnctapersm", ".maxnctapersm", ".maxnreg":
		p.integer(1 << 16)
	case ".pragma":
		p.next()
		p.accept(";")
	default:
		p.syntax("%s does not belong here", directive)
	}
}

// parameter reads one parameter of a kernel.
func (p *parser) parameter() {
	p.expect(".param")
	given := p.alignment(1)
	t := p.typed()
	if t == pred {
		p.syntax("a parameter cannot be .pred")
	}
	if p.accept(".ptr") {
		for p.accept(".global") || p.accept(".shared") || p.accept(".const") {
			continue
		}
		p.alignment(1)
	}
	line, name := p.tok.line, p.name()
	size := t.bytes()
	if p.accept("[") {
		size *= p.integer(4096)
		p.expect("]")
	}
	fn := p.fn
	align := max(given, t.bytes())
	offset := roundUp(fn.paramBytes, align)
	fn.paramBytes = offset + size
	if fn.paramBytes > 4096 {
		p.syntax("more than 4096 bytes of parameters")
	}
	fn.Params = append(fn.Params, Param{Name: name, Type: t.String(), Offset: offset, Size: size})
	p.declare(name, line, symbol{kind: symParam, typ: t, offset: offset, size: size})
}

// body reads what stands in braces.
func (p *parser) body() {
	p.deeper()
	p.expect("{")
	p.scopes = append(p.scopes, map[string]symbol{})
	for !p.isPunct("}") {
		if p.tok.kind == tokEnd {
			p.syntax("} missing")
		}
		p.statement()
	}
	p.next()
	p.depth--
	p.scopes = p.scopes[:len(p.scopes)-1]
}

func (p *parser) statement() {
	switch t := p.tok; {
	case p.isPunct("{"):
		p.body()
	case p.accept(";"):
	case p.isPunct("@"):
		p.instruction()
	case t.kind != tokWord:
		p.syntax("instruction expected, not %s", t.text)
	case p.peekPunct(":"):
		p.code.label(p.name(), t.line)
		p.next()
	case t.text == ".reg":
		p.registers()
	case t.text == ".extern":
		p.next()
		if p.tok.text != ".shared" {
			p.syntax(".extern %s is not emulated", p.tok.text)
		}
	case t.text == ".shared":
		p.variable()
	case t.text == ".pragma" || t.text == ".loc" || t.text == ".file":
		p.skipLine()
	case t.text == ".local":
		p.fail(t.line, NotEmulated, "local memory is not emulated")
	case t.text[0] == '.' || t.text[0] == '%':
		p.syntax("%s does not begin a statement", t.text)
	default:
		p.instruction()
	}
}

// registers reads a declaration of registers, such as .reg .f32 %f<8>, x.
func (p *parser) registers() {
	p.next()
	if p.tok.text == ".v2" || p.tok.text == ".v4" {
		p.fail(p.tok.line, NotEmulated, "vector registers are not emulated")
	}
	t := p.typed()
	for {
		line, name := p.tok.line, p.name()
		if p.accept("<") {
			n := p.integer(1 << 16)
			p.expect(">")
			for i := range n {
				p.declare(name+strconv.Itoa(int(i)), line, symbol{kind: symRegister, reg: &register{typ: t, row: -1}})
			}
		} else {
			p.declare(name, line, symbol{kind: symRegister, reg: &register{typ: t, row: -1}})
		}
		if !p.accept(",") {
			break
		}
	}
	p.expect(";")
}

// instruction reads one instruction with its guard.
func (p *parser) instruction() {
	line := p.tok.line
	guard, not := "", false
	if p.accept("@") {
		not = p.accept("!")
		guard = p.name()
		line = p.tok.line
	}
	opcode := p.word()
	var args []arg
	if !p.accept(";") {
		args = append(args, p.argument())
		for p.accept(",") {
			args = append(args, p.argument())
		}
		if !p.isPunct(";") {
			p.syntax("; expected after %s, not %s", opcode, p.tok.text)
		}
		p.next()
	}
	p.code.instruction(line, guard, not, opcode, args)
}

// argument reads one operand.
func (p *parser) argument() arg {
	switch {
	case p.accept("["):
		a := arg{kind: argAddress}
		if p.tok.kind == tokWord {
			a.name = p.word()
		} else {
			a.offset = p.offset()
		}
		for p.accept("+") {
			a.offset += p.offset()
		}
		p.expect("]")
		return a
	case p.accept("{"):
		p.deeper()
		defer func() { p.depth-- }()
		a := arg{kind: argVector, parts: []arg{p.argument()}}
		for p.accept(",") {
			a.parts = append(a.parts, p.argument())
		}
		p.expect("}")
		return a
	case p.tok.kind == tokNumber || p.isPunct("-"):
		return p.number()
	}
	a := arg{kind: argName, not: p.accept("!")}
	a.name = p.word()
	if p.accept("|") {
		a.second = p.word()
	}
	return a
}

func (p *parser) offset() uint64 {
	a := p.number()
	if a.kind != argInt {
		p.syntax("integer offset expected")
	}
	return a.value
}

// constant gives a number the bits of a type.
func (p *parser) constant(line int, a arg, t typ) uint64 {
	switch {
	case a.kind == argInt && t.class != floating:
		// It must fit as a signed or as an unsigned number.
		if v := int64(a.value); a.value > t.mask() && (v >= 0 || v < -1<<(t.bits-1)) {
			p.fail(line, TypeMismatch, "%d does not fit into .%v", v, t)
		}
		return a.value & t.mask()
	case a.kind == argFloat && a.exact == 0 && t == f32:
		return uint64(math.Float32bits(float32(a.double)))
	case a.kind == argFloat && a.exact == 0 && t == f64:
		return math.Float64bits(a.double)
	case a.kind == argFloat && a.exact == int(t.bits) && (t.class == floating || t.class == bitsClass):
		return a.value
	}
	p.fail(line, TypeMismatch, "constant does not fit .%v", t)
	return 0
}
