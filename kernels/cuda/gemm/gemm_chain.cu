/* A product as plainly as its order can be written: one chain of k16 steps of mma.sync an element. It is what
 * algorithms of cuBLAS are compared with before they are used. */
#include "cluster.cuh"
#include "gemm.cuh"

enum { TILE_M = 8, TILE_N = 16 };

/* Element (row, k) of an operand whose neighbours in k are next elements apart; a pair of them. */
struct chain_operand {
    const bf16 *data;
    int64_t row, next, rows, k;
};

__device__ __forceinline__ uint32_t element_of(const chain_operand &x, int64_t row, int64_t k)
{
    return row < x.rows && k < x.k ? *(const uint16_t *)&x.data[row * x.row + k * x.next] : 0u;
}

__device__ __forceinline__ uint32_t pair_of(const chain_operand &x, int64_t row, int64_t k)
{
    return element_of(x, row, k) | element_of(x, row, k + 1) << 16;
}

/* One warp: 16 columns and 8 rows of c. */
__global__ void chain_kernel(chain_operand a, chain_operand b, fv_cuda_product p)
{
    int lane = threadIdx.x;
    int64_t column = (int64_t)blockIdx.x * TILE_N + lane / 4, row = (int64_t)blockIdx.y * TILE_M + lane / 4;
    float sum[4] = {};
    for (int64_t k = lane % 4 * 2; k - lane % 4 * 2 < p.k; k += 16) {
        uint32_t of_b[4] = {pair_of(b, column, k), pair_of(b, column + 8, k), pair_of(b, column, k + 8),
                            pair_of(b, column + 8, k + 8)};
        uint32_t of_a[2] = {pair_of(a, row, k), pair_of(a, row, k + 8)};
        multiply_16x8x16(sum, of_b, of_a);
    }
    for (int e = 0; e < 4; e++) {
        int64_t i = (int64_t)blockIdx.y * TILE_M + lane % 4 * 2 + e % 2, j = column + e / 2 * 8;
        if (i >= p.m || j >= p.n)
            continue;
        float x = sum[e] + (p.bias ? widen(p.bias[j]) : 0.0f);
        if (p.c_is_f32)
            ((float *)p.c)[i * p.c_row + j] = p.accumulate ? ((float *)p.c)[i * p.c_row + j] + x : x;
        else
            ((bf16 *)p.c)[i * p.c_row + j] = narrow<bf16>(x);
    }
}

fv_err fv_cuda_chain(cudaStream_t stream, const fv_cuda_product *p)
{
    chain_operand a = {p->a, p->trans_a ? 1 : p->a_row, p->trans_a ? p->a_row : 1, p->m, p->k},
                  b = {p->b, p->trans_b ? p->b_row : 1, p->trans_b ? 1 : p->b_row, p->n, p->k};
    chain_kernel<<<dim3(blocks_for(p->n, TILE_N), blocks_for(p->m, TILE_M)), 32, 0, stream>>>(a, b, *p);
    return fv_cuda_launched("gemm, as a plain loop");
}
