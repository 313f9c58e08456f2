/* RMS norm and its gradient. */
#include "cpu.h"
#include "vec.h"

/* Row r of the T * H rows of x (T, C) or (T, H, C). */
static float *norm_row(fv_tensor x, int64_t r)
{
    int64_t heads = x.n_dims == 3 ? x.dim[1] : 1;
    return fv_f32(x) + r / heads * x.stride + r % heads * x.dim[x.n_dims - 1];
}

static float sum_of_squares(const float *s, int64_t n)
{
    v16 sum = v_set(0.0f);
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        sum = v_fma(v_load(s + i), v_load(s + i), sum);
    v16 tail = v_load_part(s + i, n - i, 0.0f);
    return v_sum(v_fma(tail, tail, sum));
}

static void add_rows(const float *a, const float *b, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

static void scale_row(const float *restrict s, float rstd, const float *restrict weight, float *restrict y,
                      int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = s[i] * rstd * weight[i];
}

fv_err FV_CPU(norm)(fv_backend *backend, const fv_norm_args *args)
{
    int64_t c = args->x.dim[args->x.n_dims - 1], rows = fv_tensor_count(args->x) / (c ? c : 1);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * c > FV_CPU_SERIAL)
    for (int64_t r = 0; r < rows; r++) {
        const float *s = norm_row(args->x, r);
        if (args->residual.data) {
            add_rows(s, norm_row(args->residual, r), norm_row(args->sum, r), c);
            s = norm_row(args->sum, r);
        }
        float rstd = 1.0f / __builtin_sqrtf(sum_of_squares(s, c) / (float)c + args->eps);
        scale_row(s, rstd, fv_f32(args->weight), norm_row(args->y, r), c);
        if (args->rstd.data)
            fv_f32(args->rstd)[r] = rstd;
    }
    return FV_OK;
}

static float weighted_dot(const float *dy, const float *weight, const float *s, int64_t n)
{
    v16 sum = v_set(0.0f);
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        sum = v_fma(v_mul(v_load(weight + i), v_load(dy + i)), v_load(s + i), sum);
    v16 wdy = v_mul(v_load_part(weight + i, n - i, 0.0f), v_load_part(dy + i, n - i, 0.0f));
    return v_sum(v_fma(wdy, v_load_part(s + i, n - i, 0.0f), sum));
}

static void grad_row(const fv_norm_grad_args *args, int64_t r, int64_t c)
{
    const float *dy = norm_row(args->dy, r), *s = norm_row(args->x, r), *weight = fv_f32(args->weight);
    float *dx = norm_row(args->dx, r);
    float rstd = fv_f32(args->rstd)[r];
    float pull = weighted_dot(dy, weight, s, c) / (float)c * rstd * rstd;
    if (args->accumulate)
        for (int64_t i = 0; i < c; i++)
            dx[i] = dx[i] + rstd * (weight[i] * dy[i] - s[i] * pull);
    else
        for (int64_t i = 0; i < c; i++)
            dx[i] = rstd * (weight[i] * dy[i] - s[i] * pull);
}

static void grad_weight(const fv_norm_grad_args *args, fv_cpu_range rows, fv_cpu_range cols)
{
    float *restrict dweight = fv_f32(args->dweight);
    for (int64_t r = rows.first; r < rows.end; r++) {
        const float *restrict dy = norm_row(args->dy, r), *restrict s = norm_row(args->x, r);
        float rstd = fv_f32(args->rstd)[r];
        for (int64_t i = cols.first; i < cols.end; i++)
            dweight[i] = dweight[i] + dy[i] * s[i] * rstd;
    }
}

/* Rows go in blocks that stay in the cache between their two readers: dx shares out rows, dweight columns. */
enum { GRAD_BLOCK_BYTES = 4 << 20 };

fv_err FV_CPU(norm_grad)(fv_backend *backend, const fv_norm_grad_args *args)
{
    int64_t c = args->x.dim[args->x.n_dims - 1], rows = fv_tensor_count(args->x) / (c ? c : 1);
    int64_t block = 1 + GRAD_BLOCK_BYTES / (8 * (c + 1));
#pragma omp parallel num_threads(backend->n_threads) if (rows * c > FV_CPU_SERIAL)
    for (int64_t first = 0; first < rows; first += block) {
        int64_t end = first + block < rows ? first + block : rows;
#pragma omp for schedule(static)
        for (int64_t r = first; r < end; r++)
            grad_row(args, r, c);
        if (args->dweight.data)
            grad_weight(args, (fv_cpu_range){first, end}, fv_cpu_share(c, V_LANES));
    }
    return FV_OK;
}
