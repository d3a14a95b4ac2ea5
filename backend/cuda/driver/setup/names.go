package setup

import "strings"

// What is known of the driver's functions by name.

// versions has the symbol of each function of cu's header whose own name is,
// in libcuda, an older function with other arguments or another meaning. It
// was made by comparing, by type, the prototypes of cu's header (CUDA 11.0)
// with all that the headers of CUDA 11.7, 12.9 and 13.5 declare under
// __CUDA_API_VERSION_INTERNAL: these three have each symbol here, and each
// unversioned one that is not here, with cu's arguments. Names of later
// versions with other arguments, such as cuCtxCreate_v3, must never be here.
var versions = func() map[string]string {
	m := map[string]string{"cuTexRefSetAddress2D": "cuTexRefSetAddress2D_v3"}
	for _, name := range strings.Fields(`
		cuArray3DCreate cuArray3DGetDescriptor cuArrayCreate cuArrayGetDescriptor
		cuCtxCreate cuCtxDestroy cuCtxPopCurrent cuCtxPushCurrent
		cuDevicePrimaryCtxRelease cuDevicePrimaryCtxReset cuDevicePrimaryCtxSetFlags
		cuDeviceTotalMem cuEventDestroy cuGraphInstantiate
		cuGraphicsResourceGetMappedPointer cuGraphicsResourceSetMapFlags
		cuIpcOpenMemHandle cuLinkAddData cuLinkAddFile cuLinkCreate
		cuMemAlloc cuMemAllocHost cuMemAllocPitch cuMemFree cuMemGetAddressRange
		cuMemGetInfo cuMemHostGetDevicePointer cuMemHostRegister
		cuMemcpy2D cuMemcpy2DAsync cuMemcpy2DUnaligned cuMemcpy3D cuMemcpy3DAsync
		cuMemcpyAtoA cuMemcpyAtoD cuMemcpyAtoH cuMemcpyAtoHAsync
		cuMemcpyDtoA cuMemcpyDtoD cuMemcpyDtoDAsync cuMemcpyDtoH cuMemcpyDtoHAsync
		cuMemcpyHtoA cuMemcpyHtoAAsync cuMemcpyHtoD cuMemcpyHtoDAsync
		cuMemsetD16 cuMemsetD2D16 cuMemsetD2D32 cuMemsetD2D8 cuMemsetD32 cuMemsetD8
		cuModuleGetGlobal cuStreamBeginCapture cuStreamDestroy
		cuTexRefGetAddress cuTexRefSetAddress`) {
		m[name] = name + "_v2"
	}
	return m
}()

// Required are the functions without which errorcell does not use a driver.
// Each is in every driver since CUDA 11.0.
var Required = strings.Fields(`
	cuCtxCreate cuCtxDestroy cuCtxGetCurrent cuCtxSetCurrent cuCtxSynchronize
	cuDeviceGet cuDeviceGetAttribute cuDeviceGetCount cuDeviceGetName
	cuDevicePrimaryCtxRelease cuDevicePrimaryCtxRetain cuDeviceTotalMem
	cuDriverGetVersion cuEventCreate cuEventDestroy cuEventElapsedTime
	cuEventQuery cuEventRecord cuEventSynchronize cuFuncGetAttribute
	cuFuncSetAttribute cuGetErrorName cuGetErrorString cuGraphDestroy
	cuGraphExecDestroy cuGraphInstantiate cuGraphLaunch cuInit cuLaunchKernel
	cuMemAlloc cuMemFree cuMemFreeHost cuMemGetInfo cuMemHostAlloc cuMemcpyDtoD
	cuMemcpyDtoDAsync cuMemcpyDtoH cuMemcpyDtoHAsync cuMemcpyHtoD
	cuMemcpyHtoDAsync cuMemsetD32 cuMemsetD32Async cuMemsetD8 cuMemsetD8Async
	cuModuleGetFunction cuModuleLoadDataEx cuModuleUnload
	cuOccupancyMaxActiveBlocksPerMultiprocessor cuStreamBeginCapture
	cuStreamCreate cuStreamDestroy cuStreamEndCapture cuStreamIsCapturing
	cuStreamQuery cuStreamSynchronize cuStreamWaitEvent`)

// later declares what errorcell uses, where the driver has it, of CUDA 11.1
// and 11.2, which cu's header lacks.
const later = `
typedef struct errorcell_memory_pool *errorcell_memory_pool;
CUresult cuGraphUpload(CUgraphExec exec, CUstream stream);
CUresult cuDeviceGetDefaultMemPool(errorcell_memory_pool *pool, CUdevice dev);
CUresult cuMemPoolSetAttribute(errorcell_memory_pool pool, int attribute, void *value);
CUresult cuMemPoolTrimTo(errorcell_memory_pool pool, size_t keep);
CUresult cuMemAllocAsync(CUdeviceptr *ptr, size_t size, CUstream stream);
CUresult cuMemFreeAsync(CUdeviceptr ptr, CUstream stream);
`

// own are the functions whose forwarders are written by hand in table.c,
// because they also keep, or first need, the state of the table.
var own = strings.Fields(`
	cuInit cuCtxCreate cuCtxDestroy cuCtxGetCurrent cuCtxPopCurrent
	cuCtxPushCurrent cuCtxSetCurrent`)

// machine are the functions that ask about the machine, not about the device
// in use: they always go to the real driver.
var machine = strings.Fields(`
	cuDeviceGet cuDeviceGetByPCIBusId cuDeviceGetCount cuDriverGetVersion
	cuGetErrorName cuGetErrorString cuGetExportTable`)
