/* The ring of stages of gemm_skinny.cu, and the thread of a block that fills it. */
#ifndef FOVEA_KERNELS_CUDA_GEMM_SKINNY_RING_CUH
#define FOVEA_KERNELS_CUDA_GEMM_SKINNY_RING_CUH

#include "cluster.cuh"
#include "gemm.cuh"

enum {
    STEP = 64,  /* of k in a stage: 128 bytes, in which a tile is swizzled */
    GROUP = 64, /* rows of weights of wgmma */
    MAX_STAGES = 32
};

typedef struct skinny_args {
    int chunk, n_chunks; /* chunk: the k of one */
    int tile, stages;    /* tile: rows of b that a block works on at a time */
    fv_cuda_out out;
} skinny_args;

/* In shared memory: stages of {rows of a, tile of b}, and the sums that the blocks of a cluster send: of each
 * block (8 MT, tile / n_chunks), the columns that this one adds. */
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

/* Groups of warps of a tile. */
__host__ __device__ constexpr int groups_of(int tile)
{
    return (tile + GROUP - 1) / GROUP;
}

/* Sums that others send are of chunks alone. Each group reads 64 rows of a stage, behind the last one's tile,
 * too. */
template <int MT> __host__ __device__ constexpr int skinny_bytes(int tile, int stages, int n_chunks)
{
    return stages * stage_bytes<MT>(tile) + (n_chunks > 1 ? 8 * MT * tile * 4 : 0) + 1024 +
           (groups_of(tile) * GROUP - tile) * STEP * 2;
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

#if __CUDA_ARCH_FEAT_SM90_ALL

template <int MT>
__device__ __forceinline__ void load_b(const skinny_room &r, const skinny_place &at, const skinny_args &g,
                                       int from, const CUtensorMap *map)
{
    barrier_expect(&r.full[at.stage], stage_bytes<MT>(g.tile));
    tma_load_once(r.stages + at.stage * stage_bytes<MT>(g.tile) + 8 * MT * STEP * 2, map, &r.full[at.stage],
                  from + at.s * STEP, at.tile * g.tile);
}

template <int MT>
__device__ __forceinline__ void load_a(const skinny_room &r, const skinny_place &at, const skinny_args &g,
                                       int from, const CUtensorMap *map)
{
    tma_load(r.stages + at.stage * stage_bytes<MT>(g.tile), map, &r.full[at.stage], from + at.s * STEP, 0);
}

/* By one thread. What comes of the kernel ahead is a. */
template <int MT>
__device__ __forceinline__ void fill(const skinny_room &r, const skinny_args &g, const CUtensorMap *map_a,
                                     const CUtensorMap *map_b)
{
    skinny_share share = share_of(g);
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

#endif

#endif
