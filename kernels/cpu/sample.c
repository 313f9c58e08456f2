/* Draws by the Gumbel maximum: of every row the id whose scaled logit plus its own Gumbel number is largest.
 *
 * The number of an id is a pure function of the row's key and the id, so parts of the vocabulary may be
 * looked at apart and their best ones compared. Sixty-four ids take sixteen counters of Philox, four words
 * each; ids that lie so far below the best one that no Gumbel number brings them up are passed over, which
 * changes nothing. */
#include "vocab_chunk.h"

#include "philox.h"

/* Ids of a block; word w of counter `block * 16 + lane` belongs to id `block * 64 + 16 w + lane`. */
enum { WORDS = 4, BLOCK = WORDS * V_LANES, PARTS = V_LANES / V_NATIVE };

typedef struct best {
    float value;
    int32_t id; /* -1: none */
} best;

/* The values of a search and their ids, lane by lane: of equals the lower id, which comes first. */
typedef struct search {
    vn top[PARTS];
    vni ids[PARTS];
    float floor; /* what a value must exceed */
    const int32_t *draw;
} search;

/* Scaled logits of columns [at, at + BLOCK); -inf outside and where excluded. */
V_INLINE void load_block(const chunk *c, int64_t at, v16 z[WORDS])
{
    float edge[BLOCK];
    if (at >= 0) {
        for (int w = 0; w < WORDS; w++)
            z[w] = at + w * V_LANES < c->n ? load_scaled(c, at + w * V_LANES) : v_set(-INF);
        return;
    }
    for (int i = 0; i < BLOCK; i++) {
        int64_t j = at + i;
        edge[i] = j >= 0 && j < c->n && !(c->mask && c->mask[j]) ? c->logits[j] * c->scale : -INF;
    }
    for (int w = 0; w < WORDS; w++)
        z[w] = v_load(edge + w * V_LANES);
}

V_INLINE int n_any(vni mask)
{
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps((__m256)mask) != 0;
#else
    return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}

/* Lanes 0, 1, ... of part p of a block's registers. */
V_INLINE vni n_lanes(int p)
{
    vni lanes;
    for (int i = 0; i < V_NATIVE; i++)
        lanes[i] = p * V_NATIVE + i;
    return lanes;
}

V_INLINE void look_at(search *s, int p, vn value, vni id)
{
    vni wins = value > s->top[p];
    s->top[p] = n_select(wins, value, s->top[p]);
    s->ids[p] = (wins & id) | (~wins & s->ids[p]);
}

/* w below which z + g may exceed the floor: g < -log(w), so exp(z - floor), and more than rounding can add.
 */
V_INLINE vn n_limit(const search *s, vn z)
{
    float slack = 0.0625f + 0x1p-20f * (s->floor < 0.0f ? -s->floor : s->floor);
    return n_exp(z - s->floor + slack);
}

/* Lanes of part p of a block, the first id of which is first. Logarithms are taken where they may matter. */
V_INLINE int search_part(search *s, int p, int64_t first, const v16 z[WORDS])
{
    vni lanes = n_lanes(p);
    vnu words[WORDS];
    int any = 0;
    n_philox((vnu)lanes + (uint32_t)(first / WORDS), s->draw, words);
    vn most = n_max(n_max(z[0].part[p], z[1].part[p]), n_max(z[2].part[p], z[3].part[p]));
    vn limit = s->floor > -INF ? n_limit(s, most) : n_set(INF);
    for (int w = 0; w < WORDS; w++) {
        vn x = n_uniform(words[w]);
        if (!n_any(x < limit))
            continue;
        look_at(s, p, z[w].part[p] + n_gumbel(x), lanes + (int32_t)(first + w * V_LANES));
        any = 1;
    }
    return any;
}

static void raise_floor(search *s)
{
    for (int p = 0; p < PARTS; p++)
        for (int i = 0; i < V_NATIVE; i++)
            s->floor = s->top[p][i] > s->floor ? s->top[p][i] : s->floor;
}

V_INLINE void search_block(search *s, int64_t first, const v16 z[WORDS])
{
    int any = !s->draw[WORDS];
    for (int p = 0; p < PARTS; p++) {
        if (s->draw[WORDS])
            any |= search_part(s, p, first, z);
        else
            for (int w = 0; w < WORDS; w++)
                look_at(s, p, z[w].part[p], n_lanes(p) + (int32_t)(first + w * V_LANES));
    }
    if (any)
        raise_floor(s);
}

/* Whether some value may exceed the floor; *is_wrong if one is NaN or infinite. */
V_INLINE int is_near(const search *s, const v16 z[WORDS], int *is_wrong)
{
    vni near = {0}, fine = near == 0;
    float reach = s->draw[WORDS] ? GUMBEL_BOUND : 0.0f;
    for (int w = 0; w < WORDS; w++)
        for (int p = 0; p < PARTS; p++) {
            near |= z[w].part[p] + reach > s->floor;
            fine &= z[w].part[p] < INF;
        }
    *is_wrong |= n_any(~fine);
    return n_any(near);
}

static best best_of(const search *s, best before)
{
    best found = {-INF, -1};
    for (int p = 0; p < PARTS; p++)
        for (int i = 0; i < V_NATIVE; i++)
            if (s->top[p][i] > found.value || (s->top[p][i] == found.value && s->ids[p][i] < found.id))
                found = (best){s->top[p][i], s->ids[p][i]};
    return found.value > before.value ? found : before;
}

/* A row that holds no distribution has the best value there is, and no id. */
static best search_chunk(const chunk *c, const int32_t *draw, best before)
{
    search s = {.floor = before.value, .draw = draw};
    int is_wrong = 0;
    for (int p = 0; p < PARTS; p++)
        s.top[p] = n_set(-INF);
    for (int64_t first = c->first / BLOCK * BLOCK; first < c->first + c->n; first += BLOCK) {
        v16 z[WORDS];
        load_block(c, first - c->first, z);
        if (is_near(&s, z, &is_wrong))
            search_block(&s, first, z);
    }
    return is_wrong ? (best){INF, -1} : best_of(&s, before);
}

static void sample_row(const fv_sample_args *args, const chunk *c, int64_t t)
{
    float *value = fv_f32(args->value) + t, *z = fv_f32(args->z) + t;
    int32_t *id = (int32_t *)args->ids.data + t;
    int is_first = !args->accumulate && c->first == args->first;
    best before = is_first ? (best){-INF, -1} : (best){*value, *id};
    best now = search_chunk(c, fv_i32(args->draws) + t * args->draws.stride, before);
    if (is_first)
        *z = -INF;
    if (now.id >= 0 && now.value > before.value)
        *z = c->logits[now.id - c->first] * c->scale;
    *value = now.value;
    *id = now.id;
}

fv_err FV_CPU(sample)(fv_backend *backend, const fv_sample_args *args)
{
    int64_t rows = args->logits.dim[0],
            n_chunks = (args->logits.dim[1] + FV_VOCAB_CHUNK - 1) / FV_VOCAB_CHUNK;
#pragma omp parallel num_threads(backend->n_threads) if (fv_tensor_count(args->logits) > FV_CPU_SERIAL)
    {
        plan p = {args->logits, args->excluded, args->inv_temperature, args->first, .chunk = -1};
        p.mask = fv_cpu_scratch(backend, fv_cpu_thread());
        fv_cpu_range range = fv_cpu_share(rows, 1);
        for (int64_t i = 0; i < n_chunks || i == 0; i++)
            for (int64_t t = range.first; t < range.end; t++) {
                chunk c = plan_chunk(&p, i * rows + t);
                sample_row(args, &c, t);
            }
    }
    return FV_OK;
}
