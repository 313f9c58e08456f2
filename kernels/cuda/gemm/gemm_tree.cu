/* Products cut into chunks of k, in one kernel (sm_90a): a block of groups of four warps computes a tile of
 * up to 128 x 128 while another keeps its ring of operand tiles filled. Each chunk is one chain of wgmma k16
 * steps from zero; what waits for its neighbour in the balanced tree stays in registers, at most log2(chunks)
 * parts of the tile, so that the tree costs nothing beside the chains. Where there are too few tiles for all
 * processors, the blocks of a cluster share out the chunks and add their subtrees. Chunks are whole steps of
 * STEP. */
#include "gemm.cuh"
#include "launch.cuh"
#include "gemm_sums.cuh"

enum { TILE = 128, STEP = 64, ROWS_OF_TILES = 8 /* that share columns of b in the cache */ };

typedef struct tree_args {
    int k, cluster; /* cluster: blocks that share out the chunks of a tile */
    fv_cuda_out out;
} tree_args;

/* What a kernel is made for: chunks of a block; groups of 64 rows; whether its block is one of a cluster, and
 * keeps room for sums. */
template <int CHUNKS_, int GROUPS_, int SHARES_> struct tree_form {
    static constexpr int CHUNKS = CHUNKS_, GROUPS = GROUPS_, SHARES = SHARES_, ROWS = 64 * GROUPS,
                         STAGES = SHARES ? 4 + 2 * (GROUPS == 1) : 6, A = ROWS * STEP, B = TILE * STEP,
                         BYTES = STAGES * (A + B) * 2 + (SHARES ? ROWS * sums_row(TILE) * 4 : 0) + 1024;
};

/* The ring of operand tiles in shared memory: full[i] waits for its bytes, empty[i] for all groups of
 * readers. */
struct ring {
    bf16 *a, *b;
    uint64_t *full, *empty;
};

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

/* What a block does: tiles first, first + step, ... below tiles_m * tiles_n; steps of k from k on. */
struct tree_share {
    int first, step, tiles_m, tiles_n, steps, k;
};

template <class F> __device__ __forceinline__ tree_share share_of(const tree_args &g)
{
    int cluster = F::SHARES ? g.cluster : 1, steps = g.k / STEP / cluster;
    return {(int)blockIdx.x / cluster,
            (int)gridDim.x / cluster,
            (g.out.m + F::ROWS - 1) / F::ROWS,
            (g.out.n + TILE - 1) / TILE,
            steps,
            (int)blockIdx.x % cluster * steps * STEP};
}

/* One thread fills the ring for all tiles of the block: at first with b alone, which the kernel ahead does
 * not make. */
template <class F>
__device__ __forceinline__ void fill_ring(const ring &r, const CUtensorMap *map_a, const CUtensorMap *map_b,
                                          const tree_args &g)
{
    tree_share share = share_of<F>(g);
    tile_place start = place_of(share.first, share.tiles_m, share.tiles_n);
    int stage = 0, phase = 0, ahead = share.steps < F::STAGES ? share.steps : F::STAGES;
    for (int s = 0; s < ahead; s++) {
        barrier_expect(&r.full[s], (F::A + F::B) * (int)sizeof(bf16));
        tma_load(r.b + s * F::B, map_b, &r.full[s], share.k + s * STEP, start.n * TILE);
    }
    wait_for_kernel_ahead();
    for (int tile = share.first; tile < share.tiles_m * share.tiles_n; tile += share.step) {
        tile_place at = place_of(tile, share.tiles_m, share.tiles_n);
        for (int s = 0; s < share.steps; s++) {
            if (tile > share.first || s >= ahead) {
                barrier_wait(&r.empty[stage], phase ^ 1);
                barrier_expect(&r.full[stage], (F::A + F::B) * (int)sizeof(bf16));
                tma_load(r.b + stage * F::B, map_b, &r.full[stage], share.k + s * STEP, at.n * TILE);
            }
            tma_load(r.a + stage * F::A, map_a, &r.full[stage], share.k + s * STEP, at.m * F::ROWS);
            if (++stage == F::STAGES) {
                stage = 0;
                phase ^= 1;
            }
        }
    }
}

/* Rows row and row + 8 of the result, columns of the tile. */
__device__ __forceinline__ void store_tile(const fv_cuda_out &out, const float (&acc)[TILE / 2], int row,
                                           int column0)
{
#pragma unroll
    for (int i = 0; i < TILE / 8; i++) {
        int column = column0 + i * 8 + threadIdx.x % 4 * 2;
        if (column >= out.n)
            continue;
        float b0 = fv_cuda_bias_at(out.bias, column), b1 = fv_cuda_bias_at(out.bias, column + 1);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int r = row + 8 * half;
            if (r >= out.m)
                continue;
            float x = acc[4 * i + 2 * half] + b0, y = acc[4 * i + 2 * half + 1] + b1;
            if (out.is_f32)
                *(float2 *)((float *)out.data + r * out.row + column) = make_float2(x, y);
            else
                *(__nv_bfloat162 *)((bf16 *)out.data + r * out.row + column) = __floats2bfloat162_rn(x, y);
        }
    }
}

/* The same rows of the tile into shared memory. */
__device__ __forceinline__ void write_sums(const cluster_sums &s, const float (&acc)[TILE / 2], int row)
{
#pragma unroll
    for (int i = 0; i < TILE / 8; i++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            *(float2 *)&s.at[(row + 8 * half) * s.row + i * 8 + threadIdx.x % 4 * 2] =
                make_float2(acc[4 * i + 2 * half], acc[4 * i + 2 * half + 1]);
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
template <class F>
__device__ __forceinline__ void multiply_tiles(const ring &r, const cluster_sums &sums, const tree_args &g)
{
    tree_share share = share_of<F>(g);
    int wg = threadIdx.x / 128 - 1, t = threadIdx.x % 128, stage = 0, phase = 0, turn = 0;
    int per = share.steps / F::CHUNKS, row = wg * 64 + t / 32 * 16 + t % 32 / 4;
    for (int tile = share.first; tile < share.tiles_m * share.tiles_n; tile += share.step, turn ^= 1) {
        tile_place at = place_of(tile, share.tiles_m, share.tiles_n);
        float acc[TILE / 2];
        auto chunk = [&](float(&d)[TILE / 2]) {
            for (int s = 0; s < per; s++) {
                barrier_wait(&r.full[stage], phase);
                uint64_t da = descriptor(r.a + stage * F::A + wg * 64 * STEP),
                         db = descriptor(r.b + stage * F::B);
                products_begin();
#pragma unroll
                for (int k = 0; k < STEP / 16; k++)
                    multiply_add(d, da + 2 * k, db + 2 * k, s + k > 0);
                products_commit();
                products_wait<1>();
                if (s > 0 && t == 0)
                    barrier_arrive(&r.empty[stage ? stage - 1 : F::STAGES - 1]);
                if (++stage == F::STAGES) {
                    stage = 0;
                    phase ^= 1;
                }
            }
            products_wait<0>();
            if (t == 0)
                barrier_arrive(&r.empty[stage ? stage - 1 : F::STAGES - 1]);
        };
        if constexpr (F::CHUNKS == 1) {
            chunk(acc);
        } else {
            float p[TILE / 2];
            chunk(p);
            if constexpr (F::CHUNKS == 4) {
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
        }
        /* Sums are read when all warps of the cluster have told `there` that theirs are written. They are
         * written again when all have told `gone` that they have read; nor does a block end before. */
        if constexpr (F::SHARES) {
            if (tile != share.first)
                wait_in_cluster(sums.gone, turn ^ 1);
            write_sums(sums, acc, row);
            arrive_in_cluster(sums.there, g.cluster);
            wait_in_cluster(sums.there, turn);
            store_sums(sums, g.out, at.m * F::ROWS, F::ROWS, at.n * TILE, TILE, threadIdx.x - 128,
                       F::ROWS * 2);
            arrive_in_cluster(sums.gone, g.cluster);
        } else {
            store_tile(g.out, acc, at.m * F::ROWS + row, at.n * TILE);
        }
    }
    if constexpr (F::SHARES)
        wait_in_cluster(sums.gone, turn ^ 1);
}

template <class F>
__global__ __launch_bounds__(128 * (F::GROUPS + 1),
                             1) void tree_kernel(const __grid_constant__ CUtensorMap map_a,
                                                 const __grid_constant__ CUtensorMap map_b, const tree_args g)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    let_kernel_behind_start();
    extern __shared__ __align__(1024) uint8_t raw[];
    __shared__ uint64_t full[F::STAGES], empty[F::STAGES], there, gone;
    ring r = {(bf16 *)raw, (bf16 *)raw + F::STAGES * F::A, full, empty};
    cluster_sums sums = {(float *)(r.b + F::STAGES * F::B), sums_row(TILE), &there, &gone, g.cluster,
                         (int)blockIdx.x % g.cluster};
    if (threadIdx.x == 0) {
        for (int i = 0; i < F::STAGES; i++) {
            barrier_init(&full[i], 1);
            barrier_init(&empty[i], F::GROUPS);
        }
        barrier_init(&there, 4 * PER_WARP * F::GROUPS * g.cluster);
        barrier_init(&gone, 4 * PER_WARP * F::GROUPS * g.cluster);
    }
    if (threadIdx.x == 0)
        barriers_are_initialised();
    __syncthreads();
    arrive_at_cluster();
    wait_for_cluster();
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0)
            fill_ring<F>(r, &map_a, &map_b, g);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        multiply_tiles<F>(r, sums, g);
    }
#endif
}

typedef struct tree_job {
    cudaStream_t stream;
    int n_processors, is_recorded;
    const fv_cuda_dots *dots;
} tree_job;

template <class F> static fv_err launch(const tree_job *job)
{
    static int is_ready;
    const fv_cuda_dots *d = job->dots;
    CUtensorMap a, b;
    FV_TRY(fv_cuda_matrix_map(&a, d->a, d->out.m, d->k, d->a_row, F::ROWS));
    FV_TRY(fv_cuda_matrix_map(&b, d->b, d->out.n, d->k, d->b_row, TILE));
    if (!is_ready)
        FV_CUDA(cudaFuncSetAttribute(tree_kernel<F>, cudaFuncAttributeMaxDynamicSharedMemorySize, F::BYTES));
    is_ready = 1;
    tree_args g = {d->k, d->n_chunks / F::CHUNKS, d->out};
    int tiles = (g.out.m + F::ROWS - 1) / F::ROWS * ((g.out.n + TILE - 1) / TILE),
        most = job->n_processors / g.cluster;
    fv_cuda_launch how = {};
    how.grid = (tiles < most ? tiles : most) * g.cluster;
    how.threads = 128 * (F::GROUPS + 1);
    how.bytes = F::BYTES;
    how.cluster = g.cluster;
    how.is_chained = job->is_recorded;
    how.stream = job->stream;
    return fv_cuda_start(how, tree_kernel<F>, a, b, g);
}

int fv_cuda_tree_fits(fv_backend *backend, const fv_cuda_dots *d)
{
    int n = d->n_chunks;
    return fv_cuda_state_of(backend)->compute_capability == 90 && (n == 2 || n == 4 || n == 8) &&
           d->k % (n * STEP) == 0;
}

/* The blocks of a cluster share out the chunks of a tile, as many as there are processors for. */
fv_err fv_cuda_tree(fv_backend *backend, const fv_cuda_dots *d)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    tree_job job = {s->stream[FV_STREAM_COMPUTE], s->n_processors, s->is_recording && !d->has_new_b, d};
    int tiles = (d->out.m + TILE - 1) / TILE * ((d->out.n + TILE - 1) / TILE),
        has_pairs = d->out.is_aligned && d->out.n % 2 == 0, blocks = 1;
    while (blocks < d->n_chunks && 2 * blocks * tiles <= s->n_processors)
        blocks *= 2;
    if (blocks == 1 && (!has_pairs || d->n_chunks == 8)) /* a block of its own stores pairs of columns */
        blocks = 2;
    switch (d->n_chunks / blocks) {
    case 1:
        return d->out.m <= 64 ? launch<tree_form<1, 1, 1>>(&job) : launch<tree_form<1, 2, 1>>(&job);
    case 2:
        return blocks > 1 ? launch<tree_form<2, 2, 1>>(&job) : launch<tree_form<2, 2, 0>>(&job);
    default:
        return blocks > 1 ? launch<tree_form<4, 2, 1>>(&job) : launch<tree_form<4, 2, 0>>(&job);
    }
}
