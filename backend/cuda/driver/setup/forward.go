package setup

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Format numbers what the two generated headers offer; table.h asks for its
// own, so that an older folder, which go env -w may still name, is found out.
const Format = 1

// handles are the types that belong to one driver, in the order in which they
// decide whose function is called. A stream comes last because it may be null.
var handles = []string{"CUcontext", "CUmodule", "CUfunction", "CUevent", "CUgraphExec", "CUgraph", "CUgraphNode", "errorcell_memory_pool", "CUstream"}

// owner is the C expression for the table that a call goes to: that of the
// device or of a handle among its arguments, else that of the thread's context.
func (p prototype) owner() string {
	if slices.Contains(machine, p.name) {
		return "errorcell_real()"
	}
	for _, a := range p.params {
		if a.ctype == "CUdevice" {
			return "errorcell_of_device(" + a.name + ")"
		}
	}
	for _, ctype := range handles {
		for _, a := range p.params {
			if a.ctype == ctype {
				return "errorcell_of_handle(" + a.name + ")"
			}
		}
	}
	return "errorcell_of_thread()"
}

func (p prototype) symbol() string { return cmp.Or(versions[p.name], p.name) }

// tableHeader declares the table of functions, and what cuda.h lacks.
func tableHeader(list []prototype) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Made by errorcell/backend/cuda/driver/setup: the driver's functions as a table.\n")
	fmt.Fprintf(&b, "#pragma once\n#define ERRORCELL_FORMAT %d\n#include <cuda.h>\n%s\n", Format, later)
	fmt.Fprintf(&b, "struct errorcell_table {\n\tCUresult absent; // what a call of a null entry returns\n")
	for _, p := range list {
		fmt.Fprintf(&b, "\tCUresult (*%s)(%s);\n", p.name, cmp.Or(p.declaration(), "void"))
	}
	fmt.Fprintf(&b, "};\n")
	return b.Bytes()
}

// forwarders defines the functions, and the symbols that fill the table.
func forwarders(list []prototype) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Made by errorcell/backend/cuda/driver/setup, for table.c: functions that call\n// through the table, and the library's symbols that fill it.\n")
	for _, p := range list {
		if slices.Contains(own, p.name) {
			continue
		}
		fmt.Fprintf(&b, "FORWARDER CUresult %s(%s) { FORWARD(%s, %s, (%s)); }\n",
			p.name, cmp.Or(p.declaration(), "void"), p.owner(), p.name, p.arguments())
	}
	fmt.Fprintf(&b, "#define SYMBOLS(SYMBOL)")
	for _, p := range list {
		required := 0
		if slices.Contains(Required, p.name) {
			required = 1
		}
		fmt.Fprintf(&b, " \\\n\tSYMBOL(%s, %q, %d)", p.name, p.symbol(), required)
	}
	fmt.Fprintf(&b, "\n")
	return b.Bytes()
}
