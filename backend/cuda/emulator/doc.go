// Package emulator is a GPU in plain Go. It loads the PTX text that a real GPU
// would get, checks it at least as strictly as NVIDIA's assembler, and runs it
// to the bit, watching every access to memory:
//
//	gpu, err := emulator.New(emulator.Config{Arch: "sm_80"})
//	module, err := gpu.Load(ptx)
//	add, err := module.Function("add")
//	x, err := gpu.Alloc(4 * n)
//	err = gpu.CopyToDevice(x, bytes)
//	err = gpu.Launch(add, grid, block, 0, [][]byte{...})
//
// The calls are those of a CUDA driver, and [Code] turns their errors into
// CUresult numbers; package errorcell/backend/cuda/driver puts such a GPU
// behind the driver's own functions.
//
// # What is emulated
//
// Kernels (.entry) of PTX 6.0 to 9.x for sm_70 to sm_121: parameters, global,
// shared (static and dynamic) and constant memory, generic addresses, integers
// of 8 to 64 bits, f32 and f64, predicates, conversions with every rounding
// mode, vectors of up to 32 bytes, cache and eviction hints (read and
// ignored), atomics, shuffles, votes, match, redux, the sixteen barriers with
// counts, arrivals and reductions, fences, special registers. table.go lists
// the instructions. A module may not use a feature that is newer than its
// .target or .version, nor run on a GPU older than its .target.
//
// Arithmetic is exact IEEE 754 with subnormals, as the .rn instructions are;
// a NaN that f32 arithmetic makes is 0x7fffffff, as in hardware.
//
// Blocks run in an order that Config.Seed decides, on several goroutines. A
// warp is 32 threads in lock step. Threads that part at a branch meet again at
// the earliest place where the control flow graph lets them, which is no later
// than where ptxas makes them meet; see flow.go. Warps of a block take turns of
// random length.
//
// # What is checked
//
// When a module is loaded (a [Fault] whose Kind is [Kind.AtLoad]): syntax,
// names, types of operands, modifiers and their order, targets, stores to
// constants and parameters; also, beyond ptxas, constants that do not fit
// their type, accesses past the end of a parameter, and loose numerics: .ftz,
// or add, sub and mul of floats without .rn, which ptxas may fuse. .approx and
// .full, whose bits differ from one GPU to the next, are refused.
//
// While a kernel runs:
//
//   - Addresses. An access lies wholly inside of one allocation, or one shared
//     variable, and is aligned to its size. No address is used twice, so what
//     was freed is never valid again, and the gap after an allocation is as
//     large as the allocation.
//   - Initialisation. A byte that is read was written: by a kernel, a copy or a
//     memset. Shared memory begins unwritten in every block. A register is
//     read only by a thread that has written it.
//   - Races. Two accesses of one word (of one byte, where bytes are accessed) by
//     different threads, one of them a write and not both atomic, have an
//     order: see below.
//   - Barriers. bar.sync is reached by all threads of a warp together and by
//     all of the block, none of which has exited. barrier.sync need not be
//     reached together. A block of which every thread waits is a deadlock, and
//     the fault names a thread that is waited for.
//   - Masks. A thread that executes a .sync instruction is in its membermask,
//     which names no thread that has exited or does not exist. A shuffle takes
//     no value from a thread that does not take part.
//   - Results that PTX leaves open: divisions by zero.
//   - Steps: a warp executes at most Config.StepLimit instructions, and a launch
//     ends with its context.
//
// A Fault names the kernel, the line and text of the PTX, block, thread and
// seed. It loses the device, as on hardware: every later call returns it in a
// [LostError]. The flags of [Config] turn single checks off.
//
// Managed memory ([GPU.AllocManaged]) is the host's too, at the same address. Kernels
// are checked in it as elsewhere, but for whether it was written: the host may have.
//
// For the host: copies stay inside of an allocation and, from the device, are
// of what was written; [GPU.Leaks] lists what was not freed. FailAlloc,
// FailLaunch, FailCopy, LoseAfter and LoseDevice ask for failures.
//
// # What orders memory
//
//   - A thread's own program.
//   - bar and barrier, among the threads that take part.
//   - bar.warp.sync, among the lanes of its membermask, and on through others.
//     Lock step does not, and no more do shuffles, votes and the like, for which
//     PTX promises nothing.
//   - Between blocks: a release, which is a fence of the GPU or the system
//     before an atomic or other strong store by the same thread, and an
//     acquire, which is a later atomic or strong load on that address by the
//     other block. The fence covers what its thread has done, what a barrier of
//     all of its warp or block has put before it, and what came before a barrier
//     of the block before which every thread that had stored had a fence of its
//     own. So a last block may add up what the others have left. No fence is asked for
//     after the acquire, though PTX would have one; one thread's acquire holds
//     for its block.
//
// Accesses are strong if they are atomic, .relaxed, .acquire, .release or, in
// global memory, .volatile; strong ones do not race with each other, unless
// their scope is .cta and their blocks differ. Fences of .cta order nothing
// here. A load through .nc must not read what its own launch writes.
//
// # What is not
//
// Time, caches, occupancy and register limits; weak memory, in which a race
// would show as a wrong value: every access takes effect at once, and the race
// itself is the fault. Of several earlier readers of a word in different
// blocks only their number beyond one is known, so that a write which is
// ordered after some of them passes. Orders that go through a third block are
// not seen, and would be faults. A block that waits for another that is not yet
// running waits until the step limit; so do threads of one warp that wait for
// each other in a loop. Streams: calls run one after the other. Functions other
// than kernels, local memory, f16 and bf16, textures, tensor cores,
// asynchronous copies, clusters.
package emulator
