/* What every CPU kernel file includes. Each is compiled once for each instruction set; FV_CPU(gemm) is the
 * name of gemm in this one. Kernels trust their arguments (they were checked before) and allocate
 * nothing.
 *
 * Threads share out output elements only (never a sum), so their number changes no bit:
 * #pragma omp parallel for num_threads(backend->n_threads). */
#ifndef FOVEA_KERNELS_CPU_H
#define FOVEA_KERNELS_CPU_H

#include "fovea/ops/backend.h"

#ifdef _OPENMP
#    include <omp.h>
#endif

#define FV_CPU_PASTE2(name, isa) fv_cpu_##name##_##isa
#define FV_CPU_PASTE(name, isa) FV_CPU_PASTE2(name, isa)
#define FV_CPU(name) FV_CPU_PASTE(name, FV_ISA_NAME)

#ifdef FV_ISA_NAME
#    define FV_OP(op, fields) fv_err FV_CPU(op)(fv_backend *, const fv_##op##_args *);
#    define FV_OP_OPTIONAL(op, fields) /* are composed */
#    include "fovea/ops/ops.def"
#    undef FV_OP
#endif

/* Memory for one thread within one operation, aligned to 64 bytes; contents undefined. */
enum { FV_CPU_SCRATCH_BYTES = 4 << 20 };
void *fv_cpu_scratch(const fv_backend *backend, int thread);

/* Work on at most this many elements is not worth waking threads for: an if clause of the parallel region. */
enum { FV_CPU_SERIAL = 16384 };

/* [first, end) */
typedef struct fv_cpu_range {
    int64_t first, end;
} fv_cpu_range;

/* Within a parallel region: which thread calls, of how many. */
static inline int fv_cpu_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static inline int fv_cpu_n_threads(void)
{
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

/* The calling thread's share of n elements, in a parallel region; its bounds are multiples of grain. */
static inline fv_cpu_range fv_cpu_share(int64_t n, int64_t grain)
{
    int64_t n_grains = (n + grain - 1) / grain, thread = fv_cpu_thread(), of = fv_cpu_n_threads();
    int64_t first = n_grains * thread / of * grain, end = n_grains * (thread + 1) / of * grain;
    return (fv_cpu_range){first < n ? first : n, end < n ? end : n};
}

/* Element (row 0 of) pointers. */
static inline float *fv_f32(fv_tensor t)
{
    return t.data;
}
static inline const int32_t *fv_i32(fv_tensor t)
{
    return t.data;
}

#endif
