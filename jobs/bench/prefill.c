/* Whole prompts through the decoder, packed into passes: each ends with one token. */
#include "jobs/bench/texts/texts.h"

#include "fovea/engine/engine.h"
#include "fovea/model/nn/flops.h"
#include "fovea/model/nn/pages.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct prefill {
    const fv_bench_options *options;
    fv_engine *engine;
    fv_tokens ids;           /* of one prompt, which all are */
    fv_sequence **sequences; /* owned list, (n_lengths) */
    int n_open;
} prefill;

static fv_err hear(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    (void)context, (void)id, (void)logprob;
    fv_sequence_end(sequence);
    return FV_OK;
}

static fv_err begin(void *context)
{
    prefill *p = context;
    while (p->n_open > 0)
        fv_sequence_close(p->sequences[--p->n_open]);
    for (; p->n_open < p->options->n_lengths; p->n_open++) {
        const fv_sequence_args args = {.owner = {.context = p, .generated = hear},
                                       .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1}};
        FV_TRY(fv_sequence_open(p->engine, &args, &p->sequences[p->n_open]));
        FV_TRY(fv_sequence_append(p->sequences[p->n_open], p->ids.ids, (int64_t)p->ids.n, NULL, 0));
    }
    return FV_OK;
}

static fv_err compute(void *context)
{
    prefill *p = context;
    for (int is_idle = 0; !is_idle;)
        FV_TRY(fv_engine_pass(p->engine, &is_idle));
    return FV_OK;
}

static fv_err open_all(prefill *p, fv_bench *bench, const fv_bench_texts *texts)
{
    const fv_bench_options *o = p->options;
    const fv_engine_settings settings = {.name = "prefill",
                                         .max_running = o->n_lengths,
                                         .max_tokens = o->length + 1,
                                         .pass_tokens =
                                             o->pass_tokens > o->n_lengths ? o->pass_tokens : o->n_lengths,
                                         .cache_pages = o->n_lengths * (fv_pages_for(o->length + 1) + 1),
                                         .excluded = texts->excluded,
                                         .n_excluded = texts->n_excluded};
    FV_TRY(fv_bench_texts_add(texts, 0, o->length, &p->ids));
    p->sequences = calloc((size_t)o->n_lengths, sizeof *p->sequences);
    FV_CHECK(p->sequences, FV_ERR_MEMORY, "cannot allocate %d sequences", o->n_lengths);
    return fv_engine_create(bench->runtime.model, &settings, &p->engine);
}

static fv_err measure(fv_bench *bench, prefill *p, const fv_bench_texts *texts)
{
    const fv_bench_options *o = p->options;
    const fv_model_shape *shape = fv_model_shape_of(bench->runtime.model);
    const fv_bench_work work = {begin, compute, p};
    double length = o->length, pairs = length * (length + 1) / 2;
    fv_bench_figure figure = {.name = "prefill",
                              .unit = "tokens",
                              .units = length * o->n_lengths,
                              .flops = o->n_lengths *
                                       (length * fv_flops_of_token(shape) + pairs * fv_flops_of_pair(shape) +
                                        fv_flops_of_draw(shape)) /
                                       bench->runtime.mesh.tensor->size};
    figure.bound_s = fv_bench_bound(bench, fv_bench_weight_bytes(bench), figure.flops);
    snprintf(figure.what, sizeof figure.what, "%d prompts of %d tokens, %d a pass", o->n_lengths, o->length,
             o->pass_tokens);
    FV_TRY(open_all(p, bench, texts));
    FV_TRY(fv_bench_measure(bench, &work, &figure.seconds));
    return fv_bench_tell(bench, &figure);
}

fv_err fv_bench_prefill(fv_bench *bench)
{
    fv_bench_texts texts;
    prefill p = {.options = &bench->options};
    fv_err err = fv_bench_texts_init(&texts, bench, 0);
    if (err == FV_OK)
        err = measure(bench, &p, &texts);
    fv_engine_destroy(p.engine);
    free(p.sequences);
    fv_tokens_fini(&p.ids);
    fv_bench_texts_fini(&texts);
    return err;
}
