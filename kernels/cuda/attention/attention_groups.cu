/* Attention of tiles by wgmma (sm_90a): a block takes tiles of 128 queries of a head by turns. One group of
 * four warps gathers queries, keys and values into rings of tiles; two have 64 queries each and go through
 * the chunks, so that one multiplies while the other weighs. The bits are those of the other kernels: a chain
 * of k16 steps gives the same in wgmma and in mma.sync, and keys that no query of a group sees, which it
 * leaves out, would add zeros. */
#include "attention_groups.cuh"
#include "attention_softmax.cuh"

enum { SLOTS = 2 };

/* Turns of the two groups that multiply: each has the units of products for itself, while the other works on
 * what it has multiplied. The second group passes the first turn, and the first one takes a last turn. */
__device__ __forceinline__ void turn_wait()
{
    asm volatile("bar.sync %0, 256;" ::"r"(2 + (int)threadIdx.x / GROUP) : "memory");
}
__device__ __forceinline__ void turn_pass()
{
    asm volatile("bar.arrive %0, 256;" ::"r"(5 - (int)threadIdx.x / GROUP) : "memory");
}

/* The queries of a group, and what has been merged of them. */
template <int DP> struct own_queries {
    group_rows rows;
    const char *q;
    float o[DP / 8][4];
    running run[2];
};

/* The first KEYS of chunk c are merged. */
template <int KEYS, int DP>
__device__ __forceinline__ void take_keys(own_queries<DP> &own, const attention &a,
                                          const group_room<DP, 1, SLOTS> &room, int n_keys, int c, staged at)
{
    float scores[KEYS / 2], parts[DP / 2], m[2], l[2];
    float(&s)[KEYS / 8][4] = tiles_of(scores);
    uint32_t p[KEYS / 16][4];
    turn_wait();
    products_begin();
    queue_scores<DP, TILE_ROWS, CHUNK>(scores, own.q, room.k(at.stage));
    products_commit();
    turn_pass();
    products_wait<0>();
    group_leaves(&room.b->empty_k[at.stage]);
    mask_chunk<KEYS>(s, a, own.rows, n_keys, c);
    scaled_maxima(s, a.scale_log2, m);
    weigh_chunk(s, m, a.scale_log2, l);
    pack_scores(p, s);
    tile_wait(&room.b->full_v[at.stage], at.parity);
    turn_wait();
    products_begin();
    queue_weighted<DP, CHUNK>(parts, p, room.v(at.stage), 0);
    products_commit();
    turn_pass();
    factors f = merge_sums(own.run, m, l);
    products_wait<0>();
    group_leaves(&room.b->empty_v[at.stage]);
    merge_parts(own.o, tiles_of(parts), f);
}

/* A chunk of which none of the group's queries sees a key. */
template <int DP> __device__ __forceinline__ void leave_keys(const group_room<DP, 1, SLOTS> &room, staged at)
{
    turn_wait();
    turn_pass();
    group_leaves(&room.b->empty_k[at.stage]);
    tile_wait(&room.b->full_v[at.stage], at.parity);
    turn_wait();
    turn_pass();
    group_leaves(&room.b->empty_v[at.stage]);
}

/* The results of a warp's rows, by way of the tile that their queries were in: stores of whole lines. */
template <int DP>
__device__ __forceinline__ void store_queries(const attention &a, const query_tile &t,
                                              const own_queries<DP> &own, char *tile)
{
    enum { PIECES = DP / 8 };
    int thread; /* asked for here, so that nothing that follows from it is kept while products are made */
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    int lane = thread % 32, warp_row = thread / 32 * 16 - GROUP / 2;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = warp_row + lane / 4 + 8 * half, i = t.first + row;
        float inverse = 1.0f / own.run[half].l;
        char *line = tile + row * 128 + lane % 4 * 4;
#pragma unroll
        for (int d = 0; d < PIECES; d++) {
            const float *x = own.o[d] + 2 * half;
            *(uint32_t *)(line + d / 8 * panel<TILE_ROWS>::BYTES + (d % 8 ^ row % 8) * 16) =
                pack2(__fmul_rn(x[0], inverse), __fmul_rn(x[1], inverse));
        }
        if (a.lse && lane % 4 == 0 && i < t.seg.n_q)
            a.lse[(t.seg.q_row + i) * a.lse_row + t.head] = lse_of(own.run[half]);
    }
    __syncwarp();
#pragma unroll
    for (int at = lane; at < 16 * PIECES; at += 32) {
        int row = warp_row + at / PIECES, d = at % PIECES, i = t.first + row;
        int4 x = *(const int4 *)(tile + row * 128 + d / 8 * panel<TILE_ROWS>::BYTES + (d % 8 ^ row % 8) * 16);
        if (i < t.seg.n_q && d * 8 < a.dim)
            *(int4 *)(a.out + (int64_t)(t.seg.q_row + i) * a.out_row + t.head * a.dim + d * 8) = x;
    }
}

template <int DP>
__device__ __forceinline__ void multiply_tiles(const attention &a, const group_room<DP, 1, SLOTS> &room)
{
    int n = a.lists.counts[TILES] * a.n_heads, chunks = 0;
    if (threadIdx.x / GROUP == 2)
        turn_pass();
    for (int i = 0; item_of(i) < n; i++) {
        int slot = i % SLOTS;
        tile_wait(&room.b->full_q[slot], i / SLOTS & 1);
        const query_tile &t = room.b->tiles[slot];
        own_queries<DP> own = {group_rows_of(a, t), own_half(room.q(slot)), {}, {{NEG_INF, 0}, {NEG_INF, 0}}};
        int n_keys = t.seg.n_keys, end = end_chunk(t);
        for (int c = t.seen.first / CHUNK; c < end; c++, chunks++) {
            staged at = staged_at(chunks);
            int left = own.rows.n_seen - c * CHUNK;
            tile_wait(&room.b->full_k[at.stage], at.parity);
            if (left > CHUNK / 2)
                take_keys<CHUNK>(own, a, room, n_keys, c, at);
            else if (left > 0)
                take_keys<CHUNK / 2>(own, a, room, n_keys, c, at);
            else
                leave_keys(room, at);
        }
        store_queries(a, t, own, room.q(slot));
        group_sync();
        group_leaves(&room.b->empty_q[slot]);
    }
    if (threadIdx.x / GROUP == 1)
        turn_wait();
}

template <int DP> __global__ __launch_bounds__(3 * GROUP, 1) void attention_groups(const attention a)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint8_t raw[];
    __shared__ barriers b;
    group_room<DP, 1, SLOTS> room = {(char *)raw, &b};
    barriers_init(&b);
    if (threadIdx.x < GROUP) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        gather_tiles<DP>(a, room, a.lists.tiles, a.lists.counts[TILES], nullptr, 0);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        multiply_tiles<DP>(a, room);
    }
#endif
}

template <int DP> static fv_err launch(fv_backend *backend, const attention &a)
{
    int bytes = group_room<DP, 1, SLOTS>::BYTES;
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
