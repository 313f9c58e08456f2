/* Views of the images of data sets: made ahead by worker threads, and kept for whoever shows them again.
 *
 * A picture is decoded and resized once for rollout, update and reference as long as there is room for it;
 * where there is none it is made again, to the same bytes. Workers make views in the order in which they were
 * wanted, and never more than there is room for. One thread asks. Local. */
#ifndef FOVEA_DATA_VIEW_CACHE_H
#define FOVEA_DATA_VIEW_CACHE_H

#include "fovea/data/dataset.h"
#include "fovea/data/view.h"

typedef struct fv_view_cache fv_view_cache;

typedef struct fv_view_cache_settings {
    const fv_processor *processor; /* borrowed */
    fv_alpha transparency;
    fv_view_filter filter;
    int n_workers;    /* threads; 0: a view is made by the thread that asks */
    size_t max_bytes; /* of the pictures that are kept, those that are being made included */
} fv_view_cache_settings;

/* Which view: of the first image of a row. */
typedef struct fv_view_key {
    const fv_dataset *dataset; /* borrowed, as long as the cache knows a view of it */
    uint64_t row;
    fv_view_size size;
} fv_view_key;

fv_err fv_view_cache_create(const fv_view_cache_settings *settings, fv_view_cache **out);
void fv_view_cache_destroy(fv_view_cache *cache); /* waits for what is being made. NULL is fine */

/* So many threads that those of a back end and these have a core each; a few at most. */
int fv_view_workers(int n_backend_threads);

/* The view will be asked for; or it may be (is_sure 0), and is then made only when nothing else is wanted and
 * nothing has to make room for it. */
void fv_view_cache_want(fv_view_cache *cache, const fv_view_key *key, int is_sure);

/* The view; the caller releases it. Fails as fv_dataset_read_images and fv_view_read do, whoever made it; the
 * sentence begins with the row. */
fv_err fv_view_cache_get(fv_view_cache *cache, const fv_view_key *key, fv_picture **out);

/* The view is not asked for any more. */
void fv_view_cache_forget(fv_view_cache *cache, const fv_view_key *key);
/* No view is; waits for what is being made: the cache knows no data set any more. */
void fv_view_cache_clear(fv_view_cache *cache);

typedef struct fv_view_cache_stats {
    int64_t n_made, n_ahead; /* views; of them by workers */
    double waited_s;         /* that fv_view_cache_get took */
} fv_view_cache_stats;
fv_view_cache_stats fv_view_cache_stats_of(fv_view_cache *cache);

#endif
