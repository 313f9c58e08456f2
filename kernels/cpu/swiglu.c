/* The gated unit of the MLP and its gradient. */
#include "cpu.h"
#include "vec.h"

static v16 sigmoid(v16 x)
{
    return v_set(1.0f) / (v_set(1.0f) + v_exp(-x));
}

static void swiglu_row(const float *gate, const float *up, float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        v16 g = v_load(gate + i);
        v_store(y + i, g * sigmoid(g) * v_load(up + i));
    }
    v16 g = v_load_part(gate + i, n - i, 0.0f);
    v_store_part(y + i, g * sigmoid(g) * v_load_part(up + i, n - i, 0.0f), n - i);
}

fv_err FV_CPU(swiglu)(fv_backend *backend, const fv_swiglu_args *args)
{
    int64_t rows = args->y.dim[0], n = fv_tensor_row_count(args->y);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++)
        swiglu_row(fv_f32(args->gate) + t * args->gate.stride, fv_f32(args->up) + t * args->up.stride,
                   fv_f32(args->y) + t * args->y.stride, n);
    return FV_OK;
}

/* dup and dgate of sixteen elements. */
V_INLINE v16 grad(v16 dy, v16 g, v16 up, v16 *dgate)
{
    const v16 one = v_set(1.0f);
    v16 s = sigmoid(g);
    *dgate = dy * up * (s * (one + g * (one - s)));
    return dy * (g * s);
}

typedef struct grad_rows {
    const float *dy, *gate, *up;
    float *dgate, *dup;
} grad_rows;

static void swiglu_grad_row(grad_rows row, int64_t n)
{
    int64_t i = 0;
    v16 dgate, dup;
    for (; i + V_LANES <= n; i += V_LANES) {
        dup = grad(v_load(row.dy + i), v_load(row.gate + i), v_load(row.up + i), &dgate);
        v_store(row.dgate + i, dgate);
        v_store(row.dup + i, dup);
    }
    dup = grad(v_load_part(row.dy + i, n - i, 0.0f), v_load_part(row.gate + i, n - i, 0.0f),
               v_load_part(row.up + i, n - i, 0.0f), &dgate);
    v_store_part(row.dgate + i, dgate, n - i);
    v_store_part(row.dup + i, dup, n - i);
}

fv_err FV_CPU(swiglu_grad)(fv_backend *backend, const fv_swiglu_grad_args *args)
{
    int64_t rows = args->dy.dim[0], n = fv_tensor_row_count(args->dy);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++)
        swiglu_grad_row(
            (grad_rows){fv_f32(args->dy) + t * args->dy.stride, fv_f32(args->gate) + t * args->gate.stride,
                        fv_f32(args->up) + t * args->up.stride, fv_f32(args->dgate) + t * args->dgate.stride,
                        fv_f32(args->dup) + t * args->dup.stride},
            n);
    return FV_OK;
}
