package emulator

// Instructions as they are executed, and their making from what is written.

import (
	"strings"
	"time"
)

// An execFunc executes an instruction for the lanes of a warp in mask. A Fault
// ends the launch.
type execFunc func(w *warp, in *inst, mask uint32) *Fault

type flowKind uint8

const (
	flowNone       flowKind = iota
	flowBranch              // to target
	flowExit                // ends threads
	flowBarrier             // waits for warps of the block
	flowCollective          // waits for the lanes named in a mask, the last operand
)

// An inst is an instruction. Registers and constants are rows of the warp's
// register file; row 0 is zero, and stands for sources that are not there.
type inst struct {
	exec     execFunc
	lane     laneFunc
	d        int32 // the row written
	a, b, c  int32 // the rows read
	guard    int32 // a predicate; predicate 0 is always true
	guardNot bool
	flow     flowKind
	target   int32 // of a branch
	line     int32
	x        *extra
}

// An extra is what only some instructions need.
type extra struct {
	m       *mods
	ops     []operand
	compare func(a, b uint64) bool
	special special
	access  access
	barrier barrierKind
}

// An operand is what an argument has become.
type operand struct {
	row  int32 // of a register or constant, -1 for none
	pred int32 // a predicate, -1 for none
	not  bool  // the predicate is negated
	typ  typ   // of the register
	// constant says that the row holds a constant, which is value.
	constant bool
	value    uint64
	vec      []operand
	addr     address
}

// An address is a row's value plus an offset.
type address struct {
	row    int32
	offset uint64
	mask   uint64 // 32 or 64 bits
}

// A rowInit says what a row of the register file holds when a block begins.
type rowInit struct {
	name    string  // of a register
	special special // or none: a constant or a register
	value   uint64
	set     bool // may be read from the start
}

// A special is a special register that is read as a row.
type special func(w *warp, lane int) uint64

// changing are the special registers that are read whenever they are moved; the
// others are read when a block begins.
var changing = map[string]bool{"%clock": true, "%clock64": true, "%globaltimer": true}

// specials are the special registers.
var specials = map[string]struct {
	typ  typ
	read special
}{
	"%tid.x":             {u32, func(w *warp, l int) uint64 { return uint64(w.thread(l)[0]) }},
	"%tid.y":             {u32, func(w *warp, l int) uint64 { return uint64(w.thread(l)[1]) }},
	"%tid.z":             {u32, func(w *warp, l int) uint64 { return uint64(w.thread(l)[2]) }},
	"%ntid.x":            {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.block[0]) }},
	"%ntid.y":            {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.block[1]) }},
	"%ntid.z":            {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.block[2]) }},
	"%ctaid.x":           {u32, func(w *warp, _ int) uint64 { return uint64(w.block.id[0]) }},
	"%ctaid.y":           {u32, func(w *warp, _ int) uint64 { return uint64(w.block.id[1]) }},
	"%ctaid.z":           {u32, func(w *warp, _ int) uint64 { return uint64(w.block.id[2]) }},
	"%nctaid.x":          {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.grid[0]) }},
	"%nctaid.y":          {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.grid[1]) }},
	"%nctaid.z":          {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.grid[2]) }},
	"%laneid":            {u32, func(_ *warp, l int) uint64 { return uint64(l) }},
	"%warpid":            {u32, func(w *warp, _ int) uint64 { return uint64(w.index) }},
	"%nwarpid":           {u32, func(*warp, int) uint64 { return 32 }},
	"%smid":              {u32, func(w *warp, _ int) uint64 { return uint64(w.block.sm) }},
	"%nsmid":             {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.gpu.config.SMs) }},
	"%gridid":            {u64, func(w *warp, _ int) uint64 { return w.block.launch.id }},
	"%lanemask_eq":       {u32, func(_ *warp, l int) uint64 { return 1 << l }},
	"%lanemask_lt":       {u32, func(_ *warp, l int) uint64 { return 1<<l - 1 }},
	"%lanemask_le":       {u32, func(_ *warp, l int) uint64 { return 2<<l - 1 }},
	"%lanemask_gt":       {u32, func(_ *warp, l int) uint64 { return 0xffffffff &^ (2<<l - 1) }},
	"%lanemask_ge":       {u32, func(_ *warp, l int) uint64 { return 0xffffffff &^ (1<<l - 1) }},
	"%dynamic_smem_size": {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.dynShared) }},
	"%total_smem_size":   {u32, func(w *warp, _ int) uint64 { return uint64(w.block.launch.dynShared) + w.block.launch.fn.shared.bytes }},
	"%clock":             {u32, func(w *warp, _ int) uint64 { return uint64(uint32(w.steps)) }},
	"%clock64":           {u64, func(w *warp, _ int) uint64 { return w.steps }},
	"%globaltimer":       {u64, func(*warp, int) uint64 { return uint64(time.Now().UnixNano()) }},
}

// A compiler makes the code of one kernel.
type compiler struct {
	p         *parser
	fn        *Function
	constants map[uint64]int32
	specials  map[string]int32
	labels    map[string]target
	jumps     []jump
	line      int // of the instruction being made
}

type target struct{ pc, line int }

type jump struct {
	pc, line int
	label    string
}

func newCompiler(p *parser) *compiler {
	c := &compiler{p: p, fn: p.fn, constants: map[uint64]int32{}, specials: map[string]int32{}, labels: map[string]target{}}
	c.fn.predicates = []string{"true"}
	c.constant(0)
	return c
}

func (c *compiler) fail(k Kind, format string, args ...any) { c.p.fail(c.line, k, format, args...) }

func (c *compiler) addRow(r rowInit) int32 {
	c.fn.rows = append(c.fn.rows, r)
	return int32(len(c.fn.rows) - 1)
}

// constant returns the row that holds a value.
func (c *compiler) constant(v uint64) int32 {
	row, ok := c.constants[v]
	if !ok {
		row = c.addRow(rowInit{value: v, set: true})
		c.constants[v] = row
	}
	return row
}

func (c *compiler) label(name string, line int) {
	if old, ok := c.labels[name]; ok {
		c.p.fail(line, InvalidPTX, "label %s is defined twice, first in line %d", name, old.line)
	}
	c.labels[name] = target{len(c.fn.code), line}
}

// finish ends a kernel: every label is known now.
func (c *compiler) finish() {
	c.fn.code = append(c.fn.code, inst{flow: flowExit, line: int32(c.p.tok.line)})
	for _, j := range c.jumps {
		t, ok := c.labels[j.label]
		if !ok {
			c.p.fail(j.line, InvalidPTX, "label %s is not defined", j.label)
		}
		c.fn.code[j.pc].target = int32(t.pc)
	}
	c.fn.arrange()
}

// instruction makes one instruction.
func (c *compiler) instruction(line int, guard string, not bool, opcode string, args []arg) {
	c.line = line
	found, kind, wrong := match(opcode)
	if found == nil {
		c.fail(kind, "%s", wrong)
	}
	var m *mods
	for _, m = range found {
		if m.form.takes(len(args)) {
			break
		}
	}
	if !m.form.takes(len(args)) {
		c.fail(InvalidPTX, "%s has %d operands, not %d", opcode, len(m.form.ops), len(args))
	}
	c.checkTarget(opcode, m)
	c.checkNumerics(opcode, m)

	own := *m // an operand may set its imm
	m = &own
	in := inst{exec: m.form.exec, flow: m.form.flow, line: int32(line), guardNot: not,
		x: &extra{m: m, ops: make([]operand, 0, len(args))}}
	if guard != "" {
		in.guard = c.predicate(guard)
	}
	if m.form.ops != nil && m.form.ops[len(m.form.ops)-1].role == "*" {
		c.move(&in, m, args)
	} else {
		for i, a := range args {
			in.x.ops = append(in.x.ops, c.operand(m.form.ops[i], a, m))
		}
	}
	c.rowsOf(&in)
	if m.form.build != nil {
		if kind, wrong := m.form.build(&in, m); wrong != "" {
			c.fail(kind, "%s: %s", opcode, wrong)
		}
	}
	if m.form.lane != nil {
		in.lane = widened(m, in.x.ops[0].typ, m.form.lane(m))
		if in.exec == nil {
			in.exec = execMap
		}
	}
	c.fn.ordered = c.fn.ordered || ordersMemory(m)
	c.fn.code = append(c.fn.code, in)
}

// takes reports whether a form has n operands.
func (f *form) takes(n int) bool {
	least := 0
	for _, o := range f.ops {
		if !o.optional {
			least++
		}
	}
	return n >= least && n <= len(f.ops)
}

func (c *compiler) checkTarget(opcode string, m *mods) {
	n := m.needs()
	if m.has("v8") || m.has("v4") && m.typ.bits == 64 {
		n = need{max(n.sm, 100), max(n.ptx, 88)}
	}
	if c.p.module.sm < n.sm {
		c.fail(WrongTarget, "%s needs .target sm_%d", opcode, n.sm)
	}
	if c.p.module.version < n.ptx {
		c.fail(WrongTarget, "%s needs .version %d.%d", opcode, n.ptx/10, n.ptx%10)
	}
}

// checkNumerics refuses what does not give the same bits everywhere.
func (c *compiler) checkNumerics(opcode string, m *mods) {
	name, _, _ := strings.Cut(opcode, ".")
	strict := !c.p.module.gpu.config.AllowLooseNumerics
	if m.has("ftz") && strict {
		c.fail(LooseNumerics, "%s: .ftz makes subnormal numbers zero", opcode)
	}
	for i, s := range m.form.slots {
		if s.class != "RND" {
			continue
		}
		switch w := m.words[i]; {
		case w == "" && strict:
			c.fail(LooseNumerics, "%s without .rn: ptxas may fuse a multiplication and an addition", opcode)
		case w != "" && w != "rn" && name != "cvt":
			c.fail(NotEmulated, "%s: arithmetic is emulated with .rn alone", opcode)
		}
	}
}

// ordersMemory reports whether an instruction can order memory between threads of
// different warps otherwise than by a barrier.
func ordersMemory(m *mods) bool {
	return strings.HasPrefix(m.form.syntax, "membar") || strings.HasPrefix(m.form.syntax, "fence") ||
		m.has("acquire") || m.has("release") || m.has("acq_rel")
}

// widened sign-extends a signed result into a wider register.
func widened(m *mods, reg typ, f laneFunc) laneFunc {
	if m.form.ops[0].role != "D" || m.typ.class != signed || reg.bits <= m.typ.bits {
		return f
	}
	t, mask := m.typ, reg.mask()
	return func(a, b, c uint64) uint64 { return t.extend(f(a, b, c)) & mask }
}

// rowsOf puts the operands where execMap looks for them: the first that is
// written into d, those read into a, b, c.
func (c *compiler) rowsOf(in *inst) {
	sources := []*int32{&in.a, &in.b, &in.c}
	for i, o := range in.x.ops {
		if o.row < 0 || i >= len(in.x.m.form.ops) {
			continue
		}
		switch in.x.m.form.ops[i].role {
		case "d", "D", "d|":
			in.d = o.row
		case "s", "S", "*":
			if i == 0 && in.x.m.form.ops[i].role == "*" {
				in.d = o.row
			} else if len(sources) > 0 {
				*sources[0] = o.row
				sources = sources[1:]
			}
		}
	}
}

var noOperand = operand{row: -1, pred: -1}

// operand checks an argument against what it must be and makes it an operand.
func (c *compiler) operand(spec opSpec, a arg, m *mods) operand {
	t := spec.of(m)
	if a.not && spec.role != "p" {
		c.fail(InvalidPTX, "! before an operand that is no predicate")
	}
	if a.second != "" && spec.role != "P|" && spec.role != "d|" {
		c.fail(InvalidPTX, "%s|%s where one operand is expected", a.name, a.second)
	}
	switch spec.role {
	case "d", "D":
		return c.register(a, t, spec.role == "D")
	case "d|":
		o := c.register(a, t, false)
		if a.second != "" {
			o.pred = c.sink(a.second)
		}
		return o
	case "s", "S":
		return c.source(a, t, spec.role == "S")
	case "P", "P|":
		o := noOperand
		c.named(a)
		o.pred = c.sink(a.name)
		if a.second != "" {
			o.vec = []operand{{row: -1, pred: c.sink(a.second)}}
		}
		return o
	case "p":
		o := noOperand
		o.not = a.not
		if a.kind == argInt && a.value <= 1 && !a.not {
			o.pred, o.not = 0, a.value == 0
			return o
		}
		c.named(a)
		o.pred = c.predicate(a.name)
		return o
	case "m":
		return c.memory(a, m)
	case "V", "v":
		return c.vector(spec.role, a, t, m)
	case "i":
		if a.kind != argInt {
			c.fail(TypeMismatch, "constant expected")
		}
		m.imm = c.p.constant(c.line, a, u32)
		return noOperand
	}
	// A label.
	c.named(a)
	c.jumps = append(c.jumps, jump{len(c.fn.code), c.line, a.name})
	return noOperand
}

// of is the type that an operand of an instruction must have.
func (s opSpec) of(m *mods) typ {
	switch s.typ {
	case "T":
		return m.typ
	case "S":
		return m.styp
	case "W":
		return typ{m.typ.class, 2 * m.typ.bits}
	}
	return typeNames[s.typ]
}

func (c *compiler) named(a arg) {
	if a.kind != argName {
		c.fail(TypeMismatch, "name expected where a constant, address or vector stands")
	}
}

// find looks up a name that must be declared.
func (c *compiler) find(name string) symbol {
	s, ok := c.p.lookup(name)
	if !ok {
		if _, special := specials[name]; special {
			c.fail(TypeMismatch, "%s can be read by mov alone", name)
		}
		c.fail(InvalidPTX, "%s is not declared", name)
	}
	return s
}

// sink is predicate, or -1 for _, which takes what nobody wants.
func (c *compiler) sink(name string) int32 {
	if name == "_" {
		return -1
	}
	return c.predicate(name)
}

// predicate returns the number of a predicate register.
func (c *compiler) predicate(name string) int32 {
	s := c.find(name)
	if s.kind != symRegister || s.reg.typ != pred {
		c.fail(TypeMismatch, "%s is no predicate", name)
	}
	if s.reg.row < 0 {
		s.reg.row = int32(len(c.fn.predicates))
		c.fn.predicates = append(c.fn.predicates, name)
	}
	return s.reg.row
}

// register makes an operand of a register that fits t.
func (c *compiler) register(a arg, t typ, wider bool) operand {
	c.named(a)
	s := c.find(a.name)
	if s.kind != symRegister {
		c.fail(TypeMismatch, "%s is a %s: register expected", a.name, symbolNames[s.kind])
	}
	if !t.fits(s.reg.typ, wider) {
		c.fail(TypeMismatch, "%s is .%v where .%v is expected", a.name, s.reg.typ, t)
	}
	return c.use(a.name, s)
}

// use gives a register a row when it is first met.
func (c *compiler) use(name string, s symbol) operand {
	if s.reg.row < 0 {
		s.reg.row = c.addRow(rowInit{name: name})
		c.fn.Registers += int(s.reg.typ.bits+31) / 32
	}
	return operand{row: s.reg.row, pred: -1, typ: s.reg.typ}
}

// source makes an operand of a register or of a constant.
func (c *compiler) source(a arg, t typ, wider bool) operand {
	if a.kind == argInt || a.kind == argFloat {
		v := c.p.constant(c.line, a, t)
		return operand{row: c.constant(v), pred: -1, typ: t, constant: true, value: v}
	}
	return c.register(a, t, wider)
}

// vector makes the operand of a load or store: one register, or as many as the
// instruction's vector has, in braces.
func (c *compiler) vector(role string, a arg, t typ, m *mods) operand {
	one := func(a arg) operand {
		if role == "V" {
			return c.register(a, t, true)
		}
		return c.source(a, t, true)
	}
	n := 1
	if v := m.get("VEC"); v != "" {
		n = int(v[1] - '0')
	}
	if (a.kind == argVector) != (n > 1) {
		c.fail(TypeMismatch, "%d registers expected", n)
	}
	o := noOperand
	if n == 1 {
		o.vec = []operand{one(a)}
		return o
	}
	if len(a.parts) != n {
		c.fail(TypeMismatch, "%d registers where the vector has %d", len(a.parts), n)
	}
	for _, part := range a.parts {
		o.vec = append(o.vec, one(part))
	}
	return o
}

// memory makes an address.
func (c *compiler) memory(a arg, m *mods) operand {
	if a.kind != argAddress {
		c.fail(TypeMismatch, "address in brackets expected")
	}
	o := noOperand
	o.addr = address{offset: a.offset, mask: ^uint64(0)}
	space := m.space()
	if a.name == "" {
		if space == spaceParam {
			c.fail(NotEmulated, "parameters are emulated by name alone, not by address")
		}
		return o
	}
	s := c.find(a.name)
	if s.kind == symRegister {
		t := s.reg.typ
		narrow := t.bits == 32 && space != spaceGlobal && space != spaceGeneric
		if t.class == floating || t.bits != 64 && !narrow {
			c.fail(TypeMismatch, "%s is .%v: an address of this space is .b64", a.name, t)
		}
		if space == spaceParam {
			c.fail(NotEmulated, "parameters are emulated by name alone, not by address")
		}
		if narrow {
			o.addr.mask = 0xffffffff
		}
		o.addr.row = c.use(a.name, s).row
		return o
	}
	if want := symbolSpaces[s.kind]; want != space {
		c.fail(TypeMismatch, "%s is a %s: it has no address in this state space", a.name, symbolNames[s.kind])
	}
	vec := uint64(1)
	if v := m.get("VEC"); v != "" {
		vec = uint64(v[1] - '0')
	}
	if n := m.typ.bytes() * vec; s.kind == symParam && (a.offset > s.size || n > s.size-a.offset) {
		c.fail(InvalidPTX, "%d bytes at %s+%d: the parameter has %d", n, a.name, a.offset, s.size)
	}
	o.addr.row = c.constant(s.offset)
	return o
}

// move makes mov and cvta, which alone read special registers and the
// addresses of variables, and pack and unpack vectors.
func (c *compiler) move(in *inst, m *mods, args []arg) {
	d, s := args[0], args[1]
	in.lane = func(a, _, _ uint64) uint64 { return a }
	toGeneric := m.form.lane != nil
	switch {
	case d.kind == argVector || s.kind == argVector:
		c.pack(in, m, d, s)
		return
	case d.not || s.not || d.second != "" || s.second != "":
		c.fail(InvalidPTX, "operand of a predicate instruction")
	case s.kind != argName:
		in.x.ops = []operand{c.register(d, m.typ, false), c.source(s, m.typ, false)}
		return
	}
	dst := c.register(d, m.typ, false)
	if sp, ok := specials[s.name]; ok && !toGeneric {
		if !m.typ.fits(sp.typ, false) {
			c.fail(TypeMismatch, "%s is .%v", s.name, sp.typ)
		}
		if changing[s.name] {
			in.exec, in.x.special = execSpecial, sp.read
			in.x.ops = []operand{dst}
			return
		}
		row, ok := c.specials[s.name]
		if !ok {
			row = c.addRow(rowInit{special: sp.read, set: true})
			c.specials[s.name] = row
		}
		in.x.ops = []operand{dst, {row: row, pred: -1, typ: sp.typ}}
		return
	}
	sym := c.find(s.name)
	switch sym.kind {
	case symRegister:
		in.x.ops = []operand{dst, c.register(s, m.typ, false)}
	case symShared, symConst, symGlobal:
		if m.typ.class == floating || m.typ.bits < 32 || sym.kind == symGlobal && m.typ.bits != 64 {
			c.fail(TypeMismatch, "the address of %s as .%v", s.name, m.typ)
		}
		if want := map[symbolKind]string{symShared: "shared", symGlobal: "global"}[sym.kind]; toGeneric && !m.has(want) {
			c.fail(TypeMismatch, "%s is a %s", s.name, symbolNames[sym.kind])
		}
		in.x.ops = []operand{dst, {row: c.constant(sym.offset), pred: -1, typ: m.typ}}
	default:
		c.fail(NotEmulated, "the address of %s, a %s, is not emulated", s.name, symbolNames[sym.kind])
	}
}

// pack makes the mov between a register and the vector of its parts.
func (c *compiler) pack(in *inst, m *mods, d, s arg) {
	if m.typ.class != bitsClass || d.kind == s.kind {
		c.fail(TypeMismatch, "a mov with a vector has a .b type and one vector")
	}
	parts := d.parts
	if s.kind == argVector {
		parts = s.parts
	}
	if len(parts) != 2 && len(parts) != 4 || int(m.typ.bits)/len(parts) < 16 {
		c.fail(TypeMismatch, "%d parts of a .%v", len(parts), m.typ)
	}
	t := typ{bitsClass, m.typ.bits / uint8(len(parts))}
	vec := noOperand
	for _, part := range parts {
		switch {
		case s.kind == argVector:
			vec.vec = append(vec.vec, c.source(part, t, false))
		case part.kind == argName && part.name == "_":
			vec.vec = append(vec.vec, noOperand)
		default:
			vec.vec = append(vec.vec, c.register(part, t, false))
		}
	}
	if s.kind == argVector {
		in.exec = execPack
		in.x.ops = []operand{c.register(d, m.typ, false), vec}
	} else {
		in.exec = execUnpack
		in.x.ops = []operand{vec, c.source(s, m.typ, false)}
	}
}
