/* Draws by the Gumbel maximum: a block has a piece of a row, a thread every THREADS-th counter of it, and the
 * best of the pieces are compared afterwards. The largest value wins, the lower id of equals, so that how the
 * ids are shared out does not show.
 *
 * Nearly all ids are told from one coarse logarithm not to be the largest of their piece; only of the others
 * is the value computed. */
#include "cuda.cuh"
#include "philox.cuh"

enum {
    THREADS = 256,
    PIECE = 4096, /* ids */
    GROUP = 64,   /* ids of sixteen counters: word w of counter 16 g + lane is id 64 g + 16 w + lane's */
    LANES = 16,
    WORDS = GROUP / LANES,
    STEPS =
        PIECE / GROUP * LANES / THREADS + 1 /* counters of a thread, where a piece begins within a group */
};

struct best {
    float value;
    int32_t id; /* -1: none */
};

/* Of a piece of a row. */
struct found {
    best it;
    int is_wrong;
};

__device__ __forceinline__ best better(best a, best b)
{
    int b_wins = b.id >= 0 && (a.id < 0 || b.value > a.value || (b.value == a.value && b.id < a.id));
    return b_wins ? b : a;
}

__device__ __forceinline__ float uniform_of(uint32_t word)
{
    return fminf(fmaf((float)(word >> 1), 0x1p-31f, 0x1p-32f), 0x1.fffffep-1f);
}

/* A word as w in (0, 1], and its Gumbel number, as the CPU back end has them but for the last bits of
 * logarithms. */
__device__ __forceinline__ float gumbel(uint32_t word)
{
    float w = uniform_of(word), y = 1.0f - w, lost = (1.0f - y) - w;
    return -logf(-(logf(y) + lost));
}

/* A Gumbel number is less than -log(w); where w is at most 1 / 2, by less than that. */
constexpr float GUMBEL_SLACK = 0.35f;

struct sample_args {
    const float *logits, *inv_temperature;
    const int32_t *draws, *excluded;
    int64_t stride, n, draw_stride;
    int n_excluded, accumulate;
    int32_t first;
    float *value, *z;
    int32_t *ids;
    found *pieces; /* (T, n_pieces) */
    int n_pieces;
};

__device__ __forceinline__ int is_excluded(const sample_args &a, int64_t id)
{
    int is = 0;
    for (int e = 0; e < a.n_excluded; e++)
        is |= a.excluded[e] == id;
    return is;
}

__device__ __forceinline__ best best_of_warp(best x)
{
    for (int d = 16; d; d /= 2)
        x = better(x, {__shfl_xor_sync(~0u, x.value, d), __shfl_xor_sync(~0u, x.id, d)});
    return x;
}

/* Of counter c, word w. */
__device__ __forceinline__ int64_t id_of(int64_t c, int w)
{
    return c / LANES * GROUP + w * LANES + c % LANES;
}

/* Ids [from, end) of row t. */
struct piece {
    int64_t t, from, end;
    const float *row; /* by id */
    float scale;
    const int32_t *key;
    int has_excluded;
};

__device__ __forceinline__ piece piece_of(const sample_args &a)
{
    piece p;
    int has_excluded = 0;
    p.t = blockIdx.y;
    p.from = a.first + (int64_t)blockIdx.x * PIECE;
    p.end = min(p.from + PIECE, a.first + a.n);
    p.row = a.logits + p.t * a.stride - a.first;
    p.scale = a.inv_temperature[p.t];
    p.key = a.draws + p.t * a.draw_stride;
    for (int e = threadIdx.x; e < a.n_excluded; e += THREADS)
        has_excluded |= a.excluded[e] >= p.from && a.excluded[e] < p.end;
    p.has_excluded = __syncthreads_or(has_excluded);
    return p;
}

__device__ __forceinline__ fv_cuda_words words_of(const piece &p, int64_t c)
{
    return philox({{(uint32_t)c, 0, (uint32_t)p.key[2], (uint32_t)p.key[3]}}, (uint32_t)p.key[0],
                  (uint32_t)p.key[1]);
}

/* What the values of a thread's ids are less than, -inf of those that cannot be drawn; and what the largest
 * of the piece is more than. */
struct outlook {
    float most[STEPS][WORDS], least;
    int is_wrong;
};

__device__ __forceinline__ void look_at(const sample_args &a, const piece &p, int64_t c, int step, outlook *o)
{
    int is_drawn = p.key[4];
    fv_cuda_words words = {};
    if (is_drawn && id_of(c, 0) < p.end)
        words = words_of(p, c);
#pragma unroll
    for (int w = 0; w < WORDS; w++) {
        int64_t id = id_of(c, w);
        o->most[step][w] = -INFINITY;
        if (id < p.from || id >= p.end || (p.has_excluded && is_excluded(a, id)))
            continue;
        float z = p.row[id] * p.scale, u = uniform_of(words.word[w]);
        float most = is_drawn ? fmaf(__log2f(u), -0.6931472f, z) : z;
        float less = is_drawn ? GUMBEL_SLACK : 0.0f;
        o->is_wrong |= !(z < INFINITY);
        o->most[step][w] = most;
        if (!is_drawn || u <= 0.5f)
            o->least = fmaxf(o->least, most - less);
    }
}

__device__ __forceinline__ best value_of(const piece &p, int64_t c, int w)
{
    int64_t id = id_of(c, w);
    float z = p.row[id] * p.scale;
    if (p.key[4])
        z += gumbel(words_of(p, c).word[w]);
    return {z, (int32_t)id};
}

__global__ void sample_pieces(const sample_args a)
{
    __shared__ best of_warp[THREADS / 32];
    __shared__ float scratch[THREADS / 32];
    join_chain();
    piece p = piece_of(a);
    int64_t first = p.from / GROUP * LANES + threadIdx.x;
    outlook o = {};
    best own = {-INFINITY, -1};
    o.least = -INFINITY;
#pragma unroll
    for (int step = 0; step < STEPS; step++)
        look_at(a, p, first + step * THREADS, step, &o);
    float least = block_max(o.least, scratch);
    least -= 1e-3f + 1e-6f * fabsf(least); /* what coarse logarithms and sums may be off */
#pragma unroll
    for (int step = 0; step < STEPS; step++)
#pragma unroll
        for (int w = 0; w < WORDS; w++)
            if (o.most[step][w] > -INFINITY && !(o.most[step][w] < least))
                own = better(own, value_of(p, first + step * THREADS, w));
    own = best_of_warp(own);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = own;
    int is_wrong = __syncthreads_or(o.is_wrong);
    if (threadIdx.x > 0)
        return;
    for (int w = 1; w < THREADS / 32; w++)
        own = better(own, of_warp[w]);
    a.pieces[p.t * a.n_pieces + blockIdx.x] = {own, is_wrong};
}

/* A warp has a row. */
__global__ void sample_best(const sample_args a)
{
    join_chain();
    int64_t t = blockIdx.x;
    best own = {-INFINITY, -1};
    int is_wrong = 0;
    for (int p = threadIdx.x; p < a.n_pieces; p += 32) {
        found piece = a.pieces[t * a.n_pieces + p];
        own = better(own, piece.it);
        is_wrong |= piece.is_wrong;
    }
    own = best_of_warp(own);
    is_wrong = __any_sync(~0u, is_wrong);
    if (threadIdx.x > 0)
        return;
    best before = a.accumulate ? best{a.value[t], a.ids[t]} : best{-INFINITY, -1};
    if (!a.accumulate)
        a.z[t] = -INFINITY;
    if (is_wrong)
        own = {INFINITY, -1};
    else if (own.id < 0 || own.value <= before.value) /* of equals the lower id, which came before */
        own = before;
    else
        a.z[t] = a.logits[t * a.stride + own.id - a.first] * a.inv_temperature[t];
    a.value[t] = own.value;
    a.ids[t] = own.id;
}

static int n_pieces(const fv_sample_args *args)
{
    return args->logits.dim[1] > 0 ? (int)blocks_for(args->logits.dim[1], PIECE) : 1;
}

size_t fv_cuda_sample_room(const fv_sample_args *args)
{
    return (size_t)args->logits.dim[0] * (size_t)n_pieces(args) * sizeof(found);
}

extern "C" fv_err fv_cuda_sample(fv_backend *backend, const fv_sample_args *args)
{
    void *pieces = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_sample_room(args), &pieces));
    sample_args a = {(const float *)args->logits.data,
                     (const float *)args->inv_temperature.data,
                     (const int32_t *)args->draws.data,
                     (const int32_t *)args->excluded.data,
                     args->logits.stride,
                     args->logits.dim[1],
                     args->draws.stride,
                     args->excluded.data ? (int)args->excluded.dim[0] : 0,
                     args->accumulate,
                     args->first,
                     (float *)args->value.data,
                     (float *)args->z.data,
                     (int32_t *)args->ids.data,
                     (found *)pieces,
                     n_pieces(args)};
    unsigned rows = (unsigned)args->logits.dim[0];
    FV_TRY(fv_cuda_chain(backend, "sample_pieces", {dim3((unsigned)a.n_pieces, rows), THREADS, 0},
                         sample_pieces, a));
    return fv_cuda_chain(backend, "sample_best", {dim3(rows), 32, 0}, sample_best, a);
}
