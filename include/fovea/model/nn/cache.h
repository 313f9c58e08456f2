/* The key-value cache: rows in pages, shared by all layers. Local.
 *
 * A row of the pool is one token in every layer; a sequence is an fv_page_list of the pool, and attention
 * reads its pages as spans. A sequence that goes on from another one (the answers to one prompt) is a list of
 * its own, read behind the other's. */
#ifndef FOVEA_MODEL_NN_CACHE_H
#define FOVEA_MODEL_NN_CACHE_H

#include "fovea/model/model.h"
#include "fovea/model/nn/pages.h"

typedef struct fv_cache {
    fv_page_pool pool;
    fv_key_store store; /* (n_pages * FV_PAGE, K, D) of each layer; owned */
    int n_layers;
    fv_backend *backend; /* borrowed */
    void *memory;        /* owned: what the store names */
} fv_cache;

/* Room for n_pages * FV_PAGE tokens. */
fv_err fv_cache_init(fv_cache *cache, fv_model *model, int n_pages);
void fv_cache_fini(fv_cache *cache); /* back to {0} */

/* The first n rows of page to, in all layers, become those of page from. */
fv_err fv_cache_copy(fv_cache *cache, int32_t from, int32_t to, int64_t n);

/* Bytes of one page in all layers, on this rank. */
size_t fv_cache_page_bytes(const fv_model *model);

#endif
