/* Judges: who says whether an answer is right. Local.
 *
 * Questions are handed in one by one while the rollout still runs, and verdicts are collected when they are
 * needed, so a judge may work on many at once. A judge that gives no verdict (a time-out, a refusal, a text
 * that is none) leaves has_verdict at 0: the answer is then neither right nor wrong. */
#ifndef FOVEA_JUDGE_H
#define FOVEA_JUDGE_H

#include "fovea/rules.h"
#include "fovea/verdict.h"

typedef struct fv_judge fv_judge;

typedef struct fv_case {
    fv_slice question, answer, truth; /* borrowed until collect has returned; answer: the answer proper */
} fv_case;

/* The table that a judge fills; all REQUIRED. */
typedef struct fv_judge_table {
    const char *name;
    /* *verdict is {0}, stays where it is, and is written before collect returns. */
    fv_err (*submit)(fv_judge *, const fv_case *, fv_verdict *verdict);
    fv_err (*collect)(fv_judge *);
    void (*destroy)(fv_judge *);
} fv_judge_table;

struct fv_judge {
    const fv_judge_table *table;
    const void *state; /* the judge's own */
};

/* A rule (rules.h) as a judge: gives every verdict at once. rule is borrowed. */
fv_err fv_judge_rule_create(const fv_rule *rule, fv_judge **out);

fv_err fv_judge_submit(fv_judge *judge, const fv_case *asked, fv_verdict *verdict);
fv_err fv_judge_collect(fv_judge *judge);
void fv_judge_destroy(fv_judge *judge); /* NULL is fine */

#endif
