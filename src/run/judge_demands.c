#include "fovea/run/judge_demands.h"

#include "fovea/model/nn/pages.h"
#include "fovea/model/shape/shape.h"

#include <stdlib.h>

struct fv_judge_demands {
    fv_tokenizer *tokenizer; /* owned, as are the next two */
    fv_judge_prompt *prompt;
    fv_judge_tokens tokens;
    int64_t positions; /* of the model */
    int64_t reply_tokens, answer_tokens;
    int cache_pages;
};

static fv_err open_all(fv_judge_demands *demands, const fv_judge_local_settings *settings, const char *prompt)
{
    fv_model_shape shape;
    FV_TRY(fv_model_shape_load(settings->folder, &shape, NULL));
    demands->positions = shape.text.max_positions;
    FV_TRY(fv_tokenizer_load(settings->folder, &demands->tokenizer));
    FV_TRY(fv_judge_prompt_load(prompt, &demands->prompt));
    return fv_judge_tokens_init(&demands->tokens, demands->tokenizer, demands->prompt, settings->method);
}

fv_err fv_judge_demands_open(const fv_judge_local_settings *settings, const char *prompt,
                             int64_t answer_tokens, fv_judge_demands **out)
{
    fv_judge_demands *demands = calloc(1, sizeof *demands);
    *out = NULL;
    FV_CHECK(demands, FV_ERR_MEMORY, "cannot allocate the demands of a judge");
    demands->answer_tokens = answer_tokens;
    demands->reply_tokens = settings->method == FV_JUDGE_THINK ? settings->reply_tokens : 0;
    demands->cache_pages = settings->cache_pages;
    fv_err err = open_all(demands, settings, prompt);
    if (err != FV_OK)
        fv_judge_demands_close(demands);
    else
        *out = demands;
    return err;
}

void fv_judge_demands_close(fv_judge_demands *demands)
{
    if (!demands)
        return;
    fv_judge_tokens_fini(&demands->tokens);
    fv_judge_prompt_destroy(demands->prompt);
    fv_tokenizer_destroy(demands->tokenizer);
    free(demands);
}

/* Of a case of n tokens after the beginning. */
static fv_err add(const fv_judge_demands *demands, int64_t n, const char *wish, fv_demands *out)
{
    int64_t beginning = (int64_t)demands->tokens.fixed[0].n, more = n + demands->reply_tokens;
    const fv_demand pages = {"judge.cache_pages",
                             "pages of the judge",
                             fv_pages_for(beginning + more),
                             demands->cache_pages,
                             wish,
                             0};
    const fv_demand tokens = {"what judge.model has positions for",
                              "tokens of the judge",
                              beginning + more,
                              demands->positions,
                              wish,
                              1};
    FV_TRY(fv_demands_add(out, pages));
    return fv_demands_add(out, tokens);
}

fv_err fv_judge_demands_measure(const void *context, const fv_row *row, fv_demands *out)
{
    const fv_judge_demands *demands = context;
    const fv_slice truth = fv_row_truths(row->answer, row->more_bytes);
    const fv_case asked = {fv_slice_of(row->question), fv_slice_of(row->answer), truth};
    fv_tokens ids = {0};
    fv_err err = fv_judge_tokens_case(&demands->tokens, &asked, &ids, NULL, NULL);
    int64_t n = (int64_t)ids.n;
    fv_tokens_fini(&ids);
    FV_TRY(err);
    FV_TRY(add(demands, n, NULL, out));
    return add(demands, n + demands->answer_tokens, "an answer of rollout.max_turn_tokens before the judge",
               out);
}
