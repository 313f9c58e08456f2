/* Products of few rows, where all the work is to read the weights: c (m, n) = a (m, k) b (n, k)^T + bias, on
 * sm_90a alone.
 *
 * Rows of weights are the 64 rows of wgmma, rows of a its columns, as few as there are. One thread of a block
 * keeps a ring of stages in shared memory filled; groups of four warps follow the chains of 64 rows of
 * weights each (of a tile of fewer, the rest is not looked at). Each chunk of k has a block of its own; the
 * blocks of a sum are a cluster, which share out the columns, send each other their sums and add them in the
 * balanced tree. Behind the end of k there are zeros.
 *
 * Where a graph is recorded, a block fills its ring with weights before the kernel ahead of it has ended. */
#include "launch.cuh"
#include "gemm_skinny_mma.cuh"
#include "gemm_skinny_ring.cuh"

enum {
    MOST_ROWS = 64,
    FEW_ROWS =
        32, /* for more, cuBLAS and gemm_tree.cu are as fast or faster but where there are many tiles */
    CONSUMERS = 128, /* threads of a group; behind all of them comes the one that fills the ring */
    TILE = 48,
    MOST_GROUPS = 2,
    MOST_THREADS = MOST_GROUPS * CONSUMERS + 32,
    OWN_BYTES = 2200 /* of shared memory that a block has beside what it asks for */
};

#if __CUDA_ARCH_FEAT_SM90_ALL

/* The group's chains over the stages of a tile. A stage may be filled again when the products of the next are
 * under way. */
template <int MT>
__device__ __forceinline__ void follow_chains(float (&sum)[4 * MT], const skinny_room &r,
                                              const skinny_args &g, int n_stages, int &stage, int &parity)
{
    for (int s = 0; s < n_stages; s++) {
        uint8_t *here = r.stages + stage * stage_bytes<MT>(g.tile);
        barrier_wait(&r.full[stage], parity);
        uint64_t a = descriptor(here + (8 * MT + threadIdx.x / CONSUMERS * GROUP) * STEP * 2),
                 b = descriptor(here);
        products_begin();
#    pragma unroll
        for (int j = 0; j < STEP / 16; j++)
            multiply_few(sum, a + 2 * j, b + 2 * j, s + j > 0);
        products_commit();
        products_wait<1>();
        if (s > 0 && threadIdx.x % CONSUMERS == 0)
            barrier_arrive(&r.empty[stage ? stage - 1 : g.stages - 1]);
        if (++stage == g.stages) {
            stage = 0;
            parity ^= 1;
        }
    }
    products_wait<0>();
    if (threadIdx.x % CONSUMERS == 0)
        barrier_arrive(&r.empty[stage ? stage - 1 : g.stages - 1]);
}

__device__ __forceinline__ void store_element(const fv_cuda_out &out, int row, int column, float x)
{
    x += fv_cuda_bias_at(out.bias, column);
    int64_t at = row * out.row + column;
    if (out.is_f32)
        ((float *)out.data)[at] = x;
    else
        ((bf16 *)out.data)[at] = narrow<bf16>(x);
}

/* Call f(row, column of the tile, sum) for the sums of a thread that are of the result. */
template <int MT, class F>
__device__ __forceinline__ void for_each_sum(const float (&sum)[4 * MT], int m, int tile, F f)
{
    int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
#    pragma unroll
    for (int e = 0; e < 4; e++)
#    pragma unroll
        for (int t = 0; t < MT; t++) {
            int y = 8 * t + lane % 4 * 2 + e % 2, column = row + e / 2 * 8;
            if (y < m && column < tile)
                f(y, column, sum[4 * t + e]);
        }
}

/* To the block of the cluster that adds the column. */
template <int MT>
__device__ __forceinline__ void send_sums(const skinny_room &r, const skinny_args &g,
                                          const float (&sum)[4 * MT])
{
    int share = g.tile / g.n_chunks, rank = blockIdx.x % g.n_chunks;
    uint32_t sums = shared_address(r.sums) + rank * 8 * MT * share * 4, there = shared_address(r.there);
    for_each_sum<MT>(sum, g.out.m, g.tile, [&](int y, int column, float x) {
        int to = column / share;
        send_to_block(in_block(sums + (y * share + column % share) * 4, to), x, in_block(there, to));
    });
}

/* This block's columns of the tile: the sums of all blocks in the balanced tree. */
template <int MT>
__device__ __forceinline__ void add_sums(const skinny_room &r, const skinny_args &g, int tile)
{
    int share = g.tile / g.n_chunks, first = tile * g.tile + blockIdx.x % g.n_chunks * share;
    for (int i = threadIdx.x; i < g.out.m * share; i += groups_of(g.tile) * CONSUMERS) {
        float part[FV_MAX_CHUNKS];
#    pragma unroll
        for (int p = 0; p < FV_MAX_CHUNKS; p++)
            if (p < g.n_chunks)
                part[p] = r.sums[p * 8 * MT * share + i];
#    pragma unroll
        for (int width = 1; width < FV_MAX_CHUNKS; width *= 2)
#    pragma unroll
            for (int p = 0; p + width < FV_MAX_CHUNKS; p += 2 * width)
                if (p + width < g.n_chunks)
                    part[p] = part[p] + part[p + width];
        if (first + i % share < g.out.n)
            store_element(g.out, i / share, first + i % share, part[0]);
    }
}

/* The end of a tile of which the block has a chunk. turn: whether its number is odd. Sums are read when the
 * bytes of all blocks have been counted at `there`, which is done as they are stored. They are sent for the
 * next tile when each warp of all blocks has told `gone` that it has read those of this one; so no block is
 * two tiles ahead, and the parity of the turn tells which one is waited for. */
template <int MT>
__device__ __forceinline__ void share_sums(const skinny_room &r, const skinny_args &g, int tile,
                                           const float (&sum)[4 * MT], int turn)
{
    skinny_share share = share_of(g);
    if (tile == share.first)
        wait_for_cluster();
    else
        barrier_wait(r.gone, turn ^ 1);
    if (!ALL_ARRIVE && threadIdx.x == 0)
        barrier_expect(r.there, g.out.m * g.tile * 4);
    send_sums<MT>(r, g, sum);
    if (ALL_ARRIVE)
        arrive_in_cluster(r.there, g.n_chunks);
    barrier_wait(r.there, turn);
    add_sums<MT>(r, g, tile);
    if (tile + share.step < share.tiles)
        let_blocks_write(r.gone, g.n_chunks);
}

template <int MT> __device__ __forceinline__ void multiply_tiles(const skinny_room &r, const skinny_args &g)
{
    skinny_share share = share_of(g);
    int stage = 0, parity = 0, turn = 0;
    for (int tile = share.first; tile < share.tiles; tile += share.step, turn ^= 1) {
        float sum[4 * MT];
        follow_chains<MT>(sum, r, g, share.stages, stage, parity);
        if (g.n_chunks > 1)
            share_sums<MT>(r, g, tile, sum, turn);
        else
            for_each_sum<MT>(sum, g.out.m, g.tile, [&](int y, int column, float x) {
                if (tile * g.tile + column < g.out.n)
                    store_element(g.out, y, tile * g.tile + column, x);
            });
    }
}

/* Thread 0 has initialised them. */
__device__ __forceinline__ void barriers_are_ready(const skinny_args &g)
{
    if (threadIdx.x == 0)
        barriers_are_initialised();
    if (g.n_chunks > 1)
        arrive_at_cluster();
    __syncthreads();
}

template <int MT> __device__ __forceinline__ skinny_room room_of(const skinny_args &g, uint8_t *raw)
{
    __shared__ uint64_t barriers[2 * MAX_STAGES + 2];
    uint8_t *at = raw + (1024 - shared_address(raw) % 1024) % 1024;
    skinny_room r = {at,
                     (float *)(at + g.stages * stage_bytes<MT>(g.tile)),
                     barriers,
                     barriers + MAX_STAGES,
                     barriers + 2 * MAX_STAGES,
                     barriers + 2 * MAX_STAGES + 1};
    if (threadIdx.x == 0) {
        for (int i = 0; i < g.stages; i++) {
            barrier_init(&r.full[i], 1);
            barrier_init(&r.empty[i], groups_of(g.tile));
        }
        barrier_init(r.there, ALL_ARRIVE ? groups_of(g.tile) * CONSUMERS * g.n_chunks : 1);
        barrier_init(r.gone, groups_of(g.tile) * CONSUMERS / 32 * PER_WARP * g.n_chunks);
    }
    barriers_are_ready(g);
    return r;
}

#endif

template <int MT>
__global__ __launch_bounds__(MOST_THREADS) void skinny_kernel(const __grid_constant__ CUtensorMap map_a,
                                                              const __grid_constant__ CUtensorMap map_b,
                                                              skinny_args g)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint8_t raw[];
    let_kernel_behind_start();
    if (threadIdx.x == 0)
        expect_maps(&map_a, &map_b);
    skinny_room r = room_of<MT>(g, raw);
    if (threadIdx.x < groups_of(g.tile) * CONSUMERS)
        multiply_tiles<MT>(r, g);
    else if (threadIdx.x == groups_of(g.tile) * CONSUMERS)
        fill<MT>(r, g, &map_a, &map_b);
#endif
}

/* How a product is cut: tiles of 8 rows of a; rows of b of a block; blocks of a processor. */
typedef struct skinny_form {
    int mt, tile, blocks;
} skinny_form;

typedef struct skinny_job {
    cudaStream_t stream;
    int n_processors, shared_bytes, is_recorded;
    skinny_form form;
    const fv_cuda_dots *dots;
} skinny_job;

/* As many as fit into a block's part of a processor's shared memory. */
template <int MT> static int stages_of(const skinny_job *job, int tile)
{
    int stages = MAX_STAGES, most = job->shared_bytes / job->form.blocks - OWN_BYTES;
    while (stages > 2 && skinny_bytes<MT>(tile, stages, job->dots->n_chunks) > most)
        stages--;
    return stages;
}

template <int MT> static fv_err launch(const skinny_job *job)
{
    static int is_ready;
    const fv_cuda_dots *d = job->dots;
    skinny_args g = {d->k / d->n_chunks, d->n_chunks};
    g.tile = job->form.tile;
    g.stages = stages_of<MT>(job, g.tile);
    g.out = d->out;
    CUtensorMap a, b;
    FV_TRY(fv_cuda_matrix_map(&a, d->a, d->out.m, d->k, d->a_row, 8 * MT));
    FV_TRY(fv_cuda_matrix_map(&b, d->b, d->out.n, d->k, d->b_row, g.tile));
    if (!is_ready)
        FV_CUDA(cudaFuncSetAttribute(skinny_kernel<MT>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     job->shared_bytes - OWN_BYTES));
    is_ready = 1;
    int tiles = (g.out.n + g.tile - 1) / g.tile, most = job->form.blocks * job->n_processors / g.n_chunks;
    fv_cuda_launch how = {};
    how.grid = (tiles < most ? tiles : most) * g.n_chunks;
    how.threads = groups_of(g.tile) * CONSUMERS + 32;
    how.bytes = skinny_bytes<MT>(g.tile, g.stages, g.n_chunks);
    how.cluster = g.n_chunks;
    how.is_chained = job->is_recorded;
    how.stream = job->stream;
    return fv_cuda_start(how, skinny_kernel<MT>, a, b, g);
}

static int tiles_of(const fv_cuda_dots *d, int tile)
{
    return (d->out.n + tile - 1) / tile;
}

/* Measured on an H200. Blocks of a product of few tiles have a processor's shared memory whole if a tile does
 * not fit into it; if it does, half is left to the next product. Of many rows tiles are larger, for the rows
 * are loaded again with each of them. */
static skinny_form form_of(const fv_cuda_state *s, const fv_cuda_dots *d)
{
    int mt = d->out.m <= 8 ? 1 : d->out.m <= 16 ? 2 : d->out.m <= 32 ? 4 : 8;
    if (d->n_chunks > 1)
        return {mt, 64, 2};
    if (d->out.m > FEW_ROWS)
        return {mt, 2 * TILE, 1};
    return {mt, TILE, tiles_of(d, TILE) > s->n_processors || TILE * d->k * 2 <= s->shared_bytes ? 2 : 1};
}

int fv_cuda_skinny_fits(fv_backend *backend, const fv_cuda_dots *d)
{
    const fv_cuda_state *s = fv_cuda_state_of(backend);
    if (s->compute_capability != 90 || d->out.m > MOST_ROWS)
        return 0;
    return d->n_chunks > 1 ? d->out.m <= FEW_ROWS && d->k % (d->n_chunks * STEP) == 0
                           : d->out.m <= FEW_ROWS || tiles_of(d, 2 * TILE) > s->n_processors;
}

fv_err fv_cuda_skinny(fv_backend *backend, const fv_cuda_dots *d)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    skinny_job job = {s->stream[FV_STREAM_COMPUTE],     s->n_processors, s->shared_bytes,
                      s->is_recording && !d->has_new_b, form_of(s, d),   d};
    switch (job.form.mt) {
    case 1:
        return launch<1>(&job);
    case 2:
        return launch<2>(&job);
    case 4:
        return launch<4>(&job);
    default:
        return launch<8>(&job);
    }
}
