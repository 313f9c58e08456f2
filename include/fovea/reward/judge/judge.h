/* Judges: who says whether an answer is right. Local but for fv_judge_share.
 *
 * Questions are handed in one by one while a rollout runs; verdicts arrive whenever the judge is polled, in
 * any order, so a judge may have many questions with others at once. A judge that has another behind it
 * (inner) answers what it can and passes on the rest. After a failure a judge can only be destroyed. */
#ifndef FOVEA_REWARD_JUDGE_JUDGE_H
#define FOVEA_REWARD_JUDGE_JUDGE_H

#include "fovea/comm/comm.h"
#include "fovea/reward/verifier.h"
#include "fovea/reward/verdict.h"

#include <stdint.h>

typedef struct fv_judge fv_judge;

/* What is asked. The texts are borrowed until the verdict is given. */
typedef struct fv_case {
    fv_slice question, answer, truth; /* answer: the answer proper; truth: the accepted ones (truths.h) */
} fv_case;

/* Who waits for a verdict: take is called once. */
typedef struct fv_waiter {
    fv_err (*take)(void *context, fv_verdict verdict);
    void *context;
} fv_waiter;

/* Since they were last taken. */
typedef struct fv_judge_counts {
    int64_t n_asked;    /* cases that went to a model or a program and came back */
    int64_t n_tries;    /* requests made for them */
    int64_t n_cached;   /* verdicts that were in the log */
    int64_t n_compared; /* cases of which a verifier and the judge behind it both gave a verdict, */
    int64_t n_agreed;   /* and the same */
    double latency_s;   /* from the first request to the verdict, summed over n_asked */
} fv_judge_counts;

/* The table that a judge fills. */
typedef struct fv_judge_table {
    const char *name;
    fv_err (*submit)(fv_judge *, const fv_case *, fv_waiter); /* REQUIRED */
    /* Do what can be done now; if nothing can, wait up to wait_s first. NULL: inner is polled. */
    fv_err (*poll)(fv_judge *, double wait_s);
    /* Collective over comm: ranks that judge side by side tell each other what they have learnt. NULL:
     * nothing. */
    fv_err (*share)(fv_judge *, fv_comm *comm);
    void (*destroy)(fv_judge *); /* of state; NULL: there is nothing to do */
} fv_judge_table;

struct fv_judge {
    const fv_judge_table *table;
    void *state;     /* the judge's own */
    fv_judge *inner; /* owned; NULL: none */
    int64_t n_pending;
    fv_judge_counts counts;
};

/* For who implements a judge: make one (state and inner are taken, also on failure), and give a verdict. */
fv_err fv_judge_create(const fv_judge_table *table, void *state, fv_judge *inner, fv_judge **out);
fv_err fv_judge_give(fv_judge *judge, fv_waiter waiter, fv_verdict verdict);

/* For who asks. */
fv_err fv_judge_ask(fv_judge *judge, const fv_case *asked, fv_waiter waiter);
fv_err fv_judge_poll(fv_judge *judge, double wait_s);
fv_err fv_judge_collect(fv_judge *judge);                         /* poll until nothing is pending */
fv_err fv_judge_share(fv_judge *judge, fv_comm *comm);            /* of inner too. Collective over comm */
void fv_judge_take_counts(fv_judge *judge, fv_judge_counts *out); /* of inner too; all become 0 */
void fv_judge_destroy(fv_judge *judge);                           /* with inner. NULL is fine */

/* A verifier (verifier.h; borrowed) as a judge: gives every verdict at once. */
fv_err fv_judge_verifier_create(const fv_verifier *verifier, fv_judge **out);

/* What needs no model: an answer that is empty, or one punctuation mark or symbol and not the truth itself,
 * is wrong; one to which verifier (NULL: none) gives 1 is right. Everything else goes to inner, which is
 * taken, also on failure. Of what the verifier calls right the share audit, drawn by a hash of the case, is
 * asked all the same, to compare; the verifier's verdict stands. */
fv_err fv_judge_prefilter_create(const fv_verifier *verifier, double audit, fv_judge *inner, fv_judge **out);

/* Keys of a configuration that say how a judge is reached and what is kept of it; no verdict depends on them.
 * Members of a list of names. */
#define FV_JUDGE_CHANGEABLE_KEYS                                                             \
    "judge.url", "judge.key_file", "judge.ca_file", "judge.headers", "judge.key_over_http",  \
        "judge.in_flight", "judge.deadline_s", "judge.tries", "judge.budget_s", "judge.log", \
        "judge.log_verdicts"

#endif
