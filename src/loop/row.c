#include "fovea/row.h"

#include <stdlib.h>

void fv_row_drop_images(fv_row *row)
{
    for (size_t i = 0; i < row->n_images; i++)
        fv_buffer_fini(&row->images[i].file);
    free(row->images);
    row->images = NULL;
    row->n_images = 0;
}

void fv_row_fini(fv_row *row)
{
    fv_row_drop_images(row);
    free(row->question);
    free(row->answer);
    free(row->source);
    free(row->extra);
    *row = (fv_row){0};
}
