#include "train/rollout_internal.h"

#include "fovea/base/point.h"

#include <stdlib.h>

static fv_err check(const fv_rollout_settings *s)
{
    FV_TRY(fv_dialogue_check(&s->dialogue));
    FV_CHECK(s->temperature >= 0, FV_ERR_ARGUMENT, "temperature is %g, expected 0 or more", s->temperature);
    FV_CHECK(s->top_k >= 0, FV_ERR_ARGUMENT, "top_k is %d, expected 0 (all) or more", s->top_k);
    FV_CHECK(s->top_p > 0 && s->top_p <= 1, FV_ERR_ARGUMENT, "top_p is %g, expected above 0, at most 1",
             s->top_p);
    FV_CHECK(s->repetition_penalty >= 0, FV_ERR_ARGUMENT, "repetition_penalty is %g, expected 0 or more",
             s->repetition_penalty);
    FV_CHECK(s->max_running >= 1, FV_ERR_ARGUMENT, "max_running is %d, expected 1 or more", s->max_running);
    FV_CHECK(s->pass_tokens / 2 >= s->max_running, FV_ERR_ARGUMENT,
             "pass_tokens is %d, expected at least twice max_running, %d", s->pass_tokens, s->max_running);
    return FV_OK;
}

/* A prompt and an answer of the longest length, which share no page. */
static fv_err check_group(const fv_rollout *r, const fv_group *group)
{
    const fv_rollout_settings *s = r->settings;
    int64_t max_tokens = s->dialogue.max_tokens, prompt = (int64_t)group->prompt.n;
    int pages = fv_pages_for(prompt) + fv_pages_for(max_tokens - prompt);
    FV_CHECK(prompt > 0 && prompt < max_tokens, FV_ERR_ARGUMENT,
             "row %lld: a prompt of %lld tokens; at least 1 and fewer than max_tokens, %lld",
             (long long)group->row, (long long)prompt, (long long)max_tokens);
    FV_CHECK(fv_group_size(group) <= s->max_running, FV_ERR_ARGUMENT,
             "row %lld: %d answers at once, but max_running is %d", (long long)group->row,
             fv_group_size(group), s->max_running);
    FV_CHECK(
        pages <= s->cache_pages, FV_ERR_ARGUMENT,
        "row %lld: a prompt of %lld tokens and an answer up to %lld need %d cache pages of %d tokens, but "
        "there are %d: raise cache_pages or lower max_tokens",
        (long long)group->row, (long long)prompt, (long long)max_tokens, pages, FV_PAGE, s->cache_pages);
    return FV_OK;
}

/* Whether another group should start: answers may run, and there are pages for some beginning. */
static int has_place(const fv_rollout *r, int n_answers, int64_t prompt_tokens)
{
    int wanted = fv_pages_for(prompt_tokens) + n_answers;
    return !r->oldest ||
           (r->n_running + n_answers <= r->settings->max_running && wanted <= r->cache.pool.n_free);
}

static fv_err give_back(fv_rollout *r, fv_group *group)
{
    r->stats.n_groups++;
    return r->source->done(r->source->context, group);
}

/* The next group that still needs an answer, as r->waiting. An earlier rollout may have finished some. */
static fv_err take_next(fv_rollout *r)
{
    for (;;) {
        FV_TRY(r->source->next(r->source->context, &r->waiting));
        r->is_dry = !r->waiting;
        if (r->is_dry)
            return FV_OK;
        FV_TRY(check_group(r, r->waiting));
        if (fv_group_open(r->waiting) > 0)
            return FV_OK;
        FV_TRY(give_back(r, r->waiting));
    }
}

/* Take groups up while there is place. One that had none waits. */
static fv_err admit(fv_rollout *r)
{
    while (!r->is_dry) {
        if (!r->waiting)
            FV_TRY(take_next(r));
        if (r->is_dry)
            return FV_OK;
        if (!has_place(r, fv_group_size(r->waiting), (int64_t)r->waiting->prompt.n))
            return FV_OK;
        FV_TRY(fv_live_create(r, r->waiting));
        r->waiting = NULL;
    }
    return FV_OK;
}

/* Give the answers what they drew. */
static fv_err hand_out(fv_rollout *r)
{
    const fv_pass *p = &r->pass;
    for (int64_t i = 0; i < p->n_draws; i++) {
        fv_node *node = p->draws[i];
        FV_TRY(fv_answer_push(&r->settings->dialogue, node->live->group, node->answer, p->drawn[i],
                              p->logprobs[i]));
        if (!node->answer->is_done) {
            FV_TRY(fv_node_grow(r, node));
            continue;
        }
        fv_node_release(r, node);
        node->live->n_open--;
    }
    return FV_OK;
}

static fv_err retire(fv_rollout *r)
{
    for (fv_live *live = r->oldest, *younger; live; live = younger) {
        younger = live->younger;
        if (live->n_open > 0)
            continue;
        fv_group *group = live->group;
        fv_live_destroy(r, live);
        FV_TRY(give_back(r, group));
    }
    return FV_OK;
}

static fv_err run(fv_rollout *r)
{
    for (int is_over = 0; !is_over;) {
        FV_TRY(admit(r));
        if (!r->oldest)
            return FV_OK;
        FV_TRY(fv_pass_plan(r));
        FV_CHECK(r->pass.n > 0, FV_ERR_INTERNAL, "a rollout that cannot go on");
        FV_TRY(fv_pass_compute(r));
        FV_TRY(hand_out(r));
        FV_TRY(retire(r));
        FV_TRY(fv_point("pass"));
        if (r->source->passed)
            FV_TRY(r->source->passed(r->source->context, &r->stats, &is_over));
    }
    return FV_OK;
}

static fv_err prepare(fv_rollout *r)
{
    FV_TRY(fv_cache_init(&r->cache, r->model, r->settings->cache_pages));
    FV_TRY(fv_pass_init(r));
    FV_TRY(fv_text_pass_create(r->model, &r->text));
    return fv_model_shape_of(r->model)->vision.depth > 0 ? fv_vision_pass_create(r->model, &r->vision)
                                                         : FV_OK;
}

static void release(fv_rollout *r)
{
    while (r->oldest)
        fv_live_destroy(r, r->oldest);
    fv_vision_pass_destroy(r->vision);
    fv_text_pass_destroy(r->text);
    fv_workspace_fini(&r->text_work);
    fv_workspace_fini(&r->vision_work);
    fv_pass_fini(&r->pass);
    fv_cache_fini(&r->cache);
}

fv_err fv_rollout_run(fv_model *model, const fv_rollout_settings *settings, const fv_rollout_source *source,
                      fv_rollout_stats *stats)
{
    fv_rollout r = {.model = model,
                    .backend = fv_model_backend(model),
                    .settings = settings,
                    .source = source,
                    .text_work = {.name = "rollout"},
                    .vision_work = {.name = "rollout's vision"}};
    FV_TRY(check(settings));
    fv_err err = prepare(&r);
    if (err == FV_OK)
        err = run(&r);
    release(&r);
    if (stats)
        *stats = r.stats;
    return err;
}

fv_err fv_rollout_bytes(fv_model *model, const fv_rollout_settings *settings, size_t *bytes)
{
    fv_rollout r = {.model = model, .settings = settings, .text_work = {.name = "rollout"}};
    FV_TRY(check(settings));
    fv_err err = fv_pass_init(&r);
    if (err == FV_OK)
        err = fv_text_pass_create(model, &r.text);
    if (err == FV_OK)
        err = fv_pass_bytes(&r, bytes);
    release(&r);
    return err;
}
