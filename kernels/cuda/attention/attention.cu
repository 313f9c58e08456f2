/* Attention over segments: an exact online softmax in chunks of FV_ATTENTION_CHUNK keys, each reduced alone
 * and merged in order, so that one order of sums serves every way to compute it, and all kernels give the
 * same bits. Which of them run follows from shapes and from what the call says of its longest segment. */
#include "attention_softmax.cuh"

/* How the workspace of a call is cut. */
typedef struct rooms {
    size_t lists, parts, stats, pads;
    int must_pad, has_few;
    list_shape shape;
} rooms;

static size_t whole(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static int is_small(const fv_attention_args *args)
{
    return args->most_queries > 0 && args->most_queries <= SMALL && args->most_keys > 0 &&
           args->most_keys <= SMALL && args->q.dim[2] <= 128;
}

static rooms rooms_of(const fv_attention_args *args)
{
    rooms r = {};
    r.shape = {args->q.dim[0], args->segments.dim[0], args->spans.dim[0]};
    attention_lists lists = fv_cuda_lists(r.shape, nullptr);
    r.has_few = !is_small(args) && fv_cuda_has_few(args->q.dim[1], args->k.dim[1], args->q.dim[2]);
    r.must_pad = !(heads_are_aligned(&args->q) && heads_are_aligned(&args->k) &&
                   heads_are_aligned(&args->v) && heads_are_aligned(&args->out));
    size_t rows = r.has_few ? (size_t)lists.max_parts * (size_t)args->q.dim[1] : 0;
    r.lists = args->plan.data ? 0 : fv_cuda_lists_bytes(r.shape);
    r.parts = whole(rows * 128 * sizeof(float));
    r.stats = whole(rows * sizeof(float2));
    r.pads = r.must_pad ? 2 * fv_cuda_padded_bytes(&args->q) + 2 * fv_cuda_padded_bytes(&args->k) : 0;
    return r;
}

static size_t bytes_of(const rooms &r)
{
    return r.lists + r.parts + r.stats + r.pads;
}

size_t fv_cuda_attention_room(const fv_attention_args *args)
{
    return bytes_of(rooms_of(args));
}

static fv_err run(fv_backend *backend, const fv_attention_args *args, const attention &a)
{
    int has_few = fv_cuda_has_few(a.n_heads, a.n_kv, a.dim);
    if (!args->plan.data)
        FV_TRY(fv_cuda_attention_plan_kernel(backend, a, has_few));
    if (a.dim > 128)
        return fv_cuda_attention_wide(backend, a);
    if (is_small(args))
        return fv_cuda_attention_small(backend, a);
    if (has_few)
        FV_TRY(fv_cuda_attention_few(backend, a));
    if (has_few && args->most_queries == 1)
        return FV_OK;
    return fv_cuda_state_of(backend)->compute_capability == 90 ? fv_cuda_attention_groups(backend, a)
                                                               : fv_cuda_attention_tiles(backend, a);
}

extern "C" fv_err fv_cuda_attention(fv_backend *backend, const fv_attention_args *args)
{
    FV_TRY(fv_cuda_check_heads("attention", &args->q, &args->k));
    rooms r = rooms_of(args);
    void *work = nullptr;
    FV_TRY(fv_cuda_workspace(backend, bytes_of(r), &work));
    if (args->plan.data)
        FV_TRY(fv_cuda_check_plan("attention", &args->plan, r.shape));
    char *room = (char *)work + r.lists + r.parts + r.stats;
    fv_tensor q = args->q, k = args->k, v = args->v, out = args->out;
    if (r.must_pad) {
        q = fv_cuda_pad(backend, q, &room);
        k = fv_cuda_pad(backend, k, &room);
        v = fv_cuda_pad(backend, v, &room);
        out = fv_tensor_3d(room, FV_BF16, out.dim[0], out.dim[1], q.dim[2]);
    }
    attention a = {};
    a.q = (const bf16 *)q.data, a.k = (const bf16 *)k.data, a.v = (const bf16 *)v.data,
    a.out = (bf16 *)out.data;
    a.lse = (float *)args->lse.data, a.lse_row = args->lse.stride;
    a.segments = (const int32_t *)args->segments.data, a.spans = (const int32_t *)args->spans.data;
    a.segment_row = args->segments.stride, a.span_row = args->spans.stride;
    a.q_row = q.stride, a.k_row = k.stride, a.v_row = v.stride, a.out_row = out.stride;
    a.n_heads = (int)q.dim[1], a.n_kv = (int)k.dim[1], a.dim = (int)q.dim[2];
    a.scale_log2 = args->scale * LOG2_E;
    a.causal = args->causal, a.window = args->window;
    a.lists = fv_cuda_lists(r.shape, args->plan.data ? args->plan.data : work);
    a.parts = (float *)((char *)work + r.lists), a.stats = (float2 *)((char *)work + r.lists + r.parts);
    FV_TRY(run(backend, args, a));
    if (r.must_pad)
        fv_cuda_unpad(backend, out, args->out);
    return fv_cuda_launched("attention");
}
