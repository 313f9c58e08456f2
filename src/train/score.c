#include "fovea/train/score.h"

#include <stdlib.h>
#include <string.h>

static int64_t count_generated(const fv_response *response)
{
    int64_t n = 0;
    for (int r = 0; r < response->n_turns; r++)
        n += response->turns[r].n;
    return n;
}

static fv_err keep_verdict(void *context, fv_verdict verdict)
{
    *(fv_verdict *)context = verdict;
    return FV_OK;
}

static fv_err begin_sample(fv_scoring *s, const fv_score_settings *settings, const fv_dialogue *dialogue,
                           const fv_row *row, fv_judge *judge, int i)
{
    fv_response *response = &s->group->responses[i];
    fv_buffer *texts = s->turns + i * FV_MAX_TURNS;
    fv_slice turns[FV_MAX_TURNS];
    int n = response->n_turns;
    for (int r = 0; r < n; r++) {
        FV_TRY(fv_response_text(dialogue, response, r, &texts[r]));
        turns[r] = (fv_slice){texts[r].data, texts[r].size};
    }
    response->is_called = fv_turns_called(turns, n);
    response->reward =
        (fv_reward){.format = fv_format_score(&settings->format, turns, n),
                    .overlong = fv_overlong_penalty(&settings->overlong, count_generated(response))};
    const fv_case asked = {.question = fv_slice_of(row->question),
                           .answer = fv_answer_extract(settings->extraction, turns[n - 1]),
                           .truth = fv_row_truths(row->answer, row->more_bytes)};
    return judge ? fv_judge_ask(judge, &asked, (fv_waiter){keep_verdict, &s->verdicts[i]}) : FV_OK;
}

fv_err fv_scoring_begin(fv_scoring *s, const fv_score_settings *settings, const fv_dialogue *dialogue,
                        const fv_row *row, fv_judge *judge, fv_group *group)
{
    size_t n = (size_t)fv_group_size(group);
    *s = (fv_scoring){.group = group,
                      .turns = calloc(n * FV_MAX_TURNS, sizeof *s->turns),
                      .verdicts = calloc(n, sizeof *s->verdicts),
                      .rewards = calloc(n, sizeof *s->rewards),
                      .called = calloc(n, sizeof *s->called)};
    int is_there = s->turns && s->verdicts && s->rewards && s->called;
    fv_err err = is_there ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate the scoring of %zu samples", n);
    for (int i = 0; i < fv_group_size(group) && err == FV_OK; i++)
        err = begin_sample(s, settings, dialogue, row, judge, i);
    if (err != FV_OK)
        fv_scoring_fini(s);
    return err;
}

/* The tool penalty looks at a group's rewards and calls side by side. */
static void apply_tool_penalty(fv_scoring *s, const fv_score_settings *settings)
{
    fv_response *responses = s->group->responses;
    int n = fv_group_size(s->group);
    for (int i = 0; i < n; i++) {
        s->rewards[i] = responses[i].reward;
        s->called[i] = (uint8_t)responses[i].is_called;
    }
    fv_tool_penalty_apply(&settings->tool_penalty, settings->accuracy_weight, s->called, n, s->rewards);
    for (int i = 0; i < n; i++)
        responses[i].reward = s->rewards[i];
}

void fv_scoring_end(fv_scoring *s, const fv_score_settings *settings)
{
    for (int i = 0; i < fv_group_size(s->group); i++) {
        fv_reward *reward = &s->group->responses[i].reward;
        reward->accuracy = s->verdicts[i].score;
        reward->has_verdict = s->verdicts[i].has_verdict;
        reward->why = s->verdicts[i].why;
    }
    apply_tool_penalty(s, settings);
    fv_scoring_fini(s);
}

void fv_scoring_fini(fv_scoring *s)
{
    for (int i = 0; s->turns && i < fv_group_size(s->group) * FV_MAX_TURNS; i++)
        fv_buffer_fini(&s->turns[i]);
    free(s->turns);
    free(s->verdicts);
    free(s->rewards);
    free(s->called);
    *s = (fv_scoring){0};
}
