// Package emulated lets the GPU of package emulator stand behind the driver's
// functions: driver.Emulate(emulated.New(gpu)) is a device for gorgonia.org/cu.
package emulated

import (
	"fmt"
	"strconv"
	"strings"

	"errorcell/backend/cuda/driver"
	"errorcell/backend/cuda/emulator"
)

// New makes of an emulated GPU one that driver.Emulate takes. What it says of
// itself, where the emulator does not care, is what a usual GPU says.
func New(gpu *emulator.GPU) driver.GPU {
	sm, _ := strconv.Atoi(strings.Trim(gpu.Config().Arch, "sm_af"))
	optIn, unasked := gpu.SharedLimit()
	return &device{GPU: gpu, attributes: map[int]int{
		1: 1024,                 // threads of a block
		2: 1024, 3: 1024, 4: 64, // along x, y, z
		5: 1<<31 - 1, 6: 65535, 7: 65535, // blocks of a grid
		8:   int(unasked),       // shared memory of a block
		9:   64 << 10,           // constant memory
		10:  32,                 // threads of a warp
		12:  registers,          // of a block
		13:  1_000_000,          // kHz of the cores
		16:  gpu.Config().SMs,   // multiprocessors
		19:  1,                  // host memory can be mapped
		36:  1_000_000,          // kHz of the memory
		37:  256,                // bits of its bus
		38:  4 << 20,            // bytes of the L2 cache
		39:  threads,            // of a multiprocessor
		41:  1,                  // unified addressing
		75:  sm / 10,            // compute capability
		76:  sm % 10,            //
		81:  int(optIn) + 1<<10, // shared memory of a multiprocessor
		82:  registers,          // of a multiprocessor
		83:  1,                  // managed memory
		89:  1,                  // which the host may touch while kernels run
		97:  int(optIn),         // shared memory of a block that asks for more
		106: blocks,             // of a multiprocessor
		111: 1 << 10,            // shared memory of each block that the system takes
		115: 1,                  // stream-ordered memory
	}}
}

// What a multiprocessor holds.
const (
	registers = 64 << 10
	threads   = 2048
	blocks    = 32
)

type device struct {
	*emulator.GPU
	attributes map[int]int // by CUdevice_attribute
}

func (g *device) Name() string {
	return fmt.Sprintf("errorcell emulated GPU (%s)", g.Config().Arch)
}

func (g *device) Attribute(attribute int) int { return g.attributes[attribute] }
func (g *device) Code(err error) int          { return emulator.Code(err) }

func (g *device) Load(ptx string) (driver.Module, error) {
	m, err := g.GPU.Load(ptx)
	if err != nil {
		return nil, err
	}
	return module{m, g}, nil
}

type module struct {
	*emulator.Module
	gpu *device
}

func (m module) Function(name string) (driver.Function, error) {
	f, err := m.Module.Function(name)
	if err != nil {
		return nil, err
	}
	return &function{f, m.gpu, m.gpu.attributes[8] - int(f.SharedBytes())}, nil
}

type function struct {
	*emulator.Function
	gpu        *device
	maxDynamic int
}

func (f *function) Params() []int {
	sizes := make([]int, len(f.Function.Params))
	for i, p := range f.Function.Params {
		sizes[i] = int(p.Size)
	}
	return sizes
}

const maxDynamic = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES

// Attribute is by CUfunction_attribute.
func (f *function) Attribute(attribute int) int {
	switch attribute {
	case 0: // threads of a block
		return f.MaxThreads
	case 1: // shared memory
		return int(f.SharedBytes())
	case 2: // constant memory
		return int(f.ConstBytes())
	case 4: // registers of a thread; the text has more than the machine would
		return min(f.Registers, 255)
	case 5: // PTX version
		return f.Version()
	case 6: // binary version
		return f.Target()
	case maxDynamic:
		return f.maxDynamic
	}
	return 0
}

func (f *function) SetAttribute(attribute, value int) error {
	switch attribute {
	case maxDynamic:
		if err := f.SetMaxDynamicShared(uint32(value)); err != nil {
			return err
		}
		f.maxDynamic = value
		return nil
	case 9: // the share of the L1 cache that is shared memory: a hint
		return nil
	}
	return fmt.Errorf("attribute %d: %w", attribute, emulator.ErrInvalid)
}

func (f *function) MaxActiveBlocks(threadsPerBlock, shared int) int {
	return min(blocks, threads/threadsPerBlock, f.gpu.attributes[81]/(int(f.SharedBytes())+shared+f.gpu.attributes[111]))
}

func (f *function) Launch(grid, block [3]uint32, shared uint32, params [][]byte) error {
	return f.gpu.Launch(f.Function, grid, block, shared, params)
}
