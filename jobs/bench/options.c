#include "jobs/bench/options.h"

#include "jobs/option.h"
#include "jobs/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_SHAPE = 256,
    KEY_BATCH,
    KEY_PROMPT,
    KEY_NEW,
    KEY_PROMPTS,
    KEY_SAMPLES,
    KEY_IMAGE,
    KEY_LENGTH,
    KEY_SEQUENCES,
    KEY_PASS,
    KEY_MICRO,
    KEY_RECOMPUTE,
    KEY_KEPT,
    KEY_SPLIT,
    KEY_HALF,
    KEY_ON_HOST,
    KEY_REPEATS,
    KEY_JSON,
    KEY_PROFILE,
    KEY_ANY_ORDER,
    MOST = 1 << 20
};

static const struct argp_option options[] = {
    {"shape", KEY_SHAPE, "SHAPE", 0,
     "random weights of this shape: 3b or 7b of Qwen2.5-VL, tiny (default), or a file of "
     "configs/model",
     0},
    {"batch", KEY_BATCH, "N,...", 0, "samples at once, of decode (1,8,64)", 0},
    {"prompt", KEY_PROMPT, "N", 0, "tokens of a prompt, those of its image included (320; of tiny 80)", 0},
    {"new", KEY_NEW, "N", 0, "tokens of a sample (256; 32)", 0},
    {"prompts", KEY_PROMPTS, "N", 0, "of a rollout (32; 4)", 0},
    {"samples", KEY_SAMPLES, "N", 0, "samples of each of them (8; 4)", 0},
    {"image", KEY_IMAGE, "PIXELS", 0,
     "edge of an image (448; 112); that of vision is twice as long, as the high-resolution view is", 0},
    {"length", KEY_LENGTH, "N", 0, "tokens of a sequence of prefill and train (2048; 256)", 0},
    {"sequences", KEY_SEQUENCES, "N", 0, "such sequences at once, and images of vision (8; 4)", 0},
    {"pass-tokens", KEY_PASS, "N", 0, "tokens of a pass of the engine, at most (8192)", 0},
    {"micro-tokens", KEY_MICRO, "N", 0, "tokens of a micro-batch of train (4096)", 0},
    {"recompute", KEY_RECOMPUTE, NULL, 0, "train as with update.recompute", 0},
    {"kept-layers", KEY_KEPT, "N", 0, "as update.kept_layers (0)", 0},
    {"split", KEY_SPLIT, NULL, 0, "train as with optimizer.master: split", 0},
    {"bf16-moments", KEY_HALF, NULL, 0, "as with optimizer.moments: bf16", 0},
    {"on-host", KEY_ON_HOST, NULL, 0, "as with optimizer.on_host: moments", 0},
    {"repeats", KEY_REPEATS, "N", 0, "of each measurement, after one that does not count (5)", 0},
    {"json", KEY_JSON, "FILE", 0, "write all figures as JSON; -: to standard output, and nothing else", 0},
    {"profile", KEY_PROFILE, NULL, 0, "after each measurement the time by operation, of one more repeat", 0},
    {"without-same-bits", KEY_ANY_ORDER, NULL, OPTION_HIDDEN, NULL, 0},
    {0}};

#define AT(member) offsetof(fv_bench_options, member)
static const fv_option table[] = {{KEY_SHAPE, FV_OPTION_PATH, AT(shape)},
                                  {KEY_PROMPT, FV_OPTION_INT, AT(prompt), 1, MOST},
                                  {KEY_NEW, FV_OPTION_INT, AT(generated), 1, MOST},
                                  {KEY_PROMPTS, FV_OPTION_INT, AT(prompts), 1, MOST},
                                  {KEY_SAMPLES, FV_OPTION_INT, AT(samples), 1, MOST},
                                  {KEY_IMAGE, FV_OPTION_INT, AT(image), 1, MOST},
                                  {KEY_LENGTH, FV_OPTION_INT, AT(length), 1, MOST},
                                  {KEY_SEQUENCES, FV_OPTION_INT, AT(n_lengths), 1, MOST},
                                  {KEY_PASS, FV_OPTION_INT, AT(pass_tokens), 1, MOST},
                                  {KEY_MICRO, FV_OPTION_INT, AT(micro_tokens), 1, MOST},
                                  {KEY_RECOMPUTE, FV_OPTION_FLAG, AT(recompute)},
                                  {KEY_KEPT, FV_OPTION_INT, AT(kept_layers), 0, FV_MAX_LAYERS},
                                  {KEY_SPLIT, FV_OPTION_FLAG, AT(is_split)},
                                  {KEY_HALF, FV_OPTION_FLAG, AT(has_half_moments)},
                                  {KEY_ON_HOST, FV_OPTION_FLAG, AT(is_on_host)},
                                  {KEY_REPEATS, FV_OPTION_INT, AT(repeats), 1, FV_BENCH_MAX_REPEATS},
                                  {KEY_JSON, FV_OPTION_PATH, AT(json)},
                                  {KEY_PROFILE, FV_OPTION_FLAG, AT(is_profile)},
                                  {KEY_ANY_ORDER, FV_OPTION_FLAG, AT(is_beside_any_order)},
                                  {0}};

/* Sizes that are not given: of real models, and such that two cores measure everything in a minute or two. */
static const struct {
    size_t at;
    int real, tiny;
} sizes[] = {{AT(prompt), 320, 80}, {AT(generated), 256, 32}, {AT(prompts), 32, 4}, {AT(samples), 8, 4},
             {AT(image), 448, 112}, {AT(length), 2048, 256},  {AT(n_lengths), 8, 4}};

static void set_sizes(fv_bench_options *out)
{
    int is_tiny = !out->runtime.model && (!out->shape || strcmp(out->shape, "tiny") == 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int *size = (int *)(void *)((char *)out + sizes[i].at);
        if (*size == 0)
            *size = is_tiny ? sizes[i].tiny : sizes[i].real;
    }
}

static const char *const names[] = {
#define X(name, help) #name,
    FV_BENCH_LIST(X)
#undef X
        NULL};

static void ask(fv_bench_options *out, struct argp_state *state, const char *text)
{
    if (strcmp(text, "all") == 0) {
        for (int i = 0; i < FV_N_BENCHES; i++)
            out->asked[i] = 1;
        return;
    }
    out->asked[fv_parse_choice(state, "a measurement", text, names)] = 1;
}

/* The text stays as it is: any_order.c says it again. */
static void parse_batches(fv_bench_options *out, struct argp_state *state, const char *text)
{
    char one[16];
    out->n_batches = 0;
    for (const char *rest = text; rest; rest = strchr(rest, ',') ? strchr(rest, ',') + 1 : NULL) {
        if (out->n_batches == FV_BENCH_MAX_BATCHES)
            argp_error(state, "--batch has more than %d numbers", FV_BENCH_MAX_BATCHES);
        snprintf(one, sizeof one, "%.*s", (int)strcspn(rest, ","), rest);
        out->batches[out->n_batches++] = (int)fv_parse_integer(state, "--batch", one, 1, 4096);
    }
}

static error_t check(const fv_bench_options *out, struct argp_state *state)
{
    int n = 0;
    for (int i = 0; i < FV_N_BENCHES; i++)
        n += out->asked[i];
    if (n == 0)
        argp_error(state, "what to measure is missing");
    if (out->shape && out->runtime.model)
        argp_error(state, "--shape and --model are two models, expected one");
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    fv_bench_options *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->runtime;
        return 0;
    case ARGP_KEY_ARG:
        ask(out, state, text);
        return 0;
    case ARGP_KEY_END:
        set_sizes(out);
        return check(out, state);
    case KEY_BATCH:
        parse_batches(out, state, text);
        return 0;
    default:
        return fv_option_set(table, options, key, text, state, out);
    }
}

void fv_bench_options_parse(int argc, char **argv, fv_bench_options *out)
{
    const struct argp_child children[] = {{&fv_runtime_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {.options = options,
                              .parser = parse,
                              .args_doc = "WHAT...",
                              .children = children,
                              .doc =
                                  "Measure how fast this machine is, beside what it could do at most. WHAT "
                                  "is all, or some of:\v"
#define X(name, help) "  " #name ": " help "\n"
                              FV_BENCH_LIST(X)
#undef X
    };
    *out = (fv_bench_options){.runtime.needs_no_model = 1,
                              .argc = argc,
                              .argv = argv,
                              .batches = {1, 8, 64},
                              .n_batches = 3,
                              .pass_tokens = 8192,
                              .micro_tokens = 4096,
                              .repeats = 5};
    fv_terminal_parse(&argp, argc, argv, out);
}
