#include "fovea/reward/judge/judge_local.h"

#include "fovea/base/clock.h"
#include "fovea/engine/examiner.h"
#include "fovea/model/shape/shape.h"

#include <stdlib.h>

typedef struct local {
    fv_judge_local_settings settings;
    fv_judge_prompt *prompt; /* owned, as are all that follow */
    fv_comm *self;
    fv_tokenizer *tokenizer;
    fv_judge_tokens tokens;
    fv_model *model;
    fv_examiner *examiner;
    struct errand *errands; /* let go when none is pending */
} local;

/* A case that the examiner has. */
typedef struct errand {
    fv_judge *judge;
    fv_waiter waiter;
    double since_s;
    struct errand *next;
} errand;

static void release_errands(local *l)
{
    for (errand *e = l->errands, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    l->errands = NULL;
}

static fv_verdict compare(const fv_finding *finding)
{
    float right = finding->logprobs[0], wrong = finding->logprobs[1];
    if (right > wrong || wrong > right)
        return fv_verdict_given(right > wrong);
    return fv_verdict_none(FV_UNJUDGED_UNCLEAR);
}

/* Of a model that thinks, and has not come to an end, nothing counts. */
static fv_err read_reply(const local *l, const fv_finding *finding, fv_verdict *out)
{
    fv_buffer text = {0};
    *out = fv_verdict_none(FV_UNJUDGED_CUT);
    if (finding->is_cut)
        return FV_OK;
    fv_err err = fv_tokenizer_decode(l->tokenizer, finding->drawn, (size_t)finding->n_drawn, 0, &text);
    if (err == FV_OK)
        *out = fv_verdict_parse(fv_judge_prompt_grammar(l->prompt),
                                (fv_slice){text.data ? text.data : "", text.size});
    fv_buffer_fini(&text);
    return err;
}

static fv_err done(void *context, const fv_finding *finding)
{
    const errand *e = context;
    fv_judge *judge = e->judge;
    local *l = judge->state;
    fv_verdict verdict;
    if (l->settings.method == FV_JUDGE_COMPARE)
        verdict = compare(finding);
    else
        FV_TRY(read_reply(l, finding, &verdict));
    judge->counts.n_asked++;
    judge->counts.n_tries++;
    judge->counts.latency_s += fv_clock_now() - e->since_s;
    FV_TRY(fv_judge_give(judge, e->waiter, verdict));
    if (judge->n_pending == 0)
        release_errands(l);
    return FV_OK;
}

static fv_err pass_on(fv_judge *judge, fv_tokens *question, fv_waiter waiter)
{
    local *l = judge->state;
    errand *e = malloc(sizeof *e);
    FV_CHECK(e, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *e = (errand){judge, waiter, fv_clock_now(), l->errands};
    l->errands = e;
    return fv_examiner_ask(l->examiner, question, done, e);
}

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    local *l = judge->state;
    fv_tokens question = {0};
    fv_err err = fv_judge_tokens_case(&l->tokens, asked, &question, NULL, NULL);
    if (err == FV_OK && !fv_examiner_fits(l->examiner, (int64_t)question.n))
        err = fv_judge_give(judge, waiter, fv_verdict_none(FV_UNJUDGED_TOO_LONG));
    else if (err == FV_OK)
        err = pass_on(judge, &question, waiter);
    fv_tokens_fini(&question);
    return err;
}

/* Who does not wait is about to bring more: a pass is worth it when it is full. */
static fv_err poll(fv_judge *judge, double wait_s)
{
    local *l = judge->state;
    if (wait_s <= 0 && fv_examiner_pending(l->examiner) < l->settings.pass_tokens)
        return FV_OK;
    return fv_examiner_pass(l->examiner);
}

static void destroy(fv_judge *judge)
{
    local *l = judge->state;
    fv_examiner_destroy(l->examiner);
    fv_model_destroy(l->model);
    fv_judge_tokens_fini(&l->tokens);
    fv_tokenizer_destroy(l->tokenizer);
    fv_comm_destroy(l->self);
    fv_judge_prompt_destroy(l->prompt);
    release_errands(l);
    free(l);
}

static const fv_judge_table local_table = {
    .name = "local", .submit = submit, .poll = poll, .destroy = destroy};

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
    FV_TRY(fv_model_open(&(fv_model_args){backend, l->self, s->folder}, &l->model));
    const fv_tokens *beginning = &l->tokens.fixed[0];
    const fv_examiner_settings settings = {.beginning = beginning->ids,
                                           .n_beginning = (int64_t)beginning->n,
                                           .choices = {l->tokens.words[0], l->tokens.words[1]},
                                           .max_drawn = s->method == FV_JUDGE_THINK ? s->reply_tokens : 0,
                                           .stop = l->tokens.stop,
                                           .max_running = s->running,
                                           .pass_tokens = s->pass_tokens,
                                           .cache_pages = s->cache_pages};
    return fv_examiner_create(l->model, &settings, &l->examiner);
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
    FV_TRY(fv_judge_create(&local_table, l, NULL, out));
    fv_err err = open_model(l, backend, settings);
    if (err != FV_OK) {
        fv_judge_destroy(*out);
        *out = NULL;
    }
    return err;
}
