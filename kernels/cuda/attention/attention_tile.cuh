/* What a warp does with tiles in shared memory: copies, k16 products, scores and their weights.
 *
 * A tile is rows of DP channels (a head, padded with zeros to a multiple of 16), each row PAD elements apart
 * from the next so that ldmatrix meets no bank conflicts. A warp has 16 rows of a product; thread `lane`
 * holds columns 2 (lane % 4) and the next of rows lane / 4 and lane / 4 + 8 of every 16 x 8 tile of it.
 * Arrays of registers are indexed by constants alone, once loops are unrolled. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_TILE_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_TILE_CUH

#include "cuda.cuh"

enum { PAD = 8 };
#define NEG_INF (-__int_as_float(0x7f800000))
#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

/* 16 bytes, or zeros if !inside; to: an address in shared memory. */
__device__ __forceinline__ void copy16(uint32_t to, const void *from, bool inside)
{
    int bytes = inside ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}
__device__ __forceinline__ void copy16(void *to, const void *from, bool inside)
{
    copy16(shared_address(to), from, inside);
}

__device__ __forceinline__ void copies_commit()
{
    asm volatile("cp.async.commit_group;");
}

template <int N> __device__ __forceinline__ void copies_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N));
}

__device__ __forceinline__ void load_matrices(uint32_t r[4], const bf16 *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(p)));
}

__device__ __forceinline__ void load_matrices_turned(uint32_t r[4], const bf16 *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(p)));
}

/* c (16, 8) += a (16, 16) b (16, 8) */
__device__ __forceinline__ void mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ uint32_t pack2(float x, float y)
{
    __nv_bfloat162 v = __floats2bfloat162_rn(x, y);
    return *(uint32_t *)&v;
}

__device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Fragments: A (16 rows from row, 16 columns from col), B of two tiles of 8 lines. */
template <int DP> __device__ __forceinline__ void frag_a(uint32_t r[4], const bf16 *tile, int row, int col)
{
    int lane = threadIdx.x % 32;
    load_matrices(r, tile + (row + lane % 16) * (DP + PAD) + col + lane / 16 * 8);
}
/* lines n0..n0+15 (rows of the tile) along k = columns k0..k0+15 */
template <int DP> __device__ __forceinline__ void frag_b(uint32_t r[4], const bf16 *tile, int n0, int k0)
{
    int lane = threadIdx.x % 32;
    load_matrices(r, tile + (n0 + lane / 16 * 8 + lane % 8) * (DP + PAD) + k0 + lane / 8 % 2 * 8);
}
/* k = rows k0..k0+15 of the tile, lines n0..n0+15 are its columns */
template <int DP>
__device__ __forceinline__ void frag_b_turned(uint32_t r[4], const bf16 *tile, int k0, int n0)
{
    int lane = threadIdx.x % 32;
    load_matrices_turned(r, tile + (k0 + lane % 16) * (DP + PAD) + n0 + lane / 16 * 8);
}

/* Scores of keys from key0 on that a query at pos0 (rows lane / 4) or pos1 does not see become -inf. */
template <int TILES>
__device__ __forceinline__ void mask_scores(float s[TILES][4], int key0, int pos0, int pos1, int n_keys,
                                            int causal, int window)
{
    int own = key0 + threadIdx.x % 4 * 2, last = n_keys - 1 - own;
    int end[2] = {causal ? min(last, pos0 - own) : last, causal ? min(last, pos1 - own) : last};
    int before[2] = {window ? pos0 - window - own : -1, window ? pos1 - window - own : -1};
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int column = t * 8 + e % 2;
            s[t][e] = column <= end[e / 2] && column > before[e / 2] ? s[t][e] : NEG_INF;
        }
}

template <int TILES> __device__ __forceinline__ void row_max(const float s[TILES][4], float m[2])
{
    m[0] = m[1] = NEG_INF;
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        m[0] = fmaxf(m[0], fmaxf(s[t][0], s[t][1]));
        m[1] = fmaxf(m[1], fmaxf(s[t][2], s[t][3]));
    }
#pragma unroll
    for (int d = 1; d < 4; d *= 2) {
        m[0] = fmaxf(m[0], __shfl_xor_sync(~0u, m[0], d));
        m[1] = fmaxf(m[1], __shfl_xor_sync(~0u, m[1], d));
    }
}

__device__ __forceinline__ float weight(float s, float scaled_max, float scale_log2)
{
    return exp2_fast(__fmaf_rn(s, scale_log2, -scaled_max));
}

/* s (16, 8 TILES) += rows [a_row, a_row + 16) of a times rows [b_row, ..) of b, along their channels */
template <int DP, int TILES>
__device__ __forceinline__ void add_scores(float (&s)[TILES][4], const bf16 *a, int a_row, const bf16 *b,
                                           int b_row)
{
#pragma unroll
    for (int d = 0; d < DP; d += 16) {
        uint32_t fa[4], fb[4];
        frag_a<DP>(fa, a, a_row, d);
#pragma unroll
        for (int t = 0; t < TILES; t += 2) {
            frag_b<DP>(fb, b, b_row + t * 8, d);
            mma(s[t], fa, fb[0], fb[1]);
            mma(s[t + 1], fa, fb[2], fb[3]);
        }
    }
}

/* out (16, DP) += p (16, 16) times rows [row, row + 16) of a tile */
template <int DP>
__device__ __forceinline__ void add_weighted(float (&out)[DP / 8][4], const uint32_t p[4], const bf16 *tile,
                                             int row)
{
#pragma unroll
    for (int d = 0; d < DP / 8; d += 2) {
        uint32_t fb[4];
        frag_b_turned<DP>(fb, tile, row, d * 8);
        mma(out[d], p, fb[0], fb[1]);
        mma(out[d + 1], p, fb[2], fb[3]);
    }
}

/* Two neighbours of a product as the operand of the next one. */
__device__ __forceinline__ void pack_tiles(uint32_t p[4], const float a[4], const float b[4])
{
    p[0] = pack2(a[0], a[1]);
    p[1] = pack2(a[2], a[3]);
    p[2] = pack2(b[0], b[1]);
    p[3] = pack2(b[2], b[3]);
}

#endif
