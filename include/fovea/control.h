/* The control penalty of VisionThink: it keeps the rate of tool calls from going to 0 or 1. Local.
 *
 * Over the n answers to one prompt let r = (correct direct answers) / (correct answers); an answer is direct
 * if it holds no call, well-formed or not (fv_turns_called), and correct if its accuracy is at least 0.5.
 *
 *   none   Nobody pays.
 *   paper  r < theta: every correct direct answer pays size; else every correct answer with a call does
 *          (VisionThink, Yang et al., 2025).
 *   code   Every answer with a call pays size x its accuracy; and if 0 < r < theta every correct direct
 *          answer pays size (the released program, which multiplies the accuracy of a call by 0.9).
 *
 * Without a correct answer there is no r and, by either rule, nobody but a partly right caller (code) pays.
 */
#ifndef FOVEA_CONTROL_H
#define FOVEA_CONTROL_H

#include "fovea/reward.h"

typedef enum fv_control_rule { FV_CONTROL_NONE, FV_CONTROL_PAPER, FV_CONTROL_CODE } fv_control_rule;

typedef struct fv_control_settings {
    fv_control_rule rule;
    double theta; /* 0 to 1 */
    double size;  /* 0 or more */
} fv_control_settings;
#define FV_CONTROL_DEFAULT ((fv_control_settings){.rule = FV_CONTROL_PAPER, .theta = 0.2, .size = 0.1})

fv_err fv_control_check(const fv_control_settings *settings);

/* Set rewards[i].control of the n answers of one group from their accuracies; called (n): whether the answer
 * holds a call. In a group with a missing verdict r is unknown: all its controls are 0, and the group is
 * dropped (advantage.h). */
void fv_control_apply(const fv_control_settings *settings, const uint8_t *called, int n, fv_reward *rewards);

#endif
