/* A program that is talked to in lines, over its standard input and output. Local.
 *
 * Neither side waits for the other: fv_child_move carries what can be carried now. The program ends with this
 * process, however that ends. It inherits the environment without the keys of judges (OPENAI_API_KEY,
 * AZURE_API_KEY, AZURE_OPENAI_API_KEY), and no descriptor but standard error. */
#ifndef FOVEA_BASE_CHILD_H
#define FOVEA_BASE_CHILD_H

#include "fovea/base/error.h"
#include "fovea/base/text/slice.h"

typedef struct fv_child fv_child;

/* command is the shell's. Its standard error is ours. */
fv_err fv_child_start(const char *command, fv_child **out);

/* Ends the program, and what it started, at once. NULL is fine. */
void fv_child_destroy(fv_child *child);

/* Queue a line; its newline is added. */
fv_err fv_child_say(fv_child *child, fv_slice line);

/* Write and read what can be; if nothing can, wait up to wait_s first. */
fv_err fv_child_move(fv_child *child, double wait_s);

/* 1 and the next whole line, without its newline, borrowed until the next call with this child; 0 if there is
 * none. FV_ERR_FORMAT: a line of more than 1 MiB. */
fv_err fv_child_hear(fv_child *child, fv_slice *line, int *is_there);

int fv_child_is_gone(const fv_child *child); /* its output has ended */

#endif
