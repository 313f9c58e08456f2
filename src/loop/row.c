#include "fovea/row.h"

#include <stdlib.h>

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
