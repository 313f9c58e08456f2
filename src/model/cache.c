#include "fovea/cache.h"

#include "model.h"

#include <stdlib.h>

struct fv_cache {
    fv_backend *backend;
    void *memory;
    fv_key_store store;
    int32_t *free_pages; /* a stack; the next page is the last */
    int n_free;
};

static void cut_layers(fv_cache *cache, const fv_block_shape *shape, int n_layers, int64_t n_rows)
{
    int64_t elements = n_rows * shape->n_kv_heads * shape->head_dim;
    float *at = cache->memory;
    for (int i = 0; i < n_layers; i++, at += 2 * elements) {
        cache->store.keys[i] = fv_tensor_3d(at, FV_F32, n_rows, shape->n_kv_heads, shape->head_dim);
        cache->store.values[i] =
            fv_tensor_3d(at + elements, FV_F32, n_rows, shape->n_kv_heads, shape->head_dim);
    }
}

fv_err fv_cache_create(fv_model *model, int n_pages, fv_cache **out)
{
    const fv_block_shape *shape = &model->text;
    int n_layers = model->shape.text.n_layers;
    int64_t n_rows = (int64_t)n_pages * FV_CACHE_PAGE;
    *out = NULL;
    FV_CHECK(n_pages > 0 && n_rows <= INT32_MAX, FV_ERR_ARGUMENT, "a cache of %d pages of %d tokens", n_pages,
             FV_CACHE_PAGE);
    fv_cache *cache = calloc(1, sizeof *cache);
    FV_CHECK(cache, FV_ERR_MEMORY, "cannot allocate a cache");
    cache->backend = model->backend;
    cache->store.keys = calloc((size_t)n_layers, sizeof *cache->store.keys);
    cache->store.values = calloc((size_t)n_layers, sizeof *cache->store.values);
    cache->free_pages = malloc((size_t)n_pages * sizeof *cache->free_pages);
    size_t bytes =
        (size_t)n_layers * 2 * (size_t)(n_rows * shape->n_kv_heads * shape->head_dim) * sizeof(float);
    fv_err err = cache->store.keys && cache->store.values && cache->free_pages
                     ? fv_backend_alloc(model->backend, bytes, &cache->memory)
                     : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a cache of %d pages", n_pages);
    if (err != FV_OK) {
        fv_cache_destroy(cache);
        return err;
    }
    cut_layers(cache, shape, n_layers, n_rows);
    for (cache->n_free = 0; cache->n_free < n_pages; cache->n_free++)
        cache->free_pages[cache->n_free] = n_pages - 1 - cache->n_free;
    *out = cache;
    return FV_OK;
}

void fv_cache_destroy(fv_cache *cache)
{
    if (!cache)
        return;
    fv_backend_free(cache->backend, cache->memory);
    free(cache->store.keys);
    free(cache->store.values);
    free(cache->free_pages);
    free(cache);
}

const fv_key_store *fv_cache_store(const fv_cache *cache)
{
    return &cache->store;
}

int fv_cache_free_pages(const fv_cache *cache)
{
    return cache->n_free;
}

int fv_cache_pages_for(int64_t n_tokens)
{
    return (int)((n_tokens + FV_CACHE_PAGE - 1) / FV_CACHE_PAGE);
}

static fv_err reserve_pages(fv_cache_sequence *sequence, int n_pages)
{
    if (n_pages <= sequence->capacity)
        return FV_OK;
    int capacity = n_pages < 2 * sequence->capacity ? 2 * sequence->capacity : n_pages;
    int32_t *pages = realloc(sequence->pages, (size_t)capacity * sizeof *pages);
    FV_CHECK(pages, FV_ERR_MEMORY, "cannot allocate a list of %d pages", capacity);
    sequence->pages = pages;
    sequence->capacity = capacity;
    return FV_OK;
}

fv_err fv_cache_extend(fv_cache *cache, fv_cache_sequence *sequence, int64_t n, int32_t *slots)
{
    int wanted = fv_cache_pages_for(sequence->n_tokens + n);
    if (wanted - sequence->n_pages > cache->n_free)
        return FV_FAIL(FV_AGAIN, "the cache has %d free pages, %d are wanted", cache->n_free,
                       wanted - sequence->n_pages);
    FV_TRY(reserve_pages(sequence, wanted));
    while (sequence->n_pages < wanted)
        sequence->pages[sequence->n_pages++] = cache->free_pages[--cache->n_free];
    for (int64_t i = 0; i < n; i++, sequence->n_tokens++)
        slots[i] = sequence->pages[sequence->n_tokens / FV_CACHE_PAGE] * FV_CACHE_PAGE +
                   (int32_t)(sequence->n_tokens % FV_CACHE_PAGE);
    return FV_OK;
}

int64_t fv_cache_spans(const fv_cache_sequence *sequence, int32_t *spans)
{
    int64_t n = 0;
    for (int64_t first = 0; first < sequence->n_tokens; first += FV_CACHE_PAGE, n++) {
        int64_t left = sequence->n_tokens - first;
        spans[FV_SPAN_FIELDS * n] = sequence->pages[n] * FV_CACHE_PAGE;
        spans[FV_SPAN_FIELDS * n + 1] = (int32_t)(left < FV_CACHE_PAGE ? left : FV_CACHE_PAGE);
    }
    return n;
}

void fv_cache_release(fv_cache *cache, fv_cache_sequence *sequence)
{
    while (sequence->n_pages > 0)
        cache->free_pages[cache->n_free++] = sequence->pages[--sequence->n_pages];
    free(sequence->pages);
    *sequence = (fv_cache_sequence){0};
}
