/* The tool penalty of VisionThink: it keeps the rate of tool calls from going to 0 or 1. Local.
 *
 * Over the n answers to one prompt let r = (correct direct answers) / (correct answers); an answer is direct
 * if it holds no call, well-formed or not (fv_turns_called), and correct if its accuracy is at least 0.5.
 *
 *   none   Nobody pays.
 *   paper  r < theta: every correct direct answer pays size; else every correct answer with a call does
 *          (VisionThink, Yang et al., 2025).
 *   code   The released program's arithmetic. Every answer with a call pays size x accuracy_weight x its
 *          accuracy, so that what accuracy adds to its reward is multiplied by 1 - size; and if
 *          0 < r < theta, with r = (correct direct answers) / (correct answers + 1e-4), every correct direct
 *          answer pays size.
 *          So 1 of 5 is below a theta of 0.2 here, and not by that of the paper.
 *
 * Without a correct answer there is no r and, by either kind, nobody but a partly right caller (code) pays.
 */
#ifndef FOVEA_REWARD_TOOL_PENALTY_H
#define FOVEA_REWARD_TOOL_PENALTY_H

#include "fovea/reward/reward.h"

typedef enum fv_tool_penalty_kind {
    FV_TOOL_PENALTY_NONE,
    FV_TOOL_PENALTY_PAPER,
    FV_TOOL_PENALTY_CODE
} fv_tool_penalty_kind;

typedef struct fv_tool_penalty_settings {
    fv_tool_penalty_kind kind;
    double theta; /* 0 to 1 */
    double size;  /* 0 or more */
} fv_tool_penalty_settings;
#define FV_TOOL_PENALTY_DEFAULT \
    ((fv_tool_penalty_settings){.kind = FV_TOOL_PENALTY_PAPER, .theta = 0.2, .size = 0.1})

fv_err fv_tool_penalty_check(const fv_tool_penalty_settings *settings);

/* Set rewards[i].tool_penalty of the n answers of one group from their accuracies; accuracy_weight: of the
 * reward; called (n): whether the answer holds a call. In a group with a missing verdict r is unknown: all
 * its tool penalties are 0, and the group is dropped (advantage.h). */
void fv_tool_penalty_apply(const fv_tool_penalty_settings *settings, double accuracy_weight,
                           const uint8_t *called, int n, fv_reward *rewards);

#endif
