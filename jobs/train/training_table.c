/* The table that a finished run ends with. */
#include "jobs/train/training.h"

#include <stdio.h>

static void print_value(const fv_json *value)
{
    double number;
    int is_there = value && fv_json_kind_of(value) != FV_JSON_NULL;
    if (is_there && fv_json_to_real(value, "a figure", &number) == FV_OK)
        printf(" %12.5g", number);
    else
        printf(" %12s", "-");
}

fv_err fv_training_print_table(const fv_training *t)
{
    static const char *const names[] = {
        "reward", "accuracy",       "call_rate",          "response_tokens",
        "loss",   "validate_score", "validate_call_rate", "validate_visual_share"};
    fv_json *first, *last;
    FV_TRY(fv_journal_figures(t->config.run.out, &first, &last));
    printf("%-24s %12s %12s\n", t->config.run.out, "first", "last");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!fv_json_get(last, names[i]))
            continue;
        printf("%-24s", names[i]);
        print_value(fv_json_get(first, names[i]));
        print_value(fv_json_get(last, names[i]));
        printf("\n");
    }
    fv_json_destroy(first);
    fv_json_destroy(last);
    return FV_OK;
}
