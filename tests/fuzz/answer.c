/* An answer from anywhere, and a truth behind its first NUL: every verifier gives a score, and a text meets
 * itself. */
#include "fovea/reward/format.h"
#include "fovea/reward/verifier.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static double score_of(const char *name, fv_slice answer, fv_slice truth)
{
    const fv_verifier *verifier;
    double score = -1;
    if (fv_verifier_find(name, &verifier) != FV_OK ||
        fv_verifier_score(verifier, answer, &truth, 1, &score) != FV_OK || !(score >= 0 && score <= 1))
        __builtin_trap();
    return score;
}

static void check_rules(fv_slice answer, fv_slice truth)
{
    static const char *const names[] = {"exact",   "number", "choice",     "boxed",
                                        "relaxed", "anls",   "containment"};
    double itself = score_of("exact", answer, answer); /* 0 if it is blank */
    for (int i = 0; i < 7; i++) {
        score_of(names[i], answer, truth);
        if (strcmp(names[i], "boxed") != 0 && score_of(names[i], answer, answer) != itself)
            __builtin_trap();
    }
    if (score_of("exact", answer, truth) > score_of("number", answer, truth))
        __builtin_trap();
}

static void check_form(fv_slice text)
{
    fv_slice turns[] = {text, text};
    fv_parsed_turn turn = fv_turn_parse(text);
    int lenient = fv_format_score(&(fv_format_settings){FV_PRODUCT_EFFICIENT, 0}, turns, 2);
    int strict = fv_format_score(&(fv_format_settings){FV_PRODUCT_EFFICIENT, 1}, turns, 2);
    fv_slice answer = fv_answer_extract(FV_EXTRACT_SPLIT, text);
    if ((turn.act == FV_TURN_BAD_CALL) != (turn.reason != NULL) || lenient || strict ||
        answer.size > text.size)
        __builtin_trap();
}

enum { MOST_BYTES = 1024 }; /* anls takes the square of it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size = size < MOST_BYTES ? size : MOST_BYTES;
    fv_slice text = {(const char *)data, size};
    size_t end = fv_slice_find(text, (fv_slice){"", 1});
    check_form(text);
    if (end == FV_SLICE_NONE)
        check_rules(text, text);
    else
        check_rules(fv_slice_cut(text, 0, end), fv_slice_cut(text, end + 1, size));
    return 0;
}
