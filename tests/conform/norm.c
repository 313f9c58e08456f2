/* RMS norm and its gradient; rotary positions. */
#include "suite.h"

#include <math.h>

static const float eps = 1e-5f;

static int64_t width_of(fv_tensor x)
{
    return x.dim[x.n_dims - 1];
}

static double rstd_of(const double *s, int64_t n, double epsilon)
{
    double square = 0.0;
    for (int64_t i = 0; i < n; i++)
        square += s[i] * s[i];
    return 1.0 / sqrt(square / (double)n + epsilon);
}

void reference_norm(const fv_norm_args *args)
{
    int64_t n = width_of(args->x), rows = fv_tensor_count(args->x) / n;
    double *s = host_take((size_t)n * sizeof *s);
    const double *x = args->x.data, *residual = args->residual.data, *weight = args->weight.data;
    double *sum = args->sum.data, *y = args->y.data, *rstd = args->rstd.data;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < n; j++)
            s[j] = residual ? as_stored(x[i * n + j] + residual[i * n + j]) : x[i * n + j];
        double r = rstd_of(s, n, (double)args->eps);
        for (int64_t j = 0; j < n; j++)
            y[i * n + j] = s[j] * r * weight[j];
        if (sum)
            memcpy(sum + i * n, s, (size_t)n * sizeof *s);
        if (rstd)
            rstd[i] = r;
    }
}

static const int matrices[][2] = {{0, 8},   {1, 1},   {1, 7},     {2, 16},   {3, 17},   {5, 33},
                                  {9, 128}, {37, 51}, {21, 1003}, {64, 320}, {3, 2504}, {2, 4100}};
static const int heads[][3] = {{0, 2, 8}, {1, 1, 5}, {7, 3, 72}, {19, 4, 16}, {40, 6, 80}, {1100, 3, 8}};
enum {
    N_MATRICES = sizeof matrices / sizeof *matrices,
    N_SHAPES = N_MATRICES + sizeof heads / sizeof *heads
};

static fv_tensor draw_shape(int i)
{
    if (i < N_MATRICES)
        return draw_2d(matrices[i][0], matrices[i][1]);
    const int *shape = heads[i - N_MATRICES];
    return draw_3d(shape[0], shape[1], shape[2]);
}

void cases_norm(void)
{
    for (int i = 0; i < N_SHAPES; i++)
        for (int with = 0; with < 4; with++) {
            fv_tensor x = draw_shape(i);
            fv_norm_args args = {.x = x, .weight = draw_1d(width_of(x)), .y = zeros_like(x), .eps = eps};
            if (with & 1) {
                args.residual = draw_shape(i);
                args.sum = zeros_like(x);
            }
            if (with & 2)
                args.rstd = zeros_1d(FV_F32, fv_tensor_count(x) / width_of(x));
            CONFORM(norm, args, .near = 2e-6, .n_rows = x.dim[0], .rows = "x residual sum y rstd");
        }
}

void reference_norm_grad(const fv_norm_grad_args *args)
{
    int64_t n = width_of(args->x), rows = fv_tensor_count(args->x) / n;
    const double *dy = args->dy.data, *s = args->x.data, *weight = args->weight.data;
    double *dx = args->dx.data, *dweight = args->dweight.data;
    for (int64_t i = 0; i < rows; i++, dy += n, s += n, dx += n) {
        double r = *f64_at(args->rstd, i, 0), mean = 0.0;
        for (int64_t j = 0; j < n; j++)
            mean += weight[j] * dy[j] * s[j] / (double)n;
        for (int64_t j = 0; j < n; j++) {
            dx[j] = (args->accumulate ? dx[j] : 0.0) + r * (weight[j] * dy[j] - s[j] * r * r * mean);
            if (dweight)
                dweight[j] += dy[j] * s[j] * r;
        }
    }
}

static double loss_of_norm(const void *grad_args)
{
    const fv_norm_grad_args *args = grad_args;
    fv_tensor y = zeros_like(args->x);
    reference_norm(&(fv_norm_args){.x = args->x, .weight = args->weight, .y = y, .eps = eps});
    return dot(args->dy, y);
}

void cases_norm_grad(void)
{
    for (int i = 0; i < N_SHAPES; i++)
        for (int with = 0; with < 4; with++) {
            fv_tensor x = draw_shape(i);
            int64_t rows = fv_tensor_count(x) / width_of(x);
            fv_norm_args forward = {.x = x, .weight = draw_1d(width_of(x)), .y = zeros_like(x), .eps = eps};
            forward.rstd = zeros_1d(FV_F32, rows);
            args_refer(FV_OP_norm, &forward);
            fv_norm_grad_args args = {.dy = draw_shape(i),
                                      .x = x,
                                      .weight = forward.weight,
                                      .rstd = forward.rstd,
                                      .dx = draw_shape(i),
                                      .accumulate = with & 1};
            if (with & 2)
                args.dweight = draw_1d(width_of(x));
            int is_long = with & 2 && rows > 1000; /* dweight is a sum over them */
            CONFORM(norm_grad, args, .near = is_long ? 1e-4 : 1e-5, .note = with & 1 ? "accumulate" : NULL,
                    .loss = loss_of_norm,
                    .slopes = {{"x", "dx", with & 1}, {with & 2 ? "weight" : NULL, "dweight", 1}});
        }
}

void reference_rope_angles(const fv_rope_angles_args *args)
{
    for (int64_t t = 0; t < args->cos.dim[0]; t++)
        for (int64_t i = 0; i < args->cos.dim[1]; i++) {
            int axis = 0;
            for (int64_t end = args->sections[0]; i >= end; end += args->sections[axis])
                axis++;
            double angle = *i32_at(args->positions, axis, t) * ((const double *)args->rates.data)[i];
            *f64_at(args->cos, t, i) = cos(angle) * args->scale;
            *f64_at(args->sin, t, i) = sin(angle) * args->scale;
        }
}

void cases_rope_angles(void)
{
    /* rows, and pairs of each axis */
    static const int tables[][4] = {{0, 2, 1, 1}, {1, 1, 0, 0}, {5, 0, 0, 3}, {3, 0, 4, 0}, {37, 16, 24, 24}};
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
        const int *at = tables[k];
        int half = at[1] + at[2] + at[3];
        fv_rope_angles_args args = {.positions = zeros_2d(FV_I32, 3, at[0]),
                                    .rates = zeros_1d(FV_F64, half),
                                    .cos = zeros_2d(FV_F32, at[0], half),
                                    .sin = zeros_2d(FV_F32, at[0], half),
                                    .sections = {at[1], at[2], at[3]},
                                    .scale = k == 4 ? 1.25 : 1};
        for (int axis = 0; axis < 3; axis++)
            for (int t = 0; t < at[0]; t++)
                *i32_at(args.positions, axis, t) = (7919 * axis + 577 * t) % 32768;
        for (int i = 0; i < half; i++)
            ((double *)args.rates.data)[i] = pow(1e6, -(double)i / half);
        CONFORM(rope_angles, args, .near = 1e-7, .n_rows = at[0], .rows = "cos sin", .columns = "positions");
    }
}

void reference_rope(const fv_rope_args *args)
{
    int64_t half = args->x.dim[2] / 2, n_heads = args->x.dim[1];
    for (int64_t t = 0; t < args->x.dim[0]; t++)
        for (int64_t h = 0; h < n_heads; h++)
            for (int64_t j = 0; j < half; j++) {
                double x1 = *f64_at(args->x, t, 2 * h * half + j),
                       x2 = *f64_at(args->x, t, (2 * h + 1) * half + j);
                double *out = f64_at(args->out, t, 2 * h * half + j);
                double c = *f64_at(args->cos, t, j), s = *f64_at(args->sin, t, j);
                s = args->inverse ? -s : s;
                out[0] = x1 * c - x2 * s;
                out[half] = x2 * c + x1 * s;
            }
}

void cases_rope(void)
{
    static const int shapes[][3] = {{0, 2, 8},   {1, 1, 2},    {3, 2, 6},   {5, 3, 34},
                                    {7, 1, 128}, {37, 16, 72}, {20, 12, 80}};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const int *shape = shapes[i / 2];
        fv_rope_args args = {.x = draw_3d(shape[0], shape[1], shape[2]), .inverse = i % 2};
        args.out = zeros_like(args.x);
        args.sin = draw_2d(shape[0], shape[2] / 2);
        args.cos = zeros_like(args.sin);
        for (int64_t j = 0; j < fv_tensor_count(args.sin); j++) {
            float *angle = f32_at(args.sin, 0, j);
            *f32_at(args.cos, 0, j) = cosf(4.0f * *angle);
            *angle = sinf(4.0f * *angle);
        }
        CONFORM(rope, args, .near = 1e-6, .note = args.inverse ? "inverse" : NULL, .n_rows = shape[0],
                .rows = "cos sin x out");
    }
}

static void put_rows(fv_tensor in, fv_tensor slots, fv_tensor table)
{
    reference_scatter(&(fv_scatter_args){fv_tensor_flat(in), slots, fv_tensor_flat(table), 0});
}

void reference_rope_store(const fv_rope_store_args *args)
{
    reference_rope(&(fv_rope_args){args->cos, args->sin, args->q, args->q, 0});
    reference_rope(&(fv_rope_args){args->cos, args->sin, args->k, args->k, 0});
    put_rows(args->k, args->slots, args->keys);
    put_rows(args->v, args->slots, args->values);
}

/* Slots in disorder, some outside of the store. */
void cases_rope_store(void)
{
    static const int stores[][5] = {/* tokens, query heads, key heads, channels, rows of the store */
                                    {0, 2, 1, 4, 3},    {1, 1, 1, 2, 1},     {7, 3, 1, 6, 20},
                                    {64, 4, 2, 80, 70}, {33, 6, 2, 128, 90}, {5, 2, 2, 256, 9}};
    for (size_t i = 0; i < sizeof stores / sizeof *stores; i++) {
        const int *s = stores[i];
        fv_tensor angles = draw_2d(s[0], s[3] / 2), slots = zeros_1d(FV_I32, s[0]);
        for (int t = 0; t < s[0]; t++)
            *i32_at(slots, t, 0) = (t * 11 + 5) % (s[4] + 3) - 1;
        fv_rope_store_args args = {.cos = angles,
                                   .sin = draw_2d(s[0], s[3] / 2),
                                   .q = draw_3d(s[0], s[1], s[3]),
                                   .k = draw_3d(s[0], s[2], s[3]),
                                   .v = draw_3d(s[0], s[2], s[3]),
                                   .slots = slots,
                                   .keys = draw_3d(s[4], s[2], s[3]),
                                   .values = draw_3d(s[4], s[2], s[3])};
        CONFORM(rope_store, args, .near = 1e-6);
    }
}
