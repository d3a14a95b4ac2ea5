//go:build nvidia && linux && cgo && (amd64 || arm64)

package driver

// #include "calls.h"
import "C"

import "gorgonia.org/cu"

// BeginCapture makes a stream record what it is given from now on into a graph,
// and not do it. Until [EndCapture], this thread must make no call that could
// wait for work or allocate.
func BeginCapture(s cu.Stream) error {
	return result(C.cuStreamBeginCapture(recast[C.CUstream](s), C.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
}

// EndCapture ends the recording and gives what was recorded.
func EndCapture(s cu.Stream) (cu.Graph, error) {
	v := C.errorcell_end_capture(recast[C.CUstream](s))
	return recast[cu.Graph](v.value), result(v.status)
}

// IsCapturing says whether a stream records. Where a recording has failed, it
// does until EndCapture, which gives the error.
func IsCapturing(s cu.Stream) (bool, error) {
	v := C.errorcell_is_capturing(recast[C.CUstream](s))
	return v.value != C.CU_STREAM_CAPTURE_STATUS_NONE, result(v.status)
}

// Instantiate makes a graph ready to be launched; the graph is needed no more
// then, nor are changes to it seen. cu.ExecGraph.Destroy releases the result.
func Instantiate(g cu.Graph) (cu.ExecGraph, error) {
	v := C.errorcell_instantiate(recast[C.CUgraph](g))
	return recast[cu.ExecGraph](v.value), result(v.status)
}

// LaunchGraph does, on a stream, all that was recorded.
func LaunchGraph(g cu.ExecGraph, s cu.Stream) error {
	return result(C.cuGraphLaunch(recast[C.CUgraphExec](g), recast[C.CUstream](s)))
}

// UploadGraph moves a graph to the device, so that its first launch need not. A
// driver before CUDA 11.1 cannot: then nothing is done.
func UploadGraph(g cu.ExecGraph, s cu.Stream) error {
	r := C.cuGraphUpload(recast[C.CUgraphExec](g), recast[C.CUstream](s))
	if r == C.CUDA_ERROR_NOT_SUPPORTED {
		return nil
	}
	return result(r)
}
