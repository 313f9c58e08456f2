#include "fovea/eval/select.h"

#include <string.h>

enum { LOW, HIGH, N_VIEWS };

/* Rows of one call. */
typedef struct selecting {
    const fv_collector *with;
    const fv_select_args *args;
    const uint64_t *rows;
    int n;
    int asked[FV_SELECT_MOST]; /* of rows, those that a view is asked about */
    int n_asked;
    fv_selected *found;
    int64_t generated_tokens;
} selecting;

static uint64_t row_of(const void *context, int64_t prompt_index)
{
    const selecting *s = context;
    return s->rows[s->asked[prompt_index]];
}

/* Right answers, and those without a verdict. */
static int count_right(const fv_group *group, int *n_unjudged)
{
    int right = 0, unjudged = 0;
    for (int i = 0; i < group->n_samples; i++) {
        const fv_reward *reward = &group->responses[i].reward;
        right += reward->has_verdict && reward->accuracy >= 0.5;
        unjudged += !reward->has_verdict;
    }
    *n_unjudged += unjudged;
    return unjudged ? FV_SELECTED_NO_VERDICT : right;
}

/* The groups come in the order of the rows asked. */
static void note(selecting *s, int view, const fv_batch *batch)
{
    for (int g = 0; g < batch->n; g++) {
        fv_selected *found = &s->found[s->asked[g]];
        *(view == LOW ? &found->low : &found->high) = count_right(&batch->groups[g], &found->unjudged);
    }
}

/* The answers to one view of all rows asked. */
static fv_err answer_view(selecting *s, int view)
{
    fv_prompt_builder builder = *s->args->builder;
    fv_rollout_settings rollout = *s->args->rollout;
    const fv_collect_args args = {.builder = &builder,
                                  .rollout = &rollout,
                                  .step = (uint32_t)view, /* draws of its own */
                                  .n = s->n_asked,
                                  .n_samples = s->args->n_samples,
                                  .draws_by_row = 1,
                                  .row_of = row_of,
                                  .row_context = s};
    fv_batch begun = {0}, batch;
    fv_collect_stats stats;
    builder.first = view == HIGH ? FV_FIRST_HIGH : FV_FIRST_LOW;
    rollout.dialogue.max_turns = 1;
    fv_err err = fv_collect(s->with, &args, &begun, &batch, &stats);
    fv_batch_fini(&begun); /* a stopped call begins again */
    FV_TRY(err);
    note(s, view, &batch);
    s->generated_tokens += stats.rollout.generated_tokens;
    fv_batch_fini(&batch);
    return FV_OK;
}

/* Rows of which the high-resolution view can still make something. */
static void keep_open(selecting *s)
{
    int n = s->args->n_samples, n_open = 0;
    for (int i = 0; i < s->n; i++) {
        int low = s->found[i].low;
        if (low != FV_SELECTED_NO_VERDICT && (low == n || n - low >= s->args->gain))
            s->asked[n_open++] = i;
    }
    s->n_asked = n_open;
}

fv_err fv_select(const fv_collector *with, const fv_select_args *args, const uint64_t *rows, int n,
                 fv_selected *found, int64_t *generated_tokens)
{
    selecting s = {.with = with, .args = args, .rows = rows, .n = n, .n_asked = n, .found = found};
    FV_CHECK(n >= 1 && n <= FV_SELECT_MOST, FV_ERR_ARGUMENT, "%d rows; expected 1 to %d", n, FV_SELECT_MOST);
    for (int i = 0; i < n; i++) {
        s.asked[i] = i;
        found[i] = (fv_selected){FV_SELECTED_NO_VERDICT, FV_SELECTED_NOT_ASKED, 0};
    }
    FV_TRY(answer_view(&s, LOW));
    keep_open(&s);
    if (s.n_asked)
        FV_TRY(answer_view(&s, HIGH));
    *generated_tokens += s.generated_tokens;
    return FV_OK;
}
