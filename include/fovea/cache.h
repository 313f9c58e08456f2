/* The key-value cache: pages of rows shared by all layers. Local.
 *
 * A page holds FV_CACHE_PAGE tokens of one sequence in every layer; a sequence is a list of pages, so
 * sequences grow and end in any order without copies. Attention reads pages as spans. */
#ifndef FOVEA_CACHE_H
#define FOVEA_CACHE_H

#include "fovea/model.h"

enum { FV_CACHE_PAGE = 64 };

typedef struct fv_cache fv_cache;

/* Room for n_pages * FV_CACHE_PAGE tokens. */
fv_err fv_cache_create(fv_model *model, int n_pages, fv_cache **out);
void fv_cache_destroy(fv_cache *cache); /* NULL is fine */
const fv_key_store *fv_cache_store(const fv_cache *cache);
int fv_cache_free_pages(const fv_cache *cache);

/* Pages for n tokens. */
int fv_cache_pages_for(int64_t n_tokens);

/* One sequence. Starts as {0}. */
typedef struct fv_cache_sequence {
    int32_t *pages; /* owned */
    int n_pages, capacity;
    int64_t n_tokens;
} fv_cache_sequence;

/* Make room for n more tokens and give their rows. FV_AGAIN (nothing changed) if the cache has no page left.
 */
fv_err fv_cache_extend(fv_cache *cache, fv_cache_sequence *sequence, int64_t n, int32_t *slots);

/* The sequence's rows as spans (n, 2) for attention; returns n, at most n_pages. */
int64_t fv_cache_spans(const fv_cache_sequence *sequence, int32_t *spans);

/* Give the pages back; the sequence is {0} again. */
void fv_cache_release(fv_cache *cache, fv_cache_sequence *sequence);

#endif
