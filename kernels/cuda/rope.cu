/* Rotary positions: their tables, and turning. */
#include "rope.cuh"

enum { THREADS = 256 };

struct sections {
    int first, second; /* pairs before that of axis 1, and of axis 2 */
};

__global__ void rope_angles_kernel(const int32_t *positions, int64_t stride, const double *rates,
                                   matrix<float> cosines, matrix<float> sines, sections s, double scale)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, row = i / cosines.cols, pair = i % cosines.cols;
    if (row >= cosines.rows)
        return;
    int axis = (pair >= s.first) + (pair >= s.second);
    double c, d;
    sincos(positions[axis * stride + row] * rates[pair], &d, &c);
    cosines.data[row * cosines.stride + pair] = (float)(c * scale);
    sines.data[row * sines.stride + pair] = (float)(d * scale);
}

extern "C" fv_err fv_cuda_rope_angles(fv_backend *backend, const fv_rope_angles_args *args)
{
    sections s = {args->sections[0], args->sections[0] + args->sections[1]};
    rope_angles_kernel<<<blocks_for(fv_tensor_count(args->cos), THREADS), THREADS, 0,
                         fv_cuda_compute(backend)>>>(
        (const int32_t *)args->positions.data, args->positions.stride, (const double *)args->rates.data,
        matrix_of<float>(args->cos), matrix_of<float>(args->sin), s, args->scale);
    return fv_cuda_launched("rope_angles");
}

/* A block has a row. */
template <typename T, typename O>
__global__ void rope_kernel(matrix<T> x, matrix<O> out, matrix<float> cosines, matrix<float> sines, int heads,
                            float sign)
{
    row_angles by = row_angles_of(cosines, sines, blockIdx.x, sign);
    int units = (by.half + UNIT - 1) / UNIT;
    for (int i = threadIdx.x; i < heads * units; i += THREADS) {
        int head = i / units * 2 * by.half, at = i % units * UNIT;
        float x1[UNIT], x2[UNIT];
        turn_unit(x.data + blockIdx.x * x.stride + head, x.is_aligned, by, at, x1, x2);
        store_halves(out.data + blockIdx.x * out.stride + head, out.is_aligned, by.half, at, x1, x2);
    }
}

/* Of heads whose halves are whole units, where its rows are aligned. */
template <typename T> static matrix<T> heads_of(fv_tensor t)
{
    matrix<T> m = matrix_of<T>(t);
    m.is_aligned = m.is_aligned && halves_are_whole(t.dim[2]);
    return m;
}

template <typename T, typename O> static void turn(fv_backend *backend, const fv_rope_args *args)
{
    rope_kernel<T, O><<<(unsigned)args->x.dim[0], THREADS, 0, fv_cuda_compute(backend)>>>(
        heads_of<T>(args->x), heads_of<O>(args->out), matrix_of<float>(args->cos),
        matrix_of<float>(args->sin), (int)args->x.dim[1], args->inverse ? -1.0f : 1.0f);
}

extern "C" fv_err fv_cuda_rope(fv_backend *backend, const fv_rope_args *args)
{
    FV_CUDA_STORED(args->x.dtype, {
        typedef T X;
        FV_CUDA_STORED(args->out.dtype, (turn<X, T>(backend, args)));
    });
    return fv_cuda_launched("rope");
}
