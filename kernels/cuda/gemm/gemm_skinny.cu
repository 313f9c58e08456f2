/* Products of few rows, where all the work is to read the weights: c (m, n) = a (m, k) b (n, k)^T + bias.
 *
 * Rows of weights are the 16 rows of mma.sync, rows of a its 8 columns, so that little of the tensor cores is
 * lost to rows that are not there. One warp of a block fills a ring of stages in shared memory, deep enough
 * to keep the memory busy; each of the others follows the chains of 16 rows of weights, or a few times 16.
 * Each chunk of k has a block of its own; the blocks of a sum are a cluster, and add the parts that they read
 * in each other's shared memory in the balanced tree. Before sm_90 there are neither clusters nor a copy
 * engine: there the filling warp copies, and parts go to memory, where gemm.cu adds them.
 *
 * Where a graph is recorded, a block fills its ring with weights before the kernel ahead of it has ended. */
#include "gemm.cuh"
#include "launch.cuh"
#include "gemm_sums.cuh"

enum {
    SLAB = 64,         /* of k: 128 bytes, in which a tile is swizzled */
    STEP = 2 * SLAB,   /* of k in a stage */
    STEPS = STEP / 16, /* of the tensor cores in it */
    MAX_STAGES = 32,
    MOST_ROWS = 64,
    MAX_TILE = 256, /* rows that the copy engine brings at once */
    MAX_THREADS = 32 * 9,
    PROCESSOR_BYTES = 228 * 1024, /* of shared memory */
    BLOCK_BYTES = 225 * 1024,     /* that a block may ask for */
    OWN_BYTES = 2200              /* of a block, beside those */
};

typedef struct skinny_args {
    const bf16 *a, *b; /* for the copies before sm_90 */
    int64_t a_row, b_row;
    int k, chunk, n_chunks; /* chunk: the k of one */
    int tile, stages;       /* tile: rows of b that a block works on at a time */
    fv_cuda_out out;
} skinny_args;

/* In shared memory: stages of {tile of b, rows of a}, each in slabs, and the sums (8 MT, tile). */
struct skinny_room {
    uint8_t *stages;
    uint64_t *full, *empty; /* (stages) */
    cluster_sums sums;
};

template <int MT> __host__ __device__ constexpr int stage_bytes(int tile)
{
    return (tile + 8 * MT) * STEP * 2;
}

template <int MT> __host__ __device__ constexpr int skinny_bytes(int tile, int stages)
{
    return stages * stage_bytes<MT>(tile) + 8 * MT * sums_row(tile) * 4 + 1024;
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

__device__ __forceinline__ int slabs_of(const skinny_place &at, const skinny_args &g)
{
    return g.chunk - at.s * STEP > SLAB ? 2 : 1;
}

template <int MT>
__device__ __forceinline__ void load_b(const skinny_room &r, const skinny_place &at, const skinny_args &g,
                                       int from, const CUtensorMap *map)
{
    int n = slabs_of(at, g);
    uint8_t *to = r.stages + at.stage * stage_bytes<MT>(g.tile);
    barrier_expect(&r.full[at.stage], n * (g.tile + 8 * MT) * SLAB * 2);
    for (int h = 0; h < n; h++)
        tma_load_once(to + h * g.tile * SLAB * 2, map, &r.full[at.stage], from + at.s * STEP + h * SLAB,
                      at.tile * g.tile);
}

template <int MT>
__device__ __forceinline__ void load_a(const skinny_room &r, const skinny_place &at, const skinny_args &g,
                                       int from, const CUtensorMap *map)
{
    uint8_t *to = r.stages + at.stage * stage_bytes<MT>(g.tile) + g.tile * STEP * 2;
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
        copy_tile(to, g.b, g.b_row, at.tile * g.tile, g.tile, g.out.n, k, g.k);
        copy_tile(to + g.tile * STEP * 2, g.a, g.a_row, 0, 8 * MT, g.out.m, k, g.k);
        asm volatile(
            "cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(shared_address(&r.full[at.stage]))
            : "memory");
    }
}

#endif

/* Operands of one k16 step. */
template <int MT, int RT> struct skinny_operands {
    uint32_t b[RT][4], a[MT][2];
};

__device__ __forceinline__ uint32_t swizzled(uint32_t tile, int row, int unit)
{
    return tile + row * SLAB * 2 + (unit ^ (row & 7)) * 16;
}

template <int MT, int RT>
__device__ __forceinline__ void load_operands(skinny_operands<MT, RT> &x, uint32_t stage, int tile, int row,
                                              int j)
{
    int lane = threadIdx.x % 32, unit = j % (SLAB / 16) * 2;
    uint32_t b = stage + j / (SLAB / 16) * tile * SLAB * 2,
             a = stage + tile * STEP * 2 + j / (SLAB / 16) * 8 * MT * SLAB * 2;
#pragma unroll
    for (int i = 0; i < RT; i++)
        load_matrices(x.b[i], swizzled(b, row + 16 * i + lane % 16, unit + lane / 16));
    if constexpr (MT == 1) {
        load_two_matrices(x.a[0], swizzled(a, lane % 8, unit + lane / 8 % 2));
    } else {
#pragma unroll
        for (int i = 0; i < MT; i += 2)
            load_matrices(&x.a[i][0], swizzled(a, 8 * i + lane / 16 * 8 + lane % 8, unit + lane / 8 % 2));
    }
}

/* The chains of a warp over the stages of a tile. Operands are loaded AHEAD steps before they are multiplied,
 * across stages too; when the last ones of a stage are, it may be filled again. */
template <int MT, int RT>
__device__ __forceinline__ void follow_chains(float (&sum)[RT][MT][4], const skinny_room &r,
                                              const skinny_args &g, int n_stages, int row, int &stage,
                                              int &parity)
{
    constexpr int AHEAD = MT * RT <= 2 ? 2 : 1;
    skinny_operands<MT, RT> x[2 * AHEAD];
    uint32_t base = shared_address(r.stages), here = base + stage * stage_bytes<MT>(g.tile);
    wait_for_stage(&r.full[stage], parity);
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
        load_operands<MT, RT>(x[j], here, g.tile, row, j);
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
                load_operands<MT, RT>(x[(j + AHEAD) % (2 * AHEAD)], here, g.tile, row, (j + AHEAD) % STEPS);
            if (j < steps) {
#pragma unroll
                for (int i = 0; i < RT; i++)
#pragma unroll
                    for (int t = 0; t < MT; t++)
                        multiply_16x8x16(sum[i][t], x[j % (2 * AHEAD)].b[i], x[j % (2 * AHEAD)].a[t]);
            }
        }
    }
}

template <int MT, int RT>
__device__ __forceinline__ void write_sums(const cluster_sums &s, const float (&sum)[RT][MT][4], int row)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < RT; i++)
#pragma unroll
        for (int t = 0; t < MT; t++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                s.at[(8 * t + lane % 4 * 2 + e % 2) * s.row + row + 16 * i + lane / 4 + e / 2 * 8] =
                    sum[i][t][e];
}

template <int MT, int RT>
__device__ __forceinline__ void multiply_tiles(const skinny_room &r, const skinny_args &g)
{
    skinny_share share = share_of(g);
    int row = (threadIdx.x / 32 - 1) * 16 * RT, stage = 0, parity = 0, turn = 0;
    for (int tile = share.first; tile < share.tiles; tile += share.step, turn ^= 1) {
        float sum[RT][MT][4] = {};
        follow_chains<MT, RT>(sum, r, g, share.stages, row, stage, parity);
        if (tile != share.first)
            wait_in_cluster(r.sums.gone, turn ^ 1);
        write_sums<MT, RT>(r.sums, sum, row);
        arrive_in_cluster(r.sums.there, g.n_chunks);
        wait_in_cluster(r.sums.there, turn);
        store_sums(r.sums, g.out, 0, 8 * MT, tile * g.tile, g.tile, threadIdx.x - 32, blockDim.x - 32);
        arrive_in_cluster(r.sums.gone, g.n_chunks);
    }
    wait_in_cluster(r.sums.gone, turn ^ 1);
}

template <int MT> __device__ __forceinline__ skinny_room room_of(const skinny_args &g, uint8_t *raw)
{
    __shared__ uint64_t barriers[2 * MAX_STAGES + 2];
    uint8_t *at = raw + (1024 - shared_address(raw) % 1024) % 1024;
    int warps = blockDim.x / 32 - 1;
    cluster_sums sums = {(float *)(at + g.stages * stage_bytes<MT>(g.tile)),
                         sums_row(g.tile),
                         barriers + 2 * MAX_STAGES,
                         barriers + 2 * MAX_STAGES + 1,
                         g.n_chunks,
                         (int)blockIdx.x % g.n_chunks};
    skinny_room r = {at, barriers, barriers + MAX_STAGES, sums};
    if (threadIdx.x == 0) {
        for (int i = 0; i < g.stages; i++) {
            barrier_init(&r.full[i], FILLERS);
            barrier_init(&r.empty[i], warps);
        }
        barrier_init(sums.there, warps * g.n_chunks);
        barrier_init(sums.gone, warps * g.n_chunks);
    }
    barriers_are_ready();
    return r;
}

template <int MT, int RT>
__global__ __launch_bounds__(MAX_THREADS) void skinny_kernel(const __grid_constant__ CUtensorMap map_a,
                                                             const __grid_constant__ CUtensorMap map_b,
                                                             skinny_args g)
{
    extern __shared__ __align__(1024) uint8_t raw[];
    let_kernel_behind_start();
    skinny_room r = room_of<MT>(g, raw);
    if (threadIdx.x < 32)
        fill<MT>(r, g, &map_a, &map_b);
    else
        multiply_tiles<MT, RT>(r, g);
}

/* How a product is cut: tiles of 8 rows of a; of 16 rows of b a warp; warps that multiply; blocks of a
 * processor. */
typedef struct skinny_form {
    int mt, rt, warps, blocks;
} skinny_form;

typedef struct skinny_job {
    cudaStream_t stream;
    int n_processors, has_maps, is_recorded;
    skinny_form form;
    const fv_cuda_dots *dots;
} skinny_job;

/* As many as fit into a block's part of a processor's shared memory. */
template <int MT> static int stages_of(const skinny_form *form, int tile)
{
    int stages = MAX_STAGES;
    while (stages > 2 && skinny_bytes<MT>(tile, stages) > PROCESSOR_BYTES / form->blocks - OWN_BYTES)
        stages--;
    return stages;
}

template <int MT, int RT> static fv_err launch(const skinny_job *job)
{
    static int is_ready;
    const fv_cuda_dots *d = job->dots;
    skinny_args g = {d->a, d->b, d->a_row, d->b_row, d->k, d->k / d->n_chunks, d->n_chunks};
    g.tile = 16 * RT * job->form.warps;
    g.stages = stages_of<MT>(&job->form, g.tile);
    g.out = d->out;
    CUtensorMap a = {}, b = {};
    if (job->has_maps) {
        FV_TRY(fv_cuda_matrix_map(&a, d->a, d->out.m, d->k, d->a_row, 8 * MT));
        FV_TRY(fv_cuda_matrix_map(&b, d->b, d->out.n, d->k, d->b_row, g.tile));
    }
    if (!is_ready)
        FV_CUDA(cudaFuncSetAttribute(skinny_kernel<MT, RT>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     BLOCK_BYTES));
    is_ready = 1;
    int tiles = (g.out.n + g.tile - 1) / g.tile, most = job->form.blocks * job->n_processors / g.n_chunks;
    fv_cuda_launch how = {};
    how.grid = (tiles < most ? tiles : most) * g.n_chunks;
    how.threads = 32 * (job->form.warps + 1);
    how.bytes = skinny_bytes<MT>(g.tile, g.stages);
    how.cluster = g.n_chunks;
    how.is_chained = job->is_recorded;
    how.stream = job->stream;
    return fv_cuda_start(how, skinny_kernel<MT, RT>, a, b, g);
}

/* Measured on an H200. */
static skinny_form form_of(const fv_cuda_dots *d)
{
    int m = d->out.m;
    if (m <= 16)
        return {m <= 8 ? 1 : 2, 2, 4, 2};
    return {m <= 32 ? 4 : 8, 1, 8, 1};
}

int fv_cuda_skinny_fits(fv_backend *backend, const fv_cuda_dots *d)
{
    return d->out.m <= MOST_ROWS && (d->n_chunks == 1 || fv_cuda_state_of(backend)->compute_capability >= 90);
}

fv_err fv_cuda_skinny(fv_backend *backend, const fv_cuda_dots *d)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    cudaStream_t stream = s->stream[FV_STREAM_COMPUTE];
    skinny_job job = {stream, s->n_processors, s->compute_capability >= 90, s->is_recording, form_of(d), d};
    switch (job.form.mt) {
    case 1:
        return launch<1, 2>(&job);
    case 2:
        return launch<2, 2>(&job);
    case 4:
        return launch<4, 1>(&job);
    default:
        return launch<8, 1>(&job);
    }
}
