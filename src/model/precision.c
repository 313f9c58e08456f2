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

fv_err fv_precision_parse(const char *name, fv_precision_choice *out)
{
    for (int i = 0; fv_precision_names[i]; i++)
        if (strcmp(fv_precision_names[i], name) == 0) {
            *out = (fv_precision_choice)i;
            return FV_OK;
        }
    return FV_FAIL(FV_ERR_ARGUMENT, "the precision is \"%.32s\", expected fp32 or bf16", name);
}
