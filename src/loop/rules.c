#include "fovea/rules.h"

#include "loop/rules_internal.h"

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

fv_err fv_rule_score(const fv_rule *rule, fv_slice answer, const fv_slice *truths, int n_truths,
                     double *score)
{
    FV_CHECK(n_truths > 0, FV_ERR_ARGUMENT, "rule %s: a question without a truth", rule->name);
    *score = 0;
    for (int i = 0; i < n_truths; i++) {
        double one;
        FV_TRY(rule->score(answer, truths[i], &one));
        if (one > *score)
            *score = one;
    }
    return FV_OK;
}
