/* An external program as a judge: JSON lines. Local.
 *
 * It reads {"id": 1, "question": "...", "answer": "...", "truth": "..."}, where truth is a list of strings if
 * several answers are accepted, and writes {"id": 1, "score": 0.5}, with a number from 0 to 1, or null if it
 * cannot say; in any order. If it ends, writes anything else, or
 * lets a case wait for deadline_s, it is ended and started again, and asked again what it has not answered,
 * each case up to `tries` times. A program that gives no verdict in `tries` starts in a row is a failure. It
 * ends with us, and sees none of our keys (child.h). */
#ifndef FOVEA_REWARD_JUDGE_JUDGE_PROGRAM_H
#define FOVEA_REWARD_JUDGE_JUDGE_PROGRAM_H

#include "fovea/reward/judge/judge.h"

typedef struct fv_judge_program_settings {
    const char *command; /* the shell's; borrowed */
    int in_flight;       /* cases that it has at once */
    double deadline_s;
    int tries;
} fv_judge_program_settings;

fv_err fv_judge_program_create(const fv_judge_program_settings *settings, fv_judge **out);

#endif
