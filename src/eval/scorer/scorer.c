#include "eval/scorer/scorer_internal.h"
#include "fovea/reward/truths.h"
#include "reward/verifier/verifier_internal.h"

#include <string.h>

static const fv_scorer scorers[] = {
    {.name = "chartqa", .rule = fv_rule_chartqa},
    {.name = "docvqa", .rule = fv_rule_docvqa},
    {.name = "ocrbench", .rule = fv_rule_ocrbench, .needs_category = 1},
    {.name = "realworldqa", .rule = fv_rule_realworldqa},
    {.name = "pope", .rule = fv_rule_pope},
    {.name = "mme", .rule = fv_rule_mme},
    {.name = "options", .rule = fv_rule_options},
    {.name = "mmmu", .rule = fv_rule_mmmu},
};
enum { N_SCORERS = sizeof scorers / sizeof scorers[0] };

fv_err fv_scorer_find(const char *name, fv_scorer *out)
{
    char names[128] = "";
    for (int i = 0; i < N_SCORERS; i++) {
        if (strcmp(scorers[i].name, name) == 0) {
            *out = scorers[i];
            return FV_OK;
        }
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s, ", scorers[i].name);
    }
    *out = (fv_scorer){0};
    if (fv_verifier_find(name, &out->verifier) != FV_OK)
        return FV_FAIL(
            FV_ERR_ARGUMENT,
            "there is no scorer \"%.64s\"; there are %sand the verifiers (fovea/reward/verifier.h)", name,
            names);
    out->name = out->verifier->name;
    return FV_OK;
}

static fv_err score_one(const fv_scorer *scorer, const fv_said *said, double *score, fv_buffer *reading)
{
    if (scorer->rule)
        return scorer->rule(said, score, reading);
    FV_TRY(fv_buffer_append_valid(reading, said->answer.data, said->answer.size));
    return fv_verifier_ask(scorer->verifier, said->question, said->answer, said->truth, score);
}

/* The reading is that of the truth that counts. */
static fv_err score_all(const fv_scorer *scorer, fv_said said, double *score, fv_buffer *reading)
{
    fv_slice truths = said.truth;
    fv_err err = FV_OK;
    for (int is_first = 1; err == FV_OK && fv_truths_next(&truths, &said.truth); is_first = 0) {
        fv_buffer other = {0};
        double one = 0;
        err = score_one(scorer, &said, &one, &other);
        if (is_first || one > *score) {
            fv_buffer_fini(reading);
            *reading = other;
            *score = one;
        } else {
            fv_buffer_fini(&other);
        }
    }
    return err;
}

static fv_err score_text(const fv_scorer *scorer, fv_said said, double *score, fv_buffer *reading)
{
    fv_buffer valid = {0};
    fv_err err = fv_buffer_append_valid(&valid, said.answer.data, said.answer.size);
    said.answer = fv_scorer_strip((fv_slice){valid.data, valid.size});
    if (err == FV_OK)
        err = score_all(scorer, said, score, reading);
    if (said.answer.size == 0)
        *score = 0;
    fv_buffer_fini(&valid);
    return err;
}

/* What is in a box may be set as text: "\boxed{\text{C}}". */
static fv_err score_box(const fv_scorer *scorer, fv_said said, double *score, fv_buffer *reading)
{
    fv_buffer plain = {0}, other = {0};
    double one = 0;
    fv_err err = fv_text_plain(said.answer, &plain);
    said.answer = (fv_slice){plain.data, plain.size};
    if (err == FV_OK)
        err = score_text(scorer, said, &one, &other);
    if (err == FV_OK && one > *score) {
        fv_buffer_fini(reading);
        *reading = other;
        other = (fv_buffer){0};
        *score = one;
    }
    fv_buffer_fini(&plain);
    fv_buffer_fini(&other);
    return err;
}

fv_err fv_scorer_score(const fv_scorer *scorer, const fv_said *said, double *score, fv_buffer *reading)
{
    fv_said bare = *said;
    fv_buffer truth = {0};
    fv_err err = FV_OK;
    int is_boxed = fv_text_unbox(&bare.answer);
    *score = 0;
    FV_TRY_DONE(fv_buffer_append_valid(&truth, said->truth.data, said->truth.size));
    FV_CHECK_DONE(truth.size > 0, FV_ERR_FORMAT, "there is no truth");
    bare.truth = (fv_slice){truth.data, truth.size};
    FV_TRY_DONE(score_text(scorer, bare, score, reading));
    if (is_boxed && *score < 1 && fv_text_is_latex(bare.answer))
        FV_TRY_DONE(score_box(scorer, bare, score, reading));
done:
    fv_buffer_fini(&truth);
    return err;
}
