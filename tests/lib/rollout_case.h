/* Rollouts over three groups, of a model with random weights or of one that answers, calls and thinks. */
#ifndef FOVEA_ROLLOUT_CASE_H
#define FOVEA_ROLLOUT_CASE_H

#include "model_case.h"

#include "fovea/train/rollout.h"

enum { GROUPS = 3, ANSWERS = 4, IM_END = 258, MAX_TURN = 90 };

extern const int32_t rollout_excluded[5]; /* the vision tokens of tiny-vl */

typedef struct rollout_case {
    fv_backend *backend;
    fv_model *model;
    const char *folder; /* of the model, under temp_path */
    fv_tokenizer *tokenizer;
    fv_chat chat;
    fv_prompts *prompts;
    fv_group groups[GROUPS];
    int n_given, n_done, has_greedy;
    int is_left,
        passes_left; /* groups are as an earlier rollout left them; passes until one is ended, or -1 */
} rollout_case;

extern rollout_case rollout;

int rollout_setup(void **state);
int rollout_teardown(void **state);

/* From now on the model is "tiny-vl", as at first, or "talker": a chain_model.h that begins a turn in one of
 * four ways. */
void rollout_use(const char *folder);

/* Pixels are a function of row and view. */

fv_err rollout_view(void *context, const fv_group *group, int is_high, fv_picture **view);

/* A rollout, and the engine that it goes through. */
typedef struct rollout_plan {
    fv_rollout_settings rollout;
    fv_engine_settings engine;
    uint32_t step;
} rollout_plan;

rollout_plan rollout_settings(int max_running, int pass_tokens, int cache_pages);

/* Three groups whose prompts differ in length. stats may be NULL. */
fv_err rollout_through(fv_engine *engine, const rollout_plan *plan, fv_rollout_stats *stats);
/* The same, through an engine of their own. */
fv_err rollout_run(rollout_plan plan, fv_rollout_stats *stats);

/* Frees the groups. */
void rollout_forget(void);

#endif
