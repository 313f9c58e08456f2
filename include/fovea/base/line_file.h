/* A file of lines that only grows, of one process. Lines are appended whole; what cannot be written, because
 * the disk is full, say, waits in memory and is tried again with the next. Local. */
#ifndef FOVEA_BASE_LINE_FILE_H
#define FOVEA_BASE_LINE_FILE_H

#include "fovea/base/buffer.h"

#include <stdint.h>

typedef struct fv_line_file {
    int descriptor;
    char *path;        /* owned */
    uint64_t written;  /* bytes */
    fv_buffer pending; /* lines that could not be written yet: who appends adds whole ones */
    int is_failing;
} fv_line_file;

/* Make the file, or open it behind its last whole line: written. Nothing in it changes yet. FV_ERR_ARGUMENT:
 * another process, which kind says what it is ("selection"), has it open so. */
fv_err fv_line_file_open(const char *path, const char *kind, fv_line_file *out);

/* What is behind the last whole line, torn, is cut off; lines may be appended now. */
fv_err fv_line_file_begin(fv_line_file *file);

/* Write what is pending, onto the disk itself if it is to outlive a crash of the machine. If that fails it is
 * warned of, once until it succeeds again. */
void fv_line_file_flush(fv_line_file *file, int to_disk);

/* FV_ERR_IO: some lines could not be written. A file that was not opened, {0} or {-1}, is fine. */
fv_err fv_line_file_close(fv_line_file *file);

#endif
