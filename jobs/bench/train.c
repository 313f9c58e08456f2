/* A supervised step: packed sequences, each an image and text that is learnt, through the update of training.
 */
#include "jobs/bench/learner.h"

#include <stdio.h>

/* A short prompt around the image; the rest is the response. */
static fv_err add_example(fv_bench_learner *l, int i)
{
    enum { TEXT = 32 };
    const fv_bench_options *o = l->options;
    int64_t prompt = fv_grid_tokens(l->texts.low, l->texts.shape->vision.merge) + 2 + TEXT;
    int64_t n = o->length + 1 - prompt; /* the last one is not computed */
    FV_CHECK(n > 0, FV_ERR_ARGUMENT,
             "sequences of %d tokens have no room for a prompt of %lld: raise --length, or lower --image",
             o->length, (long long)prompt);
    return fv_bench_learner_add(l, &(fv_bench_lesson){i, prompt, 1, n});
}

static fv_err measure(fv_bench *bench, fv_bench_learner *l)
{
    const fv_bench_options *o = l->options;
    const fv_bench_work work = {NULL, fv_bench_learn, l};
    fv_bench_figure figure = {.name = "train", .unit = "tokens"};
    for (int i = 0; i < o->n_lengths; i++)
        FV_TRY(add_example(l, i));
    FV_TRY(fv_bench_measure(bench, &work, &figure.seconds));
    figure.units = (double)l->stats.computed_tokens;
    figure.flops = fv_bench_learner_flops(bench, l);
    figure.bound_s = fv_bench_bound(bench, 0, figure.flops);
    snprintf(figure.what, sizeof figure.what, "%d sequences of %d tokens, %d a micro-batch%s", o->n_lengths,
             o->length, o->micro_tokens, o->recompute ? ", recomputed" : "");
    return fv_bench_tell(bench, &figure);
}

fv_err fv_bench_train(fv_bench *bench)
{
    fv_bench_learner learner = {0};
    fv_err err = fv_bench_learner_init(&learner, bench, bench->options.n_lengths);
    if (err == FV_OK)
        err = measure(bench, &learner);
    fv_bench_learner_fini(&learner);
    return err;
}
