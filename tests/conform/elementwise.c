/* SwiGLU, GELU and their gradients; AdamW; sums, copies, casts, constants. */
#include "suite.h"

#include <math.h>

static const int shapes[][2] = {{0, 5},  {4, 0},   {1, 1},     {1, 16},   {2, 17},
                                {3, 63}, {9, 128}, {70, 1003}, {130, 33}, {1, 20001}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static fv_tensor draw_shape(int i)
{
    return draw_2d(shapes[i][0], shapes[i][1]);
}

/* -- activations -- */

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

void reference_swiglu(const fv_swiglu_args *args)
{
    const double *gate = args->gate.data, *up = args->up.data;
    double *y = args->y.data;
    for (int64_t i = 0; i < fv_tensor_count(args->y); i++)
        y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

void reference_swiglu_grad(const fv_swiglu_grad_args *args)
{
    const double *dy = args->dy.data, *gate = args->gate.data, *up = args->up.data;
    double *dgate = args->dgate.data, *dup = args->dup.data;
    for (int64_t i = 0; i < fv_tensor_count(args->dy); i++) {
        double s = sigmoid(gate[i]);
        dgate[i] = dy[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
        dup[i] = dy[i] * gate[i] * s;
    }
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2.0));
}

void reference_gelu(const fv_gelu_args *args)
{
    const double *x = args->x.data;
    double *y = args->y.data;
    for (int64_t i = 0; i < fv_tensor_count(args->y); i++)
        y[i] = x[i] * normal_cdf(x[i]);
}

void reference_gelu_grad(const fv_gelu_grad_args *args)
{
    const double *dy = args->dy.data, *x = args->x.data;
    double *dx = args->dx.data;
    for (int64_t i = 0; i < fv_tensor_count(args->dx); i++)
        dx[i] = dy[i] * (normal_cdf(x[i]) + x[i] * exp(-0.5 * x[i] * x[i]) / sqrt(2.0 * acos(-1.0)));
}

/* Every 1/128 from -100 to 100, where exp runs out of range, and further. */
static fv_tensor wide_range(void)
{
    enum { N = 100 * 128 };
    fv_tensor x = zeros_2d(FV_F32, 2, N + 1);
    for (int i = 0; i <= N; i++) {
        *f32_at(x, 0, i) = (float)i / -128.0f;
        *f32_at(x, 1, i) = (float)i / 128.0f;
    }
    *f32_at(x, 0, N) = -1e4f;
    *f32_at(x, 1, N) = 1e4f;
    return x;
}

void cases_swiglu(void)
{
    for (int i = 0; i <= N_SHAPES; i++) {
        fv_tensor gate = i < N_SHAPES ? draw_shape(i) : wide_range();
        fv_swiglu_args args = {gate, draw_2d(gate.dim[0], gate.dim[1]), zeros_like(gate)};
        CONFORM(swiglu, args, .near = 6e-7, .n_rows = gate.dim[0], .rows = "gate up y");
        CONFORM(swiglu, args, .near = 6e-7, .note = "columns", .n_rows = gate.dim[1], .columns = "gate up y");
    }
}

static double loss_of_swiglu(const void *grad_args)
{
    const fv_swiglu_grad_args *args = grad_args;
    fv_tensor y = zeros_like(args->dy);
    reference_swiglu(&(fv_swiglu_args){args->gate, args->up, y});
    return dot(args->dy, y);
}

void cases_swiglu_grad(void)
{
    for (int i = 0; i <= N_SHAPES; i++) {
        fv_tensor gate = i < N_SHAPES ? draw_shape(i) : wide_range();
        fv_swiglu_grad_args args = {.gate = gate,
                                    .dy = draw_2d(gate.dim[0], gate.dim[1]),
                                    .up = draw_2d(gate.dim[0], gate.dim[1]),
                                    .dgate = zeros_like(gate),
                                    .dup = zeros_like(gate)};
        CONFORM(swiglu_grad, args, .near = 1e-6, .n_rows = gate.dim[0], .rows = "dy gate up dgate dup",
                .loss = loss_of_swiglu, .slopes = {{"gate", "dgate", 0}, {"up", "dup", 0}});
    }
}

void cases_gelu(void)
{
    for (int i = 0; i <= N_SHAPES; i++) {
        fv_tensor x = i < N_SHAPES ? draw_shape(i) : wide_range();
        fv_gelu_args args = {x, zeros_like(x)};
        CONFORM(gelu, args, .near = 3e-7, .n_rows = x.dim[0], .rows = "x y");
        CONFORM(gelu, args, .near = 3e-7, .note = "columns", .n_rows = x.dim[1], .columns = "x y");
    }
}

static double loss_of_gelu(const void *grad_args)
{
    const fv_gelu_grad_args *args = grad_args;
    fv_tensor y = zeros_like(args->x);
    reference_gelu(&(fv_gelu_args){args->x, y});
    return dot(args->dy, y);
}

void cases_gelu_grad(void)
{
    for (int i = 0; i <= N_SHAPES; i++) {
        fv_tensor x = i < N_SHAPES ? draw_shape(i) : wide_range();
        fv_gelu_grad_args args = {draw_2d(x.dim[0], x.dim[1]), x, zeros_like(x)};
        CONFORM(gelu_grad, args, .near = 6e-7, .n_rows = x.dim[0], .rows = "dy x dx", .loss = loss_of_gelu,
                .slopes = {{"x", "dx", 0}});
    }
}

/* -- AdamW -- */

/* Of the pair that moves in place of param: tests/unit/ops/adamw.c. */
void reference_adamw(const fv_adamw_args *a)
{
    const double *grad = a->grad.data;
    double *param = a->param.data, *weight = a->weight.data, *m = a->m.data, *v = a->v.data;
    double scale = *f64_at(a->scale, 0, 0), b1 = (double)a->beta1, b2 = (double)a->beta2, lr = (double)a->lr;
    for (int64_t i = 0; i < a->param.dim[0] && scale != 0; i++) {
        double g = grad[i] * scale;
        m[i] = b1 * m[i] + (1.0 - b1) * g;
        v[i] = b2 * v[i] + (1.0 - b2) * g * g;
        double m_hat = m[i] / (1.0 - pow(b1, a->step)), v_hat = v[i] / (1.0 - pow(b2, a->step));
        param[i] -= lr * (double)a->weight_decay * param[i];
        param[i] -= lr * m_hat / (sqrt(v_hat) + (double)a->eps);
        if (weight)
            weight[i] = param[i];
    }
}

static fv_adamw_args adamw_of(int64_t n, int step, float scale)
{
    fv_adamw_args args = {.grad = draw_1d(n),
                          .scale = zeros_1d(FV_F32, 1),
                          .param = draw_1d(n),
                          .m = draw_1d(n),
                          .v = draw_1d(n),
                          .step = step,
                          .lr = 0.01f,
                          .beta1 = 0.9f,
                          .beta2 = 0.95f,
                          .eps = 1e-8f,
                          .weight_decay = step == 1 ? 0.0f : 0.1f};
    *f32_at(args.scale, 0, 0) = scale;
    for (int64_t j = 0; j < n; j++)
        *f32_at(args.v, j, 0) *= *f32_at(args.v, j, 0);
    for (int64_t j = 3; j < n; j += 17) /* never had a gradient */
        *f32_at(args.grad, j, 0) = *f32_at(args.m, j, 0) = *f32_at(args.v, j, 0) = 0.0f;
    return args;
}

static fv_tensor as_bf16(fv_tensor t)
{
    fv_tensor out = zeros_1d(FV_BF16, t.dim[0]);
    fv_dtype_encode(FV_BF16, t.data, t.dim[0], out.data);
    return out;
}

void cases_adamw(void)
{
    static const int sizes[] = {0, 1, 5, 16, 1003, 40001}, steps[] = {1, 2, 1000};
    static const float scales[] = {1.0f, 0.5f, 1.0f, 0.0f};
    for (int i = 0; i < 18; i++) {
        int64_t n = sizes[i / 3];
        fv_adamw_args args = adamw_of(n, steps[i % 3], scales[i % 4]);
        CONFORM(adamw, args, .near = 2e-6, .n_rows = n, .rows = "grad param m v");
        args.weight = as_bf16(args.param);
        CONFORM(adamw, args, .near = 2e-6, .n_rows = n, .rows = "grad param weight m v");
        args.m = as_bf16(args.m);
        args.v = as_bf16(args.v);
        args.place = (fv_part_place){.cols = 7, .first_row = 3, .block_rows = n + 1, .whole_cols = 9};
        CONFORM(adamw, args, .near = 8e-3, .note = "moments rounded at random");
    }
    fv_adamw_args many = adamw_of(450001, 2, 0.5f); /* than threads are started for */
    CONFORM(adamw, many, .near = 2e-6);
}

/* -- pairs -- */

static uint32_t bits_of(double x)
{
    uint32_t bits;
    float value = (float)x;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void reference_pair_split(const fv_pair_split_args *args)
{
    for (int64_t i = 0; i < args->master.dim[0]; i++) {
        uint32_t bits = bits_of(*f64_at(args->master, i, 0));
        float moved;
        bits += (bits & 0x1ffffu) == 0x18000u;
        memcpy(&moved, &bits, sizeof moved);
        *f64_at(args->master, i, 0) = *f64_at(args->weight, i, 0) = (double)moved;
        if (args->low.data)
            ((uint16_t *)args->low.data)[i] = (uint16_t)bits;
    }
}

void reference_pair_join(const fv_pair_join_args *args)
{
    for (int64_t i = 0; i < args->master.dim[0]; i++) {
        uint16_t low = ((const uint16_t *)args->low.data)[i];
        uint32_t upper = (bits_of(*f64_at(args->weight, i, 0)) >> 16) - (low > 0x8000u),
                 bits = upper << 16 | low;
        float value;
        memcpy(&value, &bits, sizeof value);
        *f64_at(args->master, i, 0) = (double)value;
    }
}

void cases_pair_split(void)
{
    static const int sizes[] = {0, 1, 17, 1003, 40001};
    for (int i = 0; i < 10; i++) {
        int64_t n = sizes[i / 2];
        fv_tensor master = draw_1d(n);
        for (int64_t j = 0; j < n; j += 2) { /* ties, and what is next to them */
            uint32_t bits =
                (bits_of((double)*f32_at(master, j, 0)) & 0xffff0000u) | (0x7fffu + (uint32_t)(j % 3));
            memcpy(f32_at(master, j, 0), &bits, sizeof bits);
        }
        fv_pair_split_args args = {.master = master, .weight = zeros_1d(FV_BF16, n)};
        if (i % 2)
            args.low = zeros_1d(FV_U16, n);
        CONFORM(pair_split, args, .n_rows = n, .rows = "master weight low");
    }
}

void cases_pair_join(void)
{
    static const int sizes[] = {0, 1, 17, 1003, 40001};
    for (int i = 0; i < 5; i++) {
        int64_t n = sizes[i];
        fv_pair_join_args args = {as_bf16(draw_1d(n)), zeros_1d(FV_U16, n), zeros_1d(FV_F32, n)};
        for (int64_t j = 0; j < n; j++)
            ((uint16_t *)args.low.data)[j] = (uint16_t)(j < 3 ? 0x7fff + j : j * 40503);
        CONFORM(pair_join, args, .n_rows = n, .rows = "weight low master");
    }
}

/* -- moves -- */

void reference_add_bias(const fv_add_bias_args *args)
{
    for (int64_t t = 0; t < args->in.dim[0]; t++)
        for (int64_t i = 0; i < args->in.dim[1]; i++)
            *f64_at(args->out, t, i) = *f64_at(args->in, t, i) + *f64_at(args->bias, i, 0);
}

void cases_add_bias(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        fv_add_bias_args args = {draw_shape(i), draw_1d(shapes[i][1]), draw_shape(i)};
        CONFORM(add_bias, args, .near = 1e-7, .n_rows = shapes[i][0], .rows = "in out");
        CONFORM(add_bias, args, .near = 1e-7, .note = "columns", .n_rows = shapes[i][1], .rows = "bias",
                .columns = "in out");
    }
}

void reference_add(const fv_add_args *args)
{
    for (int64_t i = 0; i < fv_tensor_count(args->out); i++)
        *f64_at(args->out, 0, i) = *f64_at(args->a, 0, i) + *f64_at(args->b, 0, i);
}

void cases_add(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        fv_add_args args = {draw_shape(i), draw_shape(i), draw_shape(i)};
        CONFORM(add, args, .near = 1e-7, .n_rows = shapes[i][0], .rows = "a b out");
        CONFORM(add, args, .near = 1e-7, .note = "columns", .n_rows = shapes[i][1], .columns = "a b out");
    }
}

void reference_copy(const fv_copy_args *args)
{
    memcpy(args->out.data, args->in.data, (size_t)fv_tensor_count(args->in) * fv_dtype_bytes(args->in.dtype));
}

void cases_copy(void)
{
    for (int i = 0; i < 3 * N_SHAPES; i++) {
        fv_tensor in = draw_shape(i / 3);
        if (i % 3) { /* any bits will do */
            fv_dtype dtype = i % 3 == 1 ? FV_I32 : FV_F64;
            in = zeros_2d(dtype, in.dim[0], in.dim[1]);
            for (int64_t j = 0; j < fv_tensor_count(in); j++)
                dtype == FV_I32 ? (*i32_at(in, 0, j) = (int32_t)j * 7)
                                : (*f64_at(in, 0, j) = 1.0 / (double)j);
        }
        fv_copy_args args = {in, zeros_like(in)};
        CONFORM(copy, args, .n_rows = in.dim[0], .rows = "in out");
    }
}

void reference_cast(const fv_cast_args *args)
{
    for (int64_t i = 0; i < fv_tensor_count(args->out); i++)
        *f64_at(args->out, 0, i) = *f64_at(args->in, 0, i);
}

void cases_cast(void)
{
    static const fv_dtype all[] = {FV_F32, FV_BF16, FV_F16};
    for (int i = 0; i < 9 * N_SHAPES; i++) {
        fv_tensor in = draw_shape(i / 9), stored = zeros_2d(all[i / 3 % 3], in.dim[0], in.dim[1]);
        fv_dtype_encode(stored.dtype, in.data, fv_tensor_count(in), stored.data);
        fv_cast_args args = {stored, zeros_2d(all[i % 3], in.dim[0], in.dim[1])};
        CONFORM(cast, args, .note = fv_dtype_name(args.out.dtype), .n_rows = in.dim[0], .rows = "in out");
    }
    fv_cast_args vector = {draw_1d(20003), zeros_1d(FV_BF16, 20003)};
    CONFORM(cast, vector, .n_rows = 20003, .rows = "in out");
}

void reference_fill(const fv_fill_args *args)
{
    for (int64_t i = 0; i < fv_tensor_count(args->x); i++)
        *f64_at(args->x, 0, i) = (double)args->value;
}

void cases_fill(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        fv_fill_args args = {draw_shape(i), i % 2 ? 2.5f : 0.0f};
        CONFORM(fill, args, .n_rows = args.x.dim[0], .rows = "x");
    }
    fv_fill_args vector = {draw_1d(20003), -1.0f}, heads = {draw_3d(5, 3, 40), 1.0f};
    CONFORM(fill, vector, .n_rows = 20003, .rows = "x");
    CONFORM(fill, heads, .n_rows = 5, .rows = "x");
}
