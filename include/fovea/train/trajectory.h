/* Prompts and responses as token ids: what the stages of a step hand on. Host data. Local.
 *
 * A prompt and its responses are one tree: the prompt's tokens come once, each response holds what follows.
 * Token ids are append-only: text is made from them, never the other way round. */
#ifndef FOVEA_TRAIN_TRAJECTORY_H
#define FOVEA_TRAIN_TRAJECTORY_H

#include "fovea/train/prompt_template.h"
#include "fovea/reward/reward.h"
#include "fovea/data/view.h"

enum { FV_MAX_TURNS = 8 };

/* A turn of the assistant: tokens [first, first + n) of the response, all generated; its end-of-turn token,
 * if it was generated, is the last of them. */
typedef struct fv_turn {
    int64_t first, n;
    int is_cut; /* ended by a length limit */
} fv_turn;

/* One response. Starts as {0} with its number. */
typedef struct fv_response {
    int sample;      /* its number in the group */
    fv_tokens ids;   /* owned: everything after the prompt: turns, and what the tool said and showed */
    float *logprobs; /* owned, (ids.n): of generated tokens, else 0; under softmax(logits / temperature) over
                        all ids but the excluded ones, whatever top-p or top-k left to draw from */
    uint8_t *loss_mask; /* owned, (ids.n): 1 for the tokens that are trained on */
    float *reference;   /* owned, (ids.n): logprobs under the reference policy; NULL until it is asked */
    fv_turn turns[FV_MAX_TURNS];
    int n_turns;
    int n_shown; /* times that the high-resolution view was shown */
    int is_done;
    int is_called;    /* a turn holds a call of the tool, well-formed or not */
    fv_reward reward; /* set by the reward stage */
    double advantage; /* set by the advantage stage */
} fv_response;

/* A prompt and its responses. Starts as {0}. */
typedef struct fv_group {
    int64_t prompt_index; /* among all prompts of a run, from 0: names the draws */
    int64_t row;          /* of the data set */
    fv_tokens prompt;     /* owned */
    int has_image;        /* the prompt shows the low-resolution view */
    int is_high_first;    /* the low-resolution view is the high-resolution one */
    fv_grid low, high;
    fv_response *responses; /* owned, (fv_group_size) */
    int n_samples;          /* generated as the settings say, and trained on */
    int has_greedy;         /* one more follows them, greedy: judged, but not trained on */
} fv_group;

static inline int fv_group_size(const fv_group *group)
{
    return group->n_samples + group->has_greedy;
}

/* Responses that are not done. */
int fv_group_open(const fv_group *group);

/* A view of a group's image; the caller releases it. */
typedef fv_err (*fv_view_of)(void *context, const fv_group *group, int is_high, fv_picture **view);
/* It will be asked for: whoever can make it ahead does. */
typedef void (*fv_want_view)(void *context, const fv_group *group, int is_high);

/* n_samples empty ones. */
fv_err fv_group_init(fv_group *group, int64_t prompt_index, int64_t row, int n_samples);
/* One more, the greedy one. */
fv_err fv_group_add_greedy(fv_group *group);
void fv_group_fini(fv_group *group); /* back to {0} */

/* What ends a turn and what follows it. */
typedef struct fv_dialogue {
    const fv_prompts *prompts; /* borrowed */
    const fv_chat *chat;       /* borrowed */
    int merge;                 /* patches of an edge that become one token */
    int max_turns;             /* turns of the assistant, at most FV_MAX_TURNS */
    int max_images;            /* in prompt and response together */
    int max_turn_tokens;       /* generated in one turn */
    int64_t max_tokens;        /* of prompt and response together */
} fv_dialogue;

/* FV_ERR_ARGUMENT names the setting that makes no sense. */
fv_err fv_dialogue_check(const fv_dialogue *dialogue);

/* Tokens of the turn in which the tool answers a good call for the first time; 0 if there is no turn for it.
 */
fv_err fv_dialogue_tool_tokens(const fv_dialogue *dialogue, const fv_group *group, int64_t *out);

/* Append a generated token. A turn ends with <|im_end|> or at a limit of length. Then, if the turn called the
 * tool and another one is left, the tool's turn is appended whole: the high-resolution view after a good
 * call, if max_images allows it, else what is wrong; a turn that was cut is closed with <|im_end|> first. If
 * nothing follows, or it would exceed max_tokens, the response is done. On failure the response can only be
 * freed. */
fv_err fv_response_push(const fv_dialogue *dialogue, const fv_group *group, fv_response *response, int32_t id,
                        float logprob);

/* The text of a turn, without its end-of-turn token, appended to out. */
fv_err fv_response_text(const fv_dialogue *dialogue, const fv_response *response, int turn, fv_buffer *out);

#endif
