// Copies between the host and the GPU.

//go:build nvidia && linux && cgo && (amd64 || arm64)

package gpu

import (
	"testing"
	"unsafe"

	"gorgonia.org/cu"

	"errorcell/backend/cuda/driver"
	"errorcell/kernels"
)

// largest is the number of elements above which copies only take longer.
const largest = 64 << 20

// BenchmarkTransfer copies n float32 to or from the GPU and waits: the driver
// from pageable and from pinned memory, and a Buffer, whose own pageable memory
// goes through pinned memory in pieces.
func BenchmarkTransfer(b *testing.B) {
	for _, dir := range []string{"to", "from"} {
		to := dir == "to"
		for _, memory := range []struct {
			name string
			run  func(b *testing.B, n int, to bool)
		}{{"pageable", pageable}, {"pinned", pinned}, {"buffer", buffer}} {
			b.Run("dir="+dir+"/memory="+memory.name, func(b *testing.B) {
				eachSize(b, func(b *testing.B, n int) {
					if n > largest {
						b.Skipf("copies of more than %d elements only take longer", largest)
					}
					memory.run(b, n, to)
				})
			})
		}
	}
}

func pageable(b *testing.B, n int, to bool) {
	driverCopies(b, openDriver(b), make([]byte, 4*n), func(device cu.DevicePtr, host unsafe.Pointer, n int64) error {
		if to {
			return cu.MemcpyHtoD(device, host, n)
		}
		return cu.MemcpyDtoH(host, device, n)
	})
}

func pinned(b *testing.B, n int, to bool) {
	stream := openDriver(b)
	host, err := driver.HostAlloc(4 * n)
	must(b, err)
	defer driver.HostFree(host)
	driverCopies(b, stream, host, func(device cu.DevicePtr, host unsafe.Pointer, n int64) error {
		if to {
			return cu.MemcpyHtoDAsync(device, host, n, stream)
		}
		return cu.MemcpyDtoHAsync(host, device, n, stream)
	})
}

// driverCopies times copies of the host's memory with a wait after each.
func driverCopies(b *testing.B, stream cu.Stream, host []byte, start func(cu.DevicePtr, unsafe.Pointer, int64) error) {
	touch(host)
	bytes := int64(len(host))
	device := deviceMemory(b, bytes, stream)
	timeCopies(b, bytes, func() error {
		if err := start(device, unsafe.Pointer(unsafe.SliceData(host)), bytes); err != nil {
			return err
		}
		return stream.Synchronize()
	})
}

// touch writes to memory, so that the system has made its pages.
func touch(host []byte) {
	for i := range host {
		host[i] = 1
	}
}

func buffer(b *testing.B, n int, to bool) {
	dev := open(b)
	buf, err := dev.NewBuffer(kernels.F32, n)
	must(b, err)
	defer buf.Close()
	host := make([]byte, 4*n)
	touch(host)
	move := buf.ReadAt
	if to {
		move = buf.WriteAt
	}
	timeCopies(b, int64(len(host)), func() error {
		if _, err := move(host, 0); err != nil {
			return err
		}
		return dev.Sync()
	})
}

func timeCopies(b *testing.B, bytes int64, once func() error) {
	must(b, once())
	b.ResetTimer()
	for range b.N {
		if err := once(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	perStep(b, b.N, bytes)
}
