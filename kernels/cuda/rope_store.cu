/* Rotary positions of queries and keys, and keys and values into their rows of a store, in one launch: a
 * block has a token. */
#include "rope.cuh"

enum { THREADS = 256 };

template <typename T> struct rope_store_args {
    matrix<T> q, k, v, keys, values;
    matrix<float> cosines, sines;
    const int32_t *slots;
    int n_heads, n_kv, dim;
};

template <typename T> __global__ void rope_store_kernel(const rope_store_args<T> a)
{
    join_chain();
    int64_t row = blockIdx.x, slot = a.slots[row];
    row_angles by = row_angles_of(a.cosines, a.sines, row, 1);
    int units = (by.half + UNIT - 1) / UNIT, is_there = slot >= 0 && slot < a.keys.rows;
    for (int i = threadIdx.x; i < (a.n_heads + a.n_kv) * units; i += THREADS) {
        int at = i % units * UNIT, k = i / units - a.n_heads;
        const matrix<T> &x = k < 0 ? a.q : a.k;
        T *head = x.data + row * x.stride + (k < 0 ? i / units : k) * a.dim;
        float x1[UNIT], x2[UNIT];
        turn_unit(head, x.is_aligned, by, at, x1, x2);
        store_halves(head, x.is_aligned, by.half, at, x1, x2);
        if (k >= 0 && is_there)
            store_halves(a.keys.data + slot * a.keys.stride + k * a.dim, a.keys.is_aligned, by.half, at, x1,
                         x2);
    }
    for (int64_t at = threadIdx.x * UNIT; is_there && at < a.v.cols; at += THREADS * UNIT) {
        float x[UNIT];
        load_unit(a.v.data + row * a.v.stride, at, a.v.cols, a.v.is_aligned, x);
        store_unit(a.values.data + slot * a.values.stride, at, a.v.cols, a.values.is_aligned, x);
    }
}

/* As a matrix of rows whose heads are loaded by halves. */
template <typename T> static matrix<T> halves_of(fv_tensor t)
{
    matrix<T> m = matrix_of<T>(t);
    m.is_aligned = m.is_aligned && halves_are_whole(t.dim[2]);
    return m;
}

extern "C" fv_err fv_cuda_rope_store(fv_backend *backend, const fv_rope_store_args *args)
{
    FV_CUDA_STORED(args->k.dtype, {
        rope_store_args<T> a = {halves_of<T>(args->q),       halves_of<T>(args->k),
                                matrix_of<T>(args->v),       halves_of<T>(args->keys),
                                matrix_of<T>(args->values),  matrix_of<float>(args->cos),
                                matrix_of<float>(args->sin), (const int32_t *)args->slots.data,
                                (int)args->q.dim[1],         (int)args->k.dim[1],
                                (int)args->q.dim[2]};
        return fv_cuda_chain(backend, "rope_store", {dim3((unsigned)args->q.dim[0]), THREADS, 0},
                             rope_store_kernel<T>, a);
    });
}
