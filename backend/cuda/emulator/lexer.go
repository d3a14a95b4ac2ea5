package emulator

// PTX text to tokens.

import "strings"

type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokWord             // name, register, directive, or opcode with all its modifiers
	tokNumber           // integer or float, unparsed
	tokString           // "text", quotes taken off
	tokPunct            // one character
)

type token struct {
	kind tokenKind
	text string
	line int
}

type lexer struct {
	text string
	pos  int
	line int
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// next returns the next token, or what is wrong in words.
func (l *lexer) next() (t token, wrong string) {
	if wrong = l.skipBlank(); wrong != "" || l.pos >= len(l.text) {
		return token{tokEnd, "end of text", l.line}, wrong
	}
	start, c := l.pos, l.text[l.pos]
	l.pos++
	kind := tokPunct
	switch {
	case isLetter(c) || c == '.' || c == '%' && isLetter(l.peek()):
		kind = tokWord
		l.skipWord()
	case isDigit(c):
		kind = tokNumber
		l.skipNumber(start)
	case c == '"':
		n := strings.IndexAny(l.text[l.pos:], "\"\n")
		if n < 0 || l.text[l.pos+n] == '\n' {
			return token{tokEnd, "", l.line}, "string without an end"
		}
		l.pos += n + 1
		return token{tokString, l.text[start+1 : l.pos-1], l.line}, ""
	case !strings.ContainsRune("@!{}[](),;:|+-*/<>=&~^?", rune(c)):
		return token{tokEnd, "", l.line}, "stray character " + quote(c)
	}
	return token{kind, l.text[start:l.pos], l.line}, ""
}

func quote(c byte) string {
	if c < ' ' || c > '~' {
		const hex = "0123456789abcdef"
		return "0x" + string(hex[c>>4]) + string(hex[c&15])
	}
	return "'" + string(c) + "'"
}

func (l *lexer) peek() byte {
	if l.pos < len(l.text) {
		return l.text[l.pos]
	}
	return 0
}

// skipBlank passes over white space and comments.
func (l *lexer) skipBlank() (wrong string) {
	for l.pos < len(l.text) {
		rest := l.text[l.pos:]
		switch {
		case rest[0] == '\n':
			l.line++
			l.pos++
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r':
			l.pos++
		case strings.HasPrefix(rest, "//"):
			if n := strings.IndexByte(rest, '\n'); n >= 0 {
				l.pos += n
			} else {
				l.pos = len(l.text)
			}
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				return "comment without an end"
			}
			l.line += strings.Count(rest[:n+4], "\n")
			l.pos += n + 4
		default:
			return ""
		}
	}
	return ""
}

// skipWord passes over the rest of a word. A double colon belongs to it, as in
// L1::no_allocate; a single one ends a label.
func (l *lexer) skipWord() {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case isLetter(c) || isDigit(c) || c == '.':
			l.pos++
		case strings.HasPrefix(l.text[l.pos:], "::"):
			l.pos += 2
		default:
			return
		}
	}
}

// skipNumber passes over the rest of a number; the sign of a decimal exponent
// belongs to it.
func (l *lexer) skipNumber(start int) {
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		prefixed := l.pos > start+1 && l.text[start] == '0' && isLetter(l.text[start+1])
		exponent := (c == '+' || c == '-') && l.text[l.pos-1]|0x20 == 'e' && !prefixed
		if !isLetter(c) && !isDigit(c) && c != '.' && !exponent {
			return
		}
		l.pos++
	}
}
