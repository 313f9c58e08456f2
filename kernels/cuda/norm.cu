/* RMS norm and its gradient. A block has one vector after the other: a thread keeps its units of one in
 * registers, and those of the next are on their way meanwhile. Gradients of weights are summed over bands of
 * vectors first, then over the bands in order: the shape alone sets the order. */
#include "cuda.cuh"

enum { THREADS = 256, MOST_UNITS = 4 /* of a thread */, LEAST_BAND = 8, COLUMNS = 32, SHARES = 16 };

template <typename T> struct norm_args {
    matrix<T> x, residual, weight, sum, y;
    float *rstd;
    int64_t heads; /* vectors of a row */
    int64_t width, n;
    float eps;
};

/* Vector v of a matrix whose rows hold `heads` of them. */
template <typename T>
__device__ __forceinline__ T *vector_at(const matrix<T> &m, int64_t v, int64_t heads, int64_t width)
{
    return heads == 1 ? m.data + v * m.stride : m.data + v / heads * m.stride + v % heads * width;
}

/* A unit as it is stored. */
template <typename T> struct alignas(16) stored {
    T at[UNIT];
};

/* The units of a thread, UNITS at most, of a vector; zeros behind its end. */
template <typename T, int UNITS>
__device__ __forceinline__ void load_units(const T *from, int64_t n, int is_aligned, stored<T> (&to)[UNITS])
{
#pragma unroll
    for (int k = 0; k < UNITS; k++) {
        int64_t i = (threadIdx.x + k * THREADS) * UNIT;
        if (is_aligned && i + UNIT <= n) {
            to[k] = *(const stored<T> *)(from + i);
            continue;
        }
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            to[k].at[e] = i + e < n ? from[i + e] : narrow<T>(0.0f);
    }
}

template <typename T, int UNITS>
__device__ __forceinline__ void store_units(T *to, int64_t n, int is_aligned,
                                            const float (&from)[UNITS][UNIT])
{
#pragma unroll
    for (int k = 0; k < UNITS; k++)
        store_unit(to, (threadIdx.x + k * THREADS) * UNIT, n, is_aligned, from[k]);
}

template <typename T, int UNITS>
__device__ __forceinline__ void load_terms(const norm_args<T> &a, int64_t v, stored<T> (&x)[UNITS],
                                           stored<T> (&residual)[UNITS])
{
    if (v >= a.n)
        return;
    load_units(vector_at(a.x, v, a.heads, a.width), a.width, a.x.is_aligned, x);
    if (a.residual.data)
        load_units(vector_at(a.residual, v, a.heads, a.width), a.width, a.residual.is_aligned, residual);
}

template <typename T, int UNITS> __global__ __launch_bounds__(THREADS) void norm_kernel(const norm_args<T> a)
{
    __shared__ float scratch[32];
    int64_t n = a.width;
    stored<T> w[UNITS], x[UNITS], residual[UNITS];
    load_units(a.weight.data, n, a.weight.is_aligned, w);
    join_chain();
    load_terms(a, blockIdx.x, x, residual);
    for (int64_t v = blockIdx.x; v < a.n; v += gridDim.x) {
        float u[UNITS][UNIT], squares = 0;
#pragma unroll
        for (int k = 0; k < UNITS; k++)
#pragma unroll
            for (int e = 0; e < UNIT; e++) {
                u[k][e] = widen(x[k].at[e]);
                if (a.residual.data)
                    u[k][e] = widen(narrow<T>(u[k][e] + widen(residual[k].at[e]))); /* as it is stored */
                squares = fmaf(u[k][e], u[k][e], squares);
            }
        load_terms(a, v + gridDim.x, x, residual);
        float rstd = 1.0f / sqrtf(block_sum(squares, scratch) / (float)n + a.eps);
        if (a.sum.data)
            store_units(vector_at(a.sum, v, a.heads, n), n, a.sum.is_aligned, u);
#pragma unroll
        for (int k = 0; k < UNITS; k++)
#pragma unroll
            for (int e = 0; e < UNIT; e++)
                u[k][e] = u[k][e] * rstd * widen(w[k].at[e]);
        store_units(vector_at(a.y, v, a.heads, n), n, a.y.is_aligned, u);
        if (a.rstd && threadIdx.x == 0)
            a.rstd[v] = rstd;
    }
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

static fv_err check_width(const char *op, int64_t width)
{
    FV_CHECK(width <= MOST_UNITS * THREADS * UNIT, FV_ERR_UNSUPPORTED,
             "%s: vectors of %lld numbers, at most %d are supported", op, (long long)width,
             MOST_UNITS * THREADS * UNIT);
    return FV_OK;
}

/* As many blocks as run at once, or fewer. */
template <typename T, int UNITS> static fv_err run_norm(fv_backend *backend, const norm_args<T> &a)
{
    int64_t most = (int64_t)fv_cuda_state_of(backend)->n_processors * (UNITS == 1 ? 4 : UNITS == 2 ? 3 : 1);
    dim3 blocks((unsigned)(a.n < most ? a.n : most));
    return fv_cuda_chain(backend, "norm", {blocks, THREADS, 0}, norm_kernel<T, UNITS>, a);
}

extern "C" fv_err fv_cuda_norm(fv_backend *backend, const fv_norm_args *args)
{
    int64_t width = args->x.dim[args->x.n_dims - 1], heads = heads_of(args->x), n = args->x.dim[0] * heads;
    FV_TRY(check_width("norm", width));
    FV_CUDA_STORED(args->x.dtype, {
        norm_args<T> a = {vectors_of<T>(args->x),
                          vectors_of<T>(args->residual),
                          matrix_of<T>(args->weight),
                          vectors_of<T>(args->sum),
                          vectors_of<T>(args->y),
                          (float *)args->rstd.data,
                          heads,
                          width,
                          n,
                          args->eps};
        if (width <= THREADS * UNIT)
            return run_norm<T, 1>(backend, a);
        if (width <= 2 * THREADS * UNIT)
            return run_norm<T, 2>(backend, a);
        return run_norm<T, MOST_UNITS>(backend, a);
    });
}

/* D: the dtype of dy */
template <typename T, typename D> struct norm_grad_args {
    matrix<D> dy;
    matrix<T> x, weight, dx;
    const float *rstd;
    int64_t heads, width, n, band;
    int accumulate;
    float *bands; /* (n_bands, width) */
};

/* What a thread has of a vector, but for dx. */
template <typename T, typename D, int UNITS> struct norm_grad_units {
    stored<D> dy[UNITS];
    stored<T> x[UNITS];
    float rstd;
};

template <typename T, typename D, int UNITS>
__device__ __forceinline__ void load_gradient(const norm_grad_args<T, D> &a, int64_t v,
                                              norm_grad_units<T, D, UNITS> &to)
{
    load_units(vector_at(a.dy, v, a.heads, a.width), a.width, a.dy.is_aligned, to.dy);
    load_units(vector_at(a.x, v, a.heads, a.width), a.width, a.x.is_aligned, to.x);
    to.rstd = a.rstd[v];
}

/* A block has a band of vectors, and sums dweight of its columns over them. Of long vectors the next one has
 * no room in registers. What is contracted is written out: every dtype has the same sums. */
template <typename T, typename D, int UNITS>
__global__ __launch_bounds__(THREADS, UNITS == 1 ? 3
                                      : UNITS == 2 && sizeof(T) == sizeof(bf16)
                                          ? 2
                                          : 1) void norm_grad_kernel(const norm_grad_args<T, D> a)
{
    constexpr int IS_AHEAD = UNITS < MOST_UNITS;
    __shared__ float scratch[32];
    int64_t n = a.width, first = (int64_t)blockIdx.x * a.band;
    int64_t end = first + a.band < a.n ? first + a.band : a.n;
    stored<T> w[UNITS], dx[UNITS] = {};
    float sum[UNITS][UNIT] = {};
    norm_grad_units<T, D, UNITS> next;
    load_units(a.weight.data, n, a.weight.is_aligned, w);
    load_gradient(a, first, next);
    for (int64_t v = first; v < end; v++) {
        norm_grad_units<T, D, UNITS> at = next;
        float dot = 0, d[UNITS][UNIT];
        if (a.accumulate)
            load_units(vector_at(a.dx, v, a.heads, n), n, a.dx.is_aligned, dx);
        if (IS_AHEAD && v + 1 < end)
            load_gradient(a, v + 1, next);
#pragma unroll
        for (int k = 0; k < UNITS; k++)
#pragma unroll
            for (int e = 0; e < UNIT; e++) {
                float g = widen(at.dy[k].at[e]), s = widen(at.x[k].at[e]);
                dot = fmaf(__fmul_rn(g, widen(w[k].at[e])), s, dot);
                sum[k][e] = fmaf(__fmul_rn(g, s), at.rstd, sum[k][e]);
            }
        float pull = block_sum(dot, scratch) / (float)n * at.rstd * at.rstd;
#pragma unroll
        for (int k = 0; k < UNITS; k++)
#pragma unroll
            for (int e = 0; e < UNIT; e++) {
                float g = widen(at.dy[k].at[e]), s = widen(at.x[k].at[e]);
                float slope = fmaf(widen(w[k].at[e]), g, -__fmul_rn(s, pull));
                d[k][e] = fmaf(at.rstd, slope, widen(dx[k].at[e]));
            }
        store_units(vector_at(a.dx, v, a.heads, n), n, a.dx.is_aligned, d);
        if (!IS_AHEAD && v + 1 < end)
            load_gradient(a, v + 1, next);
    }
    if (a.bands)
        store_units(a.bands + blockIdx.x * n, n, n % UNIT == 0, sum);
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

/* Vectors of a band: bands are about as many as run at once, but no shorter than is worth a sum. */
static int64_t band_of(int64_t n, int64_t width)
{
    int64_t most = width <= THREADS * UNIT ? 384 : 256, band = (n + most - 1) / most;
    return band > LEAST_BAND ? band : LEAST_BAND;
}

static int64_t bands_of(int64_t n, int64_t width)
{
    int64_t band = band_of(n, width);
    return (n + band - 1) / band;
}

size_t fv_cuda_norm_grad_room(const fv_norm_grad_args *args)
{
    int64_t width = args->x.dim[args->x.n_dims - 1], n_bands = bands_of(vectors_of_rows(args->x), width);
    return args->dweight.data ? (size_t)(n_bands * width) * sizeof(float) : 0;
}

template <typename T, typename D> static fv_err norm_grad(fv_backend *backend, const fv_norm_grad_args *args)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    int64_t width = args->x.dim[args->x.n_dims - 1], heads = heads_of(args->x), n = args->x.dim[0] * heads;
    int64_t n_bands = bands_of(n, width);
    FV_TRY(check_width("norm_grad", width));
    norm_grad_args<T, D> a = {vectors_of<D>(args->dy),
                              vectors_of<T>(args->x),
                              matrix_of<T>(args->weight),
                              vectors_of<T>(args->dx),
                              (const float *)args->rstd.data,
                              heads,
                              width,
                              n,
                              band_of(n, width),
                              args->accumulate,
                              nullptr};
    void *bands = nullptr;
    if (args->dweight.data)
        FV_TRY(fv_cuda_workspace(backend, fv_cuda_norm_grad_room(args), &bands));
    a.bands = (float *)bands;
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
