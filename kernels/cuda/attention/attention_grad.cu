/* The gradient of attention, in kernels without atomics, so that every sum has one order: that of queries
 * goes through the keys of a tile of queries as the forward pass does (attention_grad_queries.cu); that of
 * keys and values owns a tile of rows of keys and goes through the segments that read them, whatever they
 * call those rows (attention_grad_keys.cu). Weights are made again from lse. */
#include "attention_grad.cuh"

enum { DELTA_ROWS = 8 /* of a block: a warp has one */ };

__global__ __launch_bounds__(32 * DELTA_ROWS) void attention_delta(const attention_grad g)
{
    int64_t i = (int64_t)blockIdx.x * DELTA_ROWS + threadIdx.x / 32, n = g.n_queries * g.f.n_heads;
    int lane = threadIdx.x % 32;
    if (i >= n)
        return;
    int64_t row = i / g.f.n_heads, head = i % g.f.n_heads;
    const bf16 *o = g.f.out + row * g.f.out_row + head * g.f.dim,
               *d = g.dout + row * g.dout_row + head * g.f.dim;
    float sum = 0;
    for (int c = lane; c < g.f.dim; c += 32)
        sum = fmaf(__bfloat162float(o[c]), __bfloat162float(d[c]), sum);
    for (int w = 16; w; w /= 2)
        sum += __shfl_xor_sync(~0u, sum, w);
    if (lane == 0)
        g.delta[i] = sum;
}

static fv_err backward(fv_backend *backend, const attention_grad &g)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    attention_delta<<<blocks_for(g.n_queries * g.f.n_heads, DELTA_ROWS), 32 * DELTA_ROWS, 0, stream>>>(g);
    if (g.f.dim > 128)
        return fv_cuda_attention_grad_wide(backend, g);
    if (fv_cuda_state_of(backend)->compute_capability == 90)
        return fv_cuda_attention_grad_groups(backend, g);
    FV_TRY(fv_cuda_attention_grad_queries(backend, g));
    return fv_cuda_attention_grad_keys(backend, g);
}

/* Tensors of a gradient, in the order of their copies. */
enum { DOUT, OUT, Q, K, V, N_HEADS };

/* How the workspace of a call is cut; copies are made of all or none. */
typedef struct rooms {
    size_t lists, delta, pads;
    int must_pad;
    list_shape shape;
} rooms;

static rooms rooms_of(const fv_attention_grad_args *args, const fv_tensor t[N_HEADS])
{
    rooms r = {};
    r.shape = {args->q.dim[0], args->segments.dim[0], args->spans.dim[0]};
    r.lists = args->plan.data ? 0 : fv_cuda_lists_bytes(r.shape);
    r.delta = ((size_t)(args->q.dim[0] * args->q.dim[1]) * sizeof(float) + 255) / 256 * 256;
    for (int i = 0; i < N_HEADS; i++) {
        r.must_pad |= !heads_are_aligned(&t[i]);
        r.pads += fv_cuda_padded_bytes(&t[i]);
    }
    r.pads = r.must_pad ? r.pads : 0;
    return r;
}

static void list_heads(const fv_attention_grad_args *args, fv_tensor t[N_HEADS])
{
    t[DOUT] = args->dout, t[OUT] = args->out, t[Q] = args->q, t[K] = args->k, t[V] = args->v;
}

size_t fv_cuda_attention_grad_room(const fv_attention_grad_args *args)
{
    fv_tensor t[N_HEADS];
    list_heads(args, t);
    rooms r = rooms_of(args, t);
    return r.lists + r.delta + r.pads;
}

extern "C" fv_err fv_cuda_attention_grad(fv_backend *backend, const fv_attention_grad_args *args)
{
    FV_TRY(fv_cuda_check_heads("attention_grad", &args->q, &args->k));
    fv_tensor t[N_HEADS];
    list_heads(args, t);
    rooms r = rooms_of(args, t);
    int64_t n_queries = args->q.dim[0];
    void *work = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_attention_grad_room(args), &work));
    attention_grad g = {};
    if (args->plan.data)
        FV_TRY(fv_cuda_check_plan("attention_grad", &args->plan, r.shape));
    char *room = (char *)work + r.delta;
    g.delta = (float *)work;
    g.f.lists = fv_cuda_lists(r.shape, args->plan.data ? args->plan.data : room);
    room += r.lists;
    for (int i = 0; r.must_pad && i < N_HEADS; i++)
        t[i] = fv_cuda_pad(backend, t[i], &room);
    g.f.q = (const bf16 *)t[Q].data, g.f.k = (const bf16 *)t[K].data, g.f.v = (const bf16 *)t[V].data;
    g.f.out = (bf16 *)t[OUT].data, g.f.lse = (float *)args->lse.data, g.f.lse_row = args->lse.stride;
    g.f.segments = (const int32_t *)args->segments.data, g.f.spans = (const int32_t *)args->spans.data;
    g.f.segment_row = args->segments.stride, g.f.span_row = args->spans.stride;
    g.f.q_row = t[Q].stride, g.f.k_row = t[K].stride, g.f.v_row = t[V].stride, g.f.out_row = t[OUT].stride;
    g.f.n_heads = (int)args->q.dim[1], g.f.n_kv = (int)args->k.dim[1], g.f.dim = (int)t[Q].dim[2];
    g.f.scale_log2 = args->scale * LOG2_E;
    g.f.causal = args->causal, g.f.window = args->window;
    g.dout = (const bf16 *)t[DOUT].data, g.dout_row = t[DOUT].stride;
    g.dq = (float *)args->dq.data, g.dk = (float *)args->dk.data, g.dv = (float *)args->dv.data;
    g.dq_row = args->dq.stride, g.dk_row = args->dk.stride, g.dv_row = args->dv.stride,
    g.own_dim = (int)args->k.dim[2];
    g.n_key_rows = args->k.dim[0], g.n_queries = n_queries;
    if (!args->plan.data)
        FV_TRY(fv_cuda_attention_plan_kernel(backend, g.f, 0));
    return backward(backend, g);
}
