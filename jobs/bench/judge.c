/* Verdicts of a local judge: a text model of the size of the shape's decoder, and cases of a short question,
 * two hundred bytes each. */
#include "jobs/bench/bench.h"
#include "jobs/bench/folder.h"
#include "jobs/model/random_folder.h"

#include "fovea/base/file.h"
#include "fovea/model/nn/flops.h"
#include "fovea/model/nn/pages.h"
#include "fovea/reward/judge/judge_local.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 96, TRUTH = 8 };

typedef struct judge {
    fv_bench_folder folder;
    char model[PATH_MAX], prompt[PATH_MAX];
    fv_model_shape shape;
    fv_judge *judge;
    int n, running; /* cases; at once */
    int n_given;
    int64_t case_tokens; /* of one, behind the instruction */
} judge;

/* Names of the same length tell cases apart. */
static fv_case case_of(int i, char texts[3][TEXT + 1])
{
    snprintf(texts[0], TEXT + 1, "%0*d", TEXT, i);
    snprintf(texts[1], TEXT + 1, "%0*d", TEXT, 7 * i + 1);
    snprintf(texts[2], TRUTH + 1, "%0*d", TRUTH, i % 100);
    return (fv_case){fv_slice_of(texts[0]), fv_slice_of(texts[1]), fv_slice_of(texts[2])};
}

static fv_err take(void *context, fv_verdict verdict)
{
    FV_CHECK(verdict.has_verdict, FV_ERR_INTERNAL, "a case without a verdict: %s",
             fv_unjudged_name(verdict.why));
    ((judge *)context)->n_given++;
    return FV_OK;
}

/* The texts of a case live until its verdict is there. */
static fv_err ask_all(void *context)
{
    enum { AT_ONCE = 256 };
    static char texts[AT_ONCE][3][TEXT + 1];
    judge *j = context;
    for (int first = 0; first < j->n; first += AT_ONCE) {
        for (int i = first; i < j->n && i < first + AT_ONCE; i++) {
            const fv_case asked = case_of(i, texts[i - first]);
            FV_TRY(fv_judge_ask(j->judge, &asked, (fv_waiter){take, j}));
        }
        FV_TRY(fv_judge_collect(j->judge));
    }
    return FV_OK;
}

/* The decoder of the shape, as a model of its own. */
static fv_err write_model(judge *j, const fv_bench *bench)
{
    static const char wording[] = "system: Compare an answer with the truth.\n"
                                  "user: 'Question: {question} Truth: {truth} Answer: {answer} Reply with "
                                  "[[YES]] or [[NO]].'\nverdict: words\n";
    fv_text_shape *text = &j->shape.text;
    j->shape = *fv_model_shape_of(bench->runtime.model);
    if (j->shape.vision.depth > 0)
        j->shape.family = FV_FAMILY_QWEN2;
    j->shape.vision = (fv_vision_shape){0};
    j->shape.image_id = j->shape.video_id = j->shape.vision_start_id = j->shape.vision_end_id = -1;
    text->mrope_section[0] = text->head_dim / 2;
    text->mrope_section[1] = text->mrope_section[2] = 0;
    const fv_random_folder as = {.shape = &j->shape,
                                 .is_noise = 1,
                                 .style = FV_FOLDER_V4,
                                 .dtype = FV_BF16,
                                 .shard_bytes = FV_FOLDER_SHARD_BYTES};
    FV_TRY(fv_file_path(j->model, sizeof j->model, j->folder.path, "model"));
    FV_TRY(fv_file_path(j->prompt, sizeof j->prompt, j->folder.path, "prompt.yaml"));
    FV_TRY(fv_file_write(j->prompt, wording, strlen(wording)));
    return fv_random_folder_write(j->model, &as);
}

static fv_err count_tokens(judge *j, const fv_tokenizer *tokenizer, const fv_judge_prompt *prompt)
{
    char texts[3][TEXT + 1];
    const fv_case asked = case_of(1, texts);
    fv_judge_tokens tokens = {0};
    fv_tokens ids = {0};
    fv_err err = fv_judge_tokens_init(&tokens, tokenizer, prompt, FV_JUDGE_COMPARE);
    if (err == FV_OK)
        err = fv_judge_tokens_case(&tokens, &asked, &ids, NULL, NULL);
    j->case_tokens = (int64_t)ids.n;
    fv_tokens_fini(&ids);
    fv_judge_tokens_fini(&tokens);
    return err;
}

/* prompt is taken. */
static fv_err open_judge(judge *j, fv_bench *bench, fv_judge_prompt *prompt)
{
    const fv_bench_options *o = &bench->options;
    int64_t longest = 4 * j->case_tokens;
    const fv_judge_local_settings settings = {
        .folder = j->model,
        .precision = *fv_model_precision(bench->runtime.model),
        .method = FV_JUDGE_COMPARE,
        .running = j->running,
        .pass_tokens = o->pass_tokens > j->running ? o->pass_tokens : j->running,
        .cache_pages = 2 * (j->running + 1) * (fv_pages_for(longest) + 1)};
    return fv_judge_local_create(bench->runtime.backend, &settings, prompt, &j->judge);
}

static fv_err open_all(judge *j, fv_bench *bench)
{
    fv_judge_prompt *prompt;
    fv_tokenizer *tokenizer = NULL;
    FV_TRY(fv_bench_folder_make(&j->folder));
    FV_TRY(write_model(j, bench));
    FV_TRY(fv_judge_prompt_load(j->prompt, &prompt));
    fv_err err = fv_tokenizer_load(j->model, &tokenizer);
    if (err == FV_OK)
        err = count_tokens(j, tokenizer, prompt);
    fv_tokenizer_destroy(tokenizer);
    if (err == FV_OK)
        return open_judge(j, bench, prompt);
    fv_judge_prompt_destroy(prompt);
    return err;
}

static fv_err measure(fv_bench *bench, judge *j)
{
    const fv_bench_options *o = &bench->options;
    const fv_bench_work work = {NULL, ask_all, j};
    fv_bench_figure figure = {.name = "judge", .unit = "verdicts"};
    j->n = o->prompts * o->samples;
    for (int i = 0; i < o->n_batches; i++)
        j->running = o->batches[i] > j->running ? o->batches[i] : j->running;
    FV_TRY(open_all(j, bench));
    FV_TRY(fv_bench_measure(bench, &work, &figure.seconds));
    snprintf(figure.what, sizeof figure.what, "%d cases of %lld tokens, %d at once", j->n,
             (long long)j->case_tokens, j->running);
    figure.units = j->n;
    figure.flops =
        j->n * ((double)j->case_tokens * fv_flops_of_token(&j->shape) + fv_flops_of_draw(&j->shape));
    figure.bound_s = fv_bench_bound(bench, 0, figure.flops);
    return fv_bench_tell(bench, &figure);
}

fv_err fv_bench_judge(fv_bench *bench)
{
    judge j = {0};
    fv_err err = measure(bench, &j);
    fv_judge_destroy(j.judge);
    fv_bench_folder_remove(&j.folder);
    return err;
}
