/* Statistics of logits, their merging, and their gradient. A block has one chunk of one row. */
#include "cuda.cuh"

enum { THREADS = 256, UNITS = FV_VOCAB_CHUNK / THREADS / UNIT /* of a thread */ };

struct chunk_place {
    int64_t row, from, n; /* columns [from, from + n) of the row */
};

/* Which columns of the chunk are excluded: one bit each. All threads call. */
__device__ void mark_excluded(const int32_t *excluded, int64_t n_excluded, int64_t first, int64_t n,
                              uint32_t *bits)
{
    for (int i = threadIdx.x; i < FV_VOCAB_CHUNK / 32; i += THREADS)
        bits[i] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n_excluded; i += THREADS) {
        int64_t j = excluded[i] - first;
        if (j >= 0 && j < n)
            atomicOr(&bits[j / 32], 1u << j % 32);
    }
    __syncthreads();
}

struct vocab_args {
    matrix<float> logits;
    const int32_t *targets, *excluded;
    int64_t n_excluded;
    int32_t first;
    const float *scales; /* one a row */
};

static vocab_args vocab_args_of(fv_tensor logits, fv_tensor targets, fv_tensor excluded, int32_t first,
                                fv_tensor scales)
{
    return {matrix_of<float>(logits),
            (const int32_t *)targets.data,
            (const int32_t *)excluded.data,
            excluded.data ? excluded.dim[0] : 0,
            first,
            (const float *)scales.data};
}

static dim3 grid_of(fv_tensor logits)
{
    return dim3(blocks_for(logits.dim[1], FV_VOCAB_CHUNK), (unsigned)logits.dim[0]);
}

__device__ __forceinline__ chunk_place place_of(const vocab_args &a)
{
    int64_t from = (int64_t)blockIdx.x * FV_VOCAB_CHUNK, left = a.logits.cols - from;
    return {blockIdx.y, from, left < 0 ? 0 : left < FV_VOCAB_CHUNK ? left : FV_VOCAB_CHUNK};
}

/* The first column of unit k of this thread. */
__device__ __forceinline__ int column_of(int k)
{
    return (threadIdx.x + k * THREADS) * UNIT;
}

/* This thread's logits of a chunk, which are on their way while the excluded ones are marked. */
__device__ __forceinline__ void load_logits(const vocab_args &a, chunk_place p, float (&z)[UNITS][UNIT])
{
#pragma unroll
    for (int k = 0; k < UNITS; k++)
        load_unit(a.logits.data + p.row * a.logits.stride + p.from, column_of(k), p.n, a.logits.is_aligned,
                  z[k]);
}

/* Eight bits of a unit: columns that are excluded or behind the end. */
__device__ __forceinline__ uint32_t missing_of(const uint32_t *bits, int column, int64_t n)
{
    uint32_t marked = bits[column / 32] >> column % 32 & 0xff;
    return column + UNIT <= n ? marked : column >= n ? 0xff : marked | (0xff << (n - column) & 0xff);
}

/* Two sums over the threads of a block, in one fixed order, for all of them. */
__device__ __forceinline__ float2 block_sums(float x, float y, float2 *scratch)
{
    for (int d = 16; d; d /= 2) {
        x += __shfl_xor_sync(~0u, x, d);
        y += __shfl_xor_sync(~0u, y, d);
    }
    if (threadIdx.x % 32 == 0)
        scratch[threadIdx.x / 32] = make_float2(x, y);
    __syncthreads();
    float2 sum = {};
    for (int w = 0; w < THREADS / 32; w++) {
        sum.x += scratch[w].x;
        sum.y += scratch[w].y;
    }
    return sum;
}

/* parts: (chunks, rows, 4), stride elements apart. z is weighed as its distance below the maximum. */
__global__ __launch_bounds__(THREADS) void vocab_stats_kernel(const vocab_args a, float *parts,
                                                              int64_t part_stride)
{
    __shared__ uint32_t bits[FV_VOCAB_CHUNK / 32];
    __shared__ float scratch[32];
    __shared__ float2 pairs[THREADS / 32];
    join_chain();
    chunk_place p = place_of(a);
    float z[UNITS][UNIT], top = -INFINITY, target = -INFINITY, scale = a.scales[p.row];
    int64_t id = a.targets ? a.targets[p.row] - (a.first + p.from) : -1;
    int at = id >= 0 && id < p.n ? (int)id : -1;
    load_logits(a, p, z);
    mark_excluded(a.excluded, a.n_excluded, a.first + p.from, p.n, bits);
#pragma unroll
    for (int k = 0; k < UNITS; k++) {
        uint32_t missing = missing_of(bits, column_of(k), p.n);
#pragma unroll
        for (int e = 0; e < UNIT; e++) {
            z[k][e] = missing >> e & 1 ? -INFINITY : z[k][e] * scale;
            top = fmaxf(top, z[k][e]);
            if (at == column_of(k) + e)
                target = z[k][e];
        }
    }
    float *part = parts + blockIdx.x * part_stride + p.row * FV_VOCAB_FIELDS;
    if (threadIdx.x == (at < 0 ? 0 : at / UNIT % THREADS))
        part[3] = target;
    top = block_max(top, scratch);
    float shift = top == -INFINITY ? 0.0f : top, sum = 0, weighted = 0;
#pragma unroll
    for (int k = 0; k < UNITS; k++)
#pragma unroll
        for (int e = 0; e < UNIT; e++) {
            float below = z[k][e] - shift, weight = expf(below);
            sum += weight;
            weighted = fmaf(weight, below == -INFINITY ? 0.0f : below, weighted);
        }
    float2 both = block_sums(sum, weighted, pairs);
    if (threadIdx.x > 0)
        return;
    part[0] = top;
    part[1] = both.x;
    part[2] = fmaf(shift, both.x, both.y);
}

extern "C" fv_err fv_cuda_vocab_stats(fv_backend *backend, const fv_vocab_stats_args *args)
{
    vocab_args a =
        vocab_args_of(args->logits, args->targets, args->excluded, args->first, args->inv_temperature);
    dim3 grid((unsigned)args->parts.dim[0],
              (unsigned)args->logits.dim[0]); /* parts behind the last chunk are empty */
    return fv_cuda_chain(backend, "vocab_stats", {grid, THREADS, 0}, vocab_stats_kernel, a,
                         (float *)args->parts.data, args->parts.stride);
}

/* A warp has a row: its lanes load parts, 32 at a time, and one of them adds them up in order. */
__global__ void vocab_merge_kernel(const float *parts, int64_t n_parts, int64_t stride, const float *targets,
                                   float *logprob, float *lse_out, float *entropy)
{
    __shared__ float weights[32], sums[32], weighted_sums[32];
    join_chain();
    int64_t row = blockIdx.x;
    const float *part = parts + row * FV_VOCAB_FIELDS;
    float top = -INFINITY, target = targets ? targets[row] : -INFINITY, sum = 0, weighted = 0;
    for (int64_t p = threadIdx.x; p < n_parts; p += 32) {
        top = fmaxf(top, part[p * stride]);
        target = fmaxf(target, part[p * stride + 3]);
    }
    for (int d = 16; d; d /= 2) {
        top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
        target = fmaxf(target, __shfl_xor_sync(~0u, target, d));
    }
    float shift = top == -INFINITY ? 0.0f : top;
    for (int64_t first = 0; first < n_parts; first += 32) {
        int64_t p = first + threadIdx.x;
        if (p < n_parts) {
            const float *x = part + p * stride;
            weights[threadIdx.x] = expf(x[0] - shift);
            sums[threadIdx.x] = x[1];
            weighted_sums[threadIdx.x] = fmaf(-shift, x[1], x[2]);
        }
        __syncwarp();
        for (int i = 0; threadIdx.x == 0 && i < 32 && first + i < n_parts; i++) {
            sum = fmaf(weights[i], sums[i], sum);
            weighted = fmaf(weights[i], weighted_sums[i], weighted);
        }
        __syncwarp();
    }
    if (threadIdx.x > 0)
        return;
    float log_sum = logf(sum), lse = top + log_sum;
    if (lse_out)
        lse_out[row] = lse;
    if (logprob)
        logprob[row] = target == -INFINITY ? -INFINITY : target - lse;
    if (entropy)
        entropy[row] = sum == 0.0f ? 0.0f : log_sum - weighted / sum;
}

extern "C" fv_err fv_cuda_vocab_merge(fv_backend *backend, const fv_vocab_merge_args *args)
{
    return fv_cuda_chain(backend, "vocab_merge", {dim3((unsigned)args->parts.dim[1]), 32, 0},
                         vocab_merge_kernel, (const float *)args->parts.data, args->parts.dim[0],
                         args->parts.stride, (const float *)args->target.data, (float *)args->logprob.data,
                         (float *)args->lse.data, (float *)args->entropy.data);
}

template <typename T>
__global__ __launch_bounds__(THREADS) void vocab_grad_kernel(const vocab_args a, const float *lse,
                                                             const float *dlogprob, const float *entropy,
                                                             const float *dentropy, matrix<T> out)
{
    __shared__ uint32_t bits[FV_VOCAB_CHUNK / 32];
    chunk_place p = place_of(a);
    int64_t id = a.targets[p.row] - (a.first + p.from);
    int target = id >= 0 && id < p.n ? (int)id : -1;
    float z[UNITS][UNIT], scale = a.scales[p.row], l = lse[p.row], d = dlogprob[p.row],
                          h = dentropy ? entropy[p.row] : 0.0f, dh = dentropy ? dentropy[p.row] : 0.0f;
    load_logits(a, p, z);
    mark_excluded(a.excluded, a.n_excluded, a.first + p.from, p.n, bits);
#pragma unroll
    for (int k = 0; k < UNITS; k++) {
        uint32_t missing = missing_of(bits, column_of(k), p.n);
#pragma unroll
        for (int e = 0; e < UNIT; e++) {
            float log_p = z[k][e] * scale - l, probability = expf(log_p);
            float pull = -d - dh * (log_p + h), slope = probability == 0.0f ? 0.0f : probability * pull;
            slope = scale * (column_of(k) + e == target ? d + slope : slope);
            z[k][e] = missing >> e & 1 ? 0.0f : slope;
        }
        store_unit(out.data + p.row * out.stride + p.from, column_of(k), p.n, out.is_aligned, z[k]);
    }
}

extern "C" fv_err fv_cuda_vocab_grad(fv_backend *backend, const fv_vocab_grad_args *args)
{
    vocab_args a =
        vocab_args_of(args->logits, args->targets, args->excluded, args->first, args->inv_temperature);
    FV_CUDA_STORED(args->dlogits.dtype,
                   (vocab_grad_kernel<T><<<grid_of(args->logits), THREADS, 0, fv_cuda_compute(backend)>>>(
                       a, (const float *)args->lse.data, (const float *)args->dlogprob.data,
                       (const float *)args->entropy.data, (const float *)args->dentropy.data,
                       matrix_of<T>(args->dlogits))));
    return fv_cuda_launched("vocab_grad");
}
