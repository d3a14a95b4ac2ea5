package emulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A program is a random kernel: structured, with branches and loops that
// threads take and leave as their own numbers say, its basic blocks in any
// order in the text.
type program struct {
	rng    *rand.Rand
	blocks []string // each with its label and the branch that ends it
	labels int
	masks  []string // registers
}

func (p *program) label() string {
	p.labels++
	return fmt.Sprintf("L%d", p.labels)
}

// mix is instructions that change the thread's number h.
func (p *program) mix() string {
	return fmt.Sprintf("mad.lo.u32 h, h, %d, %d; shr.u32 w, h, 13; xor.b32 h, h, w;", p.rng.Uint32()|1, p.rng.Uint32()>>1)
}

// test is instructions that make q true with probability of about 1/n.
func (p *program) test(n int) string {
	return fmt.Sprintf("%s shr.u32 w, h, 8; rem.u32 w, w, %d; setp.eq.u32 q, w, 0;", p.mix(), n)
}

func (p *program) add(label, body string) { p.blocks = append(p.blocks, label+": "+body) }

// statement makes the blocks from one label to another; exit is the label
// behind the innermost loop, if there is one.
func (p *program) statement(from, to, exit string, depth int) {
	a, b, c := p.label(), p.label(), p.label()
	kind := p.rng.IntN(6)
	if depth == 0 {
		kind = 0
	}
	if kind == 1 || kind == 2 { // the threads that part here must meet again
		mask, join := p.label(), p.label()
		p.masks = append(p.masks, mask)
		inner := p.label()
		p.add(from, "activemask.b32 "+mask+"; bra "+inner+";")
		p.add(join, "activemask.b32 w; setp.ne.u32 q, w, "+mask+"; @q trap; bra "+to+";")
		from, to, exit = inner, join, ""
	}
	switch kind {
	case 0: // arithmetic
		p.add(from, p.mix()+" bra "+to+";")
	case 1: // if
		p.add(from, p.test(3)+" @q bra "+to+"; bra "+a+";")
		p.statement(a, to, exit, depth-1)
	case 2: // if, else
		p.add(from, p.test(2)+" @q bra "+a+"; bra "+b+";")
		p.statement(a, to, exit, depth-1)
		p.statement(b, to, exit, depth-1)
	case 3: // loop, tested at its end
		p.add(from, p.mix()+" bra "+a+";")
		p.statement(a, b, to, depth-1)
		p.add(b, p.test(3)+" @!q bra "+a+"; bra "+to+";")
	case 4: // loop, tested at its begin
		p.add(from, p.test(4)+" @q bra "+to+"; bra "+a+";")
		p.statement(a, from, to, depth-1)
	case 5: // two in a row, perhaps leaving the loop between
		p.statement(from, a, exit, depth-1)
		if exit != "" {
			p.add(a, p.test(5)+" @q bra "+exit+"; bra "+c+";")
			a = c
		}
		p.statement(a, to, exit, depth-1)
	}
}

// text is the kernel. Between its statements stands barrier.
func (p *program) text(barrier string) string {
	at := "START"
	for range 4 {
		next := p.label()
		p.statement(at, next, "", 4)
		at = p.label()
		p.add(next, barrier+" bra "+at+";")
	}
	p.add(at, "st.global.u32 [out], h; ret;")
	p.rng.Shuffle(len(p.blocks), func(i, j int) { p.blocks[i], p.blocks[j] = p.blocks[j], p.blocks[i] })
	return head + `.visible .entry k(.param .u64 p)
{
	.reg .pred q; .reg .b32 ` + strings.Join(append(p.masks, "h, w, n"), ", ") + `; .reg .b64 out;
	ld.param.u64 out, [p]; mov.u32 h, %ctaid.x; mov.u32 n, %ntid.x; mov.u32 w, %tid.x; mad.lo.u32 h, h, n, w;
	mad.wide.u32 out, h, 4, out;
	bra START;
` + strings.Join(p.blocks, "\n") + "\n}\n"
}

// TestDivergence: threads that part and meet compute what each computes alone,
// and meet where the program's structure says, for there stand barriers that
// all threads of a warp must reach together.
func TestDivergence(t *testing.T) {
	programs := 200
	if testing.Short() {
		programs = 20
	}
	for seed := range uint64(programs) {
		var results [][]uint32
		for _, shape := range []struct {
			grid, block uint32
			barrier     string
		}{{96, 1, ""}, {1, 96, ""}, {1, 96, "bar.sync 0;"}} {
			p := &program{rng: newRand(seed, 7)}
			text := p.text(shape.barrier)
			g, err := New(Config{Seed: seed + 1, StepLimit: 1 << 20})
			must(t, err)
			m, err := g.Load(text)
			must(t, err)
			f, err := m.Function("k")
			must(t, err)
			r := &rig{t, g, f}
			out := r.out(4 * 96)
			if err := g.Launch(f, [3]uint32{shape.grid, 1, 1}, [3]uint32{shape.block, 1, 1}, 0, [][]byte{on(out)}); err != nil {
				t.Fatalf("seed %d: %v in\n%s", seed, err, text)
			}
			results = append(results, read[uint32](r, out, 96))
		}
		if !slices.Equal(results[0], results[1]) || !slices.Equal(results[0], results[2]) {
			t.Fatalf("seed %d: %v, %v with others, %v with barriers", seed, results[0], results[1], results[2])
		}
	}
}
