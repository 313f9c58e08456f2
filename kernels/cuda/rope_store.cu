/* Rotary positions of queries and keys, and keys and values into their rows of a store, in one launch: a
 * block has a token. */
#include "rope.cuh"

enum { THREADS = 256 };

template <typename T> struct rope_store_args {
    matrix<T> q, k, v, keys, values;
    matrix<float> cosines, sines;
    const int32_t *slots;
    int n_heads, n_kv, dim;
    int units_are_aligned; /* of halves of heads */
};

template <typename T>
__device__ __forceinline__ void turn_unit(const rope_store_args<T> &a, T *head, T *also, int at, int64_t row,
                                          int is_aligned)
{
    int half = a.dim / 2;
    float x1[UNIT], x2[UNIT], c[UNIT], s[UNIT];
    load_unit(head, at, half, is_aligned, x1);
    load_unit(head + half, at, half, is_aligned, x2);
    load_unit(a.cosines.data + row * a.cosines.stride, at, half, a.cosines.is_aligned, c);
    load_unit(a.sines.data + row * a.sines.stride, at, half, a.sines.is_aligned, s);
    for (int e = 0; e < UNIT; e++)
        turn_pair(&x1[e], &x2[e], c[e], s[e]);
    store_unit(head, at, half, is_aligned, x1);
    store_unit(head + half, at, half, is_aligned, x2);
    if (!also)
        return;
    store_unit(also, at, half, a.keys.is_aligned && a.units_are_aligned, x1);
    store_unit(also + half, at, half, a.keys.is_aligned && a.units_are_aligned, x2);
}

template <typename T> __global__ void rope_store_kernel(const rope_store_args<T> a)
{
    int64_t row = blockIdx.x, slot = a.slots[row];
    int units = (a.dim / 2 + UNIT - 1) / UNIT, is_there = slot >= 0 && slot < a.keys.rows;
    for (int i = threadIdx.x; i < (a.n_heads + a.n_kv) * units; i += THREADS) {
        int head = i / units, at = i % units * UNIT, k = head - a.n_heads;
        if (k < 0)
            turn_unit(a, a.q.data + row * a.q.stride + head * a.dim, (T *)nullptr, at, row,
                      a.q.is_aligned && a.units_are_aligned);
        else
            turn_unit(a, a.k.data + row * a.k.stride + k * a.dim,
                      is_there ? a.keys.data + slot * a.keys.stride + k * a.dim : (T *)nullptr, at, row,
                      a.k.is_aligned && a.units_are_aligned);
    }
    for (int64_t at = threadIdx.x * UNIT; is_there && at < a.v.cols; at += THREADS * UNIT) {
        float x[UNIT];
        load_unit(a.v.data + row * a.v.stride, at, a.v.cols, a.v.is_aligned, x);
        store_unit(a.values.data + slot * a.values.stride, at, a.v.cols, a.values.is_aligned, x);
    }
}

extern "C" fv_err fv_cuda_rope_store(fv_backend *backend, const fv_rope_store_args *args)
{
    int dim = (int)args->q.dim[2];
    FV_CUDA_STORED(args->k.dtype, {
        rope_store_args<T> a = {matrix_of<T>(args->q),
                                matrix_of<T>(args->k),
                                matrix_of<T>(args->v),
                                matrix_of<T>(args->keys),
                                matrix_of<T>(args->values),
                                matrix_of<float>(args->cos),
                                matrix_of<float>(args->sin),
                                (const int32_t *)args->slots.data,
                                (int)args->q.dim[1],
                                (int)args->k.dim[1],
                                dim,
                                dim % (2 * UNIT) == 0};
        rope_store_kernel<T><<<(unsigned)args->q.dim[0], THREADS, 0, fv_cuda_compute(backend)>>>(a);
    });
    return fv_cuda_launched("rope_store");
}
