/* What a terminal gets of a job is shown (shown.h), with lines as they are; a pipe or a file gets the text as
 * it is. Errors and the log are shown everywhere. */
#ifndef FOVEA_JOBS_TERMINAL_H
#define FOVEA_JOBS_TERMINAL_H

#include <argp.h>

/* Standard output from now on. Call once, before anything is printed. */
void fv_terminal_guard(void);

/* argp_parse, whose messages hold arguments. */
error_t fv_terminal_parse(const struct argp *argp, int argc, char **argv, void *input);

#endif
