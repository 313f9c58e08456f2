/* Attention of tiles by wgmma (sm_90a): a block takes tiles of 128 queries of a head by turns. One group of
 * four warps gathers queries, keys and values into rings of tiles; two have 64 queries each and go through
 * the chunks, so that one multiplies while the other weighs. The bits are those of the other kernels: a chain
 * of k16 steps gives the same in wgmma and in mma.sync. */
#include "attention_groups.cuh"
#include "attention_softmax.cuh"

enum { SLOTS = 2 };

template <int DP>
__device__ __forceinline__ void multiply_tiles(const attention &a, const group_room<DP, 1, SLOTS> &room)
{
    int wg = threadIdx.x / GROUP - 1, n_tiles = a.lists.counts[TILES], n = n_tiles * a.n_heads, chunks = 0;
    int own = wg * 64 + threadIdx.x % GROUP / 32 * 16, leads = threadIdx.x % GROUP == 0;
    for (int i = 0; item_of(i) < n; i++) {
        query_tile t;
        query_tile_of<TILE_ROWS>(t, a, a.lists.tiles, n_tiles, item_of(i));
        int end = (t.seen.end + CHUNK - 1) / CHUNK, pos = t.first_pos + own + threadIdx.x % 32 / 4;
        float o[DP / 8][4] = {};
        running run[2] = {{NEG_INF, 0}, {NEG_INF, 0}};
        int slot = i % SLOTS;
        tile_wait(&room.b->full_q[slot], i / SLOTS & 1);
        for (int c = t.seen.first / CHUNK; c < end; c++, chunks++) {
            int stage = chunks % STAGES, parity = chunks / STAGES & 1;
            float scores[CHUNK / 2], parts[DP / 2], m[2], l[2];
            float(&s)[CHUNK / 8][4] = tiles_of(scores);
            tile_wait(&room.b->full_k[stage], parity);
            products_begin();
            queue_scores<DP, TILE_ROWS, CHUNK>(scores, own_half(room.q(slot)), room.k(stage));
            products_commit();
            products_wait<0>();
            if (leads)
                barrier_arrive(&room.b->empty_k[stage]);
            if (leads && c + 1 == end)
                barrier_arrive(&room.b->empty_q[slot]);
            if (!sees_all(a, t, c))
                mask_scores<CHUNK / 8>(s, c * CHUNK, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
            scaled_maxima(s, a.scale_log2, m);
            weigh_chunk(s, m, a.scale_log2, l);
            uint32_t p[CHUNK / 16][4];
            pack_scores(p, s);
            tile_wait(&room.b->full_v[stage], parity);
            products_begin();
            queue_weighted<DP, CHUNK>(parts, p, room.v(stage), 0);
            products_commit();
            products_wait<0>();
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
