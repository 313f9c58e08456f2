/* Products cut into chunks of k, in one kernel (sm_90a): a block of two groups of four warps computes a tile
 * of 128 x 128 while a third keeps its ring of operand tiles filled. Each chunk is one chain of wgmma k16
 * steps from zero; what waits for its neighbour in the balanced tree stays in registers, at most log2(chunks)
 * parts of the tile, so that the tree costs nothing beside the chains. Chunks are whole steps of STEP. */
#include "gemm.cuh"
#include "hopper.cuh"

#include <cudaTypedefs.h>

enum { TILE = 128, STEP = 64, STAGES = 6, ROWS_OF_TILES = 8 /* that share columns of b in the cache */ };

typedef struct tree_args {
    int m, n, k, n_chunks;
    void *c;
    int64_t c_row;
    int c_is_f32;
    fv_cuda_bias bias;
} tree_args;

/* The ring of operand tiles in shared memory: full[i] waits for its bytes, empty[i] for both groups of
 * readers. */
struct ring {
    bf16 *a, *b;
    uint64_t *full, *empty;
};

__device__ __forceinline__ void ring_init(const ring &r)
{
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(&r.full[i], 1);
            barrier_init(&r.empty[i], 2);
        }
        asm volatile("fence.mbarrier_init.release.cluster;");
    }
    __syncthreads();
}

struct tile_place {
    int m, n; /* in tiles */
};

/* Groups of rows of tiles go along the columns together: they share columns of b in the cache. */
__device__ __forceinline__ tile_place place_of(int tile, int tiles_m, int tiles_n)
{
    int per = ROWS_OF_TILES * tiles_n, first = tile / per * ROWS_OF_TILES,
        size = min(tiles_m - first, (int)ROWS_OF_TILES), in = tile % per;
    return {first + in % size, in / size};
}

/* One thread fills the ring for all tiles of the block. */
__device__ __forceinline__ void fill_ring(const ring &r, const CUtensorMap *map_a, const CUtensorMap *map_b,
                                          const tree_args &g)
{
    int tiles_m = (g.m + TILE - 1) / TILE, tiles_n = (g.n + TILE - 1) / TILE, stage = 0, phase = 0;
    for (int tile = blockIdx.x; tile < tiles_m * tiles_n; tile += gridDim.x) {
        tile_place at = place_of(tile, tiles_m, tiles_n);
        for (int s = 0; s < g.k / STEP; s++) {
            barrier_wait(&r.empty[stage], phase ^ 1);
            barrier_expect(&r.full[stage], 2 * TILE * STEP * (int)sizeof(bf16));
            tma_load(r.a + stage * TILE * STEP, map_a, &r.full[stage], s * STEP, at.m * TILE);
            tma_load(r.b + stage * TILE * STEP, map_b, &r.full[stage], s * STEP, at.n * TILE);
            if (++stage == STAGES) {
                stage = 0;
                phase ^= 1;
            }
        }
    }
}

/* Rows row and row + 8 of the result, columns of the tile. */
__device__ __forceinline__ void store_tile(const tree_args &g, const float (&acc)[TILE / 2], int row,
                                           int column0)
{
#pragma unroll
    for (int i = 0; i < TILE / 8; i++) {
        int column = column0 + i * 8 + threadIdx.x % 4 * 2;
        if (column >= g.n)
            continue;
        float b0 = fv_cuda_bias_at(g.bias, column), b1 = fv_cuda_bias_at(g.bias, column + 1);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int r = row + 8 * half;
            if (r >= g.m)
                continue;
            float x = acc[4 * i + 2 * half] + b0, y = acc[4 * i + 2 * half + 1] + b1;
            if (g.c_is_f32)
                *(float2 *)((float *)g.c + r * g.c_row + column) = make_float2(x, y);
            else
                *(__nv_bfloat162 *)((bf16 *)g.c + r * g.c_row + column) = __floats2bfloat162_rn(x, y);
        }
    }
}

/* A node of the tree: what came takes in what waited. */
__device__ __forceinline__ void add_to(float (&x)[TILE / 2], const float (&waits)[TILE / 2])
{
#pragma unroll
    for (int i = 0; i < TILE / 2; i++)
        x[i] = waits[i] + x[i];
}

/* What the groups of products do. The ring and its place in it stay in locals that a lambda shares, for in
 * any other form the accumulators did not stay in registers. */
template <int CH> __device__ __forceinline__ void multiply_tiles(const ring &r, const tree_args &g)
{
    int wg = threadIdx.x / 128 - 1, t = threadIdx.x % 128, stage = 0, phase = 0;
    int tiles_m = (g.m + TILE - 1) / TILE, tiles_n = (g.n + TILE - 1) / TILE, per = g.k / STEP / CH;
    for (int tile = blockIdx.x; tile < tiles_m * tiles_n; tile += gridDim.x) {
        tile_place at = place_of(tile, tiles_m, tiles_n);
        float acc[TILE / 2];
        auto chunk = [&](float(&d)[TILE / 2]) {
            for (int s = 0; s < per; s++) {
                barrier_wait(&r.full[stage], phase);
                uint64_t da = descriptor(r.a + stage * TILE * STEP + wg * 64 * STEP),
                         db = descriptor(r.b + stage * TILE * STEP);
                asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
                for (int k = 0; k < STEP / 16; k++)
                    multiply_add(d, da + 2 * k, db + 2 * k, s + k > 0);
                asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
                asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
                if (s > 0 && t == 0)
                    barrier_arrive(&r.empty[stage ? stage - 1 : STAGES - 1]);
                if (++stage == STAGES) {
                    stage = 0;
                    phase ^= 1;
                }
            }
            asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
            if (t == 0)
                barrier_arrive(&r.empty[stage ? stage - 1 : STAGES - 1]);
        };
        float p[TILE / 2];
        chunk(p);
        if constexpr (CH == 4) {
            float q[TILE / 2];
            chunk(q);
            add_to(p, q);
            chunk(q);
            chunk(acc);
            add_to(acc, q);
        } else {
            chunk(acc);
        }
        add_to(acc, p);
        store_tile(g, acc, at.m * TILE + wg * 64 + t / 32 * 16 + t % 32 / 4, at.n * TILE);
    }
}

template <int CH>
__global__ __launch_bounds__(384, 1) void tree_kernel(const __grid_constant__ CUtensorMap map_a,
                                                      const __grid_constant__ CUtensorMap map_b,
                                                      const tree_args g)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint8_t raw[];
    __shared__ uint64_t full[STAGES], empty[STAGES];
    ring r = {(bf16 *)raw, (bf16 *)raw + STAGES * TILE * STEP, full, empty};
    ring_init(r);
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0)
            fill_ring(r, &map_a, &map_b, g);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        multiply_tiles<CH>(r, g);
    }
#endif
}

static fv_err map_of(CUtensorMap *map, const fv_tensor *t)
{
    static PFN_cuTensorMapEncodeTiled_v12000 encode;
    if (!encode) {
        cudaDriverEntryPointQueryResult found;
        FV_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", (void **)&encode, 12000,
                                                 cudaEnableDefault, &found));
    }
    cuuint64_t dims[2] = {(cuuint64_t)t->dim[1], (cuuint64_t)t->dim[0]},
               stride[1] = {(cuuint64_t)t->stride * sizeof(bf16)};
    cuuint32_t box[2] = {STEP, TILE}, steps[2] = {1, 1};
    CUresult result = encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, t->data, dims, stride, box, steps,
                             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    FV_CHECK(result == CUDA_SUCCESS, FV_ERR_DEVICE, "gemm: the driver refuses the map of a matrix: error %d",
             (int)result);
    return FV_OK;
}

int fv_cuda_tree_fits(fv_backend *backend, const fv_gemm_args *args)
{
    const fv_tensor *t[] = {&args->a, &args->b, &args->c};
    int n = args->chunks.n;
    int64_t k = args->a.dim[1], m = args->c.dim[0];
    if (fv_cuda_state_of(backend)->compute_capability != 90 || args->trans_a || !args->trans_b ||
        args->accumulate)
        return 0;
    for (int i = 0; i < 3; i++)
        if ((uintptr_t)t[i]->data % 16 || t[i]->stride % 8)
            return 0;
    for (int c = 0; c < n; c++)
        if (fv_chunks_end(args->chunks, c) != (c + 1) * (k / n))
            return 0;
    return (n == 2 || n == 4) && k % (n * STEP) == 0 && m >= 64 && args->c.dim[1] % 2 == 0;
}

template <int N> static fv_err launch(fv_backend *backend, const fv_gemm_args *args, const tree_args &g)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    CUtensorMap a, b;
    int bytes = STAGES * 2 * TILE * STEP * (int)sizeof(bf16) + 1024;
    FV_TRY(map_of(&a, &args->a));
    FV_TRY(map_of(&b, &args->b));
    FV_CUDA(cudaFuncSetAttribute(tree_kernel<N>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    tree_kernel<N><<<s->n_processors, 384, bytes, s->stream[FV_STREAM_COMPUTE]>>>(a, b, g);
    return fv_cuda_launched("gemm");
}

fv_err fv_cuda_tree(fv_backend *backend, const fv_gemm_args *args)
{
    tree_args g = {
        (int)args->c.dim[0], (int)args->c.dim[1], (int)args->a.dim[1],     args->chunks.n,
        args->c.data,        args->c.stride,      args->c.dtype == FV_F32, fv_cuda_bias_of(args->bias)};
    return g.n_chunks == 2 ? launch<2>(backend, args, g) : launch<4>(backend, args, g);
}
