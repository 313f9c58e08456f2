/* Rows of a run are measured before anything is generated. */
#include "jobs/train/training.h"

enum { MAX_MEASURERS = 8 };

fv_dialogue_room fv_training_room(const fv_training *t, const fv_prompt_builder *builder,
                                  const fv_dialogue *dialogue)
{
    return (fv_dialogue_room){.builder = builder,
                              .dialogue = dialogue,
                              .cache_pages = t->config.rollout.cache_pages,
                              .tokens = "rollout.max_tokens",
                              .pages = "rollout.cache_pages"};
}

/* Of a judge that the run asks; one that only its log answers for has none. */
static fv_err open_judge_demands(fv_training *t)
{
    const fv_train_config *c = &t->config;
    if (t->judging.demands || c->reward.judge != FV_JUDGE_LOCAL)
        return FV_OK;
    fv_judge_local_settings settings = c->judge.local;
    settings.folder = c->judge.api.model;
    settings.reply_tokens = c->judge.api.reply_tokens;
    return fv_judge_demands_open(&settings, c->judge.prompt, c->rollout.max_turn_tokens, &t->judging.demands);
}

fv_err fv_training_measure(fv_training *t, const fv_training_rows *what, fv_rows *rows)
{
    fv_measurer all[MAX_MEASURERS];
    int n = 0;
    if (what->is_judged)
        FV_TRY(fv_comm_agree(t->runtime.world, open_judge_demands(t)));
    for (int i = 0; i < what->n_rooms; i++)
        all[n++] = (fv_measurer){fv_dialogue_measure, &what->rooms[i]};
    for (int i = 0; i < what->n_others; i++)
        all[n++] = what->others[i];
    if (what->is_judged && t->judging.demands)
        all[n++] = (fv_measurer){fv_judge_demands_measure, t->judging.demands};
    const fv_measure measure = {.dataset = what->data,
                                .name = what->name,
                                .n_rows = fv_dataset_rows(what->data),
                                .measurers = all,
                                .n_measurers = n,
                                .too_long = t->config.data.too_long,
                                .pixels = "views.max_pixels",
                                .skip = "data.too_long: skip"};
    FV_TRY(fv_rows_measure(&measure, t->runtime.world, rows));
    for (int i = 0; i < what->n_rooms; i++)
        fv_prompt_builder_largest(what->rooms[i].builder, rows->kept, rows->n, &t->questions.largest);
    return FV_OK;
}
