/* The key-value cache: rows in pages, shared by all layers. Local.
 *
 * A row is one token in every layer. Whose it is, is written in a page table (engine/page_table.h), and
 * attention reads the pages of a sequence as spans. */
#ifndef FOVEA_MODEL_NN_CACHE_H
#define FOVEA_MODEL_NN_CACHE_H

#include "fovea/model/model.h"
#include "fovea/model/nn/pages.h"

typedef struct fv_cache {
    fv_key_store store; /* (n_pages * FV_PAGE, K, D) of each layer; owned */
    int n_layers, n_pages;
    fv_backend *backend; /* borrowed */
    void *memory;        /* owned: what the store names */
} fv_cache;

/* Room for n_pages * FV_PAGE tokens. FV_ERR_ARGUMENT unless there are pages, and all rows can be counted in
 * 32 bits. */
fv_err fv_cache_init(fv_cache *cache, fv_model *model, int n_pages);
void fv_cache_fini(fv_cache *cache); /* back to {0} */

/* The first n rows of page to, in all layers, become those of page from. */
fv_err fv_cache_copy(fv_cache *cache, int32_t from, int32_t to, int64_t n);

/* Bytes of one page in all layers, on this rank. */
size_t fv_cache_page_bytes(const fv_model *model);

#endif
