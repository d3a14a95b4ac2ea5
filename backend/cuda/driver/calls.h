// C helpers of the Go files here. Results come back by value: a pointer to a Go
// variable would put the variable on the heap, an allocation a call.

#pragma once
#include "table.h"
#include <string.h>

struct errorcell_value {
	CUresult status;
	uintptr_t value;
};

static inline struct errorcell_value errorcell_host_alloc(size_t size, unsigned flags) {
	void *p = NULL;
	CUresult r = cuMemHostAlloc(&p, size, flags);
	return (struct errorcell_value){r, (uintptr_t)p};
}

static inline struct errorcell_value errorcell_alloc_async(size_t size, CUstream stream) {
	CUdeviceptr p = 0;
	CUresult r = cuMemAllocAsync(&p, size, stream);
	return (struct errorcell_value){r, (uintptr_t)p};
}

static inline CUresult errorcell_pool_keep(CUdevice dev, uint64_t bytes) {
	enum { RELEASE_THRESHOLD = 4 }; // CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
	errorcell_memory_pool pool;
	CUresult r = cuDeviceGetDefaultMemPool(&pool, dev);
	return r ? r : cuMemPoolSetAttribute(pool, RELEASE_THRESHOLD, &bytes);
}

static inline CUresult errorcell_pool_trim(CUdevice dev, size_t keep) {
	errorcell_memory_pool pool;
	CUresult r = cuDeviceGetDefaultMemPool(&pool, dev);
	return r ? r : cuMemPoolTrimTo(pool, keep);
}

static inline struct errorcell_value errorcell_end_capture(CUstream stream) {
	CUgraph graph = NULL;
	CUresult r = cuStreamEndCapture(stream, &graph);
	return (struct errorcell_value){r, (uintptr_t)graph};
}

static inline struct errorcell_value errorcell_is_capturing(CUstream stream) {
	CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
	CUresult r = cuStreamIsCapturing(stream, &status);
	return (struct errorcell_value){r, status};
}

static inline struct errorcell_value errorcell_instantiate(CUgraph graph) {
	CUgraphExec exec = NULL;
	CUresult r = cuGraphInstantiate(&exec, graph, NULL, NULL, 0);
	return (struct errorcell_value){r, (uintptr_t)exec};
}

// errorcell_launch is a launch that is ready to be made.
struct errorcell_launch {
	CUfunction function;
	unsigned grid[3], block[3], shared;
	CUstream stream;
	void **params; // each points to its cell, behind the pointers
};

static inline CUresult errorcell_launch(const struct errorcell_launch *l) {
	return cuLaunchKernel(l->function, l->grid[0], l->grid[1], l->grid[2],
		l->block[0], l->block[1], l->block[2], l->shared, l->stream, l->params, NULL);
}

static inline struct errorcell_value errorcell_load_module(const char *image, char *info, size_t info_size, char *error, size_t error_size) {
	CUmodule module = NULL;
	CUjit_option options[] = {
		CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
		CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
		CU_JIT_LOG_VERBOSE,
	};
	void *values[] = {info, (void *)info_size, error, (void *)error_size, (void *)1};
	CUresult r = cuModuleLoadDataEx(&module, image, sizeof options / sizeof *options, options, values);
	return (struct errorcell_value){r, (uintptr_t)module};
}
