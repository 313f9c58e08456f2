/* The CUDA back end: memory, streams, events, copies, and its table. */
#include "cuda.cuh"
#include "gemm/gemm.cuh"

extern "C" {
#include "host/host.h"
#include "host/pinned.h"
}

#include <stdlib.h>

struct fv_event {
    cudaEvent_t it;
};

size_t fv_cuda_norm_grad_room(const fv_norm_grad_args *args);
size_t fv_cuda_colsum_room(const fv_colsum_args *args);
size_t fv_cuda_sumsq_room(const fv_sumsq_args *args);
size_t fv_cuda_sample_room(const fv_sample_args *args);
size_t fv_cuda_gemm_room(fv_backend *backend, const fv_gemm_args *args);
size_t fv_cuda_attention_room(const fv_attention_args *args);
size_t fv_cuda_attention_plan_bytes(fv_backend *backend, const fv_attention_plan_args *args);
size_t fv_cuda_attention_grad_room(const fv_attention_grad_args *args);

static size_t workspace(fv_backend *backend, fv_op op, const void *args)
{
    switch (op) {
    case FV_OP_gemm:
        return fv_cuda_gemm_room(backend, (const fv_gemm_args *)args);
    case FV_OP_attention:
        return fv_cuda_attention_room((const fv_attention_args *)args);
    case FV_OP_attention_grad:
        return fv_cuda_attention_grad_room((const fv_attention_grad_args *)args);
    case FV_OP_norm_grad:
        return fv_cuda_norm_grad_room((const fv_norm_grad_args *)args);
    case FV_OP_colsum:
        return fv_cuda_colsum_room((const fv_colsum_args *)args);
    case FV_OP_sample:
        return fv_cuda_sample_room((const fv_sample_args *)args);
    case FV_OP_sumsq:
        return fv_cuda_sumsq_room((const fv_sumsq_args *)args);
    default:
        return 0;
    }
}

static fv_err device_alloc(fv_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    *out = nullptr;
    return fv_cuda_memory_result(cudaMalloc(out, bytes ? bytes : 1), bytes, "as tensors");
}

static void device_free(fv_backend *backend, void *memory)
{
    (void)backend;
    (void)cudaFree(memory); /* a failure of earlier work has been told, or will be by the next call */
}

static fv_err pinned_alloc(fv_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    cudaError_t code = fv_cuda_pin(bytes, out);
    FV_CHECK(code != cudaErrorMemoryAllocation, FV_ERR_MEMORY,
             "the host has no %.2f GiB of memory that can be pinned (ulimit -l, and what is free)",
             (double)bytes / (1 << 30));
    return fv_cuda_result(code, "cudaHostRegister");
}

static void pinned_free(fv_backend *backend, void *memory)
{
    (void)backend;
    fv_cuda_unpin(memory);
}

static fv_err free_bytes(fv_backend *backend, size_t *out)
{
    size_t all = 0;
    (void)backend;
    FV_CUDA(cudaMemGetInfo(out, &all));
    return FV_OK;
}

/* Rows of a tensor and the same ones side by side on the host. */
static fv_err copy(fv_backend *backend, fv_stream stream, fv_tensor t, void *host, cudaMemcpyKind kind)
{
    size_t element = fv_dtype_bytes(t.dtype), row = (size_t)fv_tensor_row_count(t) * element,
           apart = (size_t)t.stride * element;
    cudaStream_t on = fv_cuda_state_of(backend)->stream[stream];
    size_t bytes = (size_t)fv_tensor_count(t) * element;
    if (bytes == 0)
        return FV_OK;
    if (fv_tensor_is_contiguous(t))
        FV_CUDA(cudaMemcpyAsync(kind == cudaMemcpyHostToDevice ? t.data : host,
                                kind == cudaMemcpyHostToDevice ? host : t.data, bytes, kind, on));
    else if (kind == cudaMemcpyHostToDevice)
        FV_CUDA(cudaMemcpy2DAsync(t.data, apart, host, row, row, (size_t)t.dim[0], kind, on));
    else
        FV_CUDA(cudaMemcpy2DAsync(host, row, t.data, apart, row, (size_t)t.dim[0], kind, on));
    return FV_OK;
}

static fv_err upload(fv_backend *backend, fv_stream stream, fv_tensor to, const void *from)
{
    return copy(backend, stream, to, (void *)from, cudaMemcpyHostToDevice);
}

static fv_err download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to)
{
    return copy(backend, stream, from, to, cudaMemcpyDeviceToHost);
}

static fv_err event_create(fv_backend *backend, fv_event **out)
{
    (void)backend;
    fv_event *event = (fv_event *)calloc(1, sizeof *event);
    *out = nullptr;
    FV_CHECK(event, FV_ERR_MEMORY, "cannot allocate an event");
    fv_err err = fv_cuda_result(cudaEventCreate(&event->it), "cudaEventCreate");
    if (err == FV_OK)
        *out = event;
    else
        free(event);
    return err;
}

static void event_destroy(fv_backend *backend, fv_event *event)
{
    (void)backend;
    if (!event)
        return;
    (void)cudaEventDestroy(event->it);
    free(event);
}

static fv_err event_record(fv_backend *backend, fv_event *event, fv_stream stream)
{
    FV_CUDA(cudaEventRecord(event->it, fv_cuda_state_of(backend)->stream[stream]));
    return FV_OK;
}

static fv_err event_wait(fv_backend *backend, fv_event *event, fv_stream stream)
{
    FV_CUDA(cudaStreamWaitEvent(fv_cuda_state_of(backend)->stream[stream], event->it, 0));
    return FV_OK;
}

static fv_err event_synchronize(fv_backend *backend, fv_event *event)
{
    (void)backend;
    FV_CUDA(cudaEventSynchronize(event->it));
    return FV_OK;
}

static fv_err event_seconds(fv_backend *backend, fv_event *from, fv_event *to, double *seconds)
{
    float milliseconds;
    (void)backend;
    FV_CUDA(cudaEventElapsedTime(&milliseconds, from->it, to->it));
    *seconds = 1e-3 * milliseconds;
    return FV_OK;
}

/* What has failed is not idle, and told by other calls. */
static int is_idle(fv_backend *backend)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    int answer = -1;
    (void)pthread_mutex_lock(&s->asking);
    if (!s->is_recording && cudaSetDevice(s->device) == cudaSuccess)
        answer = cudaStreamQuery(s->stream[FV_STREAM_COMPUTE]) == cudaSuccess;
    (void)pthread_mutex_unlock(&s->asking);
    return answer;
}

static fv_err synchronize(fv_backend *backend)
{
    for (int i = 0; i < FV_N_STREAMS; i++)
        FV_CUDA(cudaStreamSynchronize(fv_cuda_state_of(backend)->stream[i]));
    return FV_OK;
}

static void destroy(fv_backend *backend)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    if (s->products)
        (void)cublasLtDestroy(s->products);
    for (int i = 0; i < FV_N_STREAMS; i++)
        if (s->stream[i])
            (void)cudaStreamDestroy(s->stream[i]);
    fv_cuda_workspace_close(s);
    fv_cuda_table_close(s->table, s->device);
    (void)pthread_mutex_destroy(&s->asking);
    free(s);
    free(backend);
}

#define FV_OP(op, fields) extern "C" fv_err fv_cuda_##op(fv_backend *, const fv_##op##_args *);
#include "fovea/ops/ops.def"
#undef FV_OP

fv_err fv_cuda_graph_create(fv_backend *backend, fv_graph **out);
void fv_cuda_graph_destroy(fv_backend *backend, fv_graph *graph);
fv_err fv_cuda_graph_run(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context);

static fv_backend_table table_of(void)
{
    fv_backend_table t = {};
    t.name = "cuda";
#define FV_OP(op, fields)                                        \
    t.op = [](fv_backend *backend, const fv_##op##_args *args) { \
        fv_cuda_begin(backend, #op);                             \
        return fv_cuda_end(fv_cuda_##op(backend, args), #op);    \
    };
#include "fovea/ops/ops.def"
#undef FV_OP
    t.workspace = workspace;
    t.attention_plan_bytes = fv_cuda_attention_plan_bytes;
    t.alloc = device_alloc;
    t.free = device_free;
    t.host_alloc = pinned_alloc;
    t.host_free = pinned_free;
    t.free_bytes = free_bytes;
    t.upload = upload;
    t.download = download;
    t.event_create = event_create;
    t.event_destroy = event_destroy;
    t.event_record = event_record;
    t.event_wait = event_wait;
    t.event_synchronize = event_synchronize;
    t.synchronize = synchronize;
    t.event_seconds = event_seconds;
    t.is_idle = is_idle;
    t.graph_create = fv_cuda_graph_create;
    t.graph_destroy = fv_cuda_graph_destroy;
    t.graph_run = fv_cuda_graph_run;
    t.destroy = destroy;
    return t;
}

/* Without a device there are only answers about one, as of an H100, and host memory: what a plan asks for. */

static fv_err plain_alloc(fv_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    *out = aligned_alloc(FV_HOST_ALIGN, (bytes / FV_HOST_ALIGN + 1) * FV_HOST_ALIGN);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate %zu bytes of host memory", bytes);
    return FV_OK;
}

static void plain_free(fv_backend *backend, void *memory)
{
    (void)backend;
    free(memory);
}

static fv_backend_table table_without(void)
{
    fv_backend_table t = table_of();
    t.host_alloc = plain_alloc;
    t.host_free = plain_free;
    t.free_bytes = nullptr;
    t.is_idle = nullptr;
    return t;
}

static void assume_device(fv_cuda_state *s)
{
    s->n_processors = 132;
    s->compute_capability = 90;
    s->shared_bytes = 227 << 10;
}

static fv_err open_device(fv_cuda_state *s, int device)
{
    cudaDeviceProp it;
    s->device = device;
    FV_TRY(fv_cuda_check_device(device));
    FV_CUDA(cudaSetDevice(device));
    FV_CUDA(cudaGetDeviceProperties(&it, device));
    s->n_processors = it.multiProcessorCount;
    s->compute_capability = 10 * it.major + it.minor;
    s->shared_bytes = (int)it.sharedMemPerBlockOptin;
    for (int i = 0; i < FV_N_STREAMS; i++)
        FV_CUDA(cudaStreamCreateWithFlags(&s->stream[i], cudaStreamNonBlocking));
    FV_TRY(fv_cuda_workspace_open(s, it.totalGlobalMem));
    FV_TRY(fv_cuda_product_result(cublasLtCreate(&s->products), "cublasLtCreate"));
    return fv_cuda_table_open(device, &s->table);
}

extern "C" fv_err fv_cuda_backend_create(const fv_cuda_host *host, int device, fv_backend **out)
{
    fv_cuda_host_set(host);
    static const fv_backend_table table = table_of(), without = table_without();
    *out = nullptr;
    fv_backend *backend = (fv_backend *)calloc(1, sizeof *backend);
    fv_cuda_state *s = (fv_cuda_state *)calloc(1, sizeof *s);
    if (!backend || !s) {
        free(backend);
        free(s);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate the CUDA back end");
    }
    backend->table = device == FV_CUDA_NO_DEVICE ? &without : &table;
    backend->state = s;
    (void)pthread_mutex_init(&s->asking, nullptr);
    backend->n_threads = 1;
    fv_err err = FV_OK;
    if (device == FV_CUDA_NO_DEVICE)
        assume_device(s);
    else
        err = open_device(s, device);
    if (err == FV_OK)
        *out = backend;
    else
        destroy(backend);
    return err;
}
