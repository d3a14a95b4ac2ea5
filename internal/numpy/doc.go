// What the package is for, and which part of the work its library does.

// Package numpy reads NumPy's .npy and .npz files as float32 arrays and writes
// float32 ones. In a .npz, arrays of float64 and uint8 can also be read and written
// as they are: [ReadAs], [Begin].
//
// Reading accepts bool, the integers of 8 to 64 bits and the floats of 16 to 64
// bits, in both byte orders, and gives float32 in C order (the last axis runs
// fastest). Every value is rounded once; one beyond float32's range becomes
// infinite. Arrays have 0 to 32 axes.
//
// Three ways of reading: [OpenArchive] for a .npz, [ReadFile] for a whole .npy,
// and [OpenStream] for a .npy that is larger than memory, piece by piece. Two of
// writing: [ArchiveWriter] for a .npz, [WriteHeader] and [WriteData] for a .npy.
// [Create] makes either output appear whole or not at all.
//
// # Errors
//
// An error about what a file holds is a [*FormatError]; one of the operating
// system is wrapped, so that errors.Is(err, fs.ErrNotExist) works. Each is one
// line that begins with the file's path, and text taken from a file is quoted
// and shortened in it, since files may come from anybody.
//
// # The library
//
// codeberg.org/sbinet/npyio/npy reads the header's dictionary, and decodes
// integers, bool and float16's bits. The standard library's archive/zip reads
// and writes the archives. What npyio lacks is filled in here:
//
//   - It trusts its input: a malformed header panics or is misread, and memory
//     is reserved for whatever length the file states. Here the preamble is read
//     and bounded first, a panic becomes an error, and a header counts as read
//     only if it says what npyio understood, nothing more.
//   - It does not know format version 3, nor the longs (3L) of Python 2.
//   - It decodes element by element; float32 and float64 are read in bulk here,
//     float32 straight into the caller's memory.
//   - Its bool leaves bytes other than 0 and 1 undecoded, so bool is read as
//     uint8; its float16 loses subnormal numbers, so float16 is read as uint16.
//   - It ignores Fortran order when it fills a slice.
//   - It cannot write a flat slice as an array of several axes, does not align
//     the data as NumPy does, and its archives are always compressed.
package numpy
