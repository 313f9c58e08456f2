#include "fovea/model/precision.h"

#include <string.h>

static const struct {
    const char *name;
    fv_precision precision;
} all[] = {{"fp32", {FV_F32, FV_F32, FV_F32, FV_F32, FV_F32}},
           {"bf16", {FV_BF16, FV_BF16, FV_BF16, FV_F32, FV_F32}}};

fv_err fv_precision_parse(const char *name, fv_precision *out)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) {
            *out = all[i].precision;
            return FV_OK;
        }
    return FV_FAIL(FV_ERR_ARGUMENT, "the precision is \"%.32s\", expected fp32 or bf16", name);
}

const char *fv_precision_name(fv_precision precision)
{
    return all[precision.param == FV_BF16].name;
}
