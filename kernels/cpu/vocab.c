/* Statistics of logits and their gradient, in chunks of the vocabulary. */
#include "rows.h"
#include "vocab_chunk.h"

static float target_scaled(const chunk *c, fv_tensor targets, int64_t row)
{
    int64_t j = targets.data ? fv_i32(targets)[row] - c->first : -1;
    if (j < 0 || j >= c->n || (c->mask && c->mask[j]))
        return -INF;
    return c->logits[j] * c->scale;
}

/* p log p over a common factor: 0 where p is. */
V_INLINE vn weigh(vn e, vn below, vn sum)
{
    return n_fma(e, n_select(below == -INF, n_set(0.0f), below), sum);
}

static void chunk_stats(const chunk *c, float *part)
{
    v16 top = v_set(-INF), sum = v_set(0.0f), weighted = v_set(0.0f);
    for (int64_t i = 0; i < c->n; i += V_LANES)
        top = v_max(top, load_scaled(c, i));
    part[0] = v_max_lane(top);
    /* z is weighed as its distance below max, so that rounding of the sums does not scale with max. */
    float shift = part[0] == -INF ? 0.0f : part[0];
    for (int64_t i = 0; i < c->n; i += V_LANES) {
        v16 below = v_sub(load_scaled(c, i), v_set(shift)), e = v_exp(below);
        sum = v_add(sum, e);
        weighted = V_MAP3(weigh, e, below, weighted);
    }
    part[1] = v_sum(sum);
    part[2] = s_fma(shift, part[1], v_sum(weighted));
}

fv_err FV_CPU(vocab_stats)(fv_backend *backend, const fv_vocab_stats_args *args)
{
    int64_t rows = args->logits.dim[0];
#pragma omp parallel num_threads(backend->n_threads) if (fv_tensor_count(args->logits) > FV_CPU_SERIAL)
    {
        plan p = {args->logits, args->excluded, args->inv_temperature, args->first, .chunk = -1};
        p.mask = fv_cpu_scratch(backend, fv_cpu_thread());
        fv_cpu_range tasks = fv_cpu_share(args->parts.dim[0] * rows, 1);
        for (int64_t task = tasks.first; task < tasks.end; task++) {
            chunk c = plan_chunk(&p, task);
            float *part =
                fv_f32(args->parts) + task / rows * args->parts.stride + task % rows * FV_VOCAB_FIELDS;
            chunk_stats(&c, part);
            part[3] = target_scaled(&c, args->targets, task % rows);
        }
    }
    return FV_OK;
}

/* What a row's gradient depends on; absent terms are 0. */
typedef struct row_grad {
    float lse, dlogprob, entropy, dentropy;
} row_grad;

/* The gradient by z of all but the target. Where p is 0 so is it, whatever log p. */
V_INLINE vn spread(vn z, row_grad g)
{
    vn log_p = z - g.lse, p = n_exp(log_p);
    vn pull = -g.dlogprob - g.dentropy * (log_p + g.entropy);
    return n_select((p == 0.0f) | (z == -INF), n_set(0.0f), p * pull);
}

/* out may be the chunk's logits. */
static void chunk_grad(const chunk *c, row_grad g, int64_t target, float *out)
{
#define SCALED_SPREAD(z) (c->scale * spread(z, g))
    int64_t i = 0, j = target - c->first;
    int hit = j >= 0 && j < c->n;
    float at_target = hit ? c->logits[j] * c->scale : 0.0f;
    for (; i + V_LANES <= c->n; i += V_LANES) {
        v16 z = load_scaled(c, i);
        v_store(out + i, V_MAP1(SCALED_SPREAD, z));
    }
    if (i < c->n) {
        v16 z = load_scaled(c, i);
        v_store_part(out + i, V_MAP1(SCALED_SPREAD, z), c->n - i);
    }
    if (hit && !(c->mask && c->mask[j]))
        out[j] = c->scale * (g.dlogprob + spread(n_set(at_target), g)[0]);
#undef SCALED_SPREAD
}

fv_err FV_CPU(vocab_grad)(fv_backend *backend, const fv_vocab_grad_args *args)
{
    int64_t rows = args->logits.dim[0];
    int with_entropy = args->dentropy.data != NULL;
#pragma omp parallel num_threads(backend->n_threads) if (fv_tensor_count(args->logits) > FV_CPU_SERIAL)
    {
        plan p = {args->logits, args->excluded, args->inv_temperature, args->first, .chunk = -1};
        p.mask = fv_cpu_scratch(backend, fv_cpu_thread());
        float *room = (float *)p.mask + FV_VOCAB_CHUNK;
        fv_cpu_range tasks = fv_cpu_share(n_tasks(args->logits), 1);
        for (int64_t task = tasks.first; task < tasks.end; task++) {
            int64_t t = task % rows, at = t * args->dlogits.stride + task / rows * FV_VOCAB_CHUNK;
            chunk c = plan_chunk(&p, task);
            row_grad g = {fv_f32(args->lse)[t], fv_f32(args->dlogprob)[t], 0.0f, 0.0f};
            if (with_entropy) {
                g.entropy = fv_f32(args->entropy)[t];
                g.dentropy = fv_f32(args->dentropy)[t];
            }
            float *out = row_for(args->dlogits, at, room);
            chunk_grad(&c, g, fv_i32(args->targets)[t], out);
            write_row(args->dlogits, at, c.n, out);
        }
    }
    return FV_OK;
}

typedef struct merged {
    float lse, logprob, entropy;
} merged;

static merged merge_row(const float *part, int64_t n_parts, int64_t stride, float target)
{
    float top = -INF, sum = 0.0f, weighted = 0.0f;
    for (int64_t p = 0; p < n_parts; p++) {
        top = part[p * stride] > top ? part[p * stride] : top;
        target = part[p * stride + 3] > target ? part[p * stride + 3] : target;
    }
    const float shift = top == -INF ? 0.0f : top;
    for (int64_t p = 0; p < n_parts; p++) {
        const float *x = part + p * stride;
        float weight = s_exp(x[0] - shift);
        sum = sum + weight * x[1];
        weighted = weighted + weight * s_fma(-shift, x[1], x[2]);
    }
    float log_sum = s_log(sum), lse = top + log_sum;
    return (merged){lse, target == -INF ? -INF : target - lse, sum == 0.0f ? 0.0f : log_sum - weighted / sum};
}

fv_err FV_CPU(vocab_merge)(fv_backend *backend, const fv_vocab_merge_args *args)
{
    int64_t n_parts = args->parts.dim[0], rows = args->parts.dim[1];
#pragma omp parallel for num_threads(backend->n_threads) if (n_parts * rows > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++) {
        float target = args->target.data ? fv_f32(args->target)[t] : -INF;
        merged m = merge_row(fv_f32(args->parts) + t * FV_VOCAB_FIELDS, n_parts, args->parts.stride, target);
        if (args->lse.data)
            fv_f32(args->lse)[t] = m.lse;
        if (args->logprob.data)
            fv_f32(args->logprob)[t] = m.logprob;
        if (args->entropy.data)
            fv_f32(args->entropy)[t] = m.entropy;
    }
    return FV_OK;
}
