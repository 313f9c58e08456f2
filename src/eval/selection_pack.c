/* What a selection keeps. */
#include "fovea/eval/selection.h"

#include <stdlib.h>
#include <string.h>

enum { LOW, HIGH, NEITHER };
static const char *const view_names[] = {"low", "high"};

static fv_err set_fields(const fv_selection *s, int64_t row, int why, fv_json *extra)
{
    const char *name = view_names[why];
    FV_TRY(fv_json_set_text(extra, "selected", name));
    FV_TRY(fv_json_set(extra, "samples", fv_json_make_integer(s->n_samples)));
    FV_TRY(fv_json_set(extra, "low_right", fv_json_make_integer(s->rows[row].low)));
    return fv_json_set(extra, "high_right", fv_json_make_integer(s->rows[row].high));
}

static fv_err mark(const fv_selection *s, int64_t number, int why, fv_row *row)
{
    fv_json *extra;
    fv_buffer text = {0};
    FV_TRY(fv_json_parse(row->extra, strlen(row->extra), "extra fields", &extra));
    fv_err err = set_fields(s, number, why, extra);
    if (err == FV_OK)
        err = fv_json_print(extra, 0, &text);
    fv_json_destroy(extra);
    if (err != FV_OK) {
        fv_buffer_fini(&text);
        return err;
    }
    free(row->extra);
    row->extra = text.data;
    return FV_OK;
}

static fv_err append(const fv_selection *s, const fv_dataset *dataset, int64_t number, int why,
                     fv_dataset_writer *out)
{
    fv_row row;
    FV_TRY(fv_dataset_read(dataset, (uint64_t)number, &row));
    fv_err err = mark(s, number, why, &row);
    if (err == FV_OK)
        return fv_dataset_append(out, &row);
    fv_row_fini(&row);
    return err;
}

/* Why a row is kept. A row that the high-resolution view was not asked about has no right answers from it. */
static int reason(const fv_selection *s, const fv_selected *row)
{
    if (row->low < 0 || row->high == FV_SELECTED_NO_VERDICT)
        return NEITHER;
    if (row->low == s->n_samples && row->high == s->n_samples)
        return LOW;
    return row->high - row->low >= s->gain ? HIGH : NEITHER;
}

static int has_image(const fv_dataset *dataset, int64_t row)
{
    fv_view_size image, target;
    return fv_dataset_sizes(dataset, (uint64_t)row, &image, &target) > 0;
}

static fv_err pack_row(const fv_selection *s, const fv_dataset *dataset, int64_t number,
                       fv_dataset_writer *out, fv_selection_counts *counts)
{
    const fv_selected *row = &s->rows[number];
    counts->rows++;
    if (!has_image(dataset, number)) {
        counts->imageless++;
        return FV_OK;
    }
    int why = reason(s, row);
    counts->too_long += row->low == FV_SELECTED_LEFT_OUT;
    counts->open += row->low == FV_SELECTED_OPEN;
    counts->unjudged += row->low == FV_SELECTED_NO_VERDICT || row->high == FV_SELECTED_NO_VERDICT;
    counts->low += why == LOW;
    counts->high += why == HIGH;
    return why != NEITHER && out ? append(s, dataset, number, why, out) : FV_OK;
}

fv_err fv_selection_pack(const fv_selection *selection, const fv_dataset *dataset, fv_dataset_writer *out,
                         fv_selection_counts *counts)
{
    *counts = (fv_selection_counts){0};
    for (int64_t row = selection->shard - 1; row < selection->n_rows; row += selection->n_shards)
        FV_TRY(pack_row(selection, dataset, row, out, counts));
    return FV_OK;
}
