/* What kernels of groups of four warps share (sm_90a): tiles that are gathered by one group and multiplied by
 * others, and the products.
 *
 * A tile of ROWS rows is panels of 64 channels: rows of 128 bytes, whose 16-byte pieces are swizzled by row.
 */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_GROUPS_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_GROUPS_CUH

#include "attention.cuh"
#include "gemm/hopper.cuh"

enum { GROUP = 128 /* threads */ };

/* Bytes of a panel, and of a tile. */
template <int ROWS> struct panel {
    enum { BYTES = ROWS * 128 };
};
template <int DP, int ROWS> struct group_tile {
    enum { BYTES = (DP + 63) / 64 * panel<ROWS>::BYTES };
};

/* Item i of a block's; those of every other round go the other way, for late ones are shorter. */
__device__ __forceinline__ int item_of(int i)
{
    return i * gridDim.x + (i % 2 ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
}

/* ---- gathering ---- */

/* Where a warp's rows of a tile begin: lane l has the row of row l of them, those behind are not looked at.
 */
template <int ROWS> __device__ __forceinline__ int warp_row()
{
    return threadIdx.x / 32 * (ROWS / 4);
}

/* WIDTH pieces of each of a warp's rows, in panels that lie behind each other. Lanes have neighbouring pieces
 * of a few rows, so that what is copied at once are whole lines of memory; what differs from copy to copy is
 * one product, and constants. */
template <int ROWS, int WIDTH, int PANELS>
__device__ __forceinline__ void gather_panels(char *to, const char *from, unsigned bytes, int row, int room)
{
    constexpr int EACH = ROWS / 4, STEP = 32 / WIDTH;
    int lane = threadIdx.x % 32, r = lane / WIDTH, piece = lane % WIDTH;
    uint32_t line = shared_address(to) + (warp_row<ROWS>() + r) * 128 + (piece ^ r % 8) * 16;
    from += piece * 16;
    asm("" : "+l"(from), "+r"(line)); /* is not taken apart again */
#pragma unroll
    for (int i = 0; i < EACH / STEP; i++) {
        int own = __shfl_sync(~0u, row, r + i * STEP);
        const char *x = from + (uint64_t)(unsigned)max(own, 0) * bytes;
#pragma unroll
        for (int p = 0; p < PANELS; p++)
            copy16((line ^ i * STEP % 8 * 16) + i * STEP * 128 + p * panel<ROWS>::BYTES, x + p * 128,
                   own >= 0 && piece * 16 + p * 128 < room);
    }
}

/* A warp's rows of a tile from rows of x, -1: zeros; lane l has the row of row l. */
template <int DP, int ROWS>
__device__ __forceinline__ void gather(char *tile, const bf16 *x, int64_t stride, int row, int head, int dim)
{
    constexpr int WHOLE = DP / 64, REST = DP % 64 / 8;
    const char *from = (const char *)(x + head * dim);
    gather_panels<ROWS, 8, WHOLE>(tile, from, (unsigned)stride * 2, row, dim * 2);
    if constexpr (REST > 0)
        gather_panels<ROWS, REST, 1>(tile + WHOLE * panel<ROWS>::BYTES, from + WHOLE * 128,
                                     (unsigned)stride * 2, row, dim * 2 - WHOLE * 128);
}

/* Tells a barrier when all that this thread has copied so far has landed. */
__device__ __forceinline__ void copies_tell(uint64_t *full)
{
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(full))
                 : "memory");
}

/* Before the thread ends. */
__device__ __forceinline__ void copies_end()
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

/* What was copied to a tile is there, for the units of wgmma too. */
__device__ __forceinline__ void tile_wait(uint64_t *full, int parity)
{
    barrier_wait(full, parity);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- tiles of queries, and the keys that they see ---- */

enum { STAGES = 2 };

/* Barriers: full waits for all threads that gather, empty for both groups that multiply. What a tile of
 * queries is lies beside it: finding it takes loads that wait for each other. */
struct barriers {
    uint64_t full_q[STAGES], empty_q[STAGES], full_k[STAGES], empty_k[STAGES], full_v[STAGES],
        empty_v[STAGES];
    query_tile tiles[STAGES];
};

/* Q_TILES: of queries alone, or of their gradients too; SLOTS: how many tiles of them there is room for. */
template <int DP, int Q_TILES, int SLOTS> struct group_room {
    enum { TILE = group_tile<DP, TILE_ROWS>::BYTES, BYTES = (Q_TILES * SLOTS + 2 * STAGES) * TILE };
    char *room;
    barriers *b;
    __device__ __forceinline__ char *q(int slot) const
    {
        return room + slot * Q_TILES * TILE;
    }
    __device__ __forceinline__ char *k(int stage) const
    {
        return room + (Q_TILES * SLOTS + stage) * TILE;
    }
    __device__ __forceinline__ char *v(int stage) const
    {
        return room + (Q_TILES * SLOTS + STAGES + stage) * TILE;
    }
};

__device__ __forceinline__ void barriers_init(barriers *b)
{
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(&b->full_q[i], GROUP + 1);
            barrier_init(&b->empty_q[i], 2 * PER_GROUP);
            barrier_init(&b->full_k[i], GROUP);
            barrier_init(&b->full_v[i], GROUP);
            barrier_init(&b->empty_k[i], 2 * PER_GROUP);
            barrier_init(&b->empty_v[i], 2 * PER_GROUP);
        }
        barriers_are_initialised();
    }
    __syncthreads();
}

/* For each of a block's tiles its queries, what belongs to them if there is a tile for it (dy), and the
 * chunks of keys and values that they see. */
template <int DP, int Q_TILES, int SLOTS>
__device__ __forceinline__ void gather_tiles(const attention &a, const group_room<DP, Q_TILES, SLOTS> &room,
                                             const int2 *list, int n_tiles, const bf16 *dy, int64_t dy_row)
{
    int n = n_tiles * a.n_heads, chunks = 0;
    for (int i = 0; item_of(i) < n; i++) {
        query_tile t;
        query_tile_of<TILE_ROWS>(t, a, list, n_tiles, item_of(i));
        int own = t.first + (int)threadIdx.x, row = own < t.seg.n_q ? t.seg.q_row + own : -1,
            slot = i % SLOTS;
        barrier_wait(&room.b->empty_q[slot], (i / SLOTS & 1) ^ 1);
        if (threadIdx.x == 0) {
            room.b->tiles[slot] = t;
            barrier_arrive(&room.b->full_q[slot]);
        }
        gather<DP, TILE_ROWS>(room.q(slot), a.q, a.q_row, row, t.head, a.dim);
        if (Q_TILES > 1)
            gather<DP, TILE_ROWS>(room.q(slot) + room.TILE, dy, dy_row, row, t.head, a.dim);
        copies_tell(&room.b->full_q[slot]);
        int end = (t.seen.end + CHUNK - 1) / CHUNK;
        for (int c = t.seen.first / CHUNK; c < end; c++, chunks++) {
            int stage = chunks % STAGES, parity = (chunks / STAGES & 1) ^ 1;
            row = own_row(a, t.seg, c * CHUNK + warp_row<CHUNK>(), t.seen);
            barrier_wait(&room.b->empty_k[stage], parity);
            gather<DP, TILE_ROWS>(room.k(stage), a.k, a.k_row, row, t.kv_head, a.dim);
            copies_tell(&room.b->full_k[stage]);
            barrier_wait(&room.b->empty_v[stage], parity);
            gather<DP, TILE_ROWS>(room.v(stage), a.v, a.v_row, row, t.kv_head, a.dim);
            copies_tell(&room.b->full_v[stage]);
        }
    }
    copies_end();
}

/* ---- multiplying ---- */

/* Rows of 128 bytes as the columns of an operand: panels are LBO apart, eight rows SBO. */
template <int ROWS> __device__ __forceinline__ uint64_t descriptor_turned(const void *p)
{
    uint64_t a = shared_address(p);
    return (a & 0x3ffff) >> 4 | (uint64_t)(panel<ROWS>::BYTES >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 |
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
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" REGISTERS_32
                 "}, {%32, %33, %34, %35}, %36, p, 1, 1, 1; }"
                 : OUT_32(d)
                 : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v), "r"(add));
}
template <>
__device__ __forceinline__ void add_weighted_group<80>(float (&d)[40], const uint32_t p[4], uint64_t v,
                                                       int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %45, 0; "
                 "wgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {" REGISTERS_40
                 "}, {%40, %41, %42, %43}, %44, p, 1, 1, 1; }"
                 : OUT_40(d)
                 : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v), "r"(add));
}
template <>
__device__ __forceinline__ void add_weighted_group<128>(float (&d)[64], const uint32_t p[4], uint64_t v,
                                                        int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %69, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" REGISTERS_64
                 "}, {%64, %65, %66, %67}, %68, p, 1, 1, 1; }"
                 : OUT_64(d)
                 : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v), "r"(add));
}

/* d (64, 64) = [d +] a (64, 16) b (64, 16)^T */
__device__ __forceinline__ void multiply_add(float (&d)[32], uint64_t a, uint64_t b, int add)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; "
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" REGISTERS_32
                 "}, %32, %33, p, 1, 1, 0, 0; }"
                 : OUT_32(d)
                 : "l"(a), "l"(b), "r"(add));
}

/* x (64, 2 N): rows of tile a times rows of tile b, along their channels; queued. */
template <int DP, int A_ROWS, int B_ROWS, int N>
__device__ __forceinline__ void queue_scores(float (&x)[N], const char *a, const char *b)
{
    uint64_t da = descriptor(a), db = descriptor(b);
#pragma unroll
    for (int i = 0; i < DP / 16; i++)
        multiply_add(x, da + i / 4 * (panel<A_ROWS>::BYTES >> 4) + i % 4 * 2,
                     db + i / 4 * (panel<B_ROWS>::BYTES >> 4) + i % 4 * 2, i > 0);
}

/* x (64, DP) = [x +] p (64, 16 N) times the first rows of a tile; queued. */
template <int DP, int ROWS, int N>
__device__ __forceinline__ void queue_weighted(float (&x)[DP / 2], const uint32_t (&p)[N][4],
                                               const char *tile, int add)
{
    uint64_t d = descriptor_turned<ROWS>(tile);
#pragma unroll
    for (int i = 0; i < N; i++)
        add_weighted_group<DP>(x, p[i], d + i * (2048 >> 4), i > 0 || add);
}

/* The queries of a tile that are the group's. */
struct group_rows {
    int pos, n_seen, n_whole; /* of this thread's first row; keys that some of them see, and that all see */
};
__device__ __forceinline__ group_rows group_rows_of(const attention &a, const query_tile &t)
{
    int row = (threadIdx.x / GROUP - 1) * 64, first = t.first_pos + row;
    return {first + (int)threadIdx.x % GROUP / 32 * 16 + (int)threadIdx.x % 32 / 4,
            t.first + row >= t.seg.n_q ? 0
            : a.causal                 ? min(t.seen.end, first + 64)
                                       : t.seen.end,
            a.window   ? 0
            : a.causal ? min(t.seg.n_keys, first + 1)
                       : t.seg.n_keys};
}

__device__ __forceinline__ int end_chunk(const query_tile &t)
{
    return (t.seen.end + CHUNK - 1) / CHUNK;
}

/* Scores of the first KEYS of chunk c that a query does not see become -inf. */
template <int KEYS>
__device__ __forceinline__ void mask_chunk(float (&s)[KEYS / 8][4], const attention &a,
                                           const group_rows &rows, int n_keys, int c)
{
    if (c * CHUNK + KEYS > rows.n_whole)
        mask_scores<KEYS / 8>(s, c * CHUNK, rows.pos, rows.pos + 8, n_keys, a.causal, a.window);
}

/* A tile of a ring: chunk n of a block's. */
struct staged {
    int stage, parity;
};
__device__ __forceinline__ staged staged_at(int n)
{
    return {n % STAGES, n / STAGES & 1};
}

/* The four warps of a group. */
__device__ __forceinline__ void group_sync()
{
    asm volatile("bar.sync %0, 128;" ::"r"((int)threadIdx.x / GROUP) : "memory");
}

/* A group has done with a tile. */
__device__ __forceinline__ void group_leaves(uint64_t *empty)
{
    if (ALL_ARRIVE || threadIdx.x % GROUP == 0)
        barrier_arrive(empty);
}

/* The 64 rows of a tile of 128 that are the group's. */
__device__ __forceinline__ const char *own_half(const char *tile)
{
    return tile + (threadIdx.x / GROUP - 1) * 64 * 128;
}

/* Tiles as the operand of a product. */
template <int N> __device__ __forceinline__ void pack_scores(uint32_t (&p)[N / 2][4], const float (&x)[N][4])
{
#pragma unroll
    for (int k = 0; k < N / 2; k++)
        pack_tiles(p[k], x[2 * k], x[2 * k + 1]);
}

/* Registers of products as tiles of eight columns, as mma.sync has them. */
template <int N> __device__ __forceinline__ float (&tiles_of(float (&x)[N]))[N / 4][4]
{
    return *(float(*)[N / 4][4]) & x;
}

#endif
