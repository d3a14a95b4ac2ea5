package emulator_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"

	"errorcell/backend/cuda/emulator"
)

// double doubles n numbers. Its test lets one thread too many through.
const double = `
.version 7.0
.target sm_70
.address_size 64
.visible .entry double(.param .u64 x, .param .u32 n)
{
	.reg .pred %over;
	.reg .b32 %i, %n, %v;
	.reg .b64 %x;
	ld.param.u64 %x, [x];
	ld.param.u32 %n, [n];
	mov.u32 %i, %tid.x;
	setp.gt.u32 %over, %i, %n;
	@%over bra DONE;
	mad.wide.u32 %x, %i, 4, %x;
	ld.global.u32 %v, [%x];
	shl.b32 %v, %v, 1;
	st.global.u32 [%x], %v;
DONE:
	ret;
}
`

// A kernel that goes one element too far: hardware would often say nothing.
func Example() {
	gpu, err := emulator.New(emulator.Config{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	module, err := gpu.Load(double)
	if err != nil {
		log.Fatal(err)
	}
	f, err := module.Function("double")
	if err != nil {
		log.Fatal(err)
	}
	x, err := gpu.Alloc(20)
	if err != nil {
		log.Fatal(err)
	}
	if err := gpu.Memset32(x, 21, 5); err != nil {
		log.Fatal(err)
	}
	params := [][]byte{binary.LittleEndian.AppendUint64(nil, x), binary.LittleEndian.AppendUint32(nil, 5)}
	err = gpu.Launch(f, [3]uint32{1, 1, 1}, [3]uint32{32, 1, 1}, 0, params)
	fmt.Println(err)
	var fault *emulator.Fault
	if errors.As(err, &fault) {
		fmt.Println(fault.Kind == emulator.IllegalAddress, fault.Line, fault.Thread, emulator.Code(err))
	}
	// Output:
	// illegal address: 4 bytes at 0x10000000114, 0 bytes past the end of an allocation of 20 bytes at 0x10000000100; kernel double, ptx:16, block (0,0,0), thread (5,0,0), seed 1
	// 	ld.global.u32 %v, [%x];
	// true 16 [5 0 0] 700
}
