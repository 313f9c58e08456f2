/* GELU and its gradient. Phi is computed as a whole, not as (1 + erf) / 2, which has no digits left below -5:
 * Phi(-a) = exp(-a^2 / 2) Q(a), a >= 0, and the same exponential is the density that the gradient needs. */
#include "cpu.h"
#include "vec.h"

typedef struct normal {
    v16 below;   /* Phi(x) */
    v16 density; /* exp(-x^2 / 2) / sqrt(2 pi) */
} normal;

/* Q(a) = exp(a^2 / 2) erfc(a / sqrt 2) / 2: minimax of degree 9 in t = (a - 3) / (a + 3) up to a = 13.3, off
 * by 7.8e-9 of Q. */
V_INLINE v16 mills(v16 a)
{
    v16 t = (a - v_set(3.0f)) / (a + v_set(3.0f));
    v16 q = v_set(0x1.c8f2cap-15f);
    q = v_fma(q, t, v_set(0x1.e80032p-14f));
    q = v_fma(q, t, v_set(-0x1.64d6fep-12f));
    q = v_fma(q, t, v_set(-0x1.02158ep-10f));
    q = v_fma(q, t, v_set(0x1.7cc048p-9f));
    q = v_fma(q, t, v_set(0x1.91e2ccp-8f));
    q = v_fma(q, t, v_set(-0x1.7a9470p-5f));
    q = v_fma(q, t, v_set(0x1.f8bacap-4f));
    q = v_fma(q, t, v_set(-0x1.a6b66ap-3f));
    return v_fma(q, t, v_set(0x1.f1b89cp-4f));
}

V_INLINE normal normal_of(v16 x)
{
    const v16 far = v_set(14.0f); /* beyond it both tails are 0 in float */
    v16 a = v_select(x < v_set(0.0f), -x, x);
    a = v_select(a < far, a, far);
    v16 square = a * a;
    v16 lost = v_fma(a, a, -square); /* the exponent is too large to round: a^2 = square + lost */
    v16 e = v_exp(v_set(-0.5f) * square);
    e = v_fma(e, v_set(-0.5f) * lost, e);
    v16 tail = e * mills(a);
    return (normal){v_select(x < v_set(0.0f), tail, v_set(1.0f) - tail), e * v_set(0x1.988454p-2f)};
}

V_INLINE v16 gelu(v16 x)
{
    return x * normal_of(x).below;
}

V_INLINE v16 gelu_slope(v16 x)
{
    normal n = normal_of(x);
    return v_fma(x, n.density, n.below);
}

static void gelu_row(const float *x, float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(y + i, gelu(v_load(x + i)));
    v_store_part(y + i, gelu(v_load_part(x + i, n - i, 0.0f)), n - i);
}

static void gelu_grad_row(const float *dy, const float *x, float *dx, int64_t n)
{
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(dx + i, v_load(dy + i) * gelu_slope(v_load(x + i)));
    v16 tail = v_load_part(dy + i, n - i, 0.0f) * gelu_slope(v_load_part(x + i, n - i, 0.0f));
    v_store_part(dx + i, tail, n - i);
}

fv_err FV_CPU(gelu)(fv_backend *backend, const fv_gelu_args *args)
{
    int64_t rows = args->y.dim[0], n = fv_tensor_row_count(args->y);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++)
        gelu_row(fv_f32(args->x) + t * args->x.stride, fv_f32(args->y) + t * args->y.stride, n);
    return FV_OK;
}

fv_err FV_CPU(gelu_grad)(fv_backend *backend, const fv_gelu_grad_args *args)
{
    int64_t rows = args->dx.dim[0], n = fv_tensor_row_count(args->dx);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++)
        gelu_grad_row(fv_f32(args->dy) + t * args->dy.stride, fv_f32(args->x) + t * args->x.stride,
                      fv_f32(args->dx) + t * args->dx.stride, n);
    return FV_OK;
}
