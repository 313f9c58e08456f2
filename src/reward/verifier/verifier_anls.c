/* Average normalised Levenshtein similarity, of one answer and one truth. */
#include "fovea/base/text/utf8.h"
#include "reward/verifier/verifier_internal.h"

#include <stdint.h>
#include <stdlib.h>

typedef struct code_points {
    uint32_t *codes; /* owned */
    size_t n;
} code_points;

static fv_err decode(fv_slice valid, code_points *out)
{
    *out = (code_points){malloc((valid.size + 1) * sizeof(uint32_t)), 0};
    FV_CHECK(out->codes, FV_ERR_MEMORY, "cannot allocate %zu code points", valid.size);
    for (size_t at = 0; at < valid.size; out->n++)
        at += (size_t)fv_utf8_decode(valid.data + at, valid.size - at, &out->codes[out->n]);
    return FV_OK;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static fv_err distance(code_points a, code_points b, size_t *out)
{
    size_t *row = malloc((b.n + 1) * sizeof *row); /* distances of a's first codes to each prefix of b */
    FV_CHECK(row, FV_ERR_MEMORY, "cannot allocate a row of %zu distances", b.n + 1);
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 0; i < a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.n; j++) {
            size_t replaced = diagonal + (a.codes[i] != b.codes[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(replaced, least(diagonal, row[j]) + 1);
        }
    }
    *out = row[b.n];
    free(row);
    return FV_OK;
}

static fv_err similarity(code_points answer, code_points truth, double *score)
{
    size_t longer = answer.n > truth.n ? answer.n : truth.n, shorter = least(answer.n, truth.n);
    *score = 0;
    if (2 * shorter <= longer) /* so is the distance at least half; a long answer is not worth the time */
        return FV_OK;
    size_t d;
    FV_TRY(distance(answer, truth, &d));
    if (2 * d < longer)
        *score = 1 - (double)d / (double)longer;
    return FV_OK;
}

fv_err fv_verifier_anls(fv_slice answer, fv_slice truth, double *score)
{
    fv_err err = FV_OK;
    fv_text_pair pair;
    code_points a = {0}, b = {0};
    FV_TRY(fv_text_pair_init(&pair, answer, truth));
    FV_TRY_DONE(decode(pair.answer, &a));
    FV_TRY_DONE(decode(pair.truth, &b));
    FV_TRY_DONE(similarity(a, b, score));
done:
    free(a.codes);
    free(b.codes);
    fv_text_pair_fini(&pair);
    return err;
}

fv_err fv_text_distance(fv_slice a, fv_slice b, size_t *out)
{
    code_points x = {0}, y = {0};
    fv_err err = decode(a, &x);
    if (err == FV_OK)
        err = decode(b, &y);
    if (err == FV_OK)
        err = distance(x, y, out);
    free(x.codes);
    free(y.codes);
    return err;
}
