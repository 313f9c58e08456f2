/* Prompts of random tokens, with a random image. Host data. Local. */
#ifndef FOVEA_JOBS_BENCH_TEXTS_H
#define FOVEA_JOBS_BENCH_TEXTS_H

#include "jobs/bench/bench.h"

#include "fovea/model/optimizer.h"
#include "fovea/train/rollout.h"

enum { FV_BENCH_MAX_EXCLUDED = FV_MAX_EOS + 4 };

/* Starts as {0}. */
typedef struct fv_bench_texts {
    const fv_model_shape *shape;             /* borrowed */
    fv_chat chat;                            /* nothing ends a turn */
    int32_t excluded[FV_BENCH_MAX_EXCLUDED]; /* never generated: what would end a sample, or show an image */
    int n_excluded;
    int32_t first_special;
    fv_grid low, high;       /* of the image; high has twice the edges */
    fv_picture *pictures[2]; /* owned: of both */
} fv_bench_texts;

/* image: pixels of an edge of the low-resolution view; 0: there is none. */
fv_err fv_bench_texts_init(fv_bench_texts *texts, const fv_bench *bench, int image);
void fv_bench_texts_fini(fv_bench_texts *texts);

/* Append n tokens of text: those of a number. */
fv_err fv_bench_texts_add(const fv_bench_texts *texts, uint64_t number, int64_t n, fv_tokens *out);

/* A group of n_samples empty samples of prompt number: the image in low resolution and text, n tokens in all.
 * FV_ERR_ARGUMENT: the image takes them all. */
fv_err fv_bench_texts_group(const fv_bench_texts *texts, int64_t number, int64_t n, int n_samples,
                            fv_group *out);

/* The dialogue of such a group, of one turn of so many tokens. */
fv_dialogue fv_bench_texts_dialogue(const fv_bench_texts *texts, int64_t prompt, int generated);

/* The engine of a rollout of so many prompts and samples, all of them at once; and the seconds that it takes
 * at least (rollout.c). */
fv_engine_settings fv_bench_rollout_settings(const fv_bench_options *options, const fv_bench_texts *texts);
double fv_bench_rollout_bound(const fv_bench *bench, fv_grid image);

/* How the weights move, and what a micro-batch keeps, as the command line says (learner.c). */
fv_optimizer_settings fv_bench_adamw(const fv_bench_options *options);
fv_save fv_bench_save(const fv_bench_options *options);

/* An fv_view_of; the context is the texts. */
fv_err fv_bench_texts_view(void *context, const fv_group *group, int is_high, fv_picture **view);

#endif
