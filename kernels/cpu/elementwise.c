/* Copies, casts, sums and fills: one output element from one place. */
#include "rows.h"

/* Work is cut into runs of neighbouring elements: rows, or pieces of a tensor without holes, so that a vector
 * is not taken for a matrix of one column. */
enum { RUN_ELEMENTS = 16384, PARALLEL_ELEMENTS = 65536 };

typedef struct runs {
    int64_t n, length, last; /* runs, elements of each, of the last */
    int contiguous;
} runs;

static runs runs_of(fv_tensor shape, int contiguous)
{
    int64_t count = fv_tensor_count(shape), row = fv_tensor_row_count(shape);
    if (!contiguous)
        return (runs){shape.dim[0], row, row, 0};
    int64_t n = (count + RUN_ELEMENTS - 1) / RUN_ELEMENTS;
    return (runs){n, RUN_ELEMENTS, count - (n - 1) * RUN_ELEMENTS, 1};
}

static int64_t run_length(runs r, int64_t i)
{
    return i + 1 == r.n ? r.last : r.length;
}

static int64_t run_offset(runs r, fv_tensor t, int64_t i)
{
    return i * (r.contiguous ? r.length : t.stride);
}

fv_err FV_CPU(add)(fv_backend *backend, const fv_add_args *args)
{
    runs r = runs_of(args->out, fv_tensor_is_contiguous(args->a) && fv_tensor_is_contiguous(args->b) &&
                                    fv_tensor_is_contiguous(args->out));
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->out) > PARALLEL_ELEMENTS)
    for (int64_t run = 0; run < r.n; run++) {
        int64_t n = run_length(r, run), at = run_offset(r, args->out, run);
        float *rooms = fv_cpu_scratch(backend, fv_cpu_thread());
        const float *a = read_row(args->a, run_offset(r, args->a, run), n, rooms);
        const float *b = read_row(args->b, run_offset(r, args->b, run), n, rooms + n);
        float *out = row_for(args->out, at, rooms);
        for (int64_t i = 0; i < n; i++)
            out[i] = a[i] + b[i];
        write_row(args->out, at, n, out);
    }
    return FV_OK;
}

fv_err FV_CPU(add_bias)(fv_backend *backend, const fv_add_bias_args *args)
{
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->out) > PARALLEL_ELEMENTS)
    for (int64_t i = 0; i < n_pieces(args->out); i++) {
        piece p = piece_at(args->out, i);
        piece_room *room = rooms(backend);
        const float *in = read_piece(args->in, p, room[0]);
        const float *bias = read_row(args->bias, p.first, p.n, room[1]);
        float *out = piece_for(args->out, p, room[0]);
        for (int64_t j = 0; j < p.n; j++)
            out[j] = in[j] + bias[j];
        write_piece(args->out, p, out);
    }
    return FV_OK;
}

fv_err FV_CPU(copy)(fv_backend *backend, const fv_copy_args *args)
{
    size_t element = fv_dtype_bytes(args->in.dtype);
    runs r = runs_of(args->in, fv_tensor_is_contiguous(args->in) && fv_tensor_is_contiguous(args->out));
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->out) > PARALLEL_ELEMENTS)
    for (int64_t run = 0; run < r.n; run++)
        __builtin_memcpy((char *)args->out.data + (size_t)run_offset(r, args->out, run) * element,
                         (const char *)args->in.data + (size_t)run_offset(r, args->in, run) * element,
                         (size_t)run_length(r, run) * element);
    return FV_OK;
}

/* F32 and BF16 directly, others through fp32, piece by piece. */
static void cast_run(fv_dtype from_dtype, const void *from, fv_dtype to_dtype, void *to, int64_t n)
{
    float wide[PIECE];
    size_t from_bytes = fv_dtype_bytes(from_dtype), to_bytes = fv_dtype_bytes(to_dtype);
    if (from_dtype == FV_F32 && to_dtype == FV_BF16)
        narrow(from, n, to);
    else if (from_dtype == FV_BF16 && to_dtype == FV_F32)
        widen(from, n, to);
    else
        for (int64_t at = 0; at < n; at += PIECE) {
            int64_t count = n - at < PIECE ? n - at : PIECE;
            fv_dtype_decode(from_dtype, (const char *)from + (size_t)at * from_bytes, count, wide);
            fv_dtype_encode(to_dtype, wide, count, (char *)to + (size_t)at * to_bytes);
        }
}

fv_err FV_CPU(cast)(fv_backend *backend, const fv_cast_args *args)
{
    fv_dtype from = args->in.dtype, to = args->out.dtype;
    runs r = runs_of(args->in, fv_tensor_is_contiguous(args->in) && fv_tensor_is_contiguous(args->out));
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->out) > PARALLEL_ELEMENTS)
    for (int64_t run = 0; run < r.n; run++)
        cast_run(from,
                 (const char *)args->in.data + (size_t)run_offset(r, args->in, run) * fv_dtype_bytes(from),
                 to, (char *)args->out.data + (size_t)run_offset(r, args->out, run) * fv_dtype_bytes(to),
                 run_length(r, run));
    return FV_OK;
}

fv_err FV_CPU(fill)(fv_backend *backend, const fv_fill_args *args)
{
    runs r = runs_of(args->x, fv_tensor_is_contiguous(args->x));
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->x) > PARALLEL_ELEMENTS)
    for (int64_t run = 0; run < r.n; run++) {
        int64_t n = run_length(r, run), at = run_offset(r, args->x, run);
        float *x = row_for(args->x, at, fv_cpu_scratch(backend, fv_cpu_thread()));
        for (int64_t i = 0; i < n; i++)
            x[i] = args->value;
        write_row(args->x, at, n, x);
    }
    return FV_OK;
}
