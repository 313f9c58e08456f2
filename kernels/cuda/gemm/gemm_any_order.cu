/* Products without the promise of the same bits, which tell what it costs (fovea bench --without-same-bits).
 * With FOVEA_CUDA_ANY_ORDER=1 a class of products takes what is fastest, measured when it is first met: our
 * own way, which keeps sums in order; or what cuBLAS offers, split sums and any reduction among it,
 * unchecked, with k as one sum. Nothing of that is kept on disk, where the table is of products in order. */
#include "gemm_table.cuh"

#include <stdlib.h>

static const float LAUNCH_MS = 0.002f; /* that a graph hides of our kernels (fv_cuda_chain), not of others */
enum { CLASSES = 1024, CANDIDATES = 16, REPEATS = 4, EXACT_ROWS = 64, ROOM_BYTES = 256 << 20 };

typedef struct choice {
    fv_cuda_class of;
    int is_in_order;
    cublasLtMatmulAlgo_t algorithm; /* otherwise */
} choice;

struct fv_cuda_any_order {
    cudaEvent_t start, end;
    char *room; /* of measurements: for sums that are added to, and wider than any cache */
    int n;
    choice choices[CLASSES];
};

fv_err fv_cuda_any_order_open(fv_cuda_table *t)
{
    const char *asked = getenv("FOVEA_CUDA_ANY_ORDER");
    if (!asked || strcmp(asked, "1") != 0)
        return FV_OK;
    t->any_order = (fv_cuda_any_order *)calloc(1, sizeof *t->any_order);
    FV_CHECK(t->any_order, FV_ERR_MEMORY, "cannot allocate a table of products");
    FV_CUDA(cudaEventCreate(&t->any_order->start));
    FV_CUDA(cudaEventCreate(&t->any_order->end));
    FV_TRY(fv_cuda_memory_result(cudaMalloc((void **)&t->any_order->room, ROOM_BYTES), ROOM_BYTES,
                                 "to measure products in any order"));
    return fv_cuda_memory_result(cudaMalloc(&t->split_room, FV_CUDA_SPLIT_BYTES), FV_CUDA_SPLIT_BYTES,
                                 "for products with split sums");
}

void fv_cuda_any_order_close(fv_cuda_table *t)
{
    fv_cuda_any_order *any = t->any_order;
    if (!any)
        return;
    if (any->start)
        (void)cudaEventDestroy(any->start);
    if (any->end)
        (void)cudaEventDestroy(any->end);
    (void)cudaFree(any->room);
    (void)cudaFree(t->split_room);
    free(any);
}

int fv_cuda_is_any_order(fv_backend *backend)
{
    return fv_cuda_state_of(backend)->table->any_order != nullptr;
}

/* A product, and a way to compute it. */
typedef struct job {
    fv_backend *backend;
    const fv_gemm_args *args;
    fv_cuda_product p;
    fv_cuda_in_order in_order;
    const cublasLtMatmulAlgo_t *algorithm; /* NULL: in order */
} job;

/* One that adds to its result goes to the library in order, too: that can be asked about p alone. */
static int run(const job *j)
{
    if (j->algorithm)
        return fv_cuda_product_run(fv_cuda_state_of(j->backend), &j->p, j->algorithm) ==
               CUBLAS_STATUS_SUCCESS;
    return (j->p.accumulate ? fv_cuda_multiply(j->backend, &j->p) : j->in_order(j->backend, j->args)) ==
           FV_OK;
}

/* Milliseconds of the fastest of some runs, whose operands no cache has, as those of a pass; negative if it
 * does not run. */
static fv_err measure(const job *j, float *best)
{
    fv_cuda_state *s = fv_cuda_state_of(j->backend);
    const fv_cuda_any_order *any = s->table->any_order;
    cudaStream_t stream = s->stream[FV_STREAM_COMPUTE];
    *best = -1;
    for (int i = 0; i <= REPEATS; i++) {
        float ms = 0;
        FV_CUDA(cudaMemsetAsync(any->room, 0, ROOM_BYTES, stream));
        FV_CUDA(cudaEventRecord(any->start, stream));
        if (!run(j))
            return FV_OK;
        FV_CUDA(cudaEventRecord(any->end, stream));
        FV_CUDA(cudaEventSynchronize(any->end));
        FV_CUDA(cudaEventElapsedTime(&ms, any->start, any->end));
        if (i > 0 && (*best < 0 || ms < *best)) /* the first loads its code */
            *best = ms;
    }
    return FV_OK;
}

static fv_err choose(job *j, choice *out)
{
    fv_cuda_state *s = fv_cuda_state_of(j->backend);
    cublasLtMatmulHeuristicResult_t candidate[CANDIDATES];
    int n = 0;
    float best, ms;
    if (j->p.accumulate) { /* as many rows as there is room for */
        int64_t fit = ROOM_BYTES / ((int64_t)sizeof(float) * j->p.n) / 8 * 8;
        j->p.m = j->p.m < fit ? j->p.m : fit;
        j->p.c = s->table->any_order->room, j->p.c_row = j->p.n;
    }
    out->is_in_order = 1;
    FV_TRY(measure(j, &best));
    FV_TRY(fv_cuda_product_candidates(s, &j->p, 0, candidate, CANDIDATES, &n));
    for (int i = 0; i < n; i++) {
        j->algorithm = &candidate[i].algo;
        FV_TRY(measure(j, &ms));
        if (ms < 0 || (best >= 0 && ms >= best - (out->is_in_order ? LAUNCH_MS : 0)))
            continue;
        best = ms;
        out->is_in_order = 0;
        out->algorithm = candidate[i].algo;
    }
    return FV_OK;
}

/* Of few rows every number of them is a class: their ways differ. */
static fv_cuda_class class_of(const fv_cuda_product *p)
{
    fv_cuda_class c = fv_cuda_class_of(p, 0);
    if (!p->trans_a && p->m <= EXACT_ROWS)
        c.m = p->m;
    return c;
}

/* *out NULL: there is none, as while a graph is recorded. */
static fv_err find(job *j, const choice **out)
{
    fv_cuda_state *s = fv_cuda_state_of(j->backend);
    fv_cuda_any_order *any = s->table->any_order;
    fv_cuda_class of = class_of(&j->p);
    *out = nullptr;
    for (int i = 0; i < any->n && !*out; i++)
        if (memcmp(&any->choices[i].of, &of, sizeof of) == 0)
            *out = &any->choices[i];
    if (*out || s->is_recording || any->n == CLASSES)
        return FV_OK;
    choice made = {};
    made.of = of;
    FV_TRY(choose(j, &made));
    any->choices[any->n] = made;
    *out = &any->choices[any->n++];
    return FV_OK;
}

fv_err fv_cuda_any_order_multiply(fv_backend *backend, const fv_gemm_args *args, const fv_cuda_product *p,
                                  fv_cuda_in_order in_order)
{
    const choice *found;
    job j = {backend, args, *p, in_order, nullptr};
    FV_TRY(find(&j, &found));
    if (found && !found->is_in_order &&
        fv_cuda_product_run(fv_cuda_state_of(backend), p, &found->algorithm) == CUBLAS_STATUS_SUCCESS)
        return FV_OK;
    return in_order(backend, args); /* not every shape of a class takes its algorithm */
}
