/* Rows by index. Rows that share an index are added in their order: the block of the first of them adds all.
 */
#include "cuda.cuh"

enum { THREADS = 256 };

struct indexes {
    const int32_t *index;
    int32_t first;
    int64_t table_rows;
};

__device__ __forceinline__ int64_t row_in_table(const indexes &x, int64_t i)
{
    int64_t row = (int64_t)x.index[i] - x.first;
    return row >= 0 && row < x.table_rows ? row : -1;
}

__device__ __forceinline__ void copy_bytes(char *to, const char *from, int64_t bytes)
{
    if (((uintptr_t)to | (uintptr_t)from | (uintptr_t)bytes) % 16 == 0)
        for (int64_t i = threadIdx.x; i < bytes / 16; i += THREADS)
            ((uint4 *)to)[i] = ((const uint4 *)from)[i];
    else
        for (int64_t i = threadIdx.x; i < bytes / 2; i += THREADS)
            ((uint16_t *)to)[i] = ((const uint16_t *)from)[i];
}

/* A row that is not there is made of neutral elements of addition: -0. */
__device__ __forceinline__ void fill_neutral(char *to, int64_t bytes, int element)
{
    for (int64_t i = threadIdx.x; i < bytes / 2; i += THREADS)
        ((uint16_t *)to)[i] = element == 2 || i % 2 ? 0x8000 : 0;
}

__global__ void gather_kernel(const char *table, int64_t table_stride, char *out, int64_t out_stride,
                              int64_t bytes, int element, indexes x)
{
    int64_t i = blockIdx.x, row = row_in_table(x, i);
    char *to = out + i * out_stride;
    if (row >= 0)
        copy_bytes(to, table + row * table_stride, bytes);
    else
        fill_neutral(to, bytes, element);
}

__global__ void scatter_kernel(const char *in, int64_t in_stride, char *table, int64_t table_stride,
                               int64_t bytes, indexes x)
{
    int64_t i = blockIdx.x, row = row_in_table(x, i);
    if (row >= 0)
        copy_bytes(table + row * table_stride, in + i * in_stride, bytes);
}

extern "C" fv_err fv_cuda_gather(fv_backend *backend, const fv_gather_args *args)
{
    int64_t element = (int64_t)fv_dtype_bytes(args->table.dtype);
    indexes x = {(const int32_t *)args->index.data, args->first, args->table.dim[0]};
    gather_kernel<<<(unsigned)args->out.dim[0], THREADS, 0, fv_cuda_compute(backend)>>>(
        (const char *)args->table.data, args->table.stride * element, (char *)args->out.data,
        args->out.stride * element, fv_tensor_row_count(args->out) * element, (int)element, x);
    return fv_cuda_launched("gather");
}

extern "C" fv_err fv_cuda_scatter(fv_backend *backend, const fv_scatter_args *args)
{
    int64_t element = (int64_t)fv_dtype_bytes(args->table.dtype);
    indexes x = {(const int32_t *)args->index.data, args->first, args->table.dim[0]};
    scatter_kernel<<<(unsigned)args->in.dim[0], THREADS, 0, fv_cuda_compute(backend)>>>(
        (const char *)args->in.data, args->in.stride * element, (char *)args->table.data,
        args->table.stride * element, fv_tensor_row_count(args->in) * element, x);
    return fv_cuda_launched("scatter");
}

/* 1 if no row before i has the index of i. All threads call. */
__device__ __forceinline__ int is_first(const indexes &x, int64_t i)
{
    int earlier = 0;
    for (int64_t j = threadIdx.x; j < i; j += THREADS)
        earlier |= x.index[j] == x.index[i];
    return !__syncthreads_or(earlier);
}

template <typename A, typename B> __global__ void scatter_add_kernel(matrix<A> in, matrix<B> table, indexes x)
{
    enum { LIST = 1024 };
    __shared__ int32_t same[LIST];
    __shared__ int n_same;
    int64_t i = blockIdx.x, row = row_in_table(x, i);
    if (row < 0 || !is_first(x, i))
        return;
    B *to = table.data + row * table.stride;
    for (int64_t from = i; from < in.rows;
         from += LIST) { /* the rows of a stretch that share the index, in order */
        if (threadIdx.x == 0)
            n_same = 0;
        __syncthreads();
        for (int64_t base = from; base < from + LIST && base < in.rows; base += THREADS) {
            int64_t j = base + threadIdx.x;
            int hit = j < in.rows && j < from + LIST && x.index[j] == x.index[i];
            unsigned hits = __ballot_sync(~0u, hit);
            __shared__ int counts[THREADS / 32];
            if (threadIdx.x % 32 == 0)
                counts[threadIdx.x / 32] = __popc(hits);
            __syncthreads();
            int at = n_same + __popc(hits & ((1u << threadIdx.x % 32) - 1)), all = 0;
            for (unsigned w = 0; w < THREADS / 32; w++) {
                at += w < threadIdx.x / 32 ? counts[w] : 0;
                all += counts[w];
            }
            if (hit)
                same[at] = (int32_t)j;
            __syncthreads();
            if (threadIdx.x == 0)
                n_same += all;
            __syncthreads();
        }
        for (int64_t c = threadIdx.x; c < in.cols; c += THREADS) {
            float sum = widen(to[c]);
            for (int k = 0; k < n_same; k++)
                sum = sum + widen(in.data[same[k] * in.stride + c]);
            to[c] = narrow<B>(sum);
        }
        __syncthreads();
    }
}

extern "C" fv_err fv_cuda_scatter_add(fv_backend *backend, const fv_scatter_add_args *args)
{
    indexes x = {(const int32_t *)args->index.data, args->first, args->table.dim[0]};
    FV_CUDA_STORED(args->in.dtype, {
        typedef T A;
        FV_CUDA_STORED(
            args->table.dtype,
            (scatter_add_kernel<A, T><<<(unsigned)args->in.dim[0], THREADS, 0, fv_cuda_compute(backend)>>>(
                matrix_of<A>(args->in), matrix_of<T>(args->table), x)));
    });
    return fv_cuda_launched("scatter_add");
}
