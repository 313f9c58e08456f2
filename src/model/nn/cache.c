#include "fovea/model/nn/cache.h"

#include "model/model.h"

#include <stdlib.h>

size_t fv_cache_page_bytes(const fv_model *model)
{
    size_t row = (size_t)model->text.n_kv_heads * (size_t)model->text.head_dim *
                 fv_dtype_bytes(model->precision.cache);
    return 2 * (size_t)model->shape.text.n_layers * FV_PAGE * row;
}

static void cut_layers(fv_cache *cache, const fv_block_shape *shape, fv_dtype dtype, int n_layers)
{
    int64_t n_rows = (int64_t)cache->n_pages * FV_PAGE;
    fv_tensor all =
        fv_tensor_3d(cache->memory, dtype, 2 * n_layers * n_rows, shape->n_kv_heads, shape->head_dim);
    for (int i = 0; i < n_layers; i++) {
        cache->store.keys[i] = fv_tensor_rows(all, 2 * i * n_rows, n_rows);
        cache->store.values[i] = fv_tensor_rows(all, (2 * i + 1) * n_rows, n_rows);
    }
}

fv_err fv_cache_init(fv_cache *cache, fv_model *model, int n_pages)
{
    fv_err err = FV_OK;
    int n_layers = model->shape.text.n_layers;
    *cache = (fv_cache){.backend = model->backend, .n_layers = n_layers, .n_pages = n_pages};
    FV_CHECK_DONE(n_pages > 0 && n_pages <= FV_MAX_PAGES, FV_ERR_ARGUMENT,
                  "a cache of %d pages of %d tokens, expected 1 to %d", n_pages, FV_PAGE, FV_MAX_PAGES);
    cache->store.keys = calloc((size_t)n_layers, sizeof *cache->store.keys);
    cache->store.values = calloc((size_t)n_layers, sizeof *cache->store.values);
    FV_CHECK_DONE(cache->store.keys && cache->store.values, FV_ERR_MEMORY,
                  "cannot allocate a cache of %d pages", n_pages);
    FV_TRY_DONE(
        fv_backend_alloc(model->backend, (size_t)n_pages * fv_cache_page_bytes(model), &cache->memory));
    cut_layers(cache, &model->text, model->precision.cache, n_layers);
done:
    if (err != FV_OK)
        fv_cache_fini(cache);
    return err;
}

static fv_err copy_rows(fv_backend *backend, fv_tensor of, int32_t from, int32_t to, int64_t n)
{
    return fv_copy(backend,
                   &(fv_copy_args){.in = fv_tensor_rows(fv_tensor_flat(of), (int64_t)from * FV_PAGE, n),
                                   .out = fv_tensor_rows(fv_tensor_flat(of), (int64_t)to * FV_PAGE, n)});
}

fv_err fv_cache_copy(fv_cache *cache, int32_t from, int32_t to, int64_t n)
{
    for (int i = 0; i < cache->n_layers; i++) {
        FV_TRY(copy_rows(cache->backend, cache->store.keys[i], from, to, n));
        FV_TRY(copy_rows(cache->backend, cache->store.values[i], from, to, n));
    }
    return FV_OK;
}

void fv_cache_fini(fv_cache *cache)
{
    if (cache->memory)
        fv_backend_release(cache->backend, cache->memory);
    free(cache->store.keys);
    free(cache->store.values);
    *cache = (fv_cache){0};
}
