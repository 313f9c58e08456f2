/* What `fovea pack --select` and `--merge` end with. */
#ifndef FOVEA_JOBS_PACK_SELECTED_H
#define FOVEA_JOBS_PACK_SELECTED_H

#include "fovea/eval/select.h"

/* Write the rows that are kept as the pack out, print how many they are, and remove the file done (NULL:
 * none). FV_ERR_FORMAT: there are none. All rows have been looked at. */
fv_err fv_selected_write(const fv_selection *selection, const fv_dataset *dataset, const char *out,
                         const char *done);

/* Print the same of a shard, whose file is out. */
fv_err fv_selected_count(const fv_selection *selection, const fv_dataset *dataset, const char *out);

#endif
