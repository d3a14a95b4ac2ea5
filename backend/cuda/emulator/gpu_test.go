package emulator

import "encoding/binary"

func u64p(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
