/* A line of JSON from anywhere as a row: one that is accepted holds what a row promises. */
#include "fovea/data/row.h"
#include "fovea/io/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const fv_row_fields fields = {.folder = "nowhere"};
    fv_row row;
    fv_json *extra = NULL;
    if (fv_row_parse((const char *)data, size, &fields, &row) != FV_OK)
        return 0;
    int is_sound =
        row.question[0] && row.answer[0] && row.source && (row.target.width > 0) == (row.target.height > 0);
    for (size_t i = 0; i < row.n_images; i++)
        is_sound =
            is_sound && row.images[i].file.size > 0 && row.images[i].width > 0 && row.images[i].height > 0;
    if (!is_sound || fv_json_parse(row.extra, strlen(row.extra), "extra", &extra) != FV_OK)
        __builtin_trap();
    fv_json_destroy(extra);
    fv_row_fini(&row);
    return 0;
}
