/* The command line of fovea eval. */
#ifndef FOVEA_JOBS_EVAL_OPTIONS_H
#define FOVEA_JOBS_EVAL_OPTIONS_H

#include "jobs/runtime.h"

#include "fovea/eval/evaluate.h"

typedef struct fv_eval_options {
    fv_runtime_options runtime;
    const char *data, *out, *prompts;
    const char *task;  /* a file (task.h); NULL: a verifier scores, and there are no figures */
    const char *merge; /* the folder to write; NULL: evaluate */
    char **folders;    /* of shards to merge, (n_folders); borrowed from argv */
    int n_folders;
    int keeps; /* results that are there are no error */
    int has_mode;
    fv_eval_mode mode;
    int has_scoring; /* --verifier, --extraction or --by was given, which a task says */
    const fv_verifier *verifier;
    fv_extraction extraction;
    fv_view_settings views;
    double repetition_penalty; /* below 0: as the folder says */
    int n_samples;
    float temperature;
    long seed;
    int max_turn_tokens;          /* 0: as the task says, or as usual */
    int64_t max_tokens;           /* 0: what the model has room for */
    int max_running, pass_tokens; /* 0: by the back end */
    int cache_pages;              /* 0: for all that run at once, or what there is room for */
    int64_t limit;                /* 0: all rows */
    fv_too_long too_long;
    int shard, n_shards;
    const char *by; /* NULL: the rows' sources */
} fv_eval_options;

/* Ends the program if the command line is wrong. */
void fv_eval_options_parse(int argc, char **argv, fv_eval_options *out);

/* Put what the task says, and then what is usual, where the command line says nothing. The task's texts are
 * borrowed. FV_ERR_ARGUMENT: neither names a wording. */
fv_err fv_eval_options_complete(fv_eval_options *out, const fv_task *task);

#endif
