/* Options whose argument is one value that goes to one place, as a table: what argp's parsers would repeat.
 */
#ifndef FOVEA_JOBS_OPTION_H
#define FOVEA_JOBS_OPTION_H

#include <argp.h>
#include <stddef.h>

typedef enum fv_option_kind {
    FV_OPTION_FLAG,    /* int: 1 */
    FV_OPTION_TEXT,    /* const char *, borrowed from the command line */
    FV_OPTION_PATH,    /* the same, not empty */
    FV_OPTION_INT,     /* int, from low to high */
    FV_OPTION_INTEGER, /* int64_t, the same */
    FV_OPTION_LONG,    /* long, the same */
    FV_OPTION_REAL,    /* double, from least to most */
    FV_OPTION_FLOAT    /* float, the same */
} fv_option_kind;

typedef struct fv_option {
    int key; /* argp's; a table ends with 0 */
    fv_option_kind kind;
    size_t at; /* offsetof in the struct of options */
    long low, high;
    double least, most;
} fv_option;

/* Set what the option with this key says; argp_error (which ends the program) names it as options, argp's own
 * list, has it. ARGP_ERR_UNKNOWN: it is not in the table. */
error_t fv_option_set(const fv_option *table, const struct argp_option *options, int key, const char *text,
                      struct argp_state *state, void *out);

#endif
