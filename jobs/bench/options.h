/* The command line of fovea bench. */
#ifndef FOVEA_JOBS_BENCH_OPTIONS_H
#define FOVEA_JOBS_BENCH_OPTIONS_H

#include "jobs/runtime.h"

/* X(name, what it measures). The function is fv_bench_<name>. */
#define FV_BENCH_LIST(X)                                                               \
    X(decode, "tokens of many samples at once, one each a pass")                       \
    X(prefill, "prompts through the decoder")                                          \
    X(vision, "images through the vision tower")                                       \
    X(rollout, "groups of samples of prompts with an image, as a trainer does")        \
    X(train, "a supervised step over packed sequences with an image")                  \
    X(update, "an update over groups of samples, as trees and each behind its prompt") \
    X(step, "a whole step of reinforcement learning")                                  \
    X(judge, "verdicts of a local judge as large as the decoder")                      \
    X(start, "a process from its start to its first token, with a folder of weights")

enum {
#define X(name, help) FV_BENCH_##name,
    FV_BENCH_LIST(X)
#undef X
        FV_N_BENCHES
};

enum { FV_BENCH_MAX_BATCHES = 8, FV_BENCH_MAX_REPEATS = 99 };

typedef struct fv_bench_options {
    fv_runtime_options runtime;
    const char *shape;       /* a name, or a file */
    int asked[FV_N_BENCHES]; /* 1: this one */
    int batches[FV_BENCH_MAX_BATCHES], n_batches;
    int prompt;    /* tokens of a prompt, those of its image included */
    int generated; /* tokens of a sample */
    int prompts, samples;
    int image;             /* pixels of an edge */
    int length, n_lengths; /* tokens of a whole sequence, and how many of them */
    int pass_tokens, micro_tokens, recompute, kept_layers;
    int is_split, has_half_moments, is_on_host; /* of the optimizer: FV_MASTER_SPLIT, FV_MOMENTS_BF16,
                                                   FV_ON_HOST_MOMENTS */
    int repeats;
    const char *json; /* a file; "-": standard output */
    int is_profile;
    int is_beside_any_order; /* beside each figure the same without the same bits, and what they cost */
    int argc;                /* the command line itself */
    char **argv;
} fv_bench_options;

/* Ends the program if the command line is wrong. */
void fv_bench_options_parse(int argc, char **argv, fv_bench_options *out);

#endif
