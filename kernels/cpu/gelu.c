/* GELU and its gradient. Phi is computed as a whole, not as (1 + erf) / 2, which has no digits left below -5:
 * Phi(-a) = exp(-a^2 / 2) Q(a), a >= 0, and the same exponential is the density that the gradient needs. */
#include "rows.h"

typedef struct normal {
    vn below;   /* Phi(x) */
    vn density; /* exp(-x^2 / 2) / sqrt(2 pi) */
} normal;

/* Q(a) = exp(a^2 / 2) erfc(a / sqrt 2) / 2: minimax of degree 9 in t = (a - 3) / (a + 3) up to a = 13.3, off
 * by 7.8e-9 of Q. */
V_INLINE vn mills(vn a)
{
    vn t = (a - 3.0f) / (a + 3.0f);
    vn q = n_set(0x1.c8f2cap-15f);
    q = n_fma(q, t, n_set(0x1.e80032p-14f));
    q = n_fma(q, t, n_set(-0x1.64d6fep-12f));
    q = n_fma(q, t, n_set(-0x1.02158ep-10f));
    q = n_fma(q, t, n_set(0x1.7cc048p-9f));
    q = n_fma(q, t, n_set(0x1.91e2ccp-8f));
    q = n_fma(q, t, n_set(-0x1.7a9470p-5f));
    q = n_fma(q, t, n_set(0x1.f8bacap-4f));
    q = n_fma(q, t, n_set(-0x1.a6b66ap-3f));
    return n_fma(q, t, n_set(0x1.f1b89cp-4f));
}

V_INLINE normal normal_of(vn x)
{
    const vn far = n_set(14.0f); /* beyond it both tails are 0 in float */
    const vni negative = x < 0.0f;
    vn a = n_select(negative, -x, x);
    a = n_select(a < far, a, far);
    vn square = a * a;
    vn lost = n_fma(a, a, -square); /* the exponent is too large to round: a^2 = square + lost */
    vn e = n_exp(-0.5f * square);
    e = n_fma(e, -0.5f * lost, e);
    vn tail = e * mills(a);
    return (normal){n_select(negative, tail, 1.0f - tail), e * 0x1.988454p-2f};
}

V_INLINE vn gelu(vn x)
{
    return x * normal_of(x).below;
}

V_INLINE vn gelu_slope_times(vn x, vn dy)
{
    normal n = normal_of(x);
    return dy * n_fma(x, n.density, n.below);
}

static void gelu_row(const float *x, float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(y + i, V_MAP1(gelu, v_load(x + i)));
    v16 tail = v_load_part(x + i, n - i, 0.0f);
    v_store_part(y + i, V_MAP1(gelu, tail), n - i);
}

static void gelu_grad_row(const float *dy, const float *x, float *dx, int64_t n)
{
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(dx + i, V_MAP2(gelu_slope_times, v_load(x + i), v_load(dy + i)));
    v16 at = v_load_part(x + i, n - i, 0.0f), tail = v_load_part(dy + i, n - i, 0.0f);
    v_store_part(dx + i, V_MAP2(gelu_slope_times, at, tail), n - i);
}

fv_err FV_CPU(gelu)(fv_backend *backend, const fv_gelu_args *args)
{
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->y) > FV_CPU_SERIAL)
    for (int64_t i = 0; i < n_pieces(args->y); i++) {
        piece p = piece_at(args->y, i);
        piece_room *r = rooms(backend);
        float *y = piece_for(args->y, p, r[1]);
        gelu_row(read_piece(args->x, p, r[0]), y, p.n);
        write_piece(args->y, p, y);
    }
    return FV_OK;
}

fv_err FV_CPU(gelu_grad)(fv_backend *backend, const fv_gelu_grad_args *args)
{
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->dx) > FV_CPU_SERIAL)
    for (int64_t i = 0; i < n_pieces(args->dx); i++) {
        piece p = piece_at(args->dx, i);
        piece_room *r = rooms(backend);
        float *dx = piece_for(args->dx, p, r[2]);
        gelu_grad_row(read_piece(args->dy, p, r[0]), read_piece(args->x, p, r[1]), dx, p.n);
        write_piece(args->dx, p, dx);
    }
    return FV_OK;
}
