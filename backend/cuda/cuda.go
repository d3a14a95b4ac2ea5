// Package cuda runs kernels on NVIDIA GPUs, through gorgonia.org/cu. Import it
// for its side effect: it registers the devices
//
//	cuda, cuda:0, cuda:1   the GPUs, as the driver numbers them
//	cuda:emulated          a GPU in software, which checks what it executes
//
// with the option memory=SIZE (such as memory=8GiB), the most that buffers may
// take, and for the emulated one arch=sm_NN (such as arch=sm_70).
//
// A plan becomes one fused PTX kernel for each pass (package kernels/ptx), which
// the driver compiles once for the GPU at hand. Everything a device does is in
// the order of one stream, so calls return before their work is done, and only
// reading waits.
//
// The package needs the build tag nvidia, cgo, and Linux on x86-64 or arm64; see
// docs/cuda.md. Without them it registers a driver that says so.
package cuda

import "errorcell/backend"

func init() {
	backend.Register(backend.Driver{Name: "cuda", Rank: 10, Open: open, List: list})
}
