/* Commands of the shell that start this very program. Local. */
#ifndef FOVEA_JOBS_BENCH_COMMAND_H
#define FOVEA_JOBS_BENCH_COMMAND_H

#include "fovea/base/buffer.h"
#include "fovea/base/process/child.h"

/* Append " exec PROGRAM JOB", quoted; a word; the end. */
fv_err fv_bench_command_begin(fv_buffer *command, const char *job);
fv_err fv_bench_command_add(fv_buffer *command, const char *word);
fv_err fv_bench_command_end(fv_buffer *command);

/* The next line that it prints, borrowed as of fv_child_hear, waited for; *is_there 0: it has ended.
 * FV_STOPPED: this program is asked to stop. */
fv_err fv_bench_command_hear(fv_child *child, fv_slice *line, int *is_there);

#endif
