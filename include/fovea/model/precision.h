/* As what a model's numbers are stored. Sums and statistics are fp32 everywhere; what is stored as BF16 is
 * rounded to nearest even, once (ops.h). Local. */
#ifndef FOVEA_MODEL_PRECISION_H
#define FOVEA_MODEL_PRECISION_H

#include "fovea/base/dtype.h"
#include "fovea/base/error.h"

/* {0} is fp32. */
typedef struct fv_precision {
    fv_dtype param;      /* the weights that passes read */
    fv_dtype activation; /* also the gradients of activations */
    fv_dtype cache;      /* keys and values */
    fv_dtype gradient;   /* of weights */
    fv_dtype master;     /* the weights that the optimizer moves, and that are saved */
} fv_precision;

/* What there is to choose from. fp32: F32 throughout. bf16: param, activation and cache are BF16, gradient
 * and master F32. */
typedef enum fv_precision_choice { FV_PRECISION_FP32, FV_PRECISION_BF16 } fv_precision_choice;
extern const char *const fv_precision_names[]; /* "fp32", ...; ends with NULL */

fv_precision fv_precision_of(fv_precision_choice choice);

#endif
