// The driver's functions as errorcell calls them: each cu... function of cuda.h
// is defined in table.c and calls through a table of pointers, that of the real
// driver or that of the emulated one. See the package comment in table.go.

#pragma once

#if !__has_include(<errorcell_table.h>)
#error errorcell: the CUDA headers are not set up; run: eval "$(go run errorcell/cmd/cudaenv)" and build again
#else
#include <errorcell_table.h>
#if ERRORCELL_FORMAT != 1
#error errorcell: the CUDA headers are those of another version of errorcell; run: eval "$(go run errorcell/cmd/cudaenv)" and build again
#endif

#pragma GCC visibility push(hidden)

// errorcell_attempt is a file that was tried, and why it could not be loaded.
struct errorcell_attempt {
	const char *path;
	char reason[512]; // empty: it was loaded
};

// errorcell_library is what came of loading the real driver.
struct errorcell_library {
	struct errorcell_attempt attempts[16]; // the last one with a path is the last one made
	int named;                             // by ERRORCELL_LIBCUDA, so nothing else was tried
	int loaded;
	char path[4096];      // of the file, as far as the loader tells
	int version;          // as cuDriverGetVersion gives it: 12040 is 12.4; 0 if it gave none
	CUresult initialized; // what cuInit returned
};

// errorcell_load loads the real driver, the first time, and says what came of it.
const struct errorcell_library *errorcell_load(void);

// errorcell_symbol is the i-th function: its name, the library's symbol, its
// pointer in the real driver once that is loaded, and whether errorcell needs
// it. The name is null behind the last one.
struct errorcell_symbol {
	const char *name, *symbol;
	const void *function;
	int required;
};
struct errorcell_symbol errorcell_symbol(int i);

// Emulated devices have numbers from ERRORCELL_EMULATED on, and emulated
// handles are addresses of a range of ERRORCELL_HANDLES bytes that nothing else
// is in: so every device and handle tells whose it is.
#define ERRORCELL_EMULATED 0x10000
#define ERRORCELL_HANDLES ((uintptr_t)1 << 28)

// errorcell_emulate sets the functions for emulated devices and reserves the
// range of their handles; it is called once. It returns the range's begin, or 0
// where there is no room for it.
uintptr_t errorcell_emulate(const struct errorcell_table *functions);

// errorcell_emulated_context is the emulated context that is current in this
// thread, or null.
CUcontext errorcell_emulated_context(void);

#pragma GCC visibility pop
#endif
