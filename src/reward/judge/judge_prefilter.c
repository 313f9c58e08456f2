/* What is decided without a model, in front of one. */
#include "fovea/reward/judge/judge.h"

#include "fovea/reward/truths.h"
#include "fovea/base/text/utf8.h"
#include "base/hash.h"

#include <stdlib.h>
#include <utf8proc.h>

/* A case that has been passed on, with what the verifier said of it. */
typedef struct pending_case {
    fv_judge *judge;
    fv_waiter waiter;
    double verifier_score;
    struct pending_case *next;
} pending_case;

typedef struct prefilter {
    const fv_verifier *verifier;
    double audit;
    pending_case *pending; /* owned; let go when none is pending */
} prefilter;

static void release_pending(prefilter *p)
{
    for (pending_case *e = p->pending, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    p->pending = NULL;
}

/* One code point that is neither a letter nor a digit says nothing: such answers please many models. */
static int is_one_symbol(fv_slice text)
{
    uint32_t code = 0;
    if (text.size == 0 || fv_utf8_decode(text.data, text.size, &code) != (int)text.size)
        return 0;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);
    return c == UTF8PROC_CATEGORY_CN || c >= UTF8PROC_CATEGORY_PC;
}

static int is_nothing(const fv_case *asked)
{
    fv_slice answer = fv_slice_trim(asked->answer), truths = asked->truth, truth;
    if (answer.size == 0 || !is_one_symbol(answer))
        return answer.size == 0;
    while (fv_truths_next(&truths, &truth))
        if (fv_slice_equal(answer, fv_slice_trim(truth)))
            return 0;
    return 1;
}

static fv_err receive_verdict(void *context, fv_verdict verdict)
{
    pending_case *e = context;
    fv_judge *judge = e->judge;
    prefilter *p = judge->state;
    if (verdict.has_verdict && p->verifier) {
        judge->counts.n_compared++;
        judge->counts.n_agreed += (verdict.score >= 0.5) == (e->verifier_score >= 1);
    }
    if (e->verifier_score >= 1)
        verdict = fv_verdict_given(1);
    fv_err err = fv_judge_give(judge, e->waiter, verdict);
    if (judge->n_pending == 0)
        release_pending(p);
    return err;
}

static fv_err pass_on(fv_judge *judge, const fv_case *asked, fv_waiter waiter, double verifier_score)
{
    prefilter *p = judge->state;
    pending_case *e = malloc(sizeof *e);
    FV_CHECK(e, FV_ERR_MEMORY, "cannot allocate a case for a judge");
    *e = (pending_case){judge, waiter, verifier_score, p->pending};
    p->pending = e;
    return fv_judge_ask(judge->inner, asked, (fv_waiter){receive_verdict, e});
}

static int is_audited(const prefilter *p, const fv_case *asked)
{
    XXH64_hash_t hash = XXH3_64bits(asked->question.data, asked->question.size);
    hash = XXH3_64bits_withSeed(asked->answer.data, asked->answer.size, hash);
    return (double)(hash >> 11) * 0x1p-53 < p->audit;
}

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    prefilter *p = judge->state;
    double score = 0;
    if (is_nothing(asked))
        return fv_judge_give(judge, waiter, fv_verdict_given(0));
    if (p->verifier)
        FV_TRY(fv_verifier_ask(p->verifier, asked->question, asked->answer, asked->truth, &score));
    if (score >= 1 && !is_audited(p, asked))
        return fv_judge_give(judge, waiter, fv_verdict_given(1));
    return pass_on(judge, asked, waiter, score);
}

static void destroy(fv_judge *judge)
{
    release_pending(judge->state);
    free(judge->state);
}

static const fv_judge_table prefilter_table = {.name = "prefilter", .submit = submit, .destroy = destroy};

fv_err fv_judge_prefilter_create(const fv_verifier *verifier, double audit, fv_judge *inner, fv_judge **out)
{
    prefilter *p = calloc(1, sizeof *p);
    if (!p) {
        fv_judge_destroy(inner);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a judge");
    }
    *p = (prefilter){.verifier = verifier, .audit = audit};
    return fv_judge_create(&prefilter_table, p, inner, out);
}
