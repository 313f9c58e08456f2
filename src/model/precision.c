#include "fovea/model/precision.h"

#include <string.h>

const char *const fv_precision_names[] = {
    [FV_PRECISION_FP32] = "fp32", [FV_PRECISION_BF16] = "bf16", [FV_PRECISION_BF16 + 1] = NULL};

fv_precision fv_precision_of(fv_precision_choice choice)
{
    if (choice == FV_PRECISION_FP32)
        return (fv_precision){FV_F32, FV_F32, FV_F32, FV_F32, FV_F32};
    return (fv_precision){FV_BF16, FV_BF16, FV_BF16, FV_F32, FV_F32};
}
