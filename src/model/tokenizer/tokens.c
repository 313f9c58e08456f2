#include "fovea/model/tokenizer/tokenizer.h"

#include <stdlib.h>

fv_err fv_tokens_reserve(fv_tokens *tokens, size_t extra)
{
    if (extra <= tokens->capacity - tokens->n)
        return FV_OK;
    size_t capacity = tokens->capacity + tokens->capacity / 2;
    FV_CHECK(extra <= SIZE_MAX / sizeof *tokens->ids - tokens->n, FV_ERR_MEMORY,
             "a list of %zu + %zu token ids overflows", tokens->n, extra);
    if (capacity < tokens->n + extra)
        capacity = tokens->n + extra;
    if (capacity < 64)
        capacity = 64;
    int32_t *ids = realloc(tokens->ids, capacity * sizeof *ids);
    FV_CHECK(ids, FV_ERR_MEMORY, "cannot allocate a list of %zu token ids", capacity);
    tokens->ids = ids;
    tokens->capacity = capacity;
    return FV_OK;
}

fv_err fv_tokens_push(fv_tokens *tokens, int32_t id)
{
    FV_TRY(fv_tokens_reserve(tokens, 1));
    tokens->ids[tokens->n++] = id;
    return FV_OK;
}

void fv_tokens_fini(fv_tokens *tokens)
{
    free(tokens->ids);
    *tokens = (fv_tokens){0};
}
