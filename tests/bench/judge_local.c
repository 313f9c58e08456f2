/* The local judge with a model of the shape of Qwen2.5-0.5B and random weights: verdicts a second, with many
 * cases at once and with one, each in a judge of its own that reads the instruction once.
 *
 * usage: bench_judge_local [FOLDER]   (where to make the model, 1 GB; default /tmp) */
#include "bench.h"
#include "fovea/base/file.h"
#include "fovea/model/hf/folder.h"
#include "fovea/reward/judge/judge_local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 32, ROUNDS = 3 };

static char folder[256];
static int64_t n_given, n_none;

static fv_err fill_rows(void *list, int param, int64_t first, int64_t n, float *out)
{
    fv_param_fill(&((fv_param_list *)list)->items[param], 1, first, n, out);
    return FV_OK;
}

static fv_err make_folder(void)
{
    char tokenizer[300];
    fv_model_shape shape;
    fv_param_list list;
    FV_TRY(fv_model_shape_load_yaml(BENCH_SOURCES "/configs/model/qwen2.5-0.5b.yaml", &shape));
    FV_TRY(fv_param_list_init(&list, &shape));
    const fv_generation_defaults generation = {.temperature = 1};
    const fv_folder_write_args args = {.shape = &shape,
                                       .generation = &generation,
                                       .style = FV_FOLDER_V4,
                                       .dtype = FV_BF16,
                                       .max_shard_bytes = FV_FOLDER_SHARD_BYTES,
                                       .writes = 1,
                                       .rows = fill_rows,
                                       .context = &list};
    fv_err err = fv_folder_write(folder, &args);
    fv_param_list_fini(&list);
    FV_TRY(err);
    FV_TRY(fv_file_path(tokenizer, sizeof tokenizer, folder, "tokenizer.json"));
    return fv_file_copy(BENCH_DATA "/tokenizer/tokenizer.json", tokenizer);
}

static fv_err take(void *context, fv_verdict verdict)
{
    (void)context;
    n_given++;
    n_none += !verdict.has_verdict;
    return FV_OK;
}

/* Seconds for n cases. */
static fv_err judge_cases(fv_judge *judge, int n, double *seconds)
{
    char(*answers)[64] = malloc((size_t)n * sizeof *answers);
    fv_err err = FV_OK;
    FV_CHECK(answers, FV_ERR_MEMORY, "no memory for %d answers", n);
    n_given = n_none = 0;
    double from = bench_now();
    for (int i = 0; i < n; i++) {
        snprintf(answers[i], sizeof answers[i], "There are %d apples, as far as I can see.", i);
        const fv_case asked = {fv_slice_of("How many apples are in the basket on the left?"),
                               fv_slice_of(answers[i]), fv_slice_of("12")};
        FV_TRY_DONE(fv_judge_ask(judge, &asked, (fv_waiter){take, NULL}));
    }
    FV_TRY_DONE(fv_judge_collect(judge));
    *seconds = bench_now() - from;
    FV_CHECK_DONE(n_given == n && n_none == 0, FV_ERR_INTERNAL, "%lld of %d verdicts, %lld of them none",
                  (long long)n_given, n, (long long)n_none);
done:
    free(answers);
    return err;
}

static fv_err measure(fv_backend *backend, int running, int n, double *rate)
{
    const fv_judge_local_settings settings = {.folder = folder,
                                              .method = FV_JUDGE_COMPARE,
                                              .running = running,
                                              .pass_tokens = 4096,
                                              .cache_pages = 256};
    fv_judge_prompt *prompt;
    fv_judge *judge;
    double seconds[ROUNDS];
    FV_TRY(fv_judge_prompt_load(BENCH_SOURCES "/configs/prompts/judge-words.yaml", &prompt));
    FV_TRY(fv_judge_local_create(backend, &settings, prompt, &judge));
    fv_err err = judge_cases(judge, 1, &seconds[0]); /* the instruction, and memory */
    for (int i = 0; i < ROUNDS && err == FV_OK; i++)
        err = judge_cases(judge, n, &seconds[i]);
    fv_judge_destroy(judge);
    if (err == FV_OK)
        *rate = n / bench_median(seconds, ROUNDS);
    return err;
}

static fv_err count_tokens(size_t *shared, size_t *of_case)
{
    const fv_case asked = {fv_slice_of("How many apples are in the basket on the left?"),
                           fv_slice_of("There are 10 apples, as far as I can see."), fv_slice_of("12")};
    fv_judge_prompt *prompt;
    fv_tokenizer *tokenizer;
    fv_judge_tokens tokens;
    fv_tokens ids = {0};
    FV_TRY(fv_judge_prompt_load(BENCH_SOURCES "/configs/prompts/judge-words.yaml", &prompt));
    FV_TRY(fv_tokenizer_load(folder, &tokenizer));
    FV_TRY(fv_judge_tokens_init(&tokens, tokenizer, prompt, FV_JUDGE_COMPARE));
    FV_TRY(fv_judge_tokens_case(&tokens, &asked, &ids, NULL, NULL));
    *shared = tokens.fixed[0].n;
    *of_case = ids.n;
    fv_tokens_fini(&ids);
    fv_judge_tokens_fini(&tokens);
    fv_tokenizer_destroy(tokenizer);
    fv_judge_prompt_destroy(prompt);
    return FV_OK;
}

static fv_err report(void)
{
    fv_backend *backend;
    size_t shared = 0, of_case = 0;
    double together = 0, alone = 0;
    FV_TRY(make_folder());
    FV_TRY(count_tokens(&shared, &of_case));
    FV_TRY(fv_backend_cpu_create(NULL, 0, &backend));
    fv_err err = measure(backend, N, N, &together);
    if (err == FV_OK)
        err = measure(backend, 1, N / 8, &alone);
    fv_backend_destroy(backend);
    if (err == FV_OK)
        printf("%zu tokens of instruction, read once, and %zu of a case: %.2f verdicts a second with %d "
               "cases at once (%.0f tokens/s), %.2f with one\n",
               shared, of_case, together, N, together * (double)of_case, alone);
    return err;
}

int main(int argc, char **argv)
{
    char command[300];
    snprintf(folder, sizeof folder, "%.200s/fovea_bench_judge.%d", argc > 1 ? argv[1] : "/tmp", 1);
    fv_err err = report();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", folder);
    if (err != FV_OK)
        fprintf(stderr, "%s\n", fv_error_text());
    return err != FV_OK;
}
