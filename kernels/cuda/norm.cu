/* RMS norm and its gradient. A block has a row: it keeps s in shared memory between its two passes. Gradients
 * of weights are summed over bands of rows first, then over the bands in order: the shape alone sets the
 * order. */
#include "cuda.cuh"

enum { THREADS = 256, BAND = 8, MOST_UNITS = 4, COLUMNS = 32, SHARES = 16 };
enum { EARLY = 2 /* units of weights of a thread that are loaded first */ };

template <typename T> struct norm_args {
    matrix<T> x, residual, weight, sum, y;
    float *rstd;
    int64_t heads; /* vectors of a row */
    int64_t width;
    float eps;
};

/* Vector v of a matrix whose rows hold `heads` of them. */
template <typename T>
__device__ __forceinline__ T *vector_at(const matrix<T> &m, int64_t v, int64_t heads, int64_t width)
{
    return m.data + v / heads * m.stride + v % heads * width;
}

template <typename T> __global__ void norm_kernel(const norm_args<T> a)
{
    extern __shared__ float s[];
    __shared__ float scratch[32];
    int64_t v = blockIdx.x, n = a.width;
    float early[EARLY][UNIT];
#pragma unroll
    for (int k = 0; k < EARLY; k++)
        load_unit(a.weight.data, (threadIdx.x + k * THREADS) * UNIT, n, a.weight.is_aligned, early[k]);
    join_chain();
    const T *x = vector_at(a.x, v, a.heads, n);
    const T *residual = a.residual.data ? vector_at(a.residual, v, a.heads, n) : nullptr;
    float squares = 0;
    for (int64_t i = threadIdx.x * UNIT; i < n; i += THREADS * UNIT) {
        float u[UNIT], r[UNIT];
        load_unit(x, i, n, a.x.is_aligned, u);
        if (residual) {
            load_unit(residual, i, n, a.residual.is_aligned, r);
            for (int e = 0; e < UNIT; e++)
                u[e] = widen(narrow<T>(u[e] + r[e])); /* as it is stored */
        }
        for (int e = 0; e < UNIT; e++) {
            squares = fmaf(u[e], u[e], squares);
            if (i + e < n)
                s[i + e] = u[e];
        }
    }
    float rstd = 1.0f / sqrtf(block_sum(squares, scratch) / (float)n + a.eps);
    T *y = vector_at(a.y, v, a.heads, n), *sum = a.sum.data ? vector_at(a.sum, v, a.heads, n) : nullptr;
    for (int64_t i = threadIdx.x * UNIT, k = 0; i < n; i += THREADS * UNIT, k++) {
        float u[UNIT], w[UNIT];
        if (k >= EARLY)
            load_unit(a.weight.data, i, n, a.weight.is_aligned, w);
        for (int e = 0; k < EARLY && e < UNIT; e++)
            w[e] = early[k ? 1 : 0][e];
        for (int e = 0; e < UNIT; e++)
            u[e] = i + e < n ? s[i + e] : 0.0f;
        if (sum)
            store_unit(sum, i, n, a.sum.is_aligned, u);
        for (int e = 0; e < UNIT; e++)
            u[e] = u[e] * rstd * w[e];
        store_unit(y, i, n, a.y.is_aligned, u);
    }
    if (a.rstd && threadIdx.x == 0)
        a.rstd[v] = rstd;
}

/* The alignment of vectors, not of rows. */
template <typename T> static matrix<T> vectors_of(fv_tensor t)
{
    matrix<T> m = matrix_of<T>(t);
    m.is_aligned = m.is_aligned && (t.n_dims < 3 || t.dim[2] % UNIT == 0);
    return m;
}

static int64_t heads_of(fv_tensor x)
{
    return x.n_dims == 3 ? x.dim[1] : 1;
}

extern "C" fv_err fv_cuda_norm(fv_backend *backend, const fv_norm_args *args)
{
    int64_t width = args->x.dim[args->x.n_dims - 1], heads = heads_of(args->x), n = args->x.dim[0] * heads;
    FV_CUDA_STORED(args->x.dtype, {
        norm_args<T> a = {vectors_of<T>(args->x),
                          vectors_of<T>(args->residual),
                          matrix_of<T>(args->weight),
                          vectors_of<T>(args->sum),
                          vectors_of<T>(args->y),
                          (float *)args->rstd.data,
                          heads,
                          width,
                          args->eps};
        return fv_cuda_chain(backend, "norm", {dim3((unsigned)n), THREADS, width * sizeof(float)},
                             norm_kernel<T>, a);
    });
}

/* D: the dtype of dy */
template <typename T, typename D> struct norm_grad_args {
    matrix<D> dy;
    matrix<T> x, weight, dx;
    const float *rstd;
    int64_t heads, width, n;
    int accumulate;
    float *bands; /* (n_bands, width) */
};

/* A block has a band of vectors, one after the other: a thread keeps its units of a vector in registers
 * between the dot product and dx, and sums dweight of its columns over the band. UNITS: of a thread, at most.
 */
template <typename T, typename D, int UNITS> __global__ void norm_grad_kernel(const norm_grad_args<T, D> a)
{
    __shared__ float scratch[32];
    int64_t n = a.width, first = (int64_t)blockIdx.x * BAND;
    int64_t end = first + BAND < a.n ? first + BAND : a.n;
    float w[UNITS][UNIT], sum[UNITS][UNIT];
#pragma unroll
    for (int k = 0; k < UNITS; k++) {
        int64_t i = (threadIdx.x + k * THREADS) * UNIT;
        load_unit(a.weight.data, i, n, a.weight.is_aligned, w[k]);
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            sum[k][e] = 0;
    }
    for (int64_t v = first; v < end; v++) {
        const D *dy = vector_at(a.dy, v, a.heads, n);
        const T *x = vector_at(a.x, v, a.heads, n);
        T *dx = vector_at(a.dx, v, a.heads, n);
        float g[UNITS][UNIT], s[UNITS][UNIT], d[UNITS][UNIT], dot = 0, rstd = a.rstd[v];
#pragma unroll
        for (int k = 0; k < UNITS; k++) {
            int64_t i = (threadIdx.x + k * THREADS) * UNIT;
            load_unit(dy, i, n, a.dy.is_aligned, g[k]);
            load_unit(x, i, n, a.x.is_aligned, s[k]);
            if (a.accumulate)
                load_unit(dx, i, n, a.dx.is_aligned, d[k]);
        }
#pragma unroll
        for (int k = 0; k < UNITS; k++)
#pragma unroll
            for (int e = 0; e < UNIT; e++) {
                dot = fmaf(g[k][e] * w[k][e], s[k][e], dot);
                sum[k][e] += g[k][e] * s[k][e] * rstd;
            }
        float pull = block_sum(dot, scratch) / (float)n * rstd * rstd;
#pragma unroll
        for (int k = 0; k < UNITS; k++) {
            int64_t i = (threadIdx.x + k * THREADS) * UNIT;
#pragma unroll
            for (int e = 0; e < UNIT; e++)
                d[k][e] = (a.accumulate ? d[k][e] : 0.0f) + rstd * (w[k][e] * g[k][e] - s[k][e] * pull);
            if (i < n)
                store_unit(dx, i, n, a.dx.is_aligned, d[k]);
        }
    }
#pragma unroll
    for (int k = 0; k < UNITS && a.bands; k++) {
        int64_t i = (threadIdx.x + k * THREADS) * UNIT;
        if (i < n)
            store_unit(a.bands + blockIdx.x * n, i, n, n % UNIT == 0, sum[k]);
    }
}

/* Bands in order: SHARES of them side by side, many of each on their way at once, then the shares. */
__global__ void add_bands_kernel(const float *bands, int64_t n_bands, int64_t width, float *out)
{
    __shared__ float shares[SHARES][COLUMNS];
    int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x, each = (n_bands + SHARES - 1) / SHARES;
    int64_t first = each * threadIdx.y, end = first + each < n_bands ? first + each : n_bands;
    float sum = 0;
#pragma unroll 8
    for (int64_t b = first; b < end; b++)
        sum += column < width ? bands[b * width + column] : 0.0f;
    shares[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || column >= width)
        return;
    sum = 0;
    for (int share = 0; share < SHARES; share++)
        sum += shares[share][threadIdx.x];
    out[column] += sum;
}

static int64_t vectors_of_rows(fv_tensor x)
{
    return x.dim[0] * heads_of(x);
}

size_t fv_cuda_norm_grad_room(const fv_norm_grad_args *args)
{
    int64_t n_bands = (vectors_of_rows(args->x) + BAND - 1) / BAND;
    return args->dweight.data ? (size_t)(n_bands * args->x.dim[args->x.n_dims - 1]) * sizeof(float) : 0;
}

template <typename T, typename D> static fv_err norm_grad(fv_backend *backend, const fv_norm_grad_args *args)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    int64_t width = args->x.dim[args->x.n_dims - 1], heads = heads_of(args->x), n = args->x.dim[0] * heads;
    int64_t n_bands = (n + BAND - 1) / BAND;
    norm_grad_args<T, D> a = {vectors_of<D>(args->dy),
                              vectors_of<T>(args->x),
                              matrix_of<T>(args->weight),
                              vectors_of<T>(args->dx),
                              (const float *)args->rstd.data,
                              heads,
                              width,
                              n,
                              args->accumulate,
                              nullptr};
    void *bands = nullptr;
    if (args->dweight.data)
        FV_TRY(fv_cuda_workspace(backend, fv_cuda_norm_grad_room(args), &bands));
    a.bands = (float *)bands;
    FV_CHECK(width <= MOST_UNITS * THREADS * UNIT, FV_ERR_UNSUPPORTED,
             "norm_grad: vectors of %lld numbers, at most %d are supported", (long long)width,
             MOST_UNITS * THREADS * UNIT);
    auto kernel = width <= THREADS * UNIT       ? norm_grad_kernel<T, D, 1>
                  : width <= 2 * THREADS * UNIT ? norm_grad_kernel<T, D, 2>
                                                : norm_grad_kernel<T, D, MOST_UNITS>;
    kernel<<<(unsigned)n_bands, THREADS, 0, stream>>>(a);
    if (args->dweight.data)
        add_bands_kernel<<<blocks_for(width, COLUMNS), dim3(COLUMNS, SHARES), 0, stream>>>(
            a.bands, n_bands, width, (float *)args->dweight.data);
    return fv_cuda_launched("norm_grad");
}

extern "C" fv_err fv_cuda_norm_grad(fv_backend *backend, const fv_norm_grad_args *args)
{
    FV_CUDA_STORED(args->x.dtype, {
        typedef T X;
        FV_CUDA_STORED(args->dy.dtype, return norm_grad<X, T>(backend, args));
    });
}
