/* The options of a question of multiple choice, by which a letter has a text and a text a letter. */
#include "reward/verifier/verifier_internal.h"

#include <ctype.h>
#include <string.h>

/* "(A) text", "A. text", "a) text" or "A: text", behind white space or at the start. */
static int is_option(fv_slice question, size_t at, char letter, fv_label *label)
{
    fv_slice rest = fv_slice_cut(question, at, question.size);
    return (at == 0 || isspace((unsigned char)question.data[at - 1])) && fv_label_parse(rest, 0, label) &&
           label->letter == letter && strchr(".):]", rest.data[label->end - 1]);
}

static size_t find_option(fv_slice question, size_t from, char letter, fv_label *label)
{
    for (size_t at = from; at < question.size; at++)
        if (is_option(question, at, letter, label))
            return at;
    return FV_SLICE_NONE;
}

/* From A on, each up to the next, the last up to the end of its line. */
void fv_options_find(fv_slice question, fv_option_list *out)
{
    fv_label label;
    size_t at = find_option(question, 0, 'A', &label);
    for (out->n = 0; at != FV_SLICE_NONE && out->n < FV_MOST_OPTIONS; out->n++) {
        size_t first = at + label.end;
        at = find_option(question, first, (char)('A' + out->n + 1), &label);
        fv_slice text = fv_slice_cut(question, first, at == FV_SLICE_NONE ? question.size : at);
        size_t line = at == FV_SLICE_NONE ? fv_slice_find(text, fv_slice_of("\n")) : FV_SLICE_NONE;
        out->texts[out->n] = fv_slice_trim(line == FV_SLICE_NONE ? text : fv_slice_cut(text, 0, line));
    }
}

fv_err fv_options_place(const fv_option_list *options, fv_slice truth, int *found)
{
    fv_label label;
    double score;
    *found = -1;
    if (fv_label_parse(truth, 0, &label)) {
        int place = label.letter - 'A';
        *found = label.end == truth.size && place < options->n ? place : -1;
        return FV_OK;
    }
    for (int i = 0; i < options->n; i++) {
        FV_TRY(fv_verifier_exact(truth, options->texts[i], &score));
        if (score > 0 && *found >= 0) {
            *found = -1;
            return FV_OK;
        }
        if (score > 0)
            *found = i;
    }
    return FV_OK;
}

fv_err fv_truth_complete(fv_slice question, fv_slice truth, fv_buffer *out)
{
    fv_option_list options;
    int found;
    fv_text_unbox(&truth);
    truth = fv_slice_trim(truth);
    fv_options_find(question, &options);
    if (options.n < 2)
        return FV_OK;
    FV_TRY(fv_options_place(&options, truth, &found));
    if (found < 0)
        return FV_OK;
    FV_TRY(fv_buffer_print(out, "%c) ", 'A' + found));
    return fv_buffer_append(out, options.texts[found].data, options.texts[found].size);
}
