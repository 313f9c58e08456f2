/* Verdicts from the log; what is not there is asked once, however many wait for it. */
#include "fovea/reward/judge/judge_cache.h"

#include "fovea/base/buffer.h"

#include <stdlib.h>
#include <string.h>

enum { N_BUCKETS = 4096 };

typedef struct waiting {
    fv_waiter waiter;
    struct waiting *next;
} waiting;

/* A case that inner has been asked. */
typedef struct pending_case {
    fv_judge *judge;
    fv_verdict_key key;
    waiting *first;
    struct pending_case *next; /* of its bucket */
} pending_case;

typedef struct cache {
    char *folder; /* owned */
    int asker;
    int64_t max_verdicts;
    fv_buffer identity;
    fv_verdict_log *log; /* NULL: not open yet */
    pending_case *buckets[N_BUCKETS];
} cache;

static pending_case **bucket_of(cache *c, fv_verdict_key key)
{
    return &c->buckets[key.low % N_BUCKETS];
}

static pending_case *find_pending(cache *c, fv_verdict_key key)
{
    pending_case *e = *bucket_of(c, key);
    while (e && (e->key.low != key.low || e->key.high != key.high))
        e = e->next;
    return e;
}

static void remove_pending(cache *c, pending_case *e)
{
    pending_case **at = bucket_of(c, e->key);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
}

static void release(pending_case *e)
{
    for (waiting *w = e->first, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    free(e);
}

static fv_err give_all(pending_case *e, fv_verdict verdict)
{
    fv_err err = FV_OK;
    for (const waiting *w = e->first; w && err == FV_OK; w = w->next)
        err = fv_judge_give(e->judge, w->waiter, verdict);
    return err;
}

static fv_err receive_verdict(void *context, fv_verdict verdict)
{
    pending_case *e = context;
    cache *c = e->judge->state;
    remove_pending(c, e);
    fv_err err = verdict.has_verdict ? fv_verdict_log_add(c->log, e->key, verdict.score) : FV_OK;
    if (err == FV_OK)
        err = give_all(e, verdict);
    release(e);
    return err;
}

static fv_err wait_for(pending_case *e, fv_waiter waiter)
{
    waiting *w = malloc(sizeof *w);
    FV_CHECK(w, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *w = (waiting){waiter, e->first};
    e->first = w;
    return FV_OK;
}

static fv_err ask(fv_judge *judge, const fv_case *asked, fv_verdict_key key, fv_waiter waiter)
{
    pending_case **bucket = bucket_of(judge->state, key), *e = calloc(1, sizeof *e);
    FV_CHECK(e, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *e = (pending_case){.judge = judge, .key = key, .next = *bucket};
    *bucket = e;
    FV_TRY(wait_for(e, waiter));
    return fv_judge_ask(judge->inner, asked, (fv_waiter){receive_verdict, e});
}

static fv_err open_log(cache *c)
{
    return c->log ? FV_OK : fv_verdict_log_open(c->folder, c->asker, c->max_verdicts, &c->log);
}

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    cache *c = judge->state;
    fv_verdict_key key = fv_verdict_key_of((fv_slice){c->identity.data, c->identity.size}, asked);
    double score;
    FV_TRY(open_log(c));
    if (fv_verdict_log_find(c->log, key, &score)) {
        judge->counts.n_cached++;
        return fv_judge_give(judge, waiter, fv_verdict_given(score));
    }
    if (!judge->inner)
        return fv_judge_give(judge, waiter, fv_verdict_none(FV_UNJUDGED_UNKNOWN));
    pending_case *e = find_pending(c, key);
    if (!e)
        return ask(judge, asked, key, waiter);
    judge->counts.n_cached++;
    return wait_for(e, waiter);
}

static fv_err share(fv_judge *judge, fv_comm *comm)
{
    cache *c = judge->state;
    if (!judge->inner)
        return FV_OK;
    FV_TRY(fv_comm_agree(comm, open_log(c)));
    return fv_verdict_log_share(c->log, comm);
}

static void destroy(fv_judge *judge)
{
    cache *c = judge->state;
    for (int i = 0; i < N_BUCKETS; i++)
        while (c->buckets[i]) {
            pending_case *e = c->buckets[i];
            c->buckets[i] = e->next;
            release(e);
        }
    fv_verdict_log_close(c->log);
    fv_buffer_fini(&c->identity);
    free(c->folder);
    free(c);
}

static const fv_judge_table cache_table = {
    .name = "cache", .submit = submit, .share = share, .destroy = destroy};

fv_err fv_judge_cache_create(const fv_judge_cache_settings *settings, fv_judge *inner, fv_judge **out)
{
    cache *c = calloc(1, sizeof *c);
    if (!c) {
        fv_judge_destroy(inner);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a judge");
    }
    FV_TRY(fv_judge_create(&cache_table, c, inner, out));
    c->folder = strdup(settings->folder);
    c->asker = settings->asker;
    c->max_verdicts = settings->max_verdicts;
    fv_err err = c->folder ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a judge");
    if (err == FV_OK)
        err = fv_buffer_append(&c->identity, settings->identity.data, settings->identity.size);
    if (err != FV_OK) {
        fv_judge_destroy(*out);
        *out = NULL;
    }
    return err;
}
