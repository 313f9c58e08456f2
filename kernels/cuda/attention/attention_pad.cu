/* Copies of heads with zeros behind their channels, for tensors that cannot be loaded sixteen bytes at a
 * time.
 */
#include "attention.cuh"

enum { THREADS = 256 };

__global__ void pad_heads(const bf16 *from, int64_t row, int64_t heads, int64_t dim, bf16 *to, int64_t padded,
                          int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    int64_t c = i % padded, h = i / padded % heads, r = i / padded / heads;
    to[i] = c < dim ? from[r * row + h * dim + c] : __float2bfloat16(0.0f);
}

__global__ void unpad_heads(const bf16 *from, int64_t padded, bf16 *to, int64_t row, int64_t heads,
                            int64_t dim, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    int64_t c = i % dim, h = i / dim % heads, r = i / dim / heads;
    to[r * row + h * dim + c] = from[(r * heads + h) * padded + c];
}

fv_tensor fv_cuda_pad(fv_backend *backend, fv_tensor t, char **room)
{
    int64_t padded = (t.dim[2] + 7) / 8 * 8, n = t.dim[0] * t.dim[1] * padded;
    fv_tensor to = fv_tensor_3d(*room, FV_BF16, t.dim[0], t.dim[1], padded);
    *room += fv_cuda_padded_bytes(&t);
    if (n)
        pad_heads<<<blocks_for(n, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
            (const bf16 *)t.data, t.stride, t.dim[1], t.dim[2], (bf16 *)to.data, padded, n);
    return to;
}

void fv_cuda_unpad(fv_backend *backend, fv_tensor from, fv_tensor to)
{
    int64_t n = fv_tensor_count(to);
    if (n)
        unpad_heads<<<blocks_for(n, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
            (const bf16 *)from.data, from.dim[2], (bf16 *)to.data, to.stride, to.dim[1], to.dim[2], n);
}

size_t fv_cuda_padded_bytes(const fv_tensor *t)
{
    return ((size_t)(t->dim[0] * t->dim[1] * ((t->dim[2] + 7) / 8 * 8)) * sizeof(bf16) + 255) / 256 * 256;
}

fv_err fv_cuda_check_heads(const char *op, const fv_tensor *q, const fv_tensor *k)
{
    FV_CHECK(q->dtype == FV_BF16 && k->dtype == FV_BF16, FV_ERR_UNSUPPORTED,
             "%s: CUDA computes in BF16, not %s: set precision to bf16", op, fv_dtype_name(q->dtype));
    return FV_OK;
}
