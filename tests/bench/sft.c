/* Supervised training of a small Qwen2 model: tokens a second of forward pass, backward pass and AdamW in
 * fp32, beside PyTorch (tests/bench/sft.py) on the same folder, tokens and threads, by turns. The losses of
 * both are printed: the work is the same.
 *
 * usage: bench_sft [THREADS [ROUNDS]]      by default one thread and then all; 5 rounds */
#include "bench.h"
#include "fovea/base/process/child.h"
#include "fovea/model/hf/folder.h"
#include "fovea/train/update.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { N = 4, TOKENS = 512, VOCAB = 8192, MAX_ROUNDS = 99 };

static const fv_model_shape shape = {.family = FV_FAMILY_QWEN2,
                                     .text = {.n_layers = 8,
                                              .hidden = 512,
                                              .n_heads = 8,
                                              .n_kv_heads = 2,
                                              .head_dim = 64,
                                              .intermediate = 1408,
                                              .vocab = VOCAB,
                                              .max_positions = 4096,
                                              .mrope_section = {32, 0, 0},
                                              .has_qkv_bias = 1,
                                              .rope_theta = 1e6f,
                                              .norm_eps = 1e-6f},
                                     .pad_id = -1,
                                     .bos_id = -1};
static char folder[] = "/tmp/fovea_bench_XXXXXX";

static fv_err fill_rows(void *list, int param, int64_t first, int64_t n, float *out)
{
    fv_param_fill(&((const fv_param_list *)list)->items[param], 1, first, n, out);
    return FV_OK;
}

static fv_err make_folder(void)
{
    fv_param_list list;
    const fv_generation_defaults generation = {.temperature = 1};
    FV_TRY(fv_param_list_init(&list, &shape));
    fv_err err = fv_folder_write(folder, &(fv_folder_write_args){.shape = &shape,
                                                                 .generation = &generation,
                                                                 .style = FV_FOLDER_V4,
                                                                 .dtype = FV_F32,
                                                                 .max_shard_bytes = FV_FOLDER_SHARD_BYTES,
                                                                 .writes = 1,
                                                                 .rows = fill_rows,
                                                                 .context = &list});
    fv_param_list_fini(&list);
    return err;
}

/* A sequence as a prompt of one token and an answer; tests/bench/sft.py makes the same ones. */
static fv_err make_sequence(int number, fv_group *out)
{
    FV_TRY(fv_group_init(out, number, number, 1));
    fv_response *response = &out->responses[0];
    FV_TRY(fv_tokens_reserve(&out->prompt, 1));
    FV_TRY(fv_tokens_reserve(&response->ids, TOKENS));
    response->logprobs = calloc(TOKENS, sizeof *response->logprobs);
    response->loss_mask = malloc(TOKENS);
    FV_CHECK(response->logprobs && response->loss_mask, FV_ERR_MEMORY, "no memory for a sequence");
    memset(response->loss_mask, 1, TOKENS);
    response->advantage = 1;
    for (int i = 0; i <= TOKENS; i++) {
        fv_tokens *to = i == 0 ? &out->prompt : &response->ids;
        to->ids[to->n++] = (number * 131 + i * i * 7 + i) % VOCAB;
    }
    return FV_OK;
}

/* What one step took, and its loss. */
typedef struct result {
    double seconds, cpu_seconds, loss;
} result;

typedef struct side {
    fv_comm *self;
    fv_backend *backend;
    fv_model *model;
    fv_policy *policy;
    fv_optimizer optimizer;
    fv_updater *updater;
    fv_group groups[N];
    fv_child *peer; /* NULL: it is not there */
} side;

static fv_err open_side(side *s, int n_threads)
{
    const fv_policy_settings plain = {.temperature = 1};
    const fv_optimizer_settings adamw = {0.9f, 0.999f, 1e-8f, 0.01f, 1.0f};
    for (int i = 0; i < N; i++)
        FV_TRY(make_sequence(i, &s->groups[i]));
    FV_TRY(fv_comm_self(&s->self));
    FV_TRY(fv_backend_cpu_create(NULL, n_threads, &s->backend));
    FV_TRY(fv_model_open(&(fv_model_args){s->backend, s->self, folder}, &s->model));
    FV_TRY(fv_policy_create(s->model, &plain, &s->policy));
    FV_TRY(fv_optimizer_init(&s->optimizer, s->model, s->self, &adamw));
    const fv_updater_args args = {.settings = {.loss = FV_LOSS_SUPERVISED,
                                               .micro_tokens = N * TOKENS,
                                               .save = FV_SAVE_ALL,
                                               .is_supervised = 1},
                                  .policy = s->policy,
                                  .optimizer = &s->optimizer};
    return fv_updater_create(&args, &s->updater);
}

static void close_side(side *s)
{
    fv_child_destroy(s->peer);
    fv_updater_destroy(s->updater);
    fv_optimizer_fini(&s->optimizer);
    fv_policy_destroy(s->policy);
    fv_model_destroy(s->model);
    fv_backend_destroy(s->backend);
    fv_comm_destroy(s->self);
    for (int i = 0; i < N; i++)
        fv_group_fini(&s->groups[i]);
}

static fv_err step(side *s, result *out)
{
    fv_update_stats stats;
    double from = bench_now(), cpu_from = bench_read(CLOCK_PROCESS_CPUTIME_ID);
    FV_TRY(fv_update(s->updater, s->groups, N, 1e-4, &stats));
    *out = (result){bench_now() - from, bench_read(CLOCK_PROCESS_CPUTIME_ID) - cpu_from, stats.loss};
    return FV_OK;
}

/* The peer answers every line with its result. */

static fv_err hear(fv_child *peer, result *out)
{
    fv_slice line;
    for (int is_there = 0; !is_there;) {
        FV_CHECK(!fv_child_is_gone(peer), FV_ERR_IO, "tests/bench/sft.py has ended");
        FV_TRY(fv_child_move(peer, 1));
        FV_TRY(fv_child_hear(peer, &line, &is_there));
    }
    char text[128];
    snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
    FV_CHECK(sscanf(text, "%lf %lf %lf", &out->seconds, &out->cpu_seconds, &out->loss) == 3, FV_ERR_FORMAT,
             "tests/bench/sft.py says \"%s\"", text);
    return FV_OK;
}

static fv_err open_peer(side *s, int n_threads)
{
    char command[512];
    if (access(BENCH_PYTHON, X_OK) != 0)
        return FV_OK;
    snprintf(command, sizeof command, BENCH_PYTHON " " BENCH_SOURCES "/tests/bench/sft.py %s %d", folder,
             n_threads);
    return fv_child_start(command, &s->peer);
}

static fv_err step_peer(side *s, result *out)
{
    *out = (result){0};
    if (!s->peer)
        return FV_OK;
    FV_TRY(fv_child_say(s->peer, fv_slice_of("step")));
    return hear(s->peer, out);
}

static void print(const char *name, const result *results, int rounds)
{
    double seconds[MAX_ROUNDS], cpu_seconds[MAX_ROUNDS];
    for (int i = 0; i < rounds; i++) {
        seconds[i] = results[i + 1].seconds;
        cpu_seconds[i] = results[i + 1].cpu_seconds;
    }
    double time = bench_median(seconds, rounds), cpu = bench_median(cpu_seconds, rounds);
    printf("  %-8s %8.0f tokens/s %8.0f a second of processor time   loss %.6f, then %.6f\n", name,
           N * TOKENS / time, N * TOKENS / cpu, results[0].loss, results[1].loss);
}

static fv_err compare(side *s, int rounds)
{
    result ours[MAX_ROUNDS + 1], theirs[MAX_ROUNDS + 1];
    double ratios[MAX_ROUNDS];
    for (int i = 0; i <= rounds; i++) { /* the first is to get warm */
        FV_TRY(step(s, &ours[i]));
        FV_TRY(step_peer(s, &theirs[i]));
        if (i > 0)
            ratios[i - 1] = theirs[i].cpu_seconds / ours[i].cpu_seconds;
    }
    print("fovea", ours, rounds);
    if (s->peer)
        print("PyTorch", theirs, rounds);
    if (s->peer)
        printf("  fovea does %.2f times the tokens in a second of processor time (median of %d rounds)\n",
               bench_median(ratios, rounds), rounds);
    return FV_OK;
}

static fv_err measure(int n_threads, int rounds)
{
    side s = {0};
    printf("%d sequences of %d tokens, %d threads\n", N, TOKENS, n_threads);
    fv_err err = open_side(&s, n_threads);
    if (err == FV_OK)
        err = open_peer(&s, n_threads);
    if (err == FV_OK)
        err = compare(&s, rounds);
    close_side(&s);
    return err;
}

int main(int argc, char **argv)
{
    char command[64];
    int n_threads = argc > 1 ? atoi(argv[1]) : 1, rounds = argc > 2 ? atoi(argv[2]) : 5;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    fv_err err = mkdtemp(folder) ? make_folder() : FV_FAIL(FV_ERR_IO, "cannot make %s", folder);
    if (err == FV_OK)
        err = measure(n_threads, rounds);
    if (err == FV_OK && argc < 2 && omp_get_num_procs() > 1)
        err = measure(omp_get_num_procs(), rounds);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", folder);
    if (err != FV_OK)
        fprintf(stderr, "%s\n", fv_error_text());
    return err != FV_OK;
}
