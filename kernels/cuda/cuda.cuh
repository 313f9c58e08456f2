/* What every CUDA source includes: the state of the back end, errors, and loads and stores of rows.
 *
 * A row is worked on in units of eight elements, whatever its alignment: a thread that loads sixteen bytes at
 * once and one that loads element by element add the same numbers in the same order. */
#ifndef FOVEA_KERNELS_CUDA_CUH
#define FOVEA_KERNELS_CUDA_CUH

extern "C" {
#include "fovea/ops/backend.h"
}

#include <cublasLt.h>
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <pthread.h>

typedef __nv_bfloat16 bf16;

typedef struct fv_cuda_table fv_cuda_table;

/* The workspace (workspace.cu). */
typedef struct fv_cuda_range {
    CUdeviceptr first;
    size_t wide, backed, page; /* bytes of addresses; of those that have memory behind them; its unit */
} fv_cuda_range;

typedef struct fv_cuda_state {
    int device;
    int n_processors; /* streaming multiprocessors */
    cudaStream_t stream[FV_N_STREAMS];
    int compute_capability; /* 90: sm_90 */
    int shared_bytes;       /* that a block can have */
    cublasLtHandle_t products;
    fv_cuda_table *table; /* owned: which algorithms products take */
    fv_cuda_range workspace;
    int is_recording;       /* a graph */
    pthread_mutex_t asking; /* held by who asks a stream, which is not allowed while it is recorded */
} fv_cuda_state;

static inline fv_cuda_state *fv_cuda_state_of(fv_backend *backend)
{
    return (fv_cuda_state *)backend->state;
}

static inline cudaStream_t fv_cuda_compute(fv_backend *backend)
{
    return fv_cuda_state_of(backend)->stream[FV_STREAM_COMPUTE];
}

/* FV_ERR_DEVICE, or FV_ERR_MEMORY if that is what is missing, with CUDA's sentence about what. */
fv_err fv_cuda_result(cudaError_t code, const char *what);
#define FV_CUDA(call) FV_TRY(fv_cuda_result((call), #call))

/* Of an allocation of device memory, for what `use` says: FV_ERR_MEMORY tells what was asked and what is
 * free. */
fv_err fv_cuda_memory_result(cudaError_t code, size_t bytes, const char *use);

/* After a launch. kernel: static storage. */
fv_err fv_cuda_launched(const char *kernel);

/* Around the function of an operation (error.cu). */
void fv_cuda_begin(fv_backend *backend, const char *operation);
fv_err fv_cuda_end(fv_err err, const char *operation);
int fv_cuda_is_exact(void); /* FOVEA_CUDA_SYNC */

/* Chains. In a recorded graph a kernel may be there before the one ahead of it has ended, which hides what a
 * launch takes. All threads of one that is launched by fv_cuda_chain call join_chain, once, before they load
 * what another kernel of the graph stores, store anything, or leave: a kernel that has ended thus knows all
 * those ahead of it to have ended. Weights may be loaded earlier, as no kernel of a graph stores them; so may
 * plans of attention, past the first-level cache (__ldcg): what makes them is never launched by
 * fv_cuda_chain, and ends with a fence.
 *
 * It lets the kernel behind come, and waits until all that the one ahead has done can be seen. */
__device__ __forceinline__ void join_chain()
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("griddepcontrol.launch_dependents;\n\tgriddepcontrol.wait;" ::: "memory");
#endif
}

typedef struct fv_cuda_grid {
    dim3 blocks;
    unsigned threads;
    size_t bytes; /* of shared memory */
} fv_cuda_grid;

/* name: static storage. */
template <typename... P, typename... A>
static fv_err fv_cuda_chain(fv_backend *backend, const char *name, fv_cuda_grid grid, void (*kernel)(P...),
                            const A &...args)
{
    const fv_cuda_state *s = fv_cuda_state_of(backend);
    cudaLaunchAttribute early = {};
    cudaLaunchConfig_t config = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    config.gridDim = grid.blocks;
    config.blockDim = dim3(grid.threads);
    config.dynamicSmemBytes = grid.bytes;
    config.stream = s->stream[FV_STREAM_COMPUTE];
    config.attrs = &early;
    config.numAttrs = s->is_recording && s->compute_capability == 90; /* whose code join_chain is for */
    (void)cudaLaunchKernelEx(&config, kernel, args...); /* a failure is kept for the next line */
    return fv_cuda_launched(name);
}

/* Memory for the operation that is being queued, always from the same address on; what the one before had is
 * gone once that has run. */
fv_err fv_cuda_workspace(fv_backend *backend, size_t bytes, void **out);
fv_err fv_cuda_workspace_open(fv_cuda_state *s, size_t device_bytes);
void fv_cuda_workspace_close(fv_cuda_state *s); /* one that was never opened is fine */

/* Run the statement with T the C type of a stored dtype. */
#define FV_CUDA_STORED(dtype, ...) \
    do {                           \
        if ((dtype) == FV_BF16) {  \
            typedef bf16 T;        \
            __VA_ARGS__;           \
        } else {                   \
            typedef float T;       \
            __VA_ARGS__;           \
        }                          \
    } while (0)

enum { UNIT = 8 };

template <typename T> struct matrix {
    T *data;
    int64_t rows, cols, stride; /* elements */
    int is_aligned;             /* units may be loaded at once */
};

/* A tensor as a matrix of its rows; a tensor (T, H, D) as one of T * H rows is `heads`. */
template <typename T> static matrix<T> matrix_of(fv_tensor t)
{
    matrix<T> m = {(T *)t.data, t.dim[0], fv_tensor_row_count(t), t.stride, 0};
    if (t.n_dims == 1) {
        m.rows = 1;
        m.cols = m.stride = t.dim[0];
    }
    size_t unit = UNIT * sizeof(T);
    m.is_aligned = (uintptr_t)t.data % unit == 0 && (m.rows <= 1 || m.stride * sizeof(T) % unit == 0);
    return m;
}

__device__ __forceinline__ float widen(float x)
{
    return x;
}
__device__ __forceinline__ float widen(bf16 x)
{
    return __bfloat162float(x);
}
__device__ __forceinline__ float widen(__half x)
{
    return __half2float(x);
}
template <typename T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ __half narrow<__half>(float x)
{
    return __float2half_rn(x);
}
template <> __device__ __forceinline__ float narrow<float>(float x)
{
    return x;
}
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x)
{
    return __float2bfloat16_rn(x);
}

/* Elements [i, i + UNIT) of a row of n, as far as there are any; x is 0 behind them. */
template <typename T>
__device__ __forceinline__ void load_unit(const T *row, int64_t i, int64_t n, int is_aligned, float x[UNIT])
{
    if (is_aligned && i + UNIT <= n) {
        alignas(16) T raw[UNIT];
#pragma unroll
        for (unsigned w = 0; w < UNIT * sizeof(T) / 16; w++)
            ((uint4 *)raw)[w] = ((const uint4 *)(row + i))[w];
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            x[e] = widen(raw[e]);
    } else {
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            x[e] = i + e < n ? widen(row[i + e]) : 0.0f;
    }
}

template <typename T>
__device__ __forceinline__ void store_unit(T *row, int64_t i, int64_t n, int is_aligned, const float x[UNIT])
{
    if (is_aligned && i + UNIT <= n) {
        alignas(16) T raw[UNIT];
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            raw[e] = narrow<T>(x[e]);
#pragma unroll
        for (unsigned w = 0; w < UNIT * sizeof(T) / 16; w++)
            ((uint4 *)(row + i))[w] = ((const uint4 *)raw)[w];
    } else {
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            if (i + e < n)
                row[i + e] = narrow<T>(x[e]);
    }
}

__device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* The sum over the threads of a block, in one fixed order, for all of them. scratch: 32, shared. */
template <typename T> __device__ __forceinline__ T block_sum(T x, T *scratch)
{
    for (int d = 16; d; d /= 2)
        x += __shfl_xor_sync(~0u, x, d);
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        scratch[threadIdx.x / 32] = x;
    __syncthreads();
    T sum = 0;
    for (unsigned w = 0; w < blockDim.x / 32; w++)
        sum += scratch[w];
    return sum;
}

__device__ __forceinline__ float block_max(float x, float *scratch)
{
    for (int d = 16; d; d /= 2)
        x = fmaxf(x, __shfl_xor_sync(~0u, x, d));
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float top = scratch[0];
    for (unsigned w = 1; w < blockDim.x / 32; w++)
        top = fmaxf(top, scratch[w]);
    return top;
}

/* Blocks of `threads` for n units of work. */
static inline unsigned blocks_for(int64_t n, int threads)
{
    return (unsigned)((n + threads - 1) / threads);
}

#endif
