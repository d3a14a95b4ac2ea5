//go:build nvidia && linux && cgo && (amd64 || arm64)

// Forwarders for all functions of cuda.h, and the loading of libcuda.so.1.
//
// Forwarders and tables are hidden: Go links executables so that their symbols
// can be seen by the libraries they load, and a cuMemAlloc of ours would then
// take the place of the driver's own, inside the driver and for every other
// library of the process.

#define _GNU_SOURCE
#include "table.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#define TRIPLET "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define TRIPLET "aarch64-linux-gnu"
#endif

// candidates are the names and paths of the driver, the first that loads is
// taken. The first one goes through the loader's configuration and
// LD_LIBRARY_PATH.
static const char *const candidates[] = {
	"libcuda.so.1",
	"/usr/lib/" TRIPLET "/libcuda.so.1",        // Debian, Ubuntu
	"/usr/lib/" TRIPLET "/nvidia/libcuda.so.1", // Jetson from JetPack 6 on
	"/usr/lib/" TRIPLET "/tegra/libcuda.so.1",  // Jetson before
	"/usr/lib64/libcuda.so.1",                  // Fedora, RHEL
	"/usr/lib/libcuda.so.1",                    // Arch
	"/usr/lib/wsl/lib/libcuda.so.1",            // Windows' WSL 2
	"/usr/local/nvidia/lib64/libcuda.so.1",     // Google's and older Docker containers
	"/run/opengl-driver/lib/libcuda.so.1",      // NixOS
	"/usr/local/cuda/compat/libcuda.so.1",      // NVIDIA's forward compatibility package
	"libcuda.so",                               // last, because a toolkit has a stub of this name
};

static struct errorcell_table functions = {.absent = CUDA_ERROR_NOT_INITIALIZED}; // of the real driver
static const struct errorcell_table *_Atomic loaded;   // the same, once it is filled, or null
static const struct errorcell_table *_Atomic emulated; // null until there are emulated devices
// handles is where the range of emulated handles begins; until there is one, it
// is the end of the address space, where nothing is.
static _Atomic uintptr_t handles = -ERRORCELL_HANDLES;
static struct errorcell_library library;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct errorcell_table *errorcell_real(void) {
	const struct errorcell_table *t = loaded;
	if (!t) {
		errorcell_load();
		t = &functions;
	}
	return t;
}

// current is this thread's stack of contexts as far as emulated ones are in it.
// While it is empty the real driver alone knows the thread's context; an entry
// is an emulated context, or null for one that the real driver keeps.
static _Thread_local struct {
	int depth;
	CUcontext contexts[16];
} current;

CUcontext errorcell_emulated_context(void) {
	return current.depth ? current.contexts[current.depth - 1] : NULL;
}

static int is_emulated(const void *handle) {
	return (uintptr_t)handle - handles < ERRORCELL_HANDLES;
}

// no_context is for a thread that has none where only emulated ones can be had.
static const struct errorcell_table no_context = {.absent = CUDA_ERROR_INVALID_CONTEXT};

static const struct errorcell_table *real_or_none(void) {
	const struct errorcell_table *t = errorcell_real();
	return emulated && !library.loaded ? &no_context : t;
}

static const struct errorcell_table *errorcell_of_thread(void) {
	return errorcell_emulated_context() ? emulated : real_or_none();
}

static const struct errorcell_table *errorcell_of_handle(const void *handle) {
	if (!handle)
		return errorcell_of_thread();
	return is_emulated(handle) ? emulated : errorcell_real();
}

static const struct errorcell_table *errorcell_of_device(CUdevice dev) {
	return dev >= ERRORCELL_EMULATED && emulated ? emulated : errorcell_real();
}

#define FORWARDER __attribute__((visibility("hidden")))
#define FORWARD(owner, function, arguments) \
	const struct errorcell_table *t = owner; \
	return t->function ? t->function arguments : t->absent

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include <errorcell_forwarders.h>

// cuInit is called by the initialization of the package cu, which ends the
// process if it fails. Nothing is loaded yet: the real cuInit is called when
// the driver is first needed.
FORWARDER CUresult cuInit(unsigned int flags) { return CUDA_SUCCESS; }

static void push(CUcontext ctx) {
	if (current.depth || ctx)
		current.contexts[current.depth++] = ctx;
}

static int is_full(void) { return current.depth == sizeof current.contexts / sizeof *current.contexts; }

// A new context is pushed.
FORWARDER CUresult cuCtxCreate(CUcontext *pctx, unsigned int flags, CUdevice dev) {
	const struct errorcell_table *t = errorcell_of_device(dev);
	if (is_full())
		return CUDA_ERROR_INVALID_VALUE;
	CUresult r = t->cuCtxCreate ? t->cuCtxCreate(pctx, flags, dev) : t->absent;
	if (r == CUDA_SUCCESS)
		push(t == emulated ? *pctx : NULL);
	return r;
}

FORWARDER CUresult cuCtxPushCurrent(CUcontext ctx) {
	if (is_full())
		return CUDA_ERROR_INVALID_VALUE;
	const struct errorcell_table *t = is_emulated(ctx) ? emulated : errorcell_real();
	CUresult r = t->cuCtxPushCurrent ? t->cuCtxPushCurrent(ctx) : t->absent;
	if (r == CUDA_SUCCESS)
		push(t == emulated ? ctx : NULL);
	return r;
}

FORWARDER CUresult cuCtxPopCurrent(CUcontext *pctx) {
	CUcontext top = errorcell_emulated_context();
	if (top) {
		current.depth--;
		if (pctx)
			*pctx = top;
		return CUDA_SUCCESS;
	}
	const struct errorcell_table *t = errorcell_real();
	CUresult r = t->cuCtxPopCurrent ? t->cuCtxPopCurrent(pctx) : t->absent;
	if (r == CUDA_SUCCESS && current.depth)
		current.depth--;
	return r;
}

// The top of the stack is replaced, or, where the stack is empty, pushed; a null
// context empties the top.
FORWARDER CUresult cuCtxSetCurrent(CUcontext ctx) {
	int depth = current.depth ? current.depth : 1;
	if (is_emulated(ctx)) {
		CUresult r = emulated->cuCtxSetCurrent ? emulated->cuCtxSetCurrent(ctx) : emulated->absent;
		if (r == CUDA_SUCCESS) {
			current.contexts[depth - 1] = ctx;
			current.depth = depth;
		}
		return r;
	}
	if (!ctx && errorcell_emulated_context()) {
		current.depth--;
		return CUDA_SUCCESS;
	}
	const struct errorcell_table *t = real_or_none();
	if (t == &no_context && !ctx)
		return CUDA_SUCCESS;
	CUresult r = t->cuCtxSetCurrent ? t->cuCtxSetCurrent(ctx) : t->absent;
	if (r == CUDA_SUCCESS && current.depth) {
		if (ctx)
			current.contexts[current.depth - 1] = NULL;
		else
			current.depth--;
	}
	return r;
}

FORWARDER CUresult cuCtxGetCurrent(CUcontext *pctx) {
	CUcontext top = errorcell_emulated_context();
	if (top) {
		*pctx = top;
		return CUDA_SUCCESS;
	}
	const struct errorcell_table *t = real_or_none();
	*pctx = NULL;
	if (t == &no_context)
		return CUDA_SUCCESS;
	return t->cuCtxGetCurrent ? t->cuCtxGetCurrent(pctx) : t->absent;
}

// A context that is destroyed while it is current is popped. An error other than
// that it is none is one of earlier work.
FORWARDER CUresult cuCtxDestroy(CUcontext ctx) {
	const struct errorcell_table *t = errorcell_of_handle(ctx);
	CUresult r = t->cuCtxDestroy ? t->cuCtxDestroy(ctx) : t->absent;
	if (r != CUDA_ERROR_INVALID_CONTEXT && ctx && ctx == errorcell_emulated_context())
		current.depth--;
	return r;
}

// try_open opens one file and notes why that failed.
static void *try_open(struct errorcell_attempt *a, const char *path) {
	a->path = path;
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const char *reason = lib ? "" : dlerror();
	snprintf(library.path, sizeof library.path, "%s", lib ? path : "");
	snprintf(a->reason, sizeof a->reason, "%s", reason ? reason : "unknown error");
	return lib;
}

static void *open_library(void) {
	const char *named = secure_getenv("ERRORCELL_LIBCUDA");
	if (named && *named) {
		library.named = 1;
		return try_open(&library.attempts[0], strdup(named));
	}
	_Static_assert(sizeof candidates / sizeof *candidates <= sizeof library.attempts / sizeof *library.attempts,
		"there are more candidates than attempts");
	for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
		void *lib = try_open(&library.attempts[i], candidates[i]);
		if (lib)
			return lib;
	}
	return NULL;
}

static void load(void) {
	void *lib = open_library();
	if (lib) {
#define SYMBOL(name, symbol, required) *(void **)&functions.name = dlsym(lib, symbol);
		SYMBOLS(SYMBOL)
#undef SYMBOL
		functions.absent = CUDA_ERROR_NOT_SUPPORTED;
		library.loaded = 1;
		Dl_info info;
		if (functions.cuInit && dladdr(*(void **)&functions.cuInit, &info) && info.dli_fname)
			snprintf(library.path, sizeof library.path, "%s", info.dli_fname);
		if (functions.cuDriverGetVersion)
			functions.cuDriverGetVersion(&library.version);
		library.initialized = functions.cuInit ? functions.cuInit(0) : functions.absent;
	}
	loaded = &functions;
}

const struct errorcell_library *errorcell_load(void) {
	pthread_once(&once, load);
	return &library;
}

struct errorcell_symbol errorcell_symbol(int i) {
	static const struct {
		const char *name, *symbol;
		size_t offset;
		int required;
	} list[] = {
#define SYMBOL(name, symbol, required) {#name, symbol, offsetof(struct errorcell_table, name), required},
		SYMBOLS(SYMBOL)
#undef SYMBOL
	};
	struct errorcell_symbol s = {0};
	if (i >= 0 && (size_t)i < sizeof list / sizeof *list) {
		s.name = list[i].name;
		s.symbol = list[i].symbol;
		s.required = list[i].required;
		s.function = *(void **)((char *)&functions + list[i].offset);
	}
	return s;
}

uintptr_t errorcell_emulate(const struct errorcell_table *table) {
	void *range = mmap(NULL, ERRORCELL_HANDLES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (range == MAP_FAILED)
		return 0;
	emulated = table;
	handles = (uintptr_t)range;
	return (uintptr_t)range;
}
