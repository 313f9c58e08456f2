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

void reference_adamw(const fv_adamw_args *a)
{
    const double *grad = a->grad.data;
    double *param = a->param.data, *m = a->m.data, *v = a->v.data;
    double scale = *f64_at(a->scale, 0, 0), b1 = (double)a->beta1, b2 = (double)a->beta2, lr = (double)a->lr;
    for (int64_t i = 0; i < a->param.dim[0] && scale != 0; i++) {
        double g = grad[i] * scale;
        m[i] = b1 * m[i] + (1.0 - b1) * g;
        v[i] = b2 * v[i] + (1.0 - b2) * g * g;
        double m_hat = m[i] / (1.0 - pow(b1, a->step)), v_hat = v[i] / (1.0 - pow(b2, a->step));
        param[i] -= lr * (double)a->weight_decay * param[i];
        param[i] -= lr * m_hat / (sqrt(v_hat) + (double)a->eps);
    }
}

void cases_adamw(void)
{
    static const int sizes[] = {0, 1, 5, 16, 1003, 40001}, steps[] = {1, 2, 1000};
    static const float scales[] = {1.0f, 0.5f, 1.0f, 0.0f};
    for (int i = 0; i < 18; i++) {
        int64_t n = sizes[i / 3];
        fv_adamw_args args = {.grad = draw_1d(n),
                              .scale = zeros_1d(FV_F32, 1),
                              .param = draw_1d(n),
                              .m = draw_1d(n),
                              .v = draw_1d(n)};
        args.step = steps[i % 3];
        args.lr = 0.01f;
        args.beta1 = 0.9f;
        args.beta2 = 0.95f;
        args.eps = 1e-8f;
        args.weight_decay = i % 3 ? 0.1f : 0.0f;
        *f32_at(args.scale, 0, 0) = scales[i % 4];
        for (int64_t j = 0; j < n; j++)
            *f32_at(args.v, j, 0) *= *f32_at(args.v, j, 0);
        for (int64_t j = 3; j < n; j += 17) /* never had a gradient */
            *f32_at(args.grad, j, 0) = *f32_at(args.m, j, 0) = *f32_at(args.v, j, 0) = 0.0f;
        CONFORM(adamw, args, .near = 2e-6, .n_rows = n, .rows = "grad param m v");
    }
}

/* -- moves -- */

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
