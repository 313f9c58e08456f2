#include "fovea/reward/judge/judge_local.h"

#include "fovea/base/clock.h"
#include "fovea/engine/engine.h"
#include "fovea/model/nn/pages.h"
#include "fovea/model/shape/shape.h"

#include <stdlib.h>
#include <string.h>

typedef struct pending_case pending_case;

typedef struct local {
    fv_judge_local_settings settings;
    fv_judge_prompt *prompt; /* owned, as are all that follow */
    fv_comm *self;
    fv_tokenizer *tokenizer;
    fv_judge_tokens tokens;
    fv_model *model;
    fv_engine *engine;
    fv_sequence *beginning;     /* of every case */
    pending_case *first, **end; /* cases that wait for a sequence, in order */
    int64_t n_waiting;          /* their tokens */
    pending_case *under_way;    /* cases that have one */
    int n_under_way;
} local;

/* A case. */
struct pending_case {
    fv_judge *judge;
    fv_waiter waiter;
    double since_s;
    fv_tokens ids; /* its tokens, and then those of the reply */
    fv_sequence *sequence;
    pending_case *next;
};

static int64_t reply_tokens(const local *l)
{
    return l->settings.method == FV_JUDGE_THINK ? l->settings.reply_tokens : 0;
}

/* Verdicts. */

static fv_verdict compare(const float *logprobs)
{
    float right = logprobs[0], wrong = logprobs[1];
    if (right > wrong || wrong > right)
        return fv_verdict_given(right > wrong);
    return fv_verdict_none(FV_UNJUDGED_UNCLEAR);
}

static fv_err read_reply(const local *l, const fv_tokens *reply, fv_verdict *out)
{
    fv_buffer text = {0};
    fv_err err = fv_tokenizer_decode(l->tokenizer, reply->ids, reply->n, 0, &text);
    if (err == FV_OK)
        *out = fv_verdict_parse(fv_judge_prompt_grammar(l->prompt),
                                (fv_slice){text.data ? text.data : "", text.size});
    fv_buffer_fini(&text);
    return err;
}

static void release(pending_case *e)
{
    fv_tokens_fini(&e->ids);
    free(e);
}

static fv_err conclude(pending_case *e, fv_verdict verdict)
{
    fv_judge *judge = e->judge;
    local *l = judge->state;
    fv_waiter waiter = e->waiter;
    pending_case **at = &l->under_way;
    judge->counts.n_asked++;
    judge->counts.n_tries++;
    judge->counts.latency_s += fv_clock_now() - e->since_s;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    l->n_under_way--;
    fv_sequence_close(e->sequence);
    release(e);
    return fv_judge_give(judge, waiter, verdict);
}

static fv_err chosen(void *context, fv_sequence *sequence, const float *logprobs)
{
    (void)sequence;
    return conclude(context, compare(logprobs));
}

static int is_stop(const local *l, int32_t id)
{
    const fv_model_shape *shape = fv_model_shape_of(l->model);
    int is_end = id == l->tokens.stop;
    for (int i = 0; i < shape->n_eos; i++)
        is_end |= shape->eos_ids[i] == id;
    return is_end;
}

/* Of a model that thinks, and has not come to an end, nothing counts. */
static fv_err generated(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    pending_case *e = context;
    const local *l = e->judge->state;
    fv_verdict verdict;
    (void)sequence, (void)logprob;
    if (is_stop(l, id)) {
        FV_TRY(read_reply(l, &e->ids, &verdict));
        return conclude(e, verdict);
    }
    FV_TRY(fv_tokens_push(&e->ids, id));
    return (int64_t)e->ids.n < reply_tokens(l) ? FV_OK : conclude(e, fv_verdict_none(FV_UNJUDGED_CUT));
}

/* Cases. */

/* Into the cache, and the positions that the model has. */
static int fits(const local *l, const fv_tokens *ids)
{
    return (int64_t)(l->tokens.fixed[0].n + ids->n) + reply_tokens(l) <=
           fv_engine_settings_of(l->engine)->max_tokens;
}

static fv_err wait_for_sequence(fv_judge *judge, fv_tokens *ids, fv_waiter waiter)
{
    local *l = judge->state;
    pending_case *e = malloc(sizeof *e);
    FV_CHECK(e, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *e = (pending_case){.judge = judge, .waiter = waiter, .since_s = fv_clock_now(), .ids = *ids};
    *ids = (fv_tokens){0};
    *l->end = e;
    l->end = &e->next;
    l->n_waiting += (int64_t)e->ids.n;
    return FV_OK;
}

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    local *l = judge->state;
    fv_tokens ids = {0};
    fv_err err = fv_judge_tokens_case(&l->tokens, asked, &ids, NULL, NULL);
    if (err == FV_OK && !fits(l, &ids))
        err = fv_judge_give(judge, waiter, fv_verdict_none(FV_UNJUDGED_TOO_LONG));
    else if (err == FV_OK)
        err = wait_for_sequence(judge, &ids, waiter);
    fv_tokens_fini(&ids);
    return err;
}

static fv_err start(local *l, pending_case *e)
{
    fv_sequence_args args = {.parent = l->beginning, .owner = {.context = e}};
    if (l->settings.method == FV_JUDGE_COMPARE) {
        args.owner.chosen = chosen;
        args.n_choices = 2;
        memcpy(args.choices, l->tokens.words, sizeof l->tokens.words);
    } else {
        args.owner.generated = generated;
        args.sampling = (fv_sampling){.top_p = 1, .repetition_penalty = 1};
    }
    FV_TRY(fv_sequence_open(l->engine, &args, &e->sequence));
    FV_TRY(fv_sequence_append(e->sequence, e->ids.ids, (int64_t)e->ids.n, NULL, 0));
    e->ids.n = 0;
    return FV_OK;
}

/* Cases in their order, while there are pages for more than what runs. */
static fv_err admit(local *l)
{
    while (l->first && l->n_under_way < l->settings.running) {
        pending_case *e = l->first;
        int n_pages = fv_pages_for((int64_t)e->ids.n + reply_tokens(l)) + 1;
        if (l->n_under_way > 0 && n_pages > fv_engine_free_pages(l->engine))
            return FV_OK;
        l->n_waiting -= (int64_t)e->ids.n;
        l->first = e->next;
        if (!l->first)
            l->end = &l->first;
        e->next = l->under_way;
        l->under_way = e;
        l->n_under_way++;
        FV_TRY(start(l, e));
    }
    return FV_OK;
}

/* Who does not wait is about to bring more: a pass is worth it when it is full. */
static fv_err poll(fv_judge *judge, double wait_s)
{
    local *l = judge->state;
    int is_idle;
    if (wait_s <= 0 && l->n_waiting + fv_engine_pending(l->engine) < l->settings.pass_tokens)
        return FV_OK;
    FV_TRY(admit(l));
    return fv_engine_pass(l->engine, &is_idle);
}

static void release_all(pending_case *list)
{
    for (pending_case *e = list, *next; e; e = next) {
        next = e->next;
        release(e);
    }
}

static void destroy(fv_judge *judge)
{
    local *l = judge->state;
    fv_engine_destroy(l->engine);
    fv_model_destroy(l->model);
    fv_judge_tokens_fini(&l->tokens);
    fv_tokenizer_destroy(l->tokenizer);
    fv_comm_destroy(l->self);
    fv_judge_prompt_destroy(l->prompt);
    release_all(l->first);
    release_all(l->under_way);
    free(l);
}

static const fv_judge_table local_table = {
    .name = "local", .submit = submit, .poll = poll, .destroy = destroy};

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static fv_err open_engine(local *l)
{
    const fv_judge_local_settings *s = &l->settings;
    const fv_tokens *beginning = &l->tokens.fixed[0];
    int64_t least = (int64_t)beginning->n + 1 + reply_tokens(l), room = (int64_t)FV_PAGE * s->cache_pages;
    FV_CHECK(least <= room, FV_ERR_ARGUMENT,
             "a judge's instruction of %lld tokens and a reply up to %lld need %d cache pages of %d tokens, "
             "and a case some more, but there are %d: raise judge.cache_pages",
             (long long)beginning->n, (long long)reply_tokens(l), fv_pages_for(least), FV_PAGE,
             s->cache_pages);
    const fv_engine_settings settings = {.name = "judge",
                                         .max_running = s->running,
                                         .max_tokens =
                                             min(room, fv_model_shape_of(l->model)->text.max_positions),
                                         .pass_tokens = s->pass_tokens,
                                         .cache_pages = s->cache_pages,
                                         .is_choosing = s->method == FV_JUDGE_COMPARE};
    FV_TRY(fv_engine_create(l->model, &settings, &l->engine));
    FV_TRY(fv_sequence_open(l->engine, &(fv_sequence_args){0}, &l->beginning));
    return fv_sequence_append(l->beginning, beginning->ids, (int64_t)beginning->n, NULL, 0);
}

static fv_err open_model(local *l, fv_backend *backend, const fv_judge_local_settings *s)
{
    fv_model_shape shape;
    FV_TRY(fv_model_shape_load(s->folder, &shape, NULL));
    FV_CHECK(shape.vision.depth == 0, FV_ERR_UNSUPPORTED,
             "%s: a local judge reads text alone, and this is a vision-language model: give a text model as "
             "judge.model",
             s->folder);
    FV_TRY(fv_comm_self(&l->self));
    FV_TRY(fv_tokenizer_load(s->folder, &l->tokenizer));
    FV_TRY(fv_judge_tokens_init(&l->tokens, l->tokenizer, l->prompt, s->method));
    FV_CHECK(s->method == FV_JUDGE_THINK || l->tokens.words[0] != l->tokens.words[1], FV_ERR_UNSUPPORTED,
             "%s: the tokenizer's tokens of the two verdicts begin alike", s->folder);
    const fv_model_args args = {
        .backend = backend, .tensor = l->self, .folder = s->folder, .precision = s->precision};
    FV_TRY(fv_model_open(&args, &l->model));
    return open_engine(l);
}

fv_err fv_judge_local_create(fv_backend *backend, const fv_judge_local_settings *settings,
                             fv_judge_prompt *prompt, fv_judge **out)
{
    local *l = calloc(1, sizeof *l);
    *out = NULL;
    if (!l)
        fv_judge_prompt_destroy(prompt);
    FV_CHECK(l, FV_ERR_MEMORY, "cannot allocate a judge");
    *l = (local){.settings = *settings, .prompt = prompt};
    l->end = &l->first;
    FV_TRY(fv_judge_create(&local_table, l, NULL, out));
    fv_err err = open_model(l, backend, settings);
    if (err != FV_OK) {
        fv_judge_destroy(*out);
        *out = NULL;
    }
    return err;
}
