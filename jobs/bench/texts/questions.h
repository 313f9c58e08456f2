/* A data set of random questions with an image each, and the texts of a model that reads them. Local. */
#ifndef FOVEA_JOBS_BENCH_QUESTIONS_H
#define FOVEA_JOBS_BENCH_QUESTIONS_H

#include "jobs/bench/folder.h"
#include "jobs/bench/texts/texts.h"

#include "fovea/train/prompt_builder.h"

/* Starts as {0}; stays where it is. */
typedef struct fv_bench_questions {
    const fv_bench_texts *texts; /* borrowed */
    int n, prompt;               /* questions; tokens of the prompt of each */
    fv_bench_folder folder;      /* of files */
    fv_tokenizer *tokenizer;     /* one token a byte; special tokens are the shape's */
    fv_chat chat;
    fv_prompts *prompts;
    fv_dataset *dataset;
    fv_processor processor;
    fv_view_cache *views;
    fv_prompt_builder builder;
} fv_bench_questions;

/* texts: with an image. FV_ERR_ARGUMENT: that, and the wording, take all tokens of a prompt. On failure it is
 * still to be finished. */
fv_err fv_bench_questions_init(fv_bench_questions *questions, const fv_bench *bench,
                               const fv_bench_texts *texts);
void fv_bench_questions_fini(fv_bench_questions *questions); /* back to {0} */

#endif
