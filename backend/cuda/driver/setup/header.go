package setup

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// firstLine is where the CUDA part of cu's preprocessed header begins; before
// it stands the C library of the machine that preprocessed it.
const firstLine = "typedef uint32_t cuuint32_t;\n"

// prologue stands for what the preprocessor took away: the C library and two
// macros that cu uses.
const prologue = `#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#define CU_TRSF_READ_AS_INTEGER 0x01
#define CU_TRSF_NORMALIZED_COORDINATES 0x02
`

// cudaHeader makes cuda.h from the text of cu's cmd/genlib/cuda.h.
func cudaHeader(text []byte) ([]byte, error) {
	_, rest, found := bytes.Cut(text, []byte("\n"+firstLine))
	if !found {
		return nil, fmt.Errorf("it has no line %q, where its CUDA part begins in cu v0.9.6", strings.TrimSpace(firstLine))
	}
	return slices.Concat([]byte(prologue+firstLine), rest), nil
}

// prototype is the declaration of a function that returns a CUresult.
type prototype struct {
	name   string
	params []param
}

// param is an argument: "const char *" and "name".
type param struct{ ctype, name string }

var (
	beginRE     = regexp.MustCompile(`CUresult\s+cu`)
	prototypeRE = regexp.MustCompile(`CUresult\s+(cu[A-Z]\w*)\s*\(([^()]*)\)\s*;`)
	paramRE     = regexp.MustCompile(`^(.*[\s*])(\w+)$`)
)

// prototypes reads the functions that a header declares.
func prototypes(header []byte) ([]prototype, error) {
	var list []prototype
	for _, m := range prototypeRE.FindAllSubmatch(header, -1) {
		p := prototype{name: string(m[1])}
		for part := range strings.SplitSeq(string(m[2]), ",") {
			part = strings.Join(strings.Fields(part), " ")
			if part == "void" {
				continue
			}
			arg := paramRE.FindStringSubmatch(part)
			if arg == nil {
				return nil, fmt.Errorf("%s: the argument %q has no name", p.name, part)
			}
			p.params = append(p.params, param{strings.TrimSpace(arg[1]), arg[2]})
		}
		list = append(list, p)
	}
	if n := len(beginRE.FindAllIndex(header, -1)); n != len(list) {
		return nil, fmt.Errorf("it declares %d functions, of which %d could be read", n, len(list))
	}
	return list, nil
}

func (p prototype) declaration() string {
	args := make([]string, len(p.params))
	for i, a := range p.params {
		args[i] = a.ctype + " " + a.name
	}
	return strings.Join(args, ", ")
}

func (p prototype) arguments() string {
	args := make([]string, len(p.params))
	for i, a := range p.params {
		args[i] = a.name
	}
	return strings.Join(args, ", ")
}
