/* An update over groups of samples, twice: each sample packed behind a prompt of its own, and a prompt and
 * its samples as the tree that training makes of them. */
#include "jobs/bench/learner.h"

#include <stdio.h>

/* All samples, so many to a group. */
static fv_err add_groups(fv_bench_learner *l, int n_together)
{
    const fv_bench_options *o = l->options;
    fv_bench_learner_clear(l);
    for (int i = 0; i < o->prompts; i++)
        for (int k = 0; k < o->samples; k += n_together)
            FV_TRY(fv_bench_learner_add(l, &(fv_bench_lesson){i, o->prompt, n_together, o->generated}));
    return FV_OK;
}

static fv_err learn_groups(fv_bench *bench, fv_bench_learner *l, int n_together, fv_bench_figure *figure)
{
    const fv_bench_options *o = l->options;
    const fv_bench_work work = {NULL, fv_bench_learn, l};
    *figure =
        (fv_bench_figure){.name = "update", .unit = "samples", .units = (double)o->prompts * o->samples};
    FV_TRY(add_groups(l, n_together));
    FV_TRY(fv_bench_measure(bench, &work, &figure->seconds));
    figure->flops = fv_bench_learner_flops(bench, l);
    figure->bound_s = fv_bench_bound(bench, 0, figure->flops);
    return FV_OK;
}

static fv_err measure(fv_bench *bench, fv_bench_learner *l)
{
    const fv_bench_options *o = l->options;
    fv_bench_figure alone, trees;
    FV_TRY(learn_groups(bench, l, 1, &alone));
    snprintf(alone.what, sizeof alone.what, "%d x %d of %d tokens, each behind its own %d", o->prompts,
             o->samples, o->generated, o->prompt);
    FV_TRY(fv_bench_tell(bench, &alone));
    FV_TRY(learn_groups(bench, l, o->samples, &trees));
    snprintf(trees.what, sizeof trees.what, "the same as %d trees, %.2f times as fast", o->prompts,
             alone.seconds.median / trees.seconds.median);
    return fv_bench_tell(bench, &trees);
}

fv_err fv_bench_update(fv_bench *bench)
{
    fv_bench_learner learner = {0};
    fv_err err = fv_bench_learner_init(&learner, bench, bench->options.prompts * bench->options.samples);
    if (err == FV_OK)
        err = measure(bench, &learner);
    fv_bench_learner_fini(&learner);
    return err;
}
