/* Statistics of logits, their merging, and their gradient. A block has one chunk of one row. */
#include "cuda.cuh"

enum { THREADS = 256, PER_THREAD = FV_VOCAB_CHUNK / THREADS };

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

__device__ __forceinline__ int is_marked(const uint32_t *bits, int64_t j)
{
    return bits[j / 32] >> j % 32 & 1;
}

struct vocab_args {
    float *logits;
    int64_t stride, n;
    const int32_t *targets, *excluded;
    int64_t n_excluded;
    int32_t first;
    const float *scales; /* one a row */
};

static vocab_args vocab_args_of(fv_tensor logits, fv_tensor targets, fv_tensor excluded, int32_t first,
                                fv_tensor scales)
{
    return {(float *)logits.data,
            logits.stride,
            logits.dim[1],
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
    int64_t from = (int64_t)blockIdx.x * FV_VOCAB_CHUNK, left = a.n - from;
    return {blockIdx.y, from, left < 0 ? 0 : left < FV_VOCAB_CHUNK ? left : FV_VOCAB_CHUNK};
}

/* parts: (chunks, rows, 4), stride elements apart. z is weighed as its distance below the maximum. */
__global__ void vocab_stats_kernel(const vocab_args a, float *parts, int64_t part_stride)
{
    __shared__ uint32_t bits[FV_VOCAB_CHUNK / 32];
    __shared__ float scratch[32];
    join_chain();
    chunk_place p = place_of(a);
    const float *row = a.logits + p.row * a.stride + p.from, scale = a.scales[p.row];
    mark_excluded(a.excluded, a.n_excluded, a.first + p.from, p.n, bits);
    float z[PER_THREAD], top = -INFINITY;
    for (int i = 0; i < PER_THREAD; i++) {
        int64_t j = threadIdx.x + (int64_t)i * THREADS;
        z[i] = j < p.n && !is_marked(bits, j) ? row[j] * scale : -INFINITY;
        top = fmaxf(top, z[i]);
    }
    top = block_max(top, scratch);
    float shift = top == -INFINITY ? 0.0f : top, sum = 0, weighted = 0;
    for (int i = 0; i < PER_THREAD; i++) {
        float below = z[i] - shift, e = expf(below);
        sum += e;
        weighted = fmaf(e, below == -INFINITY ? 0.0f : below, weighted);
    }
    sum = block_sum(sum, scratch);
    weighted = block_sum(weighted, scratch);
    if (threadIdx.x > 0)
        return;
    float *part = parts + blockIdx.x * part_stride + p.row * FV_VOCAB_FIELDS;
    int64_t j = a.targets ? a.targets[p.row] - (a.first + p.from) : -1;
    part[0] = top;
    part[1] = sum;
    part[2] = fmaf(shift, sum, weighted);
    part[3] = j >= 0 && j < p.n && !is_marked(bits, j) ? row[j] * scale : -INFINITY;
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

__global__ void vocab_grad_kernel(const vocab_args a, const float *lse, const float *dlogprob,
                                  const float *entropy, const float *dentropy)
{
    __shared__ uint32_t bits[FV_VOCAB_CHUNK / 32];
    chunk_place p = place_of(a);
    float *row = a.logits + p.row * a.stride + p.from, scale = a.scales[p.row];
    int64_t target = a.targets[p.row] - (a.first + p.from);
    float l = lse[p.row], d = dlogprob[p.row], h = dentropy ? entropy[p.row] : 0.0f,
          dh = dentropy ? dentropy[p.row] : 0.0f;
    mark_excluded(a.excluded, a.n_excluded, a.first + p.from, p.n, bits);
    for (int64_t j = threadIdx.x; j < p.n; j += THREADS) {
        float z = row[j] * scale, log_p = z - l, probability = expf(log_p);
        float pull = -d - dh * (log_p + h), slope = probability == 0.0f ? 0.0f : probability * pull;
        row[j] = is_marked(bits, j) ? 0.0f : scale * (j == target ? d + slope : slope);
    }
}

extern "C" fv_err fv_cuda_vocab_grad(fv_backend *backend, const fv_vocab_grad_args *args)
{
    vocab_args a =
        vocab_args_of(args->logits, args->targets, args->excluded, args->first, args->inv_temperature);
    vocab_grad_kernel<<<grid_of(args->logits), THREADS, 0, fv_cuda_compute(backend)>>>(
        a, (const float *)args->lse.data, (const float *)args->dlogprob.data,
        (const float *)args->entropy.data, (const float *)args->dentropy.data);
    return fv_cuda_launched("vocab_grad");
}
