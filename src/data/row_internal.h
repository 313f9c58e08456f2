/* What reading a row shares. Contracts of the fields: fovea/data/row.h. */
#ifndef FOVEA_SRC_DATA_ROW_INTERNAL_H
#define FOVEA_SRC_DATA_ROW_INTERNAL_H

#include "fovea/data/row.h"
#include "fovea/io/json.h"

/* A string, or a number as text; the caller frees *out. name is for messages. */
fv_err fv_row_copy_text(const fv_json *value, const char *name, char **out);

/* Put what the fields say around the question, which is owned. */
fv_err fv_row_surround(const fv_json *object, const fv_row_fields *fields, char **question);

#endif
