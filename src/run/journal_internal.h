/* Between the sources of journal.h. */
#ifndef FOVEA_SRC_RUN_JOURNAL_INTERNAL_H
#define FOVEA_SRC_RUN_JOURNAL_INTERNAL_H

#include "fovea/run/journal.h"
#include "fovea/base/text/lines.h"

/* A line is an object. FV_ERR_FORMAT: it is none. */
fv_err fv_journal_parse(const fv_line *line, fv_json **out);

/* The file name of folder with the lines that end in its first size bytes. Fails as fv_journal_open does. */
fv_err fv_journal_file_open(fv_journal_file *file, const fv_lease *lease, const char *folder,
                            const char *name, uint64_t size);
/* Append object, which is taken, as a line. */
fv_err fv_journal_file_add(fv_journal_file *file, fv_json *object);
fv_err fv_journal_file_close(fv_journal_file *file, int is_patient); /* {0} is fine */

#endif
