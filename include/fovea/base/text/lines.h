/* Files of lines. After a power cut, or on a disk that was full, such a file may hold anything: a torn line,
 * bytes 0, half a character. What is whole counts, the rest is passed over and told of. Local. */
#ifndef FOVEA_BASE_LINES_H
#define FOVEA_BASE_LINES_H

#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fv_line {
    const char *name; /* "PATH:NUMBER" */
    const char *text; /* (size), without its line feed; may hold NULs */
    size_t size;
    uint64_t end; /* bytes of the file up to and with its line feed */
} fv_line;

/* Call each for every line that has its line feed, in order. One that each fails on with FV_ERR_FORMAT is
 * bad: it is passed over, and the log warns of the first one and of how many there are. The file is read, not
 * mapped: its writer may cut it short meanwhile. FV_ERR_IO, or what else each fails with. */
fv_err fv_lines_read(const char *path, fv_err (*each)(void *context, const fv_line *line), void *context);

#endif
