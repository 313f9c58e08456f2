/* The ring of stages of gemm_skinny.cu, and the warp of a block that fills it. */
#ifndef FOVEA_KERNELS_CUDA_GEMM_SKINNY_RING_CUH
#define FOVEA_KERNELS_CUDA_GEMM_SKINNY_RING_CUH

#include "cluster.cuh"
#include "gemm.cuh"

enum {
    SLAB = 64,         /* of k: 128 bytes, in which a tile is swizzled */
    STEP = 2 * SLAB,   /* of k in a stage */
    STEPS = STEP / 16, /* of the tensor cores in it */
    MAX_STAGES = 32
};

typedef struct skinny_args {
    const bf16 *a, *b; /* for the copies before sm_90 */
    int64_t a_row, b_row;
    int k, chunk, n_chunks; /* chunk: the k of one */
    int tile, stages;       /* tile: rows of b that a block works on at a time */
    fv_cuda_out out;
} skinny_args;

/* In shared memory: stages of {rows of a, tile of b}, each in slabs, and the sums that the blocks of a
 * cluster send: of each block (8 MT, tile / n_chunks), the columns that this one adds. */
struct skinny_room {
    uint8_t *stages;
    float *sums;
    uint64_t *full, *empty; /* (stages) */
    uint64_t *there, *gone; /* sums have come; have been read by all blocks */
};

template <int MT> __host__ __device__ constexpr int stage_bytes(int tile)
{
    return (tile + 8 * MT) * STEP * 2;
}

template <int MT> __host__ __device__ constexpr int skinny_bytes(int tile, int stages)
{
    return stages * stage_bytes<MT>(tile) + 8 * MT * tile * 4 + 1024;
}

/* What a block of the grid does. */
struct skinny_share {
    int chunk, first, step, tiles,
        stages; /* tiles first, first + step, ... below tiles, that many stages each */
};

__device__ __forceinline__ skinny_share share_of(const skinny_args &g)
{
    return {(int)blockIdx.x % g.n_chunks, (int)blockIdx.x / g.n_chunks, (int)gridDim.x / g.n_chunks,
            (g.out.n + g.tile - 1) / g.tile, (g.chunk + STEP - 1) / STEP};
}

/* A stage in the order in which a block uses them. */
struct skinny_place {
    int tile, s, stage, parity;
    __device__ __forceinline__ void next(const skinny_share &share, const skinny_args &g)
    {
        if (++s == share.stages) {
            s = 0;
            tile += share.step;
        }
        if (++stage == g.stages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

#if __CUDA_ARCH__ >= 900

enum { FILLERS = 1 /* threads that arrive at a stage that is full */ };

__device__ __forceinline__ void wait_for_stage(uint64_t *b, int parity)
{
    barrier_wait(b, parity);
}

__device__ __forceinline__ void arrive(uint64_t *b)
{
    barrier_arrive(b);
}

__device__ __forceinline__ int slabs_of(const skinny_place &at, const skinny_args &g)
{
    return g.chunk - at.s * STEP > SLAB ? 2 : 1;
}

template <int MT>
__device__ __forceinline__ void load_b(const skinny_room &r, const skinny_place &at, const skinny_args &g,
                                       int from, const CUtensorMap *map)
{
    int n = slabs_of(at, g);
    uint8_t *to = r.stages + at.stage * stage_bytes<MT>(g.tile) + 8 * MT * STEP * 2;
    barrier_expect(&r.full[at.stage], n * (g.tile + 8 * MT) * SLAB * 2);
    for (int h = 0; h < n; h++)
        tma_load_once(to + h * g.tile * SLAB * 2, map, &r.full[at.stage], from + at.s * STEP + h * SLAB,
                      at.tile * g.tile);
}

template <int MT>
__device__ __forceinline__ void load_a(const skinny_room &r, const skinny_place &at, const skinny_args &g,
                                       int from, const CUtensorMap *map)
{
    uint8_t *to = r.stages + at.stage * stage_bytes<MT>(g.tile);
    for (int h = 0; h < slabs_of(at, g); h++)
        tma_load(to + h * 8 * MT * SLAB * 2, map, &r.full[at.stage], from + at.s * STEP + h * SLAB, 0);
}

/* By one thread. What comes of the kernel ahead is a. */
template <int MT>
__device__ __forceinline__ void fill(const skinny_room &r, const skinny_args &g, const CUtensorMap *map_a,
                                     const CUtensorMap *map_b)
{
    skinny_share share = share_of(g);
    if (threadIdx.x > 0)
        return;
    int from = share.chunk * g.chunk, n = 0;
    skinny_place at = {share.first, 0, 0, 1}, ahead = at;
    for (; n < g.stages && at.tile < share.tiles; n++, at.next(share, g))
        load_b<MT>(r, at, g, from, map_b);
    wait_for_kernel_ahead();
    for (; n > 0; n--, ahead.next(share, g))
        load_a<MT>(r, ahead, g, from, map_a);
    for (; at.tile < share.tiles; at.next(share, g)) {
        barrier_wait(&r.empty[at.stage], at.parity);
        load_b<MT>(r, at, g, from, map_b);
        load_a<MT>(r, at, g, from, map_a);
    }
}

#else

enum { FILLERS = 32 };

__device__ __forceinline__ void wait_for_stage(uint64_t *b, int parity)
{
    asm volatile("{ .reg .pred p; WAIT: mbarrier.test_wait.parity.shared.b64 p, [%0], %1; @p bra DONE; bra "
                 "WAIT; DONE: }" ::"r"(shared_address(b)),
                 "r"(parity)
                 : "memory");
}

__device__ __forceinline__ void arrive(uint64_t *b)
{
    asm volatile("{ .reg .b64 state; mbarrier.arrive.shared.b64 state, [%0]; }" ::"r"(shared_address(b))
                 : "memory");
}

/* Rows [row, row + rows) of a matrix of that many, of k [k, k + STEP), zeros where there are none. */
__device__ __forceinline__ void copy_tile(uint8_t *to, const bf16 *from, int64_t stride, int row, int rows,
                                          int n_rows, int k, int n_k)
{
    for (int i = threadIdx.x; i < rows * STEP / 8; i += 32) {
        int y = i / (STEP / 8), x = i % (STEP / 8);
        int bytes = row + y < n_rows ? min(max(2 * (n_k - k - 8 * x), 0), 16) : 0;
        uint8_t *at = to + x / 8 * rows * SLAB * 2 + y * SLAB * 2 + (x % 8 ^ y % 8) * 16;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(at)),
                     "l"(bytes ? from + (row + y) * stride + k + 8 * x : from), "r"(bytes)
                     : "memory");
    }
}

template <int MT>
__device__ __forceinline__ void fill(const skinny_room &r, const skinny_args &g, const CUtensorMap *,
                                     const CUtensorMap *)
{
    skinny_share share = share_of(g);
    for (skinny_place at = {share.first, 0, 0, 1}; at.tile < share.tiles; at.next(share, g)) {
        int k = share.chunk * g.chunk + at.s * STEP;
        uint8_t *to = r.stages + at.stage * stage_bytes<MT>(g.tile);
        wait_for_stage(&r.empty[at.stage], at.parity);
        copy_tile(to, g.a, g.a_row, 0, 8 * MT, g.out.m, k, g.k);
        copy_tile(to + 8 * MT * STEP * 2, g.b, g.b_row, at.tile * g.tile, g.tile, g.out.n, k, g.k);
        asm volatile(
            "cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(&r.full[at.stage]))
            : "memory");
    }
}

#endif

#endif
