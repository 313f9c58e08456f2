#include "fovea/reward/rules.h"

#include "fovea/reward/truths.h"
#include "reward/rules_internal.h"

#include <string.h>

static const fv_rule rules[] = {
    {"exact", fv_rule_exact},
    {"number", fv_rule_number},
    {"choice", fv_rule_choice},
    {"boxed", fv_rule_boxed},
    {"relaxed", fv_rule_relaxed},
    {"anls", fv_rule_anls},
    {"containment", fv_rule_containment},
};
enum { N_RULES = sizeof rules / sizeof rules[0] };

fv_err fv_rule_find(const char *name, const fv_rule **out)
{
    fv_buffer names = {0};
    fv_err err = FV_OK;
    for (int i = 0; i < N_RULES; i++) {
        if (strcmp(rules[i].name, name) == 0) {
            *out = &rules[i];
            goto done;
        }
        FV_TRY_DONE(fv_buffer_print(&names, "%s%s", i ? ", " : "", rules[i].name));
    }
    err = FV_FAIL(FV_ERR_ARGUMENT, "there is no rule \"%s\"; there are %s", name, names.data);
done:
    fv_buffer_fini(&names);
    return err;
}

/* A text as a rule may take it: as it is, or the content of its box; and, where that is LaTeX, plain. */
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
static fv_err score_plain(const fv_rule *rule, reading *answer, reading *truth, double *score)
{
    FV_TRY(read_plain(answer));
    FV_TRY(read_plain(truth));
    const fv_slice pairs[][2] = {
        {answer->plain, truth->plain}, {answer->plain, truth->text}, {answer->text, truth->plain}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        double one;
        FV_TRY(rule->score(pairs[i][0], pairs[i][1], &one));
        if (one > *score)
            *score = one;
    }
    return FV_OK;
}

static fv_err score_one(const fv_rule *rule, fv_slice answer, fv_slice truth, double *score)
{
    reading a = {.text = answer}, t = {.text = truth};
    int is_boxed_answer = fv_text_unbox(&a.text), is_boxed_truth = fv_text_unbox(&t.text);
    fv_err err = rule->score(a.text, t.text, score);
    if (err == FV_OK &&
        (is_boxed_answer || is_boxed_truth || fv_text_is_latex(answer) || fv_text_is_latex(truth)))
        err = score_plain(rule, &a, &t, score);
    fv_buffer_fini(&a.memory);
    fv_buffer_fini(&t.memory);
    return err;
}

fv_err fv_rule_score(const fv_rule *rule, fv_slice answer, const fv_slice *truths, int n_truths,
                     double *score)
{
    FV_CHECK(n_truths > 0, FV_ERR_ARGUMENT, "rule %s: a question without a truth", rule->name);
    *score = 0;
    for (int i = 0; i < n_truths; i++) {
        double one;
        FV_TRY(score_one(rule, answer, truths[i], &one));
        if (one > *score)
            *score = one;
    }
    return FV_OK;
}

static fv_err ask_one(const fv_rule *rule, fv_slice question, fv_slice answer, fv_slice truth, double *score)
{
    fv_buffer whole = {0};
    fv_err err = rule->score == fv_rule_choice ? fv_truth_complete(question, truth, &whole) : FV_OK;
    if (whole.size > 0)
        truth = (fv_slice){whole.data, whole.size};
    if (err == FV_OK)
        err = fv_rule_score(rule, answer, &truth, 1, score);
    fv_buffer_fini(&whole);
    return err;
}

fv_err fv_rule_ask(const fv_rule *rule, fv_slice question, fv_slice answer, fv_slice truths, double *score)
{
    *score = 0;
    for (fv_slice truth; *score < 1 && fv_truths_next(&truths, &truth);) {
        double one;
        FV_TRY(ask_one(rule, question, answer, truth, &one));
        if (one > *score)
            *score = one;
    }
    return FV_OK;
}
