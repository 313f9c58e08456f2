/* The CPU back end: tables of the three instruction sets, memory, and the choice between them. */
#include "cpu.h"

#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#    include <omp.h>
#endif

#define DECLARE(isa, op) fv_err fv_cpu_##op##_##isa(fv_backend *, const fv_##op##_args *);
#define FV_OP(op, fields) DECLARE(avx512, op) DECLARE(avx2, op) DECLARE(portable, op)
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

static fv_err cpu_alloc(fv_backend *backend, size_t bytes, void **out)
{
    (void)backend;
    size_t rounded = (bytes + FV_ARENA_ALIGN - 1) / FV_ARENA_ALIGN * FV_ARENA_ALIGN;
    *out = aligned_alloc(FV_ARENA_ALIGN, rounded ? rounded : FV_ARENA_ALIGN);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate %zu bytes of tensor memory", bytes);
    return FV_OK;
}

static void cpu_free(fv_backend *backend, void *memory)
{
    (void)backend;
    free(memory);
}

/* Rows that lie side by side are copied as one: of a vector each is a single number. */
static void copy_rows(char *to, size_t to_row, const char *from, size_t from_row, size_t row, int64_t n)
{
    if (to_row == row && from_row == row) {
        row *= (size_t)n;
        n = 1;
    }
    for (int64_t i = 0; i < n && row; i++)
        memcpy(to + (size_t)i * to_row, from + (size_t)i * from_row, row);
}

static fv_err cpu_upload(fv_backend *backend, fv_tensor to, const void *from)
{
    (void)backend;
    size_t element = fv_dtype_bytes(to.dtype), row = (size_t)fv_tensor_row_count(to) * element;
    copy_rows(to.data, (size_t)to.stride * element, from, row, row, to.dim[0]);
    return FV_OK;
}

static fv_err cpu_download(fv_backend *backend, fv_tensor from, void *to)
{
    (void)backend;
    size_t element = fv_dtype_bytes(from.dtype), row = (size_t)fv_tensor_row_count(from) * element;
    copy_rows(to, row, from.data, (size_t)from.stride * element, row, from.dim[0]);
    return FV_OK;
}

static void cpu_open_or_close(fv_backend *backend)
{
    (void)backend;
}

static void cpu_destroy(fv_backend *backend)
{
    cpu_state *state = backend->state;
    free(state->scratch);
    free(state);
    free(backend);
}

#define MEMORY                                                                            \
    .alloc = cpu_alloc, .free = cpu_free, .upload = cpu_upload, .download = cpu_download, \
    .open = cpu_open_or_close, .close = cpu_open_or_close, .destroy = cpu_destroy

static const fv_backend_table table_avx512 = {
    .name = "cpu/avx512",
    MEMORY,
#define FV_OP(op, fields) .op = fv_cpu_##op##_avx512,
#include "fovea/ops/ops.def"
#undef FV_OP
};
static const fv_backend_table table_avx2 = {
    .name = "cpu/avx2",
    MEMORY,
#define FV_OP(op, fields) .op = fv_cpu_##op##_avx2,
#include "fovea/ops/ops.def"
#undef FV_OP
};
static const fv_backend_table table_portable = {
    .name = "cpu/portable",
    MEMORY,
#define FV_OP(op, fields) .op = fv_cpu_##op##_portable,
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
    return FV_OK;
}
