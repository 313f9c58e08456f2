/* Verdicts from the log; what is not there is asked once, however many wait for it. */
#include "fovea/reward/judge/judge_recall.h"

#include "fovea/base/buffer.h"

#include <stdlib.h>
#include <string.h>

enum { N_BUCKETS = 4096 };

typedef struct waiting {
    fv_waiter waiter;
    struct waiting *next;
} waiting;

/* A case that inner has been asked. */
typedef struct errand {
    fv_judge *judge;
    fv_verdict_key key;
    waiting *first;
    struct errand *next; /* of its bucket */
} errand;

typedef struct recall {
    char *folder; /* owned */
    int asker;
    int64_t max_verdicts;
    fv_buffer identity;
    fv_verdict_log *log; /* NULL: not open yet */
    errand *buckets[N_BUCKETS];
} recall;

static errand **bucket_of(recall *r, fv_verdict_key key)
{
    return &r->buckets[key.low % N_BUCKETS];
}

static errand *find_errand(recall *r, fv_verdict_key key)
{
    errand *e = *bucket_of(r, key);
    while (e && (e->key.low != key.low || e->key.high != key.high))
        e = e->next;
    return e;
}

static void remove_errand(recall *r, errand *e)
{
    errand **at = bucket_of(r, e->key);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
}

static void release(errand *e)
{
    for (waiting *w = e->first, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    free(e);
}

static fv_err give_all(errand *e, fv_verdict verdict)
{
    fv_err err = FV_OK;
    for (const waiting *w = e->first; w && err == FV_OK; w = w->next)
        err = fv_judge_give(e->judge, w->waiter, verdict);
    return err;
}

static fv_err take(void *context, fv_verdict verdict)
{
    errand *e = context;
    recall *r = e->judge->state;
    remove_errand(r, e);
    fv_err err = verdict.has_verdict ? fv_verdict_log_add(r->log, e->key, verdict.score) : FV_OK;
    if (err == FV_OK)
        err = give_all(e, verdict);
    release(e);
    return err;
}

static fv_err wait_for(errand *e, fv_waiter waiter)
{
    waiting *w = malloc(sizeof *w);
    FV_CHECK(w, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *w = (waiting){waiter, e->first};
    e->first = w;
    return FV_OK;
}

static fv_err ask(fv_judge *judge, const fv_case *asked, fv_verdict_key key, fv_waiter waiter)
{
    errand **bucket = bucket_of(judge->state, key), *e = calloc(1, sizeof *e);
    FV_CHECK(e, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *e = (errand){.judge = judge, .key = key, .next = *bucket};
    *bucket = e;
    FV_TRY(wait_for(e, waiter));
    return fv_judge_ask(judge->inner, asked, (fv_waiter){take, e});
}

static fv_err open_log(recall *r)
{
    return r->log ? FV_OK : fv_verdict_log_open(r->folder, r->asker, r->max_verdicts, &r->log);
}

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    recall *r = judge->state;
    fv_verdict_key key = fv_verdict_key_of((fv_slice){r->identity.data, r->identity.size}, asked);
    double score;
    FV_TRY(open_log(r));
    if (fv_verdict_log_find(r->log, key, &score)) {
        judge->counts.n_recalled++;
        return fv_judge_give(judge, waiter, fv_verdict_given(score));
    }
    if (!judge->inner)
        return fv_judge_give(judge, waiter, fv_verdict_none(FV_UNJUDGED_UNKNOWN));
    errand *e = find_errand(r, key);
    if (!e)
        return ask(judge, asked, key, waiter);
    judge->counts.n_recalled++;
    return wait_for(e, waiter);
}

static fv_err share(fv_judge *judge, fv_comm *comm)
{
    recall *r = judge->state;
    if (!judge->inner)
        return FV_OK;
    FV_TRY(fv_comm_agree(comm, open_log(r)));
    return fv_verdict_log_share(r->log, comm);
}

static void destroy(fv_judge *judge)
{
    recall *r = judge->state;
    for (int i = 0; i < N_BUCKETS; i++)
        while (r->buckets[i]) {
            errand *e = r->buckets[i];
            r->buckets[i] = e->next;
            release(e);
        }
    fv_verdict_log_close(r->log);
    fv_buffer_fini(&r->identity);
    free(r->folder);
    free(r);
}

static const fv_judge_table recall_table = {
    .name = "recall", .submit = submit, .share = share, .destroy = destroy};

fv_err fv_judge_recall_create(const fv_judge_recall_settings *settings, fv_judge *inner, fv_judge **out)
{
    recall *r = calloc(1, sizeof *r);
    if (!r) {
        fv_judge_destroy(inner);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a judge");
    }
    FV_TRY(fv_judge_create(&recall_table, r, inner, out));
    r->folder = strdup(settings->folder);
    r->asker = settings->asker;
    r->max_verdicts = settings->max_verdicts;
    fv_err err = r->folder ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a judge");
    if (err == FV_OK)
        err = fv_buffer_append(&r->identity, settings->identity.data, settings->identity.size);
    if (err != FV_OK) {
        fv_judge_destroy(*out);
        *out = NULL;
    }
    return err;
}
