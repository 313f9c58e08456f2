/* Products: which way each goes. Those of few rows that only read weights go to gemm_skinny.cu; those whose k
 * is cut into chunks to gemm_tree.cu; the others to cuBLASLt (gemm_cublas.cu). All give an element as one
 * chain of k16 steps a chunk, the chunks added in the balanced tree, so ways are chosen by speed alone.
 *
 * Operands that none of them can read are copied first, with zeros behind. Where nothing else does, chunks
 * become products of their own with fp32 results, and the tree is added here. */
#include "gemm_copies.cuh"

enum { ALIGN = 8 /* elements */, PACKED = 64 /* whole steps of every kernel */ };

static fv_err check_dtypes(const fv_gemm_args *args)
{
    FV_CHECK(args->a.dtype == FV_BF16 && args->b.dtype == FV_BF16, FV_ERR_UNSUPPORTED,
             "gemm: CUDA multiplies BF16, not %s: set precision to bf16", fv_dtype_name(args->a.dtype));
    return FV_OK;
}

static int64_t padded(int64_t n)
{
    return (n + 15) / 16 * 16;
}

static int is_aligned(const void *data, int64_t stride, int64_t length, int64_t lines)
{
    return (uintptr_t)data % 16 == 0 && stride % ALIGN == 0 && length % ALIGN == 0 && lines % ALIGN == 0;
}

/* An operand of some steps of k, fit for cuBLAS: as it is, or a padded copy. */
typedef struct fitted {
    const bf16 *data;
    int64_t row;
} fitted;

static size_t room_for(const fv_tensor *t)
{
    return (size_t)(padded(t->dim[0]) * padded(t->dim[1])) * sizeof(bf16) + 256;
}

static fitted fit(fv_backend *backend, const bf16 *data, int64_t stride, int64_t lines, int64_t length,
                  char **room)
{
    bf16 *to = (bf16 *)*room;
    int64_t wide = padded(length), high = padded(lines);
    if (wide == length && high == lines && is_aligned(data, stride, length, lines))
        return {data, stride};
    *room += ((size_t)(wide * high) * sizeof(bf16) + 255) / 256 * 256;
    dim3 blocks((unsigned)high, blocks_for(wide, THREADS * UNIT));
    pack_kernel<<<blocks, THREADS, 0, fv_cuda_compute(backend)>>>(data, stride, lines, length, to, wide);
    return {to, wide};
}

typedef struct room {
    char *at;
    float *parts;
    int64_t part, part_row;
} room;

static int n_parts_of(const fv_gemm_args *args)
{
    return args->chunks.n > 1 ? args->chunks.n : 1;
}

/* Chunk by chunk into fp32 parts, and their tree. */
static fv_err by_parts(fv_backend *backend, const fv_gemm_args *args, room r)
{
    int64_t m = args->c.dim[0], n = args->c.dim[1], k = args->a.dim[args->trans_a ? 0 : 1];
    int n_chunks = n_parts_of(args);
    const bf16 *a = (const bf16 *)args->a.data, *b = (const bf16 *)args->b.data;
    for (int c = 0; c < n_chunks; c++) {
        int64_t first = c ? fv_chunks_end(args->chunks, c - 1) : 0,
                end = n_chunks > 1 ? fv_chunks_end(args->chunks, c) : k;
        int64_t steps = end - first;
        if (steps == 0) {
            FV_CUDA(cudaMemsetAsync(r.parts + c * r.part, 0, (size_t)r.part * sizeof(float),
                                    fv_cuda_compute(backend)));
            continue;
        }
        char *at = r.at;
        const bf16 *from_a = args->trans_a ? a + first * args->a.stride : a + first;
        const bf16 *from_b = args->trans_b ? b + first : b + first * args->b.stride;
        fitted fa = args->trans_a ? fit(backend, from_a, args->a.stride, steps, m, &at)
                                  : fit(backend, from_a, args->a.stride, m, steps, &at);
        fitted fb = args->trans_b ? fit(backend, from_b, args->b.stride, n, steps, &at)
                                  : fit(backend, from_b, args->b.stride, steps, n, &at);
        fv_cuda_product p = {
            padded(m), padded(n), padded(steps), fa.data,    fb.data,       r.parts + c * r.part,
            nullptr,   fa.row,    fb.row,        r.part_row, args->trans_a, args->trans_b,
            1,         0};
        FV_TRY(fv_cuda_launched("gemm, copies"));
        FV_TRY(fv_cuda_multiply(backend, &p));
        FV_TRY(fv_cuda_launched("gemm, product"));
    }
    fv_cuda_bias bias = fv_cuda_bias_of(args->bias);
    size_t quad_bytes = QUAD * fv_dtype_bytes(args->c.dtype);
    int is_aligned = (uintptr_t)args->c.data % quad_bytes == 0 && args->c.stride % QUAD == 0;
    dim3 blocks((unsigned)m, blocks_for(n, THREADS * QUAD));
    FV_CUDA_STORED(args->c.dtype, (add_parts_kernel<T><<<blocks, THREADS, 0, fv_cuda_compute(backend)>>>(
                                      r.parts, n_chunks, r.part, r.part_row, matrix_of<T>(args->c),
                                      is_aligned, bias, args->accumulate)));
    return fv_cuda_launched("gemm");
}

static int is_direct(const fv_gemm_args *args)
{
    const fv_tensor *t[] = {&args->a, &args->b, &args->c};
    for (int i = 0; i < 3; i++)
        if (!is_aligned(t[i]->data, t[i]->stride, t[i]->dim[1],
                        i == 2 || (i == 0 && !args->trans_a) ? ALIGN : t[i]->dim[0]))
            return 0;
    return args->chunks.n <= 1 &&
           (!args->bias.data || (args->bias.dtype == FV_BF16 && (uintptr_t)args->bias.data % 16 == 0)) &&
           !(args->accumulate && args->c.dtype != FV_F32);
}

static fv_cuda_product product_of(const fv_gemm_args *args)
{
    return {args->c.dim[0],
            args->c.dim[1],
            args->a.dim[args->trans_a ? 0 : 1],
            (const bf16 *)args->a.data,
            (const bf16 *)args->b.data,
            args->c.data,
            (const bf16 *)args->bias.data,
            args->a.stride,
            args->b.stride,
            args->c.stride,
            args->trans_a,
            args->trans_b,
            args->c.dtype == FV_F32,
            args->accumulate};
}

static fv_cuda_dots dots_of(const fv_gemm_args *args)
{
    const fv_tensor *c = &args->c;
    size_t unit = UNIT * fv_dtype_bytes(c->dtype);
    int is_aligned = (uintptr_t)c->data % unit == 0 && c->stride % UNIT == 0;
    return {(const bf16 *)args->a.data,
            (const bf16 *)args->b.data,
            args->a.stride,
            args->b.stride,
            (int)args->a.dim[args->trans_a ? 0 : 1],
            n_parts_of(args),
            {c->data, c->stride, (int)c->dim[0], (int)c->dim[1], c->dtype == FV_F32, is_aligned,
             fv_cuda_bias_of(args->bias)}};
}

/* Whether a product is dots as it is. */
static int is_dots(const fv_gemm_args *args)
{
    const fv_tensor *t[] = {&args->a, &args->b};
    int64_t k = args->a.dim[1], n = n_parts_of(args);
    if (args->trans_a || !args->trans_b || args->accumulate || k % n || k / n % 16 || k == 0)
        return 0;
    for (int i = 0; i < 2; i++)
        if ((uintptr_t)t[i]->data % 16 || t[i]->stride % ALIGN)
            return 0;
    for (int c = 0; c < n && n > 1; c++)
        if (fv_chunks_end(args->chunks, c) != (c + 1) * (k / n))
            return 0;
    return 1;
}

static packing packing_of(const fv_gemm_args *args, const fv_tensor *t, int k_is_row)
{
    packing p = {};
    p.from = (const bf16 *)t->data;
    p.line = k_is_row ? 1 : t->stride;
    p.next = k_is_row ? t->stride : 1;
    p.lines = t->dim[k_is_row ? 1 : 0];
    p.k = t->dim[k_is_row ? 0 : 1];
    p.n_chunks = args->chunks.n;
    int64_t widest = 0;
    for (int c = 0; c < p.n_chunks; c++) {
        p.end[c] = fv_chunks_end(args->chunks, c);
        int64_t width = p.end[c] - (c ? p.end[c - 1] : 0);
        widest = width > widest ? width : widest;
    }
    p.width = (int)((widest + PACKED - 1) / PACKED * PACKED);
    return p;
}

static size_t bytes_of_packing(const packing *p)
{
    return ((size_t)p->lines * p->n_chunks * p->width * sizeof(bf16) + 255) / 256 * 256;
}

static fv_err multiply_dots(fv_backend *backend, const fv_cuda_dots *d)
{
    return fv_cuda_skinny_fits(backend, d) ? fv_cuda_skinny(backend, d) : fv_cuda_tree(backend, d);
}

/* Chunks that are no whole steps, or operands that lie in no other way: copied to where they are. */
static fv_err packed(fv_backend *backend, const fv_gemm_args *args, void *room)
{
    packing a = packing_of(args, &args->a, args->trans_a), b = packing_of(args, &args->b, !args->trans_b);
    fv_cuda_dots d = dots_of(args);
    bf16 *to_a = (bf16 *)room, *to_b = (bf16 *)((char *)room + bytes_of_packing(&a));
    d.a = to_a, d.b = to_b, d.has_new_b = 1;
    d.k = a.n_chunks * a.width;
    d.a_row = d.b_row = d.k;
    cudaStream_t stream = fv_cuda_compute(backend);
    pack_chunks(&a, to_a, stream);
    pack_chunks(&b, to_b, stream);
    FV_TRY(fv_cuda_launched("gemm, copies"));
    return multiply_dots(backend, &d);
}

typedef enum way { DOTS, LIBRARY, PACK, PARTS } way;

static way way_of(fv_backend *backend, const fv_gemm_args *args)
{
    if (is_dots(args)) {
        fv_cuda_dots d = dots_of(args);
        if (fv_cuda_skinny_fits(backend, &d) || (d.n_chunks > 1 && fv_cuda_tree_fits(backend, &d)))
            return DOTS;
    }
    if (args->a.dim[args->trans_a ? 0 : 1] == 0)
        return PARTS;
    if (is_direct(args))
        return LIBRARY;
    return args->chunks.n > 1 && fv_cuda_state_of(backend)->compute_capability == 90 ? PACK : PARTS;
}

static size_t bytes_of_parts(const fv_gemm_args *args)
{
    size_t part = (size_t)(padded(args->c.dim[0]) * padded(args->c.dim[1])) * sizeof(float);
    return ((size_t)n_parts_of(args) * part + 255) / 256 * 256;
}

size_t fv_cuda_gemm_room(fv_backend *backend, const fv_gemm_args *args)
{
    switch (way_of(backend, args)) {
    case PACK: {
        packing a = packing_of(args, &args->a, args->trans_a), b = packing_of(args, &args->b, !args->trans_b);
        return bytes_of_packing(&a) + bytes_of_packing(&b);
    }
    case PARTS:
        return bytes_of_parts(args) + room_for(&args->a) + room_for(&args->b) + 1024;
    default:
        return 0;
    }
}

static fv_err in_order(fv_backend *backend, const fv_gemm_args *args)
{
    way to_go = way_of(backend, args);
    if (to_go == LIBRARY) {
        fv_cuda_product p = product_of(args);
        return fv_cuda_multiply(backend, &p);
    }
    if (to_go == DOTS) {
        fv_cuda_dots d = dots_of(args);
        return multiply_dots(backend, &d);
    }
    void *work = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_gemm_room(backend, args), &work));
    if (to_go == PACK)
        return packed(backend, args, work);
    int64_t m = args->c.dim[0], n = args->c.dim[1];
    room r = {(char *)work + bytes_of_parts(args), (float *)work, padded(m) * padded(n), padded(n)};
    return by_parts(backend, args, r);
}

extern "C" fv_err fv_cuda_gemm(fv_backend *backend, const fv_gemm_args *args)
{
    FV_TRY(check_dtypes(args));
    fv_gemm_args whole = *args;
    whole.chunks.n = 0;
    if (!fv_cuda_is_any_order(backend) || !is_direct(&whole) || args->a.dim[args->trans_a ? 0 : 1] == 0)
        return in_order(backend, args);
    fv_cuda_product p = product_of(&whole);
    return fv_cuda_any_order_multiply(backend, args, &p, in_order);
}
