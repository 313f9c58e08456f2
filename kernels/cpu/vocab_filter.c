/* What top-k and top-p leave of each row of logits.
 *
 * They need no sort: a radix search over the bits of the logits finds the value where the largest ones reach
 * their number (top_k) or their probability (top_p). */
#include "cpu.h"
#include "vec.h"

#define INF __builtin_inff()
/* The digits of a key, highest first; the tallies of the first are kept four times over, since neighbours
 * often fall on the same digit and would wait for each other. */
enum { N_LEVELS = 3, MAX_DIGITS = 2048, TALLIES = 4 };
static const struct {
    int shift, n_digits;
} levels[N_LEVELS] = {{21, 2048}, {10, 2048}, {0, 1024}};

typedef struct row {
    float *z; /* (n) scaled logits; -inf for ids that are out */
    float *e; /* (n) exp(z - max) */
    int32_t *ids;
    double (*mass)[MAX_DIGITS]; /* (TALLIES, MAX_DIGITS) */
    int64_t n;                  /* a multiple of 16 */
    float max;
} row;

enum { MASS_FLOATS = 2 * TALLIES * MAX_DIGITS };

static row row_init(const fv_backend *backend, int64_t n)
{
    float *scratch = fv_cpu_scratch(backend, fv_cpu_thread()), *z = scratch + MASS_FLOATS;
    int64_t room = (n + V_LANES - 1) / V_LANES * V_LANES;
    return (row){.z = z,
                 .e = z + room,
                 .ids = (int32_t *)(z + 2 * room),
                 .mass = (double(*)[MAX_DIGITS])scratch,
                 .n = room};
}

/* 1 where z is NaN, else as before. */
V_INLINE vn mark_nan(vn z, vn before)
{
    return n_select(z == z, before, n_set(1.0f));
}

/* Whether the row has a distribution. */
static int row_load(row *r, const fv_vocab_filter_args *args, int64_t t)
{
    const float *logits = fv_f32(args->logits) + t * args->logits.stride;
    int64_t n = args->logits.dim[1];
    float scale = fv_f32(args->inv_temperature)[t];
    for (int64_t i = 0; i < n; i++)
        r->z[i] = logits[i] * scale + 0.0f; /* + 0 turns -0 into 0: they tie */
    for (int64_t i = n; i < r->n; i++)
        r->z[i] = -INF;
    for (int64_t i = 0; args->excluded.data && i < args->excluded.dim[0]; i++) {
        int32_t id = fv_i32(args->excluded)[i];
        if (id >= 0 && id < n)
            r->z[id] = -INF;
    }
    v16 top = v_set(-INF), wrong = v_set(0.0f);
    for (int64_t i = 0; i < r->n; i += V_LANES) {
        v16 z = v_load(r->z + i);
        top = v_max(top, z);
        wrong = V_MAP2(mark_nan, z, wrong);
    }
    r->max = v_max_lane(top);
    return v_sum(wrong) == 0.0f && r->max > -INF && r->max < INF;
}

static void exponentials(row *r)
{
    const v16 max = v_set(r->max);
    for (int64_t i = 0; i < r->n; i += V_LANES)
        v_store(r->e + i, v_exp(v_sub(v_load(r->z + i), max)));
}

/* Bits that order as floats do, and back. */
V_INLINE uint32_t key_of(float z)
{
    uint32_t bits;
    memcpy(&bits, &z, sizeof bits);
    return bits ^ ((uint32_t)((int32_t)bits >> 31) | 0x80000000u);
}

static float float_of(uint32_t key)
{
    uint32_t bits = key >> 31 ? key ^ 0x80000000u : ~key;
    float z;
    memcpy(&z, &bits, sizeof z);
    return z;
}

/* What an id weighs: 1 each, or its probability. */
V_INLINE double weight_of(const row *r, int64_t i, int by_count)
{
    return by_count ? (r->z[i] > -INF ? 1.0 : 0.0) : (double)r->e[i];
}

/* Of masses from the top: the digit at which above + mass reaches target, or the lowest present. */
static uint32_t crossing(const double *mass, int n_digits, double target, double *above)
{
    int found = -1;
    for (int d = n_digits - 1; d >= 0; d--) {
        if (mass[d] == 0.0)
            continue;
        if (found >= 0)
            *above += mass[found];
        found = d;
        if (*above + mass[d] >= target)
            break;
    }
    return (uint32_t)(found < 0 ? 0 : found);
}

/* Weigh all ids by their first digit, find the digit that crosses and list its ids. */
V_INLINE int64_t first_digit(const row *r, int by_count, double target, uint32_t *key, double *above)
{
    const int shift = levels[0].shift;
    memset(r->mass, 0, TALLIES * sizeof *r->mass);
    for (int64_t i = 0; i < r->n; i += TALLIES)
        for (int k = 0; k < TALLIES; k++)
            r->mass[k][key_of(r->z[i + k]) >> shift] += weight_of(r, i + k, by_count);
    for (int d = 0; d < MAX_DIGITS; d++)
        r->mass[0][d] += r->mass[1][d] + r->mass[2][d] + r->mass[3][d];
    *key = crossing(r->mass[0], levels[0].n_digits, target, above);
    int64_t n = 0;
    for (int64_t i = 0; i < r->n; i++) {
        r->ids[n] = (int32_t)i;
        n += key_of(r->z[i]) >> shift == *key;
    }
    return n;
}

typedef struct cut {
    float z;      /* the smallest logit that is kept */
    double above; /* weight of the larger ones */
} cut;

V_INLINE cut find_cut(const row *r, int by_count, double target)
{
    uint32_t key;
    double above = 0.0;
    int64_t n = first_digit(r, by_count, target, &key, &above);
    for (int l = 1; l < N_LEVELS; l++) {
        const uint32_t shift = (uint32_t)levels[l].shift, n_digits = (uint32_t)levels[l].n_digits;
        memset(r->mass[0], 0, sizeof r->mass[0]);
        for (int64_t i = 0; i < n; i++) {
            uint32_t digits = key_of(r->z[r->ids[i]]) >> shift;
            if (digits / n_digits == key)
                r->mass[0][digits % n_digits] += weight_of(r, r->ids[i], by_count);
        }
        key = key * n_digits + crossing(r->mass[0], (int)n_digits, target, &above);
    }
    return (cut){float_of(key), above};
}

static void put_out(row *r, int64_t i)
{
    r->z[i] = -INF;
    r->e[i] = 0.0f;
}

/* Keep the largest logits, ties by the lower id, until their weights reach target; at least one. */
V_INLINE void keep_largest(row *r, int by_count, double target)
{
    cut c = find_cut(r, by_count, target);
    int any = 0;
    for (int64_t i = 0; i < r->n; i++) {
        r->e[i] = r->z[i] < c.z ? 0.0f : r->e[i];
        r->z[i] = r->z[i] < c.z ? -INF : r->z[i];
    }
    for (int64_t i = 0; i < r->n; i++) {
        if (r->z[i] != c.z)
            continue;
        if (any && c.above >= target)
            put_out(r, i);
        else
            c.above += weight_of(r, i, by_count);
        any = 1;
    }
}

static void keep_top_k(row *r, int top_k)
{
    keep_largest(r, 1, (double)top_k);
}

static double chunk_mass(const float *e, int64_t n)
{
    v16 sum = v_set(0.0f);
    for (int64_t i = 0; i < n; i += V_LANES)
        sum = v_add(sum, v_load(e + i));
    return (double)v_sum(sum);
}

static int64_t n_chunks(const row *r)
{
    return (r->n + FV_VOCAB_CHUNK - 1) / FV_VOCAB_CHUNK;
}

/* Sums of e over each chunk, and over all. */
static double chunk_masses(const row *r, double *mass)
{
    double total = 0.0;
    for (int64_t c = 0; c < n_chunks(r); c++) {
        int64_t from = c * FV_VOCAB_CHUNK, n = r->n - from;
        mass[c] = chunk_mass(r->e + from, n < FV_VOCAB_CHUNK ? n : FV_VOCAB_CHUNK);
        total += mass[c];
    }
    return total;
}

static void keep_top_p(row *r, float top_p)
{
    keep_largest(r, 0, (double)top_p * chunk_masses(r, r->mass[0]));
}

static void filter_row(row *r, const fv_vocab_filter_args *args, int64_t t)
{
    float *logits = fv_f32(args->logits) + t * args->logits.stride, top_p = fv_f32(args->top_p)[t];
    int32_t top_k = fv_i32(args->top_k)[t];
    int64_t n = args->logits.dim[1];
    exponentials(r);
    if (top_k > 0 && top_k < n)
        keep_top_k(r, top_k);
    if (top_p < 1.0f)
        keep_top_p(r, top_p);
    for (int64_t i = 0; i < n; i++)
        logits[i] = r->z[i] == -INF ? -INF : logits[i];
}

fv_err FV_CPU(vocab_filter)(fv_backend *backend, const fv_vocab_filter_args *args)
{
    int64_t rows = args->logits.dim[0], n = args->logits.dim[1];
    const int64_t most = (FV_CPU_SCRATCH_BYTES / (int64_t)sizeof(float) - MASS_FLOATS) / 3 - V_LANES;
    FV_CHECK(n <= most, FV_ERR_UNSUPPORTED,
             "vocab_filter: %lld logits in a row, at most %lld fit the scratch", (long long)n,
             (long long)most);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++) {
        row r = row_init(backend, n);
        if (row_load(&r, args, t))
            filter_row(&r, args, t);
    }
    return FV_OK;
}
