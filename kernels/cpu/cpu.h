/* What every CPU kernel file includes. Each is compiled once for each instruction set; FV_CPU(gemm) is the
 * name of gemm in this one. Kernels trust their arguments (the front doors checked them) and allocate
 * nothing.
 *
 * Threads share out output elements only (never a sum), so their number changes no bit:
 * #pragma omp parallel for num_threads(backend->n_threads). */
#ifndef FOVEA_KERNELS_CPU_H
#define FOVEA_KERNELS_CPU_H

#include "fovea/backend.h"

#define FV_CPU_PASTE2(name, isa) fv_cpu_##name##_##isa
#define FV_CPU_PASTE(name, isa) FV_CPU_PASTE2(name, isa)
#define FV_CPU(name) FV_CPU_PASTE(name, FV_ISA_NAME)

#ifdef FV_ISA_NAME
#    define FV_OP(op, fields) fv_err FV_CPU(op)(fv_backend *, const fv_##op##_args *);
#    include "fovea/ops.def"
#    undef FV_OP
#endif

/* Memory for one thread within one operation, aligned to 64 bytes; contents undefined. */
enum { FV_CPU_SCRATCH_BYTES = 4 << 20 };
void *fv_cpu_scratch(const fv_backend *backend, int thread);

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
