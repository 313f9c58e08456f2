/* Products of few rows, where all the work is to read the weights: c (m, n) = a (m, k) b (n, k)^T + bias.
 *
 * Rows of weights are the 16 rows of mma.sync, rows of a its 8 columns, so that little of the tensor cores is
 * lost to rows that are not there. One warp of a block fills a ring of stages in shared memory, deep enough
 * to keep the memory busy; each of the others follows the chains of 16 rows of weights. Each chunk of k has a
 * block of its own; the blocks of a sum are a cluster, which share out the columns, send each other their
 * sums and add them in the balanced tree. Before sm_90 there are neither clusters nor a copy engine: there
 * the filling warp copies, and k is one chunk.
 *
 * Where a graph is recorded, a block fills its ring with weights before the kernel ahead of it has ended. */
#include "launch.cuh"
#include "gemm_skinny_ring.cuh"

enum {
    MOST_ROWS = 16,
    MAX_THREADS = 32 * 5,
    OWN_BYTES = 2200 /* of shared memory that a block has beside what it asks for */
};

/* Operands of one k16 step. */
template <int MT> struct skinny_operands {
    uint32_t b[4], a[MT][2];
};

/* Where a thread finds them in a stage: b of each step, a of the steps of a slab. */
struct skinny_places {
    uint32_t b[STEPS], a[SLAB / 16];
};

template <int MT> __device__ __forceinline__ skinny_places places_of(int tile, int row)
{
    skinny_places p;
    int lane = threadIdx.x % 32, of_a = (MT > 1 ? lane / 16 * 8 : 0) + lane % 8;
#pragma unroll
    for (int j = 0; j < STEPS; j++)
        p.b[j] = 8 * MT * STEP * 2 + (j * 16 / SLAB * tile + row + lane % 16) * SLAB * 2 +
                 ((j * 16 % SLAB / 8 + lane / 16) ^ lane % 8) * 16;
#pragma unroll
    for (int j = 0; j < SLAB / 16; j++)
        p.a[j] = of_a * SLAB * 2 + ((j * 2 + lane / 8 % 2) ^ lane % 8) * 16;
    return p;
}

template <int MT>
__device__ __forceinline__ void load_operands(skinny_operands<MT> &x, uint32_t stage, const skinny_places &p,
                                              int j)
{
    uint32_t a = stage + p.a[j % (SLAB / 16)] + j * 16 / SLAB * 8 * MT * SLAB * 2;
    load_matrices(x.b, stage + p.b[j]);
    if constexpr (MT == 1) {
        load_two_matrices(x.a[0], a);
    } else {
#pragma unroll
        for (int i = 0; i < MT; i += 2)
            load_matrices(&x.a[i][0], a + 8 * i * SLAB * 2);
    }
}

/* The chains of a warp over the stages of a tile. Operands are loaded AHEAD steps before they are multiplied,
 * across stages too; when the last ones of a stage are, it may be filled again. */
template <int MT>
__device__ __forceinline__ void follow_chains(float (&sum)[MT][4], const skinny_room &r, const skinny_args &g,
                                              int n_stages, const skinny_places &places, int &stage,
                                              int &parity)
{
    constexpr int AHEAD = 2;
    skinny_operands<MT> x[2 * AHEAD];
    uint32_t base = shared_address(r.stages), here = base + stage * stage_bytes<MT>(g.tile);
    wait_for_stage(&r.full[stage], parity);
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
        load_operands<MT>(x[j], here, places, j);
    for (int s = 0; s < n_stages; s++) {
        int steps = (g.chunk - s * STEP + 15) / 16, is_last = s + 1 == n_stages;
#pragma unroll
        for (int j = 0; j < STEPS; j++) {
            if (j + AHEAD == STEPS) {
                __syncwarp();
                if (threadIdx.x % 32 == 0)
                    arrive(&r.empty[stage]);
                if (++stage == g.stages) {
                    stage = 0;
                    parity ^= 1;
                }
                here = base + stage * stage_bytes<MT>(g.tile);
                if (!is_last)
                    wait_for_stage(&r.full[stage], parity);
            }
            if (j + AHEAD < STEPS || !is_last)
                load_operands<MT>(x[(j + AHEAD) % (2 * AHEAD)], here, places, (j + AHEAD) % STEPS);
            if (j < steps) {
#pragma unroll
                for (int t = 0; t < MT; t++)
                    multiply_16x8x16(sum[t], x[j % (2 * AHEAD)].b, x[j % (2 * AHEAD)].a[t]);
            }
        }
    }
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
__device__ __forceinline__ void for_each_sum(const float (&sum)[MT][4], int m, int row, F f)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int e = 0; e < 4; e++)
#pragma unroll
        for (int t = 0; t < MT; t++) {
            int y = 8 * t + lane % 4 * 2 + e % 2;
            if (y < m)
                f(y, row + lane / 4 + e / 2 * 8, sum[t][e]);
        }
}

#if __CUDA_ARCH__ >= 900

/* To the block of the cluster that adds the column. */
template <int MT>
__device__ __forceinline__ void send_sums(const skinny_room &r, const skinny_args &g,
                                          const float (&sum)[MT][4], int row)
{
    int share = g.tile / g.n_chunks, rank = blockIdx.x % g.n_chunks;
    uint32_t sums = shared_address(r.sums) + rank * 8 * MT * share * 4, there = shared_address(r.there);
    for_each_sum<MT>(sum, g.out.m, row, [&](int y, int column, float x) {
        int to = column / share;
        send_to_block(in_block(sums + (y * share + column % share) * 4, to), x, in_block(there, to));
    });
}

/* This block's columns of the tile: the sums of all blocks in the balanced tree. */
template <int MT>
__device__ __forceinline__ void add_sums(const skinny_room &r, const skinny_args &g, int tile)
{
    int share = g.tile / g.n_chunks, first = tile * g.tile + blockIdx.x % g.n_chunks * share;
    for (int i = threadIdx.x - 32; i < g.out.m * share; i += blockDim.x - 32) {
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

/* The end of a tile of which the block has a chunk. turn: whether its number is odd. */
template <int MT>
__device__ __forceinline__ void share_sums(const skinny_room &r, const skinny_args &g, int tile,
                                           const float (&sum)[MT][4], int row, int turn)
{
    skinny_share share = share_of(g);
    if (tile == share.first)
        wait_for_cluster();
    else
        wait_for_stage(r.gone, turn ^ 1);
    if (threadIdx.x == 32)
        barrier_expect(r.there, g.out.m * g.tile * 4);
    send_sums<MT>(r, g, sum, row);
    wait_for_stage(r.there, turn);
    add_sums<MT>(r, g, tile);
    if (tile + share.step < share.tiles)
        let_blocks_write(r.gone, g.n_chunks);
}

#endif

template <int MT> __device__ __forceinline__ void multiply_tiles(const skinny_room &r, const skinny_args &g)
{
    skinny_share share = share_of(g);
    int row = (threadIdx.x / 32 - 1) * 16, stage = 0, parity = 0, turn = 0;
    skinny_places places = places_of<MT>(g.tile, row);
    for (int tile = share.first; tile < share.tiles; tile += share.step, turn ^= 1) {
        float sum[MT][4] = {};
        follow_chains<MT>(sum, r, g, share.stages, places, stage, parity);
#if __CUDA_ARCH__ >= 900
        if (g.n_chunks > 1) {
            share_sums<MT>(r, g, tile, sum, row, turn);
            continue;
        }
#endif
        for_each_sum<MT>(sum, g.out.m, tile * g.tile + row, [&](int y, int column, float x) {
            if (column < g.out.n)
                store_element(g.out, y, column, x);
        });
    }
}

/* Thread 0 has initialised them. */
__device__ __forceinline__ void barriers_are_ready(const skinny_args &g)
{
#if __CUDA_ARCH__ >= 900
    if (threadIdx.x == 0)
        barriers_are_initialised();
    if (g.n_chunks > 1)
        arrive_at_cluster();
#endif
    __syncthreads();
}

template <int MT> __device__ __forceinline__ skinny_room room_of(const skinny_args &g, uint8_t *raw)
{
    __shared__ uint64_t barriers[2 * MAX_STAGES + 2];
    uint8_t *at = raw + (1024 - shared_address(raw) % 1024) % 1024;
    int warps = blockDim.x / 32 - 1;
    skinny_room r = {at,
                     (float *)(at + g.stages * stage_bytes<MT>(g.tile)),
                     barriers,
                     barriers + MAX_STAGES,
                     barriers + 2 * MAX_STAGES,
                     barriers + 2 * MAX_STAGES + 1};
    if (threadIdx.x == 0) {
        for (int i = 0; i < g.stages; i++) {
            barrier_init(&r.full[i], FILLERS);
            barrier_init(&r.empty[i], warps);
        }
        barrier_init(r.there, 1);
        barrier_init(r.gone, warps * g.n_chunks);
    }
    barriers_are_ready(g);
    return r;
}

template <int MT>
__global__ __launch_bounds__(MAX_THREADS) void skinny_kernel(const __grid_constant__ CUtensorMap map_a,
                                                             const __grid_constant__ CUtensorMap map_b,
                                                             skinny_args g)
{
    extern __shared__ __align__(1024) uint8_t raw[];
#if __CUDA_ARCH__ >= 900
    let_kernel_behind_start();
    if (threadIdx.x == 0)
        expect_maps(&map_a, &map_b);
#endif
    skinny_room r = room_of<MT>(g, raw);
    if (threadIdx.x < 32)
        fill<MT>(r, g, &map_a, &map_b);
    else
        multiply_tiles<MT>(r, g);
}

/* How a product is cut: tiles of 8 rows of a; warps that multiply; blocks of a processor. */
typedef struct skinny_form {
    int mt, warps, blocks;
} skinny_form;

typedef struct skinny_job {
    cudaStream_t stream;
    int n_processors, shared_bytes, has_maps, is_recorded;
    skinny_form form;
    const fv_cuda_dots *dots;
} skinny_job;

/* As many as fit into a block's part of a processor's shared memory. */
template <int MT> static int stages_of(const skinny_job *job, int tile)
{
    int stages = MAX_STAGES, most = job->shared_bytes / job->form.blocks - OWN_BYTES;
    while (stages > 2 && skinny_bytes<MT>(tile, stages) > most)
        stages--;
    return stages;
}

template <int MT> static fv_err launch(const skinny_job *job)
{
    static int is_ready;
    const fv_cuda_dots *d = job->dots;
    skinny_args g = {d->a, d->b, d->a_row, d->b_row, d->k, d->k / d->n_chunks, d->n_chunks};
    g.tile = 16 * job->form.warps;
    g.stages = stages_of<MT>(job, g.tile);
    g.out = d->out;
    CUtensorMap a = {}, b = {};
    if (job->has_maps) {
        FV_TRY(fv_cuda_matrix_map(&a, d->a, d->out.m, d->k, d->a_row, 8 * MT));
        FV_TRY(fv_cuda_matrix_map(&b, d->b, d->out.n, d->k, d->b_row, g.tile));
    }
    if (!is_ready)
        FV_CUDA(cudaFuncSetAttribute(skinny_kernel<MT>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     job->shared_bytes - OWN_BYTES));
    is_ready = 1;
    int tiles = (g.out.n + g.tile - 1) / g.tile, most = job->form.blocks * job->n_processors / g.n_chunks;
    fv_cuda_launch how = {};
    how.grid = (tiles < most ? tiles : most) * g.n_chunks;
    how.threads = 32 * (job->form.warps + 1);
    how.bytes = skinny_bytes<MT>(g.tile, g.stages);
    how.cluster = g.n_chunks;
    how.is_chained = job->is_recorded;
    how.stream = job->stream;
    return fv_cuda_start(how, skinny_kernel<MT>, a, b, g);
}

/* Measured on an H200: sums of a cluster go by small tiles, of which a processor has many. */
static skinny_form form_of(const fv_cuda_dots *d)
{
    int mt = d->out.m <= 8 ? 1 : 2;
    if (d->n_chunks > 1)
        return mt == 1 ? skinny_form{1, 3, 3} : skinny_form{2, 4, 2};
    return {mt, 3, 2};
}

int fv_cuda_skinny_fits(fv_backend *backend, const fv_cuda_dots *d)
{
    return d->out.m <= MOST_ROWS && (d->n_chunks == 1 || fv_cuda_state_of(backend)->compute_capability == 90);
}

fv_err fv_cuda_skinny(fv_backend *backend, const fv_cuda_dots *d)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    int has_maps = s->compute_capability == 90; /* others run what is made for sm_80 */
    skinny_job job = {s->stream[FV_STREAM_COMPUTE],
                      s->n_processors,
                      s->shared_bytes,
                      has_maps,
                      has_maps && s->is_recording && !d->has_new_b,
                      form_of(d),
                      d};
    return job.form.mt == 1 ? launch<1>(&job) : launch<2>(&job);
}
