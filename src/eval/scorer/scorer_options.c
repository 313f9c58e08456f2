/* Multiple choice: letters and texts of options, which stand in the question. */
#include "eval/scorer/scorer_internal.h"
#include "reward/verifier/verifier_internal.h"

#include <string.h>

/* Which options a set of bits holds, if it holds one; -1: none, or several. */
static int only_one(unsigned bits)
{
    return bits && (bits & (bits - 1)) == 0 ? __builtin_ctz(bits) : -1;
}

/* Bits of the options that the answer is, by its letter or its text. */
static fv_err find_chosen(const fv_option_list *options, fv_slice answer, unsigned *bits)
{
    fv_buffer whole = {0};
    fv_err err = FV_OK;
    *bits = 0;
    for (int i = 0; i < options->n && err == FV_OK; i++) {
        double score = 0;
        whole.size = 0;
        err = fv_buffer_print(&whole, "%c) ", 'A' + i);
        if (err == FV_OK)
            err = fv_buffer_append(&whole, options->texts[i].data, options->texts[i].size);
        if (err == FV_OK)
            err = fv_verifier_choice(answer, (fv_slice){whole.data, whole.size}, &score);
        *bits |= (unsigned)(score > 0) << i;
    }
    fv_buffer_fini(&whole);
    return err;
}

/* Bits of the options whose text stands in the answer. */
static fv_err find_contained(const fv_option_list *options, fv_slice answer, unsigned *bits)
{
    fv_buffer said = {0}, option = {0};
    fv_err err = fv_scorer_lower(answer, &said);
    *bits = 0;
    for (int i = 0; i < options->n && err == FV_OK; i++) {
        option.size = 0;
        err = fv_scorer_lower(options->texts[i], &option);
        int is_in = option.size > 0 && fv_slice_find((fv_slice){said.data, said.size},
                                                     (fv_slice){option.data, option.size}) != FV_SLICE_NONE;
        *bits |= (unsigned)is_in << i;
    }
    fv_buffer_fini(&said);
    fv_buffer_fini(&option);
    return err;
}

static fv_err find_answer(const fv_option_list *options, fv_slice answer, int *place)
{
    unsigned bits;
    FV_TRY(find_chosen(options, answer, &bits));
    *place = only_one(bits);
    if (bits || fv_letter_chosen(answer))
        return FV_OK;
    FV_TRY(find_contained(options, answer, &bits));
    *place = only_one(bits);
    return FV_OK;
}

static fv_err find_truth(const fv_option_list *options, fv_slice truth, int *place)
{
    fv_label label;
    if (fv_label_parse(truth, 0, &label))
        *place = label.letter - 'A' < options->n ? label.letter - 'A' : -1;
    else
        FV_TRY(fv_options_place(options, truth, place));
    FV_CHECK(*place >= 0, FV_ERR_FORMAT, "the truth is \"%.*s\", which is none of the question's %d options",
             (int)(truth.size < 64 ? truth.size : 64), truth.data, options->n);
    return FV_OK;
}

fv_err fv_rule_options(const fv_said *said, double *score, fv_buffer *reading)
{
    fv_option_list options;
    int answer, truth;
    fv_options_find(said->question, &options);
    if (options.n < 2) {
        FV_TRY(fv_buffer_append(reading, said->answer.data, said->answer.size));
        return fv_verifier_choice(said->answer, said->truth, score);
    }
    FV_TRY(find_truth(&options, fv_slice_trim(said->truth), &truth));
    FV_TRY(find_answer(&options, said->answer, &answer));
    *score = answer == truth;
    return answer >= 0 ? fv_buffer_print(reading, "%c", 'A' + answer) : FV_OK;
}

/* RealWorldQA. */

static int is_letter(fv_slice truth)
{
    return truth.size == 1 && strchr("ABCDabcd", truth.data[0]);
}

fv_err fv_rule_realworldqa(const fv_said *said, double *score, fv_buffer *reading)
{
    fv_slice truth = fv_scorer_strip(said->truth), answer = fv_scorer_strip(said->answer);
    int is_same;
    if (is_letter(truth))
        return fv_rule_options(said, score, reading);
    while (answer.size > 0 && answer.data[answer.size - 1] == '.')
        answer.size--;
    FV_TRY(fv_buffer_append(reading, answer.data, answer.size));
    FV_TRY(fv_scorer_same(answer, truth, &is_same));
    *score = is_same;
    return FV_OK;
}
