/* What argp's parsers would repeat: options whose argument is one value that goes to one place, as a table;
 * and the values of others. */
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
    FV_OPTION_FLOAT,   /* float, the same */
    FV_OPTION_CHOICE,  /* an enum: low + its index among names */
    FV_OPTION_DTYPE    /* fv_dtype of numbers in a model folder: fp32, fp16 or bf16 */
} fv_option_kind;

typedef struct fv_option {
    int key; /* argp's; a table ends with 0 */
    fv_option_kind kind;
    size_t at; /* offsetof in the struct of options */
    long low, high;
    double least, most;
    const char *const *names; /* ends with NULL */
} fv_option;

/* Set what the option with this key says; argp_error (which ends the program) names it as options, argp's own
 * list, has it. ARGP_ERR_UNKNOWN: it is not in the table. */
error_t fv_option_set(const fv_option *table, const struct argp_option *options, int key, const char *text,
                      struct argp_state *state, void *out);

/* The text itself; argp_error if it is empty, as an unset variable of a script is. */
const char *fv_parse_path(struct argp_state *state, const char *option, const char *text);

/* Parse one of names, which end with NULL (its number), a whole number in [low, high] or a real number;
 * argp_error (which ends the program) names the option. */
int fv_parse_choice(struct argp_state *state, const char *option, const char *text, const char *const *names);
long fv_parse_integer(struct argp_state *state, const char *option, const char *text, long low, long high);
double fv_parse_real(struct argp_state *state, const char *option, const char *text, double low, double high);

/* "I/N" of --shard: I from 1 to N. */
void fv_parse_shard(struct argp_state *state, const char *text, int *shard, int *n_shards);

#endif
