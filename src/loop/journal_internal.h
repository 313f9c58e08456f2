/* Between the sources of journal.h. */
#ifndef FOVEA_LOOP_JOURNAL_INTERNAL_H
#define FOVEA_LOOP_JOURNAL_INTERNAL_H

#include "fovea/journal.h"

/* The file with its first size bytes. */
fv_err fv_journal_file_open(fv_journal_file *file, const char *path, uint64_t size);
/* Append object, which is taken, as a line. */
fv_err fv_journal_file_add(fv_journal_file *file, fv_json *object);
fv_err fv_journal_file_close(fv_journal_file *file); /* {0} is fine */

#endif
