//go:build nvidia && linux && cgo && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"

	"gorgonia.org/cu"

	"errorcell/backend"
	"errorcell/backend/cuda/driver"
	"errorcell/backend/cuda/driver/emulated"
	"errorcell/backend/cuda/emulator"
)

// emulation is an emulated GPU that is a device of the driver's.
type emulation struct {
	gpu *emulator.GPU
	dev cu.Device
}

// openEmulated makes an emulated GPU for this device alone.
func openEmulated(s settings) (backend.Device, error) {
	gpu, err := emulator.New(s.emulator())
	if err != nil { // the architecture is all that it is told
		return nil, fmt.Errorf("%w %q: %w", backend.ErrUnknownOption, "arch="+s.arch, err)
	}
	return plugIn(s, gpu)
}

// plugIn opens a device on an emulated GPU.
func plugIn(s settings, gpu *emulator.GPU) (backend.Device, error) {
	dev, err := driver.Emulate(emulated.New(gpu))
	if err != nil {
		return nil, unavailable(err)
	}
	d, err := newDevice(s.name(), dev, s.limit, &emulation{gpu, dev})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// fault is what lost the device, if it is lost.
func (e *emulation) fault() error {
	err := e.gpu.Err()
	if lost, ok := errors.AsType[*emulator.LostError](err); ok {
		return lost.Cause
	}
	return err
}

// close unplugs the GPU. Memory that was not freed is a fault of this package.
func (e *emulation) close() error {
	leaks := e.gpu.Leaks()
	lost := e.gpu.Err() != nil
	if err := driver.Unplug(e.dev); err != nil {
		return err
	}
	if len(leaks) > 0 && !lost {
		return fmt.Errorf("%d pieces of device memory were not freed, the first of %d bytes", len(leaks), leaks[0].Bytes)
	}
	return nil
}

func emulatedInfo() backend.Info {
	gpu, err := emulator.New(emulator.Config{})
	if err != nil {
		return backend.Info{}
	}
	return backend.Info{Model: emulated.New(gpu).Name(), ISA: gpu.Config().Arch, Memory: gpu.Config().Memory,
		Note: "executes the kernels in software and checks them; only by name"}
}
