/* The CPU back end: tables of the three instruction sets, memory, and the choice between them. */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#    include <omp.h>
#endif

#define DECLARE(isa, op) fv_err fv_cpu_##op##_##isa(fv_backend *, const fv_##op##_args *);
#define FV_OP(op, fields) DECLARE(avx512, op) DECLARE(avx2, op) DECLARE(portable, op)
#define FV_OP_OPTIONAL(op, fields)
#include "fovea/ops/ops.def"
#undef FV_OP

typedef struct cpu_state {
    char *scratch; /* n_threads * FV_CPU_SCRATCH_BYTES */
} cpu_state;

void *fv_cpu_scratch(const fv_backend *backend, int thread)
{
    const cpu_state *state = backend->state;
    return state->scratch + (size_t)thread * FV_CPU_SCRATCH_BYTES;
}

/* Some operations move numbers and need no room; the others have each thread's. */
static size_t cpu_workspace(fv_backend *backend, fv_op op, const void *args)
{
    (void)args;
    switch (op) {
    case FV_OP_all_reduce:
    case FV_OP_reduce_scatter:
    case FV_OP_all_gather:
    case FV_OP_broadcast:
    case FV_OP_gather:
    case FV_OP_scatter:
    case FV_OP_copy:
        return 0;
    default:
        return (size_t)backend->n_threads * FV_CPU_SCRATCH_BYTES;
    }
}

static fv_err allocate(size_t align, size_t bytes, const char *kind, void **out)
{
    size_t rounded = (bytes + align - 1) / align * align;
    *out = aligned_alloc(align, rounded ? rounded : align);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate %zu bytes of %s memory", bytes, kind);
    return FV_OK;
}

static fv_err cpu_alloc(fv_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    return allocate(FV_ARENA_ALIGN, bytes, "tensor", out);
}

static fv_err cpu_host_alloc(fv_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    return allocate(FV_HOST_ALIGN, bytes, "host", out);
}

static void cpu_free(fv_backend *backend, void *memory)
{
    (void)backend;
    free(memory);
}

/* Bytes that are worth a thread, of a copy without gaps. */
enum { COPY_BYTES = 1 << 20 };

static void copy_bytes(char *to, const char *from, size_t bytes, int n_threads)
{
    (void)n_threads; /* without OpenMP */
#pragma omp parallel for num_threads(n_threads) if (bytes > COPY_BYTES)
    for (size_t at = 0; at < bytes; at += COPY_BYTES)
        memcpy(to + at, from + at, bytes - at < COPY_BYTES ? bytes - at : COPY_BYTES);
}

static void copy_rows(char *to, size_t to_row, const char *from, size_t from_row, size_t row, int64_t n)
{
    for (int64_t i = 0; i < n && row; i++)
        memcpy(to + (size_t)i * to_row, from + (size_t)i * from_row, row);
}

static fv_err cpu_upload(fv_backend *backend, fv_stream stream, fv_tensor to, const void *from)
{
    (void)stream;
    size_t element = fv_dtype_bytes(to.dtype), row = (size_t)fv_tensor_row_count(to) * element;
    if (fv_tensor_is_contiguous(to))
        copy_bytes(to.data, from, (size_t)to.dim[0] * row, backend->n_threads);
    else
        copy_rows(to.data, (size_t)to.stride * element, from, row, row, to.dim[0]);
    return FV_OK;
}

static fv_err cpu_download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to)
{
    (void)stream;
    size_t element = fv_dtype_bytes(from.dtype), row = (size_t)fv_tensor_row_count(from) * element;
    if (fv_tensor_is_contiguous(from))
        copy_bytes(to, from.data, (size_t)from.dim[0] * row, backend->n_threads);
    else
        copy_rows(to, row, from.data, (size_t)from.stride * element, row, from.dim[0]);
    return FV_OK;
}

/* Everything has run when its call returns: all events are one that has happened. */
static fv_err cpu_event_create(fv_backend *backend, fv_event **out)
{
    *out = backend->state;
    return FV_OK;
}

static void cpu_event_destroy(fv_backend *backend, fv_event *event)
{
    (void)backend;
    (void)event;
}

static fv_err cpu_event_order(fv_backend *backend, fv_event *event, fv_stream stream)
{
    (void)backend;
    (void)event;
    (void)stream;
    return FV_OK;
}

static fv_err cpu_event_synchronize(fv_backend *backend, fv_event *event)
{
    (void)backend;
    (void)event;
    return FV_OK;
}

static fv_err cpu_synchronize(fv_backend *backend)
{
    (void)backend;
    return FV_OK;
}

static void cpu_destroy(fv_backend *backend)
{
    cpu_state *state = backend->state;
    free(state->scratch);
    free(state);
    free(backend);
}

#define MEMORY                                                                                               \
    .workspace = cpu_workspace, .alloc = cpu_alloc, .free = cpu_free, .host_alloc = cpu_host_alloc,          \
    .host_free = cpu_free, .upload = cpu_upload, .download = cpu_download, .event_create = cpu_event_create, \
    .event_destroy = cpu_event_destroy, .event_record = cpu_event_order, .event_wait = cpu_event_order,      \
    .event_synchronize = cpu_event_synchronize, .synchronize = cpu_synchronize, .destroy = cpu_destroy

static const fv_backend_table table_avx512 = {
    .name = "cpu/avx512",
    MEMORY,
#define FV_OP(op, fields) .op = fv_cpu_##op##_avx512,
#define FV_OP_OPTIONAL(op, fields)
#include "fovea/ops/ops.def"
#undef FV_OP
};
static const fv_backend_table table_avx2 = {
    .name = "cpu/avx2",
    MEMORY,
#define FV_OP(op, fields) .op = fv_cpu_##op##_avx2,
#define FV_OP_OPTIONAL(op, fields)
#include "fovea/ops/ops.def"
#undef FV_OP
};
static const fv_backend_table table_portable = {
    .name = "cpu/portable",
    MEMORY,
#define FV_OP(op, fields) .op = fv_cpu_##op##_portable,
#define FV_OP_OPTIONAL(op, fields)
#include "fovea/ops/ops.def"
#undef FV_OP
};

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_all(void)
{
    return 1;
}

static const struct {
    const char *isa;
    int (*available)(void);
    const fv_backend_table *table;
} choices[] = {{"avx512", has_avx512, &table_avx512},
               {"avx2", has_avx2, &table_avx2},
               {"portable", has_all, &table_portable}};

static fv_err choose(const char *isa, const fv_backend_table **out)
{
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (isa && strcmp(isa, choices[i].isa) != 0)
            continue;
        if (choices[i].available()) {
            *out = choices[i].table;
            return FV_OK;
        }
        FV_CHECK(!isa, FV_ERR_UNSUPPORTED, "this processor does not have %s", isa);
    }
    return FV_FAIL(FV_ERR_ARGUMENT, "there are no kernels for \"%s\": avx512, avx2 or portable", isa);
}

static int default_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

fv_err fv_backend_cpu_create(const char *isa, int n_threads, fv_backend **out)
{
    *out = NULL;
    const fv_backend_table *table = NULL;
    FV_TRY(choose(isa, &table));
    if (n_threads <= 0)
        n_threads = default_threads();
    fv_backend *backend = calloc(1, sizeof *backend);
    cpu_state *state = calloc(1, sizeof *state);
    char *scratch = aligned_alloc(64, (size_t)n_threads * FV_CPU_SCRATCH_BYTES);
    if (!backend || !state || !scratch) {
        free(backend);
        free(state);
        free(scratch);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate the CPU back end (%d threads)", n_threads);
    }
    state->scratch = scratch;
    backend->table = table;
    backend->state = state;
    backend->n_threads = n_threads;
    *out = backend;
    return fv_backend_wrap(out);
}
