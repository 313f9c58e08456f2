/* Rotary positions: their tables, and turning in place. */
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

template <typename T>
__global__ void rope_kernel(matrix<T> x, matrix<float> cosines, matrix<float> sines, int64_t heads,
                            int64_t half, float sign, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    int64_t pair = i % half, head = i / half % heads, row = i / half / heads;
    T *at = x.data + row * x.stride + head * 2 * half + pair;
    float c = cosines.data[row * cosines.stride + pair], s = sign * sines.data[row * sines.stride + pair];
    float x1 = widen(at[0]), x2 = widen(at[half]);
    turn_pair(&x1, &x2, c, s);
    at[0] = narrow<T>(x1);
    at[half] = narrow<T>(x2);
}

extern "C" fv_err fv_cuda_rope(fv_backend *backend, const fv_rope_args *args)
{
    int64_t heads = args->x.dim[1], half = args->x.dim[2] / 2, n = args->x.dim[0] * heads * half;
    FV_CUDA_STORED(args->x.dtype,
                   rope_kernel<<<blocks_for(n, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
                       matrix_of<T>(args->x), matrix_of<float>(args->cos), matrix_of<float>(args->sin), heads,
                       half, args->inverse ? -1.0f : 1.0f, n));
    return fv_cuda_launched("rope");
}
