package main

import (
	"fmt"
	"strconv"
	"strings"
)

// oneLine makes one line of a text, whatever it holds, that a terminal shows as
// it is.
func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	var line strings.Builder
	for _, r := range strings.Join(lines, "; ") {
		if strconv.IsPrint(r) {
			line.WriteRune(r)
		} else {
			line.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return line.String()
}

// Of names that a file gives, which may be anything, this much is shown.
const (
	maxListed = 10 // names
	maxName   = 60 // bytes of each
)

// showNames lists names that a file gives.
func showNames(names []string) string {
	var shown []string
	for _, name := range names[:min(len(names), maxListed)] {
		if len(name) > maxName {
			name = strings.ToValidUTF8(name[:maxName], "") + "…"
		}
		shown = append(shown, strconv.Quote(name))
	}
	list := strings.Join(shown, ", ")
	if more := len(names) - len(shown); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
