/* Sums over rows and over everything, in an order that the shape alone sets. */
#include "cuda.cuh"

enum {
    THREADS = 256,
    UNITS = 32, /* of columns that a block sums */
    LINES = THREADS / UNITS,
    BAND = 64, /* rows */
    COLUMNS = 32,
    SHARES = THREADS / COLUMNS
};

/* A block has a band of rows: LINES threads of each unit of columns take them by turns, and their sums are
 * added in order. */
template <typename T> __global__ void column_bands_kernel(matrix<T> x, float *bands)
{
    __shared__ float lines[LINES][UNITS * UNIT];
    int64_t first = (int64_t)blockIdx.x * UNITS * UNIT, column = first + threadIdx.x % UNITS * UNIT;
    int64_t row = (int64_t)blockIdx.y * BAND + threadIdx.x / UNITS;
    float sum[UNIT] = {};
#pragma unroll
    for (int64_t r = 0; r < BAND; r += LINES) {
        float one[UNIT];
        if (row + r >= x.rows)
            break;
        load_unit(x.data + (row + r) * x.stride, column, x.cols, x.is_aligned, one);
#pragma unroll
        for (int e = 0; e < UNIT; e++)
            sum[e] += one[e];
    }
    store_unit(lines[threadIdx.x / UNITS], column - first, UNITS * UNIT, 1, sum);
    __syncthreads();
    if (first + threadIdx.x >= x.cols)
        return;
    float all = 0;
    for (int line = 0; line < LINES; line++)
        all += lines[line][threadIdx.x];
    bands[blockIdx.y * x.cols + first + threadIdx.x] = all;
}

/* Bands in order: SHARES of them side by side, then the shares. */
__global__ void add_column_bands_kernel(const float *bands, int64_t n_bands, int64_t cols, float *out,
                                        int accumulate)
{
    __shared__ float shares[SHARES][COLUMNS];
    int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x % COLUMNS,
            each = (n_bands + SHARES - 1) / SHARES, first = threadIdx.x / COLUMNS * each,
            end = first + each < n_bands ? first + each : n_bands;
    float sum = 0;
#pragma unroll 8
    for (int64_t b = first; b < end; b++)
        sum += column < cols ? bands[b * cols + column] : 0.0f;
    shares[threadIdx.x / COLUMNS][threadIdx.x % COLUMNS] = sum;
    __syncthreads();
    if (threadIdx.x >= COLUMNS || column >= cols)
        return;
    sum = accumulate ? out[column] : 0.0f;
    for (int share = 0; share < SHARES; share++)
        sum += shares[share][threadIdx.x];
    out[column] = sum;
}

size_t fv_cuda_colsum_room(const fv_colsum_args *args)
{
    return (size_t)((args->x.dim[0] + BAND - 1) / BAND * args->x.dim[1] + 1) * sizeof(float);
}

extern "C" fv_err fv_cuda_colsum(fv_backend *backend, const fv_colsum_args *args)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    int64_t cols = args->x.dim[1], n_bands = (args->x.dim[0] + BAND - 1) / BAND;
    void *bands = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_colsum_room(args), &bands));
    if (n_bands)
        FV_CUDA_STORED(args->x.dtype,
                       (column_bands_kernel<T>
                        <<<dim3(blocks_for(cols, UNITS * UNIT), (unsigned)n_bands), THREADS, 0, stream>>>(
                            matrix_of<T>(args->x), (float *)bands)));
    add_column_bands_kernel<<<blocks_for(cols, COLUMNS), THREADS, 0, stream>>>(
        (const float *)bands, n_bands, cols, (float *)args->out.data, args->accumulate);
    return fv_cuda_launched("colsum");
}

struct segments {
    const float *x;
    const int64_t *list, *first_block; /* (n, 2), (n + 1): blocks of all segments, in order */
    int64_t n, stride;
};

/* The sum of squares of block b, for all threads of a thread block. */
__device__ double block_squares(const segments &s, int64_t b)
{
    __shared__ double scratch[32];
    int64_t low = 0, high = s.n - 1;
    while (low < high) {
        int64_t mid = (low + high + 1) / 2;
        if (s.first_block[mid] <= b)
            low = mid;
        else
            high = mid - 1;
    }
    int64_t first = s.list[s.stride * low] + (b - s.first_block[low]) * FV_SUMSQ_BLOCK,
            end = s.list[s.stride * low] + s.list[s.stride * low + 1];
    end = first + FV_SUMSQ_BLOCK < end ? first + FV_SUMSQ_BLOCK : end;
    double sum = 0;
    for (int64_t i = first + threadIdx.x; i < end; i += THREADS)
        sum += (double)s.x[i] * (double)s.x[i];
    return block_sum(sum, scratch);
}

__global__ void squares_kernel(const segments s, double *parts)
{
    if ((int64_t)blockIdx.x >= s.first_block[s.n])
        return;
    double sum = block_squares(s, blockIdx.x);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

__global__ void count_blocks_kernel(const segments s, int64_t *first_block)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s.n; i++) {
        first_block[i] = n;
        n += (s.list[s.stride * i + 1] + FV_SUMSQ_BLOCK - 1) / FV_SUMSQ_BLOCK;
    }
    first_block[s.n] = n;
}

/* Blocks in order. Those behind n_parts, which only segments that overlap have, are summed here. */
__global__ void add_squares_kernel(const segments s, const double *parts, int64_t n_parts, double *out)
{
    __shared__ double scratch[32];
    int64_t n = s.first_block[s.n];
    double sum = 0, late = 0;
    for (int64_t i = threadIdx.x; i < n && i < n_parts; i += THREADS)
        sum += parts[i];
    sum = block_sum(sum, scratch);
    for (int64_t i = n_parts; i < n; i++)
        late += block_squares(s, i);
    if (threadIdx.x == 0)
        *out = sum + late;
}

static int64_t most_parts(const fv_sumsq_args *args)
{
    return args->x.dim[0] / FV_SUMSQ_BLOCK + args->segments.dim[0] + 1;
}

size_t fv_cuda_sumsq_room(const fv_sumsq_args *args)
{
    return (size_t)(most_parts(args) + args->segments.dim[0] + 1) * sizeof(double);
}

extern "C" fv_err fv_cuda_sumsq(fv_backend *backend, const fv_sumsq_args *args)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    int64_t n = args->segments.dim[0], n_parts = most_parts(args);
    void *work = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_sumsq_room(args), &work));
    double *parts = (double *)work;
    int64_t *first_block = (int64_t *)(parts + n_parts);
    segments s = {(const float *)args->x.data, (const int64_t *)args->segments.data, first_block, n,
                  args->segments.stride};
    count_blocks_kernel<<<1, 1, 0, stream>>>(s, first_block);
    squares_kernel<<<(unsigned)n_parts, THREADS, 0, stream>>>(s, parts);
    add_squares_kernel<<<1, THREADS, 0, stream>>>(s, parts, n_parts, (double *)args->out.data);
    return fv_cuda_launched("sumsq");
}
