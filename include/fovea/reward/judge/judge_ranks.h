/* Ranks that judge for others: who asks sends its cases as messages to the rank that has the fewest of its
 * own, and takes verdicts up when it polls. Local.
 *
 * A rank that judges says every second that it is alive while it has cases; one that says nothing for
 * silence_s is a failure that names it. What fails on it fails, with its sentence, on
 * who asks. */
#ifndef FOVEA_REWARD_JUDGE_JUDGE_RANKS_H
#define FOVEA_REWARD_JUDGE_JUDGE_RANKS_H

#include "fovea/reward/judge/judge.h"
#include "fovea/comm/mailbox.h"

typedef struct fv_judge_ranks_settings {
    fv_mailbox *mailbox; /* borrowed */
    int first, n;        /* the ranks of its group that judge: [first, first + n) */
    double silence_s;
} fv_judge_ranks_settings;

/* Destroying it says goodbye to the ranks that judge. */
fv_err fv_judge_ranks_create(const fv_judge_ranks_settings *settings, fv_judge **out);

/* Judge for n_askers ranks with judge (borrowed) until all of them have said goodbye. A failure that they
 * have been told of has the scope FV_ERROR_AGREED_OTHER. */
fv_err fv_judge_serve(fv_judge *judge, fv_mailbox *mailbox, int n_askers);

#endif
