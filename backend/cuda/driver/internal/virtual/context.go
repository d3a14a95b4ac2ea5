package virtual

import (
	"slices"
	"sync"
)

// Device is a GPU with its contexts.
type Device struct {
	gpu GPU

	mu       sync.Mutex // guards all below and all that hangs on it, and the GPU's calls
	issued   uint64     // work given so far, which orders it across streams
	contexts map[*Context]bool

	primary      *Context
	primaryUsers int
	primaryFlags uint
}

// NewDevice makes a device of a GPU that nobody else uses.
func NewDevice(gpu GPU) *Device {
	return &Device{gpu: gpu, contexts: map[*Context]bool{}}
}

func (d *Device) Name() string                { return d.gpu.Name() }
func (d *Device) Attribute(attribute int) int { return d.gpu.Attribute(attribute) }

// MemInfo has the bytes that are free and those that there are.
func (d *Device) MemInfo() (free, total uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gpu.MemInfo()
}

// code is the status of a call of the GPU.
func (d *Device) code(err error) Status {
	if err == nil {
		return Success
	}
	return Status(d.gpu.Code(err))
}

// NewContext makes a context.
func (d *Device) NewContext(flags uint) (*Context, Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.code(d.gpu.Err()); s != Success {
		return nil, s
	}
	return d.newContext(flags), Success
}

func (d *Device) newContext(flags uint) *Context {
	c := &Context{Flags: flags, dev: d, memory: map[uint64]bool{}}
	c.null = &Stream{ctx: c, isNull: true}
	c.streams = []*Stream{c.null}
	d.contexts[c] = true
	return c
}

// RetainPrimary gives the primary context, making it for its first user.
func (d *Device) RetainPrimary() (*Context, Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.code(d.gpu.Err()); s != Success {
		return nil, s
	}
	if d.primary == nil {
		d.primary = d.newContext(d.primaryFlags)
	}
	d.primaryUsers++
	return d.primary, Success
}

// ReleasePrimary ends one use of the primary context. After the last one it is
// destroyed, and returned.
func (d *Device) ReleasePrimary() (destroyed *Context, s Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.primaryUsers == 0 {
		return nil, InvalidContext
	}
	if d.primaryUsers--; d.primaryUsers > 0 {
		return nil, Success
	}
	return d.resetPrimary()
}

// ResetPrimary destroys the primary context whoever uses it.
func (d *Device) ResetPrimary() (destroyed *Context, s Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.resetPrimary()
}

func (d *Device) resetPrimary() (*Context, Status) {
	c := d.primary
	if c == nil {
		return nil, Success
	}
	d.primary, d.primaryUsers = nil, 0
	return c, c.destroy()
}

// SetPrimaryFlags is for the next primary context.
func (d *Device) SetPrimaryFlags(flags uint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.primaryFlags = flags
}

// PrimaryState has the flags, and whether there is a primary context.
func (d *Device) PrimaryState() (flags uint, active bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.primaryFlags, d.primary != nil
}

// Settle does all work that has been given to a device.
func (d *Device) Settle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.contexts {
		c.settle()
	}
}

// Context is a program's use of a device: its memory and streams.
type Context struct {
	Flags uint

	dev     *Device
	null    *Stream
	streams []*Stream // those that may have work, null first
	memory  map[uint64]bool
	failed  Status // of late work, not told yet
	dead    bool
}

func (c *Context) Device() *Device { return c.dev }

// Context makes a context one of the objects that belong to one.
func (c *Context) Context() *Context { return c }

// enter locks the device for a call of this context.
func (c *Context) enter() (leave func(), s Status) {
	c.dev.mu.Lock()
	switch {
	case c.dead:
		s = ContextIsDestroyed
	default:
		s = c.dev.code(c.dev.gpu.Err())
	}
	return c.dev.mu.Unlock, s
}

// told is what a call that waits returns: the first failure of late work.
func (c *Context) told() Status {
	s := c.failed
	c.failed = Success
	if s == Success {
		s = c.dev.code(c.dev.gpu.Err())
	}
	return s
}

// settle does all that was given to the context.
func (c *Context) settle() {
	for _, s := range c.streams {
		s.drain()
	}
}

// Synchronize waits for all that was given to the context.
func (c *Context) Synchronize() Status {
	leave, s := c.enter()
	defer leave()
	if s != Success {
		return s
	}
	if c.prohibit(func(*capture) bool { return true }) {
		return CaptureUnsupported
	}
	c.settle()
	return c.told()
}

// Destroy ends a context and all that it has.
func (c *Context) Destroy() Status {
	c.dev.mu.Lock()
	defer c.dev.mu.Unlock()
	if c.dead {
		return ContextIsDestroyed
	}
	if c == c.dev.primary {
		return InvalidContext
	}
	return c.destroy()
}

func (c *Context) destroy() Status {
	c.settle()
	s := c.told()
	for ptr := range c.memory {
		c.dev.gpu.Free(ptr) // which can only fail on a lost device
	}
	c.dead = true
	delete(c.dev.contexts, c)
	return s
}

// Alloc allocates device memory for a thread.
func (c *Context) Alloc(bytes uint64, thread int) (uint64, Status) {
	return c.allocFor(thread, bytes, c.dev.gpu.Alloc)
}

// AllocManaged allocates memory for a thread that the host has too.
func (c *Context) AllocManaged(bytes uint64, thread int) (uint64, Status) {
	return c.allocFor(thread, bytes, c.dev.gpu.AllocManaged)
}

func (c *Context) allocFor(thread int, bytes uint64, alloc func(uint64) (uint64, error)) (uint64, Status) {
	leave, s := c.enter()
	defer leave()
	if s != Success {
		return 0, s
	}
	if c.prohibit(ofThread(thread)) {
		return 0, CaptureUnsupported
	}
	return c.alloc(bytes, alloc)
}

func (c *Context) alloc(bytes uint64, alloc func(uint64) (uint64, error)) (uint64, Status) {
	if bytes == 0 {
		return 0, InvalidValue
	}
	ptr, err := alloc(bytes)
	if err == nil {
		c.memory[ptr] = true
	}
	return ptr, c.dev.code(err)
}

// Free frees it, once all work is done.
func (c *Context) Free(ptr uint64, thread int) Status {
	leave, s := c.enter()
	defer leave()
	if s != Success {
		return s
	}
	if c.prohibit(ofThread(thread)) {
		return CaptureUnsupported
	}
	if ptr == 0 {
		return Success
	}
	c.settle()
	return c.free(ptr)
}

func (c *Context) free(ptr uint64) Status {
	delete(c.memory, ptr)
	return c.dev.code(c.dev.gpu.Free(ptr))
}

// Load compiles PTX. The log is the compiler's where it fails.
func (c *Context) Load(ptx string) (m *LoadedModule, log string, s Status) {
	leave, s := c.enter()
	defer leave()
	if s != Success {
		return nil, "", s
	}
	module, err := c.dev.gpu.Load(ptx)
	if err != nil {
		return nil, err.Error(), c.dev.code(err)
	}
	return &LoadedModule{ctx: c, module: module}, "", Success
}

// LoadedModule is a module in a context.
type LoadedModule struct {
	ctx    *Context
	module Module
}

func (m *LoadedModule) Context() *Context { return m.ctx }

// Function finds a kernel.
func (m *LoadedModule) Function(name string) (*LoadedFunction, Status) {
	leave, s := m.ctx.enter()
	defer leave()
	if s != Success {
		return nil, s
	}
	f, err := m.module.Function(name)
	if err != nil {
		return nil, NotFound
	}
	return &LoadedFunction{module: m, f: f}, Success
}

// Unload waits for work that may need the module.
func (m *LoadedModule) Unload() Status {
	leave, s := m.ctx.enter()
	defer leave()
	if s != Success {
		return s
	}
	m.ctx.settle()
	return m.ctx.dev.code(m.module.Unload())
}

// LoadedFunction is a function of a loaded module.
type LoadedFunction struct {
	module *LoadedModule
	f      Function
}

func (f *LoadedFunction) Context() *Context     { return f.module.ctx }
func (f *LoadedFunction) Module() *LoadedModule { return f.module }
func (f *LoadedFunction) Params() []int         { return f.f.Params() }

func (f *LoadedFunction) Attribute(attribute int) (int, Status) {
	leave, s := f.Context().enter()
	defer leave()
	return f.f.Attribute(attribute), s
}

func (f *LoadedFunction) SetAttribute(attribute, value int) Status {
	leave, s := f.Context().enter()
	defer leave()
	if s != Success {
		return s
	}
	return f.Context().dev.code(f.f.SetAttribute(attribute, value))
}

// MaxActiveBlocks is the occupancy.
func (f *LoadedFunction) MaxActiveBlocks(threads, shared int) (int, Status) {
	leave, s := f.Context().enter()
	defer leave()
	if s != Success {
		return 0, s
	}
	if threads <= 0 || shared < 0 {
		return 0, InvalidValue
	}
	return f.f.MaxActiveBlocks(threads, shared), Success
}

// Launch is where and how a kernel runs.
type Launch struct {
	Grid, Block [3]uint32
	Shared      uint32
	Params      [][]byte
}

// refused says what a driver says about a launch before it runs.
func (f *LoadedFunction) refused(l Launch) bool {
	dev := f.Context().dev
	threads := 1
	for i := range 3 {
		if l.Grid[i] == 0 || l.Block[i] == 0 ||
			uint64(l.Grid[i]) > uint64(dev.Attribute(maxGridDim+i)) || uint64(l.Block[i]) > uint64(dev.Attribute(maxBlockDim+i)) {
			return true
		}
		threads *= int(l.Block[i])
	}
	return threads > min(dev.Attribute(maxThreadsPerBlock), f.f.Attribute(functionMaxThreads)) ||
		uint64(l.Shared) > uint64(f.f.Attribute(functionMaxDynamic)) ||
		!slices.EqualFunc(f.f.Params(), l.Params, func(size int, p []byte) bool { return size == len(p) })
}
