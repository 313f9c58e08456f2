/* The end of a product whose chunks are summed by the blocks of a cluster: each puts the sums of its tile
 * into its shared memory; then the blocks share out the rows, add what all have of them in the balanced tree,
 * and store. */
#ifndef FOVEA_KERNELS_CUDA_GEMM_SUMS_CUH
#define FOVEA_KERNELS_CUDA_GEMM_SUMS_CUH

#include "cluster.cuh"
#include "gemm.cuh"

/* at (rows, row) in shared memory. there, gone: barriers of all warps of the cluster that call: sums were
 * written; were read. */
struct cluster_sums {
    float *at;
    int row;
    uint64_t *there, *gone;
    int n_blocks, rank;
};

/* Between rows, so that no two threads of a warp write to one bank. */
__host__ __device__ constexpr int sums_row(int columns)
{
    return columns + 4;
}

/* Columns of a row, of all blocks: half a unit at a time, for 8 blocks' whole ones are many registers. */
__device__ __forceinline__ void add_sums(float (&x)[UNIT], uint32_t at, int n)
{
#pragma unroll
    for (int half = 0; half < UNIT; half += 4) {
        float part[FV_MAX_CHUNKS][4];
#pragma unroll
        for (int p = 0; p < FV_MAX_CHUNKS; p++)
            if (p < n)
                read_in_cluster(part[p], at + half * 4, p);
#pragma unroll
        for (int width = 1; width < FV_MAX_CHUNKS; width *= 2)
#pragma unroll
            for (int p = 0; p + width < FV_MAX_CHUNKS; p += 2 * width)
                if (p + width < n)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        part[p][e] = part[p][e] + part[p + width][e];
#pragma unroll
        for (int e = 0; e < 4; e++)
            x[half + e] = part[0][e];
    }
}

/* Rows [row, row + rows) and columns [column, column + columns) of the result; by n_threads of each block. */
__device__ __forceinline__ void store_sums(const cluster_sums &s, const fv_cuda_out &out, int row, int rows,
                                           int column, int columns, int thread, int n_threads)
{
    int units = columns / UNIT;
    for (int i = thread + s.rank * n_threads; i < min(rows, out.m - row) * units;
         i += s.n_blocks * n_threads) {
        int y = i / units, unit = i % units * UNIT, first = column + unit;
        float x[UNIT];
        add_sums(x, shared_address(s.at + y * s.row + unit), s.n_blocks);
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            if (first + e < out.n)
                x[e] = x[e] + fv_cuda_bias_at(out.bias, first + e);
        if (out.is_f32)
            store_unit((float *)out.data + (row + y) * out.row, first, out.n, out.is_aligned, x);
        else
            store_unit((bf16 *)out.data + (row + y) * out.row, first, out.n, out.is_aligned, x);
    }
}

#endif
