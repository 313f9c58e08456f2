/* A judge of a test's own, and cases with verdicts that are counted. */
#ifndef FOVEA_JUDGE_CASE_H
#define FOVEA_JUDGE_CASE_H

#include "test.h"

#include "fovea/reward/judge/judge.h"

/* A case and what came of it. */
typedef struct judged {
    fv_case asked;
    fv_verdict verdict;
    int n_given;
} judged;

/* j waits for the verdict. */
void judged_ask(fv_judge *judge, judged *j, const char *answer, const char *truth);

/* The same with several accepted answers: size bytes of truth. */
void judged_ask_several(fv_judge *judge, judged *j, const char *answer, const char *truth, size_t size);

/* "right", "wrong" or the reason for none; given exactly once. */
const char *judged_outcome(const judged *j);

/* Keeps what it is asked until it is polled; says right if the answer holds "good", nothing if it holds
 * "odd". */
typedef struct slow_judge {
    fv_case cases[64];
    fv_waiter waiters[64];
    int n, n_asked;
} slow_judge;

fv_err slow_submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter);

/* state is the test's. */
fv_judge *slow_create(slow_judge *state);

#endif
