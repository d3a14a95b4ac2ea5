// A stand-in for libcuda.so.1: two devices, and no more memory than a counter.
// stubs.h, which the test writes, makes a function of every symbol that a driver
// of CUDA 13 has for cu's header, under each of its versions. One that is called
// writes its name on standard error where LIBCUDA_LOG is set. The other
// LIBCUDA_... are macros that the test sets.

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef LIBCUDA_VERSION
#define LIBCUDA_VERSION 12040
#endif
#ifndef LIBCUDA_INIT
#define LIBCUDA_INIT 0
#endif

static void called(const char *name) {
	if (getenv("LIBCUDA_LOG"))
		fprintf(stderr, "called %s\n", name);
}

#define STUB(name) \
	int name(void *a) { \
		called(#name); \
		return 0; \
	}
#include "stubs.h"

static int initialized;

int cuInit(unsigned flags) {
	initialized = LIBCUDA_INIT == 0;
	return LIBCUDA_INIT;
}

int cuDriverGetVersion(int *v) {
	*v = LIBCUDA_VERSION;
	return 0;
}

int cuDeviceGetCount(int *n) {
	if (!initialized)
		return 3;
	*n = 2;
	return 0;
}

int cuDeviceGet(int *dev, int i) {
	*dev = i;
	return i < 2 ? 0 : 101;
}

int cuDeviceGetName(char *name, int len, int dev) {
	snprintf(name, len, "Stand-in %d", dev);
	return 0;
}

int cuGetErrorName(int code, const char **s) {
	*s = code == 100 ? "CUDA_ERROR_NO_DEVICE" : NULL;
	return *s ? 0 : 1;
}

int cuGetErrorString(int code, const char **s) {
	*s = code == 100 ? "no CUDA-capable device is detected" : NULL;
	return *s ? 0 : 1;
}

int cuMemHostAlloc(void **p, size_t n, unsigned flags) {
	called("cuMemHostAlloc");
	*p = malloc(n);
	return 0;
}

// What the kernel would get: the cells that the parameters point to, counted by
// their sum.
unsigned long long launched;

int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
	unsigned shared, void *stream, void **params, void **extra) {
	launched += *(unsigned long long *)params[0] + gx + bx;
	return 0;
}

int cuModuleLoadDataEx(void **module, const char *image, unsigned n, int *options, void **values) {
	char *info = 0, *error = 0;
	for (unsigned i = 0; i < n; i++) {
		if (options[i] == 3)
			info = values[i];
		if (options[i] == 5)
			error = values[i];
	}
	if (strcmp(image, "good") == 0) {
		strcpy(info, "ptxas info: 8 registers");
		*module = (void *)0x1000;
		return 0;
	}
	strcpy(error, "ptxas error: line 1\n");
	return 218;
}
