/* Many samples at once, each to a prompt of its own: what a rollout does once all prompts are computed. */
#include "jobs/bench/texts/texts.h"

#include "fovea/engine/engine.h"
#include "fovea/model/nn/flops.h"
#include "fovea/model/nn/pages.h"

#include <stdio.h>
#include <stdlib.h>

struct decode;
typedef struct sample {
    struct decode *of;
    fv_sequence *prompt, *sequence;
    int64_t n_told;
} sample;

typedef struct decode {
    const fv_bench_options *options;
    fv_engine *engine;
    int batch, n_open;
    sample *samples; /* owned, (batch) */
    int n_begun;     /* samples that have a token */
    int64_t n_told;  /* tokens of all samples */
} decode;

static fv_err hear(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    sample *a = context;
    (void)sequence, (void)id, (void)logprob;
    a->of->n_begun += a->n_told++ == 0;
    a->of->n_told++;
    return FV_OK;
}

static fv_err open_sample(decode *d, sample *a)
{
    const fv_sequence_args args = {.parent = a->prompt,
                                   .owner = {.context = a, .generated = hear},
                                   .sampling = {.temperature = 1,
                                                .top_p = 1,
                                                .repetition_penalty = 1,
                                                .key = {.sample = (uint32_t)(a - d->samples)}}};
    a->n_told = 0;
    return fv_sequence_open(d->engine, &args, &a->sequence);
}

/* All samples begin anew, and have their first token: every pass that follows is one of decoding alone. */
static fv_err begin(void *context)
{
    decode *d = context;
    while (d->n_open > 0)
        fv_sequence_close(d->samples[--d->n_open].sequence);
    for (; d->n_open < d->batch; d->n_open++)
        FV_TRY(open_sample(d, &d->samples[d->n_open]));
    d->n_begun = 0;
    for (int is_idle = 0; d->n_begun < d->batch && !is_idle;)
        FV_TRY(fv_engine_pass(d->engine, &is_idle));
    return FV_OK;
}

static fv_err generate(void *context)
{
    decode *d = context;
    int64_t end = d->n_told + (int64_t)d->batch * d->options->generated;
    for (int is_idle = 0; d->n_told < end && !is_idle;)
        FV_TRY(fv_engine_pass(d->engine, &is_idle));
    return FV_OK;
}

/* The first samples have some more tokens than the last ones: of the passes in which all prompts are
 * computed.
 */
static int64_t longest(const decode *d, int pass_tokens)
{
    enum { SLACK = 8 };
    const fv_bench_options *o = d->options;
    int64_t passes = (int64_t)d->batch * o->prompt / (pass_tokens - d->batch + 1);
    return o->prompt + o->generated + passes + SLACK;
}

static fv_err open_engine(decode *d, fv_bench *bench, const fv_bench_texts *texts)
{
    const fv_bench_options *o = d->options;
    int pass_tokens = o->pass_tokens > 2 * d->batch ? o->pass_tokens : 2 * d->batch;
    int64_t most = longest(d, pass_tokens);
    const fv_engine_settings settings = {.name = "decode",
                                         .max_running = d->batch,
                                         .max_tokens = most,
                                         .pass_tokens = pass_tokens,
                                         .cache_pages = 2 * d->batch * (fv_pages_for(most) + 1),
                                         .excluded = texts->excluded,
                                         .n_excluded = texts->n_excluded};
    return fv_engine_create(bench->runtime.model, &settings, &d->engine);
}

static fv_err open_prompts(decode *d, const fv_bench_texts *texts)
{
    d->samples = calloc((size_t)d->batch, sizeof *d->samples);
    FV_CHECK(d->samples, FV_ERR_MEMORY, "cannot allocate %d sequences", d->batch);
    for (int i = 0; i < d->batch; i++) {
        sample *a = &d->samples[i];
        fv_tokens ids = {0};
        a->of = d;
        fv_err err = fv_bench_texts_add(texts, (uint64_t)i, d->options->prompt, &ids);
        if (err == FV_OK)
            err = fv_sequence_open(d->engine, &(fv_sequence_args){0}, &a->prompt);
        if (err == FV_OK)
            err = fv_sequence_append(a->prompt, ids.ids, (int64_t)ids.n, NULL, 0);
        fv_tokens_fini(&ids);
        FV_TRY(err);
    }
    return FV_OK;
}

/* A pass reads all weights, and of each sample the keys and values so far. */
static double bound(const fv_bench *bench, int batch)
{
    const fv_bench_options *o = &bench->options;
    const fv_model_shape *shape = fv_model_shape_of(bench->runtime.model);
    double context = o->prompt + 0.5 * o->generated;
    double bytes = fv_bench_weight_bytes(bench) + batch * context * fv_bench_cache_bytes(bench);
    double flops =
        batch * (fv_flops_of_token(shape) + fv_flops_of_draw(shape) + context * fv_flops_of_pair(shape));
    return o->generated * fv_bench_bound(bench, bytes, flops / bench->runtime.mesh.tensor->size);
}

static fv_err measure(fv_bench *bench, decode *d, const fv_bench_texts *texts)
{
    const fv_bench_work work = {begin, generate, d};
    fv_bench_figure figure = {.name = "decode",
                              .unit = "tokens",
                              .units = (double)d->batch * d->options->generated,
                              .bound_s = bound(bench, d->batch)};
    snprintf(figure.what, sizeof figure.what, "%d samples of %d tokens after %d", d->batch,
             d->options->generated, d->options->prompt);
    FV_TRY(open_engine(d, bench, texts));
    FV_TRY(open_prompts(d, texts));
    FV_TRY(fv_bench_measure(bench, &work, &figure.seconds));
    return fv_bench_tell(bench, &figure);
}

fv_err fv_bench_decode(fv_bench *bench)
{
    fv_bench_texts texts;
    fv_err err = fv_bench_texts_init(&texts, bench, 0);
    for (int i = 0; i < bench->options.n_batches && err == FV_OK; i++) {
        decode d = {.options = &bench->options, .batch = bench->options.batches[i]};
        err = measure(bench, &d, &texts);
        fv_engine_destroy(d.engine);
        free(d.samples);
    }
    fv_bench_texts_fini(&texts);
    return err;
}
