/* Tensors: views of memory that a back end owns. Local.
 *
 * Row-major; all dimensions but the first are contiguous, the first has a stride, so that columns of a packed
 * matrix (q, k and v of one product; gate and up) are tensors themselves. A view owns nothing and is passed
 * by value. Host code may not touch data: it uploads and downloads through the back end (backend.h). */
#ifndef FOVEA_OPS_TENSOR_H
#define FOVEA_OPS_TENSOR_H

#include "fovea/base/arena.h"
#include "fovea/base/dtype.h"
#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { FV_MAX_DIMS = 3 };

typedef struct fv_tensor {
    void *data; /* borrowed; NULL means that the tensor is absent */
    fv_dtype dtype;
    int n_dims;               /* 1 to 3 */
    int64_t dim[FV_MAX_DIMS]; /* elements; 1 beyond n_dims */
    int64_t stride; /* elements between neighbours of dimension 0; at least the product of the others */
} fv_tensor;

/* Contiguous views of memory. */
fv_tensor fv_tensor_1d(void *data, fv_dtype dtype, int64_t n);
fv_tensor fv_tensor_2d(void *data, fv_dtype dtype, int64_t rows, int64_t cols);
fv_tensor fv_tensor_3d(void *data, fv_dtype dtype, int64_t n0, int64_t n1, int64_t n2);

/* A contiguous tensor from an arena (n_dims of dim). */
fv_err fv_tensor_take(fv_arena *arena, fv_dtype dtype, int n_dims, const int64_t *dim, fv_tensor *out);

/* Rows [first, first + n) of dimension 0. */
fv_tensor fv_tensor_rows(fv_tensor t, int64_t first, int64_t n);
/* Columns [first, first + n) of a matrix. */
fv_tensor fv_tensor_cols(fv_tensor t, int64_t first, int64_t n);
/* A matrix (T, H * D) as (T, H, D), and back. */
fv_tensor fv_tensor_heads(fv_tensor t, int64_t n_heads);
fv_tensor fv_tensor_flat(fv_tensor t);

int64_t fv_tensor_count(fv_tensor t);     /* elements */
int64_t fv_tensor_row_count(fv_tensor t); /* elements of one row of dimension 0 */
int fv_tensor_is_contiguous(fv_tensor t);
size_t fv_tensor_span_bytes(fv_tensor t); /* from the first element to past the last, holes included */

#endif
