/* Attention of tiles by wgmma (sm_90a): a block takes tiles of 128 queries of a head by turns. One group of
 * four warps gathers queries, keys and values into rings of tiles; two have 64 queries each and go through
 * the chunks, so that one multiplies while the other weighs. The bits are those of the other kernels: a chain
 * of k16 steps gives the same in wgmma and in mma.sync.
 *
 * A tile is panels of 64 channels: 128 rows of 128 bytes, whose 16-byte pieces are swizzled by row. */
#include "attention_softmax.cuh"
#include "gemm/hopper.cuh"

enum { GROUP = 128 /* threads */, STAGES = 2, PANEL = TILE_ROWS * 128 /* bytes */ };

/* Barriers: full waits for all threads that gather, empty for both groups that multiply. */
struct barriers {
    uint64_t full_q, empty_q, full_k[STAGES], empty_k[STAGES], full_v[STAGES], empty_v[STAGES];
};

template <int DP> struct group_room {
    enum { TILE = (DP + 63) / 64 * PANEL };
    char *q;
    barriers *b;
    __device__ __forceinline__ char *k(int stage) const
    {
        return q + (1 + stage) * TILE;
    }
    __device__ __forceinline__ char *v(int stage) const
    {
        return q + (1 + STAGES + stage) * TILE;
    }
};

__device__ __forceinline__ void barriers_init(barriers *b)
{
    if (threadIdx.x == 0) {
        barrier_init(&b->full_q, GROUP);
        barrier_init(&b->empty_q, 2);
        for (int i = 0; i < STAGES; i++) {
            barrier_init(&b->full_k[i], GROUP);
            barrier_init(&b->full_v[i], GROUP);
            barrier_init(&b->empty_k[i], 2);
            barrier_init(&b->empty_v[i], 2);
        }
        asm volatile("fence.mbarrier_init.release.cluster;");
    }
    __syncthreads();
}

/* Item i of the block's; those of every other round go the other way, for late ones are shorter. */
__device__ __forceinline__ int item_of(int i)
{
    return i * gridDim.x + (i % 2 ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
}

/* ---- gathering ---- */

/* A warp's 32 rows of a tile from rows of x, -1: zeros. */
template <int DP>
__device__ __forceinline__ void gather(char *tile, const bf16 *x, int64_t stride, int row, int head, int dim)
{
    constexpr int PIECES = DP / 8;
    int lane = threadIdx.x % 32, base = threadIdx.x / 32 * 32;
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        int at = lane + 32 * i, r = at / PIECES, piece = at % PIECES, from = __shfl_sync(~0u, row, r);
        bool inside = from >= 0 && piece * 8 < dim;
        r += base;
        copy16(tile + piece / 8 * PANEL + r * 128 + ((piece % 8) ^ (r % 8)) * 16,
               inside ? x + from * stride + (int64_t)head * dim + piece * 8 : x, inside);
    }
}

/* Groups of copies that are on their way, the older first: what they fill is told when they have landed and
 * the units of wgmma see it. */
struct on_the_way {
    uint64_t *first, *second;

    __device__ __forceinline__ void landed(uint64_t *full)
    {
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        if (full)
            barrier_arrive(full);
    }
    __device__ __forceinline__ void add(uint64_t *full)
    {
        copies_commit();
        copies_wait<2>();
        landed(first);
        first = second;
        second = full;
    }
    __device__ __forceinline__ void flush()
    {
        copies_wait<0>();
        landed(first);
        landed(second);
        first = second = nullptr;
    }
};

template <int DP> __device__ __forceinline__ void gather_tiles(const attention &a, const group_room<DP> &room)
{
    int n_tiles = a.lists.counts[TILES], n = n_tiles * a.n_heads, tiles = 0, chunks = 0;
    on_the_way copies = {nullptr, nullptr};
    for (int i = 0; item_of(i) < n; i++) {
        query_tile t;
        query_tile_of<TILE_ROWS>(t, a, a.lists.tiles, n_tiles, item_of(i));
        int own = t.first + (int)threadIdx.x, row = own < t.seg.n_q ? t.seg.q_row + own : -1;
        copies.flush();
        barrier_wait(&room.b->empty_q, (tiles++ & 1) ^ 1);
        gather<DP>(room.q, a.q, a.q_row, row, t.head, a.dim);
        copies.add(&room.b->full_q);
        int end = (t.seen.end + CHUNK - 1) / CHUNK;
        for (int c = t.seen.first / CHUNK; c < end; c++, chunks++) {
            int stage = chunks % STAGES, parity = (chunks / STAGES & 1) ^ 1;
            row = own_row(a, t.seg, c * CHUNK + (int)threadIdx.x / 32 * 32, t.seen);
            barrier_wait(&room.b->empty_k[stage], parity);
            gather<DP>(room.k(stage), a.k, a.k_row, row, t.kv_head, a.dim);
            copies.add(&room.b->full_k[stage]);
            barrier_wait(&room.b->empty_v[stage], parity);
            gather<DP>(room.v(stage), a.v, a.v_row, row, t.kv_head, a.dim);
            copies.add(&room.b->full_v[stage]);
        }
    }
    copies.flush();
}

/* ---- multiplying ---- */

/* Rows of 128 bytes as the columns of an operand: panels are LBO apart, eight rows SBO. */
__device__ __forceinline__ uint64_t descriptor_turned(const void *p)
{
    uint64_t a = shared_address(p);
    return (a & 0x3ffff) >> 4 | (uint64_t)(PANEL >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 |
           (uint64_t)1 << 62;
}

/* d (64, DP) = [d +] p (64, 16) times 16 rows of values */
template <int DP>
__device__ __forceinline__ void add_weighted_group(float (&d)[DP / 2], const uint32_t p[4], uint64_t v,
                                                   int add);
template <>
__device__ __forceinline__ void add_weighted_group<64>(float (&d)[32], const uint32_t p[4], uint64_t v,
                                                       int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0; "
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "{%32, %33, %34, %35}, %36, p, 1, 1, 1; }"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
                   "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
                   "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
                   "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
                   "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
                 : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v), "r"(add));
}
template <>
__device__ __forceinline__ void add_weighted_group<80>(float (&d)[40], const uint32_t p[4], uint64_t v,
                                                       int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %45, 0; "
                 "wgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                 "%32, %33, %34, %35, %36, %37, %38, %39}, "
                 "{%40, %41, %42, %43}, %44, p, 1, 1, 1; }"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
                   "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
                   "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
                   "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
                   "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]),
                   "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39])
                 : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v), "r"(add));
}
template <>
__device__ __forceinline__ void add_weighted_group<128>(float (&d)[64], const uint32_t p[4], uint64_t v,
                                                        int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
                 "{%64, %65, %66, %67}, %68, p, 1, 1, 1; }"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
                   "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
                   "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
                   "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
                   "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]),
                   "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]),
                   "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]),
                   "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
                   "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]),
                   "+f"(d[63])
                 : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v), "r"(add));
}

__device__ __forceinline__ void products_begin()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void products_end()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/* s (64, 128): scores of the group's queries and a chunk */
template <int DP>
__device__ __forceinline__ void score_group(float (&s)[CHUNK / 2], const char *q, const char *k)
{
    uint64_t dq = descriptor(q), dk = descriptor(k);
    products_begin();
#pragma unroll
    for (int i = 0; i < DP / 16; i++) {
        int at = i / 4 * (PANEL >> 4) + i % 4 * 2;
        multiply_add(s, dq + at, dk + at, i > 0);
    }
    products_end();
}

/* part (64, DP) = weights times values */
template <int DP>
__device__ __forceinline__ void weigh_group(float (&part)[DP / 2], const uint32_t (&p)[CHUNK / 16][4],
                                            const char *v)
{
    uint64_t dv = descriptor_turned(v);
    products_begin();
#pragma unroll
    for (int i = 0; i < CHUNK / 16; i++)
        add_weighted_group<DP>(part, p[i], dv + i * (2048 >> 4), i > 0);
    products_end();
}

/* Registers of products as tiles of eight columns, as mma.sync has them. */
template <int N> __device__ __forceinline__ float (&tiles_of(float (&x)[N]))[N / 4][4]
{
    return *(float(*)[N / 4][4]) & x;
}

template <int DP>
__device__ __forceinline__ void multiply_tiles(const attention &a, const group_room<DP> &room)
{
    int wg = threadIdx.x / GROUP - 1, n_tiles = a.lists.counts[TILES], n = n_tiles * a.n_heads, chunks = 0;
    int own = wg * 64 + threadIdx.x % GROUP / 32 * 16, leads = threadIdx.x % GROUP == 0;
    for (int i = 0; item_of(i) < n; i++) {
        query_tile t;
        query_tile_of<TILE_ROWS>(t, a, a.lists.tiles, n_tiles, item_of(i));
        int end = (t.seen.end + CHUNK - 1) / CHUNK, pos = t.first_pos + own + threadIdx.x % 32 / 4;
        float o[DP / 8][4] = {};
        running run[2] = {{NEG_INF, 0}, {NEG_INF, 0}};
        barrier_wait(&room.b->full_q, i & 1);
        for (int c = t.seen.first / CHUNK; c < end; c++, chunks++) {
            int stage = chunks % STAGES, parity = chunks / STAGES & 1;
            float scores[CHUNK / 2], parts[DP / 2], m[2], l[2];
            float(&s)[CHUNK / 8][4] = tiles_of(scores);
            barrier_wait(&room.b->full_k[stage], parity);
            score_group<DP>(scores, room.q + wg * 64 * 128, room.k(stage));
            if (leads)
                barrier_arrive(&room.b->empty_k[stage]);
            if (leads && c + 1 == end)
                barrier_arrive(&room.b->empty_q);
            if (!sees_all(a, t, c))
                mask_scores<CHUNK / 8>(s, c * CHUNK, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
            scaled_maxima(s, a.scale_log2, m);
            weigh_chunk(s, m, a.scale_log2, l);
            uint32_t p[CHUNK / 16][4];
#pragma unroll
            for (int k = 0; k < CHUNK / 16; k++)
                pack_tiles(p[k], s[2 * k], s[2 * k + 1]);
            barrier_wait(&room.b->full_v[stage], parity);
            weigh_group<DP>(parts, p, room.v(stage));
            if (leads)
                barrier_arrive(&room.b->empty_v[stage]);
            merge_rows(run, m, l, o, tiles_of(parts));
        }
        store_rows(a, t, t.first + own, o, run);
    }
}

template <int DP> __global__ __launch_bounds__(3 * GROUP, 1) void attention_groups(const attention a)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint8_t raw[];
    __shared__ barriers b;
    group_room<DP> room = {(char *)raw, &b};
    barriers_init(&b);
    if (threadIdx.x < GROUP) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        gather_tiles<DP>(a, room);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        multiply_tiles<DP>(a, room);
    }
#endif
}

template <int DP> static fv_err launch(fv_backend *backend, const attention &a)
{
    int bytes = (1 + 2 * STAGES) * group_room<DP>::TILE;
    FV_CUDA(cudaFuncSetAttribute(attention_groups<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    attention_groups<DP><<<grid_for(backend, (int64_t)a.lists.max_tiles * a.n_heads, 1), 3 * GROUP, bytes,
                           fv_cuda_compute(backend)>>>(a);
    return fv_cuda_launched("attention");
}

fv_err fv_cuda_attention_groups(fv_backend *backend, const attention &a)
{
    if (a.dim <= 64)
        return launch<64>(backend, a);
    return a.dim <= 80 ? launch<80>(backend, a) : launch<128>(backend, a);
}
