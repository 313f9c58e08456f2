#include "fovea/data/row.h"

#include "fovea/io/json.h"

#include <stdlib.h>
#include <string.h>

void fv_row_fini(fv_row *row)
{
    for (size_t i = 0; i < row->n_images; i++)
        fv_buffer_fini(&row->images[i].file);
    free(row->images);
    free(row->question);
    free(row->answer);
    free(row->source);
    free(row->extra);
    *row = (fv_row){0};
}

fv_slice fv_row_truths(const char *first, size_t more_bytes)
{
    return (fv_slice){first, strlen(first) + more_bytes};
}

fv_err fv_row_field(const fv_row *row, const char *field, fv_buffer *out)
{
    fv_json *extra;
    const char *text = NULL;
    FV_TRY(fv_json_parse(row->extra, strlen(row->extra), "extra fields", &extra));
    const fv_json *value = fv_json_get(extra, field);
    fv_err err = FV_OK;
    if (value && fv_json_kind_of(value) == FV_JSON_STRING)
        err = fv_json_to_string(value, field, &text, NULL);
    if (err == FV_OK && value)
        err = text ? fv_buffer_print(out, "%s", text) : fv_json_print(value, 0, out);
    fv_json_destroy(extra);
    return err;
}
