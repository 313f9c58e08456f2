/* The command line of fovea generate. */
#ifndef FOVEA_JOBS_GENERATE_OPTIONS_H
#define FOVEA_JOBS_GENERATE_OPTIONS_H

#include "jobs/runtime.h"

#include "fovea/data/view.h"

typedef struct fv_generate_options {
    fv_runtime_options runtime;
    const char **images; /* owned list */
    int n_images;
    fv_view_settings views; /* transparency always, the bounds with a wording */
    const char *prompt, *system;
    const char *prompts;  /* a wording; NULL: the chat template */
    int is_raw;           /* the prompt is markup */
    int json, max_tokens; /* 0: not given */
    double temperature, top_p, repetition_penalty;
    long top_k, seed; /* below 0: not given, as are the three above */
} fv_generate_options;

/* Ends the program if the command line is wrong. The caller frees images. */
void fv_generate_options_parse(int argc, char **argv, fv_generate_options *out);

#endif
