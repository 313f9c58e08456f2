#include "fovea/reward/verifier.h"

#include "fovea/reward/truths.h"
#include "reward/verifier/verifier_internal.h"

#include <string.h>

static const fv_verifier verifiers[] = {
    {"exact", fv_verifier_exact},
    {"number", fv_verifier_number},
    {"choice", fv_verifier_choice},
    {"boxed", fv_verifier_boxed},
    {"relaxed", fv_verifier_relaxed},
    {"anls", fv_verifier_anls},
    {"containment", fv_verifier_containment},
};
enum { N_VERIFIERS = sizeof verifiers / sizeof verifiers[0] };

fv_err fv_verifier_find(const char *name, const fv_verifier **out)
{
    fv_buffer names = {0};
    fv_err err = FV_OK;
    for (int i = 0; i < N_VERIFIERS; i++) {
        if (strcmp(verifiers[i].name, name) == 0) {
            *out = &verifiers[i];
            goto done;
        }
        FV_TRY_DONE(fv_buffer_print(&names, "%s%s", i ? ", " : "", verifiers[i].name));
    }
    err = FV_FAIL(FV_ERR_ARGUMENT, "there is no verifier \"%s\"; there are %s", name, names.data);
done:
    fv_buffer_fini(&names);
    return err;
}

/* A text as a verifier may take it: as it is, or the content of its box; and, where that is LaTeX, plain. */
typedef struct reading {
    fv_slice text, plain;
    fv_buffer memory; /* of plain */
} reading;

static fv_err read_plain(reading *r)
{
    fv_err err = fv_text_plain(r->text, &r->memory);
    r->plain = (fv_slice){r->memory.data, r->memory.size};
    return err;
}

/* The better score of both readings; a formula in a box meets a truth without one. */
static fv_err score_plain(const fv_verifier *verifier, reading *answer, reading *truth, double *score)
{
    FV_TRY(read_plain(answer));
    FV_TRY(read_plain(truth));
    const fv_slice pairs[][2] = {
        {answer->plain, truth->plain}, {answer->plain, truth->text}, {answer->text, truth->plain}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        double one;
        FV_TRY(verifier->score(pairs[i][0], pairs[i][1], &one));
        if (one > *score)
            *score = one;
    }
    return FV_OK;
}

static fv_err score_one(const fv_verifier *verifier, fv_slice answer, fv_slice truth, double *score)
{
    reading a = {.text = answer}, t = {.text = truth};
    int is_boxed_answer = fv_text_unbox(&a.text), is_boxed_truth = fv_text_unbox(&t.text);
    fv_err err = verifier->score(a.text, t.text, score);
    if (err == FV_OK &&
        (is_boxed_answer || is_boxed_truth || fv_text_is_latex(answer) || fv_text_is_latex(truth)))
        err = score_plain(verifier, &a, &t, score);
    fv_buffer_fini(&a.memory);
    fv_buffer_fini(&t.memory);
    return err;
}

fv_err fv_verifier_score(const fv_verifier *verifier, fv_slice answer, const fv_slice *truths, int n_truths,
                         double *score)
{
    FV_CHECK(n_truths > 0, FV_ERR_ARGUMENT, "verifier %s: a question without a truth", verifier->name);
    *score = 0;
    for (int i = 0; i < n_truths; i++) {
        double one;
        FV_TRY(score_one(verifier, answer, truths[i], &one));
        if (one > *score)
            *score = one;
    }
    return FV_OK;
}

static fv_err ask_one(const fv_verifier *verifier, fv_slice question, fv_slice answer, fv_slice truth,
                      double *score)
{
    fv_buffer whole = {0};
    fv_err err = verifier->score == fv_verifier_choice ? fv_truth_complete(question, truth, &whole) : FV_OK;
    if (whole.size > 0)
        truth = (fv_slice){whole.data, whole.size};
    if (err == FV_OK)
        err = fv_verifier_score(verifier, answer, &truth, 1, score);
    fv_buffer_fini(&whole);
    return err;
}

fv_err fv_verifier_ask(const fv_verifier *verifier, fv_slice question, fv_slice answer, fv_slice truths,
                       double *score)
{
    *score = 0;
    for (fv_slice truth; *score < 1 && fv_truths_next(&truths, &truth);) {
        double one;
        FV_TRY(ask_one(verifier, question, answer, truth, &one));
        if (one > *score)
            *score = one;
    }
    return FV_OK;
}
