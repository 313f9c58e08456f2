/* Entries are a list in the order in which views were first spoken of. One mutex guards all of it, and is not
 * held while a view is made; one condition tells of every change. */
#include "fovea/data/view_cache.h"

#include "fovea/base/clock.h"
#include "fovea/base/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#    include <omp.h>
#endif

typedef enum state { WANTED, MAKING, MADE } state;

typedef struct entry {
    fv_view_key key;
    size_t bytes; /* of its picture */
    state state;
    int is_sure;      /* it will be asked for */
    int is_asked;     /* it has been */
    int is_forgotten; /* while it was being made */
    uint64_t used;    /* the larger, the later */
    fv_picture *picture;
    fv_err err; /* MADE without a picture: why */
    char *sentence;
    struct entry *next;
} entry;

struct fv_view_cache {
    fv_view_cache_settings settings;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t *workers; /* owned, (n_workers) */
    int n_workers;      /* that run */
    int is_over;
    entry *first;
    size_t bytes; /* of entries that are being made, or are made */
    uint64_t n_uses;
    fv_view_cache_stats stats;
};

/* Entries. */

static int is_same(const fv_view_key *a, const fv_view_key *b)
{
    return a->dataset == b->dataset && a->row == b->row && a->size.width == b->size.width &&
           a->size.height == b->size.height;
}

static entry *find(fv_view_cache *c, const fv_view_key *key)
{
    entry *e = c->first;
    while (e && !is_same(&e->key, key))
        e = e->next;
    return e;
}

/* A size that the processor refuses takes no room; the refusal comes when the view is made. */
static size_t bytes_of(const fv_view_cache *c, fv_view_size size)
{
    fv_grid grid;
    const fv_processor *p = c->settings.processor;
    return fv_processor_grid(p, size.width, size.height, &grid) == FV_OK ? fv_picture_bytes(grid, p->patch)
                                                                         : 0;
}

static entry *add(fv_view_cache *c, const fv_view_key *key, int is_sure)
{
    entry *e = calloc(1, sizeof *e), **last = &c->first;
    if (!e)
        return NULL;
    *e = (entry){.key = *key, .bytes = bytes_of(c, key->size), .is_sure = is_sure};
    while (*last)
        last = &(*last)->next;
    return *last = e;
}

static void drop(fv_view_cache *c, entry *e)
{
    entry **at = &c->first;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    if (e->state != WANTED)
        c->bytes -= e->bytes;
    fv_picture_release(e->picture);
    free(e->sentence);
    free(e);
}

static void forget(fv_view_cache *c, entry *e)
{
    if (e->state == MAKING)
        e->is_forgotten = 1;
    else
        drop(c, e);
}

/* Room. First goes what may never be asked for, then what was asked for longest ago; what surely will be
 * asked for goes only for somebody who waits, the last first. */

enum { KEPT_FOR_NOW, ASKED, AWAITED };

static int worth(const entry *e)
{
    return e->is_asked ? ASKED : e->is_sure ? AWAITED : KEPT_FOR_NOW;
}

static entry *find_victim(fv_view_cache *c, int is_waiting)
{
    entry *victim = NULL;
    for (entry *e = c->first; e; e = e->next) {
        if (e->state != MADE || (worth(e) == AWAITED && !is_waiting))
            continue;
        if (!victim || worth(e) < worth(victim) || (worth(e) == worth(victim) && e->used <= victim->used))
            victim = e;
    }
    return victim;
}

static int make_room(fv_view_cache *c, const entry *e, int is_waiting)
{
    while (c->bytes + e->bytes > c->settings.max_bytes) {
        entry *victim = e->is_sure && e->bytes <= c->settings.max_bytes ? find_victim(c, is_waiting) : NULL;
        if (!victim)
            return 0;
        drop(c, victim);
    }
    return 1;
}

/* Making. */

static fv_err read_view(const fv_view_cache *c, const fv_view_key *key, fv_picture **out)
{
    fv_row row;
    FV_TRY(fv_dataset_read_images(key->dataset, key->row, &row));
    const fv_buffer *bytes = &row.images[0].file;
    const fv_image_file file = {.data = bytes->data,
                                .size = bytes->size,
                                .name = "its image",
                                .max_pixels = FV_IMAGE_MAX_PIXELS,
                                .alpha = c->settings.transparency};
    fv_err err = fv_view_read(c->settings.processor, &file, key->size, c->settings.filter, out);
    fv_row_fini(&row);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "row %llu", (unsigned long long)key->row);
}

/* The mutex is held before and after. */
static void make(fv_view_cache *c, entry *e)
{
    fv_picture *picture = NULL;
    e->state = MAKING;
    c->bytes += e->bytes;
    pthread_mutex_unlock(&c->mutex);
    fv_err err = read_view(c, &e->key, &picture);
    char *sentence = err == FV_OK ? NULL : strdup(fv_error_text());
    pthread_mutex_lock(&c->mutex);
    e->state = MADE;
    e->picture = picture;
    e->err = err;
    e->sentence = sentence;
    c->stats.n_made++;
    if (e->is_forgotten)
        drop(c, e);
    pthread_cond_broadcast(&c->changed);
}

/* Workers. */

/* The next view that there is room for, in the order of wishes, sure ones first. */
static entry *next_wanted(fv_view_cache *c)
{
    for (int is_sure = 1; is_sure >= 0; is_sure--)
        for (entry *e = c->first; e; e = e->next)
            if (e->state == WANTED && e->is_sure == is_sure)
                return make_room(c, e, 0) ? e : NULL;
    return NULL;
}

/* A worker is one thread: views are made side by side, not each by all cores. */
static void be_one_thread(void)
{
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
}

static void *work(void *context)
{
    fv_view_cache *c = context;
    be_one_thread();
    pthread_mutex_lock(&c->mutex);
    while (!c->is_over) {
        entry *e = next_wanted(c);
        if (e) {
            c->stats.n_ahead++;
            make(c, e);
        } else
            pthread_cond_wait(&c->changed, &c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

static fv_err start_workers(fv_view_cache *c)
{
    c->workers = calloc((size_t)c->settings.n_workers + 1, sizeof *c->workers);
    FV_CHECK(c->workers, FV_ERR_MEMORY, "cannot allocate a list of %d threads", c->settings.n_workers);
    for (; c->n_workers < c->settings.n_workers; c->n_workers++)
        FV_TRY(fv_thread_start(&c->workers[c->n_workers], work, c));
    return FV_OK;
}

int fv_view_workers(int n_backend_threads)
{
    enum { MOST = 8 };
    int left = fv_thread_cores() - n_backend_threads;
    return left < 0 ? 0 : left > MOST ? MOST : left;
}

/* Its life. */

fv_err fv_view_cache_create(const fv_view_cache_settings *settings, fv_view_cache **out)
{
    fv_view_cache *c = calloc(1, sizeof *c);
    *out = NULL;
    FV_CHECK(c, FV_ERR_MEMORY, "cannot allocate a cache of views");
    c->settings = *settings;
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->changed, NULL);
    fv_err err = start_workers(c);
    if (err != FV_OK)
        fv_view_cache_destroy(c);
    else
        *out = c;
    return err;
}

void fv_view_cache_destroy(fv_view_cache *cache)
{
    if (!cache)
        return;
    pthread_mutex_lock(&cache->mutex);
    cache->is_over = 1;
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->mutex);
    for (int i = 0; i < cache->n_workers; i++)
        pthread_join(cache->workers[i], NULL);
    while (cache->first)
        drop(cache, cache->first);
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->mutex);
    free(cache->workers);
    free(cache);
}

/* Asking. */

/* Without memory for it nothing is made ahead. */
void fv_view_cache_want(fv_view_cache *cache, const fv_view_key *key, int is_sure)
{
    if (cache->n_workers == 0)
        return;
    pthread_mutex_lock(&cache->mutex);
    entry *e = find(cache, key);
    if (!e)
        add(cache, key, is_sure);
    else {
        e->is_sure |= is_sure;
        e->is_forgotten = 0;
    }
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->mutex);
}

/* Make the view here unless it is there, or a worker is at it. The mutex is held. */
static void await(fv_view_cache *c, entry *e)
{
    e->is_sure = 1;
    e->is_forgotten = 0;
    if (e->state == WANTED) {
        make_room(c, e, 1);
        make(c, e);
    }
    while (e->state == MAKING)
        pthread_cond_wait(&c->changed, &c->mutex);
}

/* What failed is tried again by whoever asks again; what there is no room for is not kept. */
static fv_err take(fv_view_cache *c, entry *e, fv_picture **out)
{
    fv_err err = e->err;
    e->is_asked = 1;
    e->used = ++c->n_uses;
    if (err == FV_OK)
        *out = fv_picture_hold(e->picture);
    else
        err = FV_FAIL(err, "%s", e->sentence ? e->sentence : "no memory to say why a view cannot be made");
    if (!e->picture || c->bytes > c->settings.max_bytes)
        drop(c, e);
    pthread_cond_broadcast(&c->changed);
    return err;
}

fv_err fv_view_cache_get(fv_view_cache *cache, const fv_view_key *key, fv_picture **out)
{
    double from = fv_clock_now();
    fv_err err;
    *out = NULL;
    pthread_mutex_lock(&cache->mutex);
    entry *e = find(cache, key);
    if (!e)
        e = add(cache, key, 1);
    if (e) {
        await(cache, e);
        err = take(cache, e, out);
    } else
        err = FV_FAIL(FV_ERR_MEMORY, "cannot allocate an entry for a view");
    cache->stats.waited_s += fv_clock_now() - from;
    pthread_mutex_unlock(&cache->mutex);
    return err;
}

void fv_view_cache_forget(fv_view_cache *cache, const fv_view_key *key)
{
    pthread_mutex_lock(&cache->mutex);
    entry *e = find(cache, key);
    if (e)
        forget(cache, e);
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->mutex);
}

void fv_view_cache_clear(fv_view_cache *cache)
{
    pthread_mutex_lock(&cache->mutex);
    for (entry *e = cache->first, *next; e; e = next) {
        next = e->next;
        forget(cache, e);
    }
    while (cache->first) /* what is being made: it goes when it is */
        pthread_cond_wait(&cache->changed, &cache->mutex);
    pthread_mutex_unlock(&cache->mutex);
}

fv_view_cache_stats fv_view_cache_stats_of(fv_view_cache *cache)
{
    pthread_mutex_lock(&cache->mutex);
    fv_view_cache_stats stats = cache->stats;
    pthread_mutex_unlock(&cache->mutex);
    return stats;
}
