/* Products. cuBLASLt (gemm_cublas.cu) gives an element as one chain of k16 steps. Operands that it cannot
 * read at full width are copied to where it can, with zeros behind.
 *
 * A product whose k is cut into chunks is one chain a chunk, added in the balanced tree. Where the chunks are
 * whole steps of the tile, gemm_tree.cu does that in one kernel; otherwise a chunk is a product of its own
 * with an fp32 result, and the tree is added here. */
#include "gemm.cuh"

enum { THREADS = 256, ALIGN = 8 /* elements */ };

static fv_err check_dtypes(const fv_gemm_args *args)
{
    FV_CHECK(args->a.dtype == FV_BF16 && args->b.dtype == FV_BF16, FV_ERR_UNSUPPORTED,
             "gemm: CUDA multiplies BF16, not %s: set precision to bf16", fv_dtype_name(args->a.dtype));
    return FV_OK;
}

/* Copies with zeros behind each line. */
__global__ void pack_kernel(const bf16 *from, int64_t stride, int64_t lines, int64_t length, bf16 *to,
                            int64_t padded, int64_t padded_lines)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= padded * padded_lines)
        return;
    int64_t line = i / padded, column = i % padded;
    to[i] = line < lines && column < length ? from[line * stride + column] : __float2bfloat16(0.0f);
}

static int64_t padded(int64_t n)
{
    return (n + 15) / 16 * 16;
}

static int is_aligned(const void *data, int64_t stride, int64_t length, int64_t lines)
{
    return (uintptr_t)data % 16 == 0 && stride % ALIGN == 0 && length % ALIGN == 0 && lines % ALIGN == 0;
}

/* An operand of some steps of k as a padded copy, fit for cuBLAS. */
typedef struct fitted {
    const bf16 *data;
    int64_t row;
} fitted;

static size_t room_for(const fv_tensor *t)
{
    return (size_t)(padded(t->dim[0]) * padded(t->dim[1])) * sizeof(bf16) + 256;
}

static fitted fit(fv_backend *backend, const bf16 *data, int64_t stride, int64_t lines, int64_t length,
                  char **room)
{
    bf16 *to = (bf16 *)*room;
    int64_t wide = padded(length), high = padded(lines);
    *room += ((size_t)(wide * high) * sizeof(bf16) + 255) / 256 * 256;
    pack_kernel<<<blocks_for(wide * high, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
        data, stride, lines, length, to, wide, high);
    return {to, wide};
}

/* Add parts (n, M, N) in the balanced tree; then the bias; one rounding. */
template <typename T>
__global__ void add_parts_kernel(const float *parts, int n, int64_t part, int64_t part_row, matrix<T> c,
                                 fv_cuda_bias bias, int accumulate)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= c.rows * c.cols)
        return;
    int64_t row = i / c.cols, column = i % c.cols;
    const float *at = parts + row * part_row + column;
    float sum[FV_MAX_CHUNKS];
    for (int p = 0; p < n; p++)
        sum[p] = at[p * part];
    for (int width = 1; width < n; width *= 2)
        for (int p = 0; p + width < n; p += 2 * width)
            sum[p] = sum[p] + sum[p + width];
    float x = sum[0] + fv_cuda_bias_at(bias, column);
    T *to = c.data + row * c.stride + column;
    *to = narrow<T>(accumulate ? widen(*to) + x : x);
}

typedef struct room {
    char *at;
    float *parts;
    int64_t part, part_row;
} room;

static int n_parts_of(const fv_gemm_args *args)
{
    return args->chunks.n > 1 ? args->chunks.n : 1;
}

/* Chunk by chunk into fp32 parts, and their tree. */
static fv_err by_parts(fv_backend *backend, const fv_gemm_args *args, room r)
{
    int64_t m = args->c.dim[0], n = args->c.dim[1], k = args->a.dim[args->trans_a ? 0 : 1];
    int n_chunks = n_parts_of(args);
    const bf16 *a = (const bf16 *)args->a.data, *b = (const bf16 *)args->b.data;
    for (int c = 0; c < n_chunks; c++) {
        int64_t first = c ? fv_chunks_end(args->chunks, c - 1) : 0,
                end = n_chunks > 1 ? fv_chunks_end(args->chunks, c) : k;
        int64_t steps = end - first;
        if (steps == 0) {
            FV_CUDA(cudaMemsetAsync(r.parts + c * r.part, 0, (size_t)r.part * sizeof(float),
                                    fv_cuda_compute(backend)));
            continue;
        }
        char *at = r.at;
        const bf16 *from_a = args->trans_a ? a + first * args->a.stride : a + first;
        const bf16 *from_b = args->trans_b ? b + first : b + first * args->b.stride;
        fitted fa = args->trans_a ? fit(backend, from_a, args->a.stride, steps, m, &at)
                                  : fit(backend, from_a, args->a.stride, m, steps, &at);
        fitted fb = args->trans_b ? fit(backend, from_b, args->b.stride, n, steps, &at)
                                  : fit(backend, from_b, args->b.stride, steps, n, &at);
        fv_cuda_product p = {
            padded(m), padded(n), padded(steps), fa.data,    fb.data,       r.parts + c * r.part,
            nullptr,   fa.row,    fb.row,        r.part_row, args->trans_a, args->trans_b,
            1,         0};
        FV_TRY(fv_cuda_launched("gemm, copies"));
        FV_TRY(fv_cuda_multiply(backend, &p));
        FV_TRY(fv_cuda_launched("gemm, product"));
    }
    fv_cuda_bias bias = fv_cuda_bias_of(args->bias);
    int64_t count = m * n;
    FV_CUDA_STORED(
        args->c.dtype,
        (add_parts_kernel<T><<<blocks_for(count, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
            r.parts, n_chunks, r.part, r.part_row, matrix_of<T>(args->c), bias, args->accumulate)));
    return fv_cuda_launched("gemm");
}

static int is_direct(const fv_gemm_args *args)
{
    const fv_tensor *t[] = {&args->a, &args->b, &args->c};
    for (int i = 0; i < 3; i++)
        if (!is_aligned(t[i]->data, t[i]->stride, t[i]->dim[1],
                        i == 2 || (i == 0 && !args->trans_a) ? ALIGN : t[i]->dim[0]))
            return 0;
    return args->chunks.n <= 1 &&
           (!args->bias.data || (args->bias.dtype == FV_BF16 && (uintptr_t)args->bias.data % 16 == 0)) &&
           !(args->accumulate && args->c.dtype != FV_F32);
}

static size_t bytes_of_parts(const fv_gemm_args *args)
{
    size_t part = (size_t)(padded(args->c.dim[0]) * padded(args->c.dim[1])) * sizeof(float);
    return ((size_t)n_parts_of(args) * part + 255) / 256 * 256;
}

size_t fv_cuda_gemm_room(fv_backend *backend, const fv_gemm_args *args)
{
    if ((is_direct(args) && args->a.dim[args->trans_a ? 0 : 1] > 0) || fv_cuda_tree_fits(backend, args))
        return 0;
    return bytes_of_parts(args) + room_for(&args->a) + room_for(&args->b) + 1024;
}

extern "C" fv_err fv_cuda_gemm(fv_backend *backend, const fv_gemm_args *args)
{
    FV_TRY(check_dtypes(args));
    int64_t m = args->c.dim[0], n = args->c.dim[1], k = args->a.dim[args->trans_a ? 0 : 1];
    if (is_direct(args) && k > 0) {
        fv_cuda_product p = {m,
                             n,
                             k,
                             (const bf16 *)args->a.data,
                             (const bf16 *)args->b.data,
                             args->c.data,
                             (const bf16 *)args->bias.data,
                             args->a.stride,
                             args->b.stride,
                             args->c.stride,
                             args->trans_a,
                             args->trans_b,
                             args->c.dtype == FV_F32,
                             args->accumulate};
        return fv_cuda_multiply(backend, &p);
    }
    if (fv_cuda_tree_fits(backend, args))
        return fv_cuda_tree(backend, args);
    room r = {nullptr, nullptr, padded(m) * padded(n), padded(n)};
    void *work = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_gemm_room(backend, args), &work));
    r.parts = (float *)work;
    r.at = (char *)work + bytes_of_parts(args);
    return by_parts(backend, args, r);
}
