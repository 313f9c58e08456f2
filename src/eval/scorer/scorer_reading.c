/* Text that is read off an image: DocVQA and OCRBench. */
#include "eval/scorer/scorer_internal.h"
#include "fovea/base/text/utf8.h"
#include "reward/verifier/verifier_internal.h"

#include <string.h>

/* ANLS. */

static fv_err fold(fv_slice text, fv_buffer *out)
{
    fv_buffer lower = {0};
    fv_err err = fv_scorer_lower(text, &lower);
    if (err == FV_OK)
        err = fv_scorer_collapse((fv_slice){lower.data, lower.size}, out);
    fv_buffer_fini(&lower);
    return err;
}

static size_t longer_of(fv_slice a, fv_slice b)
{
    size_t x = fv_scorer_length(a), y = fv_scorer_length(b);
    return x > y ? x : y;
}

fv_err fv_rule_docvqa(const fv_said *said, double *score, fv_buffer *reading)
{
    fv_buffer truth = {0};
    size_t distance = 0, length = longer_of(said->answer, said->truth);
    fv_err err = FV_OK;
    FV_TRY_DONE(fold(said->answer, reading));
    FV_TRY_DONE(fold(said->truth, &truth));
    FV_TRY_DONE(fv_text_distance((fv_slice){reading->data, reading->size}, (fv_slice){truth.data, truth.size},
                                 &distance));
    double similarity = 1 - (length ? (double)distance / (double)length : 0);
    *score = similarity < 0.5 ? 0 : similarity;
done:
    fv_buffer_fini(&truth);
    return err;
}

/* OCRBench. */

static int is_formula(fv_slice category)
{
    return fv_slice_equal(category, fv_slice_of("Handwritten Mathematical Expression Recognition")) ||
           fv_slice_equal(category, fv_slice_of("HME100k"));
}

/* Case is kept, spaces and line feeds are dropped. */
static fv_err squeeze(fv_slice text, fv_buffer *out)
{
    text = fv_scorer_strip(text);
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] != ' ' && text.data[i] != '\n')
            FV_TRY(fv_buffer_append(out, text.data + i, 1));
    return FV_OK;
}

static uint32_t narrow(uint32_t code)
{
    if (code >= 0xFF01 && code <= 0xFF5E)
        return code - 0xFEE0;
    return code == 0x3000 ? ' ' : code;
}

static fv_err flatten(fv_slice text, fv_buffer *out)
{
    fv_buffer narrowed = {0};
    fv_err err = FV_OK;
    for (size_t at = 0; at < text.size;) {
        uint32_t code;
        char bytes[4];
        at += (size_t)fv_utf8_decode(text.data + at, text.size - at, &code);
        FV_TRY_DONE(fv_buffer_append(&narrowed, bytes, (size_t)fv_utf8_encode(narrow(code), bytes)));
    }
    FV_TRY_DONE(fv_scorer_lower(fv_scorer_strip((fv_slice){narrowed.data, narrowed.size}), out));
    for (size_t i = 0; i < out->size; i++)
        if (out->data[i] == '\n')
            out->data[i] = ' ';
done:
    fv_buffer_fini(&narrowed);
    return err;
}

fv_err fv_rule_ocrbench(const fv_said *said, double *score, fv_buffer *reading)
{
    fv_err (*const read)(fv_slice, fv_buffer *) = is_formula(said->category) ? squeeze : flatten;
    fv_buffer truth = {0};
    fv_err err = read(said->answer, reading);
    if (err == FV_OK)
        err = read(said->truth, &truth);
    *score = truth.size > 0 && fv_slice_find((fv_slice){reading->data, reading->size},
                                             (fv_slice){truth.data, truth.size}) != FV_SLICE_NONE;
    fv_buffer_fini(&truth);
    return err;
}
