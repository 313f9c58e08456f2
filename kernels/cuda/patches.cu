/* The patches of a picture: a block a patch. The 256 values of each channel come from the host, which makes
 * them as the CPU back end does. */
#include "cuda.cuh"

enum { THREADS = 256 };

struct byte_values {
    float number[3][256];
};

template <typename T>
__global__ void patches_kernel(const uint8_t *pixels, int64_t pixel_stride, int64_t blocks_per_row,
                               matrix<T> out, int patch, int merge, int frames, const byte_values values)
{
    int64_t i = blockIdx.x, block = i / (merge * merge), place = i % (merge * merge),
            area = (int64_t)patch * patch;
    int64_t row = block / blocks_per_row * merge + place / merge,
            column = block % blocks_per_row * merge + place % merge;
    const uint8_t *corner = pixels + row * patch * pixel_stride + 3 * column * patch;
    for (int64_t k = threadIdx.x; k < out.cols; k += THREADS) {
        int64_t channel = k / (frames * area), y = k % area / patch, x = k % patch;
        out.data[i * out.stride + k] =
            narrow<T>(values.number[channel][corner[y * pixel_stride + 3 * x + channel]]);
    }
}

extern "C" fv_err fv_cuda_patches(fv_backend *backend, const fv_patches_args *args)
{
    byte_values values;
    const fv_pixel_scale *s = &args->scale;
    for (int c = 0; c < 3; c++)
        for (int b = 0; b < 256; b++)
            values.number[c][b] = ((float)(b * s->factor) - s->mean[c]) / s->std[c];
    FV_CUDA_STORED(args->out.dtype,
                   patches_kernel<<<(unsigned)args->out.dim[0], THREADS, 0, fv_cuda_compute(backend)>>>(
                       (const uint8_t *)args->pixels.data, args->pixels.stride,
                       args->pixels.dim[1] / (args->patch * args->merge), matrix_of<T>(args->out),
                       args->patch, args->merge, args->frames, values));
    return fv_cuda_launched("patches");
}
