/* Verdicts, and how a model's reply becomes one. Local.
 *
 * A reply that does not keep to the grammar is no verdict: none is ever guessed. Of a reply that thinks
 * first, only what follows the last "</think>" counts.
 *
 *   score   One of
 *           - the number alone: "1", "0", "1.0", with punctuation or Markdown around it;
 *           - a JSON object, anywhere in the reply, with a member "score" that is 0 or 1; one at most;
 *           - a line "Score: 1", also "Final score = 0.0", in any case, with the mark of a list before it,
 *             Markdown or quotes around any part, and a colon of any script. Behind the number:
 *             punctuation, a remark in parentheses without digits, or a reason in English (", since
 *             they agree") that takes nothing back and names no other score.
 *           All lines and the object must agree; another value in one of them ("Score: 10", "Score: 1/2",
 *           "Score: 1, or 0", "Score: 1, since it is wrong") spoils the reply.
 *   words   [[YES]] or [[NO]] anywhere; nothing else stands in double brackets.
 */
#ifndef FOVEA_REWARD_VERDICT_H
#define FOVEA_REWARD_VERDICT_H

#include "fovea/base/text/slice.h"

/* Why there is no verdict: X(name, its name in metrics). */
#define FV_UNJUDGED_LIST(X)                                                                               \
    X(FV_UNJUDGED_NOT_ASKED, "not_asked")     /* nobody has been asked yet */                             \
    X(FV_UNJUDGED_UNREACHABLE, "unreachable") /* no connection, or one that broke, or a server's error */ \
    X(FV_UNJUDGED_BUSY, "busy")               /* too many requests, says the server */                    \
    X(FV_UNJUDGED_LATE, "late")               /* no reply in time */                                      \
    X(FV_UNJUDGED_REJECTED, "rejected")       /* the server does not take this request */                 \
    X(FV_UNJUDGED_GARBLED, "garbled")         /* not a response of such a server */                       \
    X(FV_UNJUDGED_TOO_LONG, "too_long")       /* more than a local judge can read */                      \
    X(FV_UNJUDGED_REFUSED, "refused")         /* the model, or a filter around it, declined */            \
    X(FV_UNJUDGED_CUT, "cut")                 /* the reply is not finished */                             \
    X(FV_UNJUDGED_UNCLEAR, "unclear")         /* the reply is outside the grammar */                      \
    X(FV_UNJUDGED_BOTH, "both")               /* the reply says right and wrong */                        \
    X(FV_UNJUDGED_UNKNOWN, "unknown")         /* not in the log, and nobody to ask */

typedef enum fv_unjudged {
#define X(name, text) name,
    FV_UNJUDGED_LIST(X)
#undef X
        FV_N_UNJUDGED
} fv_unjudged;

const char *fv_unjudged_name(fv_unjudged why); /* static */

typedef struct fv_verdict {
    int has_verdict;
    double score;    /* 0 to 1, of a verdict */
    fv_unjudged why; /* of none */
} fv_verdict;

typedef enum fv_grammar { FV_GRAMMAR_SCORE, FV_GRAMMAR_WORDS } fv_grammar;

fv_verdict fv_verdict_given(double score);
fv_verdict fv_verdict_none(fv_unjudged why);

fv_verdict fv_verdict_parse(fv_grammar grammar, fv_slice reply);

#endif
