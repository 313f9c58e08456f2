/* The loop of a rollout: take groups up while there is room, let the engine make a pass, give back the groups
 * whose samples have all ended. Nothing here is generated: the engine is told of a group's sequences
 * (rollout_group.c) and calls back with each token. A rollout that is ended between two passes leaves its
 * groups as they are, and another one takes them up to the same bits. */
#include "train/rollout_internal.h"

#include "fovea/base/point.h"
#include "fovea/model/nn/pages.h"

static fv_err check(const fv_rollout_settings *s, const fv_engine_settings *engine)
{
    FV_TRY(fv_dialogue_check(&s->dialogue));
    FV_CHECK(s->temperature >= 0, FV_ERR_ARGUMENT, "temperature is %g, expected 0 or more", s->temperature);
    FV_CHECK(s->top_k >= 0, FV_ERR_ARGUMENT, "top_k is %d, expected 0 (all) or more", s->top_k);
    FV_CHECK(s->top_p > 0 && s->top_p <= 1, FV_ERR_ARGUMENT, "top_p is %g, expected above 0, at most 1",
             s->top_p);
    FV_CHECK(s->repetition_penalty >= 0, FV_ERR_ARGUMENT, "repetition_penalty is %g, expected 0 or more",
             s->repetition_penalty);
    FV_CHECK(engine->pass_tokens / 2 >= engine->max_running, FV_ERR_ARGUMENT,
             "pass_tokens is %d, expected at least twice max_running, %d", engine->pass_tokens,
             engine->max_running);
    FV_CHECK(s->dialogue.max_tokens <= engine->max_tokens, FV_ERR_ARGUMENT,
             "max_tokens is %lld, but the engine's sequences have at most %lld",
             (long long)s->dialogue.max_tokens, (long long)engine->max_tokens);
    return FV_OK;
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* No more features than rows of the cache are of use at once, nor than two views of every group. */
void fv_rollout_show(fv_engine_settings *settings, fv_grid largest, int merge)
{
    int64_t tokens = largest.t ? fv_grid_tokens(largest, merge) : 0;
    int64_t cached = (int64_t)settings->cache_pages * FV_PAGE;
    settings->image = largest;
    settings->max_images = FV_MAX_TURNS;
    settings->image_rows = min(2 * settings->max_running * tokens, tokens > cached ? tokens : cached);
}

static fv_err check_group(const fv_rollout *r, const fv_group *group)
{
    int64_t max_tokens = r->settings->dialogue.max_tokens, prompt = (int64_t)group->prompt.n;
    int max_running = fv_engine_settings_of(r->engine)->max_running;
    FV_CHECK(prompt > 0 && prompt < max_tokens, FV_ERR_ARGUMENT,
             "row %lld: a prompt of %lld tokens; at least 1 and fewer than max_tokens, %lld",
             (long long)group->row, (long long)prompt, (long long)max_tokens);
    FV_CHECK(fv_group_size(group) <= max_running, FV_ERR_ARGUMENT,
             "row %lld: %d responses at once, but max_running is %d", (long long)group->row,
             fv_group_size(group), max_running);
    return FV_OK;
}

/* Whether another group should start: responses may run, and there are pages for some beginning. */
static int has_place(const fv_rollout *r, int n_samples, int64_t prompt_tokens)
{
    int wanted = fv_pages_for(prompt_tokens) + n_samples;
    return !r->oldest || (r->n_running + n_samples <= fv_engine_settings_of(r->engine)->max_running &&
                          wanted <= fv_engine_free_pages(r->engine));
}

static fv_err give_back(fv_rollout *r, fv_group *group)
{
    r->stats.n_groups++;
    return r->source->done(r->source->context, group);
}

/* The next group that still needs a response, as r->waiting. An earlier rollout may have finished some. */
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
        FV_TRY(fv_running_group_create(r, r->waiting));
        r->waiting = NULL;
    }
    return FV_OK;
}

static fv_err retire(fv_rollout *r)
{
    for (fv_running_group *running = r->oldest, *younger; running; running = younger) {
        younger = running->younger;
        if (running->n_open > 0)
            continue;
        fv_group *group = running->group;
        fv_running_group_destroy(running);
        FV_TRY(give_back(r, group));
    }
    return FV_OK;
}

/* What the engine has done since the rollout began. */
static void count(fv_rollout *r)
{
    const fv_engine_stats *now = fv_engine_stats_of(r->engine), *before = &r->before;
    r->stats.n_passes = now->n_passes - before->n_passes;
    r->stats.computed_tokens = now->computed_tokens - before->computed_tokens;
    r->stats.generated_tokens = now->generated_tokens - before->generated_tokens;
    r->stats.vision_patches = now->vision_patches - before->vision_patches;
    r->stats.n_evictions = now->n_evictions - before->n_evictions;
}

static fv_err run(fv_rollout *r)
{
    for (int is_over = 0, is_idle; !is_over;) {
        FV_TRY(admit(r));
        if (!r->oldest)
            return FV_OK;
        FV_TRY(fv_engine_pass(r->engine, &is_idle));
        FV_TRY(retire(r));
        FV_TRY(fv_point("pass"));
        count(r);
        if (r->source->passed)
            FV_TRY(r->source->passed(r->source->context, &r->stats, &is_over));
    }
    return FV_OK;
}

fv_err fv_rollout_run(fv_engine *engine, const fv_rollout_settings *settings, uint32_t step,
                      const fv_rollout_source *source, fv_rollout_stats *stats)
{
    fv_rollout r = {.engine = engine, .settings = settings, .step = step, .source = source};
    FV_TRY(check(settings, fv_engine_settings_of(engine)));
    r.before = *fv_engine_stats_of(engine);
    fv_err err = run(&r);
    while (r.oldest)
        fv_running_group_destroy(r.oldest);
    if (stats)
        *stats = r.stats;
    return err;
}
