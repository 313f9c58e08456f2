/* RMS norm and its gradient. */
#include "rows.h"

/* Where row r of the T * H rows of x (T, C) or (T, H, C) begins. */
static int64_t row_at(fv_tensor x, int64_t r)
{
    int64_t heads = x.n_dims == 3 ? x.dim[1] : 1;
    return r / heads * x.stride + r % heads * x.dim[x.n_dims - 1];
}

/* Rooms for rows of so many channels in the scratch of a thread. */
enum { N_ROOMS = 4, MOST_C = FV_CPU_SCRATCH_BYTES / (int)sizeof(float) / N_ROOMS };

static fv_err check_width(const char *op, int64_t c)
{
    FV_CHECK(c <= MOST_C, FV_ERR_UNSUPPORTED, "%s: rows of %lld channels, expected at most %d", op,
             (long long)c, MOST_C);
    return FV_OK;
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

/* s, as it is stored: row r of x, or of its sum with the residual. */
static const float *sum_row(const fv_norm_args *args, int64_t r, int64_t c, float *room)
{
    const float *x = read_row(args->x, row_at(args->x, r), c, room);
    if (!args->residual.data)
        return x;
    int64_t at = row_at(args->sum, r);
    float *sum = row_for(args->sum, at, room);
    add_rows(x, read_row(args->residual, row_at(args->residual, r), c, room + MOST_C), sum, c);
    write_row(args->sum, at, c, sum);
    return read_row(args->sum, at, c, room);
}

fv_err FV_CPU(norm)(fv_backend *backend, const fv_norm_args *args)
{
    int64_t c = args->x.dim[args->x.n_dims - 1], rows = fv_tensor_count(args->x) / (c ? c : 1);
    FV_TRY(check_width("norm", c));
#pragma omp parallel num_threads(backend->n_threads) if (rows * c > FV_CPU_SERIAL)
    {
        float *room = fv_cpu_scratch(backend, fv_cpu_thread());
        const float *weight = read_row(args->weight, 0, c, room + 2 * MOST_C);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; r++) {
            const float *s = sum_row(args, r, c, room);
            float *y = row_for(args->y, row_at(args->y, r), room + MOST_C);
            float rstd = 1.0f / __builtin_sqrtf(sum_of_squares(s, c) / (float)c + args->eps);
            scale_row(s, rstd, weight, y, c);
            write_row(args->y, row_at(args->y, r), c, y);
            if (args->rstd.data)
                fv_f32(args->rstd)[r] = rstd;
        }
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

static void grad_row(const fv_norm_grad_args *args, int64_t r, int64_t c, const float *weight, float *room)
{
    const float *dy = read_row(args->dy, row_at(args->dy, r), c, room);
    const float *s = read_row(args->x, row_at(args->x, r), c, room + MOST_C);
    int64_t at = row_at(args->dx, r);
    float *dx = row_for(args->dx, at, room + 2 * MOST_C);
    float rstd = fv_f32(args->rstd)[r];
    float pull = weighted_dot(dy, weight, s, c) / (float)c * rstd * rstd;
    if (args->accumulate) {
        read_row(args->dx, at, c, room + 2 * MOST_C);
        for (int64_t i = 0; i < c; i++)
            dx[i] = dx[i] + rstd * (weight[i] * dy[i] - s[i] * pull);
    } else
        for (int64_t i = 0; i < c; i++)
            dx[i] = rstd * (weight[i] * dy[i] - s[i] * pull);
    write_row(args->dx, at, c, dx);
}

static void grad_weight(const fv_norm_grad_args *args, fv_cpu_range rows, fv_cpu_range cols, float *room)
{
    float *restrict dweight = fv_f32(args->dweight) + cols.first;
    int64_t n = cols.end - cols.first;
    for (int64_t r = rows.first; r < rows.end; r++) {
        const float *restrict dy = read_row(args->dy, row_at(args->dy, r) + cols.first, n, room);
        const float *restrict s = read_row(args->x, row_at(args->x, r) + cols.first, n, room + MOST_C);
        float rstd = fv_f32(args->rstd)[r];
        for (int64_t i = 0; i < n; i++)
            dweight[i] = dweight[i] + dy[i] * s[i] * rstd;
    }
}

/* Rows go in blocks that stay in the cache between their two readers: dx shares out rows, dweight columns. */
enum { GRAD_BLOCK_BYTES = 4 << 20 };

fv_err FV_CPU(norm_grad)(fv_backend *backend, const fv_norm_grad_args *args)
{
    int64_t c = args->x.dim[args->x.n_dims - 1], rows = fv_tensor_count(args->x) / (c ? c : 1);
    int64_t block = 1 + GRAD_BLOCK_BYTES / (8 * (c + 1));
    FV_TRY(check_width("norm_grad", c));
#pragma omp parallel num_threads(backend->n_threads) if (rows * c > FV_CPU_SERIAL)
    {
        float *room = fv_cpu_scratch(backend, fv_cpu_thread());
        const float *weight = read_row(args->weight, 0, c, room + 3 * MOST_C);
        for (int64_t first = 0; first < rows; first += block) {
            int64_t end = first + block < rows ? first + block : rows;
#pragma omp for schedule(static)
            for (int64_t r = first; r < end; r++)
                grad_row(args, r, c, weight, room);
            if (args->dweight.data)
                grad_weight(args, (fv_cpu_range){first, end}, fv_cpu_share(c, V_LANES), room);
        }
    }
    return FV_OK;
}
