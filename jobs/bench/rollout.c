/* Groups of samples of prompts with an image, through the rollout of training: all of it, and those passes
 * that only decode. */
#include "jobs/bench/texts/texts.h"

#include "fovea/base/clock.h"
#include "fovea/model/nn/flops.h"
#include "fovea/model/nn/pages.h"
#include "fovea/train/rollout.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct rollout {
    const fv_bench_options *options;
    fv_bench_texts texts;
    fv_engine *engine;
    fv_rollout_settings settings;
    fv_group *groups; /* owned, (prompts) */
    int n_given;
    fv_rollout_stats seen; /* at the last pass, */
    double at;             /* whose end that was */
    double decoding_s;     /* of all repeats */
    int64_t n_decoded;
} rollout;

static void forget(rollout *r)
{
    while (r->n_given > 0)
        fv_group_fini(&r->groups[--r->n_given]);
}

static fv_err next(void *context, fv_group **group)
{
    rollout *r = context;
    const fv_bench_options *o = r->options;
    *group = NULL;
    if (r->n_given == o->prompts)
        return FV_OK;
    *group = &r->groups[r->n_given];
    return fv_bench_texts_group(&r->texts, r->n_given++, o->prompt, o->samples, *group);
}

static fv_err view(void *context, const fv_group *group, int is_high, fv_picture **out)
{
    return fv_bench_texts_view(&((rollout *)context)->texts, group, is_high, out);
}

static fv_err done(void *context, fv_group *group)
{
    (void)context, (void)group;
    return FV_OK;
}

/* A pass whose every token was followed by a drawn one has decoded. */
static fv_err passed(void *context, const fv_rollout_stats *stats, int *is_over)
{
    rollout *r = context;
    double now = fv_clock_now();
    int64_t drawn = stats->generated_tokens - r->seen.generated_tokens;
    (void)is_over;
    if (drawn == stats->computed_tokens - r->seen.computed_tokens) {
        r->decoding_s += now - r->at;
        r->n_decoded += drawn;
    }
    r->seen = *stats;
    r->at = now;
    return FV_OK;
}

static fv_err begin(void *context)
{
    forget(context);
    return FV_OK;
}

static fv_err draw(void *context)
{
    rollout *r = context;
    const fv_rollout_source source = {r, next, view, done, passed};
    r->seen = (fv_rollout_stats){0};
    r->at = fv_clock_now();
    return fv_rollout_run(r->engine, &r->settings, 0, &source, NULL);
}

/* With room for all samples at once. */
fv_engine_settings fv_bench_rollout_settings(const fv_bench_options *o, const fv_bench_texts *texts)
{
    int running = o->prompts * o->samples, most = o->pass_tokens;
    int pages = fv_pages_for(o->prompt) + o->samples * (fv_pages_for(o->generated) + 2);
    fv_engine_settings settings = {.name = "rollout",
                                   .max_running = running,
                                   .max_tokens = o->prompt + o->generated,
                                   .pass_tokens = most > 2 * running ? most : 2 * running,
                                   .cache_pages = o->prompts * pages,
                                   .excluded = texts->excluded,
                                   .n_excluded = texts->n_excluded};
    fv_rollout_show(&settings, texts->low, texts->shape->vision.merge);
    return settings;
}

static fv_err open_all(rollout *r, fv_bench *bench)
{
    const fv_bench_options *o = r->options;
    const fv_engine_settings settings = fv_bench_rollout_settings(o, &r->texts);
    r->settings =
        (fv_rollout_settings){.dialogue = fv_bench_texts_dialogue(&r->texts, o->prompt, o->generated),
                              .temperature = 1,
                              .top_p = 1};
    r->groups = calloc((size_t)o->prompts, sizeof *r->groups);
    FV_CHECK(r->groups, FV_ERR_MEMORY, "cannot allocate %d groups", o->prompts);
    return fv_engine_create(bench->runtime.model, &settings, &r->engine);
}

/* Decoding, where a group's keys of its prompt may be read once; and the whole, with prompts and images. */
static double decoding_bound(const fv_bench *bench)
{
    const fv_bench_options *o = &bench->options;
    const fv_model_shape *shape = fv_model_shape_of(bench->runtime.model);
    double running = (double)o->prompts * o->samples, context = o->prompt + 0.5 * o->generated;
    double rows = o->prompts * (o->prompt + 0.5 * o->samples * o->generated);
    double bytes = fv_bench_weight_bytes(bench) + rows * fv_bench_cache_bytes(bench);
    double flops =
        running * (fv_flops_of_token(shape) + fv_flops_of_draw(shape) + context * fv_flops_of_pair(shape));
    return o->generated * fv_bench_bound(bench, bytes, flops / bench->runtime.mesh.tensor->size);
}

double fv_bench_rollout_bound(const fv_bench *bench, fv_grid image)
{
    const fv_bench_options *o = &bench->options;
    const fv_model_shape *shape = fv_model_shape_of(bench->runtime.model);
    double n = o->prompt, patches = (double)fv_grid_patches(image);
    double flops = n * fv_flops_of_token(shape) + 0.5 * n * n * fv_flops_of_pair(shape) +
                   patches * fv_flops_of_patch(shape) + fv_flops_of_views(shape, patches);
    return decoding_bound(bench) +
           fv_bench_bound(bench, 0, o->prompts * flops / bench->runtime.mesh.tensor->size);
}

static fv_err tell(fv_bench *bench, const rollout *r, fv_bench_figure *figure)
{
    const fv_bench_options *o = r->options;
    double seconds = r->decoding_s / (double)r->n_decoded * figure->units;
    snprintf(figure->what, sizeof figure->what, "%d x %d samples of %d tokens after %d, %lld of an image",
             o->prompts, o->samples, o->generated, o->prompt,
             (long long)fv_grid_tokens(r->texts.low, r->texts.shape->vision.merge));
    figure->bound_s = fv_bench_rollout_bound(bench, r->texts.low);
    FV_TRY(fv_bench_tell(bench, figure));
    if (r->n_decoded == 0)
        return FV_OK;
    snprintf(figure->what, sizeof figure->what, "its passes that only decode, over all repeats");
    figure->is_part = 1;
    figure->bound_s = decoding_bound(bench);
    figure->seconds.median = figure->seconds.least = figure->seconds.most = seconds;
    return fv_bench_tell(bench, figure);
}

static fv_err measure(fv_bench *bench, rollout *r)
{
    const fv_bench_work work = {begin, draw, r};
    const fv_bench_options *o = r->options;
    fv_bench_figure figure = {
        .name = "rollout", .unit = "tokens", .units = (double)o->prompts * o->samples * o->generated};
    FV_TRY(open_all(r, bench));
    FV_TRY(fv_bench_measure(bench, &work, &figure.seconds));
    return tell(bench, r, &figure);
}

fv_err fv_bench_rollout(fv_bench *bench)
{
    rollout r = {.options = &bench->options};
    fv_err err = fv_bench_texts_init(&r.texts, bench, bench->options.image);
    if (err == FV_OK)
        err = measure(bench, &r);
    fv_engine_destroy(r.engine);
    forget(&r);
    free(r.groups);
    fv_bench_texts_fini(&r.texts);
    return err;
}
