#include "fovea/data/row.h"

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
