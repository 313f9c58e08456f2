/* AdamW, and masters as pairs of a BF16 weight and its missing bits. */
#include "rows.h"

#include "fovea/base/rng.h"

/* b^step, by squaring: powers of a float by double products are as good as pow. */
static double power(double b, int step)
{
    double result = 1.0;
    for (; step > 0; step /= 2, b = b * b)
        if (step % 2)
            result = result * b;
    return result;
}

typedef struct rule {
    float b1, rest1, b2, rest2; /* the betas and 1 - beta */
    float scale, eps;
    float keep_decay; /* lr * weight_decay */
    float rate;       /* lr / (1 - b1^step) */
    float unbias2;    /* 1 / (1 - b2^step) */
} rule;

static void update(rule k, const float *restrict grad, float *restrict param, float *restrict m,
                   float *restrict v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * k.scale;
        float m1 = k.b1 * m[i] + k.rest1 * g;
        float v1 = k.b2 * v[i] + k.rest2 * (g * g);
        float p = param[i] - k.keep_decay * param[i];
        m[i] = m1;
        v[i] = v1;
        param[i] = p - k.rate * m1 / (__builtin_sqrtf(v1 * k.unbias2) + k.eps);
    }
}

/* Elements [at, at + n) of a vector; NULL if it is absent. */
static uint16_t *halves(fv_tensor t, int64_t at)
{
    return t.data ? fv_bf16(t) + at : NULL;
}

static uint16_t lower_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)bits;
}

/* The lower tie of an even weight (its last bit of odd, then 8000h) has no pair. */
static void split(float *restrict master, int64_t n, uint16_t *restrict weight, uint16_t *restrict low)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, master + i, sizeof bits);
        bits += (bits & 0x1ffffu) == 0x18000u;
        memcpy(master + i, &bits, sizeof bits);
    }
    narrow(master, n, weight);
    for (int64_t i = 0; i < n && low; i++)
        low[i] = lower_half(master[i]);
}

static void join(const uint16_t *restrict weight, const uint16_t *restrict low, int64_t n,
                 float *restrict master)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t upper = (uint16_t)(weight[i] - (low[i] > 0x8000u)), bits = upper << 16 | low[i];
        memcpy(master + i, &bits, sizeof bits);
    }
}

/* Toward zero or away from it: away with the probability of what the upper half lacks. */
static uint16_t round_at_random(float x, uint32_t draw)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int is_finite = (bits & 0x7f800000u) != 0x7f800000u;
    return (uint16_t)((is_finite ? bits + (draw & 0xffffu) : bits) >> 16);
}

/* Element i of the part in the whole, and how many from it on lie side by side. */
static int64_t whole_of(const fv_part_place *p, int64_t i, int64_t *run)
{
    int64_t row = i / p->cols, col = i % p->cols;
    *run = p->cols - col;
    row = p->first_row + row / p->block_rows * p->block_stride + row % p->block_rows;
    return row * p->whole_cols + p->first_col + col;
}

/* A draw of four words serves four neighbours of the whole: half a word for m, half for v. */
static void round_moments(const fv_adamw_args *args, int64_t at, int64_t n, const float *m, const float *v)
{
    const fv_rng_key key = {
        .seed = args->seed, .step = (uint32_t)args->step, .sample = UINT32_MAX, .prompt = args->tensor};
    uint16_t *to_m = halves(args->m, at), *to_v = halves(args->v, at);
    uint32_t words[4];
    int64_t drawn = -1;
    for (int64_t i = 0, run; i < n; i += run) {
        int64_t whole = whole_of(&args->place, args->first + at + i, &run);
        run = run < n - i ? run : n - i;
        for (int64_t j = i; j < i + run; j++, whole++) {
            if (whole / 4 != drawn)
                fv_rng_words(key, (uint32_t)(drawn = whole / 4), words);
            to_m[j] = round_at_random(m[j], words[whole % 4]);
            to_v[j] = round_at_random(v[j], words[whole % 4] >> 16);
        }
    }
}

/* Elements [at, at + n), at most PIECE; room: for what is not F32. */
static void move(rule k, const fv_adamw_args *args, int64_t at, int64_t n, piece_room *room)
{
    uint16_t *weight = halves(args->weight, at), *low = halves(args->low, at);
    float *param = args->param.data ? fv_f32(args->param) + at : room[0];
    float *m = row_for(args->m, at, room[1]), *v = row_for(args->v, at, room[2]);
    read_row(args->m, at, n, room[1]);
    read_row(args->v, at, n, room[2]);
    if (low)
        join(weight, low, n, param);
    update(k, fv_f32(args->grad) + at, param, m, v, n);
    if (weight)
        split(param, n, weight, low);
    if (args->m.dtype != FV_F32)
        round_moments(args, at, n, m, v);
}

fv_err FV_CPU(adamw)(fv_backend *backend, const fv_adamw_args *args)
{
    int64_t n = args->grad.dim[0];
    rule k = {.b1 = args->beta1,
              .rest1 = 1.0f - args->beta1,
              .b2 = args->beta2,
              .rest2 = 1.0f - args->beta2,
              .scale = *fv_f32(args->scale),
              .eps = args->eps,
              .keep_decay = args->lr * args->weight_decay,
              .rate = (float)((double)args->lr / (1.0 - power(args->beta1, args->step))),
              .unbias2 = (float)(1.0 / (1.0 - power(args->beta2, args->step)))};
    if (k.scale == 0.0f)
        return FV_OK;
#pragma omp parallel num_threads(backend->n_threads) if (n > FV_CPU_SERIAL)
    {
        fv_cpu_range own = fv_cpu_share(n, 16);
        for (int64_t at = own.first; at < own.end; at += PIECE)
            move(k, args, at, own.end - at < PIECE ? own.end - at : PIECE, rooms(backend));
    }
    return FV_OK;
}

fv_err FV_CPU(pair_split)(fv_backend *backend, const fv_pair_split_args *args)
{
    int64_t n = args->master.dim[0];
#pragma omp parallel num_threads(backend->n_threads) if (n > FV_CPU_SERIAL)
    {
        fv_cpu_range own = fv_cpu_share(n, 16);
        split(fv_f32(args->master) + own.first, own.end - own.first, fv_bf16(args->weight) + own.first,
              halves(args->low, own.first));
    }
    return FV_OK;
}

fv_err FV_CPU(pair_join)(fv_backend *backend, const fv_pair_join_args *args)
{
    int64_t n = args->master.dim[0];
#pragma omp parallel num_threads(backend->n_threads) if (n > FV_CPU_SERIAL)
    {
        fv_cpu_range own = fv_cpu_share(n, 16);
        join(fv_bf16(args->weight) + own.first, fv_bf16(args->low) + own.first, own.end - own.first,
             fv_f32(args->master) + own.first);
    }
    return FV_OK;
}
