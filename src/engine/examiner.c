#include "engine/examiner_internal.h"

#include <stdlib.h>
#include <string.h>

/* Questions. */

static int pages_of(const fv_examiner *x, int64_t n)
{
    return fv_pages_for(n + x->settings.max_drawn);
}

int fv_examiner_fits(const fv_examiner *x, int64_t n)
{
    int64_t longest = fv_model_shape_of(x->model)->text.max_positions, room = 64LL * x->settings.cache_pages;
    int64_t all = x->settings.n_beginning + n + x->settings.max_drawn;
    if (all > longest || all > room)
        return 0;
    return fv_pages_for(x->settings.n_beginning) + pages_of(x, n) <= x->settings.cache_pages;
}

static void release(fv_examiner *x, fv_question *q)
{
    fv_pages_release(&x->cache.pool, &q->rows);
    fv_tokens_fini(&q->ids);
    free(q);
}

fv_err fv_examiner_ask(fv_examiner *x, fv_tokens *question, fv_examined done, void *context)
{
    fv_question *q = malloc(sizeof *q);
    if (!q)
        fv_tokens_fini(question);
    FV_CHECK(q, FV_ERR_MEMORY, "cannot allocate a question of %zu tokens", question->n);
    *q = (fv_question){.ids = *question, .n_asked = (int64_t)question->n, .done = done, .context = context};
    *question = (fv_tokens){0};
    *x->end = q;
    x->end = &q->next;
    x->n_pending += q->n_asked;
    return FV_OK;
}

int64_t fv_examiner_pending(const fv_examiner *x)
{
    return x->n_pending;
}

/* In their order, so that none waits for ever. All that a question may take is promised to it: none has to
 * give up what it has. */
static void admit(fv_examiner *x)
{
    fv_question *q = x->first;
    for (int i = 0; i < x->n_running; i++)
        q = q->next;
    for (; q && x->n_running < x->settings.max_running; q = q->next) {
        int pages = pages_of(x, q->n_asked);
        if (x->n_promised + pages > x->settings.cache_pages)
            return;
        q->n_promised = pages;
        x->n_promised += pages;
        x->n_running++;
    }
}

static void take_out(fv_examiner *x, fv_question *q)
{
    fv_question **at = &x->first;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    if (!q->next)
        x->end = at;
    x->n_running--;
    x->n_promised -= q->n_promised;
}

static fv_err conclude(fv_examiner *x, fv_question *q, const fv_finding *finding)
{
    take_out(x, q);
    fv_err err = q->done(q->context, finding);
    release(x, q);
    return err;
}

static int is_stop(const fv_examiner *x, int32_t id)
{
    const fv_model_shape *shape = fv_model_shape_of(x->model);
    int is_end = id == x->settings.stop;
    for (int i = 0; i < shape->n_eos; i++)
        is_end |= shape->eos_ids[i] == id;
    return is_end;
}

/* The question has drawn id. */
static fv_err go_on(fv_examiner *x, fv_question *q, int32_t id)
{
    int ends = is_stop(x, id);
    if (!ends)
        FV_TRY(fv_tokens_push(&q->ids, id));
    fv_finding finding = {.drawn = q->ids.ids + q->n_asked, .n_drawn = (int64_t)q->ids.n - q->n_asked};
    finding.is_cut = !ends && finding.n_drawn == x->settings.max_drawn;
    if (ends || finding.is_cut)
        return conclude(x, q, &finding);
    x->n_pending++;
    return FV_OK;
}

static fv_err hand_out(fv_examiner *x)
{
    const fv_exam_pass *p = &x->pass;
    for (int64_t i = 0; i < p->n_ends; i++) {
        fv_finding finding = {0};
        if (x->settings.max_drawn > 0) {
            FV_TRY(go_on(x, p->ends[i], p->targets[i]));
            continue;
        }
        memcpy(finding.logprobs, p->logprobs + FV_N_CHOICES * i, sizeof finding.logprobs);
        FV_TRY(conclude(x, p->ends[i], &finding));
    }
    return FV_OK;
}

fv_err fv_examiner_pass(fv_examiner *x)
{
    if (!x->first)
        return FV_OK;
    FV_TRY(fv_exam_begin(x));
    admit(x);
    FV_TRY(fv_exam_compute(x));
    x->n_pending -= x->pass.n;
    return hand_out(x);
}

/* Life. */

static fv_err check(const fv_examiner_settings *s)
{
    FV_CHECK(s->n_beginning > 0, FV_ERR_ARGUMENT, "questions without a beginning");
    FV_CHECK(s->max_running > 0 && s->pass_tokens > 0 && s->max_drawn >= 0, FV_ERR_ARGUMENT,
             "%d questions at once, %d tokens of a pass, %d drawn; expected at least 1, 1 and 0",
             s->max_running, s->pass_tokens, s->max_drawn);
    FV_CHECK(
        fv_pages_for(s->n_beginning) + fv_pages_for(1 + s->max_drawn) <= s->cache_pages, FV_ERR_ARGUMENT,
        "a judge's instruction of %lld tokens and a reply up to %d need %d cache pages of %d tokens, and a "
        "case some more, but there are %d: raise judge.cache_pages",
        (long long)s->n_beginning, s->max_drawn,
        fv_pages_for(s->n_beginning) + fv_pages_for(1 + s->max_drawn), FV_PAGE, s->cache_pages);
    return FV_OK;
}

static fv_err open_all(fv_examiner *x)
{
    size_t bytes = (size_t)x->settings.n_beginning * sizeof(int32_t);
    int32_t *beginning = malloc(bytes);
    if (beginning)
        memcpy(beginning, x->settings.beginning, bytes);
    x->settings.beginning = beginning;
    FV_CHECK(beginning, FV_ERR_MEMORY, "cannot allocate a beginning of %lld tokens",
             (long long)x->settings.n_beginning);
    FV_TRY(fv_cache_init(&x->cache, x->model, x->settings.cache_pages));
    FV_TRY(fv_exam_pass_init(x));
    return fv_text_pass_create(x->model, &x->text);
}

fv_err fv_examiner_create(fv_model *model, const fv_examiner_settings *settings, fv_examiner **out)
{
    *out = NULL;
    FV_TRY(check(settings));
    fv_examiner *x = calloc(1, sizeof *x);
    FV_CHECK(x, FV_ERR_MEMORY, "cannot allocate an examiner");
    *x = (fv_examiner){.model = model,
                       .backend = fv_model_backend(model),
                       .settings = *settings,
                       .n_promised = fv_pages_for(settings->n_beginning),
                       .work = {.name = "judge"}};
    x->end = &x->first;
    fv_err err = open_all(x);
    if (err == FV_OK)
        *out = x;
    else
        fv_examiner_destroy(x);
    return err;
}

void fv_examiner_destroy(fv_examiner *x)
{
    if (!x)
        return;
    for (fv_question *q = x->first, *next; q; q = next) {
        next = q->next;
        release(x, q);
    }
    fv_text_pass_destroy(x->text);
    fv_workspace_fini(&x->work);
    fv_exam_pass_fini(&x->pass);
    fv_pages_release(&x->cache.pool, &x->beginning);
    fv_cache_fini(&x->cache);
    free((void *)x->settings.beginning);
    free(x);
}
