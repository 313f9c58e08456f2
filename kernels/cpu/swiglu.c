/* The gated unit of the MLP and its gradient. */
#include "rows.h"

V_INLINE vn sigmoid(vn x)
{
    return 1.0f / (1.0f + n_exp(-x));
}

V_INLINE vn silu_times(vn gate, vn factor)
{
    return gate * sigmoid(gate) * factor;
}

/* The derivative of silu. */
V_INLINE vn slope_times(vn gate, vn factor)
{
    vn s = sigmoid(gate);
    return factor * (s * (1.0f + gate * (1.0f - s)));
}

static void swiglu_row(const float *gate, const float *up, float *y, int64_t n)
{
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(y + i, V_MAP2(silu_times, v_load(gate + i), v_load(up + i)));
    v16 g = v_load_part(gate + i, n - i, 0.0f), u = v_load_part(up + i, n - i, 0.0f);
    v_store_part(y + i, V_MAP2(silu_times, g, u), n - i);
}

fv_err FV_CPU(swiglu)(fv_backend *backend, const fv_swiglu_args *args)
{
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->y) > FV_CPU_SERIAL)
    for (int64_t i = 0; i < n_pieces(args->y); i++) {
        piece p = piece_at(args->y, i);
        piece_room *r = rooms(backend);
        float *y = piece_for(args->y, p, r[2]);
        swiglu_row(read_piece(args->gate, p, r[0]), read_piece(args->up, p, r[1]), y, p.n);
        write_piece(args->y, p, y);
    }
    return FV_OK;
}

typedef struct grad_rows {
    const float *dy, *gate, *up;
    float *dgate, *dup;
} grad_rows;

static void swiglu_grad_row(grad_rows row, int64_t n)
{
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        v16 dy = v_load(row.dy + i), g = v_load(row.gate + i), u = v_mul(dy, v_load(row.up + i));
        v_store(row.dgate + i, V_MAP2(slope_times, g, u));
        v_store(row.dup + i, V_MAP2(silu_times, g, dy));
    }
    v16 dy = v_load_part(row.dy + i, n - i, 0.0f), g = v_load_part(row.gate + i, n - i, 0.0f);
    v16 u = v_mul(dy, v_load_part(row.up + i, n - i, 0.0f));
    v_store_part(row.dgate + i, V_MAP2(slope_times, g, u), n - i);
    v_store_part(row.dup + i, V_MAP2(silu_times, g, dy), n - i);
}

fv_err FV_CPU(swiglu_grad)(fv_backend *backend, const fv_swiglu_grad_args *args)
{
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->dy) > FV_CPU_SERIAL)
    for (int64_t i = 0; i < n_pieces(args->dy); i++) {
        piece p = piece_at(args->dy, i);
        piece_room *r = rooms(backend);
        grad_rows row = {.dy = read_piece(args->dy, p, r[0]),
                         .gate = read_piece(args->gate, p, r[1]),
                         .up = read_piece(args->up, p, r[2]),
                         .dgate = piece_for(args->dgate, p, r[3]),
                         .dup = piece_for(args->dup, p, r[4])};
        swiglu_grad_row(row, p.n);
        write_piece(args->dgate, p, row.dgate);
        write_piece(args->dup, p, row.dup);
    }
    return FV_OK;
}
