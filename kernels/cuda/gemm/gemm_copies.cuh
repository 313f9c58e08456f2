/* Copies of operands that no kernel can read as they are, and the sum of parts of a product. */
#ifndef FOVEA_KERNELS_CUDA_GEMM_COPIES_CUH
#define FOVEA_KERNELS_CUDA_GEMM_COPIES_CUH

#include "gemm.cuh"

enum { THREADS = 256, QUAD = 4 };

/* Elements [0, n) of a unit, zeros behind. Elements are loaded by fours that lie at multiples of 8 bytes,
 * with what is before and behind the unit, where that is of the same line: `before` elements of it are, and
 * `left` from the unit's first on. */
__device__ __forceinline__ uint4 load_unaligned(const bf16 *from, int64_t before, int64_t left, int64_t n)
{
    int skip = (int)((uintptr_t)from % 8 / sizeof(bf16)), is_inside = skip <= before && left >= 12 - skip;
    alignas(16) uint16_t unit[UNIT];
    if (!is_inside || n < UNIT) {
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            unit[e] = e < n ? *(const uint16_t *)(from + e) : 0;
        return *(const uint4 *)unit;
    }
    const uint2 *quads = (const uint2 *)(from - skip);
    uint2 first = quads[0], second = quads[1], third = skip ? quads[2] : second;
    uint32_t words[6] = {first.x, first.y, second.x, second.y, third.x, third.y}, by = skip % 2 * 16;
#pragma unroll
    for (int w = 0; w < 5; w++)
        words[w] = skip < 2 ? words[w] : words[w + 1];
    return make_uint4(__funnelshift_r(words[0], words[1], by), __funnelshift_r(words[1], words[2], by),
                      __funnelshift_r(words[2], words[3], by), __funnelshift_r(words[3], words[4], by));
}

/* Copies with zeros behind each line. A block has some units of one. */
__global__ void pack_kernel(const bf16 *from, int64_t stride, int64_t lines, int64_t length, bf16 *to,
                            int64_t padded)
{
    int64_t line = blockIdx.x, i = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * UNIT;
    if (i >= padded)
        return;
    int64_t left = line < lines ? length - i : 0;
    *(uint4 *)&to[line * padded + i] = load_unaligned(from + line * stride + i, i, left, left);
}

/* Elements (line, k) of an operand, next apart in k, as lines of chunks, each with zeros behind. */
typedef struct packing {
    const bf16 *from;
    int64_t line, next, lines;
    int n_chunks, width; /* of a chunk */
    int64_t k, end[FV_MAX_CHUNKS];
} packing;

/* A block has some units of one line. */
__global__ void pack_chunks_kernel(const __grid_constant__ packing p, bf16 *to)
{
    int64_t line = blockIdx.x;
    int row = p.n_chunks * p.width, i = (blockIdx.y * THREADS + threadIdx.x) * UNIT, chunk = i / p.width;
    if (i >= row)
        return;
    int64_t k = (chunk ? p.end[chunk - 1] : 0) + i % p.width;
    const bf16 *from = p.from + line * p.line + k * p.next;
    uint4 *unit = (uint4 *)&to[line * row + i];
    if (p.next == 1) {
        *unit = load_unaligned(from, k, p.k - k, p.end[chunk] - k);
        return;
    }
    alignas(16) bf16 elements[UNIT];
#pragma unroll
    for (int e = 0; e < UNIT; e++)
        elements[e] = k + e < p.end[chunk] ? from[e * p.next] : __float2bfloat16(0.0f);
    *unit = *(const uint4 *)elements;
}

static void pack_chunks(const packing *p, bf16 *to, cudaStream_t stream)
{
    unsigned parts = blocks_for(p->n_chunks * p->width, THREADS * UNIT);
    pack_chunks_kernel<<<dim3((unsigned)p->lines, parts), THREADS, 0, stream>>>(*p, to);
}

template <typename T> struct alignas(QUAD * sizeof(T)) quad {
    T at[QUAD];
};

/* Add parts (n, M, N) in the balanced tree; then the bias; one rounding. A block has some quads of a row;
 * is_aligned: those of c may be loaded and stored at once, as those of parts may. */
template <typename T>
__global__ void add_parts_kernel(const float *parts, int n, int64_t part, int64_t part_row, matrix<T> c,
                                 int is_aligned, fv_cuda_bias bias, int accumulate)
{
    int64_t row = blockIdx.x, column = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * QUAD;
    if (column >= c.cols)
        return;
    quad<float> sum[FV_MAX_CHUNKS];
#pragma unroll
    for (int p = 0; p < FV_MAX_CHUNKS; p++)
        if (p < n)
            sum[p] = *(const quad<float> *)(parts + p * part + row * part_row + column);
#pragma unroll
    for (int width = 1; width < FV_MAX_CHUNKS; width *= 2)
#pragma unroll
        for (int p = 0; p + width < FV_MAX_CHUNKS; p += 2 * width)
            if (p + width < n)
#pragma unroll
                for (int e = 0; e < QUAD; e++)
                    sum[p].at[e] = sum[p].at[e] + sum[p + width].at[e];
    T *to = c.data + row * c.stride + column;
    int is_whole = is_aligned && column + QUAD <= c.cols;
    quad<T> was = {};
    if (accumulate && is_whole)
        was = *(const quad<T> *)to;
#pragma unroll
    for (int e = 0; e < QUAD; e++) {
        if (column + e >= c.cols)
            break;
        float x = sum[0].at[e] + fv_cuda_bias_at(bias, column + e);
        if (accumulate)
            x = widen(is_whole ? was.at[e] : to[e]) + x;
        was.at[e] = narrow<T>(x);
        if (!is_whole)
            to[e] = was.at[e];
    }
    if (is_whole)
        *(quad<T> *)to = was;
}

#endif
